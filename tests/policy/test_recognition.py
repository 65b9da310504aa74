"""Tables that were fitted before start from what was best on them."""

from __future__ import annotations

import sqlite3
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autometa import AutoMeta, MetaDataset, recommend
from autometa.catalogue import load_strategies
from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.metadataset.experience import recall, remember
from autometa.metadataset.machine_speed import machine_speed
from autometa.metadataset.store import FILE_NAME
from autometa.policy.recognition import N_OF_SAME, N_OF_SIBLINGS, remembered_first, table_family

FAMILY = table_family(["age", "income"], "regression")
TASK = TaskDescription("regression", 100, 2, 0, "rmse", features={"log_rows": 4.6})
SIBLING = replace(TASK, n_rows=120, features={"log_rows": 4.8})


@pytest.fixture(scope="module")
def strategies() -> list[Strategy]:
    return load_strategies(["ridge", "extra_trees", "kernel_svm"])


def ridge(alpha: float) -> Configuration:
    strategy = load_strategies(["ridge"])[0]
    (name, *_) = strategy.space.distributions
    return Configuration("ridge", strategy.space.complete({name: alpha}))


def fold_results(configuration: Configuration, losses: list[float], fit_s: float = 0.1) -> list[Evaluation]:
    return [Evaluation(configuration, 1.0, fold, loss, fit_s, 0.0) for fold, loss in enumerate(losses)]


def first(folder: Path, task: TaskDescription, strategies: list[Strategy], **given: float) -> tuple[Configuration, ...]:
    return remembered_first(recall(folder), task, FAMILY, strategies, **given)


def test_the_best_comes_first_and_pruned_trials_do_not_count(strategies: list[Strategy], tmp_path: Path) -> None:
    good, bad, pruned = ridge(1.0), ridge(5.0), ridge(9.0)
    given = [*fold_results(bad, [0.9, 0.9]), *fold_results(good, [0.4, 0.5]), *fold_results(pruned, [0.1])]
    remember(tmp_path, TASK, given, 0, FAMILY)
    assert first(tmp_path, TASK, strategies) == (good, bad)
    assert first(tmp_path, SIBLING, strategies) == (good, bad)
    assert first(tmp_path, replace(SIBLING, problem="binary"), strategies) == ()
    assert first(tmp_path, replace(TASK, metric="mae"), strategies) == ()
    assert remembered_first(recall(tmp_path), SIBLING, table_family(["other"], "regression"), strategies) == ()


def test_a_configuration_that_is_good_in_every_fit_beats_one_that_was_lucky_once(
    strategies: list[Strategy], tmp_path: Path
) -> None:
    steady, lucky, bad = ridge(1.0), ridge(2.0), ridge(9.0)
    for seed in range(4):
        given = [*fold_results(steady, [0.30]), *fold_results(bad, [0.9])]
        given += fold_results(lucky, [0.29]) if seed == 0 else []
        remember(tmp_path, TASK, given, seed, FAMILY)
    assert first(tmp_path, TASK, strategies)[0] == steady


def test_fits_of_the_very_table_count_for_more_than_those_of_its_siblings(
    strategies: list[Strategy], tmp_path: Path
) -> None:
    remember(tmp_path, SIBLING, [*fold_results(ridge(1.0), [0.1]), *fold_results(ridge(2.0), [0.9])], 0, FAMILY)
    remember(tmp_path, TASK, [*fold_results(ridge(1.0), [0.9]), *fold_results(ridge(2.0), [0.1])], 0, FAMILY)
    assert first(tmp_path, TASK, strategies) == (ridge(2.0), ridge(1.0))


def test_no_more_than_a_few_come_first_and_not_all_of_one_strategy(strategies: list[Strategy], tmp_path: Path) -> None:
    given = [e for n, alpha in enumerate(np.geomspace(0.1, 100, 20)) for e in fold_results(ridge(alpha), [0.1 + n])]
    remember(tmp_path, TASK, given, 0, FAMILY)
    assert 1 < len(first(tmp_path, TASK, strategies)) <= 3 < N_OF_SIBLINGS < N_OF_SAME


def test_what_cannot_be_tried_now_is_left_out(strategies: list[Strategy], tmp_path: Path) -> None:
    slow, quick, gone = ridge(1.0), ridge(2.0), Configuration("no such strategy", {})
    other_space = Configuration("ridge", {"no such parameter": 1.0})
    given = [*fold_results(slow, [0.1], fit_s=30.0), *fold_results(quick, [0.2])]
    given += [*fold_results(gone, [0.01]), *fold_results(other_space, [0.02])]
    remember(tmp_path, TASK, given, 0, FAMILY)
    assert first(tmp_path, TASK, strategies) == (slow, quick)
    assert first(tmp_path, TASK, strategies, remaining_s=20.0) == (quick,)


@pytest.mark.parametrize("speed", [None, float("nan")])
def test_a_machine_without_a_speed_is_taken_to_be_this_one(
    strategies: list[Strategy], tmp_path: Path, speed: float | None
) -> None:
    remember(tmp_path, TASK, fold_results(ridge(1.0), [0.1], fit_s=3.0), 0, FAMILY)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("UPDATE evaluations SET machine_speed = ?", (speed,))
    connection.close()
    assert first(tmp_path, TASK, strategies, remaining_s=16.0) == (ridge(1.0),)
    assert first(tmp_path, TASK, strategies, remaining_s=14.0) == ()


def test_seconds_of_a_slower_machine_are_converted(strategies: list[Strategy], tmp_path: Path) -> None:
    remember(tmp_path, TASK, fold_results(ridge(1.0), [0.1], fit_s=8.0), 0, FAMILY)
    assert first(tmp_path, TASK, strategies, remaining_s=30.0) == ()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("UPDATE evaluations SET machine_speed = ?", (machine_speed() / 2,))
    connection.close()
    # Its 8 s would take 4 s here.
    assert first(tmp_path, TASK, strategies, remaining_s=30.0) == (ridge(1.0),)


def test_losses_that_are_missing_cost_nothing(strategies: list[Strategy], tmp_path: Path) -> None:
    given = [
        *fold_results(ridge(1.0), [0.1, float("nan")]),
        *fold_results(ridge(2.0), [float("nan")]),
        *fold_results(ridge(3.0), [0.5, 0.5]),
        Evaluation(ridge(4.0), 0.125, 0, 0.01, 0.1, 0.0),
    ]
    remember(tmp_path, TASK, given, 0, FAMILY)
    assert first(tmp_path, TASK, strategies) == (ridge(3.0),)


def test_tables_without_names_of_columns_have_no_family() -> None:
    assert table_family(["0", "1", "x2"], "binary") is None
    assert table_family(["a", "b"], "binary") == table_family(["b", "a"], "binary") != table_family(["a"], "binary")
    assert "age" not in str(FAMILY)


# ------------------------------------------------------------------------------------------------ in whole fits


def make_table(seed: int, n: int = 120) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=["height", "weight", "age", "dose"])
    return X, (X["height"] * X["weight"] + X["age"] + rng.normal(scale=0.3, size=n)).to_numpy()


def fit(folder: Path, seed: int, table: int = 0, **given: object) -> AutoMeta:
    settings = {"strategies": ["ridge", "kernel_svm", "nearest_neighbours"], "n_trials": 6, "n_jobs": 1, "cv": 2}
    return AutoMeta(**{**settings, **given}, experience=folder, random_state=seed).fit(*make_table(table))


def best(model: AutoMeta) -> dict[str, object]:
    trials = [trial for trial in model.history_.trials if trial["status"] == "ok"]
    return min(trials, key=lambda trial: trial["loss"])


@pytest.mark.parametrize("policy", ["auto", "prior"])
@pytest.mark.parametrize("table", [0, 1], ids=["same rows", "new rows"])
def test_the_second_fit_starts_from_the_best_of_the_first(tmp_path: Path, policy: str, table: int) -> None:
    known = best(fit(tmp_path, 1, policy=policy))
    start = fit(tmp_path, 2, table, policy=policy).history_.trials[0]
    assert (start["strategy"], start["parameters"]) == (known["strategy"], known["parameters"])


def test_recommend_names_the_best_remembered_configuration(tmp_path: Path) -> None:
    known = best(fit(tmp_path, 1))
    advice = recommend(*make_table(0), strategies=["ridge", "kernel_svm"], experience=tmp_path)
    found = dict(zip(advice["strategy"], advice["configuration"], strict=True))
    assert found[known["strategy"]] == known["parameters"]


def newer(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE settings SET value = '99' WHERE name = 'schema_version'")
    connection.close()


def damaged(file: Path) -> None:
    file.write_bytes(b"no database at all" * 100)


@pytest.mark.parametrize("spoil", [newer, damaged])
def test_an_experience_that_cannot_be_read_costs_no_fit_and_is_left_as_it_was(tmp_path: Path, spoil: object) -> None:
    fit(tmp_path, 1)
    spoil(tmp_path / FILE_NAME)
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.warns(UserWarning, match="experience of earlier fits is not used") as caught:
        model = fit(tmp_path, 2)
    assert any("left as it" in str(warning.message) for warning in caught)
    assert np.isfinite(model.predict(make_table(0)[0])).all()
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_one_configuration_is_enough_experience(tmp_path: Path) -> None:
    fit(tmp_path, 1, n_trials=1, strategies=["ridge"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(tmp_path, 2).history_.trials[0]["strategy"] == "ridge"


def test_experience_is_a_meta_dataset_and_learnt_once(tmp_path: Path) -> None:
    fit(tmp_path, 1)
    known = MetaDataset.load(tmp_path)
    assert known.n_tasks == 1 and known.tasks["family"][0].startswith("columns-")
    assert recall(tmp_path) is recall(tmp_path)
    before = recall(tmp_path)
    fit(tmp_path, 2)
    after = recall(tmp_path)
    assert after is not before and after is not None and before is not None
    assert len(after.evaluations) > len(before.evaluations)
    assert after.evaluations["machine_speed"].gt(0).all()
