import numpy as np
import pytest

from autometa.learners.mlp_maml.heads import fitted_heads
from autometa.learners.mlp_maml.network import features, random_arrays
from autometa.learners.mlp_maml.projection import N_SLOTS

SHARED = random_arrays(np.random.default_rng(0))


def seen_rows(n: int, seed: int = 0) -> np.ndarray:
    return features(SHARED, np.random.default_rng(seed).normal(size=(n, N_SLOTS)).astype(np.float32))


@pytest.mark.parametrize("n", [80, 500])
def test_the_head_of_numbers_is_ridge_regression(n):
    seen = seen_rows(n).astype(np.float64)
    y = np.random.default_rng(1).normal(size=n)
    for head in fitted_heads(SHARED, seen, y, None, strengths=(4.0, 0.1)):
        left = y - seen @ head.weight[:, 0] - head.bias
        # Where the gradient of the penalised mean is 0, there is the minimum.
        assert abs(left.mean()) < 1e-5
        np.testing.assert_allclose(seen.T @ left / n, head.penalty * head.weight[:, 0], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("n", [90, 600])
@pytest.mark.parametrize("cuts", [[0.0], [-0.6, 0.6]])
def test_heads_of_classes_are_penalised_logistic_regressions(n, cuts):
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    seen = seen_rows(n)
    y = np.digitize(seen[:, 0] + seen[:, 1] + 0.3 * rng.normal(size=n), cuts)
    n_classes = len(cuts) + 1
    for head in fitted_heads(SHARED, seen, y, n_classes, strengths=(20.0, 1.0)):
        # With two outputs in place of one, half the penalty on each weight is that of one on their difference.
        penalty = head.penalty / (2 if n_classes == 2 else 1)
        reference = linear.LogisticRegression(C=1 / (n * penalty), max_iter=2000).fit(seen, y)
        scores = seen @ head.weight + head.bias
        found = np.exp(scores - scores.max(axis=1, keepdims=True))
        found /= found.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found, reference.predict_proba(seen), atol=0.02)


@pytest.mark.parametrize("n_classes", [None, 2, 3])
def test_rows_of_no_weight_do_not_move_the_head(n_classes):
    seen = seen_rows(90)
    y = np.random.default_rng(1).normal(size=90) if n_classes is None else np.arange(90) % n_classes
    weights = (np.arange(90) < 60).astype(np.float32)
    (whole,) = fitted_heads(SHARED, seen, y, n_classes, weights)
    (part,) = fitted_heads(SHARED, seen[:60], y[:60], n_classes)
    np.testing.assert_allclose(seen @ whole.weight + whole.bias, seen @ part.weight + part.bias, atol=1e-3)
