"""Past Optuna studies to learn from, in memory or in a file that grows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages import BaseStorage
from optuna.study import Study, load_study

from autometa.transfer.archive_file import begin_file, connected, forget_source, read_sources, write_source
from autometa.transfer.sources import SourceStudy, source_of

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


class StudyArchive:
    """Past studies to learn from: in memory, or in one SQLite file that grows.

    Parameters
    ----------
    path : str, Path or None, default=None
        File of the archive, made if needed; None keeps it in memory. Several processes may add
        to one file; what others added is seen after `reload`, or the next time it is opened.

    Attributes
    ----------
    sources : tuple of SourceStudy
        The past studies in the order in which they came. A new tuple whenever something changed.

    Raises
    ------
    ArchiveError
        If the file is damaged, locked, not an archive, of a newer layout, or cannot be made.

    Notes
    -----
    An archive holds plain values only (JSON in SQLite), no code: a file from somebody else can
    be opened without running anything of theirs.

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
        self.path = None if path is None else Path(path)
        self._lock = threading.Lock()
        self.sources: tuple[SourceStudy, ...] = ()
        if self.path is not None:
            begin_file(self.path)
            self.reload()

    def __len__(self) -> int:
        return len(self.sources)

    def __repr__(self) -> str:
        place = "in memory" if self.path is None else str(self.path)
        return f"<StudyArchive {place}: {len(self)} studies, {sum(len(s.trials) for s in self.sources)} trials>"

    # Samplers travel to worker processes with their archive; a lock cannot.
    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def add(self, study: Study, name: str | None = None, tags: Mapping[str, str] | None = None) -> None:
        """Add the finished trials of a study; the study is only read.

        Adding a study again brings its entry up to date. Another study of the same name (one
        whose first trial started at another time) is kept beside it as ``"name (2)"``.

        Parameters
        ----------
        study : optuna.Study
            Any study, also one that is still running or has several objectives.
        name : str or None, default=None
            Name in the archive; None takes the study's.
        tags : mapping of str to str or None, default=None
            What to remember of it; None keeps the tags of a study that is known already.

        Raises
        ------
        TypeError
            If `study` or `tags` is something else.
        ArchiveError
            If the study or the archive's file cannot be read or written, or a choice of a
            categorical parameter cannot be written to a file.
        """
        if not isinstance(study, Study):
            raise TypeError(f"study must be an optuna.Study, got {type(study).__name__}.")
        self._keep([(_checked_name(name), source_of(study, name), _checked_tags(tags))])

    def add_storage(
        self, storage: str | BaseStorage, pattern: str = "*", tags: Mapping[str, str] | None = None
    ) -> tuple[str, ...]:
        """Add the studies of a storage whose names match; the storage is only read.

        Parameters
        ----------
        storage : str or optuna.storages.BaseStorage
            URL (``"sqlite:///old.db"``, ``"postgresql://…"``), path of a journal file, or a storage.
        pattern : str, default="*"
            Glob pattern of study names, such as ``"lgbm-*"``; upper and lower case differ.
        tags : mapping of str to str or None, default=None
            For all of them, as in `add`.

        Returns
        -------
        tuple of str
            Names of the studies in the storage that were added.

        Raises
        ------
        ArchiveError
            If the storage is missing, locked, damaged or of another version of Optuna; nothing
            is added then.
        MissingDependencyError
            If the database's driver is not installed.
        """
        from autometa.transfer.storages import opened_storage, reading_storage  # loads SQLAlchemy

        opened = opened_storage(storage)
        checked = _checked_tags(tags)
        with reading_storage(storage):
            names = [found.study_name for found in opened.get_all_studies()]
            chosen = [name for name in names if fnmatchcase(name, pattern)]
            studies = [load_study(study_name=name, storage=opened) for name in chosen]
        self._keep([(None, source_of(study), checked) for study in studies])
        if not chosen:
            logger.warning("No study matches %r; the storage holds %s.", pattern, names[:20] or "none")
        return tuple(chosen)

    def remove(self, name: str) -> None:
        """Forget a past study.

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        with self._lock:
            if name not in {source.name for source in self.sources}:
                raise KeyError(f"The archive has no study {name!r}; it has {[s.name for s in self.sources][:20]}.")
            if self.path is not None:
                with connected(self.path) as connection, connection:
                    forget_source(connection, name)
            self.sources = tuple(source for source in self.sources if source.name != name)

    def select(self, pattern: str = "*", tags: Mapping[str, str] | None = None) -> StudyArchive:
        """Return an archive in memory of the studies whose name matches and that have all of `tags`.

        Parameters
        ----------
        pattern : str, default="*"
            Glob pattern of names.
        tags : mapping of str to str or None, default=None
            Tags that a study must have.
        """
        wanted = _checked_tags(tags) or {}
        chosen = StudyArchive()
        chosen.sources = tuple(
            source
            for source in self.sources
            if fnmatchcase(source.name, pattern) and all(source.tags.get(key) == value for key, value in wanted.items())
        )
        return chosen

    def reload(self) -> None:
        """Read the file again: what other processes have added is seen from here on."""
        if self.path is None:
            return
        with self._lock, connected(self.path) as connection:
            self.sources = tuple(read_sources(connection))

    def report(self, study: Study, names: Mapping[str, str] | None = None) -> pd.DataFrame:
        """Return which past studies match a study, how parameters were aligned, and what is predicted.

        See `autometa.transfer.report.report`.
        """
        from autometa.transfer.report import report  # the report needs the models, which need the archive

        return report(self, study, names)

    def _keep(self, read: Sequence[tuple[str | None, SourceStudy, dict[str, str] | None]]) -> None:
        with self._lock:
            if self.path is None:
                known = {source.name: source for source in self.sources}
                for _, source, tags in read:
                    kept = _placed(source, tags, known)
                    known[kept.name] = kept
                self.sources = tuple(known.values())
                return
            with connected(self.path) as connection:
                with connection:
                    # The lock for writing is taken before reading, so that two writers cannot take one name.
                    connection.execute("BEGIN IMMEDIATE")
                    known = {source.name: source for source in read_sources(connection, with_trials=False)}
                    for _, source, tags in read:
                        kept = _placed(source, tags, known)
                        known[kept.name] = kept
                        write_source(connection, kept)
                self.sources = tuple(read_sources(connection))


def _placed(source: SourceStudy, tags: dict[str, str] | None, known: Mapping[str, SourceStudy]) -> SourceStudy:
    """Return the study under the name that it gets among the known ones."""
    name, number = source.name, 1
    while name in known and known[name].begun != source.begun:
        number += 1
        name = f"{source.name} ({number})"
    if number > 1 and name not in known:
        logger.info("The archive has another study %r; this one is kept as %r.", source.name, name)
    if tags is None:
        tags = dict(known[name].tags) if name in known else {}
    return replace(source, name=name, tags=tags)


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
