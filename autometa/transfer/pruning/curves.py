"""Learning curves on relative steps, and what a part of a curve says about its end.

====================  ==============================================================================
symbol                meaning
====================  ==============================================================================
``GRID``              relative steps (0, 1) at which curves are looked at, of shape (K,)
``values``            curves on the grid, lower is better, of shape (n, K): what was reported first from
                      each relative step on, before the next one; where nothing was, what was reported
                      last; NaN before the first report, infinite where diverged
``centre, scale``     of a study: the incumbent's final value; how far it lies below where curves begin
====================  ==============================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

GRID = 2.0 ** (np.arange(-16, 0) / 2)
"""Factors of √2: where curves bend, early on, they are looked at more often."""

_EXPONENTS = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class StepScale:
    """Where curves of a study begin and end.

    Parameters
    ----------
    origin : float
        The step before the first report.
    end : float
        The step of the last report.
    """

    origin: float
    end: float

    def relative(self, step: float) -> float:
        """Return a step as a fraction of a whole curve, 1 at its end."""
        return (step - self.origin) / (self.end - self.origin)


def step_scale(curves: Sequence[Mapping[int, float]]) -> StepScale | None:
    """Return where complete curves begin and end (medians over curves), or None where none has two steps."""
    steps = [sorted(curve) for curve in curves if len(curve) >= 2]
    if not steps:
        return None
    # Curves that begin at 0 and those that begin at 10, 20, … both have one report's work behind them.
    origin = float(np.median([found[0] - (found[1] - found[0]) for found in steps]))
    end = float(np.median([found[-1] for found in steps]))
    return StepScale(origin, end) if end > origin else None


def on_grid(curve: Mapping[int, float], scale: StepScale, sign: float = 1.0) -> np.ndarray:
    """Return the values at each relative step, of shape (K,), lower is better.

    Parameters
    ----------
    curve : mapping of int to float
        Reported values by step, in any order.
    scale : StepScale
        Of the study.
    sign : float
        −1 for a study that is maximised.

    Notes
    -----
    The first report from a relative step on is the one at which a running trial is looked at there: so curves
    that have ended hold what was known then, and no more. A NaN or an infinity is a divergence as long as no
    number follows it. A curve that stops before a relative step keeps its last value there: `reach` tells how
    far it goes.
    """
    values = np.full(len(GRID), np.nan)
    before = -1
    for step in sorted(curve):
        place = reach(step, scale)
        value = sign * float(curve[step])
        # A later report at a place counts from the next place on.
        values[place if place > before else place + 1 :] = value if math.isfinite(value) else np.inf
        before = place
    return values


def reach(step: float, scale: StepScale) -> int:
    """Return the place on the grid that a step has reached, −1 before the first."""
    return int(np.searchsorted(GRID, scale.relative(step) + 1e-9)) - 1


class CurveModel(Protocol):
    """Foretells the end of curves."""

    def predict(self, values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return final values foretold at each place of the grid from what came up to it, of shape (n, K).

        `centre` and `scale` of the studies are of shape (n, 1).
        """
        ...


class LastValue:
    """A curve ends where it is now; how far it may still move is learnt by `autometa.transfer.pruning.calibration`."""

    def predict(self, values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return the values."""
        return values


class PowerLaw:
    """A curve goes on as a + b·t^(−c), fitted by least squares to its last half of reports on the grid.

    c is the best of a few exponents and b ≥ 0 (Domhan et al. 2015, of whose families this is the one that
    can be had in closed form). With fewer than three values, and after a divergence, the last value stays.
    """

    def predict(self, values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return final values foretold at each place of the grid, of shape (n, K)."""
        values = np.asarray(values, dtype=float)
        found = values.copy()
        for place in range(2, values.shape[1]):
            part = values[:, : place + 1]
            known = np.isfinite(part)
            usable = (known.sum(axis=1) >= 3) & known[:, -1]
            if usable.any():
                found[usable, place] = _extrapolated(part[usable], known[usable])
        return found


def _extrapolated(part: np.ndarray, known: np.ndarray) -> np.ndarray:
    # Squares of the largest floats are infinite; a power of two changes no digit.
    y = np.where(known, part, 0.0)
    exponent_of_row = np.frexp(np.abs(y).max(axis=1))[1]
    return np.ldexp(_extrapolated_units(np.ldexp(y, -exponent_of_row[:, None]), known), exponent_of_row)


def _extrapolated_units(y: np.ndarray, known: np.ndarray) -> np.ndarray:
    n = known.sum(axis=1)
    last, best = y[:, -1], np.where(known, y, np.inf).min(axis=1)
    end, error = last.copy(), np.full(len(y), np.inf)
    mean_y = y.sum(axis=1) / n
    centred = np.where(known, y - mean_y[:, None], 0.0)
    for exponent in _EXPONENTS:
        basis = GRID[: y.shape[1]] ** -exponent
        x = np.where(known, basis - (known * basis).sum(axis=1, keepdims=True) / n[:, None], 0.0)
        slope = np.maximum(0.0, (x * centred).sum(axis=1) / (x * x).sum(axis=1))
        miss = ((centred - slope[:, None] * x) ** 2).sum(axis=1)
        better = miss < error
        error = np.where(better, miss, error)
        # From the last value rather than from the mean: the fit says how much further it goes.
        end = np.where(better, last - slope * (basis[-1] - 1.0), end)
    # A curve that falls steeply at first does not fall for ever.
    return np.maximum(end, best - np.abs(y.max(axis=1) - best))
