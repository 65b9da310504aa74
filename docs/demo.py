"""Fits a table in twenty seconds: `make demo`."""

from __future__ import annotations

import logging

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from autometa import AutoMetaClassifier


def main() -> None:
    """Fit the breast-cancer table that comes with scikit-learn, and print leaderboard and report."""
    logging.basicConfig(level=logging.WARNING)
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    y = y.map({0: "malignant", 1: "benign"})
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)

    print(f"Fitting {len(X_train)} rows and {X.shape[1]} columns for 20 seconds ...")
    model = AutoMetaClassifier(time_budget=20, n_jobs=2, random_state=0).fit(X_train, y_train)

    second_class = model.predict_proba(X_test)[:, 1]
    print(f"\nOn {len(X_test)} rows that were kept aside:")
    print(f"  accuracy {model.score(X_test, y_test):.4f}")
    print(f"  ROC AUC  {roc_auc_score(y_test == model.classes_[1], second_class):.4f}")

    print("\nLeaderboard, the ten best trials:")
    _print_table(model.leaderboard().head(10))
    print("\nReport, strategy by strategy:")
    _print_table(model.report())


def _print_table(table: pd.DataFrame) -> None:
    print(table.to_string(index=False, max_colwidth=48, float_format="{:.4g}".format, na_rep="–"))


if __name__ == "__main__":
    main()
