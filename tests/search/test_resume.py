"""Resumed studies: which results are known, and which configurations come first."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import optuna
import pytest

from autometa.core.budget import Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.space import Configuration
from autometa.search.engine import Search
from autometa.search.pruner import EnsemblePruner
from autometa.search.resume import Earlier, recall_study
from autometa.search.studies import STRATEGY, open_study
from tests.helpers.searches import InOrder, InstantEvaluator, TimedEvaluator, make_search, make_strategies

STRATEGIES = make_strategies("a", "b")


def new_study() -> optuna.Study:
    return optuna.create_study(pruner=EnsemblePruner("rmse"), sampler=optuna.samplers.TPESampler(seed=0))


def run(study: optuna.Study, rows: str = "these", n_trials: int = 8, **changes: Any) -> Search:
    earlier = recall_study(study, STRATEGIES, rows, changes.pop("n_first", 5))
    parts = {name: changes.pop(name) for name in ("first", "known") if name in changes}
    arguments: dict[str, Any] = {"study": study, "rows": rows, "earlier": replace(earlier, **parts)}
    search = make_search(changes.pop("evaluator", InstantEvaluator()), n_trials=n_trials, **(arguments | changes))
    search.run()
    return search


def keep_best(search: Search, n: int) -> list[Configuration]:
    """Keep the best trials as the ensemble; return their configurations."""
    best = sorted((r for r in search.records if r.status == "ok"), key=lambda r: r.loss)[:n]
    search.keep_ensemble({record.number: 1.0 / (1 + i) for i, record in enumerate(best)})
    return [record.configuration for record in best]


def test_a_new_study_knows_nothing() -> None:
    assert recall_study(new_study(), STRATEGIES, "these", 5) == Earlier()


def test_evaluations_on_the_same_rows_are_known_fold_by_fold() -> None:
    study = new_study()
    search = run(study)
    known = recall_study(study, STRATEGIES, "these", 5).known
    assert {(e.configuration, e.fold, e.loss) for e in known} == {
        (e.configuration, e.fold, e.loss) for e in search.history
    }


def test_a_resumed_run_fits_the_ensemble_again_and_then_new_configurations_only() -> None:
    study = new_study()
    before = run(study)
    members = keep_best(before, 3)
    after = run(study, n_trials=12)
    tried = [record.configuration for record in after.records]
    assert tried[:3] == members
    assert not set(tried[3:]) & {record.configuration for record in before.records}
    assert len(set(tried)) == len(tried)


def test_the_policy_of_a_resumed_run_sees_the_known_evaluations() -> None:
    study = new_study()
    before = run(study)
    seen: list[set[Configuration]] = []

    class Listening(InOrder):
        def propose(self, description: Any, history: Any, remaining_s: float) -> Proposal:
            seen.append({evaluation.configuration for evaluation in history})
            return super().propose(description, history, remaining_s)

    run(study, policy=Listening(STRATEGIES), n_trials=4)
    assert {record.configuration for record in before.records} <= seen[0]


def test_members_are_not_pruned_when_they_are_fitted_again() -> None:
    study = new_study()
    members = keep_best(run(study, n_trials=20), 5)

    class Worse(InstantEvaluator):
        """Folds drawn anew may be harder."""

        def outcome(self, job: Any) -> Any:
            outcome = super().outcome(job)
            object.__setattr__(outcome.evaluation, "loss", outcome.evaluation.loss + 1.0)
            return outcome

    after = run(study, n_trials=12, evaluator=Worse())
    assert {r.status for r in after.records if r.configuration in members} == {"ok"}


def test_other_rows_start_from_the_best_configurations_and_nothing_else_is_known() -> None:
    study = new_study()
    members = keep_best(run(study, "old rows"), 3)
    earlier = recall_study(study, STRATEGIES, "new rows", 5)
    assert earlier.known == () and list(earlier.first[:3]) == members
    after = run(study, "new rows", n_trials=12)
    assert [record.configuration for record in after.records][:3] == members
    # A third run on the new rows knows the evaluations of the second run only.
    assert {e.configuration for e in recall_study(study, STRATEGIES, "new rows", 5).known} == {
        record.configuration for record in after.records
    }


def test_losses_of_other_rows_prune_nothing() -> None:
    study = new_study()
    run(study, "old rows", n_trials=10)

    class Harder(InstantEvaluator):
        def outcome(self, job: Any) -> Any:
            outcome = super().outcome(job)
            object.__setattr__(outcome.evaluation, "loss", 10.0 + outcome.evaluation.loss)
            return outcome

    after = run(study, "new rows", n_trials=2, evaluator=Harder(), first=())
    assert [record.status for record in after.records] == ["ok", "ok"]


def test_a_run_without_an_ensemble_is_resumed_with_its_best_losses() -> None:
    study = new_study()
    before = run(study)
    first = recall_study(study, STRATEGIES, "these", 4).first
    losses = {record.configuration: record.loss for record in before.records if record.status == "ok"}
    assert [losses[c] for c in first] == sorted(losses[c] for c in first)
    assert {c.strategy for c in first} == {"a", "b"}


def test_failed_configurations_are_known_as_failed() -> None:
    study = new_study()
    before = run(study, evaluator=InstantEvaluator(failing=["a"]), n_trials=4)
    failed = {r.configuration for r in before.records if r.status == "failed"}
    known = recall_study(study, STRATEGIES, "these", 5).known
    assert failed and {e.configuration for e in known if e.status == "failed"} == failed


def test_the_first_configurations_take_at_most_half_of_the_time() -> None:
    study = new_study()
    members = keep_best(run(study, n_trials=20), 8)
    evaluator = TimedEvaluator("b", 10.0)
    search = run(
        study,
        evaluator=evaluator,
        n_first=20,
        known=(),
        policy=InOrder(STRATEGIES),
        n_jobs=1,
        n_folds=1,
        budget=Budget(time_s=100.0),
        deadline=Deadline(100.0, clock=lambda: evaluator.now_s),
    )
    tried = [record.configuration for record in search.records]
    assert len(members) == 8 and tried[:5] == members[:5]
    assert not set(tried[5:]) & set(members)


def test_where_time_is_limited_the_members_come_by_their_weight_per_second() -> None:
    study = new_study()

    class Timed(InstantEvaluator):
        def outcome(self, job: Any) -> Any:
            outcome = super().outcome(job)
            fit_s = 9.0 if job.configuration.strategy == "a" else 0.1
            object.__setattr__(outcome.evaluation, "fit_s", fit_s)
            return outcome

    search = run(study, evaluator=Timed(), n_trials=4)
    of_a, of_b = (next(r for r in search.records if r.configuration.strategy == name) for name in "ab")
    search.keep_ensemble({of_a.number: 0.7, of_b.number: 0.3})
    for in_time, expected in ((False, [of_a, of_b]), (True, [of_b, of_a])):
        first = recall_study(study, STRATEGIES, "these", 2, in_time=in_time).first
        assert list(first) == [record.configuration for record in expected]


def test_trials_of_an_older_version_give_configurations_and_no_losses() -> None:
    study = new_study()
    for x in (0.9, 0.3):
        study.add_trial(
            optuna.trial.create_trial(
                params={STRATEGY: "a", "a.x": x},
                distributions={
                    STRATEGY: optuna.distributions.CategoricalDistribution(["a", "b"]),
                    "a.x": STRATEGIES[0].space.distributions["x"],
                },
                value=abs(x - 0.3),
            )
        )
    earlier = recall_study(study, STRATEGIES, "these", 5)
    assert earlier.known == ()
    assert earlier.first == (Configuration("a", {"x": 0.3}), Configuration("a", {"x": 0.9}))


def test_trials_of_strategies_that_are_left_out_now_are_passed_over() -> None:
    study = new_study()
    run(study)
    earlier = recall_study(study, STRATEGIES[:1], "these", 5)
    assert {c.strategy for c in earlier.first} == {e.configuration.strategy for e in earlier.known} == {"a"}


def test_marks_of_cut_fits_and_seconds_come_back() -> None:
    study = new_study()

    class Cut(InstantEvaluator):
        def outcome(self, job: Any) -> Any:
            outcome = super().outcome(job)
            for name, value in (("is_cut_short", True), ("fit_s", 2.5)):
                object.__setattr__(outcome.evaluation, name, value)
            return outcome

    run(study, evaluator=Cut(), n_trials=1)
    known = recall_study(study, STRATEGIES, "these", 5).known
    assert [(e.is_cut_short, e.fit_s, e.status) for e in known] == [(True, 2.5, "ok")] * 3
    assert all(isinstance(e, Evaluation) and math.isnan(e.memory_mb) for e in known)


def test_a_study_of_other_columns_is_refused_and_other_rows_are_not() -> None:
    task = {"problem": "regression", "metric": "rmse", "n_columns": 3, "columns": "abc"}
    study = new_study()
    open_study(study, None, None, seed=0, strategies=STRATEGIES, task=task)
    with pytest.raises(ValueError, match="n_columns: 3 then, 4 now"):
        open_study(study, None, None, seed=0, strategies=STRATEGIES, task=task | {"n_columns": 4})
    with pytest.raises(ValueError, match="other names of columns"):
        open_study(study, None, None, seed=0, strategies=STRATEGIES, task=task | {"columns": "xyz"})
    # Studies of an older version know their rows and not the names of their columns.
    older = optuna.create_study()
    older.set_user_attr("autometa:task", {"problem": "regression", "metric": "rmse", "n_rows": 9, "n_columns": 3})
    assert open_study(older, None, None, seed=0, strategies=STRATEGIES, task=task) is older
