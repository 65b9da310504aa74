"""The help of the command says what the code does."""

from __future__ import annotations

import argparse
import re
from typing import Any

import pytest

from autometa import AutoMeta
from autometa.cli import _parser, fits
from autometa.parameters import DEFAULT_TIME_BUDGET_S


def _commands() -> dict[str, argparse.ArgumentParser]:
    actions = [action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(actions[0].choices)


def _options() -> list[tuple[str, argparse.Action]]:
    return [
        (name, action)
        for name, parser in _commands().items()
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction)
    ]


def _shown(command: str, action: argparse.Action) -> str:
    """Return the help of one option as it is printed."""
    formatter = _commands()[command].formatter_class("autometa", width=10_000)
    return " ".join(formatter._expand_help(action).split()) if action.help else ""


def _default(command: str, action: argparse.Action) -> Any:
    if command == "fit":
        return AutoMeta().get_params().get(action.dest)
    return None if action.default is argparse.SUPPRESS else action.default


_IDS = [f"{command} {'/'.join(action.option_strings) or action.dest}" for command, action in _options()]


@pytest.mark.parametrize(("command", "action"), _options(), ids=_IDS)
def test_every_option_says_its_default(command: str, action: argparse.Action) -> None:
    default, shown = _default(command, action), _shown(command, action)
    is_flag = action.nargs == 0 and not isinstance(action, argparse.BooleanOptionalAction)
    if default is None or isinstance(default, (bool, tuple)) or is_flag:
        # None stands for words, such as "by rows and budget"; a value would be made up.
        assert not re.search(r"default: [\d\[]", shown) or action.dest == "time_budget"
    else:
        value = f"{default:g}" if isinstance(default, float) else str(default)
        assert re.search(rf"default: {re.escape(value)}(?![\w.])", shown)


@pytest.mark.parametrize(("command", "action"), _options(), ids=_IDS)
def test_no_default_is_written_by_hand(command: str, action: argparse.Action) -> None:
    by_hand = re.findall(r"default: ([^;]*)", action.help or "")
    assert all(text.startswith("%(default)") for text in by_hand) or _default(command, action) is None


def test_the_help_follows_the_estimator(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Changed:
        def __init__(self, policy: str = "oracle", ensemble_size: int = 7, time_budget: float | None = 123.0) -> None:
            pass

    monkeypatch.setattr("autometa.estimators.AutoMeta", Changed)
    fits._estimator_defaults.cache_clear()
    try:
        shown = " ".join(_commands()["fit"].format_help().split())
    finally:
        fits._estimator_defaults.cache_clear()
    for expected in ("default: oracle", "default: 7", "default: 123"):
        assert expected in shown


def test_a_budget_left_out_is_said_in_seconds() -> None:
    action = next(action for command, action in _options() if command == "fit" and action.dest == "time_budget")
    assert f"default: {DEFAULT_TIME_BUDGET_S:g}, or no limit with --n-trials" in _shown("fit", action)


def test_every_option_is_explained() -> None:
    assert all(action.help for _, action in _options())
