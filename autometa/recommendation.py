"""The policy's advice for a table, nothing fitted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autometa._support.numbers import checked_count
from autometa._support.process_state import kept_process_state
from autometa.catalogue import load_strategies
from autometa.core.budget import Budget
from autometa.core.proposal import ExplainingPolicy, Policy, Prediction
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.evaluation.metrics import Metric
from autometa.fit_inputs import read_inputs
from autometa.fitting import available_strategies, describe_task
from autometa.policy.registry import DEFAULT_POLICY, checked_policy, make_policy
from autometa.tables.table_task import Task
from autometa.tables.target import ProblemChoice

COLUMNS = (
    "strategy",
    "probability",
    "configuration",
    "loss",
    "loss_low",
    "loss_high",
    "fit_s",
    "memory_mb",
    "beats_default",
    "evidence",
)


def recommend(
    X: Any,
    y: Any,
    n: int = 10,
    *,
    problem: ProblemChoice = "auto",
    metric: str | Callable[..., Any] = "auto",
    strategies: Sequence[str | Path | Strategy] | None = None,
    policy: str | Path | Policy = DEFAULT_POLICY,
    time_budget: float | None = 60.0,
) -> pd.DataFrame:
    """Return which strategies a policy would try on a table, and what it expects of them; nothing is fitted.

    Parameters
    ----------
    X : DataFrame, array, sparse matrix or list of rows, shape (n_rows, n_columns)
        The raw table.
    y : Series, array or list of shape (n_rows,)
        The target.
    n : int, default=10
        Most rows to return, at least 1.
    problem, metric, strategies, policy : as in `AutoMeta`
        What to advise on.
    time_budget : float or None, default=60.0
        Seconds that a fit would have; None for no limit. With little time cheap strategies
        come first; without a limit a fit of half a minute counts half.

    Returns
    -------
    DataFrame
        A row per strategy, the likeliest first:

        - ``strategy``, and its ``probability``: the softmax over the strategies' scores;
        - ``configuration``: the one to try first, as a dict;
        - ``loss``, ``loss_low``, ``loss_high``: predicted median of its loss and the bounds of an
          interval of 80%, lower is better (1 − ROC AUC, log loss, RMSE …); missing where the
          policy does not predict it;
        - ``fit_s``: predicted seconds of one fit on one core; ``memory_mb``: its peak memory in MiB;
        - ``beats_default``: probability that it is better than the default of the strategy that
          does best by default on past tasks; equal losses count half, so that default itself has 0.5;
        - ``evidence``: the past tasks that it rests on most, at most five, as a dict of names and
          weights that sum to 1.

    Raises
    ------
    ValueError, TypeError
        If the data or an argument is not usable; the text says what to do.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> advice = recommend(X, y, n=3)
    >>> len(advice), bool(advice["probability"].is_monotonic_decreasing)
    (3, True)
    """
    n = checked_count("n", n)
    with kept_process_state():
        return _advice(X, y, n, problem, metric, strategies, policy, time_budget)


def _advice(
    X: Any,
    y: Any,
    n: int,
    problem: ProblemChoice,
    metric: str | Callable[..., Any],
    strategies: Sequence[str | Path | Strategy] | None,
    policy: str | Path | Policy,
    time_budget: float | None,
) -> pd.DataFrame:
    remaining_s = math.inf if time_budget is None else Budget(time_budget).time_s
    policy = checked_policy(policy)
    task, resolved = _read(X, y, problem, metric)
    available, _ = available_strategies(load_strategies(strategies), task)
    chosen = make_policy(policy, available)
    description = describe_task(task, resolved, policy)
    proposal = chosen.propose(description, (), remaining_s)
    expected: Mapping[Configuration, Prediction] = {}
    if isinstance(chosen, ExplainingPolicy):
        expected = chosen.explain(description, (), remaining_s)
    first: dict[str, Configuration] = {}
    for configuration in (*proposal.configurations, *expected, *(s.portfolio[0] for s in available)):
        first.setdefault(configuration.strategy, configuration)
    # A policy of the caller's may know more strategies than suit the table.
    probabilities = {s.name: proposal.probabilities[s.name] for s in available if s.name in proposal.probabilities}
    rows = []
    for strategy, probability in sorted(probabilities.items(), key=lambda item: -item[1])[:n]:
        prediction = expected.get(first[strategy])
        rows.append(
            {
                "strategy": strategy,
                "probability": probability,
                "configuration": dict(first[strategy].parameters),
                **_columns(prediction),
                "evidence": dict(proposal.evidence),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def advised_configurations(
    X: Any,
    y: Any,
    n: int,
    strategy: str,
    *,
    problem: ProblemChoice = "auto",
    metric: str | Callable[..., Any] = "auto",
    policy: str | Path | Policy = DEFAULT_POLICY,
    time_budget: float | None = 60.0,
) -> list[Configuration]:
    """Return the configurations of one strategy that a policy would try on a table, the best first.

    Parameters
    ----------
    X, y, problem, metric, policy, time_budget : as in `recommend`
        The table and what to advise on.
    n : int
        Most configurations to return. The strategy's own portfolio follows what the policy names.
    strategy : str
        Name of a strategy, such as ``"lightgbm"``.

    Raises
    ------
    ValueError, TypeError
        If there is no such strategy, or the data or an argument is not usable.
    """
    remaining_s = math.inf if time_budget is None else Budget(time_budget).time_s
    policy = checked_policy(policy)
    with kept_process_state():
        task, resolved = _read(X, y, problem, metric)
        available, _ = available_strategies(load_strategies([strategy]), task)
        description = describe_task(task, resolved, policy)
        proposal = make_policy(policy, available).propose(description, (), remaining_s)
    found = (*proposal.configurations, *available[0].portfolio)
    return list(dict.fromkeys(c for c in found if c.strategy == strategy))[:n]


def _read(X: Any, y: Any, problem: ProblemChoice, metric: Any) -> tuple[Task, Metric]:
    """Return the task of a table and its target, as a fit reads them, with its metric."""
    inputs = read_inputs(X, y, problem=problem, metric=metric)
    return inputs.task, inputs.metric


def _columns(prediction: Prediction | None) -> dict[str, float]:
    if prediction is None:
        return dict.fromkeys(("loss", "loss_low", "loss_high", "fit_s", "memory_mb", "beats_default"), math.nan)
    return {
        "loss": prediction.loss,
        "loss_low": prediction.loss_low,
        "loss_high": prediction.loss_high,
        "fit_s": prediction.seconds,
        "memory_mb": prediction.memory_mb,
        "beats_default": prediction.beats_default,
    }
