"""Propose configurations by a recurrent network that reads the search so far (RL²)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.policy.cost_model import seconds_model, size_of
from autometa.policy.expected_gain import GainPolicy, next_unrecorded
from autometa.policy.loss_model import has_records
from autometa.policy.past_tasks import PastTasks
from autometa.policy.recurrent.inputs import (
    LossScale,
    corrected,
    log_seconds,
    options,
    shape_for,
    start_features,
    step_inputs,
)
from autometa.policy.recurrent.network import judge, start, step


class RecurrentPolicy:
    """Proposes recorded configurations by the softmax of a recurrent network (`recurrent.network`).

    At each call the network reads the whole history in the order in which results came, so a proposal
    depends on the history alone. Running trials are not proposed again, and not read.

    Parameters
    ----------
    past : PastTasks
        Past tasks; their configurations are the network's actions, in this order.
    arrays : mapping of str to ndarray
        Weights of the network, from `recurrent_tuning.train_recurrent`.
    strategies : sequence of Strategy, optional
        Strategies that may be proposed; all recorded ones by default. Every fifth trial goes to the
        portfolios of strategies without records.

    Raises
    ------
    ValueError
        If the weights are for other configurations or meta-features.
    """

    def __init__(
        self, past: PastTasks, arrays: Mapping[str, np.ndarray], strategies: Sequence[Strategy] | None = None
    ) -> None:
        shape_for(past).check(arrays)
        for name in ("feature_centre", "feature_scale"):
            if name not in arrays or np.shape(arrays[name]) != (len(past.feature_names),):
                raise ValueError(f"The weights need {name!r} of shape {(len(past.feature_names),)}. Train them anew.")
        self.past = past
        self.arrays = dict(arrays)
        self.strategies = strategies
        recorded = set(past.strategies)
        everything = np.ones(len(past.configurations), dtype=bool)
        self._may = everything if strategies is None else past.is_possible(strategies)
        self._unknown = [strategy for strategy in strategies or () if strategy.name not in recorded]
        self._seconds = seconds_model(past)
        self._scales: dict[tuple[str, str], LossScale] = {}

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return untried configurations, the most probable first, and the sums of their probabilities by strategy."""
        if not has_records(self.past, description.problem) or not self._may.any():
            return GainPolicy(self.past, self.strategies).propose(description, history, remaining_s)
        scale = self._scale(description)
        tried = {evaluation.configuration for evaluation in history}
        mask = self._may & scale.usable
        mask[[self.past.position[c] for c in tried if c in self.past.position]] = False
        probabilities = self._probabilities(description, scale, history, remaining_s, mask)
        order = np.argsort(-probabilities, kind="stable")[: int(mask.sum())]
        configurations = [self.past.configurations[index] for index in order]
        if unknown := next_unrecorded(self._unknown, tried):
            configurations.insert(0, unknown)
        return Proposal(self._by_strategy(probabilities), tuple(configurations))

    def _probabilities(
        self,
        description: TaskDescription,
        scale: LossScale,
        history: Sequence[Evaluation],
        remaining_s: float,
        mask: np.ndarray,
    ) -> np.ndarray:
        """Return the probability of each configuration; 0 for all if none can be tried."""
        if not mask.any():
            return np.zeros(len(mask))
        # Losses in a metric without records cannot be compared with past ones.
        is_recorded = description.metric in ("auto", scale.metric)
        trials = _Trials.read(history, self.past.position, description.loss_unit if is_recorded else math.nan)
        size = size_of(description)
        median, deviation = self._seconds.predict(size, {})
        expected_log_s = np.log(median)
        hidden = start(np, self.arrays, self._start(description)[None])
        actions, inputs = np.append(-1, trials.indices), trials.inputs(scale, expected_log_s, remaining_s)
        for index in range(len(actions)):
            now = slice(index, index + 1)
            hidden = step(np, self.arrays, hidden, actions[now], inputs[now])
        gaps = trials.log_s - expected_log_s[trials.indices]
        n_timed = np.isfinite(gaps).sum(keepdims=True)
        log_s = corrected(expected_log_s[None], np.nansum(gaps, keepdims=True), n_timed)
        now_options = options(log_s, deviation[None], np.array([remaining_s]))
        logits, _ = judge(np, self.arrays, hidden, now_options, mask[None])
        exponentials = np.where(mask, np.exp(logits[0].astype(np.float64) - logits[0].max()), 0.0)
        return exponentials / exponentials.sum()

    def _start(self, description: TaskDescription) -> np.ndarray:
        # The size is known even where no meta-features were computed.
        size = {"log_rows": math.log(description.n_rows), "log_columns": math.log(description.n_columns)}
        known = {**size, **description.features}
        features = np.array([known.get(name, math.nan) for name in self.past.feature_names], dtype=np.float64)
        return start_features(features, description.problem, self.arrays)

    def _scale(self, description: TaskDescription) -> LossScale:
        key = (description.problem, description.metric)
        if key not in self._scales:
            self._scales[key] = LossScale.learn(self.past, *key)
        return self._scales[key]

    def _by_strategy(self, probabilities: np.ndarray) -> dict[str, float]:
        names = dict.fromkeys(self.past.strategies[self._may].tolist())
        total = float(probabilities.sum())
        sums = {name: float(probabilities[self.past.strategies == name].sum()) for name in names}
        known = sums if total > 0 else dict.fromkeys(names, 1 / len(names))
        share = len(self._unknown) / (len(self._unknown) + len(names))
        return {name: (1 - share) * value for name, value in known.items()} | {
            strategy.name: share / len(self._unknown) for strategy in self._unknown
        }


@dataclass(frozen=True)
class _Trials:
    """Known configurations with a result, in the order of their first one; all arrays of shape (n_trials,).

    Parameters
    ----------
    indices : ndarray of int
        Index of the configuration.
    losses : ndarray
        Mean loss over the folds at anchor 1; NaN without one.
    log_s : ndarray
        Logarithm of the mean seconds of one evaluation at anchor 1, or at any anchor without one there.
    spent_s : ndarray
        Seconds of all evaluations.
    """

    indices: np.ndarray
    losses: np.ndarray
    log_s: np.ndarray
    spent_s: np.ndarray

    @classmethod
    def read(cls, history: Sequence[Evaluation], position: Mapping[Configuration, int], loss_unit: float) -> _Trials:
        by_index: dict[int, list[Evaluation]] = {}
        for evaluation in history:
            index = position.get(evaluation.configuration)
            if index is not None and evaluation.status != "running":
                by_index.setdefault(index, []).append(evaluation)
        losses, log_s, spent_s = [], [], []
        for evaluations in by_index.values():
            full = [e for e in evaluations if e.status == "ok" and e.anchor == 1 and math.isfinite(e.loss)]
            losses.append(float(np.mean([e.loss for e in full])) / loss_unit if full else math.nan)
            log_s.append(log_seconds(float(np.mean([_seconds(e) for e in full or evaluations]))))
            spent_s.append(float(np.nansum([e.time_s for e in evaluations])))
        return cls(np.array(list(by_index), dtype=np.int64), np.array(losses), np.array(log_s), np.array(spent_s))

    def inputs(self, scale: LossScale, expected_log_s: np.ndarray, remaining_s: float) -> np.ndarray:
        """Return the inputs of the network: a row before the first trial, then one for each trial."""
        values = scale.to_values(self.losses)
        best = np.fmin.accumulate(np.append(math.nan, values))
        results = values[np.isfinite(values)]
        first = np.where(np.isfinite(best), results[0] if len(results) else math.nan, math.nan)
        # Parallel trials are read as if they had run one after the other.
        after_s = np.append(np.cumsum(self.spent_s[::-1])[::-1], 0.0)
        left_s = remaining_s + after_s
        whole_s = left_s[0]
        return step_inputs(
            value=np.append(math.nan, values),
            expected=np.append(math.nan, scale.expected[self.indices]),
            first=np.append(math.nan, first[:-1]),
            best=np.append(math.nan, best[:-1]),
            log_s=np.append(math.nan, self.log_s),
            expected_log_s=np.append(math.nan, expected_log_s[self.indices]),
            left_s=left_s,
            share_left=left_s / whole_s if 0 < whole_s < math.inf else np.zeros(len(left_s)),
            n_tried=np.arange(len(left_s)),
        )


def _seconds(evaluation: Evaluation) -> float:
    """Return CPU seconds where they were measured, else wall-clock seconds."""
    cpu_s = evaluation.fit_cpu_s + evaluation.predict_cpu_s
    return cpu_s if math.isfinite(cpu_s) else evaluation.time_s
