"""One evaluation as a row of the table of evaluations."""

# Tests: tests/metadataset/test_experience.py

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from autometa.core.evaluation import Evaluation
from autometa.metadataset.machine_speed import machine_speed
from autometa.metadataset.pool import configuration_id
from autometa.metadataset.schema import EVALUATION_COLUMNS, LOSS_COLUMNS

_CUT_SHORT = "cut short by the limit of seconds: this is what it gave by then"


def evaluation_row(
    task: str,
    evaluation: Evaluation,
    seed: int,
    losses: Mapping[str, float],
    *,
    progress: float = 1.0,
    n_iterations: int = 0,
) -> dict[str, Any]:
    """Return the row of an evaluation, with the columns of `EVALUATION_COLUMNS`.

    Parameters
    ----------
    task : str
        Name of the task.
    evaluation : Evaluation
        What was measured; its own loss is not kept, as it does not say of which metric it is.
    seed : int
        Seed of the run.
    losses : mapping of str to float
        Losses by the name of the metric.
    progress : float
        Fraction of the iterations after which it was measured; 1 is the finished fit.
    n_iterations : int
        Number of these iterations; 0 for learners without.
    """
    row = {
        **evaluation.row(),
        "task": task,
        "configuration": configuration_id(evaluation.configuration),
        "progress": progress,
        "n_iterations": n_iterations,
        "seed": seed,
        **dict.fromkeys(LOSS_COLUMNS, math.nan),
        **{f"loss_{name}": loss for name, loss in losses.items()},
        "machine_speed": machine_speed(),
        "error": _CUT_SHORT if evaluation.is_cut_short else evaluation.error,
    }
    return {column: row[column] for column in EVALUATION_COLUMNS}
