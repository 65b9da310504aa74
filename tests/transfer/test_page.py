from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "transfer.md"


@pytest.mark.slow
def test_page_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 4
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert "no transfer" in printed and "lr" in printed
    assert (tmp_path / "studies.db").is_file()
