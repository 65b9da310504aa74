"""A strategy: one learner with its search space, and the tasks that it suits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution

from autometa.core.space import Configuration, SearchSpace, Value, is_valid
from autometa.core.task import PROBLEMS, Problem, TaskDescription


@dataclass(frozen=True)
class Fitness:
    """The problems and table sizes that a strategy suits; bounds are inclusive, None is no bound."""

    problems: tuple[Problem, ...] = PROBLEMS
    min_rows: int = 0
    max_rows: int | None = None
    max_columns: int | None = None
    max_classes: int | None = None

    def __post_init__(self) -> None:
        # A single string would be searched letter by letter.
        problems = (self.problems,) if isinstance(self.problems, str) else tuple(self.problems)
        if not problems or (unknown := [problem for problem in problems if problem not in PROBLEMS]):
            raise ValueError(f"problems must be one or more of {PROBLEMS}, got {unknown if problems else problems}.")
        object.__setattr__(self, "problems", problems)
        for name in ("min_rows", "max_rows", "max_columns", "max_classes"):
            bound = getattr(self, name)
            if bound is not None and bound < 0:
                raise ValueError(f"{name} must not be negative, got {bound}.")
        if self.max_rows is not None and self.max_rows < self.min_rows:
            raise ValueError(f"min_rows <= max_rows must hold, got {self.min_rows} and {self.max_rows}.")

    def reason_against(self, task: TaskDescription) -> str:
        """Return why a task does not suit the strategy, or an empty text."""
        if task.problem not in self.problems:
            return f"not for {task.problem}"
        if task.n_rows < self.min_rows:
            return f"needs at least {self.min_rows} rows"
        for name, value, bound in (
            ("rows", task.n_rows, self.max_rows),
            ("columns", task.n_columns, self.max_columns),
            ("classes", task.n_classes, self.max_classes),
        ):
            if bound is not None and value > bound:
                return f"only up to {bound} {name}"
        return ""


@dataclass(frozen=True)
class Strategy:
    """One learner with its search space, its preparation and its portfolio.

    Parameters
    ----------
    name : str
        Letters, digits and underscores; unique within a run.
    learner : str or scikit-learn estimator
        Name in ``autometa.learners.LEARNERS``, or an unfitted estimator of your own,
        which is cloned and configured with ``set_params``.
    space : SearchSpace or mapping of str to optuna.distributions.BaseDistribution
        Hyperparameters that may be tried.
    portfolio : sequence of mappings
        Configurations to try first, in order. Missing parameters take the space's
        defaults, so ``{}`` is the default configuration.
    published : sequence of mappings
        Good default configurations from the literature. They are measured for the meta-dataset,
        so that a policy can choose them; the portfolio need not contain them.
    fitness : Fitness
        Problems and table sizes that it suits.
    score : float
        Prior score of the strategy; a softmax over the scores gives its probability.
    cost : float
        Typical seconds of a fit relative to LightGBM's on the same rows, > 0; used until
        the strategy has been measured on the task.
    source : str
        Where the ranges come from.
    description : str
        Its strengths, in one line.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> from optuna.distributions import FloatDistribution
    >>> strategy = Strategy("svc", SVC(), {"C": FloatDistribution(0.01, 100, log=True)})
    >>> strategy.portfolio[0].parameters
    mappingproxy({'C': 1.0})
    """

    name: str
    learner: Any
    space: SearchSpace = field(default_factory=SearchSpace)
    portfolio: tuple[Configuration, ...] = ()
    published: tuple[Configuration, ...] = ()
    fitness: Fitness = field(default_factory=Fitness)
    score: float = 0.0
    cost: float = 1.0
    source: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(
                "A strategy's name must be letters, digits and underscores and not start with a digit, "
                f"got {self.name!r}."
            )
        if not (math.isfinite(self.cost) and self.cost > 0):
            raise ValueError(f"Strategy {self.name!r}: cost must be a positive number, got {self.cost!r}.")
        if not math.isfinite(self.score):
            raise ValueError(f"Strategy {self.name!r}: score must be a finite number, got {self.score!r}.")
        # A class has `fit` and `get_params` too, but cannot be cloned.
        is_estimator = hasattr(self.learner, "fit") and hasattr(self.learner, "get_params")
        if not isinstance(self.learner, str) and (isinstance(self.learner, type) or not is_estimator):
            raise TypeError(
                f"Strategy {self.name!r}: learner must be a learner's name or a scikit-learn estimator "
                f"(an instance, with fit and get_params), got {self.learner!r}."
            )
        object.__setattr__(self, "space", self._checked_space())
        object.__setattr__(self, "portfolio", self._configurations("portfolio", self.portfolio or ({},)))
        object.__setattr__(self, "published", self._configurations("published", self.published))

    def _configurations(
        self, name: str, given: Sequence[Configuration | Mapping[str, Value]]
    ) -> tuple[Configuration, ...]:
        # Entries that are equal once completed with the defaults are tried once.
        return tuple(dict.fromkeys(self._configuration(name, item) for item in given))

    def _configuration(self, name: str, item: Configuration | Mapping[str, Value]) -> Configuration:
        parameters = item.parameters if isinstance(item, Configuration) else item
        if not isinstance(parameters, Mapping):
            raise TypeError(f"Strategy {self.name!r}: {name} must be a sequence of mappings, got the entry {item!r}.")
        self.space.check(parameters)
        return Configuration(self.name, self.space.complete(parameters))

    def _checked_space(self) -> SearchSpace:
        """Return the space; the defaults of a bare mapping are the estimator's current parameters."""
        given: SearchSpace | Mapping[str, BaseDistribution] = self.space
        distributions = given.distributions if isinstance(given, SearchSpace) else given
        if isinstance(self.learner, str):
            return given if isinstance(given, SearchSpace) else SearchSpace(distributions)
        current = self.learner.get_params()
        if unknown := sorted(set(distributions) - set(current)):
            raise ValueError(
                f"Strategy {self.name!r}: {type(self.learner).__name__} has no parameter {unknown}; "
                f"it has {sorted(current)}."
            )
        if isinstance(given, SearchSpace):
            return given
        defaults = {
            name: current[name] for name, distribution in distributions.items() if is_valid(distribution, current[name])
        }
        return SearchSpace(distributions, defaults=defaults)
