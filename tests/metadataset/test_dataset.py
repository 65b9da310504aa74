from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.schema import EVALUATION_COLUMNS, EVALUATION_KEY, LOSSES, STATUSES


def row(task: str, configuration: str, loss: float = np.nan, **others: object) -> dict[str, object]:
    """Return an evaluation with a balanced accuracy."""
    ends = {"anchor": 1.0, "progress": 1.0, "n_iterations": 0, "fold": 0, "seed": 0, "status": "ok", "error": ""}
    given = {"task": task, "configuration": configuration, "loss_balanced_accuracy": loss, **others}
    return {**dict.fromkeys(EVALUATION_COLUMNS, np.nan), **ends, **given}


def metadataset_of(*rows: dict[str, object], family: dict[str, str] | None = None, **manifest: object) -> MetaDataset:
    """Return a meta-dataset of the tasks and configurations that are named in some rows."""
    evaluations = pd.DataFrame(rows, columns=list(EVALUATION_COLUMNS))
    tasks = evaluations["task"].drop_duplicates()
    configurations = evaluations["configuration"].drop_duplicates()
    return MetaDataset(
        pd.DataFrame({"task": tasks, "family": tasks.replace(family or {})}).assign(
            problem="multiclass", n_rows=150, n_columns=4, n_classes=3, n_rows_used=150
        ),
        pd.DataFrame({"configuration": configurations}).assign(
            strategy=configurations.str.split("-").str[0], position=0, origin="sample", parameters="{}"
        ),
        evaluations,
        manifest,
    )


@pytest.fixture
def random_metadataset(seed: int) -> MetaDataset:
    """Return some hundred evaluations in no order, with gaps, failures, folds, seeds, curves and all problems."""
    rng = np.random.default_rng(seed)
    n = 400
    rows = pd.DataFrame(dict.fromkeys(EVALUATION_COLUMNS, [np.nan] * n))
    rows = rows.assign(
        task=rng.choice([f"t{i}" for i in range(7)], n),
        configuration=rng.choice([f"s{i % 3}-{i}" for i in range(9)], n),
        anchor=rng.choice([0.1, 0.5, 1.0], n),
        progress=rng.choice([0.25, 1.0], n, p=[0.2, 0.8]),
        n_iterations=rng.integers(0, 3, n),
        fold=rng.integers(0, 3, n),
        seed=rng.integers(0, 2, n),
        status=rng.choice(STATUSES, n, p=[0.9, 0.04, 0.03, 0.03]),
        error="",
        fit_s=np.where(rng.random(n) < 0.8, rng.random(n), np.nan),
    ).drop_duplicates(list(EVALUATION_KEY))
    # Points along a fit are there only if it ended well, and have no seconds of their own.
    rows.loc[rows["progress"] < 1, ["status", "fit_s"]] = ["ok", np.nan]
    names = sorted(rows["task"].unique())
    problems = dict(zip(names, rng.choice(list(LOSSES), len(names)), strict=True))
    for name, problem in problems.items():
        here = (rows["task"] == name) & (rows["status"] == "ok")
        for metric in LOSSES[problem]:
            rows.loc[here, f"loss_{metric}"] = rng.random(here.sum())
    tasks = pd.DataFrame({"task": names, "problem": [problems[n] for n in names], "family": [n[-1:] for n in names]})
    configurations = pd.DataFrame({"configuration": sorted(rows["configuration"].unique())})
    return MetaDataset(
        tasks.assign(n_rows=10, n_columns=2, n_classes=0, n_rows_used=10),
        configurations.assign(strategy=configurations["configuration"].str[:2], position=0, origin="", parameters=""),
        rows,
    )


def test_matrix_is_what_a_loop_over_cells_finds(random_metadataset):
    rows = random_metadataset.evaluations
    losses, seconds = random_metadataset.matrix(), random_metadataset.matrix("fit_s")
    statuses = random_metadataset.status_matrix()
    problems = random_metadataset.tasks.set_index("task")["problem"]
    for task in losses.index:
        for configuration in losses.columns:
            cell = rows[(rows["task"] == task) & (rows["configuration"] == configuration)]
            full = cell[(cell["anchor"] == 1) & (cell["progress"] == 1)]
            ended = [*full["status"], *(s for s in cell[cell["anchor"] < 1]["status"] if s in ("timeout", "memory"))]
            worst = max(ended, key=STATUSES.index, default=None)
            assert statuses.loc[task, configuration] == worst
            expected = full[f"loss_{LOSSES[problems[task]][0]}"].mean() if worst == "ok" else np.nan
            np.testing.assert_allclose(losses.loc[task, configuration], expected, rtol=1e-6)
            np.testing.assert_allclose(seconds.loc[task, configuration], full["fit_s"].mean(), rtol=1e-6)


def test_matrix_does_not_depend_on_the_order_of_rows(random_metadataset, seed):
    mixed = random_metadataset.evaluations.sample(frac=1, random_state=seed)
    other = MetaDataset(random_metadataset.tasks, random_metadataset.configurations, mixed)
    pd.testing.assert_frame_equal(other.matrix(), random_metadataset.matrix())


def test_anchor_is_found_in_spite_of_its_rounding():
    metadataset = metadataset_of(row("iris", "tree", 0.5, anchor=0.1), row("iris", "tree", 0.25))
    assert metadataset.matrix(anchor=0.1).loc["iris", "tree"] == 0.5
    assert metadataset.matrix(anchor=1).loc["iris", "tree"] == 0.25


def test_loss_is_unknown_where_a_fold_failed():
    failed = row("iris", "tree", fold=1, status="failed", fit_s=1.0)
    metadataset = metadataset_of(row("iris", "tree", 0.5, fit_s=3.0), failed)
    assert np.isnan(metadataset.matrix().loc["iris", "tree"])
    assert metadataset.matrix("fit_s").loc["iris", "tree"] == 2.0
    assert metadataset.status_matrix().loc["iris", "tree"] == "failed"


@pytest.mark.parametrize(("status", "expected"), [("timeout", "timeout"), ("failed", "ok")])
def test_fold_that_gave_up_at_an_earlier_anchor_counts(status, expected):
    early = row("iris", "tree", fold=1, anchor=0.5, status=status)
    metadataset = metadataset_of(row("iris", "tree", 0.5), early)
    assert metadataset.status_matrix().loc["iris", "tree"] == expected
    assert metadataset.matrix().notna().loc["iris", "tree"] == (expected == "ok")


def test_metric_of_a_task_is_the_first_that_was_recorded():
    log_loss = {"loss_log_loss": 0.9}
    metadataset = metadataset_of(row("iris", "tree", 0.5), row("wine", "tree", 0.25, **log_loss), row("cars", "tree"))
    assert metadataset.metrics.to_dict() == {"iris": "balanced_accuracy", "wine": "log_loss", "cars": "log_loss"}
    assert metadataset.matrix()["tree"].tolist()[:2] == [0.5, pytest.approx(0.9)]
    assert metadataset.matrix(metric="balanced_accuracy")["tree"].tolist()[:2] == [0.5, 0.25]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value": "time"}, "value must be 'loss' or one of fit_s, .*, got 'time'"),
        ({"metric": "f1"}, "metric must be one of roc_auc, .*, got 'f1'"),
    ],
)
def test_unknown_matrix_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        metadataset_of(row("iris", "tree")).matrix(**arguments)


def test_curve_averages_folds_that_stopped_at_different_lengths():
    folds = [
        row("iris", "boosting", 0.5, progress=4 / 10, n_iterations=4),
        row("iris", "boosting", 0.7, progress=4 / 20, n_iterations=4, fold=1),
        row("iris", "boosting", 0.6, progress=8 / 20, n_iterations=8, fold=1),
        row("iris", "boosting", 0.3, n_iterations=10),
        row("iris", "boosting", 0.5, n_iterations=20, fold=1),
    ]
    curve = metadataset_of(*folds).curve("iris", "boosting")
    assert curve["n_iterations"].tolist() == [4, 8, 15]
    assert curve["loss"].tolist() == pytest.approx([0.6, 0.6, 0.4])
    assert curve["n_evaluations"].tolist() == [2, 1, 2]


def test_curve_is_in_the_order_of_iterations():
    # Only the longer fit reaches 8 iterations, at a smaller fraction than the mean at 4.
    folds = [
        row("iris", "boosting", 0.5, progress=4 / 5, n_iterations=4),
        row("iris", "boosting", 0.5, n_iterations=5, fit_s=1.0),
        row("iris", "boosting", 0.7, progress=4 / 80, n_iterations=4, fold=1),
        row("iris", "boosting", 0.6, progress=8 / 80, n_iterations=8, fold=1),
        row("iris", "boosting", 0.5, n_iterations=80, fit_s=1.0, fold=1),
    ]
    assert metadataset_of(*folds).curve("iris", "boosting")["n_iterations"].tolist() == [4, 8, 42.5]


def test_curve_over_rows_is_averaged_by_anchor():
    folds = [
        row("iris", "tree", 0.75, anchor=0.5, fit_s=1.0),
        row("iris", "tree", 0.25, anchor=0.5, fit_s=1.0, fold=1),
        row("iris", "tree", status="failed", anchor=0.25),
        row("iris", "tree", 0.25, fit_s=1.0),
        row("iris", "other", 0.0),
    ]
    curve = metadataset_of(*folds).curve("iris", "tree")
    assert curve[["anchor", "loss"]].to_numpy().tolist() == [[0.5, 0.5], [1.0, 0.25]]


def test_curve_shows_fits_on_a_part_of_the_rows_before_those_on_all_each_with_its_iterations():
    fits = [
        row("iris", "boosting", 0.9, anchor=1 / 8, progress=1 / 3, n_iterations=1),
        row("iris", "boosting", 0.8, anchor=1 / 8, progress=2 / 3, n_iterations=2),
        row("iris", "boosting", 0.7, anchor=1 / 8, n_iterations=3, fit_s=1.0),
        row("iris", "boosting", 0.6, progress=1 / 2, n_iterations=1),
        row("iris", "boosting", 0.5, n_iterations=2, fit_s=8.0),
    ]
    metadataset = metadataset_of(*fits[::-1])
    curve = metadataset.curve("iris", "boosting")
    assert curve["anchor"].tolist() == [1 / 8] * 3 + [1.0] * 2
    assert curve["progress"].tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1 / 2, 1])
    assert curve["n_iterations"].tolist() == [1, 2, 3, 1, 2]
    assert curve["loss"].tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])
    assert metadataset.matrix(anchor=1 / 8).loc["iris", "boosting"] == pytest.approx(0.7)
    assert metadataset.matrix("fit_s").loc["iris", "boosting"] == 8.0


def test_points_along_a_fit_without_its_end_are_no_result():
    metadataset = metadataset_of(row("iris", "boosting", 0.5, progress=0.5, n_iterations=4))
    assert np.isnan(metadataset.matrix().loc["iris", "boosting"])
    assert metadataset.status_matrix().loc["iris", "boosting"] is None
    assert metadataset.summary()["problem"].loc["multiclass", "configurations_most"] == 0


def test_curve_of_nothing_is_empty():
    metadataset = metadataset_of(row("iris", "tree", 0.5), row("wine", "forest", 0.5))
    assert metadataset.curve("iris", "forest").empty
    with pytest.raises(ValueError, match="There is no task 'cars'; there are 'iris', 'wine'"):
        metadataset.curve("cars", "tree")


def test_selection_has_what_is_named_in_the_order_there_was():
    metadataset = metadataset_of(row("a", "x", 0.1), row("b", "x", 0.2), row("a", "y", 0.3), row("b", "y", 0.4))
    part = metadataset.select(tasks=["b", "a"], configurations="y")
    assert part.matrix()["y"].round(3).to_dict() == {"a": 0.3, "b": 0.4}
    assert part.n_configurations == 1
    assert metadataset.select().n_tasks == 2
    with pytest.raises(ValueError, match="There is no configuration 'z'; there are 'x', 'y'"):
        metadataset.select(configurations=["x", "z"])


def test_split_is_by_family_and_keeps_configurations():
    rows = [row("a1", "x", 0.1), row("a2", "x", 0.2), row("b", "y", 0.3)]
    train, test = metadataset_of(*rows, family={"a1": "a", "a2": "a"}).split("a")
    assert list(train.tasks["task"]) == ["b"]
    assert list(test.tasks["task"]) == ["a1", "a2"]
    assert len(train.evaluations) == 1
    assert list(train.matrix().columns) == list(test.matrix().columns) == ["x", "y"]


def test_unknown_family_is_refused():
    with pytest.raises(ValueError, match="There is no family 'b'; there are 'a'"):
        metadataset_of(row("a", "x")).split(["a", "b"])


def test_folds_test_every_task_once_and_share_no_family(random_metadataset, seed):
    families = {"t0": "f", "t1": "f", "t2": "f", "t3": "g", "t4": "g"}
    tasks = random_metadataset.tasks.assign(family=random_metadataset.tasks["task"].replace(families))
    metadataset = MetaDataset(tasks, random_metadataset.configurations, random_metadataset.evaluations)
    tested = []
    for train, test in metadataset.folds(3, seed):
        assert not set(train.tasks["family"]) & set(test.tasks["family"])
        assert train.n_tasks + test.n_tasks == metadataset.n_tasks
        assert 2 <= test.n_tasks <= 3
        tested += list(test.tasks["task"])
    assert sorted(tested) == sorted(metadataset.tasks["task"])


@pytest.mark.parametrize("fold_seed", range(6))
def test_folds_are_as_equal_as_families_allow(fold_seed):
    family = {f"t{i}": "large" for i in range(4)}
    metadataset = metadataset_of(*(row(f"t{i}", "x") for i in range(8)), family=family)
    assert [test.n_tasks for _, test in metadataset.folds(2, fold_seed)] == [4, 4]


def test_folds_depend_on_seed_and_families_only():
    rows = [row(f"t{i}", "x", 0.1) for i in range(12)]

    def tested(metadataset: MetaDataset, seed: int) -> list[set[str]]:
        return [set(test.tasks["task"]) for _, test in metadataset.folds(4, seed)]

    assert tested(metadataset_of(*rows), 0) == tested(metadataset_of(*rows[::-1]), 0)
    assert len({tuple(map(frozenset, tested(metadataset_of(*rows), seed))) for seed in range(8)}) > 1


@pytest.mark.parametrize("n", [1, 3])
def test_number_of_folds_must_fit_the_families(n):
    with pytest.raises(ValueError, match=rf"n must be between 2 and the number of families \(2\), got {n}"):
        metadataset_of(row("a", "x"), row("b", "x")).folds(n)


def test_parts_of_a_split_make_the_whole_again(random_metadataset):
    train, test = random_metadataset.split(["1", "3"])
    whole = train.concat(test)
    pd.testing.assert_frame_equal(whole.matrix().loc[random_metadataset.matrix().index], random_metadataset.matrix())
    assert len(whole.evaluations) == len(random_metadataset.evaluations)


def test_what_was_measured_twice_counts_as_first_measured():
    first = metadataset_of(row("iris", "tree", 0.5))
    second = metadataset_of(row("iris", "tree", 0.25), row("iris", "forest", 0.125))
    assert first.concat(second).matrix().loc["iris"].to_dict() == {"tree": 0.5, "forest": 0.125}
    assert first.concat(second, second).n_configurations == 2
    pd.testing.assert_frame_equal(first.concat().evaluations, first.evaluations)


def test_a_learning_curve_is_not_put_together_from_two_fits():
    fit = [row("iris", "boosting", 0.5, n_iterations=8), row("iris", "boosting", 0.7, progress=0.5, n_iterations=4)]
    again = [row("iris", "boosting", 0.4, n_iterations=6), row("iris", "boosting", 0.6, progress=2 / 3, n_iterations=4)]
    joined = metadataset_of(*fit).concat(metadataset_of(*again, row("iris", "boosting", 0.3, fold=1)))
    assert joined.evaluations["loss_balanced_accuracy"].tolist() == pytest.approx([0.5, 0.7, 0.3])


def test_gaps_in_meta_features_are_filled_from_the_others():
    first, second = metadataset_of(row("iris", "tree")), metadataset_of(row("iris", "tree"))
    first = MetaDataset(first.tasks.assign(skew=np.nan, entropy=1.0), first.configurations, first.evaluations)
    second = MetaDataset(second.tasks.assign(skew=2.0, entropy=3.0), second.configurations, second.evaluations)
    assert first.concat(second).tasks[["skew", "entropy"]].to_numpy().tolist() == [[2.0, 1.0]]


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("tasks", {"n_rows": 151}, r"a task 'iris' that is not the same in both \(\{'n_rows': \[150, 151\]\}\)"),
        ("tasks", {"problem": "regression"}, "a task 'iris' that is not the same"),
        ("configurations", {"parameters": "[]"}, "a configuration 'tree' that is not the same"),
    ],
)
def test_other_content_under_the_same_name_is_refused(table, change, message):
    first = metadataset_of(row("iris", "tree"))
    frames = {"tasks": first.tasks, "configurations": first.configurations, "evaluations": first.evaluations}
    second = MetaDataset(**{**frames, table: frames[table].assign(**change)})
    with pytest.raises(ValueError, match=message):
        first.concat(second)


def test_manifest_keeps_what_all_agree_on():
    first = metadataset_of(row("iris", "tree"), licence="CC0", seed=1)
    second = metadataset_of(row("wine", "tree"), licence="CC0", seed=2)
    assert first.concat(second).manifest == {"licence": "CC0"}


def test_manifest_holds_what_does_not_depend_on_files():
    assert metadataset_of(row("iris", "tree"), files={}, schema_version=3, seed=1).manifest == {"seed": 1}


def test_long_frame_tells_strategy_and_family_of_each_evaluation():
    rows = [row("a", "tree-1"), row("b", "svm-1"), row("b", "tree-1")]
    frame = metadataset_of(*rows, family={"b": "letters"}).to_pandas()
    assert frame["strategy"].tolist() == ["tree", "svm", "tree"]
    assert frame["family"].tolist() == ["a", "letters", "letters"]
    assert set(frame["problem"]) == {"multiclass"}
    assert set(frame["position"]) == {0}


def test_summary_counts():
    rows = [row("a", "tree-1", 0.2), row("a", "tree-2", status="timeout"), row("b", "tree-1"), row("b", "svm-1")]
    metadataset = metadataset_of(*rows, family={"b": "a"}).select(tasks=["a"])
    summary = metadataset.summary()
    of_problem = summary["problem"].loc["multiclass"]
    expected = {
        "n_tasks": 1,
        "n_families": 1,
        "configurations_least": 2,
        "configurations_most": 2,
        "n_evaluations": 2,
        "share_ok": 0.5,
    }
    assert of_problem[list(expected)].to_dict() == expected
    assert of_problem["rows_median"] == metadataset.tasks["n_rows"].iloc[0]
    assert summary["strategy"]["n_configurations"].to_dict() == {"svm": 1, "tree": 2}
    assert summary["strategy"]["n_evaluations"].to_dict() == {"svm": 0, "tree": 2}
    assert summary["strategy"]["timeout"].to_dict() == {"svm": 0, "tree": 1}
    assert summary["strategy"]["n_best"].to_dict() == {"svm": 0, "tree": 1}
    assert summary["coverage"]["n_configurations"].to_dict() == {1: 2, 30: 0, 60: 0, 100: 0, 120: 0, 300: 0}
    assert summary["coverage"]["n_tasks"].to_dict() == {1: 1, 30: 0, 60: 0, 100: 0, 120: 0, 300: 0}
    assert summary["status"]["n_evaluations"].to_dict() == {"ok": 1, "timeout": 1, "memory": 0, "failed": 0}
    assert repr(metadataset) == "MetaDataset(1 tasks, 3 configurations of 2 strategies, 2 evaluations)"


def test_copy_through_pickle_is_the_same(random_metadataset):
    copy = pickle.loads(pickle.dumps(random_metadataset))
    pd.testing.assert_frame_equal(copy.evaluations, random_metadataset.evaluations)
