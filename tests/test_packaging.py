"""What is needed for a release agrees with the code."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import autometa

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_version_stands_in_one_place_and_the_citation_agrees() -> None:
    assert tomllib.loads(_text("pyproject.toml"))["project"]["dynamic"] == ["version"]
    assert f"\nversion: {autometa.__version__}\n" in _text("CITATION.cff")


def test_the_list_of_floors_is_that_of_the_project() -> None:
    floors = runpy.run_path(str(ROOT / "packaging" / "floors.py"))["floors"]()
    assert [line for line in _text("packaging/oldest.txt").splitlines() if not line.startswith("#")] == floors
    assert len(floors) > 20


def test_the_workflow_runs_the_targets_of_the_makefile_that_the_local_check_runs() -> None:
    targets = set(re.findall(r"^([a-z-]+):", _text("Makefile"), flags=re.MULTILINE))
    local = set(re.findall(r"\bmake ([a-z-]+)", _text(".ci/run")))
    public = set(re.findall(r"\bmake ([a-z-]+)", WORKFLOW.read_text(encoding="utf-8")))
    assert local <= public <= targets
    assert {"check", "test", "release-check"} <= local


def test_the_workflow_tries_every_python_that_the_project_names() -> None:
    named = set(re.findall(r"Python :: (3\.\d+)", _text("pyproject.toml")))
    tried = set(re.findall(r'"(3\.\d+)"', WORKFLOW.read_text(encoding="utf-8")))
    assert named <= tried


def test_every_shipped_file_of_data_is_described_with_its_licence() -> None:
    datasheet = _text("datasets/README.md")
    assert "Licence: BSD-3-Clause" in datasheet
    for file in ("metadataset.npz", "sources.csv", "tasks.txt"):
        assert file in datasheet
