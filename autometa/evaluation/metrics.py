"""Metrics by name, scorer or function as losses (lower is better), and back to the metric's own units."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from sklearn.metrics import get_scorer

from autometa._support.hints import did_you_mean
from autometa.core.task import Problem
from autometa.evaluation import losses
from autometa.evaluation.scorers import CustomLoss, callable_name, custom_kind, inner_function, is_loss

LossFunction = Callable[[np.ndarray, np.ndarray, "np.ndarray | None"], float]


@dataclass(frozen=True)
class Metric:
    """The loss that a fit minimises, and the metric behind it.

    Parameters
    ----------
    name : str
        Name of the metric, e.g. ``"roc_auc"``.
    function : callable
        ``function(y, predictions, sample_weight) -> loss``.
    higher_is_better : bool
        Whether the metric's own values are better when they are higher.
    best : float
        1 for metrics whose best value is 1, else 0; ``best − loss`` is higher when it is better.
    """

    name: str
    function: LossFunction
    higher_is_better: bool = False
    best: float = 0.0

    def loss(self, y: np.ndarray, predictions: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
        """Return the loss of predictions, lower is better.

        Parameters
        ----------
        y : ndarray of shape (n_rows,)
            Class codes 0 … n_classes − 1 (int64), or values. Classes may be missing.
        predictions : ndarray of shape (n_rows, n_classes) or (n_rows,)
            Probabilities, also where the metric needs labels only; values for regression.
        sample_weight : ndarray of shape (n_rows,) or None
            Non-negative weights; they are ignored if all are 0.

        Returns
        -------
        float
            0 is the best value, except for custom metrics. The loss of ROC AUC is 0.5 where
            `y` has a single class.

        Raises
        ------
        ValueError
            If predictions are not finite or of another length than `y`, or if a custom
            metric fails or returns no finite number.
        """
        if len(predictions) != len(y):
            raise ValueError(f"Predictions must have one row per row of y ({len(y)}), got {len(predictions)}.")
        # The sum is finite exactly when all predictions are (they are far from overflowing).
        if not np.isfinite(predictions.sum()):
            raise ValueError("Predictions must be finite, got NaN or infinity.")
        if sample_weight is not None and not sample_weight.any():
            sample_weight = None
        return self.function(y, predictions, sample_weight)

    def loss_or_inf(self, y: np.ndarray, predictions: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
        """Return the loss, infinite where a custom metric is not defined, e.g. for rows that lack a class."""
        try:
            return self.loss(y, predictions, sample_weight)
        except ValueError:
            return math.inf

    def score(self, loss: float) -> float:
        """Return the metric's own value behind a loss, in its usual direction and units."""
        return self.best - loss if self.higher_is_better else loss


def resolve_metric(
    metric: str | Callable[..., Any], problem: Problem, classes: np.ndarray | None = None, pos_label: Any = None
) -> Metric:
    """Return the metric of a name, a scorer or a metric function.

    Parameters
    ----------
    metric : str or callable
        ``"auto"`` (ROC AUC for two classes, log loss for more, root mean squared error
        for regression); a name of autometa or of a scorer of scikit-learn; a scorer
        ``(estimator, X, y)``, which gets labels but an `X` without columns; or a function
        ``(y_true, y_pred)`` of labels or values, whose name ends in ``_score`` if higher
        is better and in ``_loss`` or ``_error`` if lower is better.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    classes : ndarray of shape (n_classes,) or None
        The labels behind the class codes, for scorers.
    pos_label : label or None
        The positive one of two classes, for metrics of one class such as ``"f1"``; None is the
        second.

    Raises
    ------
    ValueError
        If the name is unknown or the metric does not fit the problem; if a callable fails
        on a small example; if `pos_label` is no class, or is given without two classes or with a
        callable.
    TypeError
        If `metric` is neither a name nor a suitable callable.

    Examples
    --------
    >>> metric = resolve_metric("neg_root_mean_squared_error", "regression")
    >>> metric.name, metric.score(metric.loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    ('rmse', 1.4142135623730951)
    """
    if isinstance(metric, str):
        named = _named(metric, problem, classes)
        return named if pos_label is None else _with_positive(named, problem, classes, pos_label)
    if not callable(metric):
        raise TypeError(f"metric must be a name or a scorer, got {metric!r}.")
    if pos_label is not None:
        raise ValueError(
            f"pos_label={pos_label!r} is for metrics by name. Give it to the scorer itself, e.g. "
            f"make_scorer({callable_name(metric)}, pos_label={pos_label!r})."
        )
    kind = custom_kind(metric)
    resolved = Metric(
        callable_name(metric),
        CustomLoss(metric, kind, problem, classes),
        higher_is_better=kind != "loss" and not is_loss(metric),
    )
    _try_out(resolved, problem, classes)
    return resolved


def kind_of_problem(metric: str | Callable[..., Any]) -> Literal["classification", "regression"] | None:
    """Return the kind of problem that a metric is for, None if that is unknown.

    It is known for named metrics, metric functions of scikit-learn, scorers made of them, and
    scorers that ask for probabilities.

    Examples
    --------
    >>> kind_of_problem("neg_mean_absolute_error"), kind_of_problem("f1"), kind_of_problem("auto")
    ('regression', 'classification', None)
    """
    if isinstance(metric, str):
        problems = _PROBLEMS.get(_canonical(metric))
        return None if problems is None else "regression" if "regression" in problems else "classification"
    if not callable(metric):
        return None
    module = getattr(inner_function(metric), "__module__", None)
    if module == "sklearn.metrics._regression":
        return "regression"
    if module in ("sklearn.metrics._classification", "sklearn.metrics._ranking"):
        return "classification"
    # Scorers that ask for probabilities are for classes; scorers of `predict` fit both.
    return "classification" if getattr(metric, "_response_method", "predict") != "predict" else None


def positive_class(metric: Metric, classes: np.ndarray | None, pos_label: Any = None) -> Any:
    """Return the label of the positive class of a metric of one class, None for other metrics."""
    if metric.name not in _OF_ONE_CLASS or classes is None or len(classes) != 2:
        return None
    return classes.tolist()[1 if pos_label is None else _positive_code(classes, pos_label)]


def judges_labels(metric: Metric) -> bool:
    """Return whether a metric judges predicted labels, not probabilities; true for metrics of values, too.

    Examples
    --------
    >>> judges_labels(resolve_metric("f1", "binary")), judges_labels(resolve_metric("roc_auc", "binary"))
    (True, False)
    """
    function = metric.function
    if isinstance(function, CustomLoss):
        return function.kind != "scorer" or getattr(function.call, "_response_method", "predict") == "predict"
    return isinstance(function, partial) and function.func is _one_minus_confusion


def metric_names(problem: Problem) -> list[str]:
    """Return the names of the metrics that fit a problem; scikit-learn's names of them are known, too."""
    return sorted(name for name, problems in _PROBLEMS.items() if problem in problems)


# -- the list of metrics ------------------------------------------------------------------------


def _one_minus(score: LossFunction, y: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None) -> float:
    return 1.0 - score(y, predictions, weight)


def _one_minus_confusion(
    score: Callable[[np.ndarray], float], y: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None
) -> float:
    return 1.0 - score(losses.confusion_matrix(y, predictions, weight))


def _with_first_class_positive(
    function: LossFunction, y: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None
) -> float:
    return function(1 - y, predictions[:, ::-1], weight)


def _of_first_class(score: Callable[[np.ndarray], float], confusion: np.ndarray) -> float:
    return score(confusion[::-1, ::-1])


def _score(name: str, function: LossFunction) -> Metric:
    return Metric(name, partial(_one_minus, function), higher_is_better=True, best=1.0)


def _label_score(name: str, function: Callable[[np.ndarray], float]) -> Metric:
    return Metric(name, partial(_one_minus_confusion, function), higher_is_better=True, best=1.0)


_BINARY: tuple[Problem, ...] = ("binary",)
_CLASSIFICATION: tuple[Problem, ...] = ("binary", "multiclass")
_REGRESSION: tuple[Problem, ...] = ("regression",)

_METRICS: tuple[tuple[Metric, tuple[Problem, ...]], ...] = (
    (_score("roc_auc", losses.roc_auc_score), _CLASSIFICATION),
    (_score("average_precision", losses.average_precision_score), _CLASSIFICATION),
    (Metric("log_loss", losses.log_loss), _CLASSIFICATION),
    (Metric("brier", losses.brier), _CLASSIFICATION),
    (_label_score("accuracy", losses.accuracy_score), _CLASSIFICATION),
    (_label_score("balanced_accuracy", losses.balanced_accuracy_score), _CLASSIFICATION),
    (_label_score("f1", losses.f1_score), _BINARY),
    (_label_score("f1_macro", losses.f1_macro_score), _CLASSIFICATION),
    (_label_score("f1_weighted", losses.f1_weighted_score), _CLASSIFICATION),
    (_label_score("precision", losses.precision_score), _BINARY),
    (_label_score("precision_macro", losses.precision_macro_score), _CLASSIFICATION),
    (_label_score("recall", losses.recall_score), _BINARY),
    (_label_score("recall_macro", losses.recall_macro_score), _CLASSIFICATION),
    (_label_score("matthews", losses.matthews_score), _CLASSIFICATION),
    (_label_score("cohen_kappa", losses.cohen_kappa_score), _CLASSIFICATION),
    (Metric("rmse", losses.rmse), _REGRESSION),
    (Metric("mse", losses.mse), _REGRESSION),
    (Metric("mae", losses.mae), _REGRESSION),
    (Metric("median_absolute_error", losses.median_absolute_error), _REGRESSION),
    (Metric("mape", losses.mape), _REGRESSION),
    (Metric("rmsle", losses.rmsle), _REGRESSION),
    (Metric("msle", losses.msle), _REGRESSION),
    (_score("r2", losses.r2_score), _REGRESSION),
)

# Scorers of scikit-learn that are called as they are, because they are rarely asked for.
_DELEGATED: dict[str, tuple[Problem, ...]] = {
    "jaccard_macro": _CLASSIFICATION,
    "jaccard_weighted": _CLASSIFICATION,
    "precision_weighted": _CLASSIFICATION,
    "d2_absolute_error_score": _REGRESSION,
    "explained_variance": _REGRESSION,
    "neg_max_error": _REGRESSION,
    "neg_mean_poisson_deviance": _REGRESSION,
    "neg_mean_gamma_deviance": _REGRESSION,
}

# Metrics of the positive class; the others are the same whichever of two classes is positive.
_OF_ONE_CLASS: dict[str, Callable[..., float]] = {
    "f1": losses.f1_score,
    "precision": losses.precision_score,
    "recall": losses.recall_score,
    "average_precision": losses.average_precision_score,
}

_BY_NAME = {metric.name: metric for metric, _ in _METRICS}
_PROBLEMS = {metric.name: problems for metric, problems in _METRICS} | _DELEGATED
_DEFAULTS: dict[Problem, str] = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}

# Other names of metrics, without the prefix "neg_" and the suffix "_score" of scikit-learn.
_ALIASES = {
    "acc": "accuracy",
    "auc": "roc_auc",
    "roc_auc_ovr": "roc_auc",
    "brier_loss": "brier",
    "logloss": "log_loss",
    "cross_entropy": "log_loss",
    "kappa": "cohen_kappa",
    "mcc": "matthews",
    "matthews_corrcoef": "matthews",
    "recall_weighted": "accuracy",
    "f1_micro": "accuracy",
    "precision_micro": "accuracy",
    "recall_micro": "accuracy",
    "root_mean_squared_error": "rmse",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "root_mean_squared_log_error": "rmsle",
    "mean_squared_log_error": "msle",
}


def _named(metric: str, problem: Problem, classes: np.ndarray | None) -> Metric:
    name = _DEFAULTS[problem] if metric == "auto" else _canonical(metric)
    fitting = ", ".join(metric_names(problem))
    if name not in _PROBLEMS:
        hint = did_you_mean(name, [*_PROBLEMS, *_ALIASES])
        raise ValueError(f"Unknown metric {metric!r}.{hint} For {problem} there are: auto, {fitting}.")
    if problem not in _PROBLEMS[name]:
        raise ValueError(f"The metric {metric!r} does not fit a {problem} target. Fitting ones are: auto, {fitting}.")
    if name in _BY_NAME:
        return _BY_NAME[name]
    delegated = resolve_metric(get_scorer(name), problem, classes)
    return replace(delegated, name=name)


def _canonical(metric: str) -> str:
    """Return autometa's name of a metric; an unknown name in lower case."""
    name = metric.strip().lower()
    if name in _PROBLEMS:
        return name
    short = name.removeprefix("neg_").removesuffix("_score")
    return _ALIASES.get(short, short if short in _PROBLEMS else name)


def _positive_code(classes: np.ndarray, pos_label: Any) -> int:
    matches = [code for code, label in enumerate(classes.tolist()) if label == pos_label]
    if not matches:
        listed = " and ".join(repr(label) for label in classes.tolist())
        raise ValueError(f"pos_label must be one of the classes, {listed}, got {pos_label!r}.")
    return matches[0]


def _with_positive(metric: Metric, problem: Problem, classes: np.ndarray | None, pos_label: Any) -> Metric:
    """Return a named metric whose positive class is `pos_label`."""
    if problem != "binary":
        raise ValueError(
            f"pos_label={pos_label!r} is for targets of two classes, and this one is {problem}. Leave pos_label out."
        )
    code = pos_label if classes is None else _positive_code(classes, pos_label)
    if code == 1 or metric.name not in _OF_ONE_CLASS:
        return metric
    score = _OF_ONE_CLASS[metric.name]
    if metric.name == "average_precision":
        return _score(metric.name, partial(_with_first_class_positive, score))
    # The confusion matrix is reversed, not the predictions: ties still go to the class that `predict` returns.
    return _label_score(metric.name, partial(_of_first_class, score))


def _try_out(metric: Metric, problem: Problem, classes: np.ndarray | None) -> None:
    """Call a custom metric on a small example, so that a faulty one is found before the search."""
    n_classes = 0 if problem == "regression" else len(classes) if classes is not None else 2 + (problem == "multiclass")
    n_rows = 10 * max(2, n_classes)
    if problem == "regression":
        y = np.arange(1.0, n_rows + 1)
        predictions = y + 0.5
    else:
        y = np.arange(n_rows) % n_classes
        predicted = np.where(np.arange(n_rows) % 4 == 0, (y + 1) % n_classes, y)
        predictions = np.full((n_rows, n_classes), 0.5 / n_classes)
        predictions[np.arange(n_rows), predicted] += 0.5
    metric.loss(y, predictions)
