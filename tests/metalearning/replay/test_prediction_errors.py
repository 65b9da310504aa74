"""Errors of predicted losses, seconds and memory on tasks left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autometa.metalearning.replay.prediction_errors import prediction_errors
from tests.helpers.past_tasks import made_up_past


def test_predictions_are_better_than_a_constant_where_a_feature_tells_the_loss(seed: int) -> None:
    past = made_up_past(seed, n_tasks=24)
    only = past.feature_names.index("landmark_ridge")
    features = np.full_like(past.features, 0.0)
    features[:, only] = past.features[:, only]
    errors = prediction_errors(replace(past, features=features), n_folds=4)
    assert list(errors.index) == ["loss", "seconds"]
    assert errors.loc["loss", "model"] < 0.7 * errors.loc["loss", "constant"]
    assert (errors["n"] == past.seconds.size).all()


def test_constant_and_neighbour_predict_what_their_names_say() -> None:
    past = made_up_past(n_tasks=2)
    errors = prediction_errors(past, n_folds=2)
    # With one past task both are that task.
    logs = np.log(past.seconds)
    expected = np.abs(logs[0] - logs[1]).mean()
    np.testing.assert_allclose(errors.loc["seconds", ["constant", "nearest"]], expected)
