"""Linear models: logistic regression, ridge regression and the elastic net.

Regression targets are standardised, so that a penalty means the same at every scale of the target.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from autometa._support.warning_filters import ignored_warnings
from autometa.core.space import Value
from autometa.learners.base import FitData, Learner
from autometa.learners.numeric import LinearModel, TargetScale, bounded
from autometa.learners.ridge import solve_ridge


def solve_logistic(
    X: np.ndarray, y: np.ndarray, n_classes: int, C: float, sample_weight: np.ndarray | None, max_iter: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and intercept of an L2-penalised multinomial logistic regression.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Finite numbers of moderate size.
    y : ndarray of shape (n_rows,)
        Class codes; every class has a row.
    n_classes : int
        Number of classes, at least 2.
    C : float
        Inverse strength of the penalty, > 0.
    sample_weight : ndarray of shape (n_rows,) or None
        Weights of the rows.
    max_iter : int
        Bound on the solver's iterations.

    Returns
    -------
    coefficients : ndarray of shape (n_features, n_outputs)
        One output for two classes (the logit of class 1), else one per class.
    intercept : ndarray of shape (n_outputs,)
    """
    from sklearn.linear_model import LogisticRegression

    # Newton needs few steps but a Hessian of (features × classes)²; L-BFGS needs neither.
    n_unknowns = X.shape[1] * (1 if n_classes == 2 else n_classes)
    solver = "newton-cholesky" if n_unknowns <= 100 and len(X) >= n_unknowns else "lbfgs"
    estimator = LogisticRegression(C=C, solver=solver, max_iter=max_iter, tol=1e-4)
    # The loose tolerance is deliberate: the last digits take most of the time and change no prediction.
    # Newton falls back to L-BFGS when the Hessian is singular, and scipy warns of it.
    with ignored_warnings(), np.errstate(all="ignore"):
        estimator.fit(X, y, sample_weight=sample_weight)
    return estimator.coef_.T, estimator.intercept_


def fit_logistic_regression(data: FitData, parameters: Mapping[str, Value]) -> LinearModel:
    """Return a multinomial logistic regression with an L2 penalty.

    Parameters
    ----------
    data : FitData
        Rows of the numeric view, problem binary or multiclass.
    parameters : mapping
        ``C``: inverse strength of the penalty.
    """
    C = float(parameters.get("C", 1.0))  # type: ignore[arg-type]
    coefficients, intercept = solve_logistic(
        bounded(data.X), data.y, data.n_classes, C, data.sample_weight, max_iter=100
    )
    return LinearModel(coefficients, intercept)


def fit_ridge(data: FitData, parameters: Mapping[str, Value]) -> LinearModel:
    """Return a linear regression with an L2 penalty on the standardised target.

    Parameters
    ----------
    data : FitData
        Rows of the numeric view, problem regression.
    parameters : mapping
        ``alpha``: strength of the penalty, in units of rows.
    """
    scale = TargetScale(data.y, data.sample_weight)
    alpha = float(parameters.get("alpha", 1.0))  # type: ignore[arg-type]
    coefficients, intercept = solve_ridge(bounded(data.X), scale.standardise(data.y), alpha, data.sample_weight)
    return LinearModel(coefficients, intercept, scale)


def fit_elastic_net(data: FitData, parameters: Mapping[str, Value]) -> LinearModel:
    """Return a linear regression with L1 and L2 penalties on the standardised target.

    Parameters
    ----------
    data : FitData
        Rows of the numeric view, problem regression.
    parameters : mapping
        ``alpha``: strength of the penalty; ``l1_ratio``: share of L1 in it.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import ElasticNet

    scale = TargetScale(data.y, data.sample_weight)
    net = ElasticNet(
        alpha=float(parameters.get("alpha", 1e-3)),  # type: ignore[arg-type]
        l1_ratio=float(parameters.get("l1_ratio", 0.5)),  # type: ignore[arg-type]
        max_iter=300,
        tol=1e-3,
        # Random order visits correlated columns apart from each other and converges sooner.
        selection="random",
        random_state=data.seed,
        # With the Gram matrix a sweep costs columns² instead of rows × columns.
        precompute=len(data.X) > data.X.shape[1] and data.sample_weight is None,
    )
    # Coordinate descent does not converge within these iterations under weak penalties, deliberately.
    with ignored_warnings(ConvergenceWarning):
        net.fit(bounded(data.X), scale.standardise(data.y).astype(np.float32), sample_weight=data.sample_weight)
    return LinearModel(net.coef_.reshape(-1, 1), np.reshape(net.intercept_, 1), scale)


LOGISTIC_REGRESSION = Learner(
    name="logistic_regression", view="numeric", fit=fit_logistic_regression, is_quick=True, saved_types=(LinearModel,)
)
RIDGE = Learner(name="ridge", view="numeric", fit=fit_ridge, is_quick=True, saved_types=(LinearModel,))
ELASTIC_NET = Learner(
    name="elastic_net", view="numeric", fit=fit_elastic_net, is_quick=True, saved_types=(LinearModel,)
)
