"""Meta-features say the same of a task however its rows, columns and classes are arranged, and are always there."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autometa.tables.features import META_FEATURES, REGISTRY, describe
from tests.helpers.tables import make_task

KINDS = ("normal", "whole", "binary", "heavy", "tiny", "gaps", "category", "many levels", "text", "date", "constant")
Raw = tuple[pd.DataFrame, np.ndarray, int]
"""Columns, target and number of classes of a task."""
LANDMARKS = [name for name in META_FEATURES if name.startswith("landmark")]


def make_column(kind: str, n: int, rng: np.random.Generator) -> pd.Series | np.ndarray:
    normal = rng.normal(size=n)
    match kind:
        case "normal":
            return normal
        case "whole":
            return rng.integers(0, 4, n)
        case "binary":
            return rng.random(n) < 0.3
        case "heavy":
            return np.sign(normal) * 10.0 ** np.minimum(150 * np.abs(normal), 300)
        case "tiny":
            return normal * 1e-300
        case "gaps":
            return np.where(rng.random(n) < 0.4, np.nan, normal)
        case "category":
            return rng.choice(np.array(["red", "green", None], dtype=object), n)
        case "many levels":
            return np.array([f"level {i}" for i in rng.integers(0, 40, n)], dtype=object)
        case "text":
            words = rng.integers(0, 999, (n, 5))
            return np.array([" ".join(f"word{i}" for i in row) for row in words], dtype=object)
        case "date":
            return pd.Series(pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 10**6, n), unit="min"))
        case _:
            return np.zeros(n)


@st.composite
def tasks(draw: st.DrawFn) -> Raw:
    """Return a task whose first column varies, so that its table can be used."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(2, 60))
    kinds = ["normal", *draw(st.lists(st.sampled_from(KINDS), max_size=6))]
    X = pd.DataFrame({f"{kind} {i}": make_column(kind, n, rng) for i, kind in enumerate(kinds)})
    n_classes = draw(st.sampled_from([0, 2, 3, 7]))
    y = rng.integers(0, n_classes, n) if n_classes else make_column(draw(st.sampled_from(KINDS[:5])), n, rng)
    return X, np.asarray(y), n_classes


def rearranged(task: Raw, rng: np.random.Generator) -> Raw:
    """Return the same task with rows, columns and classes in another order."""
    X, y, n_classes = task
    rows, columns = rng.permutation(len(X)), rng.permutation(X.shape[1])
    X = X.iloc[rows, columns].reset_index(drop=True).set_axis([f"c{i}" for i in columns], axis=1)
    y = y[rows]
    return X, rng.permutation(n_classes)[y] if n_classes else y, n_classes


def assert_same(actual: dict[str, float], expected: dict[str, float]) -> None:
    assert list(actual) == list(expected)
    np.testing.assert_allclose(list(actual.values()), list(expected.values()), rtol=1e-6, atol=1e-6)


def assert_valid(features: dict[str, float]) -> None:
    assert tuple(features) == META_FEATURES
    for name, value in features.items():
        assert type(value) is float
        low, high = REGISTRY[name].low, REGISTRY[name].high
        assert math.isnan(value) or (math.isfinite(value) and low - 1e-9 <= value <= high + 1e-9), (name, value)


def check_any_task(task: Raw, other_seed: int) -> None:
    features = describe(make_task(*task))
    assert_valid(features)
    assert_same(describe(make_task(*rearranged(task, np.random.default_rng(other_seed)))), features)


@settings(max_examples=10)
@given(task=tasks(), other_seed=st.integers(0, 99))
def test_every_value_is_in_its_range_and_no_order_matters(task: Raw, other_seed: int):
    check_any_task(task, other_seed)


@pytest.mark.slow
@settings(max_examples=300)
@given(task=tasks(), other_seed=st.integers(0, 99))
def test_every_value_is_in_its_range_and_no_order_matters_on_many_tasks(task: Raw, other_seed: int):
    check_any_task(task, other_seed)


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("values", ["continuous", "binary"])
def test_no_order_matters_where_rows_and_columns_are_sampled(n_classes: int, values: str, seed: int):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(6_000, 230)).astype(np.float32)
    if values == "binary":
        # Columns with the same counts of ones: only the rows tell them apart.
        X = rng.permuted(np.tile(np.arange(6_000)[:, None] % 2, 230), axis=0).astype(np.float32)
    score = X[:, :40].sum(axis=1) + rng.normal(size=6_000)
    y = np.digitize(score, np.quantile(score, [0.5, 0.9])) if n_classes else score
    check_any_task((pd.DataFrame(X), y, n_classes), seed)


@pytest.mark.parametrize(
    "table",
    {
        "one column": pd.DataFrame({"a": np.arange(40.0)}),
        "two rows": pd.DataFrame({"a": [0.0, 1.0], "b": ["x", "y"]}),
        "only gaps tell": pd.DataFrame({"a": [1.0, np.nan] * 20}),
        "constant in all rows but one": pd.DataFrame({"a": [0.0] * 39 + [1.0]}),
        "infinite": pd.DataFrame({"a": [np.inf, -np.inf, 0.0, 1.0] * 10}),
        "huge": pd.DataFrame({"a": [1e300, -1e300, 0.0, 1.7e308] * 10}),
        "beyond float32": pd.DataFrame({"a": np.float32([3e38, -3e38, 0, 1] * 10)}),
        "smallest": pd.DataFrame({"a": [5e-324, 0.0] * 20}),
        "text only": pd.DataFrame({"a": [f"some text of {i} and {i * 7} more words" for i in range(40)]}),
        "odd text": pd.DataFrame({"a": [f"\x00 {'wörter ' * (i % 9)} \U0001f600 number {i}" for i in range(40)]}),
        "half of a surrogate pair": pd.DataFrame(
            {"a": pd.Series([f"\ud800 of {i} words" for i in range(40)], dtype=object)}
        ),
        "dates only": pd.DataFrame({"a": pd.date_range("1700-01-01", periods=40, freq="1000D")}),
        "spans": pd.DataFrame({"a": pd.to_timedelta(np.arange(40) ** 3, unit="s")}),
        "identical rows": pd.DataFrame({"a": [0, 1] * 20, "b": [1, 0] * 20}),
        "nullable": pd.DataFrame({"a": pd.array([1, None, 3, 4] * 10, dtype="Int64")}),
    }.items(),
    ids=lambda item: item[0],
)
@pytest.mark.parametrize("problem", ["balanced", "one class of one row", "one class", "values", "constant", "huge"])
def test_no_table_is_too_odd(table: tuple[str, pd.DataFrame], problem: str):
    X = table[1]
    n = len(X)
    y = {
        "balanced": np.arange(n) // 2 % 2,
        "one class of one row": np.arange(n) == 0,
        "one class": np.zeros(n),
        "values": np.arange(n) ** 2.0,
        "constant": np.ones(n),
        "huge": np.where(np.arange(n) % 2, 1.7e308, -1.7e308),
    }[problem]
    n_classes = {"balanced": 2, "one class of one row": 2, "one class": 2}.get(problem, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_valid(describe(make_task(X, y, n_classes)))


def test_ten_thousand_columns_are_counted_but_not_all_looked_at(seed: int):
    rng = np.random.default_rng(seed)
    features = describe(make_task(rng.normal(size=(50, 10_000)), rng.integers(0, 2, 50), 2))
    assert_valid(features)
    assert features["log_columns"] == pytest.approx(math.log(10_000))
    assert features["effective_rank"] > 0.1


def test_the_table_stays_as_it_is(seed: int):
    rng = np.random.default_rng(seed)
    task = make_task(pd.DataFrame({kind: make_column(kind, 80, rng) for kind in KINDS}), rng.normal(size=80))
    X, y = task.table.frame().copy(), task.y.copy()
    describe(task)
    pd.testing.assert_frame_equal(task.table.frame(), X)
    np.testing.assert_array_equal(task.y, y)


def test_counts_and_shares_are_those_of_the_whole_table():
    n = 12_000
    X = pd.DataFrame(
        {
            "number": np.arange(n) + 0.5,
            "gap": np.where(np.arange(n) == 7, np.nan, np.arange(n)),
            "colour": np.array(["red", "green", "blue"])[np.arange(n) % 3],
            "day": pd.date_range("2000-01-01", periods=n),
            "same": 1,
        }
    )
    features = describe(make_task(X, np.arange(n) < 3, 2))
    assert features["log_rows"] == pytest.approx(math.log(n))
    assert features["log_columns"] == pytest.approx(math.log(4))
    assert features["log_width"] == pytest.approx(math.log(3 + 3))
    assert features["log_levels_max"] == pytest.approx(math.log(3))
    assert features["number_share"] == pytest.approx(2 / 4)
    assert features["category_share"] == features["datetime_share"] == pytest.approx(1 / 4)
    assert features["missing_cell_share"] == pytest.approx(1 / (4 * n))
    assert features["missing_row_share"] == features["missing_max"] == pytest.approx(1 / n)
    assert features["missing_column_share"] == pytest.approx(1 / 4)
    assert features["minority_share"] == pytest.approx(3 / n)
    assert features["log_rarest_rows"] == pytest.approx(math.log(3))


def test_repeated_rows_are_counted():
    X = pd.DataFrame({"a": [0, 0, 1, 1, 0], "b": [0, 1, 0, 1, 0], "c": ["x", "x", "x", "y", "x"]})
    assert describe(make_task(X, range(5)))["duplicate_row_share"] == pytest.approx(1 / 5)


def test_what_is_not_defined_for_a_problem_is_nan(seed: int):
    X = np.random.default_rng(seed).normal(size=(90, 3))
    of_classes, of_values = describe(make_task(X, np.arange(90) % 3, 3)), describe(make_task(X, X[:, 0]))
    only_classes = {"log_classes", "log_rarest_rows", "class_entropy", "minority_share", "majority_share"}
    only_values = {name for name in META_FEATURES if name.startswith("target_") and "correlation" not in name}
    nowhere = {"log_levels_mean", "log_levels_max", "log_characters"}
    missing = [{name for name, value in features.items() if math.isnan(value)} for features in (of_classes, of_values)]
    assert missing[0] == only_values | nowhere
    assert missing[1] == only_classes | nowhere | {"landmark_naive_bayes"}


@pytest.mark.parametrize("n_classes", [0, 2])
def test_landmarks_are_near_one_on_noise(n_classes: int, seed: int):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 900) if n_classes else rng.normal(size=900)
    features = describe(make_task(rng.normal(size=(900, 4)), y, n_classes))
    assert all(0.9 < features[name] < 1.3 for name in ("landmark_stump", "landmark_10_neighbours", "landmark_ridge"))
    # A single neighbour adds its own noise to that of the row.
    assert features["landmark_1_neighbour"] == pytest.approx(2, abs=0.35)
    assert features["information_max"] < 0.05
    assert features["target_correlation_max"] < 0.2


def test_each_landmark_sees_what_it_can_see(seed: int):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(900, 4))
    step = describe(make_task(X, X[:, 1] > 0.3, 2))
    line = describe(make_task(X, X @ [1.0, 2.0, -1.0, 0.5]))
    circle = describe(make_task(X, (np.square(X).sum(axis=1) > 3.3), 2))
    assert step["landmark_stump"] < 0.05
    assert line["landmark_ridge"] < 0.05 < line["landmark_stump"]
    assert line["target_correlation_max"] > 0.7
    assert circle["landmark_ridge"] > 0.9 > circle["landmark_naive_bayes"]
    assert circle["landmark_10_neighbours"] < 0.7
    assert step["information_max"] > 0.5 > circle["information_max"]


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_a_column_with_few_values_tells_all_it_can(share: float, seed: int):
    rng = np.random.default_rng(seed)
    told = rng.random(2_000) < share
    measure = np.where(told, rng.exponential(size=2_000), 0.0)
    for X in (told.astype(float), np.where(told, "yes", "no"), np.where(told, np.nan, 1.0), measure):
        of_classes = describe(make_task(pd.DataFrame({"a": X}), told, 2))
        of_values = describe(make_task(pd.DataFrame({"a": X}), told))
        assert of_classes["information_max"] == pytest.approx(1, abs=0.03)
        assert of_values["information_max"] == pytest.approx(1, abs=0.03)


def test_components_tell_how_many_columns_there_really_are(seed: int):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2_000, 4))
    apart = describe(make_task(X, X[:, 0]))
    copies = describe(make_task(np.column_stack([X[:, 0] * 10.0**i for i in range(4)]), X[:, 0]))
    assert apart["effective_rank"] == pytest.approx(1, abs=0.02)
    assert apart["first_component_share"] == pytest.approx(1 / 4, abs=0.03)
    assert copies["effective_rank"] == pytest.approx(1 / 4, abs=1e-6)
    assert copies["first_component_share"] == pytest.approx(1)
    assert copies["correlation_mean"] == pytest.approx(1)


def test_every_meta_feature_has_a_meaning_and_a_range():
    for feature in REGISTRY.values():
        assert feature.meaning
        assert feature.low < feature.high


@pytest.mark.parametrize("n_classes", [2, 4])
def test_agrees_with_pymfe_where_both_define_the_same(n_classes: int, seed: int):
    pymfe = pytest.importorskip("pymfe.mfe")
    rng = np.random.default_rng(seed)
    n = 300
    X = np.column_stack([rng.normal(size=n), rng.exponential(size=n), rng.normal(size=n) ** 3, rng.random(n)])
    X[:, 3] += X[:, 0]
    X = X.astype(np.float32).astype(np.float64)  # the precision that a cleaned table keeps
    y = rng.choice(n_classes, size=n, p=[0.7, *[0.3 / (n_classes - 1)] * (n_classes - 1)])
    names = ["nr_inst", "nr_attr", "nr_class", "class_ent", "freq_class", "skewness", "kurtosis", "cor"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that pymfe loads
        extractor = pymfe.MFE(features=names, groups="all", summary=None)
        theirs = dict(zip(*extractor.fit(X, y, transform_num=False).extract(), strict=True))
    ours = describe(make_task(X, y, n_classes))
    assert ours["log_rows"] == pytest.approx(math.log(theirs["nr_inst"]))
    assert ours["log_columns"] == pytest.approx(math.log(theirs["nr_attr"]))
    assert ours["log_classes"] == pytest.approx(math.log(theirs["nr_class"]))
    assert ours["class_entropy"] == pytest.approx(theirs["class_ent"] / math.log2(n_classes))
    assert ours["minority_share"] == pytest.approx(min(theirs["freq_class"]))
    assert ours["majority_share"] == pytest.approx(max(theirs["freq_class"]))
    assert ours["correlation_mean"] == pytest.approx(np.mean(np.abs(theirs["cor"])), rel=1e-5)
    assert ours["correlation_max"] == pytest.approx(np.max(np.abs(theirs["cor"])), rel=1e-5)
    # pymfe's third method divides by the unbiased variance.
    unbiased = n / (n - 1)
    skew, kurtosis = np.abs(theirs["skewness"]) * unbiased**1.5, (theirs["kurtosis"] + 3) * unbiased**2
    assert ours["skew_mean"] == pytest.approx(np.log1p(skew).mean(), rel=1e-5)
    assert ours["skew_max"] == pytest.approx(np.log1p(skew).max(), rel=1e-5)
    assert ours["log_kurtosis_mean"] == pytest.approx(np.log(kurtosis).mean(), rel=1e-5)
    assert ours["log_kurtosis_max"] == pytest.approx(np.log(kurtosis).max(), rel=1e-5)
