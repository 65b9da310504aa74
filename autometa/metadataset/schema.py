"""Define the tables of a meta-dataset: their columns, and the version of their layout.

tasks
    A row per task: name, problem, family, sizes, and meta-features.
configurations
    A row per configuration: its strategy and its hyperparameters as JSON.
evaluations
    A row per measurement: task, configuration, anchor, progress, fold, seed → losses, seconds, status.
    A finished fit has progress 1; points along its learning curve have less.
"""

# Tests: tests/metadataset/test_dataset.py

from __future__ import annotations

from autometa.core.task import Problem

SCHEMA_VERSION = 2
"""Version of the layout. Files of layout 1 are read, too; see `checks.upgraded_evaluations`."""

LOSSES: dict[Problem, tuple[str, ...]] = {
    "binary": ("roc_auc", "log_loss", "balanced_accuracy"),
    "multiclass": ("log_loss", "balanced_accuracy", "accuracy"),
    "regression": ("rmse", "mae", "r2"),
}
"""Metrics whose losses are recorded for a problem; the first is the metric of a fit by default.

The loss of a score is 1 − score. Regression targets are standardised by the mean and the
standard deviation of all rows, so that losses of different tasks can be compared.
"""

LOSS_COLUMNS: tuple[str, ...] = tuple(
    f"loss_{metric}" for metric in dict.fromkeys(metric for metrics in LOSSES.values() for metric in metrics)
)

OBJECTIVE = "objective"
"""Problem and metric of tasks that are Optuna studies; the loss is the objective value, lower is better."""

HELD_OUT = -1
"""Number of the fold of held-out rows, which no fold trains on or validates, in stored predictions."""

STATUSES = ("ok", "timeout", "memory", "failed")

TASK_COLUMNS: dict[str, str] = {
    "task": "str",
    "problem": "str",
    "family": "str",  # tasks of one family are never split over training and test
    "n_rows": "int64",
    "n_columns": "int64",
    "n_classes": "int64",  # 0 for regression
    "n_rows_used": "int64",  # rows that the folds train on and validate; those held out do not count
}
"""Columns of `tasks`; those that follow are meta-features (float64)."""

CONFIGURATION_COLUMNS: dict[str, str] = {
    "configuration": "str",
    "strategy": "str",
    "position": "int64",  # index within the strategy's pool; 0 is the default
    "origin": "str",  # "default", "published", "portfolio" or "sample"
    "parameters": "str",  # JSON
}

EVALUATION_COLUMNS: dict[str, str] = {
    "task": "str",
    "configuration": "str",
    "anchor": "float32",  # fraction of the training rows; 1 is all of them
    "progress": "float32",  # fraction of the iterations that were kept; 1 is the finished fit
    "n_iterations": "int32",  # iterations behind the losses; 0 for learners without
    "fold": "int16",
    "seed": "int32",
    **dict.fromkeys(LOSS_COLUMNS, "float32"),  # NaN where the problem has no such loss, or without a result
    "fit_s": "float32",  # wall-clock; NaN for points of a curve that come from the same fit
    "predict_s": "float32",
    "fit_cpu_s": "float32",
    "predict_cpu_s": "float32",
    "memory_mb": "float32",  # peak resident memory of the evaluation, MiB
    "machine_speed": "float32",  # see `machine_speed`; NaN where it was not measured
    "status": "str",
    "error": "str",  # reason for a missing result, or that the fit was cut short
}
EVALUATION_KEY = ("task", "configuration", "anchor", "progress", "n_iterations", "fold", "seed")

OPTIONAL_EVALUATION_COLUMNS: dict[str, str] = {f"loss_{OBJECTIVE}": "float64"}
"""Columns that only evaluations of studies have; float64, as an objective can be of any size."""
