"""What the command prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_N_CONFIGURATION_LETTERS = 70


def show(text: str) -> None:
    """Write a result to the standard output."""
    sys.stdout.write(f"{text}\n")


def say(kind: str, text: str) -> None:
    """Write a line about the run to the standard error, where there is one."""
    if sys.stderr is not None:
        sys.stderr.write(f"autometa: {kind}: {text}\n")


def aligned(table: pd.DataFrame, last: str) -> str:
    """Return a table as text whose last column is aligned to the left."""
    formats = {
        "seconds": "{:.1f}",
        "weight": "{:.3f}",
        "probability": "{:.3f}",
        "loss": "{:.5g}",
        "best_loss": "{:.5g}",
    }
    rows = [list(table.columns)]
    for record in table.to_dict("records"):
        row = []
        for name, value in record.items():
            if name == last:
                row.append(_shortened(_configuration(value)))
            elif value is None or value != value:
                row.append("–")
            else:
                row.append(formats.get(str(name), "{}").format(value))
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    is_text = [name in ("strategy", "status") for name in table.columns]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(row, widths, is_text, strict=False)
        ]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines)


def _configuration(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(
        f"{name}={number:.4g}" if isinstance(number, float) else f"{name}={number}" for name, number in value.items()
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _N_CONFIGURATION_LETTERS else text[: _N_CONFIGURATION_LETTERS - 1] + "…"
