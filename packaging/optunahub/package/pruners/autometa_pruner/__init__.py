"""A pruner that learns from past learning curves which trials to stop."""

from autometa import MetaPruner, StudyArchive

__all__ = ["MetaPruner", "StudyArchive"]
