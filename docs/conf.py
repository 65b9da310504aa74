"""Settings of the site; `make docs` builds it from the pages of the repository."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import autometa  # noqa: E402

project = "autometa"
author = "The autometa developers"
version = release = autometa.__version__

root_doc = "docs/index"
# Pages stay where they are in the repository, so their links work there and here.
include_patterns = ["docs/**", "benchmarks/*.md", "datasets/README.md", "*.md"]
exclude_patterns = ["docs/build/**"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections name the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
html_theme = "furo"
html_title = f"autometa {release}"
html_math_renderer = "mathml"
# Links to folders and to source files of the repository have no page here.
suppress_warnings = ["myst.xref_missing"]


def _mathml(translator: Any, node: nodes.Node, display: str) -> None:
    translator.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Render formulas as MathML, which browsers show without a network."""
    app.add_html_math_renderer(
        "mathml",
        (lambda translator, node: _mathml(translator, node, "inline"), None),
        (lambda translator, node: _mathml(translator, node, "block"), None),
    )
