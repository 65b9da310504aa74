"""The footprint of a fit is measured in fresh processes, and reported with medians."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.footprint import FIELDS, lightgbm, load, measure, report


def _corpus(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 3)), columns=list("abc"))
    frame["kind"] = rng.choice(["x", "y"], 80)
    frame.assign(target=frame["a"]).to_parquet(folder / "numbers.parquet")
    pd.DataFrame({"task_id": ["numbers"], "problem": "regression", "target": "target"}).to_csv(
        folder / "tasks.csv", index=False
    )
    return folder


def test_a_fit_is_saved_loaded_and_timed(tmp_path: Path) -> None:
    corpus, file = _corpus(tmp_path), tmp_path / "model.autometa"
    found = measure(str(corpus), "numbers", 3.0, 0, str(file))
    assert found["model_mb"] == file.stat().st_size / 1e6
    assert found["n_models"] >= 1
    assert 0 < found["row_p50_ms"] <= found["row_p95_ms"]
    assert load(str(file))["load_s"] > 0
    assert lightgbm(str(corpus), "numbers")["lightgbm_1000_s"] > 0
    assert set(found) <= set(FIELDS)


def test_the_report_has_medians_and_names_failures() -> None:
    rows = [{"task": name, "peak_mb": mb, "error": error} for name, mb, error in (("a", 1.0, ""), ("b", 3.0, "no"))]
    text = report(pd.DataFrame(rows, columns=FIELDS))
    assert "2.0" in text.split("median")[1]
    assert "1 of 2 failed" in text and "b: no" in text
