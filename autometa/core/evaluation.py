"""What was measured: one row per configuration, anchor and fold."""

# Tests: tests/search/test_trial_records.py

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autometa.core.budget import Anchor
from autometa.core.space import Configuration

Status = Literal["ok", "timeout", "memory", "failed"]


@dataclass(frozen=True)
class Evaluation:
    """One measured result.

    Parameters
    ----------
    configuration : Configuration
        What was fitted.
    anchor : float
        Fraction of the fold's training rows that were used, in (0, 1].
    fold : int
        Number of the fold, from 0.
    loss : float
        Validation loss, lower is better; NaN unless `status` is ``"ok"``.
    fit_s, predict_s : float
        Wall-clock seconds of the fit and of predicting the validation rows.
    status : {"ok", "timeout", "memory", "failed"}
        How the evaluation ended.
    error : str
        Why it did not end well: the exception's type or autometa's own words, never what
        another library says; empty when it ended well.
    fit_cpu_s, predict_cpu_s : float
        The same in seconds of CPU time, which other work on the machine does not lengthen;
        NaN where it was not measured.
    memory_mb : float
        Peak resident memory on top of what the process held before, in MiB; NaN where it
        was not measured.
    error_text : str
        The exception's own text, which may quote the data: for the caller of the fit, and
        never stored.
    is_cut_short : bool
        Whether the deadline ended the fit before the learner was done: the loss is that of a model, and no
        evidence of what the configuration is worth.
    """

    configuration: Configuration
    anchor: Anchor
    fold: int
    loss: float
    fit_s: float
    predict_s: float
    status: Status = "ok"
    error: str = ""
    fit_cpu_s: float = float("nan")
    predict_cpu_s: float = float("nan")
    memory_mb: float = float("nan")
    error_text: str = ""
    is_cut_short: bool = False

    @property
    def time_s(self) -> float:
        """Seconds of fit and prediction together."""
        return self.fit_s + self.predict_s
