"""StudyArchive: past Optuna studies to learn from, in memory or in a file that grows."""

from __future__ import annotations

import logging
import operator
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import Study, load_study

from autometa.exceptions import ArchiveError
from autometa.transfer.archive.accepted import past_studies, with_sources
from autometa.transfer.archive.archive_file import (
    Content,
    begin_file,
    read_content,
    reading,
    remove_source,
    write_sources,
    writing,
)
from autometa.transfer.archive.snapshots import StudySnapshot, snapshot_of, with_entries
from autometa.transfer.archive.sources import PastStudies, SourceStudy, index_of

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


class StudyArchive(PastStudies):
    """Past studies to learn from: in memory, or in one SQLite file that grows.

    Parameters
    ----------
    path : str, Path or None, default=None
        File of the archive, created if needed; None keeps it in memory. Several processes may add
        to one file; additions of others are seen after `reload`, or the next time it is opened.

    Attributes
    ----------
    sources : tuple of SourceStudy
        The past studies in the order in which they were added. It is a new tuple whenever something has changed.

    Raises
    ------
    TypeError
        If `path` is neither a path nor None.
    ArchiveError
        If the file is damaged, locked, not an archive, of a newer layout, or cannot be created.

    Notes
    -----
    An archive is iterated over its `sources`; ``archive["name"]`` and ``archive[0]`` return one of them,
    ``"name" in archive`` and ``len(archive)`` do what they say.

    A study has one entry, however often and from wherever it is added: it is recognised by its name,
    its storage and the times at which its trials started. A study that was deleted and created again,
    or a copy that was continued separately, has an entry of its own.

    A file of an earlier version is read as it is, and gets the present layout with the first change;
    earlier versions then refuse it.

    An archive holds plain values only (JSON in SQLite): opening a file from somebody else runs no
    code of theirs.

    Examples
    --------
    >>> import optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(study_name="old")
    >>> study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=3)
    >>> archive = StudyArchive()
    >>> archive.add(study, tags={"model": "square"})
    >>> [(source.name, len(source.trials)) for source in archive.sources]
    [('old', 3)]
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = _checked_path(path)
        self._lock = threading.Lock()
        self._content = Content()
        if self.path is not None:
            self.is_new = begin_file(self.path)
            self.reload()

    # Samplers are pickled for worker processes with their archive; a lock cannot be.
    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def add(self, study: Study, name: str | None = None, tags: Mapping[str, str] | None = None) -> None:
        """Add the finished trials of a study; the study is only read.

        Adding a study again updates its entry, at the cost of the new trials only: it may be done
        after every trial. Trials that the study no longer has are kept. Another study of the same
        name is kept as ``"name (2)"``.

        Parameters
        ----------
        study : optuna.Study
            Any study; it may have no trials yet, still be running, or have several objectives.
        name : str or None, default=None
            Name in the archive; None takes the study's, or keeps the name of a known study. A known
            study with another name is renamed.
        tags : mapping of str to str or None, default=None
            Labels of the study; None keeps the tags of a known study.

        Raises
        ------
        TypeError
            If `study` or `tags` has another type.
        ArchiveError
            If the study or the archive's file cannot be read or written, or a categorical choice
            cannot be written to a file.
        """
        if not isinstance(study, Study):
            raise TypeError(f"study must be an optuna.Study, got {type(study).__name__}.")
        checked_name, checked_tags = _checked_name(name), _checked_tags(tags)
        self._enter([snapshot_of(study)], checked_name, checked_tags)

    def add_storage(
        self, storage: str | BaseStorage, pattern: str = "*", tags: Mapping[str, str] | None = None
    ) -> tuple[str, ...]:
        """Add the studies of a storage whose names match; the storage is only read.

        Parameters
        ----------
        storage : str or optuna.storages.BaseStorage
            URL (``"sqlite:///old.db"``, ``"postgresql://…"``), path of a journal file, or a storage.
        pattern : str, default="*"
            Glob pattern of study names, such as ``"lgbm-*"``; case-sensitive.
        tags : mapping of str to str or None, default=None
            Tags for all of them, as in `add`.

        Returns
        -------
        tuple of str
            Names of the studies in the storage that were added.

        Raises
        ------
        ArchiveError
            If the storage is missing, unreachable, locked, damaged, of another version of Optuna or no
            storage of Optuna; then nothing is added.
        MissingDependencyError
            If the driver of the database is not installed.
        """
        from autometa.transfer.archive.storages import opened_storage, reading_storage  # loads SQLAlchemy

        opened = opened_storage(storage)
        checked = _checked_tags(tags)
        with reading_storage(storage):
            names = [found.study_name for found in opened.get_all_studies()]
            chosen = [name for name in names if fnmatchcase(name, pattern)]
            studies = [load_study(study_name=name, storage=opened) for name in chosen]
        self._enter([snapshot_of(study) for study in studies], None, checked)
        if not chosen:
            logger.warning("No study matches %r; the storage holds %s.", pattern, names[:20] or "none")
        return tuple(chosen)

    def add_table(
        self,
        table: pd.DataFrame | str | os.PathLike[str],
        name: str,
        *,
        value: str = "value",
        direction: Literal["minimize", "maximize"] = "minimize",
        space: Mapping[str, BaseDistribution] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add trials from a table as a study with one objective.

        Parameters
        ----------
        table : DataFrame, str or Path
            A row per trial, or the path of a CSV file of them. Columns ``params_<name>``, as in Optuna's
            ``trials_dataframe``, are the parameters; if there are none, all columns but that of the values.
            Empty cells are parameters that a trial did not have. Trials without a value count as failed.
        name : str
            Name of the study.
        value : str, default="value"
            Column of the objective's values.
        direction : {"minimize", "maximize"}, default="minimize"
            Which values are better.
        space : mapping of str to BaseDistribution or None, default=None
            Ranges and choices of parameters. Others are taken from the table: from the smallest to the
            largest number, logarithmic if they are positive and span a factor of 1,000, or the distinct values.
        tags : mapping of str to str or None, default=None
            Labels of the study.

        Raises
        ------
        TypeError
            If `table`, `name` or `tags` has another type.
        ValueError
            If a column is missing or empty, or a value is outside `space`.
        """
        from autometa.transfer.archive.trial_tables import table_snapshot  # loads pandas

        checked_tags = _checked_tags(tags)
        if _checked_name(name) is None:
            raise TypeError("name must be the name of the study, got None.")
        self._enter([table_snapshot(table, name, value, direction, dict(space or {}))], None, checked_tags)

    def merge(self, other: Any) -> None:
        """Add the studies of another archive, which is only read; a study that both have gets the trials of both.

        `other` may also be a study, a storage or its URL, a file, or a list of them.
        """
        added = past_studies(other).sources
        self._change(lambda sources: with_sources(sources, added))

    def rename(self, name: str, new: str) -> None:
        """Rename a past study; raises KeyError if there is none of that name, ValueError if `new` is taken."""
        if _checked_name(new) is None:
            raise TypeError("new must be the new name, got None.")
        if new != name and new in self:
            raise ValueError(f"The archive has a study {new!r} already. Give another name, or remove that study first.")
        self._replace(name, name=new)

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Replace the tags of a past study; raises KeyError if there is none of that name."""
        self._replace(name, tags=_checked_tags(tags) or {})

    def remove(self, name: str) -> None:
        """Remove a past study; raises KeyError if there is none of that name."""
        with self._lock:
            if self.path is None:
                index = index_of(name, self.sources)
                self.sources = (*self.sources[:index], *self.sources[index + 1 :])
                return
            with writing(self.path) as connection:
                content = read_content(connection, self._content)
                row = list(content.sources)[index_of(name, content.sources.values())]
                content = remove_source(connection, content, row)
            self._publish(content)

    def trials_dataframe(self) -> pd.DataFrame:
        """Return a row per trial: its study, number, state, values, start and, as ``params_<name>``, its parameters."""
        from autometa.transfer.archive.trial_tables import trials_frame  # loads pandas

        return trials_frame(self.sources)

    def select(self, pattern: str = "*", tags: Mapping[str, str] | None = None) -> StudyArchive:
        """Return an archive in memory of the studies whose name matches the glob `pattern` and that have all `tags`."""
        wanted = _checked_tags(tags) or {}
        chosen = StudyArchive()
        chosen.sources = tuple(
            source
            for source in self.sources
            if fnmatchcase(source.name, pattern) and wanted.items() <= source.tags.items()
        )
        return chosen

    def reload(self) -> None:
        """Read the file again, with what other processes have added."""
        if self.path is None:
            return
        with self._lock:
            with reading(self.path) as connection:
                content = read_content(connection, self._content)
            self._publish(content)

    def report(
        self,
        study: Study,
        names: Mapping[str, str] | None = None,
        choices: Mapping[str, Mapping[Any, Any]] | None = None,
    ) -> pd.DataFrame:
        """Return which past studies match a study, how parameters were aligned, and what is predicted.

        See `autometa.transfer.sampling.report.report`.
        """
        from autometa.transfer.sampling.report import report  # loads SciPy

        return report(self, study, names, choices)

    def _enter(self, read: Sequence[StudySnapshot], name: str | None, tags: Mapping[str, str] | None) -> None:
        self._change(lambda sources: with_entries(sources, read, name, tags))

    def _replace(self, known: str, **fields: Any) -> None:
        def changed(sources: tuple[SourceStudy, ...]) -> list[SourceStudy]:
            index = index_of(known, sources)
            return [*sources[:index], replace(sources[index], **fields), *sources[index + 1 :]]

        self._change(changed)

    def _change(self, changed: Callable[[tuple[SourceStudy, ...]], list[SourceStudy]]) -> None:
        """Replace the sources by what a function makes of them: each at its index, and new ones behind."""
        with self._lock:
            if self.path is None:
                sources = changed(self.sources)
                if any(map(operator.is_not, sources, self.sources)) or len(sources) > len(self.sources):
                    self.sources = tuple(sources)
                return
            with writing(self.path) as connection:
                content = read_content(connection, self._content)
                content = write_sources(connection, content, changed(tuple(content.sources.values())))
            self._publish(content)

    def _publish(self, content: Content) -> None:
        # Samplers learn again from a new tuple, so there is one only if something has changed.
        if content is not self._content:
            self._content, self.sources = content, tuple(content.sources.values())


def _checked_path(path: str | os.PathLike[str] | None) -> Path | None:
    if path is None:
        return None
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"path must be the path of the archive's file or None, got {type(path).__name__}. Studies are added with "
            "add(study), storages with add_storage(storage)."
        )
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"path must be a text or a Path, got {text!r}.")
    if re.match(r"[A-Za-z][\w+.-]+:/", text):
        raise ArchiveError(_about_url(text))
    if text == ":memory:":
        raise ArchiveError("StudyArchive() without a path keeps an archive in memory; ':memory:' is no file.")
    try:
        is_name = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise ArchiveError(f"{text!r} cannot be the name of a file. Give another path.")
    # Absolute, so that it stays the same file when the working directory changes.
    return Path(text).absolute()


def _about_url(url: str) -> str:
    from autometa.transfer.archive.storages import shown_url  # loads SQLAlchemy

    shown = shown_url(url)
    path = re.sub("^sqlite[^:]*:/{0,3}", "", url) if url.startswith("sqlite") else "studies.db"
    return (
        f"{shown!r} is a URL, and an archive is a file of its own, named by its path: StudyArchive({path!r}). The "
        f"studies of a storage of Optuna are added to an archive: archive.add_storage({shown!r})."
    )


def _checked_name(name: str | None) -> str | None:
    if name is not None and (not isinstance(name, str) or not name):
        raise TypeError(f"name must be a text that is not empty, or None, got {name!r}.")
    return name


def _checked_tags(tags: Mapping[str, str] | None) -> dict[str, str] | None:
    if tags is None:
        return None
    if not isinstance(tags, Mapping) or not all(isinstance(t, str) for item in tags.items() for t in item):
        raise TypeError(f"tags must map texts to texts, such as {{'model': 'lgbm'}}, got {tags!r}.")
    return dict(tags)
