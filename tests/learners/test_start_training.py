import numpy as np
import pytest

torch = pytest.importorskip("torch")

from autometa.learners.shared_network import N_FEATURES, fitted_head, fitted_heads, random_parameters  # noqa: E402
from autometa.learners.start_training import SharedNetworkLearner, Table, draw_task  # noqa: E402
from autometa.maml.training import OuterSettings, meta_train  # noqa: E402


def tables(n: int = 3) -> list[Table]:
    result = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(200, 5)).astype(np.float32)
        score = X[:, 0] + X[:, 1]
        problem = ("binary", "multiclass", "regression")[seed % 3]
        cuts = {"binary": [0.0], "multiclass": [-1.0, 1.0], "regression": []}[problem]
        result.append(Table(X, np.digitize(score, cuts) if cuts else score.astype(np.float64), problem))
    return result


def test_tasks_drawn_with_one_seed_are_the_same():
    first, second = (draw_task(tables(), np.random.default_rng(3)) for _ in range(2))
    torch.testing.assert_close(first.support.inputs, second.support.inputs)
    torch.testing.assert_close(first.query.targets, second.query.targets)


def test_the_fitted_head_of_numbers_is_ridge_regression():
    rng = np.random.default_rng(0)
    seen = torch.from_numpy(rng.normal(size=(80, N_FEATURES)) + 1)
    y = torch.from_numpy(rng.normal(size=80))
    for head in fitted_heads(random_parameters(torch.Generator().manual_seed(0)), seen, y, None, strengths=(4.0, 0.1)):
        slope, bias = (head.params[name].double() for name in ("head/weight", "head/bias"))
        left = y - seen @ slope[:, 0] - bias
        # Where the gradient of the penalised mean is 0, there is the minimum.
        assert abs(left.mean()) < 1e-5
        torch.testing.assert_close(seen.T @ left / 80, head.penalty * slope[:, 0], atol=1e-5, rtol=1e-4)


def test_the_fitted_head_of_classes_is_penalised_logistic_regression():
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(90, N_FEATURES))
    y = np.digitize(seen[:, 0] + seen[:, 1] + 0.3 * rng.normal(size=90), [-0.6, 0.6])
    params = random_parameters(torch.Generator().manual_seed(0))
    head = fitted_heads(params, torch.from_numpy(seen), torch.from_numpy(y), 3)[0]
    reference = linear.LogisticRegression(C=1 / (90 * float(head.penalty))).fit(seen, y)
    scores = torch.from_numpy(seen).float() @ head.params["head/weight"] + head.params["head/bias"]
    np.testing.assert_allclose(torch.softmax(scores, dim=1).numpy(), reference.predict_proba(seen), atol=5e-3)


def test_rows_of_no_weight_do_not_move_the_head():
    params = random_parameters(torch.Generator().manual_seed(0))
    slots = torch.randn(90, 40, generator=torch.Generator().manual_seed(1))
    y = torch.arange(90) % 3
    weights = (torch.arange(90) < 60).float()
    whole, part = fitted_head(params, slots, y, 3, weights), fitted_head(params, slots[:60], y[:60], 3)
    for name in whole:
        torch.testing.assert_close(whole[name], part[name], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("variant", ["fitted_head", "pooled"])
def test_meta_training_lowers_the_loss_on_queries(variant):
    learner, some = SharedNetworkLearner(variant), tables()
    params = random_parameters(torch.Generator().manual_seed(0))
    trained = meta_train(learner, params, lambda rng: [draw_task(some, rng)], OuterSettings(12, 3e-3), seed=1)
    tasks = [draw_task(some, np.random.default_rng(seed)) for seed in range(20)]

    def loss(of):
        with torch.no_grad():
            judged = [t.query if variant == "fitted_head" else t.support for t in tasks]
            return np.mean([float(learner.loss(learner.inner(of, t.support), j)) for t, j in zip(tasks, judged)])  # noqa: B905

    assert loss(trained.params) < loss(params)
