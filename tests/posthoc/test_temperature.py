"""A temperature improves the log loss of rows that it has not seen, and changes neither labels nor order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss, roc_auc_score

from autometa.posthoc.temperature import LEAST_ROWS, fit_temperature, with_temperature


def drawn(n_rows: int, n_classes: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels drawn from probabilities, and these probabilities made too bold or too cautious."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(scale=1.5, size=(n_rows, n_classes))
    truth = softmax(scores, axis=1)
    y = (rng.random(n_rows)[:, None] > truth.cumsum(axis=1)).sum(axis=1).clip(max=n_classes - 1)
    return y, softmax(scores / temperature, axis=1)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("distortion", [0.4, 2.5])
def test_temperature_undoes_a_distortion(n_classes: int, distortion: float):
    y, distorted = drawn(4000, n_classes, distortion)
    found = fit_temperature(y, distorted)
    assert found == pytest.approx(1 / distortion, rel=0.15)
    fresh, probabilities = drawn(4000, n_classes, distortion, seed=1)
    assert log_loss(fresh, with_temperature(probabilities, found)) < log_loss(fresh, probabilities) - 0.02


def test_calibrated_probabilities_stay_nearly_as_they_are():
    found = [fit_temperature(*drawn(1000, 3, 1.0, seed=seed), seed=seed) for seed in range(10)]
    assert found.count(1.0) >= 6
    assert all(0.8 < temperature < 1.25 for temperature in found)


def test_few_rows_get_no_temperature():
    y, distorted = drawn(LEAST_ROWS - 1, 2, 2.5)
    assert fit_temperature(y, distorted) == 1
    assert fit_temperature(*drawn(LEAST_ROWS + 200, 2, 2.5)) < 1


def test_labels_and_the_order_of_rows_stay():
    y, probabilities = drawn(500, 2, 2.5)
    bolder = with_temperature(probabilities, 0.4)
    assert roc_auc_score(y, bolder[:, 1]) == roc_auc_score(y, probabilities[:, 1])
    np.testing.assert_array_equal(bolder.argmax(axis=1), probabilities.argmax(axis=1))
    np.testing.assert_allclose(bolder.sum(axis=1), 1)


def test_weights_count_like_repeated_rows():
    y, distorted = drawn(600, 3, 2.0)
    weight = np.where(np.arange(600) < 300, 3.0, 1.0)
    repeated = np.repeat(np.arange(600), weight.astype(int))
    # The division into parts differs, what is fitted on all rows does not.
    assert fit_temperature(y, distorted, weight) == pytest.approx(
        fit_temperature(y[repeated], distorted[repeated]), rel=1e-3
    )


def test_probabilities_of_zero_and_one_stay_finite():
    y = np.tile([0, 1], 200)
    certain = np.eye(2)[y]
    certain[:20] = certain[:20, ::-1]
    found = fit_temperature(y, certain)
    assert found > 1
    assert np.isfinite(with_temperature(certain, found)).all()
