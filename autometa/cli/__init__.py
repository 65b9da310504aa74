"""The ``autometa`` command: fit a table from a file, predict, report; collect records, train and assess policies."""

# Only light modules are imported here, so that `autometa --help` answers at once.
from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import autometa
from autometa.cli import fits, records
from autometa.cli.printing import say
from autometa.exceptions import AutometaError, SearchFailedError

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130
"""Exit codes for bad input, for a search without a model, and after Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        0, or 2 for bad input, 1 when the search found no model, 130 after Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            arguments.run(arguments)
            sys.stdout.flush()
        except KeyboardInterrupt as interrupt:
            say("error", str(interrupt) or "interrupted")
            return INTERRUPTED
        except BrokenPipeError:
            # The reader closed the pipe. Standard output is redirected, so that nothing fails at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (AutometaError, ValueError, TypeError, OSError, MemoryError) as error:
            if getattr(arguments, "verbose", 0):
                traceback.print_exc()
            say("error", " ".join(str(error).split("\n")) or type(error).__name__)
            return FAILED if isinstance(error, (SearchFailedError, MemoryError)) else BAD_INPUT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autometa", description="Find, fit and combine models for a table within a time budget."
    )
    parser.add_argument("--version", action="version", version=f"autometa {autometa.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    fits.add_commands(commands)
    records.add_commands(commands)
    return parser


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    say("warning", str(message))
