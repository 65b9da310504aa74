"""A model of some classes predicts all of them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
import pytest
import skops.io

from autometa.ensemble.class_subset import ClassSubsetModel
from autometa.learners.base import StagedModel, was_cut_short
from autometa.learners.constant import ConstantModel


class Staged:
    n_iterations = 5
    is_cut_short = True
    goes_by_parts = False

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        return np.full((len(X), 2), 0.5)

    def staged_predict(self, X: np.ndarray, n_threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        yield 1, np.tile([0.25, 0.75], (len(X), 1))


def test_classes_without_a_training_row_have_no_probability():
    model = ClassSubsetModel(ConstantModel(np.array([0.25, 0.75])), [0, 2], 3)
    np.testing.assert_array_equal(model.predict(np.zeros((2, 4))), [[0.25, 0.0, 0.75]] * 2)
    assert model.predict(np.zeros((0, 4))).shape == (0, 3)


def test_it_tells_what_the_model_inside_tells():
    model = ClassSubsetModel(Staged(), [1, 2], 3)
    assert (model.n_iterations, model.goes_by_parts, was_cut_short(model)) == (5, False, True)
    ((n_iterations, predictions),) = model.staged_predict(np.zeros((1, 4)))
    assert n_iterations == 1
    np.testing.assert_array_equal(predictions, [[0.0, 0.25, 0.75]])


def test_a_model_without_stages_and_deadline_has_none_when_wrapped():
    model = ClassSubsetModel(ConstantModel(np.array([0.25, 0.75])), [0, 2], 3)
    assert isinstance(model, StagedModel) and not list(model.staged_predict(np.zeros((1, 4))))
    assert not was_cut_short(model)
    assert model.goes_by_parts


def test_probabilities_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 1\), not \(2, 2\)"):
        ClassSubsetModel(ConstantModel(np.ones(1)), [0, 2], 3).predict(np.zeros((2, 4)))


def test_pickle_and_skops_keep_it():
    model = ClassSubsetModel(ConstantModel(np.array([0.25, 0.75])), [0, 2], 3)
    dump = skops.io.dumps(model)
    for read in (pickle.loads(pickle.dumps(model)), skops.io.loads(dump, skops.io.get_untrusted_types(data=dump))):
        np.testing.assert_array_equal(read.predict(np.zeros((1, 4))), [[0.25, 0.0, 0.75]])
