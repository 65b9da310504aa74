"""Reads past studies from what a user may give instead of an archive: studies, storages, files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import Study, load_study

from autometa.exceptions import ArchiveError
from autometa.transfer.archive.archive_file import Content, is_archive_file, read_content, reading
from autometa.transfer.archive.snapshots import snapshot_of, snapshot_of_source, with_entries
from autometa.transfer.archive.sources import PastStudies, SourceStudy

_SINGLE = (PastStudies, Study, BaseStorage, str, os.PathLike)


def is_past(source: Any) -> bool:
    """Whether an object stands for past studies."""
    if isinstance(source, (list, tuple)):
        return bool(source) and all(isinstance(part, _SINGLE) for part in source)
    return isinstance(source, _SINGLE)


def past_studies(source: Any) -> PastStudies:
    """Return past studies: an archive as it is, and others as they are now.

    Parameters
    ----------
    source : StudyArchive, optuna.Study, optuna.storages.BaseStorage, str, Path, or a list of them
        A text is the URL of a storage, the path of an archive, or the path of a journal file.

    Raises
    ------
    TypeError
        If it is something else.
    ArchiveError
        If a file or a storage is missing or cannot be read.
    """
    if isinstance(source, PastStudies):
        return source
    if not is_past(source) and not (isinstance(source, (list, tuple)) and not source):
        kinds = sorted({type(part).__name__ for part in source}) if isinstance(source, (list, tuple)) else []
        raise TypeError(
            f"archive must be a StudyArchive, a study, a storage or its URL, a file, or a list of them, got "
            f"{type(source).__name__}{' of ' + ', '.join(kinds) if kinds else ''}. Make an archive with "
            "StudyArchive(), or StudyArchive('studies.db') for a file, and fill it with archive.add(study)."
        )
    found: list[SourceStudy] = []
    for part in source if isinstance(source, (list, tuple)) else [source]:
        found = _with(found, part)
    past = PastStudies()
    past.sources = tuple(found)
    return past


def _with(found: list[SourceStudy], part: Any) -> list[SourceStudy]:
    if isinstance(part, Study):
        return with_entries(found, [snapshot_of(part)])
    if isinstance(part, (str, os.PathLike)) and "://" not in os.fspath(part):
        path = Path(os.fspath(part))
        if not path.is_file():
            raise ArchiveError(
                f"There is no file {path}. Give the path of an archive or of a journal, or the URL of a storage such "
                "as 'sqlite:///old.db'. StudyArchive(path) makes a new archive."
            )
        if is_archive_file(path):
            with reading(path) as connection:
                part = PastStudies()
                part.sources = tuple(read_content(connection, Content()).sources.values())
    if isinstance(part, PastStudies):
        return with_sources(found, part.sources)
    from autometa.transfer.archive.storages import opened_storage, reading_storage  # loads SQLAlchemy

    opened = opened_storage(part)
    with reading_storage(part):
        studies = [load_study(study_name=s.study_name, storage=opened) for s in opened.get_all_studies()]
    return with_entries(found, [snapshot_of(study) for study in studies])


def with_sources(found: Sequence[SourceStudy], added: Sequence[SourceStudy]) -> list[SourceStudy]:
    """Return sources with those of another archive; a study that both have gets the trials of both."""
    merged = list(found)
    for source in added:
        snapshot = snapshot_of_source(source)
        with_it = with_entries(merged, [snapshot])
        if len(with_it) > len(merged):
            with_it = with_entries(merged, [snapshot], source.name, source.tags)
        merged = with_it
    return merged
