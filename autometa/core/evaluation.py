"""The result of one evaluation: a configuration fitted at an anchor on a fold."""

# Tests: tests/search/test_trial_records.py

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from autometa.core.budget import Anchor
from autometa.core.space import Configuration

Status = Literal["ok", "running", "timeout", "memory", "failed"]


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
    status : {"ok", "running", "timeout", "memory", "failed"}
        How the evaluation ended; ``"running"`` while it has not.
    error : str
        Why it failed: the exception's type or a message of autometa, never the text of another
        library; empty when it succeeded.
    fit_cpu_s, predict_cpu_s : float
        Seconds of CPU time of the fit and of the prediction; other work on the machine does not
        lengthen them. NaN where not measured.
    memory_mb : float
        Peak resident memory above that of the process before the fit, in MiB; NaN where not measured.
    error_text : str
        The exception's text, which may quote the data: shown to the caller of the fit, never stored.
    is_cut_short : bool
        Whether the deadline ended the fit early. Such a loss says nothing about the configuration.
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

    @classmethod
    def running(cls, configuration: Configuration) -> Evaluation:
        """Return the evaluation of a configuration that is being tried."""
        return cls(configuration, 1.0, 0, math.nan, 0.0, 0.0, "running")
