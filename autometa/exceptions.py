"""Defines the errors that a caller may want to catch; all others are ValueError or TypeError."""
# Tests: tests/test_persistence.py
# Tests: tests/test_catalogue.py

from __future__ import annotations


class AutometaError(Exception):
    """Base class of autometa's own errors."""


class CatalogueError(AutometaError, ValueError):
    """A strategy file could not be read, or its content is invalid."""


class MissingDependencyError(AutometaError, ImportError):
    """An optional library that is needed is not installed."""


class SearchFailedError(AutometaError, RuntimeError):
    """The search ended without a usable model."""


class PersistenceError(AutometaError, ValueError):
    """A saved model could not be written or read, or holds types that are not trusted."""


class MetaDatasetError(AutometaError, ValueError):
    """The files of a meta-dataset could not be read or written."""


class PolicyError(AutometaError, ValueError):
    """The files of a trained policy could not be read or written, or do not fit the strategies."""


class ArchiveError(AutometaError, ValueError):
    """An archive of past studies, or a storage to be added to it, could not be read or written."""


class DivergenceError(AutometaError, ArithmeticError):
    """A training on a few examples, or the meta-training around it, diverged."""


class MetaWeightsError(AutometaError, ValueError):
    """The files of meta-learned weights could not be read or written."""
