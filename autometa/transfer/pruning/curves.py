"""Puts learning curves on a grid of relative steps, and predicts their final values.

====================  ==============================================================================
symbol                meaning
====================  ==============================================================================
``GRID``              relative steps in (0, 1), of shape (K,)
``values``            curves on the grid, lower is better, of shape (n, K): the first report between a
                      relative step and the next; without one, the report before; NaN before the
                      first report, infinite where diverged
``centre, scale``     the incumbent's final value; its distance from the median first value of the study
====================  ==============================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

GRID = 2.0 ** (np.arange(-16, 0) / 2)
"""Steps that grow by a factor of √2, so that they are denser early on, where curves bend."""

_EXPONENTS = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class StepScale:
    """The steps at which curves of a study begin and end.

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
        """Return a step as a fraction of a whole curve."""
        return (step - self.origin) / (self.end - self.origin)


def step_scale(curves: Sequence[Mapping[int, float]]) -> StepScale | None:
    """Return the median first and last steps of complete curves, None if no curve has two steps."""
    steps = [sorted(curve) for curve in curves if len(curve) >= 2]
    if not steps:
        return None
    # The first report of a curve comes after one interval of work, whether steps begin at 0 or at 10.
    origin = float(np.median([found[0] - (found[1] - found[0]) for found in steps]))
    end = float(np.median([found[-1] for found in steps]))
    return StepScale(origin, end) if end > origin else None


def on_grid(curve: Mapping[int, float], scale: StepScale, sign: float = 1.0) -> np.ndarray:
    """Return the values at each relative step, of shape (K,), lower is better; `sign` is −1 to maximise.

    A running trial is judged at its first report from a relative step on, so finished curves hold that report too. NaN
    and infinity count as divergence until a number follows. A curve that stops early keeps its last value; `reach`
    tells how far it goes.
    """
    values = np.full(len(GRID), np.nan)
    before = -1
    for step in sorted(curve):
        index = reach(step, scale)
        value = sign * float(curve[step])
        # A second report at an index counts from the next index on.
        values[index if index > before else index + 1 :] = value if math.isfinite(value) else np.inf
        before = index
    return values


def reach(step: float, scale: StepScale) -> int:
    """Return the index of the grid that a step has reached, −1 before the first."""
    return int(np.searchsorted(GRID, scale.relative(step) + 1e-9)) - 1


class CurveModel(Protocol):
    """Predicts the final values of curves."""

    def predict(self, values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return final values predicted at each index of the grid from the values up to it, of shape (n, K).

        `centre` and `scale` are those of the studies, of shape (n, 1).
        """
        ...


class LastValue:
    """Predicts the latest value; `autometa.transfer.pruning.calibration` learns how far a curve still moves."""

    def predict(self, values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return the values."""
        return values


class PowerLaw:
    """Extrapolates a curve as a + b·t^(−c), fitted by least squares to its values on the grid.

    c is the best of a few exponents and b ≥ 0: the one family of Domhan et al. (2015) with a closed form. With fewer
    than three values, and after a divergence, the last value is predicted.
    """

    def predict(self, values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return final values predicted at each index of the grid, of shape (n, K)."""
        values = np.asarray(values, dtype=float)
        found = values.copy()
        for index in range(2, values.shape[1]):
            part = values[:, : index + 1]
            known = np.isfinite(part)
            usable = (known.sum(axis=1) >= 3) & known[:, -1]
            if usable.any():
                found[usable, index] = _extrapolated(part[usable], known[usable])
        return found


def _extrapolated(part: np.ndarray, known: np.ndarray) -> np.ndarray:
    # Squares of the largest floats overflow; scaling by a power of two is exact.
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
        squares = ((centred - slope[:, None] * x) ** 2).sum(axis=1)
        better = squares < error
        error = np.where(better, squares, error)
        # The fit gives the remaining move, which is added to the last value.
        end = np.where(better, last - slope * (basis[-1] - 1.0), end)
    # A curve that falls steeply at first cannot fall below its best value by more than it has fallen.
    return np.maximum(end, best - np.abs(y.max(axis=1) - best))
