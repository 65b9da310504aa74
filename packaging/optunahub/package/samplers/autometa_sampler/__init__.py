"""A sampler whose studies start from what past studies learnt."""

from autometa import MetaSampler, StudyArchive, warm_start

__all__ = ["MetaSampler", "StudyArchive", "warm_start"]
