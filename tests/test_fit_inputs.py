"""Every form of what goes into fit, predict and score means the same, and nothing is decided without a word."""

from __future__ import annotations

import datetime
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.base import is_classifier, is_regressor
from sklearn.ensemble import StackingClassifier, StackingRegressor
from sklearn.metrics import accuracy_score, f1_score, get_scorer, make_scorer, mean_absolute_error
from sklearn.model_selection import (
    BaseCrossValidator,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)

from autometa import AutoMeta, AutoMetaClassifier, AutoMetaRegressor, load, recommend
from autometa.fit_inputs import read_inputs
from autometa.tables.cleaning import fit_schema

QUICK: dict[str, Any] = {"n_trials": 1, "cv": 2, "random_state": 0, "n_jobs": 1}
LINEAR_C = {**QUICK, "strategies": ["logistic_regression"]}
LINEAR_R = {**QUICK, "strategies": ["ridge"]}
LINEAR = {**QUICK, "strategies": ["logistic_regression", "ridge"]}

N = 120
RNG = np.random.default_rng(0)
X = pd.DataFrame({"a": RNG.normal(size=N), "b": RNG.normal(size=N)})
SIGN = (X["a"] + 0.3 * X["b"] > 0).to_numpy()
CODES = SIGN.astype(int)
AMOUNTS = X["a"] * 2 + X["b"] ** 2


# ---------------------------------------------------------------- tables: by name or by position


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("columns", [[0, 1], [1, 0], [7, 3], ["b", "a"], [1.5, 0.5], [("x", 1), ("x", 0)]], ids=str)
def test_an_array_has_its_columns_in_the_order_of_the_fit(columns: list[Any]) -> None:
    table = X.set_axis(pd.Index(columns, tupleize_cols=False), axis=1)
    model = AutoMetaClassifier(**LINEAR_C).fit(table, CODES)
    expected = model.predict_proba(table)
    assert model.score(table, CODES) > 0.9
    for same in (table.to_numpy(), table.to_numpy().tolist(), sparse.csr_matrix(table.to_numpy().astype(np.float32))):
        np.testing.assert_allclose(model.predict_proba(same), expected, atol=1e-6)


@pytest.mark.parametrize("columns", [[0, 1], [1, 0], [7, 3], ["b", "a"]], ids=str)
def test_a_frame_has_its_columns_by_name(columns: list[Any]) -> None:
    table = X.set_axis(columns, axis=1)
    model = AutoMetaClassifier(**LINEAR_C).fit(table, CODES)
    expected = model.predict_proba(table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in (table[columns[::-1]], table.assign(extra=1), table[sorted(columns)], pa.Table.from_pandas(table)):
            assert np.array_equal(model.predict_proba(same), expected)


def test_a_frame_after_an_array_is_matched_by_its_numbers_or_by_position() -> None:
    model = AutoMetaClassifier(**LINEAR_C).fit(X.to_numpy(), CODES)
    expected = model.predict_proba(X.to_numpy())
    numbered = X.set_axis([0, 1], axis=1)
    assert np.array_equal(model.predict_proba(numbered), expected)
    assert np.array_equal(model.predict_proba(numbered[[1, 0]]), expected)
    with pytest.warns(UserWarning, match="X has feature names, but AutoMetaClassifier was fitted without"):
        assert np.array_equal(model.predict_proba(X), expected)


def test_records_are_matched_by_name_without_a_warning() -> None:
    model = AutoMetaClassifier(**LINEAR_C).fit(X.to_dict("records"), CODES)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    expected = model.predict_proba(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in (
            X[["b", "a"]].to_dict("records"),
            X[["b", "a"]].to_dict("list"),
            X[["b", "a"]].to_records(index=False),
        ):
            assert np.array_equal(model.predict_proba(same), expected)
        assert np.array_equal(model.predict_proba({"b": X["b"][0], "a": X["a"][0]}), expected[:1])


def test_a_record_without_a_field_is_refused_by_its_name() -> None:
    model = AutoMetaClassifier(**LINEAR_C).fit(X, CODES)
    with pytest.raises(ValueError, match="yet now missing:\n- b"):
        model.predict([{"a": 1.0}])


def test_a_column_given_twice_is_refused_and_one_that_is_not_used_is_not_looked_at() -> None:
    model = AutoMetaClassifier(**LINEAR_C).fit(X, CODES)
    with pytest.raises(ValueError, match="'a' more often than at fit time"):
        model.predict(pd.concat([X, -X[["a"]]], axis=1))
    assert model.predict(X.assign(extra=1j, other=[{}] * N)).shape == (N,)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble, ">f4", ">f8", object])
def test_numbers_of_any_type_and_order_are_the_same_table(dtype: Any) -> None:
    rounded = X.round(1).astype(np.float16).astype(np.float64)
    model = AutoMetaClassifier(**LINEAR_C).fit(rounded.to_numpy(), CODES)
    expected = model.predict_proba(rounded.to_numpy())
    array = np.asfortranarray(rounded.to_numpy().astype(dtype))
    array.setflags(write=False)
    assert np.array_equal(model.predict_proba(array), expected)
    assert np.array_equal(AutoMetaClassifier(**LINEAR_C).fit(array, CODES).predict_proba(array), expected)
    if dtype is not np.float16:
        frame = rounded.astype(dtype)
        assert np.array_equal(AutoMetaClassifier(**LINEAR_C).fit(frame, CODES).predict_proba(frame), expected)


def test_half_a_surrogate_pair_is_a_name_and_a_level_like_any_other(tmp_path: Path) -> None:
    table = X.set_axis(pd.Index(["a", "\ud800"], dtype=object), axis=1)
    table["level"] = pd.Series(["\ud800", "x", "\u200b"] * (N // 3), dtype=object)
    labels = np.where(SIGN, "\ud800", "\u200b").astype(object)
    model = AutoMetaClassifier(**LINEAR_C).fit(table, labels)
    again = load(model.save(tmp_path / "m"))
    assert again.score(table, labels) == model.score(table, labels) > 0.9
    assert again.classes_.tolist() == ["\u200b", "\ud800"]


# ---------------------------------------------------------------- targets: one meaning in every form


def objects(values: Any) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


LABELS: dict[str, tuple[Any, np.ndarray]] = {
    "whole numbers as objects": (objects(CODES.tolist()), CODES),
    "booleans as objects": (objects(SIGN.tolist()), SIGN),
    "floats as objects": (objects(CODES.astype(float)), CODES),
    "decimals": (objects([Decimal(int(code)) for code in CODES]), CODES),
    "text as objects": (objects(np.where(SIGN, "yes", "no")), np.where(SIGN, "yes", "no")),
    "list": (CODES.tolist(), CODES),
    "nullable": (pd.Series(CODES, dtype="Int8"), CODES),
    "nullable booleans": (pd.Series(SIGN, dtype="boolean"), SIGN),
    "nullable text": (pd.Series(np.where(SIGN, "yes", "no"), dtype="string"), np.where(SIGN, "yes", "no")),
    "Arrow": (pd.Series(CODES, dtype="int64[pyarrow]"), CODES),
    "Arrow booleans": (pd.Series(SIGN, dtype="bool[pyarrow]"), SIGN),
    "Arrow column": (pa.chunked_array([CODES]), CODES),
    "category": (pd.Series(CODES).astype("category"), CODES),
    "big-endian": (CODES.astype(">i4"), CODES),
    "half precision": (CODES.astype(np.float16), CODES),
    "long double": (CODES.astype(np.longdouble), CODES),
}


@pytest.mark.parametrize(("y", "plain"), LABELS.values(), ids=LABELS)
def test_whatever_fit_accepts_can_be_scored_saved_and_loaded(y: Any, plain: np.ndarray, tmp_path: Path) -> None:
    model = AutoMetaClassifier(**LINEAR_C).fit(X, y)
    predicted = model.predict(X)
    assert model.classes_.tolist() == np.unique(plain).tolist()
    assert model.score(X, y) == accuracy_score(plain, predicted) > 0.9
    assert model.score(X, plain) == model.score(X, y)
    again = load(model.save(tmp_path / "m"))
    assert again.classes_.dtype == model.classes_.dtype and (again.predict(X) == predicted).all()
    assert again.score(X, y) == model.score(X, y)


@pytest.mark.parametrize("metric", ["f1", "log_loss", "balanced_accuracy"])
@pytest.mark.parametrize("form", ["booleans as objects", "nullable", "Arrow column", "category", "nullable text"])
def test_named_metrics_score_labels_in_any_form(form: str, metric: str) -> None:
    y, plain = LABELS[form]
    model = AutoMetaClassifier(**LINEAR_C, metric=metric).fit(X, y)
    assert model.score(X, y) == model.score(X, plain) != 0


@pytest.mark.parametrize(
    "form", ["whole numbers as objects", "booleans as objects", "decimals", "nullable", "category"]
)
def test_scikit_learn_cross_validates_labels_in_any_form(form: str) -> None:
    scores = cross_val_score(AutoMetaClassifier(**LINEAR_C), X, LABELS[form][0], cv=2, error_score="raise")
    assert (scores > 0.8).all()


NOT_PLAIN = {
    "intervals": pd.qcut(X["a"], 3),
    "periods": pd.Series(pd.period_range("2024-01", periods=3, freq="M").repeat(N // 3)),
    "dates": objects([datetime.date(2024, 1, 1 + code) for code in CODES]),
    "moments": pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(CODES, unit="D")),
    "tuples": objects([(int(code), "x") for code in CODES]),
    "bytes": np.where(SIGN, b"yes", b"no"),
}


@pytest.mark.parametrize("y", NOT_PLAIN.values(), ids=NOT_PLAIN)
@pytest.mark.parametrize(
    "estimator", [AutoMeta(**LINEAR), AutoMetaClassifier(**LINEAR_C)], ids=lambda e: type(e).__name__
)
def test_labels_that_are_no_plain_values_are_refused_before_the_search(estimator: AutoMeta, y: Any) -> None:
    with pytest.raises(ValueError, match=r"astype\(str\)|decode"):
        estimator.fit(X, y)


def test_the_way_out_of_intervals_leads_on() -> None:
    y = pd.qcut(X["a"], 3).astype(str)
    model = AutoMeta(**LINEAR).fit(X, y)
    assert model.problem_ == "multiclass" and model.score(X, y) > 0.5


def test_labels_that_were_not_in_the_fit_count_as_wrong_or_are_named() -> None:
    y = np.where(SIGN, "yes", "no").astype(object)
    later = np.where(np.arange(N) < 12, "maybe", y)
    model = AutoMetaClassifier(**LINEAR_C).fit(X, y)
    assert model.score(X, later) == accuracy_score(later, model.predict(X))
    with pytest.raises(ValueError, match=r"not in fit: \['maybe'\].*stratified"):
        AutoMetaClassifier(**LINEAR_C, metric="f1").fit(X, y).score(X, later)
    with pytest.raises(ValueError, match="another type than in fit"):
        model.score(X, CODES)


@pytest.mark.parametrize("exponent", [-310, -200, 200, 300])
def test_a_target_of_any_magnitude_is_fitted_like_any_other(exponent: int) -> None:
    y = AMOUNTS / 1000 * float(f"1e{exponent}")
    model = AutoMetaRegressor(**LINEAR_R).fit(X, y)
    ordinary = AutoMetaRegressor(**LINEAR_R).fit(X, AMOUNTS)
    assert model.score(X, y) == pytest.approx(ordinary.score(X, AMOUNTS), rel=1e-6)
    assert 0 < model.leaderboard()["loss"][0] < np.inf


def test_a_target_whose_sum_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="whose sum overflows. Divide y by a constant"):
        AutoMetaRegressor(**LINEAR_R).fit(X, AMOUNTS / AMOUNTS.abs().max() * 1e308)


@pytest.mark.parametrize("metric", ["mse", "rmsle", "neg_mean_gamma_deviance"])
def test_a_metric_that_is_not_defined_for_a_target_is_refused_before_the_search(metric: str) -> None:
    with pytest.raises(ValueError, match="metric|logarithmic error"):
        AutoMetaRegressor(**LINEAR_R, metric=metric).fit(X, AMOUNTS * 1e200 - 1e201)


def test_text_that_reads_as_numbers_is_a_regression_and_is_scored_as_one(tmp_path: Path) -> None:
    prices = [f"${1000 * amount:,.0f}" for amount in AMOUNTS - AMOUNTS.min()]
    with pytest.warns(UserWarning, match="text that reads as numbers"):
        model = AutoMeta(**LINEAR).fit(X, prices)
    assert model.problem_ == "regression"
    assert model.score(X, prices) > 0.4
    assert any("text read as numbers" in note for note in model.history_.notes)
    assert load(model.save(tmp_path / "m")).score(X, prices) == model.score(X, prices)
    assert AutoMetaRegressor(**LINEAR_R).fit(X, prices).score(X, prices) == model.score(X, prices)


# ---------------------------------------------------------------- the metric decides the problem


STARS = pd.Series(np.digitize(X["a"], [-1, 0, 1]), name="stars")


@pytest.mark.parametrize(
    "metric",
    ["rmse", "neg_mean_absolute_error", get_scorer("r2"), mean_absolute_error],
    ids=["name", "other name", "scorer", "function"],
)
def test_a_metric_of_numbers_makes_whole_numbers_a_regression(metric: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = AutoMeta(**LINEAR, metric=metric).fit(X, STARS)
    assert model.problem_ == "regression"
    assert any("is for regression" in note for note in model.history_.notes)


def test_what_was_decided_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    AutoMeta(**LINEAR, metric="rmse", verbose=1).fit(X, STARS)
    assert "problem: regression, as metric='rmse' is for regression" in capfd.readouterr().err


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc_ovr", get_scorer("balanced_accuracy")], ids=str)
def test_a_metric_of_classes_makes_whole_numbers_classes(metric: Any) -> None:
    counts = pd.Series(np.digitize(X["a"], np.linspace(-2, 2, 24)))
    assert read_inputs(X, counts, metric=metric).task.problem == "multiclass"
    with pytest.warns(UserWarning, match="taken as regression"):
        assert read_inputs(X, counts).task.problem == "regression"


def test_a_problem_that_was_asked_for_is_not_decided_by_the_metric() -> None:
    with pytest.raises(ValueError, match="does not fit a multiclass target"):
        AutoMeta("multiclass", **LINEAR, metric="rmse").fit(X, STARS)
    with pytest.raises(ValueError, match="does not fit a multiclass target"):
        AutoMetaClassifier(**LINEAR_C, metric="rmse").fit(X, STARS)
    with pytest.raises(ValueError, match=r"needs numbers in y.*metric='rmse' is for regression"):
        AutoMeta(**LINEAR, metric="rmse").fit(X, np.where(SIGN, "yes", "no"))
    with pytest.raises(ValueError, match=r"fractions.*metric='accuracy' is for classification"):
        AutoMeta(**LINEAR, metric="accuracy").fit(X, AMOUNTS)


def test_advice_reads_the_problem_as_a_fit_does() -> None:
    assert "ridge" in set(recommend(X, STARS, n=100, metric="rmse", policy="prior")["strategy"])


# ---------------------------------------------------------------- the positive class


@pytest.mark.parametrize("pos_label", ["no", "yes"])
@pytest.mark.parametrize("metric", ["f1", "precision", "recall"])
def test_the_positive_class_is_followed_by_fit_score_and_the_file(metric: str, pos_label: str, tmp_path: Path) -> None:
    rare = np.where(X["a"] > 1, "yes", "no")
    model = AutoMetaClassifier(**LINEAR_C, metric=metric, pos_label=pos_label).fit(X, rare)
    expected = get_scorer(metric)._score_func(rare, model.predict(X), pos_label=pos_label)
    assert model.score(X, rare) == pytest.approx(expected)
    again = load(model.save(tmp_path / "m"))
    assert again.score(X, rare) == model.score(X, rare)
    assert again.pos_label == pos_label
    assert again.history_.notes == model.history_.notes
    assert model.history_.notes[0] == f"{metric}: of the class {pos_label!r} (pos_label)"
    assert model.report().attrs["notes"] == model.history_.notes


@pytest.mark.parametrize("pos_label", [Decimal(0), np.int64(0), False, 0.0], ids=repr)
def test_a_positive_class_is_kept_in_the_file_whatever_stands_for_it(pos_label: Any, tmp_path: Path) -> None:
    model = AutoMetaClassifier(**LINEAR_C, metric="recall", pos_label=pos_label).fit(X, CODES)
    again = load(model.save(tmp_path / "m"))
    assert again.pos_label == 0
    assert again.score(X, CODES) == model.score(X, CODES)


def test_without_a_positive_class_it_is_the_one_that_sorts_last_and_the_report_says_so() -> None:
    y = np.where(SIGN, "yes", "no")
    model = AutoMetaClassifier(**LINEAR_C, metric="f1").fit(X, y)
    assert model.score(X, y) == pytest.approx(f1_score(y, model.predict(X), pos_label="yes"))
    assert model.report().attrs["notes"][0] == "f1: of the class 'yes' (the class that sorts last; pos_label chooses)"
    assert AutoMetaClassifier(**LINEAR_C, calibrate=False).fit(X, y).report().attrs["notes"] == []


def test_a_positive_class_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="pos_label must be one of the classes, 0 and 1, got 'yes'"):
        AutoMetaClassifier(**LINEAR_C, pos_label="yes").fit(X, CODES)
    with pytest.raises(ValueError, match="pos_label=1 is for targets of two classes, and this one is regression"):
        AutoMeta(**LINEAR, pos_label=1).fit(X, AMOUNTS)
    with pytest.raises(TypeError, match="AutoMetaRegressor: got an unexpected keyword argument 'pos_label'"):
        AutoMetaRegressor(pos_label=1)


# ---------------------------------------------------------------- folds of the caller's own


class Watching(BaseCrossValidator):
    """Splits in halves, and keeps what it was given."""

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return 2

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        self.seen = (X, y, groups)
        yield from KFold(2).split(X)


@pytest.mark.parametrize("table", [X, X.to_numpy(), X.to_numpy().tolist()], ids=["frame", "array", "rows"])
@pytest.mark.parametrize(
    "y", [pd.Series(np.where(SIGN, "yes", "no")), np.where(SIGN, "yes", "no").tolist()], ids=["series", "list"]
)
def test_a_splitter_gets_X_y_and_groups_as_they_were_given(table: Any, y: Any) -> None:
    splitter, groups = Watching(), pd.Series(np.arange(N) % 7)
    AutoMetaClassifier(**{**LINEAR_C, "cv": splitter}).fit(table, y, groups=groups)
    assert splitter.seen[0] is table and splitter.seen[1] is y and splitter.seen[2] is groups


def test_a_splitter_may_look_at_columns_that_are_of_no_use_to_a_model() -> None:
    class ByYear:
        def split(self, X: pd.DataFrame, y: Any = None, groups: Any = None) -> Any:
            assert X["constant"].dtype == np.int64 and X["day"].dtype.kind == "M"
            yield X["day"] < "2024-03-01", X["day"] >= "2024-03-01"

    table = X.assign(day=pd.date_range("2024-01-01", periods=N), constant=1)
    assert AutoMetaClassifier(**{**LINEAR_C, "cv": ByYear()}).fit(table, CODES).leaderboard()["status"].tolist() == [
        "ok"
    ]


@pytest.mark.parametrize("form", ["whole numbers as objects", "booleans as objects", "decimals"])
def test_a_splitter_that_stratifies_knows_labels_in_any_form(form: str) -> None:
    model = AutoMetaClassifier(**{**LINEAR_C, "cv": StratifiedKFold(2)}).fit(X, LABELS[form][0])
    assert model.leaderboard()["status"].tolist() == ["ok"]


GROUPS = {
    "tuples in a series": pd.Series([(row // 10, "a") for row in range(N)]),
    "list of tuples": [(row // 10, "a") for row in range(N)],
    "mixed": objects([row // 10 if row < 60 else f"group {row // 10}" for row in range(N)]),
    "intervals": pd.cut(np.arange(N), 6),
    "dates": [datetime.date(2024, 1, 1 + row // 10) for row in range(N)],
    "category": pd.Series(np.arange(N) // 10).astype("category"),
    "nullable": pd.array(np.arange(N) // 10, dtype="Int64"),
    "Arrow": pa.array(np.arange(N) // 10),
}


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_groups_of_any_type_stay_together(groups: Any) -> None:
    codes = read_inputs(X, CODES, groups=groups).task.groups
    assert codes is not None
    blocks = np.arange(N) // (20 if isinstance(groups, pd.Categorical) and len(groups.categories) == 6 else 10)
    assert len(set(zip(codes, blocks, strict=True))) == len(set(codes)) == len(set(blocks))


@pytest.mark.parametrize("cv", [GroupKFold(3), LeaveOneGroupOut()], ids=str)
def test_splitters_by_group_are_given_the_groups(cv: Any) -> None:
    groups = np.array(["x", "y", "z"])[np.arange(N) // 40]
    model = AutoMetaClassifier(**{**LINEAR_C, "cv": cv}).fit(X, CODES, groups=groups)
    assert "loss_fold2" in model.leaderboard(full=True)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.where(np.arange(N) < 5, np.nan, 1.0), "groups holds 5 missing entries"),
        (np.ma.masked_array(np.arange(N), mask=np.arange(N) < 5), "groups holds 5 missing entries"),
        (X, r"got shape \(120, 2\).*ngroup"),
    ],
    ids=["missing", "masked", "frame"],
)
def test_groups_that_are_none_are_refused(groups: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_inputs(X, CODES, groups=groups)


def test_masked_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="sample_weight is masked"):
        read_inputs(X, CODES, sample_weight=np.ma.masked_array(np.ones(N), mask=CODES))


def test_a_class_of_splitters_is_not_a_splitter() -> None:
    with pytest.raises(TypeError, match=r"not its class: pass KFold\(\)"):
        AutoMetaClassifier(**{**LINEAR_C, "cv": KFold}).fit(X, CODES)


# ---------------------------------------------------------------- rows in another order, columns that tell the target


@pytest.mark.parametrize("name", ["y", "sample_weight", "groups"])
@pytest.mark.parametrize(
    "index",
    [np.arange(N), [f"row {i}" for i in range(N)], [("a", i) for i in range(N)], np.repeat(np.arange(N // 2), 2)],
    ids=["numbers", "text", "levels", "repeated"],
)
def test_the_same_index_in_another_order_is_noticed(name: str, index: Any) -> None:
    table = X.set_axis(pd.MultiIndex.from_tuples(index) if isinstance(index[0], tuple) else pd.Index(index))
    shuffled = pd.Series(CODES + (name == "sample_weight"), index=table.index).sample(frac=1, random_state=0)
    arguments: dict[str, Any] = {"y": CODES} | {name: shuffled}
    with pytest.warns(UserWarning, match=rf"The index of {name} holds the labels of the index of X in another order"):
        read_inputs(table, **arguments)


def test_the_same_index_in_another_order_is_noticed_by_score() -> None:
    model = AutoMetaClassifier(**LINEAR_C).fit(X, CODES)
    with pytest.warns(UserWarning, match="in another order"):
        model.score(X, pd.Series(CODES)[::-1])


def test_other_indices_are_no_cause_for_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for index in (X.index, np.arange(N) + 5, np.arange(N) * 2, [f"row {i}" for i in range(N)]):
            read_inputs(X, pd.Series(CODES, index=index))
        read_inputs(X.to_numpy(), pd.Series(CODES, index=np.arange(N)[::-1]))


@pytest.mark.parametrize(
    ("y", "column"),
    [(CODES, np.where(SIGN, "won", "lost")), (STARS, STARS * 10), (AMOUNTS, AMOUNTS), (AMOUNTS, 32 - 1.8 * AMOUNTS)],
    ids=["renamed classes", "scaled classes", "the same", "another unit"],
)
def test_a_column_that_tells_the_target_is_named(y: Any, column: Any) -> None:
    with pytest.warns(UserWarning, match="X holds the target: y can be told one to one from 'leak'"):
        read_inputs(X.assign(leak=column), y, problem="regression" if y is AMOUNTS else "classification")


# ---------------------------------------------------------------- scikit-learn's tools, and calls that went wrong


def test_a_known_problem_is_known_to_scikit_learn_and_an_open_one_is_not() -> None:
    assert is_classifier(AutoMetaClassifier()) and is_regressor(AutoMetaRegressor())
    assert not is_classifier(AutoMeta()) and not is_regressor(AutoMeta())
    ordered = np.sort(np.where(SIGN, "yes", "no"))
    assert len(cross_validate(AutoMetaClassifier(**LINEAR_C), X, ordered, cv=2, error_score="raise")["test_score"]) == 2
    with pytest.raises(ValueError, match="only one class.*stratify it: scikit-learn does so for AutoMetaClassifier"):
        cross_validate(AutoMeta(**LINEAR), X, ordered, cv=2, error_score="raise")


def test_estimators_of_a_known_problem_stack() -> None:
    stacked = StackingRegressor([("a", AutoMetaRegressor(**LINEAR_R))], cv=2).fit(X, AMOUNTS)
    assert stacked.score(X, AMOUNTS) > 0.4
    assert StackingClassifier([("a", AutoMetaClassifier(**LINEAR_C))], cv=2).fit(X, CODES).score(X, CODES) > 0.9
    with pytest.raises(ValueError, match="should be a regressor"):
        StackingRegressor([("a", AutoMeta(**LINEAR_R))], cv=2).fit(X, AMOUNTS)


def test_calls_that_went_wrong_are_understood() -> None:
    with pytest.raises(ValueError, match=r"got 30. Give seconds by name, AutoMeta\(time_budget=30\)"):
        AutoMeta(30).fit(X, CODES)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Parameters are given by name, e.g. AutoMetaClassifier\(time_budget=30\)"):
        AutoMetaClassifier(30)
    with pytest.raises(
        ValueError, match=r"got the text 'Survived'.*fit\(X.drop\(columns='Survived'\), X\['Survived'\]\)"
    ):
        AutoMeta(**LINEAR).fit(X.assign(Survived=CODES), "Survived")


def test_a_scorer_with_its_own_positive_class_keeps_it() -> None:
    y = np.where(SIGN, "yes", "no")
    scorer = make_scorer(f1_score, pos_label="no")
    model = AutoMetaClassifier(**LINEAR_C, metric=scorer).fit(X, y)
    assert model.score(X, y) == pytest.approx(f1_score(y, model.predict(X), pos_label="no"))


def test_kinds_of_columns_are_those_of_the_rows_with_weight() -> None:
    weight = np.where(np.arange(N) < 60, 1.0, 0.0)
    inputs = read_inputs(X, CODES, sample_weight=weight)
    assert inputs.task.n_rows == 60 and inputs.task.table.schema == fit_schema(X[:60])
    assert read_inputs(X, CODES, sample_weight=weight, cv=KFold(2)).task.n_rows == N
