import numpy as np
import pytest

from autometa.learners.mlp_maml.adam import AdamW
from autometa.learners.mlp_maml.heads import fitted_heads
from autometa.learners.mlp_maml.network import (
    N_FEATURES,
    N_SLOTS,
    SHAPES,
    WIDTH,
    features,
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
    from autometa.metalearning.training import shared_network

    outputs = shared_network.scores(params, torch.from_numpy(X) @ params["slots/weight"] + params["slots/bias"])
    losses = epochs.row_losses(outputs, torch.from_numpy(y), 0.0)
    return (losses if weight is None else losses * torch.from_numpy(weight)).mean()


def test_features_are_those_of_the_network_that_is_meta_trained():
    torch = pytest.importorskip("torch")
    from autometa.metalearning.training import shared_network

    shared = random_arrays(np.random.default_rng(0))
    slots = 3 * np.random.default_rng(1).normal(size=(600, N_SLOTS)).astype(np.float32)  # more than one chunk
    in_torch = shared_network.features({n: torch.from_numpy(a) for n, a in shared.items()}, torch.from_numpy(slots))
    np.testing.assert_allclose(features(shared, slots), in_torch.numpy(), atol=2e-4)


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
        from autometa.learners.mlp_maml.network import _forward, _outputs

        return float(row_losses(_outputs(of, _forward(of, to_slots(of, X), masks).seen), y).mean())

    for name in params:
        direction = rng.normal(size=params[name].shape)
        ahead, behind = (exact | {name: exact[name] + sign * 1e-5 * direction} for sign in (1, -1))
        slope = (loss(ahead) - loss(behind)) / 2e-5
        assert (gradients[name] * direction).sum() == pytest.approx(slope, rel=2e-2, abs=2e-4), name


def test_steps_are_those_of_adamw_in_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    params = {"a": rng.normal(size=(3, 4)).astype(np.float32), "b": rng.normal(size=5).astype(np.float32)}
    factors, decays = {"a": 1.0, "b": 0.5}, {"a": 1.0, "b": 0.0}
    ours = AdamW(params, factors, decays, largest_norm=1e9)
    tensors = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in params.items()}
    groups = [{"params": [t], "lr": 0.01 * factors[n], "weight_decay": 0.1 * decays[n]} for n, t in tensors.items()]
    theirs = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    for _ in range(20):
        for name, tensor in tensors.items():
            gradient = rng.normal(size=tensor.shape).astype(np.float32)
            ours.gradients[name][...] = gradient
            tensor.grad = torch.from_numpy(gradient.copy())
        ours.step(0.01, 0.1, 10)
        theirs.step()
    for name, tensor in tensors.items():
        np.testing.assert_allclose(ours.params[name], tensor.detach().numpy(), atol=1e-5)


def test_a_long_gradient_is_shortened_and_the_mean_lags_behind():
    one = {"a": np.zeros(4, dtype=np.float32)}
    optimisers = [AdamW(one, {"a": 1.0}, {"a": 0.0}, largest_norm=norm) for norm in (1.0, 1.0, 1e9)]
    for optimiser, first in zip(optimisers, (1e3, 0.5, 1e3), strict=True):
        # Adam's first step does not tell how long a gradient was; the second one does.
        for size in (first, 0.1):
            optimiser.gradients["a"][...] = size
            optimiser.step(0.1, 0.0, 5)
            assert 0 < abs(optimiser.mean["a"][0]) < abs(optimiser.params["a"][0])
    shortened, short, long = (optimiser.params["a"][0] for optimiser in optimisers)
    assert shortened == pytest.approx(short, rel=1e-4)
    assert shortened != pytest.approx(long, rel=1e-2)


@pytest.mark.parametrize("n_classes", [None, 2, 3])
def test_heads_are_those_that_are_meta_trained(n_classes):
    torch = pytest.importorskip("torch")
    from autometa.metalearning.training import shared_network

    shared = random_arrays(np.random.default_rng(0))
    slots = np.random.default_rng(1).normal(size=(150, N_SLOTS)).astype(np.float32)
    y = np.digitize(slots[:, 0], [0.0, 0.7][: n_classes - 1]) if n_classes else slots[:, 0]
    seen = features(shared, slots)
    (head,) = fitted_heads(shared, seen, y, n_classes)
    tensors = {name: torch.from_numpy(array) for name, array in shared.items()}
    in_torch = shared_network.fitted_head(tensors, torch.from_numpy(slots), torch.from_numpy(y), n_classes)
    expected = seen @ in_torch["head/weight"].numpy() + in_torch["head/bias"].numpy()
    found = seen @ head.weight + head.bias
    if n_classes is not None:
        # What all classes have more of changes no probability.
        found, expected = (each - each.mean(axis=1, keepdims=True) for each in (found, expected))
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_shapes_are_those_of_random_arrays_and_scores_come_in_chunks():
    assert {name: array.shape for name, array in random_arrays(np.random.default_rng(0)).items()} == SHAPES
    params, X, _, _ = table(2, n_rows=1100)
    whole = scores(params, X)
    np.testing.assert_allclose(whole[1000:], scores(params, X[1000:]), atol=1e-4)
    assert scores(params, X[:0]).shape == (0, 2)
