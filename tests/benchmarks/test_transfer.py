"""Splits, pasts that mislead, runs and tables of the comparison of samplers, on surrogates that are formulas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from autometa.core.space import SearchSpace
from benchmarks import transfer, transfer_past, transfer_report
from benchmarks.surrogates import FAMILIES, Surrogate
from benchmarks.transfer_past import PastStudy

SPACE = SearchSpace(
    {
        "x": FloatDistribution(0.01, 1.0, log=True),
        "kind": CategoricalDistribution(("a", "b")),
        "y": FloatDistribution(0, 1),
    },
    conditions={"y": ("kind", ("b",))},
)


def bowl(task: str, configurations: Sequence[Any]) -> np.ndarray:
    best = (int(task) % 10) / 10
    return np.array([0.1 + (found["x"] - best) ** 2 + found.get("y", 0.5) * 0.1 for found in configurations])


def surrogate(tasks: Sequence[str] = tuple(map(str, range(40)))) -> Surrogate:
    return Surrogate("bowl", SPACE, tuple(tasks), bowl)


def ranges(found: Surrogate, best: float = 0.1) -> pd.DataFrame:
    return pd.DataFrame({"surrogate": found.name, "task": found.tasks, "best": best, "worst": 1.2})


@pytest.fixture
def past() -> list[PastStudy]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return transfer_past.past_studies(surrogate(("3", "4")), ("3", "4"), n=4)


def test_no_task_is_on_two_sides_of_a_split() -> None:
    found = surrogate()
    test, past_of_test = transfer_past.split(found, ranges(found), "test")
    tune, past_of_tune = transfer_past.split(found, ranges(found), "tune")
    assert (len(test), len(tune)) == (12, 8)
    assert not set(test) & set(tune)
    assert not set(test) & set(past_of_test)
    assert not (set(test) | set(tune)) & set(past_of_tune)
    assert set(test) | set(past_of_test) <= set(found.tasks)


def test_no_family_of_tables_is_on_two_sides_of_a_split() -> None:
    found = surrogate([*FAMILIES, *map(str, range(20_000, 20_010))])
    seen = set()
    for n_tasks in (1, 3, 5):
        for role in ("test", "tune"):
            tasks, past = transfer_past.split(found, ranges(found), role, n_tasks)
            families = {FAMILIES[task] for task in tasks if task in FAMILIES}
            assert not families & {FAMILIES.get(task) for task in past}
            seen |= families
    assert seen == set(FAMILIES.values())


@pytest.mark.parametrize("role", ["test", "tune"])
def test_over_the_folds_each_task_is_judged_once_by_a_past_without_it(role: str) -> None:
    found = surrogate([*FAMILIES, *map(str, range(20_000, 20_030))])
    test, _ = transfer_past.split(found, ranges(found), "test")
    judged: list[str] = []
    for fold in range(20):
        try:
            tasks, past = transfer_past.split(found, ranges(found), role, fold=fold)
        except ValueError as reason:
            assert f"left for fold {fold}" in str(reason)
            break
        # A family of tables on one side of each fold.
        families = [{FAMILIES.get(task, task) for task in side} for side in (tasks, past, test)]
        assert not families[0] & families[1]
        assert role == "test" or not families[2] & (families[0] | families[1])
        judged += tasks
    assert fold > 1 and len(judged) == len(set(judged))
    near = {FAMILIES.get(task, task) for task in test} if role == "tune" else set()
    assert set(judged) == {task for task in found.tasks if FAMILIES.get(task, task) not in near}


def test_tasks_without_anything_left_to_search_are_only_in_the_past() -> None:
    found = surrogate()
    known = ranges(found)
    known.loc[::2, "best"] = 0.0
    test, past = transfer_past.split(found, known, "test")
    assert all(int(task) % 2 for task in test)
    assert {task for task in found.tasks if not int(task) % 2} <= set(past)


def test_past_studies_take_turns_over_tasks_and_ways_to_search(past: list[PastStudy]) -> None:
    assert [study.name for study in past] == ["bowl-3-0", "bowl-4-1", "bowl-3-2", "bowl-4-3"]
    for study, task in zip(past, "3434", strict=True):
        assert len(study.configurations) == transfer_past.N_PAST_TRIALS
        np.testing.assert_array_equal(study.losses, bowl(task, study.configurations))
    # Random and TPE on either task, in this order on one and in the other on the other: TPE ends nearer the best.
    late = [np.median(study.losses[25:]) for study in past]
    assert late[2] < late[0] and late[1] < late[3]


def test_a_past_study_as_an_optuna_study_has_the_same_trials(past: list[PastStudy]) -> None:
    study = past[0].study(SPACE)
    assert [trial.params for trial in study.trials] == list(past[0].configurations)
    assert [trial.value for trial in study.trials] == past[0].losses.tolist()


def test_past_studies_come_back_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "past.json"
    written = transfer_past.kept_past_studies(surrogate(), ("3", "4"), file, n=2)
    read = transfer_past.kept_past_studies(surrogate(), ("3", "4"), file, n=2)
    assert file.exists()
    for one, other in zip(written, read, strict=True):
        assert (one.name, one.configurations) == (other.name, other.configurations)
        np.testing.assert_array_equal(one.losses, other.losses)


def test_misleading_pasts_keep_the_configurations(past: list[PastStudy]) -> None:
    for study in past:
        upside_down, mixed = transfer_past.negated(study), transfer_past.shuffled(study)
        assert upside_down.configurations == mixed.configurations == study.configurations
        np.testing.assert_array_equal(np.argsort(upside_down.losses), np.argsort(-study.losses))
        assert sorted(mixed.losses) == sorted(study.losses)
        assert abs(np.corrcoef(mixed.losses, study.losses)[0, 1]) < 0.6


def test_another_problem_in_disguise_has_this_space_and_those_losses() -> None:
    there = SearchSpace({name: FloatDistribution(0, 2) for name in "pqrs"})
    other = Surrogate("sum", there, ("5",), lambda task, found: np.array([sum(each.values()) for each in found]))
    disguised = transfer_past.disguised(other, SPACE)
    # x is at 0.5 of its range, on a log scale; kind "a" at 0.25; y is inactive, at 0.5; and x once more.
    assert disguised.predict("5", [{"x": 0.1, "kind": "a"}]) == pytest.approx([2 * (0.5 + 0.25 + 0.5 + 0.5)])
    assert disguised.space is SPACE


def test_a_run_tells_the_study_the_losses_of_what_it_asked_for() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    losses, _ = transfer.run(study, surrogate(), "3", n_trials=20)
    assert [trial.value for trial in study.trials] == losses.tolist()
    np.testing.assert_array_equal(losses, bowl("3", [trial.params for trial in study.trials]))


def test_seconds_of_the_sampler_count_and_those_of_the_objective_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(transfer, "time", SimpleNamespace(process_time=lambda: now_s))

    def passing(seconds: float, call: Any) -> Any:
        def slow(*arguments: Any) -> Any:
            nonlocal now_s
            now_s += seconds
            return call(*arguments)

        return slow

    sampler = optuna.samplers.RandomSampler(seed=0)
    monkeypatch.setattr(sampler, "sample_relative", passing(2.0, sampler.sample_relative))
    monkeypatch.setattr(sampler, "after_trial", passing(1.0, sampler.after_trial))
    slow = Surrogate("bowl", SPACE, ("3",), passing(100.0, bowl))
    _, seconds = transfer.run(optuna.create_study(sampler=sampler), slow, "3", n_trials=5)
    assert seconds == 3.0


def test_the_incumbents_come_back_from_their_text(seed: int) -> None:
    losses = np.random.default_rng(seed).random(100)
    back = transfer_report.incumbents(transfer_report.course(losses))
    np.testing.assert_allclose(back, np.minimum.accumulate(losses), rtol=1e-5)


def results(losses: dict[tuple[str, str, str, str], float]) -> pd.DataFrame:
    """Runs that find a loss of 1 first, and another one at the trial of the same number divided by 100."""
    rows = [
        {"surrogate": "bowl", "task": task, "seed": seed, "sampler": sampler, "scenario": scenario, "suggest_s": 0.01}
        | {str(count): 1.0 if count < place else 0.2 for count in transfer_report.CHECKPOINTS}
        | {"improvements": f"1:1 {place}:0.2"}
        for (task, seed, sampler, scenario), place in losses.items()
    ]
    return pd.DataFrame(rows)


def test_regret_is_between_the_best_and_the_worst_that_anyone_knows() -> None:
    found = results({("1", "0", "tpe", "past"): 80, ("1", "0", "meta", "past"): 10})
    curves = transfer_report.regret_curves(found, ranges(surrogate(("1",)), best=0.1))
    np.testing.assert_allclose(curves[1], (1 - 0.1) / (1.2 - 0.1))
    np.testing.assert_allclose(curves[100], (0.2 - 0.1) / (1.2 - 0.1))
    # A run that is better than the random sample is the new best.
    curves = transfer_report.regret_curves(found, ranges(surrogate(("1",)), best=0.5))
    assert (curves[100] == 0).all()


def test_trials_needed_are_those_until_the_median_is_as_good_as_tpe_in_the_end() -> None:
    found = results(
        {
            **{(task, seed, "tpe", "past"): 80 for task in "123" for seed in "012"},
            **{("1", seed, "meta", "past"): place for seed, place in zip("012", (5, 20, 90), strict=True)},
            **{("2", seed, "meta", "past"): 30 for seed in "012"},
            **{("3", seed, "meta", "past"): 101 for seed in "012"},
        }
    )
    curves = transfer_report.regret_curves(found, ranges(surrogate(tuple("123"))))
    medians = curves.xs("bowl", level="surrogate").groupby(["scenario", "sampler", "task"]).median()
    needed = transfer_report.trials_needed(medians, medians.loc[("past", "tpe")])
    assert needed["past", "tpe"].tolist() == [80, 80, 80]
    assert needed["past", "meta"].tolist() == [20, 30, np.inf]


def test_samplers_are_compared_on_the_tasks_and_seeds_that_both_have() -> None:
    found = results(
        {
            **{(task, seed, "tpe", "past"): 80 for task in "1234" for seed in "012"},
            **{(task, seed, "meta", scenario): 8 for task in "1234" for seed in "01" for scenario in ("past", "other")},
            ("1", "0", "gp", "past"): 8,
        }
    )
    curves = transfer_report.regret_curves(found, ranges(surrogate(tuple("1234")))).xs("bowl", level="surrogate")
    table = transfer_report.comparison(curves[list(transfer_report.CHECKPOINTS)], ["meta"])
    assert set(table.index) == {(s, "meta", b) for s in ("past", "other") for b in ("tpe", "gp")}
    against_tpe = table.loc[("past", "meta", "tpe")]
    assert (against_tpe["tasks"], against_tpe["seeds"]) == (4, 2)
    assert against_tpe[5] == "+0.0000 [+0.0000, +0.0000]"
    assert against_tpe[25].startswith("-0.7273 ") and against_tpe[25].endswith("*")
    assert (table.loc[("other", "meta", "gp"), "tasks"], table.loc[("other", "meta", "gp"), "seeds"]) == (1, 1)


def test_the_report_has_a_row_of_each_sampler_and_past_and_says_how_much_of_it_there_is() -> None:
    found = results(
        {
            **{(task, seed, "tpe", "past"): 80 for task in "123" for seed in "01"},
            **{(task, seed, "meta", scenario): 8 for task in "123" for seed in "01" for scenario in ("past", "other")},
        }
    )
    found = pd.concat([found, found.iloc[[-1]].assign(seed="2")])
    lines = transfer_report.report(found, ranges(surrogate(tuple("123"))), ["meta"]).splitlines()
    assert [line.split(" | ")[:2] for line in lines if " of 3" in line] == [
        ["| tpe", "3 × 2"],
        ["| meta", "3 × 2"],
        ["| meta, other past", "3 × 2–3"],
    ]
    assert sum(line.startswith(("| meta − tpe", "| meta, other past − tpe")) for line in lines) == 2
    (tpe, meta) = (next(line for line in lines if line.startswith(f"| {name} |")) for name in ("tpe", "meta"))
    assert "| 80 | 0 of 3 | 10 |" in tpe and "| 8 | 3 of 3 | 10 |" in meta


def test_what_runs_of_fewer_trials_have_not_seen_is_not_counted() -> None:
    options: dict[str, Any] = {
        "surrogate": surrogate(),
        "tasks": ["3", "4"],
        "seeds": [0],
        "scenario": "past",
        "archive": lambda: pytest.fail("random search and TPE know no past"),
        "done": set(),
    }
    rows = [
        *transfer.measure(**options, samplers=["random"], n_trials=10),
        *transfer.measure(**options, samplers=["tpe"], n_trials=10),
    ]
    # The first trials are those of the long run.
    (long,) = transfer.measure(**{**options, "tasks": ["3"]}, samplers=["random"])
    assert "25" not in rows[0] and rows[0]["10"] == long["10"]
    found = pd.DataFrame(rows, columns=list(transfer.FIELDS))
    curves = transfer_report.regret_curves(found, ranges(surrogate())).xs("random", level="sampler")
    assert curves.loc[:, :10].notna().all(axis=None) and curves.loc[:, 11:].isna().all(axis=None)
    # With or without TPE there.
    for shown in (found, found[found["sampler"] == "random"]):
        lines = transfer_report.report(shown, ranges(surrogate()), ["random"]).splitlines()
        (line,) = (line for line in lines if line.startswith("| random |"))
        assert [cell == "–" for cell in line.split(" | ")[2:10]] == [False] * 3 + [True] * 5


def test_a_stopped_measurement_goes_on_where_it_stopped() -> None:
    options: dict[str, Any] = {
        "surrogate": surrogate(),
        "tasks": ["3", "4"],
        "seeds": range(2),
        "samplers": ["random"],
        "scenario": "past",
        "archive": lambda: pytest.fail("random search knows no past"),
    }
    rows = list(transfer.measure(**options, done=set()))
    assert [(row["task"], row["seed"]) for row in rows] == [("3", "0"), ("4", "0"), ("3", "1"), ("4", "1")]
    key = [tuple(row[name] for name in transfer_report.KEY) for row in rows]
    left = list(transfer.measure(**options, done=set(key[:3])))
    timeless = [{name: value for name, value in row.items() if name != "suggest_s"} for row in (*left, *rows[3:])]
    assert timeless[0] == timeless[1] and len(timeless) == 2
