"""Scenarios: what a new task may be like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autometa.evaluation.loss_transform import to_scale
from autometa.policy.loss_model import LossModel, Scenarios, class_information, has_records
from autometa.policy.past_tasks import PastTasks
from tests.helpers.past_tasks import make_past

PAST = make_past()
N = len(PAST.tasks)
EVEN = np.zeros(N)


def scenarios_of(model: LossModel, seen: dict[int, float], *, correct: bool = True, temperature: float = 1.0):
    return model.scenarios(EVEN, seen, correct=correct, temperature=temperature)


@pytest.mark.parametrize("correct", [True, False])
@given(
    seen=st.dictionaries(st.integers(0, 11), st.floats(-1e300, 1e300), max_size=12),
    log_prior=st.lists(st.floats(-1e3, 0), min_size=N, max_size=N),
    temperature=st.floats(1e-3, 1e3),
)
@settings(max_examples=40)
def test_weights_are_a_distribution_and_losses_numbers_whatever_was_seen(
    correct: bool, seen: dict[int, float], log_prior: list[float], temperature: float
) -> None:
    model = LossModel(PAST, "binary", "roc_auc")
    found = model.scenarios(np.array(log_prior), seen, correct=correct, temperature=temperature)
    assert (found.weights >= 0).all()
    assert found.weights.sum() == pytest.approx(1)
    assert found.losses.shape == (N, 12)
    assert ((found.losses >= 0) & (found.losses <= 1)).all()
    regret = found.regret()
    assert ((regret >= 0) & (regret <= 1)).all()
    assert (regret.min(axis=1) == 0).all()


def test_without_losses_scenarios_are_the_past_tasks_weighed_by_the_prior() -> None:
    model = LossModel(PAST, "binary", "roc_auc")
    log_prior = np.linspace(-3, 0, N)
    found = model.scenarios(log_prior, {}, correct=True, temperature=0.1)
    assert found.losses == pytest.approx(model.prior())
    assert found.weights == pytest.approx(np.exp(log_prior) / np.exp(log_prior).sum())


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_log_losses_grow_with_what_the_classes_leave_open(metric: str) -> None:
    model = LossModel(PAST, "binary", metric)
    few, many = (
        model.scenarios(EVEN, {}, correct=True, temperature=0.1, class_information=information).losses
        for information in (0.7, 2.1)
    )
    assert many == pytest.approx(3 * few if metric == "log_loss" else few)


@pytest.mark.parametrize("information", [0.3, 3.0])
def test_what_was_seen_of_a_log_loss_is_what_scenarios_agree_on(information: float) -> None:
    model = LossModel(PAST, "binary", "log_loss")
    found = model.scenarios(EVEN, {0: 0.4}, correct=True, temperature=0.1, class_information=information)
    assert found.losses[:, 0] == pytest.approx(0.4, rel=0.1)


def test_the_information_of_classes_is_the_entropy_of_their_frequencies() -> None:
    assert class_information(4, {}) == pytest.approx(np.log(4))
    assert class_information(4, {"class_entropy": np.nan}) == pytest.approx(np.log(4))
    assert class_information(4, {"class_entropy": 0.5}) == pytest.approx(0.5 * np.log(4))
    assert class_information(2, {"class_entropy": 0.0}) > 0
    assert class_information(0, {"class_entropy": 0.5}) == 1.0


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_past_tasks_of_the_problem_are_as_recorded(metric: str) -> None:
    of = np.array(PAST.problems) == "binary"
    assert LossModel(PAST, "binary", metric).prior()[of] == pytest.approx(PAST.losses[metric][of])


def test_uncorrected_scenarios_stay_past_tasks() -> None:
    model = LossModel(PAST, "binary", "roc_auc")
    assert scenarios_of(model, {0: 0.2, 5: 0.1}, correct=False).losses == pytest.approx(model.prior())


@pytest.mark.parametrize(("problem", "metric"), [("binary", "roc_auc"), ("regression", "rmse")])
def test_a_corrected_scenario_agrees_with_what_was_seen_up_to_the_nugget(problem: str, metric: str) -> None:
    model = LossModel(PAST, problem, metric)
    for place, loss in ((0, 0.05), (7, 0.9)):
        before, after = (
            to_scale(found[:, place], metric) for found in (model.prior(), scenarios_of(model, {place: loss}).losses)
        )
        # Two fits of one configuration differ by a hundredth of their variance.
        assert np.abs(after - to_scale(np.array([loss]), metric)) == pytest.approx(
            np.abs(before - to_scale(np.array([loss]), metric)) * 0.01 / 1.01, abs=1e-9
        )


def test_corrected_scenarios_agree_with_all_that_was_seen_of_a_task_like_the_past_ones() -> None:
    for row in (0, 4):
        model = LossModel(PAST.select([task for task in range(N) if task != row]), "binary", "roc_auc")
        places = [0, 2, 5, 7, 11]
        seen = {place: float(PAST.losses["roc_auc"][row, place]) for place in places}
        truth = to_scale(np.array(list(seen.values())), "roc_auc")
        found = model.scenarios(np.zeros(N - 1), seen, correct=True, temperature=1.0)
        after = to_scale(found.losses[:, places], "roc_auc")
        before = to_scale(model.prior()[:, places], "roc_auc")
        assert np.abs(after - truth).mean() < 0.15 * np.abs(before - truth).mean()


def test_correction_predicts_what_was_not_seen_better_than_past_tasks_as_they_are() -> None:
    past = make_past(problems=("binary",) * 40)
    model = LossModel(past.select(range(10, 40)), "binary", "roc_auc")
    errors = {}
    for correct in (True, False):
        gaps = []
        for row in range(10):
            truth = past.losses["roc_auc"][row]
            seen = {place: float(truth[place]) for place in range(0, 12, 3)}
            found = model.scenarios(np.zeros(30), seen, correct=correct, temperature=1.0)
            hidden = [place for place in range(12) if place not in seen]
            gaps.append((found.weights @ found.losses - truth)[hidden])
        errors[correct] = np.sqrt(np.mean(np.square(gaps)))
    assert errors[True] < 0.8 * errors[False]


def test_the_past_task_whose_losses_are_seen_weighs_most() -> None:
    model = LossModel(PAST, "binary", "roc_auc")
    for row in range(0, N, 2):
        seen = {place: float(PAST.losses["roc_auc"][row, place]) for place in (1, 4, 9)}
        assert scenarios_of(model, seen).weights.argmax() == row


def test_low_temperatures_trust_the_likeliest_scenarios_alone() -> None:
    model = LossModel(PAST, "binary", "roc_auc")
    highest = [scenarios_of(model, {1: 0.3, 4: 0.2}, temperature=t).weights.max() for t in (1e-3, 0.1, 1.0, 1e6)]
    assert highest == sorted(highest, reverse=True)
    assert highest[0] == pytest.approx(1)
    assert highest[-1] == pytest.approx(1 / N, rel=1e-3)


def test_order_in_which_losses_were_seen_does_not_matter() -> None:
    model = LossModel(PAST, "binary", "roc_auc")
    seen = {1: 0.3, 4: 0.2, 9: 0.6}
    one, other = scenarios_of(model, seen), scenarios_of(model, dict(reversed(seen.items())))
    assert other.losses == pytest.approx(one.losses)
    assert other.weights == pytest.approx(one.weights)


@pytest.mark.parametrize("gaps", [0.3, 0.8])
def test_gaps_in_the_records_leave_no_gaps_in_scenarios(gaps: float) -> None:
    past = make_past(gaps=gaps)
    for problem in ("binary", "regression"):
        found = scenarios_of(LossModel(past, problem, "auto"), {0: 0.2})
        assert np.isfinite(found.losses).all()


def test_a_configuration_that_was_not_measured_on_the_problem_is_not_usable_and_neither_best_nor_worst() -> None:
    losses = {metric: matrix.copy() for metric, matrix in PAST.losses.items()}
    of = np.array(PAST.problems) == "binary"
    # On tasks as hard as these a loss of a half would be the best of all.
    losses["roc_auc"][of] = 0.9 + 0.05 * losses["roc_auc"][of]
    losses["roc_auc"][of, 3] = losses["log_loss"][of, 3] = np.nan
    model = LossModel(replace(PAST, losses=losses), "binary", "roc_auc")
    assert np.flatnonzero(~model.usable).tolist() == [3]
    assert (model.prior()[of, 3] > 0.85).all()
    # What is seen of it cannot be compared with anything.
    assert np.array_equal(scenarios_of(model, {3: 0.01}).losses, model.prior())


def test_a_metric_that_was_not_recorded_is_replaced_by_the_first_of_the_problem_that_was() -> None:
    assert LossModel(PAST, "binary", "auto").metric == "roc_auc"
    assert LossModel(PAST, "binary", "log_loss").metric == "log_loss"
    assert LossModel(PAST, "regression", "roc_auc").metric == "rmse"
    without = replace(PAST, losses={name: PAST.losses[name] for name in ("log_loss", "rmse")})
    assert LossModel(without, "binary", "roc_auc").metric == "log_loss"


def test_a_problem_has_records_when_any_task_of_it_has_a_loss() -> None:
    assert has_records(PAST, "binary")
    assert not has_records(PAST, "multiclass")
    nothing = {metric: np.full_like(matrix, np.nan) for metric, matrix in PAST.losses.items()}
    assert not has_records(replace(PAST, losses=nothing), "binary")
    assert not has_records(replace(PAST, losses={}), "binary")


def test_tasks_of_a_problem_without_losses_tell_nothing_about_another() -> None:
    of = np.array(PAST.problems) == "regression"
    only_binary = LossModel(PAST.select(np.flatnonzero(~of)), "binary", "roc_auc")
    losses = {name: PAST.losses[name] for name in ("roc_auc", "log_loss")}
    with_empty = LossModel(replace(PAST, losses=losses), "binary", "roc_auc")
    assert with_empty.prior()[~of] == pytest.approx(only_binary.prior())
    seen = {0: 0.05, 6: 0.4}
    one = only_binary.scenarios(np.zeros((~of).sum()), seen, correct=True, temperature=1.0)
    assert scenarios_of(with_empty, seen).losses[~of] == pytest.approx(one.losses)


def test_a_loss_without_bounds_counts_as_not_measured() -> None:
    losses = {metric: matrix.copy() for metric, matrix in PAST.losses.items()}
    losses["rmse"][1, 2] = np.inf
    model = LossModel(replace(PAST, losses=losses), "regression", "rmse")
    losses["rmse"][1, 2] = np.nan
    assert np.array_equal(model.prior(), LossModel(replace(PAST, losses=losses), "regression", "rmse").prior())


def single(past: PastTasks) -> PastTasks:
    return past.select([0])


def test_one_past_task_is_one_scenario_that_is_corrected_where_it_was_seen() -> None:
    model = LossModel(single(PAST), "binary", "roc_auc")
    found = model.scenarios(np.zeros(1), {4: 0.01}, correct=True, temperature=0.1)
    assert found.weights.tolist() == [1.0]
    assert found.losses[0, 4] == pytest.approx(0.01, rel=0.1)
    others = np.delete(np.arange(12), 4)
    assert found.losses[0, others] == pytest.approx(PAST.losses["roc_auc"][0, others])


def test_regret_is_0_for_the_best_and_1_for_the_worst_of_each_scenario() -> None:
    found = Scenarios(np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0]]), np.array([0.5, 0.5]), np.zeros((2, 3)))
    assert found.regret().tolist() == [[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]]
    assert found.span()[0, 0] == 2.0
