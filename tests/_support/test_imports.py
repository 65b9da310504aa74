from __future__ import annotations

import json

import pytest

from autometa._support.imports import import_optional, is_installed
from autometa.exceptions import MissingDependencyError


def test_installed_libraries_are_told_from_others():
    assert is_installed("json")
    assert not is_installed("no_such_library") and not is_installed("no_such_library.part")


def test_a_library_that_is_there_is_imported():
    assert import_optional("json", extra="any") is json


def test_the_extra_that_installs_a_missing_library_is_named():
    with pytest.raises(
        MissingDependencyError, match=r"'no_such_library' is needed here.*pip install \"autometa\[plots\]\""
    ):
        import_optional("no_such_library", extra="plots")
