"""The next configuration of a study: what experts expect most of, among many candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from autometa.transfer.sampling.experts import Expert, Posterior, expected_improvement, posterior, weights_of
from autometa.transfer.space.encoding import Encoding

_N_RANDOM = 300
_N_NEAR = 240
_N_TOPS = 150
_N_ROUNDS = 4
_N_KEPT, _N_MOVES = 6, 16
_WIDTHS = (0.3, 0.1, 0.03)
_N_DRAWS = 20


@dataclass(frozen=True)
class Seen:
    """What a study has tried.

    Parameters
    ----------
    points : ndarray of shape (n, n_parameters)
        Points of the finished trials that are looked at.
    scores : ndarray of shape (n,)
        Their normal scores, lower is better.
    running : ndarray of shape (n_running, n_parameters)
        Points that are being tried.
    earlier : ndarray of shape (n_earlier, n_parameters) or None
        Points of all finished trials as they are, NaN for parameters that a trial did not get as
        far as; None takes `points`.
    """

    points: np.ndarray
    scores: np.ndarray
    running: np.ndarray
    earlier: np.ndarray | None = None

    def has(self, point: np.ndarray) -> bool:
        """Whether a point was tried, or differs only in parameters that a trial did not get as far as."""
        tried = np.concatenate([self.points if self.earlier is None else self.earlier, self.running])
        return bool((np.isnan(tried) | np.isclose(tried, point, equal_nan=True)).all(axis=1).any())


def proposed(
    encoding: Encoding,
    beliefs: list[Posterior],
    seen: Seen,
    tops: np.ndarray,
    rng: np.random.Generator,
    fixed: Mapping[int, float] | None = None,
) -> np.ndarray:
    """Return the point to try next, on the grid, shape (n_parameters,).

    The one with the highest expected improvement, weighted over the experts; before anything is
    seen, the one with the lowest expected score. Trials that are running count as if they had
    given what is expected of them, so that several workers do not try the same.

    Parameters
    ----------
    encoding : Encoding
        The space.
    beliefs : list of Posterior
        At least one expert after what was seen.
    seen : Seen
        What was tried.
    tops : ndarray of shape (n_tops, n_parameters)
        Points that were good elsewhere; may be empty.
    rng : Generator
        Draws candidates.
    fixed : mapping of int to float or None
        Points of the columns that are decided already.
    """
    weights = weights_of(beliefs)
    if len(seen.running):
        inputs, running = encoding.inputs(seen.points), encoding.inputs(seen.running)
        both = np.concatenate([inputs, running])
        beliefs = [posterior(p.expert, both, np.concatenate([seen.scores, p.predict(running)[0]])) for p in beliefs]
    heard = [(weight, p) for weight, p in zip(weights, beliefs, strict=True) if weight > 1e-3]
    population = next((p.expert.population for _, p in heard if p.expert.population is not None), None)

    def gain(points: np.ndarray) -> np.ndarray:
        rows = encoding.inputs(points)
        # All experts that know the past share its features.
        features = None if population is None else population.features(rows)
        return sum(weight * _gain(p, *p.predict(rows, features)) for weight, p in heard)

    placed = partial(_placed, encoding, fixed or {})
    best = seen.points[np.argsort(seen.scores, kind="stable")[:5]]
    near = [_moved(rows, _N_NEAR // 2, encoding, rng) for rows in (best, tops) if len(rows)]
    chosen = tops[rng.permutation(len(tops))[:_N_TOPS]]
    points = placed(np.concatenate([encoding.uniform(rng.random((_N_RANDOM, len(encoding.names)))), chosen, *near]))
    gains = gain(points)
    for _ in range(_N_ROUNDS):
        order = np.argsort(-gains, kind="stable")[:_N_KEPT]
        moved = placed(_moved(points[order], _N_KEPT * _N_MOVES, encoding, rng))
        points, gains = np.concatenate([points, moved]), np.concatenate([gains, gain(moved)])
    # What was tried already would tell nothing new.
    best_first = points[np.argsort(-gains, kind="stable")]
    for point in {candidate.tobytes(): candidate for candidate in best_first}.values():
        if not seen.has(point):
            return point
    # All of a small space was tried: again one of those that were not the worst.
    again = seen.points[seen.scores < seen.scores.max(initial=-np.inf)]
    again = again if len(again) else points
    return placed(again[[rng.integers(len(again))]])[0]


def drawn_point(
    encoding: Encoding, seen: Seen, rng: np.random.Generator, fixed: Mapping[int, float] | None = None
) -> np.ndarray:
    """Return a random point on the grid that was not tried if one is found, shape (n_parameters,)."""
    for _ in range(_N_DRAWS):
        (point,) = _placed(encoding, fixed or {}, encoding.uniform(rng.random((1, len(encoding.names)))))
        if not seen.has(point):
            break
    return point


def _placed(encoding: Encoding, fixed: Mapping[int, float], points: np.ndarray) -> np.ndarray:
    """Return points on the grid, with columns whose values are decided."""
    for column, value in fixed.items():
        points[:, column] = value
    return encoding.on_grid(points)


def beliefs_of(encoding: Encoding, experts: list[Expert], seen: Seen) -> list[Posterior]:
    """Return the experts after what was seen."""
    inputs = encoding.inputs(seen.points)
    return [posterior(expert, inputs, seen.scores) for expert in experts]


def is_probe(n_tried: int) -> bool:
    """Whether the next trial is drawn at random: the 3rd, 6th, 10th, 15th, 21st, … one.

    A study that has only seen what the past recommends cannot tell whether all of it is good or
    all of it is bad, because only differences count. A few random trials tell.
    """
    gap, place = 3, 2
    while place < n_tried:
        place += gap
        gap += 1
    return place == n_tried


def _gain(belief: Posterior, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return the augmented expected improvement (Huang et al., 2006); before anything is seen, minus the mean.

    What is not known of a place beyond the noise of scores counts: otherwise a search with noisy
    scores tries one good place over and over.
    """
    if not len(belief.inputs):
        return -mean
    noise = belief.scale * math.sqrt(belief.expert.kernel.noise)
    return expected_improvement(mean, deviation, belief.best) * (1.0 - noise / np.hypot(deviation, noise))


def _moved(rows: np.ndarray, n: int, encoding: Encoding, rng: np.random.Generator) -> np.ndarray:
    """Return n copies of rows, each changed in a few of its parameters by a little or a lot."""
    found = rows[np.arange(n) % len(rows)].copy()
    n_parameters = found.shape[1]
    changes = rng.random(found.shape) < min(1.0, 2.0 / max(n_parameters, 1))
    changes[np.arange(n), rng.integers(n_parameters, size=n)] = True
    width = np.asarray(_WIDTHS)[rng.integers(len(_WIDTHS), size=n)][:, None]
    step = rng.normal(size=found.shape) * width
    anew = encoding.drawn(rng.random(found.shape))
    is_number = (encoding.n_choices == 0)[None, :]
    value = np.where(is_number & ~np.isnan(found), found + step, anew)
    return np.where(changes, value, found)
