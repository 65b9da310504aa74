"""Tables of the corpus as arrays for networks, prepared once and stored in a folder.

Each table has at most `MOST_ROWS` rows: 60% for training, 20% for early stopping and 20% for testing, drawn by the name
of the task and a seed, stratified by class. The preparation is fitted on the training rows alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from autometa._support.seeds import child_seed
from autometa.core.task import Problem
from autometa.learners.base import FitData
from autometa.tables.cleaning import clean, fit_schema
from autometa.tables.preparation import fit_preparation
from benchmarks.corpus import load_table

logger = logging.getLogger(__name__)

MOST_ROWS = 2000
MOST_FEATURES = 512
_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class TableTask:
    """One prepared table.

    Parameters
    ----------
    name : str
        Its task id.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    n_classes : int
        Number of classes among the training rows; 0 for regression.
    X, y : dict of str to ndarray
        Arrays by part: ``train``, ``val`` and ``test``.
    """

    name: str
    problem: Problem
    n_classes: int
    X: dict[str, np.ndarray]
    y: dict[str, np.ndarray]

    def fit_data(self, seed: int = 0, validated: bool = True) -> FitData:
        """Return the data for the fit of a learner."""
        none = np.zeros(self.X["train"].shape[1], dtype=np.int64)
        aside = {"X_val": self.X["val"], "y_val": self.y["val"]} if validated else {}
        metric = "rmse" if self.problem == "regression" else "log_loss"
        return FitData(
            self.X["train"],
            self.y["train"],
            self.problem,
            self.n_classes,
            none.astype(bool),
            none,
            metric=metric,
            seed=seed,
            keep_stages=True,
            **aside,  # type: ignore[arg-type]
        )


def table_task(corpus: Path, cache: Path, name: str, split: int = 0) -> TableTask:
    """Return a prepared table, from the cache if possible; `split` is the seed of its rows."""
    file = cache / (f"{name}-{split}.npz" if split else f"{name}.npz")
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        with new.open("wb") as handle:
            np.savez(handle, **_prepare(corpus, name, split))
        new.replace(file)
    with np.load(file, allow_pickle=False) as arrays:
        X, y = ({part: arrays[f"{kind}_{part}"] for part in _PARTS} for kind in "Xy")
        return TableTask(name, str(arrays["problem"]), int(arrays["n_classes"]), X, y)  # type: ignore[arg-type]


def _prepare(corpus: Path, name: str, split: int) -> dict[str, np.ndarray]:
    frame, target, problem = load_table(corpus, name)
    rng = np.random.default_rng(child_seed(split, "rows", name))
    known = np.flatnonzero(target.notna().to_numpy())
    rows = rng.permutation(known)[:MOST_ROWS]
    target = target.iloc[rows]
    parts = _split(target, problem, rng)
    if problem == "regression":
        codes, n_classes = target.to_numpy(dtype=np.float64), 0
    else:
        texts = target.astype(str).to_numpy()
        seen = np.unique(texts[parts["train"]])
        codes, n_classes = np.searchsorted(seen, texts), len(seen)
        for part in ("val", "test"):
            parts[part] = parts[part][np.isin(texts[parts[part]], seen)]
    frame = frame.iloc[rows].reset_index(drop=True)
    frame.columns = [str(column) for column in frame.columns]
    train = frame.iloc[parts["train"]].reset_index(drop=True)
    schema = fit_schema(train)
    preparation = fit_preparation(clean(train, schema), "numeric", seed=0, max_features=MOST_FEATURES)
    arrays = {"problem": np.array(problem), "n_classes": np.array(n_classes)}
    for part, places in parts.items():
        rows = frame.iloc[places].reset_index(drop=True)
        arrays[f"X_{part}"] = preparation.transform(clean(rows, schema))
        arrays[f"y_{part}"] = codes[places].astype(np.float64 if problem == "regression" else np.int64)
    return arrays


def _split(target: pd.Series, problem: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the row indices of each part; training has three fifths of every class, and at least one row."""
    groups = np.zeros(len(target), dtype=np.int64)
    if problem != "regression":
        groups = np.unique(target.astype(str).to_numpy(), return_inverse=True)[1]
    parts: dict[str, list[np.ndarray]] = {part: [] for part in _PARTS}
    for group in np.unique(groups):
        places = rng.permutation(np.flatnonzero(groups == group))
        n_train = max(1, round(0.6 * len(places)))
        n_val = (len(places) - n_train + int(rng.integers(2))) // 2
        for part, some in zip(_PARTS, np.split(places, [n_train, n_train + n_val]), strict=True):
            parts[part].append(some)
    return {part: np.sort(np.concatenate(some)) for part, some in parts.items()}


def prepare_all(corpus: Path, cache: Path, names: list[str]) -> list[str]:
    """Return the names of the tables that could be prepared, using the cache."""
    ready = []
    for name in names:
        try:
            table_task(corpus, cache, name)
        except Exception as error:  # a table that cannot be prepared must not end a long run
            logger.warning("%s is left out: %s", name, error)
        else:
            ready.append(name)
    return ready
