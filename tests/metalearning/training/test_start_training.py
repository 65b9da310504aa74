import numpy as np
import pytest

torch = pytest.importorskip("torch")

from autometa.learners.mlp_maml.network import random_arrays  # noqa: E402
from autometa.maml.training import OuterSettings, meta_train  # noqa: E402
from autometa.metalearning.training.start_training import SharedNetworkLearner, Table, draw_task  # noqa: E402


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


@pytest.mark.parametrize("variant", ["fitted_head", "pooled"])
def test_meta_training_lowers_the_loss_on_queries(variant):
    learner, some = SharedNetworkLearner(variant), tables()
    params = {name: torch.from_numpy(array) for name, array in random_arrays(np.random.default_rng(0)).items()}
    trained = meta_train(learner, params, lambda rng: [draw_task(some, rng)], OuterSettings(12, 3e-3), seed=1)
    tasks = [draw_task(some, np.random.default_rng(seed)) for seed in range(20)]

    def loss(of):
        with torch.no_grad():
            judged = [t.query if variant == "fitted_head" else t.support for t in tasks]
            return np.mean([float(learner.loss(learner.inner(of, t.support), j)) for t, j in zip(tasks, judged)])  # noqa: B905

    assert loss(trained.params) < loss(params)
