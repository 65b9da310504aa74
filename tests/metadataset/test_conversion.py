from __future__ import annotations

import json
import math

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from autometa.core.space import Configuration
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.pool import configuration_id

SPACE = {"x": FloatDistribution(0, 1), "kind": CategoricalDistribution(["a", "b"])}


@pytest.fixture
def losses() -> pd.DataFrame:
    columns = ["tree", "{'algorithm': 'KNN', 'hyperparameters': {'k': 5}}", "{'k': 5}"]
    return pd.DataFrame([[0.5, 0.25, np.nan], [0.125, np.inf, 0.0]], index=[8, 11], columns=columns)


def test_matrix_comes_back(losses):
    metadataset = MetaDataset.from_matrix(losses, losses * 2)
    assert metadataset.matrix().to_numpy() == pytest.approx(losses.replace(np.inf, np.nan).to_numpy(), nan_ok=True)
    assert metadataset.matrix("fit_s").to_numpy() == pytest.approx((losses * 2).to_numpy(), nan_ok=True)
    assert list(metadataset.matrix().index) == ["8", "11"]


def test_results_that_are_no_numbers_are_failures(losses):
    statuses = MetaDataset.from_matrix(losses).status_matrix()
    assert statuses.to_numpy().tolist() == [["ok", "ok", "failed"], ["ok", "failed", "ok"]]


def test_column_is_a_literal_or_a_name(losses):
    configurations = MetaDataset.from_matrix(losses).configurations
    knn = configuration_id(Configuration("KNN", {"k": 5}))
    assert configurations["configuration"].tolist() == ["tree", knn, "{'k': 5}"]
    assert configurations["strategy"].tolist() == ["tree", "KNN", "{'k': 5}"]
    assert [json.loads(text) for text in configurations["parameters"]] == [{}, {"k": 5}, {}]


def test_column_runs_no_code(losses, tmp_path):
    losses.columns = [f"__import__('os').mkdir({str(tmp_path / 'made')!r})", "b", "c"]
    MetaDataset.from_matrix(losses)
    assert not (tmp_path / "made").exists()


def test_configurations_of_a_strategy_are_numbered():
    names = [f"{{'algorithm': 'KNN', 'hyperparameters': {{'k': {k}}}}}" for k in range(3)]
    metadataset = MetaDataset.from_matrix(pd.DataFrame(0.5, index=["a"], columns=["tree", *names]))
    assert metadataset.configurations["position"].tolist() == [0, 0, 1, 2]


def test_seconds_are_matched_by_label(losses):
    seconds = pd.DataFrame(np.arange(6.0).reshape(2, 3), index=losses.index, columns=losses.columns)
    mixed = MetaDataset.from_matrix(losses, seconds.iloc[::-1, ::-1])
    pd.testing.assert_frame_equal(mixed.matrix("fit_s"), MetaDataset.from_matrix(losses, seconds).matrix("fit_s"))


def test_tasks_say_more(losses):
    about = pd.DataFrame({"n_rows": [150, 170], "family": ["iris", "wine"], "entropy": [1.0, 0.5]}, index=[11, 8])
    tasks = MetaDataset.from_matrix(losses, tasks=about).tasks.set_index("task")
    assert tasks.loc["11", ["n_rows", "n_rows_used", "family", "entropy"]].tolist() == [150, 150, "iris", 1.0]
    assert tasks.loc["8", ["n_columns", "n_classes"]].tolist() == [0, 0]


def test_what_is_not_said_of_tasks_is_zero(losses):
    tasks = MetaDataset.from_matrix(losses, problem="binary").tasks
    assert tasks[["n_rows", "n_columns", "n_classes", "n_rows_used"]].to_numpy().tolist() == [[0, 0, 2, 0]] * 2
    assert tasks["family"].tolist() == ["8", "11"]


def test_losses_are_those_of_the_metric(losses):
    metadataset = MetaDataset.from_matrix(losses, problem="regression", metric="mae")
    assert metadataset.metrics.tolist() == ["mae", "mae"]
    assert metadataset.matrix(metric="rmse").isna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "rmse"}, "The metric of multiclass tasks must be one of log_loss, .*, got 'rmse'"),
        ({"problem": "ranking"}, "problem must be one of binary, .*, got 'ranking'"),
        ({"seconds": pd.DataFrame(1.0, index=[8, 12], columns=["tree"])}, "same index as losses, but 11, 12 are in"),
        ({"tasks": pd.DataFrame({"n_rows": [1]}, index=[8])}, "tasks must have the same index as losses, but 11 are"),
    ],
)
def test_what_does_not_fit_the_losses_is_refused(losses, change, message):
    with pytest.raises(ValueError, match=message):
        MetaDataset.from_matrix(losses, **change)


@pytest.mark.parametrize("axis", ["index", "columns"])
def test_repeated_label_is_refused(losses, axis):
    doubled = pd.concat([losses, losses], axis=axis)
    label = repr(losses.axes[0 if axis == "index" else 1][0].item() if axis == "index" else "tree")
    with pytest.raises(ValueError, match=f"The {axis} of losses must be unique, but has {label}"):
        MetaDataset.from_matrix(doubled)


def study_of(name: str, *trials: dict[str, object], direction: str = "minimize") -> Study:
    """Return a study of trials given by state, value, x and values at steps."""
    study = optuna.create_study(study_name=name, direction=direction)
    for trial in trials:
        parameters = {} if trial.get("x") is None else {"x": trial["x"], "kind": "a"}
        study.add_trial(
            create_trial(
                state=trial.get("state", TrialState.COMPLETE),
                value=trial.get("value"),
                params=parameters,
                distributions={key: SPACE[key] for key in parameters},
                intermediate_values=trial.get("steps", {}),
            )
        )
    return study


def identity_of(x: float) -> str:
    return configuration_id(Configuration("objective", {"x": x, "kind": "a"}))


def test_study_is_a_task_of_losses():
    metadataset = MetaDataset.from_studies([study_of("one", {"x": 0.5, "value": 3.0}, {"x": 0.25, "value": 1e300})])
    assert metadataset.matrix().loc["one"].to_dict() == {identity_of(0.5): 3.0, identity_of(0.25): 1e300}
    assert metadataset.tasks[["task", "problem", "family"]].to_numpy().tolist() == [["one", "objective", "one"]]
    assert json.loads(metadataset.configurations["parameters"][0]) == {"x": 0.5, "kind": "a"}


def test_maximised_value_becomes_a_loss():
    trial = {"x": 0.5, "value": 0.75, "steps": {1: 0.25, 2: 0.75}}
    metadataset = MetaDataset.from_studies([study_of("one", trial, direction="maximize")])
    assert metadataset.curve("one", identity_of(0.5))["loss"].tolist() == [-0.25, -0.75]


def test_studies_share_configurations():
    one, other = study_of("one", {"x": 0.5, "value": 1.0}), study_of("other", {"x": 0.5, "value": 2.0})
    assert MetaDataset.from_studies([one, other]).matrix()[identity_of(0.5)].to_dict() == {"one": 1.0, "other": 2.0}


@pytest.mark.parametrize("first", [0, 1])
def test_intermediate_values_are_a_learning_curve(first):
    steps = {first: 4.0, first + 1: 3.0, first + 3: 2.0}
    metadataset = MetaDataset.from_studies([study_of("one", {"x": 0.5, "value": 1.5, "steps": steps})])
    curve = metadataset.curve("one", identity_of(0.5))
    assert curve[["progress", "n_iterations", "loss"]].to_numpy().tolist() == [[0.25, 1, 4], [0.5, 2, 3], [1, 4, 1.5]]
    assert set(curve["anchor"]) == {1}


def test_pruned_trial_has_only_a_curve():
    trials = [
        {"x": 0.5, "value": 1.0, "steps": {1: 2.0, 4: 1.0}},
        {"x": 0.25, "state": TrialState.PRUNED, "steps": {1: 5.0, 2: math.nan, 3: 3.0}},
    ]
    metadataset = MetaDataset.from_studies([study_of("one", *trials)])
    assert np.isnan(metadataset.matrix().loc["one", identity_of(0.25)])
    assert metadataset.status_matrix().loc["one", identity_of(0.25)] is None
    assert metadataset.curve("one", identity_of(0.25))["progress"].tolist() == [0.25, 0.75]


def test_trial_that_ends_well_before_the_longest_keeps_its_last_report_and_its_value():
    trials = [{"x": 0.5, "value": 1.0, "steps": {1: 2.0, 4: 1.5}}, {"x": 0.25, "value": 3.0, "steps": {1: 5.0, 2: 4.0}}]
    metadataset = MetaDataset.from_studies([study_of("one", *trials)])
    curve = metadataset.curve("one", identity_of(0.25))
    assert curve[["progress", "n_iterations", "loss"]].to_numpy().tolist() == [[0.25, 1, 5], [0.5, 2, 4], [1, 2, 3]]
    assert metadataset.matrix().loc["one", identity_of(0.25)] == 3.0


def test_failed_trial_is_a_failure_unless_it_was_tried_again():
    trials = [
        {"x": 0.5, "state": TrialState.FAIL, "steps": {1: 2.0}},
        {"x": 0.25, "state": TrialState.FAIL},
        {"x": 0.25, "value": 1.0},
        {"state": TrialState.FAIL},
        {"x": 0.75, "state": TrialState.RUNNING},
        {"x": 0.75, "state": TrialState.WAITING},
    ]
    statuses = MetaDataset.from_studies([study_of("one", *trials)]).status_matrix()
    assert statuses.loc["one"].to_dict() == {identity_of(0.5): "failed", identity_of(0.25): "ok"}


def test_repeated_configuration_counts_with_its_mean():
    study = study_of("one", {"x": 0.5, "value": 1.0}, {"x": 0.5, "value": 2.0})
    metadataset = MetaDataset.from_studies([study])
    assert metadataset.evaluations["seed"].tolist() == [0, 1]
    assert metadataset.matrix().loc["one", identity_of(0.5)] == 1.5


def test_durations_are_seconds_of_the_fit():
    study = study_of("one", {"x": 0.5, "value": 1.0})
    (trial,) = study.trials
    seconds = MetaDataset.from_studies([study]).matrix("fit_s").loc["one", identity_of(0.5)]
    assert seconds == pytest.approx(trial.duration.total_seconds())


def test_optimised_study_is_read_whole(tmp_path, seed):
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        for step in range(5):
            trial.report(x**2 + 1 / (step + 1), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x**2

    sampler, pruner = optuna.samplers.RandomSampler(seed), optuna.pruners.MedianPruner(n_startup_trials=2)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=20)
    metadataset = MetaDataset.from_studies([study])
    assert metadataset.matrix().min(axis=None) == study.best_value
    assert metadataset.n_configurations == 20
    read = MetaDataset.load(metadataset.to_npz(tmp_path / "study.npz"))
    pd.testing.assert_frame_equal(read.evaluations, metadataset.evaluations)


def test_studies_and_tables_go_together(losses):
    both = MetaDataset.from_matrix(losses).concat(MetaDataset.from_studies([study_of("one", {"x": 0.5, "value": 3.0})]))
    assert both.matrix().loc["one", identity_of(0.5)] == 3.0
    assert both.matrix().loc["8", "tree"] == 0.5


def test_study_of_several_objectives_is_refused():
    study = optuna.create_study(study_name="pareto", directions=["minimize", "maximize"])
    with pytest.raises(ValueError, match="Study 'pareto' has 2 objectives; expected one"):
        MetaDataset.from_studies([study])


def test_studies_of_one_name_are_refused():
    with pytest.raises(ValueError, match="Two studies are called 'one'; copy one under another name"):
        MetaDataset.from_studies([study_of("one"), study_of("one")])


def test_what_is_no_study_is_refused():
    with pytest.raises(TypeError, match="studies must be Optuna studies, got str"):
        MetaDataset.from_studies("one")


def test_no_studies_are_an_empty_meta_dataset():
    assert MetaDataset.from_studies([]).n_tasks == 0
    assert MetaDataset.from_studies([study_of("one")]).matrix().shape == (1, 0)
