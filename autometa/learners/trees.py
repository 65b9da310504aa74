"""Tree ensembles of scikit-learn: histogram gradient boosting, random forest, extremely randomised trees."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from autometa._support.numeric_threads import openmp_threads
from autometa.core.budget import Deadline
from autometa.core.space import Value
from autometa.learners.base import FitData, Learner, stages_before
from autometa.learners.boosting_iterations import first_iterations, without_encoder
from autometa.learners.early_stopping import iterations_to_do, stops_early
from autometa.learners.numeric import TargetScale, standardised, target_scale
from autometa.learners.packed_trees import packed_trees, unpacked_trees
from autometa.learners.screening import screened

_MAX_CATEGORIES = 255
"""Limit of scikit-learn's histogram gradient boosting; columns with more categories are taken as numbers."""

_FOREST_BYTES = 96 * 2**20
"""Bound on the memory of one forest's trees. Fully grown trees on 60,000 rows with 60 classes would take gigabytes."""


class HistogramModel:
    """A fitted histogram gradient boosting.

    Parameters
    ----------
    estimator : HistGradientBoostingClassifier or HistGradientBoostingRegressor
        Fitted on class codes, or on a standardised target.
    scale : TargetScale or None
        How a regression target was standardised; None for classification.
    columns : ndarray of int or None
        Columns that it was fitted on; None for all of them.
    is_cut_short : bool
        Whether the deadline ended the fit.
    """

    def __init__(
        self, estimator: Any, scale: TargetScale | None, columns: np.ndarray | None, is_cut_short: bool = False
    ) -> None:
        self.estimator = estimator
        self.scale = scale
        self.columns = columns
        self.is_cut_short = is_cut_short
        self.n_iterations: int = int(estimator.n_iter_)

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return probabilities (n_rows, n_classes) or values (n_rows,)."""
        if self.columns is not None:
            X = X[:, self.columns]
        estimator, rows = without_encoder(self.estimator, X)
        with openmp_threads(n_threads):
            if self.scale is not None:
                return self.scale.restore(estimator.predict(rows))
            return estimator.predict_proba(rows)

    def staged_predict(self, X: np.ndarray, n_threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """Yield n and what `predict` would return with the first n iterations only, for n = 1, 2, 4, …."""
        for n_iterations in stages_before(self.n_iterations):
            # scikit-learn's own staged prediction computes every iteration.
            estimator = first_iterations(self.estimator, n_iterations)
            yield n_iterations, HistogramModel(estimator, self.scale, self.columns).predict(X, n_threads)


@dataclass(eq=False, repr=False)
class ForestModel:
    """A fitted forest.

    Parameters
    ----------
    estimator : scikit-learn forest
        Fitted on class codes, or on a standardised target.
    scale : TargetScale or None
        How a regression target was standardised; None for classification.
    is_cut_short : bool
        Whether the deadline came before the last tree.
    """

    n_iterations: ClassVar[int | None] = None

    estimator: Any
    scale: TargetScale | None
    is_cut_short: bool = False

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        estimator = state.pop("estimator", None)
        return state if estimator is None else {**state, "trees": packed_trees(estimator)}

    def __getattr__(self, name: str) -> Any:
        # A model that was pickled or saved makes its forest of the packed trees when it first predicts.
        packed = vars(self).get("trees")
        if name in vars(self):  # another thread has made it
            return vars(self)[name]
        if name != "estimator" or packed is None:
            raise AttributeError(f"ForestModel has no attribute {name!r}")
        self.estimator = unpacked_trees(packed)
        vars(self).pop("trees", None)
        return self.estimator

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return probabilities (n_rows, n_classes) or values (n_rows,)."""
        trees = self.estimator.estimators_
        # scikit-learn's own loop would replace the warning filters in each of its threads.
        total = np.zeros((len(X), trees[0].tree_.value.shape[2]))
        for tree in trees:
            total += tree.tree_.predict(X)
        if self.scale is not None:
            return self.scale.restore(total[:, 0] / len(trees))
        # As if one more tree voted for all classes alike: no class gets probability 0 because no tree has met it.
        return (total + 1.0 / total.shape[1]) / (len(trees) + 1)


class Pace:
    """Predicts from earlier chunks how many iterations fit before the deadline.

    A call of `fit` has a fixed cost (binning, checks) and a cost per iteration; the last two calls tell them apart.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self._calls: list[tuple[int, float]] = []
        self._started_s = time.monotonic()

    def record(self, n_iterations: int) -> None:
        """Record that a call of `n_iterations` has just ended."""
        now = time.monotonic()
        self._calls.append((n_iterations, now - self._started_s))
        self._started_s = now

    def affordable(self, wanted: int) -> int:
        """Return how many iterations, at most `wanted`, fit before the deadline; the first one is always made."""
        if not self._calls:
            return min(1, wanted)
        fixed_s, each_s = self._costs()
        left_s = self.deadline.remaining_s() - fixed_s
        return int(min(wanted, max(0.0, left_s) / max(each_s, 1e-6)))

    def _costs(self) -> tuple[float, float]:
        n_last, last_s = self._calls[-1]
        if len(self._calls) == 1:
            return 0.0, last_s / n_last
        n_before, before_s = self._calls[-2]
        each_s = last_s / n_last
        if n_last != n_before:
            each_s = min(each_s, max(0.0, (last_s - before_s) / (n_last - n_before)))
        return max(0.0, last_s - n_last * each_s), max(each_s, 0.5 * last_s / n_last)


def fit_hist_gradient_boosting(data: FitData, parameters: Mapping[str, Value]) -> HistogramModel:
    """Return scikit-learn's histogram gradient boosting, stopped early on the validation rows."""
    data, columns = screened(data)
    scale = target_scale(data)
    chosen: dict[str, Any] = {"learning_rate": 0.08, "min_samples_leaf": 20, **parameters}
    chosen["min_samples_leaf"] = max(1, min(chosen["min_samples_leaf"], len(data.y) // 25))
    is_validated = stops_early(data)
    native = data.categorical & (data.n_categories <= _MAX_CATEGORIES)
    estimator_class = HistGradientBoostingClassifier if scale is None else HistGradientBoostingRegressor
    estimator = estimator_class(
        categorical_features=native if native.any() else None,
        early_stopping=is_validated,
        scoring="loss",
        n_iter_no_change=round(min(100.0, max(15.0, 2.0 / chosen["learning_rate"]))),
        tol=0.0,
        warm_start=True,
        random_state=data.seed,
        **chosen,
    )
    y = standardised(data.y, scale)
    validation: dict[str, Any] = {}
    if is_validated:
        assert data.y_val is not None
        y_val = standardised(data.y_val, scale)
        validation = {"X_val": data.X_val, "y_val": y_val, "sample_weight_val": data.sample_weight_val}

    def grow_to(n_iterations: int) -> bool:
        estimator.set_params(max_iter=n_iterations).fit(data.X, y, data.sample_weight, **validation)
        return estimator.n_iter_ < n_iterations

    default = round(10 / chosen["learning_rate"])
    limit = round(min(2000.0, 150 / chosen["learning_rate"]))
    with openmp_threads(data.n_threads):
        is_cut_short = not _grow_in_chunks(grow_to, iterations_to_do(data, default, limit), data.deadline)
    # The first validation score is that of zero trees.
    best = int(np.argmax(estimator.validation_score_[1:])) + 1 if is_validated else int(estimator.n_iter_)
    return HistogramModel(first_iterations(estimator, best), scale, columns, is_cut_short)


def _fit_forest(classifier: Any, regressor: Any, data: FitData, parameters: Mapping[str, Value]) -> ForestModel:
    """Return a forest of one of two classes of scikit-learn, with fewer trees if the deadline ends the fit."""
    scale = target_scale(data)
    chosen: dict[str, Any] = {"n_estimators": 100, "max_features": 0.4, "min_samples_leaf": 2, **parameters}
    n_trees = int(chosen.pop("n_estimators"))
    n_columns = data.X.shape[1]
    # On wide tables the time of a split grows with its columns; more than this many add little.
    chosen["max_features"] = max(1, round(min(chosen["max_features"] * n_columns, 10 * math.sqrt(n_columns))))
    n_leaves = affordable_leaves(n_trees, max(1, data.n_classes))
    estimator = (classifier if scale is None else regressor)(
        # With a bound scikit-learn grows trees best-first, which is slower.
        max_leaf_nodes=n_leaves if n_leaves < len(data.y) else None,
        warm_start=True,
        n_jobs=data.n_threads,
        random_state=data.seed,
        **chosen,
    )
    # scikit-learn's check for infinite values refuses a read-only buffer with missing values.
    X = data.X if data.X.flags.writeable else np.array(data.X)
    y = standardised(data.y, scale)

    def grow_to(n_iterations: int) -> bool:
        estimator.set_params(n_estimators=n_iterations).fit(X, y, data.sample_weight)
        return False

    is_cut_short = not _grow_in_chunks(grow_to, n_trees, data.deadline)
    _forget_training(estimator, scale is not None)
    return ForestModel(estimator, scale, is_cut_short)


def _forget_training(forest: Any, is_regression: bool) -> None:
    """Set to 0 what prediction does not read, and round values to single precision, so that files are small."""
    for estimator in forest.estimators_:
        tree = estimator.tree_
        for array in (tree.impurity, tree.n_node_samples, tree.weighted_n_node_samples):
            array[:] = 0
        tree.value[tree.children_left >= 0] = 0
        if is_regression:
            tree.value[:] = tree.value.astype(np.float32)


def affordable_leaves(n_trees: int, n_outputs: int) -> int:
    """Return the number of leaves per tree that keeps the forest within its memory."""
    bytes_per_node = 64 + 8 * n_outputs
    return max(16, _FOREST_BYTES // (2 * n_trees * bytes_per_node))


def _grow_in_chunks(grow_to: Callable[[int], bool], n_wanted: int, deadline: Deadline) -> bool:
    """Call `grow_to` with growing numbers of iterations while the next call fits before the deadline.

    `grow_to` continues from its last call and returns whether the fit stopped early. The chunks are the same whatever
    the time, so that only the last one depends on it. Returns whether all iterations were made that the fit needs.
    """
    pace = Pace(deadline)
    n_done = 0
    while chunk := pace.affordable(min(n_wanted - n_done, _next_chunk(n_done))):
        ended = grow_to(n_done + chunk)
        pace.record(chunk)
        n_done += chunk
        if ended:
            return True
    return n_done >= n_wanted


def _next_chunk(n_done: int) -> int:
    """Return 1, 4, 10, 15, 30, then as many as were done before: small first chunks measure the pace cheaply."""
    return {0: 1, 1: 4, 5: 10, 15: 15}.get(n_done, n_done)


HIST_GRADIENT_BOOSTING = Learner(
    name="hist_gradient_boosting",
    view="tree",
    fit=fit_hist_gradient_boosting,
    keeps_deadline=True,
    has_iterations=True,
    saved_types=(HistogramModel,),
)
_FIT_RANDOM_FOREST = partial(_fit_forest, RandomForestClassifier, RandomForestRegressor)
_FIT_EXTRA_TREES = partial(_fit_forest, ExtraTreesClassifier, ExtraTreesRegressor)
RANDOM_FOREST = Learner(
    name="random_forest", view="tree", fit=_FIT_RANDOM_FOREST, keeps_deadline=True, saved_types=(ForestModel,)
)
EXTRA_TREES = Learner(
    name="extra_trees", view="tree", fit=_FIT_EXTRA_TREES, keeps_deadline=True, saved_types=(ForestModel,)
)
