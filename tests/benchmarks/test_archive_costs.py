"""The table of what additions to an archive cost, on few past studies."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import archive_costs


@pytest.mark.slow
def test_there_is_a_row_for_each_archive_and_study(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "costs.csv"
    archive_costs.main(["--studies", "10", "--out", str(out)])
    rows = pd.read_csv(out)
    assert list(rows.columns) == list(archive_costs.FIELDS)
    assert rows["archive"].tolist() == ["memory"] * 4 + ["file"] * 4
    assert rows["study"].tolist() == ["memory", "journal"] * 4
    assert (rows["wall_ms"] > 0).all()
    assert "cpu_ms" in capsys.readouterr().out
