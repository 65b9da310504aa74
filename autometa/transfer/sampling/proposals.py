"""Chooses the next configuration of a study: the candidate from which the experts expect the largest improvement."""
# Tests: tests/transfer/sampling/test_population.py

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autometa.transfer.sampling.experts import Expert, Posterior, expected_improvement, posterior, weights_of
from autometa.transfer.space.encoding import Encoding

# Candidates: random points, points near the best of the study and near `tops`, and `tops` themselves.
_N_RANDOM = 300
_N_NEAR = 240
_N_TOPS = 150
# Rounds of local search, each with this many mutations of each of the best candidates.
_N_ROUNDS = 4
_N_KEPT, _N_MUTATIONS = 6, 16
_WIDTHS = (0.3, 0.1, 0.03)  # standard deviations of a mutated number, as fractions of its range
_N_DRAWS = 20


@dataclass(frozen=True)
class TriedPoints:
    """The trials of a study as points.

    Parameters
    ----------
    points : ndarray of shape (n, n_parameters)
        Points of the finished trials that experts see.
    scores : ndarray of shape (n,)
        Their scores, lower is better.
    running : ndarray of shape (n_running, n_parameters)
        Points of the running trials.
    earlier : ndarray of shape (n_earlier, n_parameters) or None
        Points of all finished trials, NaN for parameters that a trial did not ask for; None takes `points`.
    """

    points: np.ndarray
    scores: np.ndarray
    running: np.ndarray
    earlier: np.ndarray | None = None

    def has(self, point: np.ndarray) -> bool:
        """Whether a point was tried, or differs only in parameters that a trial did not ask for."""
        tried = np.concatenate([self.points if self.earlier is None else self.earlier, self.running])
        return bool((np.isnan(tried) | np.isclose(tried, point, equal_nan=True)).all(axis=1).any())


@dataclass(frozen=True)
class Suggestion:
    """A point to try next.

    Parameters
    ----------
    point : ndarray of shape (n_parameters,)
        The point, on the grid.
    origin : str
        Where it came from, for the user to read.
    """

    point: np.ndarray
    origin: str


def proposed(
    encoding: Encoding,
    posteriors: list[Posterior],
    tried: TriedPoints,
    tops: np.ndarray,
    rng: np.random.Generator,
    fixed: Mapping[int, float] | None = None,
) -> Suggestion:
    """Return the point to try next.

    It has the highest expected improvement, averaged over the experts; before any trial, the lowest expected score.
    Running trials count as if they had given their expected scores, so that several workers do not try the same.

    `tops` of shape (n_tops, n_parameters) are points that were good in past studies. `fixed` holds the positions of the
    columns that are decided already.
    """
    gains_of = _gains_function(encoding, posteriors, tried)

    def acquisition(points: np.ndarray) -> np.ndarray:
        return gains_of(points).sum(axis=0)

    best = tried.points[np.argsort(tried.scores, kind="stable")[:5]]
    near = [_mutated(rows, _N_NEAR // 2, encoding, rng) for rows in (best, tops) if len(rows)]
    chosen = tops[rng.permutation(len(tops))[:_N_TOPS]]
    drawn = encoding.uniform(rng.random((_N_RANDOM, len(encoding.names))))
    points = _with_fixed(encoding, fixed, np.concatenate([drawn, chosen, *near]))
    gains = acquisition(points)
    for _ in range(_N_ROUNDS):
        order = np.argsort(-gains, kind="stable")[:_N_KEPT]
        mutated = _with_fixed(encoding, fixed, _mutated(points[order], _N_KEPT * _N_MUTATIONS, encoding, rng))
        points, gains = np.concatenate([points, mutated]), np.concatenate([gains, acquisition(mutated)])
    best_first = points[np.argsort(-gains, kind="stable")]
    for point in {candidate.tobytes(): candidate for candidate in best_first}.values():
        if not tried.has(point):
            origin = posteriors[int(gains_of(point[None])[:, 0].argmax())].expert.origin
            return Suggestion(point, origin)
    # All of a small space was tried: repeat a point that was not the worst.
    again = tried.points[tried.scores < tried.scores.max(initial=-np.inf)]
    again = again if len(again) else points
    return Suggestion(_with_fixed(encoding, fixed, again[[rng.integers(len(again))]])[0], "an earlier trial, again")


def _gains_function(
    encoding: Encoding, posteriors: list[Posterior], tried: TriedPoints
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from points to the weighted acquisition of each expert, shape (n_experts, n)."""
    weights = weights_of(posteriors)
    if len(tried.running):
        running = encoding.inputs(tried.running)
        posteriors = [
            posterior(
                p.expert,
                np.concatenate([p.inputs, running]),
                np.concatenate([p.scores, p.predict(running)[0]]),
            )
            for p in posteriors
        ]
    is_relevant = weights > 1e-3
    population = next(
        (p.expert.population for p, used in zip(posteriors, is_relevant, strict=True) if used and p.expert.population),
        None,
    )

    def gains(points: np.ndarray) -> np.ndarray:
        rows = encoding.inputs(points)
        # All experts with a population share its features.
        features = None if population is None else population.features(rows)
        found = np.zeros((len(posteriors), len(points)))
        for index in np.flatnonzero(is_relevant):
            belief = posteriors[index]
            found[index] = weights[index] * _acquisition(belief, *belief.predict(rows, features))
        return found

    return gains


def best_of_past(
    encoding: Encoding,
    posteriors: list[Posterior],
    tried: TriedPoints,
    tops: np.ndarray,
    studies: Sequence[str],
    fixed: Mapping[int, float] | None = None,
) -> Suggestion | None:
    """Return the untried one of `tops`, the best of `studies`, that `proposed` would choose; None if there is none.

    What was good in some past study is a safer start than what the model of all studies makes of it.
    """
    points = _with_fixed(encoding, fixed, tops.copy())
    gains = _gains_function(encoding, posteriors, tried)(points).sum(axis=0)
    for row in np.argsort(-gains, kind="stable"):
        if not tried.has(points[row]):
            return Suggestion(points[row], f"past study, one of its best: {studies[row]}")
    return None


def drawn_point(
    encoding: Encoding, tried: TriedPoints, rng: np.random.Generator, fixed: Mapping[int, float] | None = None
) -> Suggestion:
    """Return a random point, an untried one if a few draws find any."""
    for _ in range(_N_DRAWS):
        (point,) = _with_fixed(encoding, fixed, encoding.uniform(rng.random((1, len(encoding.names)))))
        if not tried.has(point):
            break
    return Suggestion(point, "a random draw")


def _with_fixed(encoding: Encoding, fixed: Mapping[int, float] | None, points: np.ndarray) -> np.ndarray:
    """Return points on the grid, with the columns that are decided set; `points` is changed."""
    for column, position in (fixed or {}).items():
        points[:, column] = position
    return encoding.on_grid(points)


def posteriors_of(encoding: Encoding, experts: list[Expert], tried: TriedPoints) -> list[Posterior]:
    """Return the experts after the finished trials."""
    inputs = encoding.inputs(tried.points)
    return [posterior(expert, inputs, tried.scores) for expert in experts]


def is_probe(n_tried: int) -> bool:
    """Whether the next trial is drawn at random: the 3rd, 6th, 10th, 15th, 21st, …

    Only differences of scores count, so a study that has tried nothing but recommended configurations cannot tell
    whether all of them are good or all are bad. A few random trials can.
    """
    gap, number = 3, 2
    while number < n_tried:
        number += gap
        gap += 1
    return number == n_tried


def _acquisition(belief: Posterior, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return the augmented expected improvement (Huang et al., 2006); before any trial, minus the mean.

    It discounts points whose uncertainty is mostly the noise of scores. Otherwise a noisy search would try one good
    point over and over.
    """
    if not len(belief.inputs):
        return -mean
    noise = belief.scale * math.sqrt(belief.expert.kernel.noise)
    return expected_improvement(mean, deviation, belief.best) * (1.0 - noise / np.hypot(deviation, noise))


def _mutated(rows: np.ndarray, n: int, encoding: Encoding, rng: np.random.Generator) -> np.ndarray:
    """Return n copies of rows, each changed in a few of its parameters by a little or a lot."""
    found = rows[np.arange(n) % len(rows)].copy()
    n_parameters = found.shape[1]
    changes = rng.random(found.shape) < min(1.0, 2.0 / max(n_parameters, 1))
    changes[np.arange(n), rng.integers(n_parameters, size=n)] = True
    width = np.asarray(_WIDTHS)[rng.integers(len(_WIDTHS), size=n)][:, None]
    step = rng.normal(size=found.shape) * width
    redrawn = encoding.drawn(rng.random(found.shape))
    is_number = (encoding.n_choices == 0)[None, :]
    value = np.where(is_number & ~np.isnan(found), found + step, redrawn)
    return np.where(changes, value, found)
