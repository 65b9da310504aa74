"""Import optional libraries where they are used."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

from autometa.exceptions import MissingDependencyError


def is_installed(library: str) -> bool:
    """Whether `library` can be imported, without importing it."""
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):
        return False


def import_optional(library: str, *, extra: str) -> ModuleType:
    """Return the module `library`, or say which extra installs it.

    Raises
    ------
    MissingDependencyError
        If the library cannot be imported.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise MissingDependencyError(
            f"{library!r} is needed here and could not be imported ({error}). "
            f'Install it with: pip install "autometa[{extra}]"'
        ) from error


def skops_io() -> ModuleType:
    """Return `skops.io`, imported without torch, which takes seconds.

    skops imports every package of scikit-learn, among them one that imports torch if it is installed.
    """
    name = "sklearn.externals.array_api_compat.torch"
    is_free = name not in sys.modules
    if is_free:
        # Python refuses to import a module whose entry is None, and the walk over packages goes on.
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("skops.io")
    finally:
        if is_free:
            del sys.modules[name]
