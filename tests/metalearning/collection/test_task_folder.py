"""Tables in a folder become tasks, or say what is wrong with them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autometa.metalearning.collection.task_folder import (
    HOLDOUT_FROM_ROWS,
    MOST_HELD_OUT_ROWS,
    LoadedTask,
    Table,
    load_task,
    read_table_list,
)
from tests.helpers.collections import small_tables, write_tables

pytestmark = pytest.mark.filterwarnings("ignore:y holds whole numbers")


def list_of(folder: Path, text: str) -> Path:
    (folder / "tasks.csv").write_text(text)
    return folder


def table_of(frame: pd.DataFrame, folder: Path, problem: str = "auto", target: str = "y") -> Table:
    frame.to_csv(folder / "mine.csv", index=False)
    return Table("mine", folder / "mine.csv", target, problem, "mine")


def load(table: Table, max_train_rows: int = 10_000) -> LoadedTask:
    return load_task(table, max_train_rows, 0)


def test_a_line_names_a_task_its_file_and_its_target(table_folder: Path) -> None:
    tables = read_table_list(table_folder)
    assert [table.task for table in tables] == ["numbers", "three", "two"]
    assert [table.path.name for table in tables] == ["numbers.csv", "three.parquet", "two.csv"]
    assert {(table.target, table.problem) for table in tables} == {("y", "auto")}
    assert [table.family for table in tables] == ["numbers", "three", "two"]


def test_problem_and_family_are_read_where_they_are_given(tmp_path: Path) -> None:
    list_of(tmp_path, "family,target,task_id,problem\nbikes,count,001,regression\n,count,NA,\n")
    first, second = read_table_list(tmp_path)
    assert (first.task, first.problem, first.family) == ("001", "regression", "bikes")
    assert (second.task, second.problem, second.family) == ("NA", "auto", "NA")


def test_only_some_tasks_are_used_in_the_order_asked_for_and_once(table_folder: Path) -> None:
    tables = read_table_list(table_folder, ["two", "numbers", "two"])
    assert [table.task for table in tables] == ["two", "numbers"]


def test_an_unknown_task_is_named(table_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"does not list \['four'\]"):
        read_table_list(table_folder, ["two", "four"])


def test_a_folder_without_a_list_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no tasks.csv.*task_id and target"):
        read_table_list(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task_id,column\na,y\n", r"lacks the column\(s\) \['target'\]; it has \['task_id', 'column'\]"),
        ("", "cannot be read as CSV"),
        ("task_id,target\na,y\na,z\n", r"more than once: \['a'\]"),
        ('task_id,target\na,"y\n', "cannot be read as CSV"),
        ("task_id,target\na,y\nb,y,z,z\n", "cannot be read as CSV"),
    ],
    ids=["no target", "empty", "twice", "open quote", "ragged"],
)
def test_a_faulty_list_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_table_list(list_of(tmp_path, text))


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tasks.csv").write_bytes(gzip.compress(b"task_id,target\n"))
    with pytest.raises(ValueError, match="cannot be read as CSV"):
        read_table_list(tmp_path)


def test_csv_and_parquet_give_the_same_task(tmp_path: Path) -> None:
    frame = small_tables()["two"]
    write_tables(tmp_path / "1", {"two": frame})
    write_tables(tmp_path / "2", {"other": frame, "two": frame})
    first, second = load(read_table_list(tmp_path / "1")[0]), load(read_table_list(tmp_path / "2")[1])
    pd.testing.assert_frame_equal(first.task.table.frame(), second.task.table.frame())
    assert np.array_equal(first.task.y, second.task.y)
    assert [fold.train.tolist() for fold in first.folds] == [fold.train.tolist() for fold in second.folds]


def test_a_regression_target_is_standardised(table_folder: Path) -> None:
    numbers = load(read_table_list(table_folder)[0])
    assert numbers.task.problem == "regression"
    given = pd.read_csv(table_folder / "numbers.csv")["y"].to_numpy()
    assert np.allclose(numbers.task.y, (given - given.mean()) / given.std())
    assert abs(numbers.task.y.mean()) < 1e-9 and np.isclose(numbers.task.y.std(), 1)


def uneven(n_rows: int, problem: str) -> pd.DataFrame:
    """Return a table whose classes are of very different sizes, the rarest of two rows; or numbers with a long tail."""
    rng = np.random.default_rng(n_rows)
    frame = pd.DataFrame({"a": rng.normal(size=n_rows)})
    if problem == "regression":
        return frame.assign(y=rng.lognormal(sigma=2, size=n_rows))
    rare = np.array(["rare"] * 2 + (["seldom"] * (n_rows // 15) if problem == "multiclass" else []))
    others = np.where(rng.random(n_rows - len(rare)) < 0.7, "most", "other" if problem == "multiclass" else "most")
    return frame.assign(y=rng.permutation(np.concatenate([rare, others])))


EVERY_KIND = pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
EVERY_SIZE = pytest.mark.parametrize("n_rows", [31, 200, HOLDOUT_FROM_ROWS * 5 // 4, 13_000, 40_000])


@EVERY_KIND
@EVERY_SIZE
def test_held_out_rows_are_the_same_in_all_folds_and_in_no_other_part_of_them(
    tmp_path: Path, n_rows: int, problem: str
) -> None:
    loaded = load(table_of(uneven(n_rows, problem), tmp_path, problem))
    held_out = loaded.folds[0].held_out
    assert len(held_out) and np.all(np.diff(held_out) > 0)
    for fold in loaded.folds:
        assert np.array_equal(fold.held_out, held_out)
        parts = np.concatenate([fold.train, fold.validation, fold.held_out])
        assert np.array_equal(np.sort(parts), np.arange(loaded.task.n_rows))


@EVERY_KIND
@EVERY_SIZE
def test_a_fifth_of_the_rows_is_held_out_up_to_2500(tmp_path: Path, n_rows: int, problem: str) -> None:
    loaded = load(table_of(uneven(n_rows, problem), tmp_path, problem))
    expected = min(loaded.task.n_rows / 5, MOST_HELD_OUT_ROWS)
    # Each class is divided on its own, and the rarest may stay whole.
    assert abs(len(loaded.folds[0].held_out) - expected) <= 3
    assert loaded.n_rows_used == loaded.task.n_rows - len(loaded.folds[0].held_out)


@EVERY_SIZE
def test_held_out_rows_are_like_the_others(tmp_path: Path, n_rows: int) -> None:
    """Every class, and every tenth of the values of a number, has about its share of them."""
    for problem in ("multiclass", "regression"):
        loaded = load(table_of(uneven(n_rows, problem), tmp_path, problem))
        y = loaded.task.y
        strata = y.astype(int) if problem == "multiclass" else np.argsort(np.argsort(y)) * 10 // len(y)
        held_out = loaded.folds[0].held_out
        counts, of_all = np.bincount(strata[held_out], minlength=10), np.bincount(strata, minlength=10)
        expected = of_all * len(held_out) / len(y)
        # Stratified, a stratum is off by a few rows; above the most rows held out, these are drawn by chance.
        slack = 4 if n_rows < 5 * MOST_HELD_OUT_ROWS else 4 * np.sqrt(expected)
        assert np.all(np.abs(counts - expected) <= slack)


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
@EVERY_SIZE
def test_every_class_of_the_rows_used_is_trained_on_in_every_fold(tmp_path: Path, n_rows: int, problem: str) -> None:
    loaded = load(table_of(uneven(n_rows, problem), tmp_path, problem))
    for fold in loaded.folds:
        assert set(loaded.task.y[fold.train]) == set(loaded.task.y)


def test_other_seeds_hold_out_other_rows_and_the_same_seed_the_same(tmp_path: Path) -> None:
    table = table_of(small_tables()["two"], tmp_path)
    first, again, other = (load_task(table, 10_000, seed).folds[0].held_out for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_three_folds_validate_every_row_that_is_not_held_out_once_and_those_of_a_large_table_one_third(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    for n_rows, n_folds in ((60, 3), (HOLDOUT_FROM_ROWS, 3), (HOLDOUT_FROM_ROWS * 5 // 4, 1)):
        frame = pd.DataFrame({"a": rng.normal(size=n_rows), "y": rng.normal(size=n_rows)})
        loaded = load(table_of(frame, tmp_path))
        assert len(loaded.folds) == n_folds
        validated = np.concatenate([fold.validation for fold in loaded.folds])
        assert len(set(validated)) == len(validated)
        assert abs(len(validated) - loaded.n_rows_used * n_folds / 3) <= 1


@pytest.mark.parametrize("most", [20, 100, 400])
def test_a_large_table_is_sampled_down_to_the_most_training_rows(tmp_path: Path, most: int) -> None:
    frame = small_tables(1000)["two"]
    table = table_of(frame, tmp_path)
    loaded = load(table, most)
    assert loaded.n_rows == 1000
    # Of five parts one is held out, and of three others two are trained on.
    assert loaded.task.n_rows == most * 3 // 2 * 5 // 4
    # Each of the two classes is divided on its own.
    assert all(abs(len(fold.train) - most) <= 2 for fold in loaded.folds)
    again = load(table, most)
    pd.testing.assert_frame_equal(loaded.task.table.frame(), again.task.table.frame())


def test_a_table_beyond_all_limits_trains_on_the_most_rows_and_holds_out_the_most(tmp_path: Path) -> None:
    loaded = load(table_of(uneven(20_000, "regression"), tmp_path, "regression"))
    assert (len(loaded.folds[0].train), len(loaded.folds[0].validation)) == (10_000, 5_000)
    assert len(loaded.folds[0].held_out) == MOST_HELD_OUT_ROWS


def test_rows_without_target_are_left_out(tmp_path: Path) -> None:
    frame = small_tables()["two"]
    frame.loc[:9, "y"] = None
    loaded = load(table_of(frame, tmp_path))
    assert loaded.n_rows == loaded.task.n_rows == 80


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    list_of(tmp_path, "task_id,target\nlost,y\n")
    with pytest.raises(ValueError, match=r"no file lost.parquet \(nor one that ends in .csv\)"):
        load(read_table_list(tmp_path)[0])


@pytest.mark.parametrize(
    ("target", "problem", "said"),
    [
        ("z", "auto", "the target 'z' is not a column of mine.csv"),
        ("y", "ranking", "the problem 'ranking' is none of"),
        ("y", "binary", "needs exactly 2 classes, y has 3"),
        ("nothing", "auto", "the target 'nothing' is missing in every row"),
        ("same", "auto", "only one class"),
        ("seven", "regression", "only one value"),
        ("endless", "regression", "infinity"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(tmp_path: Path, target: str, problem: str, said: str) -> None:
    frame = small_tables()["three"].assign(nothing=np.nan, same="always", seven=7, endless=np.inf)
    with pytest.raises(ValueError, match=said):
        load(table_of(frame, tmp_path, problem, target))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_an_unreadable_file_is_said(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(np.random.default_rng(0).bytes(1000))
    with pytest.raises(ValueError, match=f"broken{suffix} cannot be read"):
        load(Table("broken", path, "y", "auto", "broken"))


def test_half_a_parquet_file_is_said(tmp_path: Path) -> None:
    small_tables()["two"].to_parquet(tmp_path / "half.parquet")
    whole = (tmp_path / "half.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="half.parquet cannot be read"):
        load(Table("half", tmp_path / "half.parquet", "y", "auto", "half"))
