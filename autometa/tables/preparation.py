"""Turn cleaned rows into the arrays that learners fit on; fitted on the training rows of one fold.

Both views start from the same measured columns and the same embeddings of texts. The tree view adds
category codes and keeps missing values; the numeric view imputes them, scales, and writes categories as 0/1 columns.
"""

from __future__ import annotations

import numpy as np

from autometa.tables.clean_table import CleanTable
from autometa.tables.column_kind import Encoder
from autometa.tables.kinds import KINDS
from autometa.tables.measures import Measures
from autometa.tables.scaling import Scaler
from autometa.tables.view import View

_MAX_CELLS = 2**27
"""By default a prepared table has at most this many cells (512 MiB)."""


class Preparation:
    """A fitted transformation of cleaned rows to one view.

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

    def __init__(self, view: View, measures: Measures, scaler: Scaler | None, encoders: dict[str, Encoder]) -> None:
        self.view = view
        self._measures = measures
        self._scaler = scaler
        self._encoders = encoders
        measured = measures.names if scaler is None else scaler.names
        self._n_measured = len(measured)
        self.names = [*measured, *(name for encoder in encoders.values() for name in encoder.names)]
        self.n_categories = np.zeros(len(self.names), dtype=np.int64)
        self.n_categories[self._n_measured :] = np.concatenate([encoder.sizes for encoder in encoders.values()])
        if not self.names:
            # Nothing varies in these rows; learners still need a column.
            self.names, self.n_categories = ["nothing"], np.zeros(1, dtype=np.int64)
        self.categorical = self.n_categories > 0

    def transform(self, table: CleanTable) -> np.ndarray:
        """Return the prepared rows, C-contiguous float32 of shape (n_rows, n_features)."""
        out = np.zeros((len(table), len(self.names)), dtype=np.float32)
        end = self._n_measured
        values = self._measures.transform(table)
        if self._scaler is None:
            out[:, :end] = values
        else:
            self._scaler.write(values, out[:, :end])
        for field, encoder in self._encoders.items():
            start, end = end, end + len(encoder.names)
            encoder.write(table.blocks[field], out[:, start:end])
        return out


def most_cells(table: CleanTable) -> int:
    """Return about how many cells the rows have in the numeric view, the wider one, at most."""
    n_columns = sum(kind.most_columns(table.schema) for kind in KINDS)
    return min(max(1, n_columns) * len(table), max(_MAX_CELLS, len(table)))


def fit_preparation(table: CleanTable, view: View, seed: int, max_features: int | None = None) -> Preparation:
    """Return a preparation learnt from training rows.

    Quantiles and text embeddings are learnt on samples drawn with `seed`. At most `max_features` columns are
    prepared, by default as many as make 512 MiB with these rows: columns with the most missing values and the
    0/1 columns of the rarest levels are left out.
    """
    if max_features is None:
        max_features = max(1, _MAX_CELLS // max(1, len(table)))
    scale_rng, encoder_rng = (np.random.default_rng([seed, stream]) for stream in (0, 1))
    measures = Measures(table, view)
    scaler = Scaler(measures.transform(table), measures.names, scale_rng) if view == "numeric" else None
    encoders: dict[str, Encoder] = {}
    for kind in KINDS:
        encoder = kind.fit_encoder(table.blocks[kind.field], table.schema, view, encoder_rng)
        if encoder is not None:
            encoders[kind.field] = encoder
    measured = measures if scaler is None else scaler
    worth = np.concatenate(
        [measures.present if scaler is None else scaler.worth, *(encoder.worth for encoder in encoders.values())]
    )
    if len(worth) > max_features:
        kept = np.zeros(len(worth), dtype=bool)
        kept[np.argsort(-worth, kind="stable")[:max_features]] = True
        end = 0
        for part in (measured, *encoders.values()):
            start, end = end, end + len(part.names)
            part.keep(kept[start:end])
    return Preparation(view, measures, scaler, encoders)
