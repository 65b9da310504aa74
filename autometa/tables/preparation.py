"""From cleaned rows to the arrays that learners fit on, learnt from the training rows of one fold.

Both views start from the same measured columns and the same embeddings of texts. The tree view adds
category codes and leaves gaps; the numeric view fills gaps, scales, and writes categories as 0/1 columns.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from autometa.tables.categories import CategoryCodes, OneHot
from autometa.tables.measures import Measures
from autometa.tables.scaling import Scaler
from autometa.tables.schema import Schema
from autometa.tables.text import TextEmbedding, fit_text_embedding
from autometa.tables.view import View

_MAX_CELLS = 2**27
"""By default a prepared table has at most this many cells (512 MiB)."""
_MOST_COLUMNS_OF_CATEGORY, _COLUMNS_OF_MOMENT = 28, 13
"""In the numeric view, with what tells gaps."""

_MAX_TEXT_DIMENSIONS = 30
_MIN_TEXT_DIMENSIONS = 3
_ROWS_PER_TEXT_DIMENSION = 10
"""For the first column of text; each further one takes twice as many, or small tables drown in dimensions."""


class Preparation:
    """A fitted way from cleaned rows to one view.

    Attributes
    ----------
    view : {"tree", "numeric"}
        The form that ``transform`` returns.
    names : list of str
        Name of each prepared column.
    categorical : ndarray of shape (n_features,), bool
        Which columns hold category codes.
    n_categories : ndarray of shape (n_features,), int64
        Number of codes of each column; 0 for numbers.
    """

    def __init__(
        self,
        view: View,
        measures: Measures,
        scaler: Scaler | None,
        categories: CategoryCodes | OneHot,
        embeddings: list[TextEmbedding],
        bounds: tuple[int, int],
        text_names: list[str],
    ) -> None:
        self.view = view
        self._measures = measures
        self._scaler = scaler
        self._categories = categories
        self._embeddings = embeddings
        self._first_category, self._first_text = bounds
        measured = measures.names if scaler is None else scaler.names
        self._n_measured = len(measured)
        self.names = [*measured, *categories.names, *text_names]
        self.n_categories = np.zeros(len(self.names), dtype=np.int64)
        if isinstance(categories, CategoryCodes):
            self.n_categories[self._n_measured : self._n_measured + len(categories.sizes)] = categories.sizes
        self.categorical = self.n_categories > 0
        if not self.names:
            # Nothing varies in these rows; learners still need a column.
            self.names, self.categorical, self.n_categories = (
                ["nothing"],
                np.zeros(1, dtype=bool),
                np.zeros(1, dtype=np.int64),
            )

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Return the prepared rows, C-contiguous float32 of shape (n_rows, n_features).

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns)
            Rows from ``Schema.clean``; it stays as it is.
        """
        out = np.zeros((len(X), len(self.names)), dtype=np.float32)
        n = self._n_measured
        values = self._measures.transform(X)
        if self._scaler is None:
            out[:, :n] = values
        else:
            self._scaler.write(values, out[:, :n])
        end = n + len(self._categories.names)
        codes = X.iloc[:, self._first_category : self._first_text].to_numpy()
        self._categories.write(codes, out[:, n:end])
        for j, embedding in enumerate(self._embeddings):
            start, end = end, end + embedding.n_dimensions
            out[:, start:end] = embedding.transform(X.iloc[:, self._first_text + j].to_numpy())
        return out


def most_cells(schema: Schema, n_rows: int) -> int:
    """Return about how many cells rows have in the numeric view, the wider one, at most.

    Numbers may bring an indicator of their gaps, dates their parts, categories a column for each level.
    """
    n_numbers = len(schema.numbers) + len(schema.precise)
    n_levels = sum(min(len(levels) + 4, _MOST_COLUMNS_OF_CATEGORY) for levels in schema.categories.values())
    n_columns = 2 * n_numbers + _COLUMNS_OF_MOMENT * len(schema.moments) + n_levels
    n_columns += (_MAX_TEXT_DIMENSIONS + 6) * len(schema.texts)
    return min(max(1, n_columns) * n_rows, max(_MAX_CELLS, n_rows))


def fit_preparation(
    X: pd.DataFrame, schema: Schema, view: View, seed: int, max_features: int | None = None
) -> Preparation:
    """Return a preparation learnt from training rows.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        Training rows from ``schema.clean``.
    schema : Schema
        Kinds of the columns.
    view : {"tree", "numeric"}
        What to prepare for.
    seed : int
        Seed of the samples that quantiles and text embeddings are learnt on.
    max_features : int or None
        Most columns to prepare; by default as many as make 512 MiB with the rows of `X`. Beyond that, the
        columns with the most missing values and the 0/1 columns of the rarest levels are left out.
    """
    if max_features is None:
        max_features = max(1, _MAX_CELLS // max(1, len(X)))
    first_category = len(schema.numbers) + len(schema.precise) + len(schema.moments)
    first_text = first_category + len(schema.categories)
    scale_rng, text_rng = (np.random.default_rng([seed, stream]) for stream in (0, 1))
    measures = Measures(X, schema, view)
    codes = X.iloc[:, first_category:first_text].to_numpy()
    levels = list(schema.categories.values())
    categories: CategoryCodes | OneHot
    scaler = None
    if view == "tree":
        categories = CategoryCodes(codes, [len(names) for names in levels], list(schema.categories))
    else:
        scaler = Scaler(measures.transform(X), measures.names, scale_rng)
        categories = OneHot(codes, levels, list(schema.categories))
    embeddings, text_names = [], []
    n_dimensions = len(X) // (_ROWS_PER_TEXT_DIMENSION * max(1, 2 * len(schema.texts) - 1))
    n_dimensions = min(_MAX_TEXT_DIMENSIONS, max(_MIN_TEXT_DIMENSIONS, n_dimensions))
    for j, name in enumerate(schema.texts):
        distinct = [text for text in pd.unique(X.iloc[:, first_text + j].to_numpy()) if text]
        embedding = fit_text_embedding(distinct, n_dimensions, text_rng)
        embeddings.append(embedding)
        text_names += [f"{name} topic {i}" for i in range(embedding.n_dimensions)]
    measured_worth = measures.present if scaler is None else scaler.worth
    if len(measured_worth) + len(categories.names) + len(text_names) > max_features:
        worth = np.concatenate([measured_worth, categories.worth, np.ones(len(text_names))])
        kept = np.zeros(len(worth), dtype=bool)
        kept[np.argsort(-worth, kind="stable")[:max_features]] = True
        n, end = len(measured_worth), len(measured_worth) + len(categories.names)
        (measures if scaler is None else scaler).keep(kept[:n])
        categories.keep(kept[n:end])
        for embedding in embeddings:
            start, end = end, end + embedding.n_dimensions
            embedding.components = embedding.components[:, kept[start:end]]
        text_names = [
            name for name, is_kept in zip(text_names, kept[len(kept) - len(text_names) :], strict=True) if is_kept
        ]
    return Preparation(view, measures, scaler, categories, embeddings, (first_category, first_text), text_names)
