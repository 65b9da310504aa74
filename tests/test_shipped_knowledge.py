"""What ships has been learnt: records, weights and starts that are shuffled make these tests fail."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.preprocessing import StandardScaler

from autometa.learners.mlp_maml import learner as mlp_maml
from autometa.learners.mlp_maml.learner import fit_mlp_maml
from autometa.metadataset.dataset import MetaDataset
from autometa.metalearning.replay.assessment import assess, compare, gain_policy, named_policies, settings_in_replays
from autometa.metalearning.training.best_strategy_training import learn_best_strategy
from autometa.metalearning.training.portfolio import learn_portfolios
from autometa.metalearning.training.similarity_learning import similarity_weights
from autometa.policy.past_tasks import PastTasks
from autometa.policy.weights_file import PolicyWeights, read_weights
from tests.helpers.fit_data import fit_data

N_TASKS = 60
BUNDLED = {
    load_breast_cancer: "binary",
    load_wine: "multiclass",
    load_iris: "multiclass",
    load_diabetes: "regression",
}


@pytest.fixture(scope="module")
def weights() -> PolicyWeights:
    return read_weights()


def gaussian_against_the_others(past: PastTasks, similarity: np.ndarray) -> dict[str, float]:
    """Return the upper bounds of the differences in regret of the policy that ships, on families left out."""
    made = partial(gain_policy, settings_in_replays("gaussian"), lambda _: similarity)
    policies = {name: named_policies(past)[name] for name in ("random", "prior")} | {"gaussian": made}
    tasks = np.random.default_rng(0).permutation(len(past.tasks))[:N_TASKS].tolist()
    table = assess(past, policies, budgets_s=(), counts=(3,), n_folds=3, tasks=tasks, as_in_fits=True)
    return {name: float(compare(table, name).loc[("gaussian", "trials", 3), "high"]) for name in ("random", "prior")}


def test_weights_hold_the_records_that_ship(weights: PolicyWeights) -> None:
    recorded = PastTasks.from_metadataset(MetaDataset.load())
    index = [recorded.position[configuration] for configuration in weights.past.configurations]
    assert weights.past.tasks == recorded.tasks
    for metric, losses in weights.past.losses.items():
        np.testing.assert_allclose(losses, recorded.losses[metric][:, index], rtol=1e-5)
    np.testing.assert_allclose(weights.past.seconds, recorded.seconds[:, index], rtol=1e-5)


def test_the_shipped_policy_beats_random_and_the_hand_made_order_on_families_left_out(weights: PolicyWeights) -> None:
    bounds = gaussian_against_the_others(weights.past, weights.similarity)
    assert bounds["random"] < 0
    assert bounds["prior"] < 0.005


def test_shuffled_losses_would_not(weights: PolicyWeights) -> None:
    rng = np.random.default_rng(0)
    losses = {metric: rng.permuted(matrix, axis=1) for metric, matrix in weights.past.losses.items()}
    assert gaussian_against_the_others(replace(weights.past, losses=losses), weights.similarity)["random"] > 0


def test_shipped_weights_of_meta_features_are_those_that_the_records_teach(weights: PolicyWeights) -> None:
    learnt = similarity_weights(weights.past, str(weights.card["similarity"]["chosen"]))
    np.testing.assert_allclose(weights.similarity, learnt, rtol=0.02, atol=1e-4)


def test_shipped_portfolios_and_chances_are_those_that_the_records_teach(weights: PolicyWeights) -> None:
    portfolios, judged_by = learn_portfolios(weights.past)
    assert (weights.portfolios, weights.card["portfolios"]["judged_by"]) == (portfolios, judged_by)
    choice = learn_best_strategy(weights.past)
    assert weights.best_strategy is not None
    np.testing.assert_allclose(weights.best_strategy.coefficients, choice.model.coefficients, atol=1e-3)
    # As chances of the best strategy they are clearly better than equal ones, on families left out.
    assert choice.errors["log_loss"] < choice.errors["log_loss_uniform"] - 0.25


def losses_after_one_epoch(start: str) -> np.ndarray:
    """Return the losses of 1, 2, 3 … splits of bundled tables."""
    found = []
    for load, problem in BUNDLED.items():
        X, y = load(return_X_y=True)
        X = StandardScaler().fit_transform(X).astype(np.float32)
        for seed in range(4):
            rows = np.random.default_rng(seed).permutation(len(X))
            train, test = np.split(rows, 2) if len(rows) % 2 == 0 else np.split(rows[1:], 2)
            metric = "rmse" if problem == "regression" else "log_loss"
            data = replace(fit_data(X[train], y[train], problem, n_validation=0, metric=metric), n_iterations=1)
            predictions = fit_mlp_maml(data, {"start": start}).predict(X[test])
            if problem == "regression":
                found.append(np.sqrt(((predictions - y[test]) ** 2).mean()))
            else:
                found.append(-np.log(np.maximum(predictions[np.arange(len(test)), y[test]], 1e-6)).mean())
    return np.array(found)


def test_the_shipped_start_is_better_than_random_weights_and_a_shuffled_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = losses_after_one_epoch("projected")
    learnt = np.log(losses_after_one_epoch("fitted_head") / random).mean()
    read = mlp_maml.read_starts
    rng = np.random.default_rng(0)

    def shuffled(*arguments):  # type: ignore[no-untyped-def]
        starts = read(*arguments)
        return {
            name: {part: rng.permutation(array.ravel()).reshape(array.shape) for part, array in start.items()}
            for name, start in starts.items()
        }

    monkeypatch.setattr(mlp_maml, "read_starts", shuffled)
    garbage = np.log(losses_after_one_epoch("fitted_head") / random).mean()
    assert learnt < -0.02 < garbage
