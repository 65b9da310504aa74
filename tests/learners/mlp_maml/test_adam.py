import numpy as np
import pytest

from autometa.learners.mlp_maml.adam import AdamW


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
