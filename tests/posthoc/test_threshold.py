"""A threshold suits the metric, also for classes that are rare."""

from __future__ import annotations

import numpy as np
import pytest

from autometa.evaluation.metrics import resolve_metric
from autometa.posthoc.threshold import fit_threshold, labels_at


def drawn(n_rows: int, prior: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and their true probabilities, whose mean is about `prior`."""
    rng = np.random.default_rng(seed)
    probability = 1 / (1 + np.exp(-rng.normal(np.log(prior / (1 - prior)), 1.0, n_rows)))
    return (rng.random(n_rows) < probability).astype(int), probability


def loss_of(metric: str):
    resolved = resolve_metric(metric, "binary", np.array([0, 1]))
    return lambda y, probabilities, weight: resolved.loss(y, probabilities, weight)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1", "matthews"])
def test_rare_class_gets_a_low_threshold_and_a_lower_loss(metric: str):
    y, probability = drawn(3000, 0.06, seed=0)
    loss = loss_of(metric)
    threshold = fit_threshold(y, probability, loss)
    assert 0.02 < threshold < 0.3
    fresh, theirs = drawn(20_000, 0.06, seed=1)
    assert loss(fresh, labels_at(theirs, threshold), None) < loss(fresh, labels_at(theirs, 0.5), None) - 0.05


def test_threshold_of_balanced_accuracy_is_near_the_share_of_the_class():
    y, probability = drawn(20_000, 0.2, seed=2)
    assert fit_threshold(y, probability, loss_of("balanced_accuracy")) == pytest.approx(y.mean(), abs=0.04)


def test_accuracy_of_true_probabilities_keeps_about_a_half():
    y, probability = drawn(20_000, 0.5, seed=3)
    assert fit_threshold(y, probability, loss_of("accuracy")) == pytest.approx(0.5, abs=0.05)


def test_weights_move_the_threshold():
    y, probability = drawn(4000, 0.5, seed=4)
    loss = loss_of("accuracy")
    weight = np.where(y == 1, 4.0, 1.0)
    assert fit_threshold(y, probability, loss, weight) < fit_threshold(y, probability, loss) - 0.1


def test_same_probability_everywhere_has_no_better_threshold_than_a_half():
    assert fit_threshold(np.array([0, 1] * 20), np.full(40, 0.3), loss_of("f1")) == 0.5


def test_same_seed_gives_the_same_threshold():
    y, probability = drawn(500, 0.2, seed=5)
    assert fit_threshold(y, probability, loss_of("f1"), seed=1) == fit_threshold(y, probability, loss_of("f1"), seed=1)
