import numpy as np
import pandas as pd

from autometa.learners.constant import ConstantModel, NoPreparation


def test_every_row_gets_the_same_prediction_in_an_array_of_its_own():
    X = np.zeros((3, 2), dtype=np.float32)
    np.testing.assert_array_equal(ConstantModel(1.5).predict(X), [1.5, 1.5, 1.5])
    model = ConstantModel(np.array([0.25, 0.75]))
    predictions = model.predict(X)
    np.testing.assert_array_equal(predictions, [[0.25, 0.75]] * 3)
    predictions[0] = 0.0
    np.testing.assert_array_equal(model.predict(X), [[0.25, 0.75]] * 3)
    assert model.predict(X[:0]).shape == (0, 2)


def test_no_preparation_keeps_the_number_of_rows_alone():
    assert NoPreparation().transform(pd.DataFrame({"a": [1, 2, 3]})).shape == (3, 0)
