"""The search loop against stand-in evaluators that know every loss and take no time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest

from autometa.core.budget import Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Prediction, Proposal
from autometa.core.space import Configuration, SearchSpace
from autometa.core.task import TaskDescription
from autometa.evaluation.jobs import Handle, Job, Outcome
from autometa.search.pruner import ROWS, EnsemblePruner
from autometa.search.studies import open_study
from autometa.search.trial_records import usable
from tests.helpers.searches import PLAN, InOrder, InstantEvaluator, TimedEvaluator, make_search, make_strategies


class NoParameters(InstantEvaluator):
    """Gives every job the same loss."""

    def outcome(self, job: Job) -> Outcome:
        return Outcome(Evaluation(job.configuration, job.anchor, job.fold, 0.5, 0.0, 0.0), np.zeros(10))


def test_every_trial_is_told_and_counted() -> None:
    search = make_search(InstantEvaluator(), n_trials=12)
    search.run()
    assert len(search.records) == 12
    assert all(trial.state.is_finished() for trial in search.study.trials)
    assert search.stop_reason == "all trials are done"


def test_portfolios_come_before_the_sampler_and_nothing_is_tried_twice() -> None:
    search = make_search(InstantEvaluator(), n_trials=10)
    search.run()
    tried = [record.configuration.parameters["x"] for record in search.records]
    assert sorted(tried[:4]) == [0.5, 0.5, 0.9, 0.9]
    assert len({record.configuration for record in search.records}) == 10


def test_the_same_seed_gives_the_same_search(seed: int) -> None:
    def run() -> list[str]:
        search = make_search(InstantEvaluator(), n_trials=15, seed=seed)
        search.run()
        return [record.configuration.key for record in search.records]

    assert run() == run()


def test_a_complete_trial_has_the_mean_of_its_folds() -> None:
    search = make_search(InstantEvaluator(), n_trials=1)
    search.run()
    (record,) = search.records
    assert record.status == "ok"
    assert record.loss == pytest.approx(0.2 + 0.01)
    assert search.study.best_value == pytest.approx(record.loss)


def test_a_trial_that_the_deadline_cut_short_is_complete_and_marked() -> None:
    class Hurried(InstantEvaluator):
        def outcome(self, job: Job) -> Outcome:
            outcome = super().outcome(job)
            is_cut_short = job.configuration.strategy == "a" and job.fold == 1
            return replace(outcome, evaluation=replace(outcome.evaluation, is_cut_short=is_cut_short))

    search = make_search(Hurried(), n_trials=3)
    search.run()
    told = {trial.number: trial for trial in search.study.trials}
    for record in search.records:
        cut = record.configuration.strategy == "a" and len(record.evaluations) > 1
        assert record.is_complete
        assert record.status == told[record.number].user_attrs["status"] == ("cut_short" if cut else "ok")
        assert told[record.number].value == pytest.approx(record.loss)
    assert {record.status for record in search.records} == {"ok", "cut_short"}
    assert {record.number for record in usable(search.records, 3)} == set(told)


def test_predictions_of_a_trial_are_the_last_ones_before_it_was_chosen() -> None:
    class Foretelling(InOrder):
        """Expects of what is untried a loss as high as the number of results so far."""

        def explain(
            self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float
        ) -> dict[Configuration, Prediction]:
            tried = {evaluation.configuration for evaluation in history}
            n = sum(evaluation.status == "ok" for evaluation in history)
            every = (Configuration(name, {"x": 0.01 * i}) for name in self.names for i in range(1, 9))
            return {c: Prediction(n, 0.0, 1.0, 1.0, 1.0, 0.5) for c in every if c not in tried}

    search = make_search(InstantEvaluator(), n_trials=4, n_jobs=1, n_folds=1, policy=Foretelling(make_strategies()))
    search.run()
    tried = [record.configuration for record in search.records]
    assert [search.expected[configuration].loss for configuration in tried] == [0, 1, 2, 3]
    assert [search.origins[configuration] for configuration in tried] == ["policy"] * 4
    # The last prediction counts for configurations that were never tried.
    assert {p.loss for c, p in search.expected.items() if c not in tried} == {3}


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.8), (0.25, 256 / 257), (1e6, 0.5)])
def test_strategies_are_drawn_from_the_softmax_at_its_temperature(temperature: float, expected: float) -> None:
    class Unsure:
        """Has no configurations in mind, so that the sampler draws those of a random strategy."""

        def propose(self, *_: object) -> Proposal:
            return Proposal({"a": 0.8, "b": 0.2})

    search = make_search(InstantEvaluator(), n_trials=60, n_folds=1, policy=Unsure(), temperature=temperature)
    search.run()
    assert search.probabilities["a"] == pytest.approx(expected, abs=1e-4)
    assert search.origins == {}
    names = [record.configuration.strategy for record in search.records]
    if temperature != 1:
        assert (names.count("a") > 45) == (temperature < 1)


def test_a_policy_without_predictions_leaves_none_expected() -> None:
    search = make_search(InstantEvaluator(), n_trials=3)
    search.run()
    assert search.expected == {}


def test_bad_trials_are_pruned_before_their_last_fold() -> None:
    search = make_search(InstantEvaluator(), n_trials=30)
    search.run()
    pruned = [record for record in search.records if record.status == "pruned"]
    assert pruned
    best = min(record.loss for record in search.records if record.is_complete)
    for record in pruned:
        # On the scale of the pruner, logarithms of losses, they end far behind the best.
        assert np.log(record.mean_loss()) > np.log(best) + 0.2
    assert min(len(record.evaluations) for record in pruned) == 1


def _told(study: optuna.Study, values: Sequence[float], *, rows: str = "these", is_done: bool = True) -> optuna.Trial:
    """Add a trial with losses after each of its steps; its final loss is the last one."""
    trial = study.ask()
    trial.set_user_attr(ROWS, rows)
    for step, value in enumerate(values, start=1):
        trial.report(value, step)
    if is_done:
        study.tell(trial, values[-1])
    return trial


def test_a_trial_is_pruned_if_it_will_hardly_end_close_to_the_best() -> None:
    study = optuna.create_study(pruner=EnsemblePruner("rmse"))
    for first, last in ((1.0, 0.9), (2.0, 1.8), (1.5, 1.35)):
        _told(study, [first, last])
    assert not _told(study, [1.1], is_done=False).should_prune()  # will end at 0.99
    assert _told(study, [2.0], is_done=False).should_prune()  # will end at 1.8, twice the best
    assert not _told(study, [2.0], rows="others", is_done=False).should_prune()


def test_the_less_the_first_fold_tells_the_fewer_trials_are_pruned() -> None:
    study = optuna.create_study(pruner=EnsemblePruner("rmse"))
    for first, last in ((1.0, 0.9), (2.0, 0.9), (0.8, 1.6), (1.0, 2.0)):
        _told(study, [first, last])
    assert not _told(study, [2.0], is_done=False).should_prune()


def test_nothing_is_pruned_before_three_trials_are_complete() -> None:
    study = optuna.create_study(pruner=EnsemblePruner("rmse"))
    for _ in range(2):
        _told(study, [1.0, 1.0])
        assert not _told(study, [9.0], is_done=False).should_prune()
    _told(study, [1.0, 1.0])
    assert _told(study, [9.0], is_done=False).should_prune()


@pytest.mark.parametrize("losses", [(-3.0, -2.9), (0.0, 0.0), (1e300, 1e300)])
def test_losses_of_any_size_can_be_compared(losses: tuple[float, float]) -> None:
    study = optuna.create_study(pruner=EnsemblePruner("a custom metric"))
    for _ in range(4):
        _told(study, losses)
    assert not _told(study, losses[:1], is_done=False).should_prune()


class StartingEvaluator(InstantEvaluator):
    """Its workers are there after some jobs."""

    def __init__(self, n_before: int) -> None:
        super().__init__()
        self.n_before = n_before
        self.inline: list[bool] = []

    @property
    def ready(self) -> bool:  # type: ignore[override]
        return len(self.jobs) >= self.n_before

    def submit(self, job: Job, *, inline: bool, kill_after_s: float | None) -> Handle:
        self.inline.append(inline)
        return super().submit(job, inline=inline, kill_after_s=kill_after_s)


def _names_while_workers_start(
    n_before: int, kind: type[StartingEvaluator] = StartingEvaluator, quick: str = "ab", **changes: Any
) -> tuple[list[str], list[bool]]:
    strategies = make_strategies("a", "b", "c", "d")
    evaluator = kind(n_before)
    evaluator.quick, evaluator.keeping_deadline = frozenset(quick), frozenset("c")
    arguments: dict[str, Any] = {
        "policy": InOrder(strategies),
        "strategies": strategies,
        "plan": replace(PLAN, use_workers=True),
        "budget": Budget(time_s=1e6, n_trials=6),
        "n_folds": 1,
        "n_jobs": 1,
    }
    make_search(evaluator, **(arguments | changes)).run()
    return [job.configuration.strategy for job in evaluator.jobs], evaluator.inline


def test_while_workers_start_strategies_without_need_of_one_come_first_and_new_ones_before_others() -> None:
    # One that keeps a deadline may be the first; then the quick ones.
    assert _names_while_workers_start(100) == (["c", "b", "a", "b", "b", "b"], [True] * 6)


def test_while_workers_start_only_short_trials_of_a_strategy_are_repeated() -> None:
    class Slow(StartingEvaluator):
        def outcome(self, job: Job) -> Outcome:
            outcome = super().outcome(job)
            fit_s = 1.0 if job.configuration.strategy == "b" else 0.01
            return replace(outcome, evaluation=replace(outcome.evaluation, fit_s=fit_s))

    assert _names_while_workers_start(100, Slow) == (["c", "b", "a", "a", "a", "a"], [True] * 6)


def test_while_workers_start_a_strategy_that_needs_one_waits_if_there_is_no_other() -> None:
    names, inline = _names_while_workers_start(100, quick="")
    assert (names, inline) == (["c", "d", "d", "d", "d", "d"], [True] + [False] * 5)


class LateEvaluator(InstantEvaluator):
    """Its workers never come; every evaluation in the calling process, and every wait, takes a second."""

    ready = False

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.inline: list[tuple[float, str]] = []

    def submit(self, job: Job, *, inline: bool, kill_after_s: float | None) -> Handle:
        return Handle(job, None if inline else Future())

    def wait(self, handles: Sequence[Handle], *, in_order: bool, timeout_s: float) -> list[tuple[Handle, Outcome]]:
        self.now_s += 1.0
        done = [handle for handle in handles if handle.future is None][:1]
        self.inline += [(self.now_s, handle.job.configuration.strategy) for handle in done]
        return [(handle, self.outcome(handle.job)) for handle in done]


def test_calling_process_goes_on_when_workers_are_late() -> None:
    evaluator = LateEvaluator()
    evaluator.quick, evaluator.keeping_deadline = frozenset({"quick"}), frozenset({"first", "with_deadline"})
    strategies = make_strategies("first", "needs_worker", "quick", "with_deadline")
    search = make_search(
        evaluator,
        policy=InOrder(strategies),
        strategies=strategies,
        plan=replace(PLAN, use_workers=True),
        n_folds=1,
        budget=Budget(time_s=20.0),
        deadline=Deadline(20.0, clock=lambda: evaluator.now_s),
    )
    search.run()
    late = [name for time_s, name in evaluator.inline if time_s > 6]
    assert "with_deadline" in late and "needs_worker" not in late
    assert len(late) >= 12


@pytest.mark.parametrize(
    ("refit_share", "slow_s", "ends_s"),
    [
        (0.2, 20.0, 800.0),  # 20 × 1.25 × 1.15 = 29 s are less than the 200 s that are left anyway
        (0.2, 200.0, 712.5),  # 287.5 s
        (0.2, 390.0, 800.0),  # more than half of the time: that model is not fitted again
        (0.0, 200.0, 1000.0),
    ],
)
def test_a_search_ends_in_time_to_fit_its_best_trial_on_all_rows(
    refit_share: float, slow_s: float, ends_s: float
) -> None:
    evaluator = TimedEvaluator("b", slow_s)
    strategies = make_strategies("a", "b")
    search = make_search(
        evaluator,
        policy=InOrder(strategies),
        strategies=strategies,
        plan=replace(PLAN, n_splits=5, is_holdout=True, refit_share=refit_share),
        n_folds=1,
        n_jobs=1,
        budget=Budget(time_s=1000.0, n_trials=2),
        deadline=Deadline(1000.0 * (1 - refit_share), clock=lambda: evaluator.now_s),
    )
    search.run()
    assert [record.configuration.strategy for record in search.records] == ["b", "b"]
    assert search.deadline.at_s == pytest.approx(ends_s)


def test_a_best_trial_that_was_cut_short_does_not_end_the_search_for_a_fit_on_all_rows() -> None:
    class Cut(TimedEvaluator):
        def outcome(self, job: Job) -> Outcome:
            outcome = super().outcome(job)
            return replace(outcome, evaluation=replace(outcome.evaluation, is_cut_short=True))

    evaluator = Cut("b", 200.0)
    search = make_search(
        evaluator,
        policy=InOrder(make_strategies()),
        plan=replace(PLAN, n_splits=5, is_holdout=True, refit_share=0.2),
        n_folds=1,
        n_jobs=1,
        budget=Budget(time_s=1000.0, n_trials=2),
        deadline=Deadline(800.0, clock=lambda: evaluator.now_s),
    )
    search.run()
    assert search.deadline.at_s == pytest.approx(800.0)


def test_once_workers_are_there_the_order_is_the_policys() -> None:
    assert _names_while_workers_start(1) == (["c", "d", "d", "d", "d", "d"], [True] + [False] * 5)
    assert _names_while_workers_start(0)[0] == ["d"] * 6


def test_without_a_limit_of_time_the_order_is_the_policys() -> None:
    assert _names_while_workers_start(100, budget=Budget(n_trials=6))[0] == ["d"] * 6


def test_a_failing_strategy_is_given_up_and_the_others_go_on() -> None:
    search = make_search(InstantEvaluator(failing=["a"]), n_trials=20)
    search.run()
    of_a = [record for record in search.records if record.configuration.strategy == "a"]
    assert 1 <= len(of_a) <= 4
    assert all(record.status == "failed" and "told to" in record.error for record in of_a)
    assert sum(record.status == "ok" for record in search.records) >= 5


def test_a_search_in_which_everything_fails_ends() -> None:
    search = make_search(InstantEvaluator(failing=["a", "b"]), n_trials=1000)
    search.run()
    assert len(search.records) < 20
    assert usable(search.records, 3) == []
    assert search.stop_reason == "every strategy kept failing"


def test_a_search_without_parameters_ends_once_all_was_tried() -> None:
    strategies = tuple(replace(s, space=SearchSpace({}), portfolio=()) for s in make_strategies())
    search = make_search(NoParameters(), n_trials=9, strategies=strategies, budget=Budget(n_trials=9))
    search.run()
    assert len(search.records) == 2
    assert search.stop_reason == "there is nothing more to try"


def test_a_search_whose_last_seconds_are_too_few_says_so() -> None:
    now = [0.0]

    def each_trial_takes_a_quarter(records: Sequence[Any]) -> None:
        now[0] += 24.9

    search = make_search(
        InstantEvaluator(),
        n_jobs=1,
        budget=Budget(time_s=100.0),
        deadline=Deadline(100.0, clock=lambda: now[0]),
        on_trial=each_trial_takes_a_quarter,
    )
    search.run()
    assert len(search.records) == 4
    assert search.stop_reason == "the time left is too short for another trial"


def test_after_a_trial_without_a_model_the_cheapest_proposals_come_first() -> None:
    strategies = tuple(replace(s, cost=cost) for s, cost in zip(make_strategies(*"abcd"), (1, 3, 2, 4), strict=True))
    evaluator = InstantEvaluator(failing=["d", "a"])
    search = make_search(
        evaluator,
        strategies=strategies,
        policy=InOrder(strategies),
        n_jobs=1,
        budget=Budget(time_s=1e6, n_trials=8),
        deadline=Deadline(1e6, clock=lambda: 0.0),
    )
    search.run()
    # The policy's favourite fails, and so does the cheapest until it is given up; then there is a model.
    assert "".join(record.configuration.strategy for record in search.records) == "daaacddc"


def test_ctrl_c_keeps_the_measured_trials() -> None:
    search = make_search(InstantEvaluator(interrupt_after=10), n_trials=100)
    search.run()
    assert search.stop_reason == "interrupted"
    assert usable(search.records, 3)
    assert all(trial.state.is_finished() for trial in search.study.trials)


def test_a_callback_can_stop_the_study() -> None:
    def stop_after_three(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.number >= 2:
            study.stop()

    search = make_search(InstantEvaluator(), n_trials=100, callbacks=[stop_after_three])
    search.run()
    assert search.stop_reason == "stopped by a callback"
    assert 3 <= len(search.records) <= 5


def test_models_outside_the_ensemble_are_dropped() -> None:
    evaluator = InstantEvaluator()
    search = make_search(evaluator, n_trials=30)
    search.run()
    kept = [record for record in search.records if record.predictions]
    assert 0 < len(kept) <= PLAN.max_members
    assert evaluator.dropped and set(evaluator.dropped).isdisjoint(record.number for record in kept)


def test_a_storage_that_fails_in_mid_search_ends_it_with_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    search = make_search(InstantEvaluator(), n_trials=50)
    ask = search.study.ask

    def ask_five_times() -> optuna.Trial:
        if len(search.records) >= 5:
            raise optuna.exceptions.StorageInternalError("database is gone")
        return ask()

    monkeypatch.setattr(search.study, "ask", ask_five_times)
    search.run()
    assert search.stop_reason == "the study's storage failed"
    assert usable(search.records, 3)


def test_a_full_disk_in_mid_search_ends_it_with_its_models() -> None:
    class FullDisk(InstantEvaluator):
        def prepare(self, strategy: str, fold: int) -> None:
            if len(search.records) > 4:
                raise OSError(28, "No space left on device")

    search = make_search(FullDisk(), n_trials=50)
    search.run()
    assert search.stop_reason == "the table could not be prepared"
    assert usable(search.records, 3)
    assert all(trial.state.is_finished() for trial in search.study.trials)


def test_a_study_that_maximises_is_refused() -> None:
    with pytest.raises(ValueError, match="direction='minimize'"):
        make_search(InstantEvaluator(), study=optuna.create_study(direction="maximize"))


def test_a_study_of_another_task_is_refused() -> None:
    strategies = make_strategies()
    study = optuna.create_study()
    open_study(study, None, None, seed=0, strategies=strategies, task={"n_rows": 100})
    with pytest.raises(ValueError, match="n_rows: 100 then, 50 now"):
        open_study(study, None, None, seed=0, strategies=strategies, task={"n_rows": 50})


def test_a_study_with_other_choices_is_refused() -> None:
    study = optuna.create_study()
    make_search(InstantEvaluator(), n_trials=2, study=study).run()
    with pytest.raises(ValueError, match="Use another study_name"):
        make_search(InstantEvaluator(), study=study, strategies=make_strategies("a", "b", "c"))
