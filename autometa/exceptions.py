"""Errors that a caller may want to catch; everything else is a ValueError or TypeError."""

from __future__ import annotations


class AutometaError(Exception):
    """Base class of autometa's own errors."""


class CatalogueError(AutometaError, ValueError):
    """A strategy file could not be read, or says something impossible."""


class MissingDependencyError(AutometaError, ImportError):
    """A library that only some features need is not installed."""


class SearchFailedError(AutometaError, RuntimeError):
    """The budget ended without one usable model."""


class PersistenceError(AutometaError, ValueError):
    """A saved model could not be read, or asks for types that are not trusted."""


class MetaDatasetError(AutometaError, ValueError):
    """The files of a meta-dataset could not be read or written."""


class PolicyError(AutometaError, ValueError):
    """The files of a trained policy could not be read or written, or do not fit the strategies."""


class ArchiveError(AutometaError, ValueError):
    """An archive of past studies, or a storage to be added to it, could not be read or written."""


class DivergenceError(AutometaError, ArithmeticError):
    """A training on a few examples, or the meta-training around it, left the finite numbers or exploded."""


class MetaWeightsError(AutometaError, ValueError):
    """The files of meta-learned weights could not be read or written."""
