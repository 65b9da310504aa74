r"""Predict which strategy is the best on a task: a softmax over scores of the strategies.

============ ==============================================================================
score        :math:`a_k + b_k^\top x` of strategy k, with the standardised meta-features x
chance       softmax of the scores of the strategies that may be tried
evidence     chance in the scenarios of a policy, after the observed losses and before them;
             the logarithm of their ratio is added to the scores
============ ==============================================================================

The scores are a multinomial logistic regression (`autometa train` fits it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

PROBLEMS = ("binary", "multiclass", "regression")
MOST_DEVIATION = 3.0
"""Standardised meta-features beyond this many standard deviations count as this many."""

_SMOOTHING = 0.03
"""Added to both chances before their ratio is taken, as scenarios are few."""


@dataclass(frozen=True, eq=False)
class BestStrategyModel:
    """Scores of strategies as linear functions of the meta-features.

    Parameters
    ----------
    strategies : tuple of str
        Names of the strategies.
    feature_names : tuple of str
        Names of the meta-features.
    centre, scale : ndarray of shape (n_features,)
        Mean and standard deviation of the meta-features over past tasks.
    coefficients : ndarray of shape (n_strategies, 1 + n_features + 3)
        Intercepts, coefficients of the meta-features, and of the three kinds of problems.
    """

    strategies: tuple[str, ...]
    feature_names: tuple[str, ...]
    centre: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(self.strategies), 1 + len(self.feature_names) + len(PROBLEMS))
        if np.shape(self.coefficients) != shape:
            raise ValueError(f"coefficients must be of shape {shape}, got {np.shape(self.coefficients)}.")

    def scores(self, problem: str, features: Mapping[str, float]) -> dict[str, float]:
        """Return the score of each strategy; a meta-feature that is not known counts as the mean."""
        row = np.array([[features.get(name, np.nan) for name in self.feature_names]], dtype=np.float64)
        scores = inputs(row, [problem], self.centre, self.scale)[0] @ self.coefficients.T
        return dict(zip(self.strategies, scores.tolist(), strict=True))


def inputs(features: np.ndarray, problems: Sequence[str], centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the rows that coefficients are multiplied with, of shape (n_tasks, 1 + n_features + 3)."""
    deviations = np.nan_to_num(np.clip((features - centre) / scale, -MOST_DEVIATION, MOST_DEVIATION))
    kinds = np.array([[problem == kind for kind in PROBLEMS] for problem in problems], dtype=np.float64)
    return np.hstack([np.ones((len(features), 1)), deviations, kinds.reshape(len(features), len(PROBLEMS))])


def chances(scores: Mapping[str, float], evidence: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Return the chance of each strategy to be the best.

    Parameters
    ----------
    scores : mapping of str to float
        Scores of the strategies; one without gets the mean.
    evidence : mapping of str to (float, float)
        The strategies that may be tried, each with its chance in the scenarios before and after the observed losses.
    """
    usual = float(np.mean([scores[name] for name in evidence if name in scores] or [0.0]))
    values = [
        scores.get(name, usual) + np.log((after + _SMOOTHING) / (before + _SMOOTHING))
        for name, (before, after) in evidence.items()
    ]
    return dict(zip(evidence, map(float, softmax(np.array(values))), strict=True))
