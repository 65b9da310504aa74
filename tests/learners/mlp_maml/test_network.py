import numpy as np
import pytest

from autometa.learners.mlp_maml.network import (
    N_FEATURES,
    N_SLOTS,
    SHAPES,
    WIDTH,
    features,
    forward,
    outputs,
    random_arrays,
    row_losses,
    scores,
    to_slots,
    write_gradients,
)


def table(n_outputs: int, n_rows: int = 30, n_columns: int = 7):
    rng = np.random.default_rng(0)
    params = random_arrays(rng) | {
        "slots/weight": rng.normal(size=(n_columns, N_SLOTS)).astype(np.float32),
        "slots/bias": rng.normal(size=N_SLOTS).astype(np.float32),
        "head/weight": 0.1 * rng.normal(size=(N_FEATURES, n_outputs)).astype(np.float32),
        "head/bias": rng.normal(size=n_outputs).astype(np.float32),
    }
    params = {name: array.astype(np.float32) for name, array in params.items() if not name.startswith("penalty/")}
    X = rng.normal(size=(n_rows, n_columns)).astype(np.float32)
    y = rng.integers(n_outputs, size=n_rows) if n_outputs > 1 else rng.normal(size=n_rows).astype(np.float32)
    return params, X, y, rng


def torch_loss(params, X, y, weight=None):
    torch = pytest.importorskip("torch")
    from autometa.learners import epochs

    slots = torch.from_numpy(X) @ params["slots/weight"] + params["slots/bias"]
    losses = epochs.row_losses(outputs(params, forward(params, slots).features), torch.from_numpy(y), 0.0)
    return (losses if weight is None else losses * torch.from_numpy(weight)).mean()


def test_features_are_the_same_in_torch():
    torch = pytest.importorskip("torch")
    shared = random_arrays(np.random.default_rng(0))
    slots = 3 * np.random.default_rng(1).normal(size=(600, N_SLOTS)).astype(np.float32)  # more than one chunk
    in_torch = forward({n: torch.from_numpy(a) for n, a in shared.items()}, torch.from_numpy(slots))
    np.testing.assert_allclose(features(shared, slots), in_torch.features.numpy(), atol=2e-4)


@pytest.mark.parametrize("n_outputs", [1, 2, 4])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_gradients_are_those_of_torch(n_outputs, is_weighted):
    torch = pytest.importorskip("torch")
    params, X, y, rng = table(n_outputs)
    weight = rng.random(len(y)).astype(np.float32) if is_weighted else None
    gradients = {name: np.full_like(array, np.nan) for name, array in params.items()}
    write_gradients(gradients, params, X, y, weight)
    tensors = {name: torch.from_numpy(array).requires_grad_() for name, array in params.items()}
    torch_loss(tensors, X, y, weight).backward()
    for name, tensor in tensors.items():
        largest = float(tensor.grad.abs().max())
        np.testing.assert_allclose(gradients[name], tensor.grad.numpy(), atol=2e-4 * largest + 1e-7, err_msg=name)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_gradients_under_dropout_are_differences_of_losses(n_outputs):
    params, X, y, rng = table(n_outputs)
    masks = tuple(rng.integers(2, size=(len(X), WIDTH)).astype(np.float32) for _ in range(2))
    gradients = {name: np.zeros_like(array) for name, array in params.items()}
    write_gradients(gradients, params, X, y, None, masks)
    exact = {name: array.astype(np.float64) for name, array in params.items()}

    def loss(of) -> float:
        return float(row_losses(outputs(of, forward(of, to_slots(of, X), masks).features), y).mean())

    for name in params:
        direction = rng.normal(size=params[name].shape)
        ahead, behind = (exact | {name: exact[name] + sign * 1e-5 * direction} for sign in (1, -1))
        slope = (loss(ahead) - loss(behind)) / 2e-5
        assert (gradients[name] * direction).sum() == pytest.approx(slope, rel=2e-2, abs=2e-4), name


def test_shapes_are_those_of_random_arrays_and_scores_come_in_chunks():
    assert {name: array.shape for name, array in random_arrays(np.random.default_rng(0)).items()} == SHAPES
    params, X, _, _ = table(2, n_rows=1100)
    whole = scores(params, X)
    np.testing.assert_allclose(whole[1000:], scores(params, X[1000:]), atol=1e-4)
    assert scores(params, X[:0]).shape == (0, 2)
