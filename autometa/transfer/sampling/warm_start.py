"""warm_start: enqueues configurations that worked before, and keeps the study's own sampler."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.study import Study

from autometa._support.numbers import checked_count
from autometa._support.optuna_internals import storage_of
from autometa._support.seeds import child_seed
from autometa.transfer.archive.accepted import is_past, past_studies
from autometa.transfer.archive.origins import IN_MEMORY, kind_of
from autometa.transfer.archive.sources import PastStudies
from autometa.transfer.sampling.cold_start import cause_of_cold_start, warn_of_cold_start
from autometa.transfer.sampling.past_studies import Past, checked_names
from autometa.transfer.sampling.population import Population
from autometa.transfer.sampling.study import finished_trials, own_space
from autometa.transfer.space.alignment import value_in
from autometa.transfer.space.choices import Choices, checked_choices, translated

logger = logging.getLogger(__name__)

_N_DRAWS = 256  # loss functions drawn from the population
_N_RANDOM = 200  # random candidates beside the best points of past studies


def warm_start(
    study: Study,
    source: Any,
    y: Any = None,
    *,
    n: int = 8,
    strategy: str | None = None,
    names: Mapping[str, str] | None = None,
    choices: Choices | None = None,
    space: Mapping[str, BaseDistribution] | None = None,
    **about: Any,
) -> tuple[dict[str, Any], ...]:
    """Enqueue configurations that worked before as the next trials of a study.

    Nothing else changes: no foreign trial is added to the study, and its sampler stays.

    Parameters
    ----------
    study : optuna.Study
        A study with one objective.
    source : StudyArchive, or the table X as `recommend` takes it
        Past studies, also as studies, storages, files, or a list of them; or a table, for which the policy recommends
        configurations.
    y : Series, array or list or None, default=None
        The target, if `source` is a table.
    n : int, default=8
        Maximum number of configurations, at least 1. Those that the study already has are left out.
    strategy : str or None, default=None
        The strategy that the study tunes, such as ``"lightgbm"``; needed with a table.
    names : mapping of str to str or None, default=None
        Past name → name in the study, for parameters whose names differ.
    choices : mapping of str to mapping or None, default=None
        Parameter → past choice → new choice, for choices that were renamed.
    space : mapping of str to BaseDistribution or None, default=None
        The search space of the study: values are clipped to it, choices are found by value or text,
        other parameters are left out. None takes the parameters of its trials so far, if any.
    **about
        With a table, further arguments of `recommend` (``metric=``, ``time_budget=`` …).

    Returns
    -------
    tuple of dict
        The enqueued configurations, in order; empty, with a warning, without a suitable past.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; the message tells what to do.

    Examples
    --------
    >>> import optuna
    >>> from autometa import StudyArchive, warm_start
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> old = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    >>> old.optimize(lambda trial: (trial.suggest_float("rate", 0, 1) - 0.5) ** 2, n_trials=30)
    >>> archive = StudyArchive()
    >>> archive.add(old)
    >>> study = optuna.create_study()
    >>> enqueued = warm_start(study, archive, n=2, names={"rate": "lr"})
    >>> len(enqueued), abs(enqueued[0]["lr"] - 0.5) < 0.1
    (2, True)
    """
    if not isinstance(study, Study):
        raise TypeError(f"study must be an optuna.Study, got {type(study).__name__}.")
    if len(study.directions) != 1:
        raise ValueError(f"warm_start is for studies with one objective, and this one has {len(study.directions)}.")
    n = checked_count("n", n)
    source = past_studies(source) if is_past(source) else source
    sources = source.sources if isinstance(source, PastStudies) else ()
    names = checked_names(names, sources)
    renamed = checked_choices(choices, sources, names)
    known = _checked_space(space) if space is not None else own_space(study)
    if isinstance(source, PastStudies):
        _check_goes_with_archive({"y": y, "strategy": strategy, **about})
        found = _from_archive(study, source, n, names, renamed, known)
        unsure = _unsure_choices(study, source, names, known) if space is None else set()
        found = [{name: c[name] for name in c if name not in unsure} for c in found]
    else:
        if y is None or strategy is None:
            raise TypeError(
                "Give past studies, or a table with its target and a strategy: warm_start(study, X, y, "
                "strategy='lightgbm')."
            )
        found = _from_policy(source, y, n, strategy, names, known, about)
    enqueued = [kept for configuration in found if (kept := _enqueueable(study, configuration))]
    for configuration in enqueued:
        study.enqueue_trial(configuration, skip_if_exists=True)
    return tuple(enqueued)


def _checked_space(space: Mapping[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    example = "space={'rate': optuna.distributions.FloatDistribution(0.001, 1, log=True)}"
    if not isinstance(space, Mapping):
        raise TypeError(f"space must map names of parameters to distributions of Optuna, got {space!r}. {example}.")
    for name, distribution in space.items():
        if not isinstance(name, str):
            raise TypeError(f"space must have names of parameters as keys, got {name!r}. {example}.")
        if not isinstance(distribution, BaseDistribution):
            raise TypeError(
                f"space must have distributions of Optuna as values, got {distribution!r} for {name!r}. {example}."
            )
    return dict(space)


def _check_goes_with_archive(options: Mapping[str, Any]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if not given:
        return
    number = options["y"]
    hint = ""
    if isinstance(number, Integral) and not isinstance(number, bool):
        hint = f" How many configurations is said by name: warm_start(study, archive, n={number})."
    raise TypeError(
        f"With an archive warm_start takes n, names and space; y, strategy and the arguments of recommend go with a "
        f"table, got {', '.join(given)}.{hint}"
    )


def _enqueueable(study: Study, configuration: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without values that the study's storage would change.

    All storages but that in memory keep enqueued values as JSON. A tuple would come back as a list, which is none of
    the choices, and Optuna would end the study.
    """
    if isinstance(storage_of(study), InMemoryStorage):
        return configuration
    kept = {name: value for name, value in configuration.items() if _is_plain(value)}
    if len(kept) < len(configuration):
        logger.warning(
            "The study's storage keeps lists and plain values only: %s is left to the sampler. Choices that are lists, "
            "texts or numbers can be enqueued.",
            ", ".join(repr(name) for name in configuration if name not in kept),
        )
    return kept


def _is_plain(value: Any) -> bool:
    try:
        return repr(json.loads(json.dumps(value))) == repr(value)
    except (TypeError, ValueError):
        return False


def _from_archive(
    study: Study,
    archive: PastStudies,
    n: int,
    names: dict[str, str],
    renamed: Choices,
    known: dict[str, BaseDistribution],
) -> list[dict[str, Any]]:
    learnt = Past().learn(translated(archive.sources, renamed, names), known, names, finished_trials(study))
    if learnt.population is None:
        warn_of_cold_start(study, f"{cause_of_cold_start(archive, learnt, known, names)} Nothing is enqueued.")
        return []
    rng = np.random.default_rng(child_seed(0, "warm start"))
    points = complementary_points(learnt.population, n, rng)
    found = (learnt.encoding.configuration(point) for point in points)
    return [{name: c[name] for name in c if not known or name in known} for c in found]


def complementary_points(population: Population, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return up to `n` points, best first, of which the best is expected to be as good as possible.

    Loss functions are drawn from the population. Each next point is the one that most lowers the best score so far,
    averaged over the draws (greedy, as in Hydra; Xu et al., 2010).
    """
    encoding = population.encoding
    drawn = encoding.uniform(rng.random((_N_RANDOM, len(encoding.names))))
    candidates = np.unique(np.concatenate([population.tops, drawn]), axis=0)
    features = population.features(encoding.inputs(candidates))
    weights = population.mean[:, None] + population.root @ rng.normal(size=(population.root.shape[1], _N_DRAWS))
    scores = features @ weights
    chosen: list[int] = []
    best = np.full(_N_DRAWS, np.inf)
    for _ in range(min(n, len(candidates))):
        means = np.minimum(scores, best).mean(axis=1)
        means[chosen] = np.inf
        chosen.append(int(means.argmin()))
        best = np.minimum(best, scores[chosen[-1]])
    return candidates[chosen]


def _unsure_choices(
    study: Study, archive: PastStudies, names: Mapping[str, str], known: Mapping[str, BaseDistribution]
) -> set[str]:
    """Return the parameters whose choices are lists in a storage but may be tuples in the objective.

    Only storages in memory keep tuples. A choice that the objective does not have would end the study.
    """
    spaces: list[Mapping[str, BaseDistribution]] = []
    if known:
        spaces += [] if isinstance(storage_of(study), InMemoryStorage) else [known]
    else:
        stored = (source for source in archive.sources if kind_of(source.origin) != IN_MEMORY)
        spaces += [{names.get(name, name): d for name, d in source.distributions.items()} for source in stored]
    found = {
        name
        for space in spaces
        for name, distribution in space.items()
        if any(isinstance(choice, (list, tuple, dict)) for choice in getattr(distribution, "choices", ()))
    }
    if found:
        logger.warning(
            "In a storage tuples become lists, so it is not sure what the choices of %s are in the objective: they are "
            "left to the sampler. Give them with space={name: CategoricalDistribution([...])} to have them enqueued.",
            ", ".join(map(repr, sorted(found))),
        )
    return found


def _from_policy(
    X: Any,
    y: Any,
    n: int,
    strategy: str,
    names: dict[str, str],
    known: dict[str, BaseDistribution],
    about: Mapping[str, Any],
) -> list[dict[str, Any]]:
    # Imported here, because it loads scikit-learn and the policy, which an archive does not need.
    from autometa.recommendation import advised_configurations

    found = []
    for configuration in advised_configurations(X, y, n, strategy, **about):
        values = {names.get(name, name): value for name, value in configuration.parameters.items()}
        if known:
            inside = {name: value_in(known[name], value) for name, value in values.items() if name in known}
            values = {name: value for name, value in inside.items() if value is not None}
        found.append(values)
    return [values for index, values in enumerate(found) if values and values not in found[:index]]
