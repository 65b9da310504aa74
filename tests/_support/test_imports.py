from __future__ import annotations

import json
import subprocess
import sys

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


def test_skops_is_imported_without_torch_and_torch_can_be_imported_afterwards() -> None:
    pytest.importorskip("torch")
    program = (
        "import sys\n"
        "from autometa._support.imports import skops_io\n"
        "skops_io().dumps\n"
        "assert 'torch' not in sys.modules\n"
        "import torch, sklearn.externals.array_api_compat.torch\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
