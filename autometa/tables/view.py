"""Names of the two forms in which learners get a table."""

# Tests: tests/tables/test_preparation.py

from __future__ import annotations

from typing import Literal

View = Literal["tree", "numeric"]
"""Form of a prepared table.

``"tree"``
    float32 columns; categories are codes 0, 1, 2 … and missing values are NaN.
``"numeric"``
    float32 columns, all finite: imputed, one-hot encoded, scaled to about unit variance.
"""
