"""Import optional libraries where they are used."""

from __future__ import annotations

import importlib
import importlib.util
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
