import numpy as np
import pytest

torch = pytest.importorskip("torch")

from autometa.learners.mlp_maml.heads import fitted_heads  # noqa: E402
from autometa.learners.mlp_maml.network import N_SLOTS, features, random_arrays  # noqa: E402
from autometa.metalearning.training.differentiable_head import fitted_head  # noqa: E402


@pytest.mark.parametrize("n_classes", [None, 2, 3])
def test_heads_are_those_that_a_fit_uses(n_classes):
    shared = random_arrays(np.random.default_rng(0))
    slots = np.random.default_rng(1).normal(size=(150, N_SLOTS)).astype(np.float32)
    y = np.digitize(slots[:, 0], [0.0, 0.7][: n_classes - 1]) if n_classes else slots[:, 0]
    seen = features(shared, slots)
    (head,) = fitted_heads(shared, seen, y, n_classes)
    tensors = {name: torch.from_numpy(array) for name, array in shared.items()}
    in_torch = fitted_head(tensors, torch.from_numpy(slots), torch.from_numpy(y), n_classes)
    expected = seen @ in_torch["head/weight"].numpy() + in_torch["head/bias"].numpy()
    found = seen @ head.weight + head.bias
    if n_classes is not None:
        # What all classes have more of changes no probability.
        found, expected = (each - each.mean(axis=1, keepdims=True) for each in (found, expected))
    np.testing.assert_allclose(found, expected, atol=0.05)
