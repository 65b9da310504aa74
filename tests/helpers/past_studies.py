"""Archives of past studies that were searched at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
from optuna.samplers import RandomSampler

from autometa import StudyArchive


def archive_of(
    objective: Callable[[optuna.Trial], float],
    n_studies: int,
    n_trials: int,
    catch: tuple[type[Exception], ...] = (),
    **options: Any,
) -> StudyArchive:
    """Return an archive of studies of one objective, which differ in the seed of random search."""
    archive = StudyArchive()
    for seed in range(n_studies):
        study = optuna.create_study(study_name=f"old-{seed}", sampler=RandomSampler(seed=seed), **options)
        study.optimize(objective, n_trials=n_trials, catch=catch)
        archive.add(study)
    return archive
