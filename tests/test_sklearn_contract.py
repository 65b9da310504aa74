"""scikit-learn's own checks of estimators, on both estimators."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from autometa import AutoMetaClassifier, AutoMetaRegressor

WEIGHTS = (
    "folds are drawn over rows, so a row of weight 2 falls into one fold where two rows may fall into two; "
    "scikit-learn's own cross-validated estimators are exempt for the same reason"
)
# A check that fails for a reason belongs here, with the reason; the test fails when one passes.
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
    "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
}


def expected_failures(estimator: Any) -> dict[str, str]:
    return EXPECTED_FAILURES


ARGUMENTS: dict[str, Any] = {"n_trials": 2, "cv": 3, "random_state": 0, "n_jobs": 1, "ensemble_size": 5}


@pytest.mark.filterwarnings("ignore::UserWarning")
@parametrize_with_checks(
    [
        AutoMetaClassifier(strategies=["logistic_regression", "lightgbm"], **ARGUMENTS),
        AutoMetaRegressor(strategies=["ridge", "lightgbm"], **ARGUMENTS),
    ],
    expected_failed_checks=expected_failures,
    xfail_strict=True,
)
def test_estimators_pass_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)
