"""A policy's advice for a table, without any fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from autometa._support.numbers import checked_count
from autometa._support.process_state import kept_process_state
from autometa.catalogue import load_strategies
from autometa.core.budget import Budget
from autometa.core.proposal import Forecast, Policy, Prediction, Proposal
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.fit_inputs import read_inputs
from autometa.fitting import advice_before, available_strategies, describe_task, forecast_of
from autometa.metadataset.experience import recall_or_warn
from autometa.parameters import checked_folder
from autometa.policy.recognition import remembered_first, table_family
from autometa.policy.registry import DEFAULT_POLICY, checked_policy, make_policy
from autometa.tables.features import describe
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
    "resembles",
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
    experience: str | Path | None = None,
) -> pd.DataFrame:
    """Return the strategies that a policy would try on a table, with its predictions; nothing is fitted.

    Parameters
    ----------
    X : DataFrame, array, sparse matrix or list of rows, shape (n_rows, n_columns)
        The raw table.
    y : Series, array or list of shape (n_rows,)
        The target.
    n : int, default=10
        Largest number of rows to return, at least 1.
    problem, metric, strategies, policy : as in `AutoMeta`
        The problem, and what may be tried.
    time_budget : float or None, default=60.0
        Seconds that a fit would have; None for no limit. With little time cheap strategies
        come first; without a limit the score of a fit of half a minute is halved.
    experience : str, Path or None, default=None
        Folder of the experience of your own fits, from which the policy learns beside the past
        tasks that ship. On a table that was fitted before, or one with the same column names, the
        configurations that were best there are named first.

    Returns
    -------
    DataFrame
        A row per strategy, most probable first:

        - ``strategy``, and its ``probability``: the softmax over the strategies' scores, which is the chance
          that it is the best for the table where the policy learns from records;
        - ``configuration``: its first configuration, as a dict;
        - ``loss``, ``loss_low``, ``loss_high``: predicted median loss and the bounds of an 80%
          interval, lower is better (1 − ROC AUC, log loss, RMSE …); missing if the policy does
          not predict it;
        - ``fit_s``: predicted seconds of one fit on one core; ``memory_mb``: its peak memory in MiB;
        - ``beats_default``: probability that it is better than the best default configuration on
          past tasks; equal losses count half, so that this default itself has 0.5;
        - ``evidence``: the past tasks with the largest weight in the advice, at most five, as a
          dict of names and weights; the weights of all past tasks sum to 1;
        - ``resembles``: for each of these past tasks the meta-features that speak most for its
          similarity, as a dict.

        ``attrs["forecast"]`` of the table is what a fit in `time_budget` is expected to end with, if the
        policy predicts it: the median ``loss`` of the ensemble, the bounds ``loss_low`` and ``loss_high``
        of an 80% interval, and ``n_trials`` by one process (without a time limit at most 30).

    Raises
    ------
    ValueError, TypeError
        If the data or an argument is not usable; the message says what to do.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> advice = recommend(X, y, n=3)
    >>> len(advice), bool(advice["probability"].is_monotonic_decreasing)
    (3, True)
    """
    n = checked_count("n", n)
    available, proposal, expected, forecast = _advice(
        X, y, problem, metric, strategies, policy, time_budget, experience
    )
    first: dict[str, Configuration] = {}
    for configuration in (*proposal.configurations, *expected, *(s.portfolio[0] for s in available)):
        first.setdefault(configuration.strategy, configuration)
    # A policy of the caller may know more strategies than suit the table.
    probabilities = {s.name: proposal.probabilities[s.name] for s in available if s.name in proposal.probabilities}
    rows = [
        {
            "strategy": strategy,
            "probability": probability,
            "configuration": dict(first[strategy].parameters),
            **_columns(expected.get(first[strategy])),
            "evidence": dict(proposal.evidence),
            "resembles": {} if forecast is None else dict(forecast.alike),
        }
        for strategy, probability in sorted(probabilities.items(), key=lambda item: -item[1])[:n]
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.attrs["forecast"] = {} if forecast is None else forecast.values()
    return table


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
    experience: str | Path | None = None,
) -> list[Configuration]:
    """Return the configurations of one strategy that a policy would try on a table, best first.

    Parameters
    ----------
    X, y, problem, metric, policy, time_budget, experience : as in `recommend`
        The table and the problem.
    n : int
        Largest number of configurations. The strategy's own portfolio follows the policy's proposals.
    strategy : str
        Name of a strategy, such as ``"lightgbm"``.

    Raises
    ------
    ValueError, TypeError
        If there is no such strategy, or the data or an argument is not usable.
    """
    available, proposal, *_ = _advice(X, y, problem, metric, [strategy], policy, time_budget, experience)
    found = (*proposal.configurations, *available[0].portfolio)
    return list(dict.fromkeys(c for c in found if c.strategy == strategy))[:n]


def _advice(
    X: Any,
    y: Any,
    problem: ProblemChoice,
    metric: str | Callable[..., Any],
    strategies: Sequence[str | Path | Strategy] | None,
    policy: str | Path | Policy,
    time_budget: float | None,
    experience: str | Path | None,
) -> tuple[list[Strategy], Proposal, Mapping[Configuration, Prediction], Forecast | None]:
    """Return the strategies that suit a table, the policy's proposal, its predictions, and its forecast."""
    remaining_s = math.inf if time_budget is None else Budget(time_budget).time_s
    policy = checked_policy(policy)
    folder = None if experience is None else checked_folder("experience", experience)
    with kept_process_state():
        inputs = read_inputs(X, y, problem=problem, metric=metric)
        available, _ = available_strategies(load_strategies(strategies), inputs.task)
        remembered = recall_or_warn(folder)
        chosen = make_policy(policy, available, remembered)
        description = describe_task(inputs.task, inputs.metric, policy)
        if remembered is not None and not description.features:
            description = replace(description, features=describe(inputs.task))
        proposal, expected = advice_before(chosen, description, remaining_s)
        family = table_family(inputs.task.table.schema.columns, inputs.task.problem)
        first = remembered_first(remembered, description, family, available, remaining_s)
        forecast = forecast_of(chosen, description, remaining_s)
        return available, replace(proposal, configurations=(*first, *proposal.configurations)), expected, forecast


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
