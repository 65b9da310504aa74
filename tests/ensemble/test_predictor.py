"""An ensemble predicts parts of the rows in threads, and what comes out does not depend on them."""

from __future__ import annotations

import threading
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info

from autometa.ensemble.class_subset import ClassSubsetModel
from autometa.ensemble.predictor import FittedPredictor, Member, upgrade_format_1


class Numeric:
    def transform(self, X: pd.DataFrame) -> np.ndarray:
        return X.to_numpy(np.float32)


class Recording:
    """Predicts a function of each row, and notes where and on how many rows it was asked."""

    n_iterations = None

    def __init__(self, weights: np.ndarray, error: Exception | None = None) -> None:
        self.weights, self.error = weights, error
        self.calls: list[tuple[int, int]] = []
        self.limits: set[int] = set()

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        assert n_threads == 1
        if self.error is not None:
            raise self.error
        self.calls.append((len(X), threading.get_ident()))
        self.limits |= {library["num_threads"] for library in threadpool_info()}
        positive = 1 / (1 + np.exp(-np.sin(X @ self.weights)))
        return np.column_stack([1 - positive, positive])


class Whole(Recording):
    goes_by_parts: ClassVar[bool] = False


def make_predictor(*models: Recording) -> FittedPredictor:
    weight = 1 / len(models)
    members = [Member(k, weight, [model], [k % 2]) for k, model in enumerate(models)]
    return FittedPredictor(members, [Numeric(), Numeric()], 2)


def make_rows(n_rows: int, seed: int) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(n_rows, 3)))


def reference(models: list[Recording], X: pd.DataFrame) -> np.ndarray:
    return np.mean([model.predict(X.to_numpy(np.float32)) for model in models], axis=0)


@pytest.mark.parametrize("n_rows", [0, 1, 2500, 2501, 12_345])
@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_predictions_are_those_of_the_models_whatever_the_threads(n_rows: int, n_threads: int, seed: int):
    rng = np.random.default_rng(seed)
    models = [kind(rng.normal(size=3)) for kind in (Recording, Whole, Recording)]
    X = make_rows(n_rows, seed)
    predicted = make_predictor(*models).predict(X, n_threads)
    assert predicted.shape == (n_rows, 2)
    assert np.allclose(predicted, reference(models, X), atol=1e-12)
    assert np.array_equal(predicted, make_predictor(*models).predict(X, 1))


def test_few_rows_are_predicted_in_the_calling_thread():
    model = Recording(np.ones(3))
    make_predictor(model).predict(make_rows(500, 0), 8)
    assert model.calls == [(500, threading.get_ident())]


def test_many_rows_are_predicted_in_threads_that_end():
    before = threading.enumerate()
    model = Recording(np.ones(3))
    make_predictor(model).predict(make_rows(30_000, 0), 4)
    assert threading.get_ident() not in {thread for _, thread in model.calls}
    assert max(n_rows for n_rows, _ in model.calls) <= 2500
    assert threading.enumerate() == before


def test_models_that_are_not_for_threads_are_asked_once():
    model = Whole(np.ones(3))
    make_predictor(model).predict(make_rows(30_000, 0), 4)
    assert model.calls == [(30_000, threading.get_ident())]


def test_numeric_libraries_have_one_thread_in_every_thread():
    models = [Recording(np.ones(3)), Whole(np.ones(3))]
    make_predictor(*models).predict(make_rows(10_000, 0), 4)
    assert models[0].limits | models[1].limits == {1}


def test_error_of_a_model_in_a_thread_is_raised():
    with pytest.raises(ZeroDivisionError):
        make_predictor(Recording(np.ones(3), ZeroDivisionError())).predict(make_rows(10_000, 0), 4)


def test_a_predictor_of_format_1_gets_its_models_of_some_classes_wrapped():
    models = [Recording(np.ones(3)), Recording(np.ones(3))]
    old = make_predictor(*models)
    old.n_classes = 3
    for member, known in zip(old.members, ([0, 2], None), strict=True):
        member.present = [known]  # type: ignore[attr-defined]
    upgrade_format_1(old)
    wrapped, plain = (member.models[0] for member in old.members)
    assert isinstance(wrapped, ClassSubsetModel) and wrapped.codes == [0, 2]
    assert plain is models[1]
    assert all("present" not in vars(member) for member in old.members)
