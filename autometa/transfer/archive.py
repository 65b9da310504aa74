"""Past Optuna studies: their spaces, trials and learning curves, in memory or in a file that grows."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection, load_study
from optuna.trial import FrozenTrial, TrialState

from autometa.exceptions import ArchiveError

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

Direction = Literal["minimize", "maximize"]

_LAYOUT = 1
_APPLICATION = 0x6D657461  # "meta": tells an archive from other SQLite files
_LOCK_WAIT_S = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS studies
    (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, begun TEXT, tags TEXT, directions TEXT, distributions TEXT);
CREATE TABLE IF NOT EXISTS trials
    (study INTEGER, number INTEGER, state TEXT, params TEXT, objectives TEXT, intermediate TEXT, feasible INTEGER,
     PRIMARY KEY (study, number)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class SourceTrial:
    """A finished trial of a past study.

    Parameters
    ----------
    number : int
        Its number in its study.
    state : optuna.trial.TrialState
        ``COMPLETE``, ``PRUNED`` or ``FAIL``.
    params : mapping of str to value
        As the objective saw them; a conditional parameter that was not asked for is absent.
    values : tuple of float or None
        One per objective, in the study's directions; None unless complete.
    intermediate : mapping of int to float
        Learning curve: reported values by step, in the order of the steps; may hold NaN or infinity.
    feasible : bool
        Whether all constraints that were set hold.
    """

    number: int
    state: TrialState
    params: Mapping[str, Any]
    values: tuple[float, ...] | None
    intermediate: Mapping[int, float] = field(default_factory=dict)
    feasible: bool = True


@dataclass(frozen=True)
class SourceStudy:
    """A past study.

    Parameters
    ----------
    name : str
        Unique in its archive.
    tags : mapping of str to str
        What the user said of it.
    directions : tuple of "minimize" or "maximize"
        One per objective.
    distributions : mapping of str to optuna.distributions.BaseDistribution
        Every parameter of any of its trials; where a range changed, the widest.
    trials : tuple of SourceTrial
        Its finished trials, by number.
    begun : str
        When its first trial started (ISO 8601), "" if unknown: tells studies of one name apart.
    """

    name: str
    tags: Mapping[str, str]
    directions: tuple[Direction, ...]
    distributions: Mapping[str, BaseDistribution]
    trials: tuple[SourceTrial, ...]
    begun: str = ""


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
            self._begin(self.path)
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
        self._keep([(_checked_name(name), _read(study, name), _checked_tags(tags))])

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
        self._keep([(None, _read(study, None), checked) for study in studies])
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
                with _connected(self.path) as connection, connection:
                    _forget(connection, name)
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
        with self._lock, _connected(self.path) as connection:
            self.sources = tuple(_sources(connection))

    def report(self, study: Study, names: Mapping[str, str] | None = None) -> pd.DataFrame:
        """Return which past studies match a study, how parameters were aligned, and what is predicted.

        See `autometa.transfer.report.report`.
        """
        from autometa.transfer.report import report  # the report needs the models, which need the archive

        return report(self, study, names)

    def _begin(self, path: Path) -> None:
        if not path.parent.is_dir():
            raise ArchiveError(f"The archive {path} cannot be made: there is no folder {path.parent}. Make it first.")
        if path.is_dir():
            raise ArchiveError(f"The archive {path} is a folder; give the name of a file in it, such as 'studies.db'.")
        with _connected(path, check=False) as connection:
            if connection.execute("PRAGMA application_id").fetchone() == (_APPLICATION,):
                return
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables:
                hint = f" It looks like a storage of Optuna: add_storage('sqlite:///{path}') reads it."
                raise ArchiveError(
                    f"{path} is an SQLite file, but no archive of studies; it was left as it is."
                    f"{hint if 'alembic_version' in tables else ''} Give the archive a file of its own."
                )
            with connection:
                connection.executescript(
                    f"BEGIN; {_SCHEMA} PRAGMA user_version = {_LAYOUT}; PRAGMA application_id = {_APPLICATION}; COMMIT"
                )

    def _keep(self, read: Sequence[tuple[str | None, SourceStudy, dict[str, str] | None]]) -> None:
        with self._lock:
            if self.path is None:
                known = {source.name: source for source in self.sources}
                for _, source, tags in read:
                    kept = _placed(source, tags, known)
                    known[kept.name] = kept
                self.sources = tuple(known.values())
                return
            with _connected(self.path) as connection:
                with connection:
                    # The lock for writing is taken before reading, so that two writers cannot take one name.
                    connection.execute("BEGIN IMMEDIATE")
                    known = {source.name: source for source in _sources(connection, with_trials=False)}
                    for _, source, tags in read:
                        kept = _placed(source, tags, known)
                        known[kept.name] = kept
                        _write(connection, kept)
                self.sources = tuple(_sources(connection))


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


# ---- from Optuna ------------------------------------------------------------------------------------------------


def _read(study: Study, name: str | None) -> SourceStudy:
    from autometa.transfer.storages import reading_storage  # loads SQLAlchemy

    with reading_storage(f"study {study.study_name!r}"):
        trials = study.get_trials(deepcopy=False)
        directions = tuple(_direction(direction) for direction in study.directions)
    finished = [trial for trial in trials if trial.state.is_finished()]
    begun = next((trial.datetime_start.isoformat() for trial in trials if trial.datetime_start is not None), "")
    return SourceStudy(
        name or study.study_name,
        {},
        directions,
        merged_distributions(trial.distributions for trial in finished),
        tuple(_source_trial(trial) for trial in finished),
        begun,
    )


def _direction(direction: StudyDirection) -> Direction:
    return "maximize" if direction == StudyDirection.MAXIMIZE else "minimize"


def _source_trial(trial: FrozenTrial) -> SourceTrial:
    is_complete = trial.state == TrialState.COMPLETE
    return SourceTrial(
        trial.number,
        trial.state,
        dict(trial.params),
        tuple(float(value) for value in trial.values) if is_complete and trial.values is not None else None,
        {int(step): float(value) for step, value in sorted(trial.intermediate_values.items())},
        all(value <= 0 for value in trial.constraints.values()),
    )


def merged_distributions(found: Iterable[Mapping[str, BaseDistribution]]) -> dict[str, BaseDistribution]:
    """Return one distribution for each parameter: the widest range and all choices of those that are alike.

    Where the kind or the scale of a parameter changed, the latest counts.
    """
    merged: dict[str, BaseDistribution] = {}
    for distributions in found:
        for name, distribution in distributions.items():
            before = merged.get(name)
            if before is None or before != distribution:
                merged[name] = _wider(before, distribution)
    return merged


def _wider(before: BaseDistribution | None, latest: BaseDistribution) -> BaseDistribution:
    match before, latest:
        case CategoricalDistribution(), CategoricalDistribution():
            choices = [*before.choices, *(choice for choice in latest.choices if choice not in before.choices)]
            return CategoricalDistribution(choices)
        case FloatDistribution(), FloatDistribution() if before.log == latest.log:
            step = latest.step if before.step == latest.step else None
            low, high = min(before.low, latest.low), max(before.high, latest.high)
            return FloatDistribution(low, high, log=latest.log, step=step)
        case IntDistribution(), IntDistribution() if before.log == latest.log:
            step = latest.step if before.step == latest.step else 1
            low, high = min(before.low, latest.low), max(before.high, latest.high)
            return IntDistribution(low, high, log=latest.log, step=step)
        # Rebuilt, so that the deprecated classes of old studies (UniformDistribution, …) end here.
        case _, FloatDistribution():
            return FloatDistribution(latest.low, latest.high, log=latest.log, step=latest.step)
        case _, IntDistribution():
            return IntDistribution(latest.low, latest.high, log=latest.log, step=latest.step)
    return latest


# ---- the file ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _connected(path: Path, check: bool = True) -> Iterator[sqlite3.Connection]:
    """Give a connection to an archive's file; a connection per use, because threads must not share one."""
    try:
        # Transactions are begun by hand.
        with contextlib.closing(sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None)) as connection:
            if check:
                _check(path, connection)
            yield connection
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise ArchiveError(
                f"The archive {path} is locked: another process has been writing to it for {_LOCK_WAIT_S:g} s. "
                "Try again when it is done. Nothing was changed."
            ) from error
        raise ArchiveError(f"The archive {path} cannot be read or written ({error}). Nothing was changed.") from error
    except sqlite3.DatabaseError as error:
        raise ArchiveError(
            f"The archive {path} is damaged, or no archive ({error}). It was left as it is: put a copy back, or "
            "begin another file."
        ) from error


def _check(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise ArchiveError(f"{path} is no archive of studies any more: it was replaced or emptied. Open it anew.")
    if layout > _LAYOUT:
        raise ArchiveError(
            f"The archive {path} has layout {layout}, and this autometa knows layouts up to {_LAYOUT}. Upgrade "
            "autometa, or begin another file."
        )


def _sources(connection: sqlite3.Connection, with_trials: bool = True) -> Iterator[SourceStudy]:
    trials: dict[int, list[SourceTrial]] = {}
    studies = connection.execute(
        "SELECT id, name, begun, tags, directions, distributions FROM studies ORDER BY id"
    ).fetchall()
    try:
        if with_trials:
            query = (
                "SELECT study, number, state, params, objectives, intermediate, feasible FROM trials "
                "ORDER BY study, number"
            )
            for study, number, state, params, objectives, intermediate, feasible in connection.execute(query):
                values = json.loads(objectives)
                trials.setdefault(study, []).append(
                    SourceTrial(
                        number,
                        TrialState[state],
                        {name: _hashable(value) for name, value in json.loads(params).items()},
                        None if values is None else tuple(values),
                        {int(step): value for step, value in json.loads(intermediate).items()},
                        bool(feasible),
                    )
                )
        for identity, name, begun, tags, directions, distributions in studies:
            yield SourceStudy(
                name,
                json.loads(tags),
                tuple(json.loads(directions)),
                {key: _distribution(text) for key, text in json.loads(distributions).items()},
                tuple(trials.get(identity, ())),
                begun,
            )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise sqlite3.DatabaseError(f"a row cannot be read: {error}") from error


def _write(connection: sqlite3.Connection, source: SourceStudy) -> None:
    try:
        distributions = json.dumps({name: distribution_to_json(d) for name, d in source.distributions.items()})
        rows = [
            (
                trial.number,
                trial.state.name,
                json.dumps(dict(trial.params)),
                json.dumps(trial.values),
                json.dumps(dict(trial.intermediate)),
                int(trial.feasible),
            )
            for trial in source.trials
        ]
    except TypeError as error:
        raise ArchiveError(
            f"Study {source.name!r} has a categorical choice that cannot be written to a file ({error}). Use None, "
            "bool, int, float or str as choices, or keep the archive in memory: StudyArchive()."
        ) from error
    about = (source.begun, json.dumps(dict(source.tags)), json.dumps(source.directions), distributions)
    # The place among the studies stays that of the first time, so that an update changes no order.
    known = connection.execute("SELECT id FROM studies WHERE name = ?", (source.name,)).fetchone()
    if known is None:
        query = "INSERT INTO studies (begun, tags, directions, distributions, name) VALUES (?, ?, ?, ?, ?)"
        identity = connection.execute(query, (*about, source.name)).lastrowid
    else:
        (identity,) = known
        query = "UPDATE studies SET begun = ?, tags = ?, directions = ?, distributions = ? WHERE id = ?"
        connection.execute(query, (*about, identity))
        connection.execute("DELETE FROM trials WHERE study = ?", (identity,))
    connection.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?)", [(identity, *row) for row in rows])


def _forget(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM trials WHERE study IN (SELECT id FROM studies WHERE name = ?)", (name,))
    connection.execute("DELETE FROM studies WHERE name = ?", (name,))


def _distribution(text: str) -> BaseDistribution:
    found = json_to_distribution(text)
    if isinstance(found, CategoricalDistribution):
        return CategoricalDistribution([_hashable(choice) for choice in found.choices])
    return found


def _hashable(value: Any) -> Any:
    # JSON knows no tuples; a choice that was one comes back as what it was.
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value
