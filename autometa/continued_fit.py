"""Fits that go on from the last one (`warm_start`): what a fit keeps for the next, and whether that may use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.study import Study

from autometa._support.user_warnings import warn_user
from autometa.core.strategy import Strategy
from autometa.evaluation.resampling import Fold
from autometa.evaluation.workspace import KeptFits, Workspace
from autometa.fit_inputs import FitInputs
from autometa.search.engine import Search
from autometa.search.identity import digests
from autometa.search.plan import Plan
from autometa.search.search_state import SearchState

_COMPARED = ("problem", "metric", "pos_label", "time_column", "random_state", "study", "storage", "study_name")
"""Parameters that must be the same in fits that share trials; `cv` and `strategies` are compared by what they give."""


@dataclass(frozen=True)
class Conditions:
    """What must be the same in two fits, so that their trials can be compared.

    Parameters
    ----------
    parameters : mapping of str to value
        Parameters of the estimator.
    strategies : tuple of Strategy
        What may be tried.
    folds : tuple of Fold or None
        Folds of the caller's splitter or validation rows; None if the fit makes them.
    data : mapping of str to str
        Digests of the parts of the data.
    """

    parameters: Mapping[str, Any]
    strategies: tuple[Strategy, ...]
    folds: tuple[Fold, ...] | None
    data: Mapping[str, str]


@dataclass(frozen=True)
class WarmStart:
    """What a fit keeps for the next one.

    Parameters
    ----------
    conditions : Conditions
        What the next fit must have in common with it.
    seed : int
        Seed of the folds, of their preparation and of the learners.
    study : optuna.Study
        The study, with its sampler.
    plan : Plan
        The folds that its losses were measured with, and the rest of the plan.
    folds : tuple of Fold
        Row numbers of each fold.
    search : SearchState
        The trials, with their out-of-fold predictions.
    fits : KeptFits
        The fitted models of these trials.
    """

    conditions: Conditions
    seed: int
    study: Study
    plan: Plan
    folds: tuple[Fold, ...]
    search: SearchState
    fits: KeptFits


def kept_of(search: Search, workspace: Workspace, conditions: Conditions | None) -> WarmStart | None:
    """Return what a search whose ensemble is made keeps for the next fit; None without conditions."""
    if conditions is None:
        return None
    state = SearchState(
        tuple(search.records), tuple(search.history), search.expected, search.origins, search.first_model_s
    )
    folds, fits = workspace.shared.folds, workspace.kept_fits(state.models)
    return WarmStart(conditions, search.seed, search.study, search.plan, folds, state, fits)


def conditions_of(model: Any, inputs: FitInputs, strategies: Sequence[Strategy]) -> Conditions:
    """Return the conditions of a fit of an estimator."""
    own_folds = inputs.folds is not None
    names = _COMPARED if own_folds else (*_COMPARED, "cv")
    parameters = {name: getattr(model, name) for name in names if hasattr(model, name)}
    return Conditions(parameters, tuple(strategies), inputs.folds, digests(inputs.task))


def kept_by(model: Any, conditions: Conditions) -> WarmStart | None:
    """Return what the last fit of an estimator kept, None if there was no fit.

    Raises
    ------
    ValueError
        If its trials cannot be compared with those of a fit under these conditions.

    Warns
    -----
    UserWarning
        If there was a fit that kept nothing.
    """
    if not model.__sklearn_is_fitted__():
        return None
    kept: WarmStart | None = model._warm_start
    if kept is None:
        if model.history_.trials:
            warn_user(
                "warm_start=True, but the fit before kept no models: warm_start was not set then, or the model comes "
                "from a file, refit or compact. This fit starts afresh. clone(model).fit(X, y) does so without a "
                "warning."
            )
        return None
    if changes := _changes(kept.conditions, conditions):
        raise ValueError(
            f"warm_start=True goes on with the trials of the last fit, but {' and '.join(changes)} changed, so they "
            "cannot be compared with new ones. Restore what changed; or start afresh with clone(model).fit(X, y), or "
            "with warm_start=False."
        )
    return kept


def _changes(then: Conditions, now: Conditions) -> list[str]:
    """Return what differs, in words of the caller."""
    names = then.parameters.keys() | now.parameters.keys()
    missing = object()
    changed = [
        name
        for name in (*_COMPARED, "cv")
        if name in names and not _is_same(then.parameters.get(name, missing), now.parameters.get(name, missing))
    ]
    if "cv" not in changed and not _are_same_folds(then.folds, now.folds):
        changed.append("the folds of cv (a splitter that shuffles needs a random_state) or X_val")
    if then.strategies != now.strategies:
        changed.append("strategies")
    return changed + [part for part, digest in now.data.items() if then.data[part] != digest]


def _is_same(then: Any, now: Any) -> bool:
    return then is now or (type(then) is type(now) and bool(np.all(then == now)))


def _are_same_folds(then: tuple[Fold, ...] | None, now: tuple[Fold, ...] | None) -> bool:
    if then is None or now is None:
        return then is now
    return len(then) == len(now) and all(
        np.array_equal(a.train, b.train) and np.array_equal(a.validation, b.validation)
        for a, b in zip(then, now, strict=True)
    )
