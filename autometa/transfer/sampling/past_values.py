"""Recognises by their values that past studies are of the very same function as the new one.

Other modules compare ranks, because past studies had other metrics. But a study is often of the same data as an earlier
one. Then its values are those that a Gaussian process on the values of that study predicts:

    z_s = (min(y, cut_s) − centre_s) / scale_s ~ GP,    log p_s = Σ_i log N(z_s(x_i); m_s(x_i), v_s(x_i)) − log scale_s

It competes with a normal distribution over all values that past studies have had. Similar functions have similar
values, so this is a suspicion only. The suspect's best trial is then repeated: the same value to float precision is the
proof, and another value clears the study. So an objective with noise is never recognised.

=======================  ============================================================================================
symbol                   meaning
=======================  ============================================================================================
m_s, v_s                 prediction of study s at a trial of the new study: mean and variance with noise
y                        losses of trials: values in the direction of minimising, in their own unit
centre, scale, cut       median of a past study's losses, their deviation, and the loss above which all count alike
X, z                     inputs and scaled losses of past studies, of shapes (n_studies, n_rows, n_columns), (…, n_rows)
=======================  ============================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autometa.transfer.sampling.kernel import OFFSET_VARIANCE, Kernel, whitening_of
from autometa.transfer.space.alignment import AlignedStudy
from autometa.transfer.space.encoding import Encoding

_N_ROWS = 40  # trials of a past study: the better half of them, and others at even ranks
_N_COMPARED = 12  # trials of the new study; more would decide what is decided
_FEWEST_TRIALS = 5
_FEWEST_DISTINCT = (
    0.9  # fraction of the losses in the better half of a study that are distinct; or equal ones are chance
)
_MOST_CLEARED = 2  # trials that were repeated in vain, after which none is suspected any more
_NEAR_BEST = 2.0  # log-likelihood by which studies may be behind the best one and still be of the same function
_LARGEST = 1e100  # squares of larger losses overflow
_LOG_BEYOND = 3.0  # log Bayes factor against a study of a loss above all of its own
_PADDING_VARIANCE = 1e8
_WIDER = 3.0  # deviation of other values, in deviations within a past study


@dataclass(frozen=True)
class SameFunction:
    """Past studies that are or may be of the very same function, with their trials, best first.

    Parameters
    ----------
    points : ndarray of shape (n, n_parameters)
        Points of the past trials.
    losses : ndarray of shape (n,)
        Their losses, as in the new study.
    studies : tuple of str
        The past study of each trial.
    cut, centre, scale : float
        See the module; those of the most probable study.
    is_proven : bool
        Whether a repeated trial had its value again.
    """

    points: np.ndarray
    losses: np.ndarray
    studies: tuple[str, ...]
    cut: float
    centre: float
    scale: float
    is_proven: bool

    def scaled(self, losses: np.ndarray) -> np.ndarray:
        """Return losses on the scale of the most probable study."""
        return (np.minimum(losses, self.cut) - self.centre) / self.scale


class PastValues:
    """The values of past studies that have all parameters of a space.

    Parameters
    ----------
    studies : sequence of AlignedStudy
        Past studies in the space.
    encoding : Encoding
        The space.
    kernel : Kernel
        Kernel of the past studies' scores.
    """

    def __init__(self, studies: Sequence[AlignedStudy], encoding: Encoding, kernel: Kernel) -> None:
        self._encoding, self._kernel = encoding, kernel
        self._studies = [
            s
            for s in studies
            if s.known.all()
            and _tell_trials_apart(s.losses[np.isfinite(s.losses)])
            and np.abs(s.losses[np.isfinite(s.losses)]).max() < _LARGEST
            and not np.isneginf(s.losses).any()
        ]
        finite = [s.losses[np.isfinite(s.losses)] for s in self._studies]
        self._centre = np.array([np.median(losses) for losses in finite])
        self._cut = np.array([m + 2.0 * (m - losses.min()) for m, losses in zip(self._centre, finite, strict=True)])
        self._highest = np.array([losses.max() for losses in finite])
        self._scale = np.array(
            [max(np.minimum(y, cut).std(), 1e-12 * (abs(cut) + 1.0)) for y, cut in zip(finite, self._cut, strict=True)]
        )
        self._trials = self._trials_by_point()
        if self._studies:
            self._fit()

    def same_function(self, points: np.ndarray, losses: np.ndarray) -> SameFunction | None:
        """Return the past studies that are or may be of the same function as trials with these points and losses.

        Points are those of `Encoding.points`, with NaN for parameters that a trial did not have. None if there is no
        such study.
        """
        rows = np.flatnonzero(np.isfinite(losses))
        if not len(rows) or not self._studies or losses.min() < -_LARGEST:
            return None
        n_repeated, n_equal = self._repeated(points[rows], losses[rows])
        if n_equal.any():
            return self._together(np.flatnonzero(n_equal), int(n_equal.argmax()), is_proven=True)
        rows = rows[:_N_COMPARED]
        if n_repeated.sum() >= _MOST_CLEARED or losses[rows].max() > _LARGEST:
            return None
        likelihoods, other = self._log_likelihoods(points[rows], losses[rows])
        logs = np.where(n_repeated > 0, -np.inf, likelihoods) - math.log(len(self._studies)) - other
        # The odds that some study is the same one.
        if np.logaddexp.reduce(logs) < 0.0:
            return None
        chosen = np.flatnonzero((logs >= logs.max() - _NEAR_BEST) & (likelihoods > other))
        return self._together(np.union1d(chosen, [int(logs.argmax())]), int(logs.argmax()), is_proven=False)

    def _repeated(self, points: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how many trials repeat one of each past study, and how many of them have its loss again."""
        n_repeated, n_equal = np.zeros((2, len(self._studies)), dtype=int)
        for key, loss in zip(_keys(points), losses, strict=True):
            for study, before in self._trials.get(key, ()):
                n_repeated[study] += 1
                n_equal[study] += math.isclose(before, loss, rel_tol=1e-6)
        return n_repeated, n_equal

    def _together(self, chosen: np.ndarray, best: int, is_proven: bool) -> SameFunction:
        studies = [self._studies[index] for index in chosen]
        losses = np.concatenate([study.losses for study in studies])
        names = np.repeat(np.arange(len(studies)), [len(study.losses) for study in studies])
        order = np.argsort(losses, kind="stable")
        order = order[np.isfinite(losses[order])]
        return SameFunction(
            np.concatenate([study.points for study in studies])[order],
            losses[order],
            tuple(studies[index].name for index in names[order]),
            float(self._cut[best]),
            float(self._centre[best]),
            float(self._scale[best]),
            is_proven,
        )

    def _trials_by_point(self) -> dict[bytes, list[tuple[int, float]]]:
        found: dict[bytes, list[tuple[int, float]]] = {}
        for index, study in enumerate(self._studies):
            for key, loss in zip(_keys(study.points), study.losses.tolist(), strict=True):
                if math.isfinite(loss):
                    found.setdefault(key, []).append((index, loss))
        return found

    def _fit(self) -> None:
        n_columns = len(self._encoding.groups)
        self._X = np.zeros((len(self._studies), _N_ROWS, n_columns))
        z = np.zeros((len(self._studies), _N_ROWS))
        covariance = np.zeros((len(self._studies), _N_ROWS, _N_ROWS))
        diagonal = np.arange(_N_ROWS)
        covariance[:, diagonal, diagonal] = _PADDING_VARIANCE
        for index, study in enumerate(self._studies):
            order = np.argsort(study.losses, kind="stable")
            order = order[np.isfinite(study.losses[order])]
            if len(order) > _N_ROWS:
                half = _N_ROWS // 2
                order = np.concatenate([order[:half], order[half:][:: -(-(len(order) - half) // half)]])
            n = len(order)
            self._X[index, :n] = rows = self._encoding.inputs(study.points[order])
            z[index, :n] = (np.minimum(study.losses[order], self._cut[index]) - self._centre[index]) / self._scale[
                index
            ]
            covariance[index, :n, :n] = self._kernel(rows, rows) + OFFSET_VARIANCE + self._kernel.noise * np.eye(n)
        self._is_row = covariance[:, diagonal, diagonal] < _PADDING_VARIANCE
        self._whitening = whitening_of(covariance)
        self._residual = (self._whitening @ z[:, :, None])[:, :, 0]
        deviation = math.sqrt(float(self._centre.var() + (_WIDER * self._scale.mean()) ** 2))
        self._others = (float(np.median(self._centre)), deviation)

    def _scaled(self, losses: np.ndarray) -> np.ndarray:
        """Return losses on the scale of each past study, shape (n_studies, n)."""
        return (np.minimum(losses, self._cut[:, None]) - self._centre[:, None]) / self._scale[:, None]

    def _log_likelihoods(self, points: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the log-likelihood of the losses for each past study, and if they are of another function."""
        inputs = self._encoding.inputs(points)
        cross = self._kernel(self._X.reshape(-1, self._X.shape[2]), inputs) + OFFSET_VARIANCE
        cross = cross.reshape(*self._X.shape[:2], len(inputs)) * self._is_row[:, :, None]
        half = self._whitening @ cross
        mean = (half * self._residual[:, :, None]).sum(axis=1)
        prior = self._kernel.amplitude + OFFSET_VARIANCE
        variance = np.maximum(prior - (half**2).sum(axis=1), 0.0) + self._kernel.noise
        z = self._scaled(losses)
        found = -0.5 * ((z - mean) ** 2 / variance + np.log(2 * np.pi * variance)) - np.log(self._scale)[:, None]
        middle, deviation = self._others
        other = -0.5 * ((losses - middle) / deviation) ** 2 - math.log(deviation) - 0.5 * math.log(2 * math.pi)
        # A diverged trial is far from everything, and must not outweigh all others.
        other = np.maximum(other, other.max() - 8.0)
        # Losses above the cut are alike, so they are no evidence for a study, and against it if it had none as high.
        is_above = losses > self._cut[:, None]
        is_beyond = losses > (self._highest + self._scale)[:, None]
        found = np.where(is_above, np.minimum(found, other - _LOG_BEYOND * is_beyond), found)
        return found.sum(axis=1), float(other.sum())


def _tell_trials_apart(losses: np.ndarray) -> bool:
    """Whether losses are so many and so fine that two functions hardly ever share one."""
    better = np.sort(losses)[: len(losses) // 2 + 1]
    return len(np.unique(losses)) >= _FEWEST_TRIALS and len(np.unique(better)) >= _FEWEST_DISTINCT * len(better)


def _keys(points: np.ndarray) -> list[bytes]:
    """Return a key for each point that equal points share."""
    return [row.tobytes() for row in np.round(points, 9) + 0.0]
