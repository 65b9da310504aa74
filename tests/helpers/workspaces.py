"""Workspaces of small tables, for tests that evaluate jobs without a search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pandas as pd

from autometa.evaluation.resampling import make_folds
from autometa.evaluation.workspace import Workspace
from autometa.fit_inputs import read_inputs
from autometa.learners.base import Learner


@contextmanager
def workspace_of(X: pd.DataFrame, y: Any, learners: Mapping[str, Learner], *, n_folds: int = 2) -> Iterator[Workspace]:
    """Yield a workspace with prepared folds."""
    inputs = read_inputs(X, y)
    folds = make_folds(inputs.task, n_folds, seed=0)
    workspace = Workspace(inputs.task, folds, inputs.metric, learners, seed=0)
    try:
        for learner in learners.values():
            for fold in range(-1, len(folds)):
                workspace.prepare(fold, learner.view)
        yield workspace
    finally:
        workspace.close()
