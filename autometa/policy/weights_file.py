"""Read and write the weights of trained policies: arrays and a card, nothing pickled.

``weights.npz`` holds the past tasks and the weights learnt from them; texts are JSON. ``card.toml`` holds
their origin, their results on tasks left out, and the checksum of the arrays.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from autometa._support.array_folder import ArrayFolder
from autometa._support.files import shipped_folder
from autometa.catalogue import load_strategies
from autometa.core.space import Configuration, SearchSpace
from autometa.core.strategy import Strategy
from autometa.exceptions import PolicyError
from autometa.metadataset.error_moments import packed, unpacked
from autometa.policy.best_strategy import BestStrategyModel
from autometa.policy.past_tasks import PastTasks
from autometa.tables.features import META_FEATURES

logger = logging.getLogger(__name__)

WEIGHTS_VERSION = 1
"""Goes up when files of the old layout can no longer be read as the new one."""

_WEIGHTS, CARD = "weights.npz", "card.toml"
_ADVICE = "Train the policy again (`autometa train`), or reinstall autometa to get the weights that ship."
_FILES = ArrayFolder(_WEIGHTS, CARD, "weights_version", WEIGHTS_VERSION, PolicyError, "policy weights", _ADVICE)
_TEXTS = ("tasks", "families", "problems", "feature_names")
_RECURRENT = "arrays/"
_BEST, _BEST_NUMBERS = "best_strategy/", ("centre", "scale", "coefficients")


@dataclass(frozen=True)
class PolicyWeights:
    """Past tasks, and the weights learnt from them.

    Parameters
    ----------
    past : PastTasks
        Past tasks, which every policy uses.
    similarity : ndarray of shape (n_features,)
        Weights of the meta-features in `Similarity`; all 0 where meta-features did not help.
    temperatures : mapping of str to (float, float)
        Temperatures by name of the policy: without a time limit, and with one.
    portfolios : mapping of str to mapping of float to tuple of int
        Indices of configurations in order, by problem and by budget in seconds.
    arrays : mapping of str to ndarray
        Weights of the recurrent policy, by name; empty without one.
    card : mapping
        Origin of the weights and their results on tasks left out; plain values.
    best_strategy : BestStrategyModel, optional
        Chances of the strategies to be the best.
    """

    past: PastTasks
    similarity: np.ndarray
    temperatures: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    portfolios: Mapping[str, Mapping[float, tuple[int, ...]]] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    best_strategy: BestStrategyModel | None = None

    def __post_init__(self) -> None:
        n = len(self.past.feature_names)
        if np.shape(self.similarity) != (n,) or not (np.asarray(self.similarity) >= 0).all():
            raise ValueError(f"similarity must be {n} non-negative weights, got {self.similarity}.")
        n_configurations = len(self.past.configurations)
        for problem, orders in self.portfolios.items():
            for budget_s, indices in orders.items():
                if any(not 0 <= index < n_configurations for index in indices):
                    raise ValueError(
                        f"The portfolio for {problem} and {budget_s} s must hold indices below {n_configurations}, "
                        f"got {indices}."
                    )


def write_weights(weights: PolicyWeights, folder: str | Path) -> Path:
    """Write ``weights.npz`` and ``card.toml`` into a folder, which is created if needed, and return it."""
    folder, past = Path(folder), weights.past
    configurations = [[c.strategy, dict(c.parameters)] for c in past.configurations]
    portfolios = {problem: list(orders.items()) for problem, orders in weights.portfolios.items()}
    texts = {name: getattr(past, name) for name in _TEXTS}
    texts |= {"configurations": configurations, "temperatures": dict(weights.temperatures), "portfolios": portfolios}
    numbers = {"features": past.features, "sizes": past.sizes, "seconds": past.seconds, "memory_mb": past.memory_mb}
    numbers |= {f"losses/{metric}": matrix for metric, matrix in past.losses.items()}
    arrays = {name: np.array(json.dumps(value)) for name, value in texts.items()}
    arrays |= {name: values.astype(np.float32) for name, values in numbers.items()}
    arrays |= {"failed": past.failed, "similarity": np.asarray(weights.similarity, dtype=np.float32)}
    arrays |= {_RECURRENT + name: values for name, values in weights.arrays.items()}
    if past.moments is not None:
        arrays["moments"], arrays["moments/correlations"] = packed(past.moments)
    if (best := weights.best_strategy) is not None:
        # In double precision and with their names, as other strategies may be left out when the weights are read.
        arrays[_BEST + "strategies"] = np.array(json.dumps(best.strategies))
        arrays |= {_BEST + name: getattr(best, name) for name in _BEST_NUMBERS}
    _FILES.write(folder, arrays, weights.card)
    return folder


def read_weights(folder: str | Path | None = None, strategies: Iterable[Strategy] | None = None) -> PolicyWeights:
    """Return the weights in a folder, without configurations of strategies that do not exist.

    Parameters
    ----------
    folder : str or Path, optional
        Folder written by `write_weights`; by default the one that ships with autometa.
    strategies : iterable of Strategy, optional
        Strategies whose configurations are kept, and must be possible in their spaces; by default all that ship.

    Raises
    ------
    PolicyError
        If a file is missing or damaged, was written by a newer autometa, has other meta-features
        than this autometa computes, or a space has changed so that its configurations are impossible.
    """
    folder = shipped_folder("strategies") / "policies" if folder is None else Path(folder)
    arrays, card = _FILES.read(folder)
    try:
        weights = _weights(arrays, card)
    except Exception as error:  # a forged file can fail anywhere
        raise PolicyError(
            f"{folder / _WEIGHTS} does not hold policy weights ({type(error).__name__}: {error}). {_ADVICE}"
        ) from error
    _check_features(folder, weights.past.feature_names, card)
    return _for_strategies(folder, weights, load_strategies() if strategies is None else strategies)


def space_hash(space: SearchSpace) -> str:
    """Return a digest of a search space."""
    parts = (
        sorted((name, repr(distribution)) for name, distribution in space.distributions.items()),
        sorted(space.conditions.items()),
        sorted(space.defaults.items()),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _weights(arrays: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> PolicyWeights:
    def text(name: str) -> Any:
        return json.loads(str(arrays[name]))

    def numbers(name: str) -> np.ndarray:
        return arrays[name].astype(np.float64)

    tasks, families, problems, feature_names = (tuple(text(name)) for name in _TEXTS)
    past = PastTasks(
        tasks,
        families,
        problems,
        feature_names=feature_names,
        configurations=tuple(Configuration(strategy, parameters) for strategy, parameters in text("configurations")),
        features=numbers("features"),
        sizes=numbers("sizes"),
        losses={name.split("/", 1)[1]: numbers(name) for name in arrays if name.startswith("losses/")},
        seconds=numbers("seconds"),
        memory_mb=numbers("memory_mb"),
        failed=arrays["failed"].astype(bool),
        moments=unpacked(arrays["moments"], arrays["moments/correlations"]) if "moments" in arrays else None,
    )
    return PolicyWeights(
        past,
        numbers("similarity"),
        {name: (float(without), float(within)) for name, (without, within) in text("temperatures").items()},
        {
            problem: {float(budget_s): tuple(map(int, indices)) for budget_s, indices in orders}
            for problem, orders in text("portfolios").items()
        },
        {name.removeprefix(_RECURRENT): values for name, values in arrays.items() if name.startswith(_RECURRENT)},
        card,
        best_strategy=None
        if _BEST + "strategies" not in arrays
        else BestStrategyModel(
            tuple(text(_BEST + "strategies")), feature_names, *(numbers(_BEST + name) for name in _BEST_NUMBERS)
        ),
    )


def _check_features(folder: Path, names: tuple[str, ...], card: Mapping[str, Any]) -> None:
    if (in_card := tuple(card.get("feature_order", names))) != names:
        raise PolicyError(
            f"{folder / CARD} is the card of other weights: it tells the meta-features {in_card}, {_WEIGHTS} holds "
            f"{names}. {_ADVICE}"
        )
    expected = tuple(name for name in META_FEATURES if name in names)
    if names != expected:
        unknown = [name for name in names if name not in META_FEATURES]
        raise PolicyError(
            f"{folder} was trained with other meta-features than this autometa computes: "
            f"{f'unknown are {unknown}' if unknown else f'the order {names} should be {expected}'}. {_ADVICE}"
        )


def _for_strategies(folder: Path, weights: PolicyWeights, strategies: Iterable[Strategy]) -> PolicyWeights:
    """Return the weights without configurations of unknown strategies; impossible ones are refused."""
    spaces = {strategy.name: strategy.space for strategy in strategies}
    names = weights.past.strategies
    if gone := sorted(set(names) - set(spaces)):
        logger.info("%s: what was learnt about %s is left out, there are no such strategies", folder, ", ".join(gone))
    kept = [c for c in weights.past.configurations if c.strategy in spaces]
    if not kept:
        raise PolicyError(
            f"{folder} knows the strategies {', '.join(gone)}, and none of them is among {', '.join(sorted(spaces))}. "
            f"{_ADVICE}"
        )
    if changed := sorted({c.strategy for c in kept if not _is_possible(c, spaces[c.strategy])}):
        raise PolicyError(
            f"{folder} was trained with other search spaces: configurations of {', '.join(changed)} are impossible "
            f"today. {_ADVICE}"
        )
    for name, trained in weights.card.get("strategies", {}).items():
        if name in spaces and trained != space_hash(spaces[name]):
            logger.info("%s: the search space of %s has changed since; what was recorded still fits", folder, name)
    return select_configurations(weights, [weights.past.position[c] for c in kept]) if gone else weights


def select_configurations(weights: PolicyWeights, indices: Iterable[int]) -> PolicyWeights:
    """Return the weights with some of the configurations."""
    chosen = np.array(list(indices), dtype=np.int64)
    new = {int(old): index for index, old in enumerate(chosen)}
    portfolios = {
        problem: {budget_s: tuple(new[index] for index in order if index in new) for budget_s, order in orders.items()}
        for problem, orders in weights.portfolios.items()
    }
    return replace(weights, past=weights.past.select_configurations(chosen), portfolios=portfolios)


def _is_possible(configuration: Configuration, space: SearchSpace) -> bool:
    try:
        space.check(configuration.parameters)
    except ValueError:
        return False
    return space.complete(configuration.parameters) == dict(configuration.parameters)
