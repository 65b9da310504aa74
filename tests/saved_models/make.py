"""Writes the two saved models that every format keeps, with what they predict.

When the format changes, run once, from the root of the checkout, with the build that introduces it:

    python tests/saved_models/make.py

The files of earlier formats stay: `tests/test_persistence.py` loads those of all formats.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from autometa import AutoMetaClassifier, AutoMetaRegressor
from autometa.saved_formats import FORMAT

FOLDER = Path(__file__).parent


def predictions(name: str, model: AutoMetaClassifier | AutoMetaRegressor) -> np.ndarray:
    """Return what the classifier or the regressor of a format predicts for the kept rows."""
    X = pd.read_csv(FOLDER / "rows.csv")
    return model.predict_proba(X.drop(columns="text"))[:, 1] if name == "classifier" else model.predict(X)


def main() -> None:
    """Fit a small classifier and a small regressor and write both."""
    X = pd.read_csv(FOLDER / "rows.csv")
    settings = {"n_trials": 2, "cv": 2, "n_jobs": 1, "random_state": 0, "progress": False}
    classifier = AutoMetaClassifier(strategies=["discriminant_analysis", "hist_gradient_boosting"], **settings)
    regressor = AutoMetaRegressor(strategies=["ridge", "nearest_neighbours"], **settings)
    noise = np.random.default_rng(0).normal(size=len(X))
    classifier.fit(X.drop(columns="text"), np.where(X["number"] + noise > 0, "yes", "no"))
    regressor.fit(X, np.round(3 * X["number"] + noise) + 100)
    for name, model in (("classifier", classifier), ("regressor", regressor)):
        model.save(FOLDER / f"format_{FORMAT}_{name}.autometa")
        pd.DataFrame({name: predictions(name, model)}).to_csv(FOLDER / f"format_{FORMAT}_{name}.csv", index=False)


if __name__ == "__main__":
    main()
