"""The parts of the comparison that decide what its numbers mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from benchmarks.accuracy import class_losses, regression_losses, report
from benchmarks.comparison import mean_ranks, wins
from benchmarks.corpus import PROBLEMS, choose_tasks
from benchmarks.results import append_row, read_results
from benchmarks.systems import TableEncoder


def made_up_tasks(n_tasks: int, seed: int) -> pd.DataFrame:
    """Return descriptions of tables of random sizes, some of them of one family."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "problem": [PROBLEMS[number % 3] for number in range(n_tasks)],
            "n_rows": np.exp(rng.uniform(np.log(100), np.log(60_000), n_tasks)).astype(int),
            "kind": rng.choice(["numeric", "categorical", "missing", "text"], n_tasks),
            "family": [f"family_{number}" for number in rng.integers(n_tasks, size=n_tasks)],
        },
        index=[f"task_{number:03}" for number in range(n_tasks)],
    )


@pytest.mark.parametrize("seed", range(5))
def test_choice_takes_each_family_once_and_does_not_depend_on_the_order_of_the_tasks(seed: int) -> None:
    tasks = made_up_tasks(240, seed)
    chosen = choose_tasks(tasks, [8, 8, 8])
    assert tasks.loc[chosen, "family"].is_unique
    assert list(tasks.loc[chosen, "problem"]) == [problem for problem in PROBLEMS for _ in range(8)]
    assert choose_tasks(tasks.sample(frac=1, random_state=seed), [8, 8, 8]) == chosen


def test_second_choice_shares_no_family_with_the_first() -> None:
    tasks = made_up_tasks(400, 0)
    first = choose_tasks(tasks, [8, 8, 8])
    second = choose_tasks(tasks, [16, 16, 16], without=first)
    assert not set(tasks.loc[first, "family"]) & set(tasks.loc[second, "family"])


def test_choice_spreads_the_rows_over_the_whole_range() -> None:
    tasks = made_up_tasks(600, 1)
    rows = tasks.loc[choose_tasks(tasks, [8, 8, 8]), "n_rows"].to_numpy().reshape(3, 8)
    # Each slot lies within the reach of its place in the grid.
    ratio = rows / np.geomspace(100, 60_000, 8)
    assert ((ratio < 2.5) & (ratio > 1 / 2.5)).all()


def test_choice_refuses_more_tables_than_there_are_families() -> None:
    with pytest.raises(ValueError, match="no binary table"):
        choose_tasks(made_up_tasks(9, 0), [8, 8, 8])


def test_a_failure_loses_to_any_loss_and_ties_with_a_failure() -> None:
    own = np.array([0.1, 0.3, 0.2, np.nan, 1e9, np.nan])
    rival = np.array([0.2, 0.1, 0.2, 0.5, np.nan, np.nan])
    np.testing.assert_array_equal(wins(own, rival), [1, 0, 0.5, 0, 1, 0.5])


@pytest.mark.parametrize("seed", range(5))
def test_wins_of_both_sides_sum_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    own, rival = rng.integers(3, size=(2, 40)).astype(float)
    np.testing.assert_array_equal(wins(own, rival) + wins(rival, own), 1)


@pytest.mark.parametrize("seed", range(5))
def test_mean_ranks_agree_with_scipy(seed: int) -> None:
    losses = pd.DataFrame(np.random.default_rng(seed).integers(4, size=(30, 5)).astype(float), columns=list("abcde"))
    expected = pd.Series(rankdata(losses, axis=1).mean(axis=0), index=losses.columns)
    pd.testing.assert_series_equal(mean_ranks(losses), expected, check_index_type=False, check_like=True)


def test_losses_do_not_depend_on_the_order_of_the_classes() -> None:
    rng = np.random.default_rng(0)
    classes = ["a", "b", "c"]
    labels = list(rng.choice(classes, 50))
    probabilities = rng.dirichlet(np.ones(3), size=50)
    turned = class_losses(labels, probabilities[:, [2, 0, 1]], ["c", "a", "b"])
    assert class_losses(labels, probabilities, classes) == pytest.approx(turned)


def test_certain_predictions_of_two_classes_have_no_loss_whichever_label_comes_first() -> None:
    labels = [True, False, False, True]
    certain = np.array([[0, 1], [1, 0], [1, 0], [0, 1]], dtype=float)
    assert class_losses(labels, certain, [False, True])["loss"] == 0
    assert class_losses(labels, certain[:, ::-1], [True, False])["loss"] == 0


def test_a_label_that_the_system_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match="no class"):
        class_losses(["a", "z"], np.full((2, 2), 0.5), ["a", "b"])


def test_regression_loss_is_one_for_the_mean_of_a_target_with_the_same_spread() -> None:
    y = np.array([1.0, 2.0, 3.0, 6.0])
    losses = regression_losses(y, y, np.full(4, y.mean()))
    assert losses["loss"] == pytest.approx(1)
    assert losses["r2"] == pytest.approx(0)


@pytest.mark.parametrize("nominal", ["code", "few_levels", "category", "text"])
def test_encoder_keeps_columns_and_types_on_rows_with_new_levels_and_missing_values(nominal: str) -> None:
    fitted = pd.DataFrame(
        {
            "[a]": pd.Categorical(["x", "y", None, "x"]),
            "b": ["p", "q", "r", None],
            "c": [1.0, np.inf, np.nan, 2.0],
            "d": [True, False, True, True],
            "e": pd.to_datetime(["2020-02-01", None, "2021-03-04", "2022-05-06"], format="%Y-%m-%d"),
            "f": pd.array([1, None, 3, 4], dtype="Int64"),
        }
    )
    new = fitted.assign(b=["new", "p", None, "q"])
    encoder = TableEncoder(nominal).fit(fitted)  # type: ignore[arg-type]
    before, after = encoder.transform(fitted), encoder.transform(new)
    pd.testing.assert_series_equal(before.dtypes, after.dtypes)
    assert not np.isinf(after.select_dtypes("number").to_numpy(dtype=float)).any()
    # A level that was not fitted is missing, except as CatBoost's text, which has no missing values.
    assert after["c1"].isna().tolist() == ([False] * 4 if nominal == "text" else [True, False, True, False])


def test_results_read_back_as_they_were_written_and_other_columns_are_refused(tmp_path) -> None:
    path = tmp_path / "results.csv"
    append_row(path, ["task", "loss", "error"], {"task": "a", "loss": 0.25})
    append_row(path, ["task", "loss", "error"], {"task": "b", "error": "it broke, badly"})
    results = read_results(path)
    assert results["task"].tolist() == ["a", "b"]
    assert results["loss"].iloc[0] == 0.25
    assert results["error"].iloc[1] == "it broke, badly"
    with pytest.raises(ValueError, match="other columns"):
        append_row(path, ["task"], {"task": "c"})


def test_report_counts_ties_half_and_names_failures() -> None:
    base = {"seed": 0, "n_rows": 100, "n_features": 3, "predict_s": 0.1, "peak_mb": 500.0, "frame_mb": 1.0}
    rows = []
    for task, own, rival in (("a", 0.1, 0.2), ("b", 0.2, 0.2), ("c", 0.3, 0.2), ("d", np.nan, 0.2)):
        shared = {**base, "task": task, "problem": "binary"}
        error = "it broke" if np.isnan(own) else np.nan
        rows += [
            {**shared, "system": "autometa", "loss": own, "fit_s": 9.0, "budget_s": 10.0, "error": error},
            {**shared, "system": "catboost", "loss": rival, "fit_s": 2.0, "error": np.nan},
        ]
    text = report(pd.DataFrame(rows).assign(overrun=0.9), seed=0)
    assert "all 38%, binary 38%" in text  # 1.5 of 4
    assert "it broke" in text
