"""The id columns of a table file, which are not learnt from and which predictions keep."""

# Tests: tests/test_cli.py

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autometa.cli.printing import say

if TYPE_CHECKING:
    import pandas as pd

    from autometa import AutoMeta


def id_columns(model: AutoMeta, asked: Sequence[str]) -> list[str]:
    """Return the id columns of a model: those of `--id` now and in the fit, and those that the fit left out as ids."""
    return list(dict.fromkeys([*asked, *model._roles.get("id", ()), *model._schema.identifiers]))


def with_ids(result: pd.DataFrame, table: pd.DataFrame, model: AutoMeta, asked: Sequence[str]) -> pd.DataFrame:
    """Add the id columns of the rows to predictions, in front; warn of those that cannot be added."""
    kept: list[str] = []
    for name in id_columns(model, asked):
        if name in result.columns:
            say("warning", f"the id column {name!r} has the name of a column of the result and is left out: rename it.")
        elif name in table.columns:
            kept.append(name)
        elif name in model._roles.get("id", ()):
            say("warning", f"the table has no column {name!r}, which is an id by the --id of the fit.")
    for position, name in enumerate(kept):
        result.insert(position, name, table[name].array)  # by position: the table may have an index of its own
    return result
