from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autometa import AutoMeta, load
from autometa.exceptions import MissingDependencyError

QUICK: dict[str, Any] = {"n_trials": 2, "random_state": 0, "n_jobs": 1, "progress": False}
NASTY = '<script>alert("x")</script> & $a_b$ "quoted"'
KINDS = ["binary", "multiclass", "regression", "constant", "text", "holdout"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "br", "img", "link", "input", "hr"}


def data_of(kind: str, n_rows: int = 120) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n_rows, 3)), columns=[NASTY, "b", "c"])
    X["left out"] = 1
    y = X[NASTY] + 0.3 * rng.normal(size=n_rows)
    if kind == "binary":
        return X, np.where(y > 0, NASTY, "no")
    if kind == "multiclass":
        return X, np.array([NASTY, "_b", "c"])[np.digitize(y, [-0.5, 0.5])]
    if kind == "constant":
        return X, np.ones(n_rows)
    if kind == "text":
        X["words"] = [f"some words number {i} of a longer text" for i in rng.integers(0, 60, n_rows)]
    return X, y


def fitted(kind: str) -> AutoMeta:
    X, y = data_of(kind)
    is_numbers = kind in ("regression", "constant", "text", "holdout")
    cv = [(np.arange(80), np.arange(80, 120))] if kind == "holdout" else None
    strategies = ["ridge"] if is_numbers else ["logistic_regression"]
    problem = "regression" if is_numbers else kind
    return AutoMeta(problem, strategies=strategies, cv=cv, **QUICK).fit(X, y)


@pytest.fixture(scope="module")
def models() -> dict[str, AutoMeta]:
    return {kind: fitted(kind) for kind in KINDS if kind != "constant"}


class Page(HTMLParser):
    """What the tests ask of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def check(page: Page) -> None:
    """Check that a page loads nothing, and can be read by everybody."""
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "iframe", "object", "embed"} & set(names)
    for _, attributes in page.tags:
        for name, value in attributes.items():
            if name in ("href", "xlink:href", "src"):
                assert value and value.startswith(("#", "data:image/png;base64,")), value
            assert not name.startswith("on")
    levels = [int(tag[1]) for tag in names if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [value for _, a in page.tags for name, value in a.items() if name in ("href", "xlink:href")]
    targets = {link[1:] for link in links if link and link.startswith("#")}
    assert targets <= set(ids)
    assert all(a.get("aria-label") and a.get("role") == "img" for tag, a in page.tags if tag == "svg")
    assert names.count("table") == names.count("caption") == names.count("thead")
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    assert ("html", {"lang": "en"}) in page.tags and "main" in names and "title" in names


@pytest.mark.parametrize("kind", KINDS)
def test_page_is_one_file_that_everybody_can_read(kind, models, tmp_path):
    if kind == "constant":
        with pytest.warns(UserWarning, match="in every row"):
            model = fitted(kind)
    else:
        model = models[kind]
    path = model.report_html(tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    check(page)
    assert "<script" not in text and "http-equiv" in text
    assert len(text) < 1_000_000
    if kind in ("binary", "multiclass"):
        assert NASTY in page.text  # the letters, not the element
        assert all(name in page.text for name in ("ROC curve", "Reliability", "Confusion matrix"))
    if kind == "constant":
        assert "no figures on the quality" in page.text


def test_columns_left_out_and_leaks_are_shown(tmp_path):
    X, y = data_of("binary")
    X["other name"] = y
    with pytest.warns(UserWarning, match="X holds the target"):
        model = AutoMeta("binary", strategies=["logistic_regression"], **QUICK).fit(X, y)
    page = Page(model.report_html(tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Possible leak: y can be told one to one from 'other name'" in page.text
    assert "constant" in page.text


def test_given_rows_are_what_the_score_is_of(models, tmp_path):
    model = models["regression"]
    X, y = data_of("regression")
    text = Page(model.report_html(tmp_path / "report.html", X, y).read_text(encoding="utf-8")).text
    assert "on 120 given rows" in text and "out-of-fold rows" not in text
    assert f"{model.evaluate(X, y).iloc[0]['score']:.5g}" in text


def test_columns_that_come_as_another_kind_are_shown_and_warned_of(models, tmp_path):
    X, y = data_of("regression")
    X["b"] = pd.Timestamp("2024-01-01")
    with pytest.warns(UserWarning, match="'b'"):
        path = models["regression"].report_html(tmp_path / "report.html", X, y)
    assert "The given rows differ from those of fit" in path.read_text(encoding="utf-8")


def test_model_from_a_file_has_a_page_without_out_of_fold_figures(models, tmp_path):
    model = load(models["binary"].save(tmp_path / "model.autometa"))
    page = Page(model.report_html(tmp_path / "report.html").read_text(encoding="utf-8"))
    check(page)
    assert "a model from a file does not keep its out-of-fold predictions" in page.text
    assert "ROC" not in page.text and "Search and ensemble" in page.text
    assert model.history_.ensemble_curve
    check(Page(model.report_html(tmp_path / "rows.html", *data_of("binary")).read_text(encoding="utf-8")))


def test_page_that_cannot_be_written_leaves_nothing_and_says_why(models, tmp_path, monkeypatch):
    model = models["regression"]
    with pytest.raises(FileNotFoundError, match="create it first"):
        model.report_html(tmp_path / "absent" / "report.html")
    with pytest.raises(IsADirectoryError, match="must name a file"):
        model.report_html(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="cannot be written to"):
        model.report_html(tmp_path / "report.html")
    monkeypatch.undo()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "report.html").write_text("before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device.*untouched"):
        model.report_html(tmp_path / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "before"


def test_missing_matplotlib_names_the_extra(models, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "autometa\[plots\]"'):
        models["regression"].report_html(tmp_path / "report.html")


def test_settings_of_matplotlib_stay_as_they_are(models, tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    models["regression"].report_html(tmp_path / "report.html")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.slow
def test_browser_shows_the_page_without_scrolling_sideways(models, tmp_path):
    """The page is laid out as on a phone: in a frame of 390 pixels of a page that says how wide its content is."""
    report = models["multiclass"].report_html(tmp_path / "report.html")
    frame = (
        '<iframe id="f" style="width:390px;height:800px;border:0" src="report.html"></iframe><p id="o"></p><script>'
        "f.onload=()=>{const d=f.contentDocument.documentElement;"
        "o.textContent=`${d.scrollWidth} of ${d.clientWidth}, ${d.querySelectorAll('svg').length} figures`}</script>"
    )
    outer = tmp_path / "outer.html"
    outer.write_text(frame)
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--allow-file-access-from-files", "--virtual-time-budget=5000"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", outer.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    n_figures = report.read_text(encoding="utf-8").count("<svg")
    assert n_figures >= 6
    found = re.search(r"(\d+) of (\d+), (\d+) figures", dom)
    assert found is not None, dom
    assert found[1] == found[2]  # a vertical bar may take some of the 390
    assert int(found[3]) == n_figures
