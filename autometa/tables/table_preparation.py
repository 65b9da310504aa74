"""The preparation of raw tables as a scikit-learn transformer."""
# Tests: tests/test_pipelines.py

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from autometa.tables.cleaning import clean, fit_schema
from autometa.tables.inputs import as_frame, read_table
from autometa.tables.preparation import fit_preparation
from autometa.tables.view import View


class TablePreparation(TransformerMixin, BaseEstimator):
    """Turn a raw table into the numbers and categories that learners fit on.

    Parameters
    ----------
    view : {"tree", "numeric"}, default="numeric"
        ``"numeric"``: a column for each number and each frequent level, imputed and scaled. ``"tree"``: numbers with
        missing values, and categories as columns of pandas' category type.
    categories : sequence of str or None, default=None
        Names of the columns of the tree view that are categories, whatever the rows; None for those that are found.
        Categories that are not among them become numbers, the ranks of their levels by frequency.
    missing_level : bool, default=False
        Whether missing values of categories become a level of their own, which CatBoost needs.
    random_state : int, RandomState or None, default=0
        Seed of the samples that quantiles and text embeddings are learnt on.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of X.
    """

    def __init__(
        self,
        view: View = "numeric",
        *,
        categories: Sequence[str] | None = None,
        missing_level: bool = False,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.view = view
        self.categories = categories
        self.missing_level = missing_level
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the kinds of the columns, their levels and scales.

        Parameters
        ----------
        X : DataFrame, array, sparse matrix, rows or records, shape (n_rows, n_columns)
            A raw table, as in ``AutoMeta.fit``.
        y : ignored
            For scikit-learn's pipelines.
        """
        if self.view not in ("tree", "numeric"):
            raise ValueError(f"view must be 'tree' or 'numeric', got {self.view!r}.")
        raw = read_table(X)
        self.n_features_in_ = raw.n_features
        self._schema = fit_schema(raw.frame)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        self._preparation = fit_preparation(clean(raw.frame, self._schema), self.view, seed)
        return self

    def transform(self, X: Any) -> np.ndarray | pd.DataFrame:
        """Return prepared rows.

        Parameters
        ----------
        X : like in `fit`
            The rows; columns are matched by name.

        Returns
        -------
        ndarray of shape (n_rows, n_features), float32, or DataFrame
            A frame if there are categories.
        """
        check_is_fitted(self, "_preparation")
        table = clean(as_frame(X, self._schema.columns, self.n_features_in_, owner=type(self).__name__), self._schema)
        prepared, fitted = self._preparation.transform(table), self._preparation
        sizes = dict(zip(fitted.names, fitted.n_categories, strict=True)) if self.view == "tree" else {}
        found = [name for name, size in sizes.items() if size] if self.categories is None else list(self.categories)
        if not found or self.view == "numeric":
            return prepared
        columns = {name: prepared[:, j] for j, name in enumerate(fitted.names)}
        nothing = np.full(len(prepared), np.nan, dtype=np.float32)
        # In rows of one level alone a category has no column. Categories come first, so that their places are known.
        first = [self._as_category(columns.pop(name, nothing), int(sizes.get(name, 0))) for name in found]
        # The libraries refuse some characters in names.
        return pd.DataFrame(
            {f"category_{j}": values for j, values in enumerate(first)}
            | {f"number_{j}": values for j, values in enumerate(columns.values())}
        )

    def _as_category(self, values: np.ndarray, size: int) -> pd.Categorical:
        codes = np.where(np.isnan(values) | (values >= size), -1, values).astype(np.int64)
        if self.missing_level:
            return pd.Categorical.from_codes(codes + 1, categories=np.arange(-1, size))
        return pd.Categorical.from_codes(codes, categories=np.arange(size))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags
