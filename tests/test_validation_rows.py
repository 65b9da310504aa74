"""Validation rows of the caller."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from autometa import AutoMeta
from autometa.validation_rows import join_rows

QUICK = {"n_trials": 3, "strategies": ["nearest_neighbours", "logistic_regression"], "random_state": 0, "n_jobs": 1}
RNG = np.random.default_rng(0)


def table(n_rows: int) -> tuple[pd.DataFrame, pd.Series]:
    X = pd.DataFrame({"a": RNG.normal(size=n_rows), "b": pd.Categorical(RNG.choice(list("xyz"), n_rows))})
    return X, pd.Series(np.where(X["a"] + RNG.normal(size=n_rows) > 0, "yes", "no"))


X, Y = table(120)
X_VAL, Y_VAL = table(50)


@pytest.fixture(scope="module")
def fitted() -> AutoMeta:
    return AutoMeta(**QUICK).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)


def test_what_is_validated_are_the_rows_of_the_caller(fitted: AutoMeta) -> None:
    predictions = fitted.oof_predictions()
    assert np.isnan(predictions[:120]).all()
    np.testing.assert_allclose(predictions[120:], fitted.predict_proba(X_VAL), atol=1e-12)


def test_no_model_is_fitted_on_them(fitted: AutoMeta) -> None:
    # With its own neighbour in the model, each row would be predicted as it is.
    one = AutoMeta(n_trials=1, strategies=["nearest_neighbours"], random_state=0, n_jobs=1)
    one.fit(X, Y, X_val=X.iloc[:60], y_val=np.where(Y[:60] == "yes", "no", "yes"))
    assert one.score(X.iloc[:60], Y[:60]) > 0.5
    assert all(len(member.models) == 1 for member in fitted.predictor_.members)


@pytest.mark.parametrize("kind", ["frame", "array", "sparse", "list"])
def test_tables_of_all_kinds_are_joined(kind: str) -> None:
    first, second = np.arange(12.0).reshape(4, 3), np.arange(6.0).reshape(2, 3) + 100
    make: dict[str, Any] = {
        "frame": lambda values: pd.DataFrame(values, columns=list("abc")),
        "array": lambda values: values,
        "sparse": sparse.csr_matrix,
        "list": lambda values: values.tolist(),
    }
    joined = join_rows(make[kind](first), [0, 1, 0, 1], None, None, make[kind](second), [1, 0], None)
    values = joined.X.toarray() if kind == "sparse" else np.asarray(joined.X, dtype=float)
    np.testing.assert_array_equal(values, np.vstack([first, second]))
    assert joined.y.tolist() == [0, 1, 0, 1, 1, 0]
    assert [part.tolist() for part in joined.fold] == [[0, 1, 2, 3], [4, 5]]


def test_columns_are_matched_by_name_and_levels_are_joined() -> None:
    second = pd.DataFrame({"b": pd.Categorical(["w", "x"]), "extra": 1, "a": [7.0, 8.0]})
    joined = join_rows(X, Y, np.ones(120), None, second, ["no", "yes"], None)
    assert list(joined.X.columns) == ["a", "b"]
    assert joined.X["a"].iloc[-2:].tolist() == [7.0, 8.0]
    assert set(joined.X["b"].cat.categories) == set("wxyz")
    assert joined.sample_weight is not None and joined.sample_weight.tolist() == [1.0] * 122


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y_val": None}, "X_val needs y_val"),
        ({"X_val": None}, "y_val needs X_val"),
        ({"groups": np.zeros(120)}, "so does groups"),
        ({"X_val": X_VAL[["a"]]}, "X_val lacks the columns 'b'"),
        ({"y_val": Y_VAL[:-1]}, "170 rows together"),
        ({"sample_weight": np.ones(170)}, "one entry per row of X"),
    ],
)
def test_bad_arguments_say_what_is_wrong(changed: dict[str, Any], message: str) -> None:
    given = {"X_val": X_VAL, "y_val": Y_VAL, **changed}
    with pytest.raises(ValueError, match=message):
        AutoMeta(**QUICK).fit(X, Y, **given)


def test_a_number_of_folds_beside_them_is_refused() -> None:
    with pytest.raises(ValueError, match="so does cv"):
        AutoMeta(cv=3, **QUICK).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
