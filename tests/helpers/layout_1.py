"""Records in layout 1, as files of earlier versions hold them, and what they said there.

Layout 1 had no columns `progress` and `machine_speed`. Its `anchor` was the fraction of the
iterations for the points along a fit, which have no seconds of their own, else that of the rows.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

STATUSES = ("ok", "timeout", "memory", "failed")
METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
LOSSES = {
    "binary": ("roc_auc", "log_loss", "balanced_accuracy"),
    "multiclass": ("log_loss", "balanced_accuracy", "accuracy"),
    "regression": ("rmse", "mae", "r2"),
}
LOSS_COLUMNS = tuple(f"loss_{m}" for m in dict.fromkeys(m for metrics in LOSSES.values() for m in metrics))
COSTS = ("fit_s", "predict_s", "fit_cpu_s", "predict_cpu_s", "memory_mb")
COLUMNS = {
    "task": object,
    "configuration": object,
    "anchor": np.float32,
    "n_iterations": np.int32,
    "fold": np.int16,
    "seed": np.int32,
    **dict.fromkeys((*LOSS_COLUMNS, *COSTS), np.float32),
    "status": object,
    "error": object,
}
Tables = dict[str, pd.DataFrame]


def made_up(seed: int) -> Tables:
    """Return tables with curves over rows and over iterations, folds of different lengths, gaps and failures."""
    rng = np.random.default_rng(seed)
    problems = {"t0": "binary", "t1": "multiclass", "t2": "regression", "t3": "binary"}
    rows: list[dict[str, Any]] = []
    for task, problem in problems.items():
        for configuration in ("boosting-0", "boosting-1", "forest-0", "forest-1"):
            for fold in range(3):
                points = _boosting(rng) if configuration.startswith("boosting") else _forest(rng)
                for point in points:
                    losses = {f"loss_{metric}": rng.random() for metric in LOSSES[problem]}
                    row = {"task": task, "configuration": configuration, "fold": fold, "seed": 0, "status": "ok"}
                    rows.append({**row, "error": "", **losses, **point})
    evaluations = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    failed = evaluations["status"] != "ok"
    evaluations.loc[failed, list(LOSS_COLUMNS)] = np.nan
    configurations = pd.DataFrame({"configuration": ["boosting-0", "boosting-1", "forest-0", "forest-1"]})
    return {
        "tasks": pd.DataFrame({"task": list(problems), "problem": list(problems.values()), "family": list(problems)})
        .assign(n_rows=90, n_columns=4, n_classes=[2, 3, 0, 2], n_rows_used=90)
        .assign(log_rows=np.log(90.0), target_skew=[np.nan, np.nan, 0.5, np.nan]),
        "configurations": configurations.assign(
            strategy=configurations["configuration"].str.split("-").str[0],
            position=[0, 1, 0, 1],
            origin=["default", "sample"] * 2,
            parameters=['{"x": 0}', '{"x": 1}'] * 2,
        ),
        "evaluations": evaluations.sample(frac=1, random_state=seed, ignore_index=True).astype(COLUMNS),
    }


def _costs(rng: np.random.Generator) -> dict[str, float]:
    return {name: float(rng.random()) for name in COSTS}


def _boosting(rng: np.random.Generator) -> list[dict[str, Any]]:
    if rng.random() < 0.1:
        return [{"anchor": 1.0, "n_iterations": 0, "status": "timeout", "error": "killed", "fit_s": 60.0}]
    last = int(rng.integers(2, 40))
    points = [{"anchor": 2**k / last, "n_iterations": 2**k} for k in range(6) if 2**k < last]
    # A fit of its own on a part of the rows has seconds.
    on_a_quarter = {"anchor": 1 / 4, "n_iterations": 50, **_costs(rng)}
    return [on_a_quarter, *points, {"anchor": 1.0, "n_iterations": last, **_costs(rng)}]


def _forest(rng: np.random.Generator) -> list[dict[str, Any]]:
    anchors = [1 / 16, 1 / 4, 1.0]
    points = [{"anchor": anchor, "n_iterations": 0, **_costs(rng)} for anchor in anchors]
    if rng.random() < 0.2:
        n_points = int(rng.integers(1, 4))
        points = points[:n_points]
        points[-1] |= {"status": str(rng.choice(STATUSES[1:])), "error": "no"}
    return points


# ------------------------------------------------------------------------------------------------------ files


def write_npz(tables: Tables, file: Path) -> Path:
    """Write the file of arrays that layout 1 was shipped in."""
    arrays = {"manifest": np.array(json.dumps({"schema_version": 1, "licence": "CC0"}))}
    for table, frame in tables.items():
        for column, values in frame.items():
            if pd.api.types.is_numeric_dtype(values):
                arrays[f"{table}/{column}"] = values.to_numpy()
            else:
                coded = values.astype("category").cat
                arrays[f"{table}/{column}"] = coded.codes.to_numpy()
                arrays[f"{table}/{column}/texts"] = np.array(json.dumps(coded.categories.tolist()))
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file


def write_folder(tables: Tables, folder: Path) -> Path:
    """Write the folder of Parquet files of layout 1."""
    folder.mkdir()
    lines = ["schema_version = 1", 'licence = "CC0"']
    for table, frame in tables.items():
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        (folder / f"{table}.parquet").write_bytes(buffer.getvalue())
        checksum = hashlib.sha256(buffer.getvalue()).hexdigest()
        lines += [f"[files.{table}]", f'name = "{table}.parquet"', f'sha256 = "{checksum}"', f"rows = {len(frame)}"]
    (folder / "manifest.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def read_npz(file: Path) -> Tables:
    """Return the tables of a file as plain columns, by nothing but NumPy."""
    tables: Tables = {}
    with np.load(file, allow_pickle=False) as arrays:
        for name in arrays.files:
            table, column, *rest = name.split("/") if "/" in name else ("", "", "manifest")
            if not rest:
                values = arrays[name]
                if f"{name}/texts" in arrays.files:
                    values = np.array(json.loads(str(arrays[f"{name}/texts"])), dtype=object)[values]
                tables.setdefault(table, pd.DataFrame()).insert(0, column, values)
    return tables


# -------------------------------------------------------------------------------- what layout 1 said, the slow way


def matrix(tables: Tables, column: str | None = None, anchor: float = 1.0) -> dict[tuple[str, str], float]:
    """Return the mean of a column in each cell that has one; None is the loss, which counts where all ended well.

    Anchors below 1 are fractions of the rows: points along a fit are not looked at.
    """
    metric_of = dict(zip(tables["tasks"]["task"], tables["tasks"]["problem"].map(METRICS), strict=True))
    cells: dict[tuple[str, str], list[float]] = {}
    spoilt = set()
    for row in tables["evaluations"].to_dict("records"):
        cell = row["task"], row["configuration"]
        is_here = row["anchor"] == np.float32(anchor) and not _is_along_a_fit(row)
        if (is_here and row["status"] != "ok") or (row["anchor"] < anchor and row["status"] in ("timeout", "memory")):
            spoilt.add(cell)
        if is_here:
            value = row[column or f"loss_{metric_of[row['task']]}"]
            cells.setdefault(cell, []).extend([] if np.isnan(value) else [value])
    return {cell: float(np.mean(values)) for cell, values in cells.items() if values and (column or cell not in spoilt)}


def _is_along_a_fit(row: dict[str, Any]) -> bool:
    return bool(row["anchor"] < 1 and row["n_iterations"] > 0 and np.isnan(row["fit_s"]))


def curve(tables: Tables, task: str, configuration: str) -> list[tuple[float, float, float, int]]:
    """Return anchor, iterations, loss and evaluations of each point, in the order of iterations, then of rows."""
    problem = tables["tasks"].set_index("task")["problem"][task]
    points: dict[tuple[bool, int, float], list[tuple[float, float, float]]] = {}
    evaluations = tables["evaluations"]
    here = evaluations[(evaluations["task"] == task) & (evaluations["configuration"] == configuration)]
    for row in here.to_dict("records"):
        rows_key = row["anchor"] == 1, 2**31, row["anchor"]
        key = (True, row["n_iterations"], 0.0) if _is_along_a_fit(row) else rows_key
        if row["status"] == "ok":
            point = row["anchor"], row["n_iterations"], row[f"loss_{METRICS[problem]}"]
            points.setdefault(key, []).append(point)
    return [(*np.mean(found, axis=0).tolist(), len(found)) for _, found in sorted(points.items())]
