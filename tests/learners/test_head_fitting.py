import numpy as np
import pytest

torch = pytest.importorskip("torch")

from autometa.core.budget import Deadline  # noqa: E402
from autometa.learners.head_fitting import STRENGTHS, TableRows, choose_strength, fit_slots_and_head  # noqa: E402
from autometa.learners.projection import N_SLOTS  # noqa: E402
from autometa.learners.shared_network import N_FEATURES, random_parameters  # noqa: E402

NEVER = Deadline(np.inf)


def shared():
    return random_parameters(torch.Generator().manual_seed(0))


def rows(noise: float, problem: str = "regression", n: int = 120) -> TableRows:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    y = X[:, 0] + noise * rng.normal(size=n)
    if problem == "regression":
        return TableRows(X, ((y - y.mean()) / y.std()).astype(np.float32), problem, None)
    n_classes = 2 if problem == "binary" else 3
    return TableRows(X, np.digitize(y, [0.0, 1.0][: n_classes - 1]), problem, n_classes)


@pytest.mark.parametrize("problem", ["regression", "binary", "multiclass"])
def test_noise_asks_for_a_stronger_penalty(problem):
    clear, noisy = (choose_strength(shared(), rows(noise, problem), 0, NEVER) for noise in (0.01, 10.0))
    assert STRENGTHS[noisy] > STRENGTHS[clear]


@pytest.mark.parametrize("problem", ["regression", "binary"])
@pytest.mark.parametrize("n", [2, 5])
def test_a_few_rows_and_a_passed_deadline_give_finite_heads(problem, n):
    found, penalty = fit_slots_and_head(shared(), rows(1.0, problem, n), 0, Deadline.after(-1.0))
    assert found["slots/weight"].shape == (6, N_SLOTS) and len(found["head/weight"]) == N_FEATURES
    assert penalty > 0 and all(bool(torch.isfinite(value).all()) for value in found.values())
