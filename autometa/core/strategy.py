"""A way to solve tasks that a policy can choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution

from autometa.core.space import Configuration, SearchSpace, Value, is_valid
from autometa.core.task import PROBLEMS, Problem, TaskDescription


@dataclass(frozen=True)
class Fitness:
    """The problems and sizes that a strategy is fit for; bounds are inclusive, None is no bound."""

    problems: tuple[Problem, ...] = PROBLEMS
    min_rows: int = 0
    max_rows: int | None = None
    max_columns: int | None = None
    max_classes: int | None = None

    def reason_against(self, task: TaskDescription) -> str:
        """Return why a task does not fit, or an empty text."""
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
        which is cloned and given each configuration with ``set_params``.
    space : SearchSpace or mapping of str to optuna.distributions.BaseDistribution
        What may be tried.
    portfolio : sequence of mappings
        Configurations to try first, in order. What one leaves out takes the space's
        default, so ``{}`` is the default configuration.
    fitness : Fitness
        Problems and sizes that it is fit for.
    score : float
        Prior score of the strategy; a softmax over the scores gives its probability.
    source : str
        Where the ranges come from.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> from optuna.distributions import FloatDistribution
    >>> strategy = Strategy("svc", SVC(), {"C": FloatDistribution(0.01, 100, log=True)})
    >>> strategy.portfolio[0].parameters
    mappingproxy({})
    """

    name: str
    learner: Any
    space: SearchSpace = field(default_factory=SearchSpace)
    portfolio: tuple[Configuration, ...] = ()
    fitness: Fitness = field(default_factory=Fitness)
    score: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"A strategy's name must be letters, digits and underscores, got {self.name!r}.")
        if not isinstance(self.learner, str) and not (hasattr(self.learner, "fit") and hasattr(self.learner, "get_params")):
            raise TypeError(
                f"Strategy {self.name!r}: learner must be a learner's name or a scikit-learn estimator "
                f"(an instance, with fit and get_params), got {self.learner!r}."
            )
        space = self.space if isinstance(self.space, SearchSpace) else self._own_space(self.space)
        object.__setattr__(self, "space", space)
        portfolio = tuple(self._configuration(item) for item in (self.portfolio or ({},)))
        object.__setattr__(self, "portfolio", portfolio)

    def _configuration(self, item: Configuration | Mapping[str, Value]) -> Configuration:
        parameters = item.parameters if isinstance(item, Configuration) else item
        self.space.check(parameters)
        return Configuration(self.name, self.space.complete(parameters))

    def _own_space(self, distributions: Mapping[str, BaseDistribution]) -> SearchSpace:
        """Return a space whose defaults are what the estimator is set to."""
        current = {} if isinstance(self.learner, str) else self.learner.get_params()
        if not isinstance(self.learner, str) and (unknown := sorted(set(distributions) - set(current))):
            raise ValueError(
                f"Strategy {self.name!r}: {type(self.learner).__name__} has no parameter {unknown}; it has {sorted(current)}."
            )
        defaults = {
            name: current[name]
            for name, distribution in distributions.items()
            if name in current and is_valid(distribution, current[name])
        }
        return SearchSpace(distributions, defaults=defaults)
