"""Print results, messages and tables of the command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_N_CONFIGURATION_LETTERS = 70

_FORMATS = {"seconds": "{:.1f}", "weight": "{:.3f}", "probability": "{:.3f}", "loss": "{:.5g}", "best_loss": "{:.5g}"}
_FORMATS |= dict.fromkeys(("score", "low", "high"), "{:.5g}")


def show(text: str) -> None:
    """Write a result to the standard output."""
    sys.stdout.write(f"{text}\n")


def say(kind: str, text: str) -> None:
    """Write a line about the run to the standard error, where there is one."""
    if sys.stderr is not None:
        sys.stderr.write(f"autometa: {kind}: {text}\n")


def aligned(table: pd.DataFrame, last: str) -> str:
    """Return a table as text; its last column, which is called `last`, and columns of text are aligned to the left."""
    import pandas as pd

    cells = {}
    for name, values in table.items():
        column = [str(name), *(_cell(str(name), value, is_long=name == last) for value in values)]
        width = max(map(len, column)) if name in ("strategy", "status", last) else 0
        cells[name] = [f" {cell.ljust(width)}" for cell in column]
    # The names are a row of the table, as pandas aligns all names of columns to one side.
    text = pd.DataFrame(cells).to_string(index=False, header=False)
    return "\n".join(line.rstrip()[1:] for line in text.splitlines())


def _cell(name: str, value: Any, *, is_long: bool) -> str:
    if is_long:
        text = _configuration_text(value)
        return text if len(text) <= _N_CONFIGURATION_LETTERS else text[: _N_CONFIGURATION_LETTERS - 1] + "…"
    return "–" if value is None or value != value else _FORMATS.get(name, "{}").format(value)


def _configuration_text(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(
        f"{name}={number:.4g}" if isinstance(number, float) else f"{name}={number}" for name, number in value.items()
    )
