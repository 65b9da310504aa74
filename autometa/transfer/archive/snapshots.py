"""Reads a study as it is now and finds the entry of an archive that it belongs to.

A study keeps its name, its storage and the times at which its trials started. Finished trials never change. So a study
is recognised by its name, and

- by its storage, unless trials of one number started at different times: then the study was deleted and created again;
- in another storage (a copy, or the same database under another address) by a trial of one number that started at the
  same time;
- before any trial has started, by the name alone, if the two storages cannot be compared.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from autometa._support.optuna_internals import storage_of
from autometa.transfer.archive.origins import IN_MEMORY, kind_of, origin_of
from autometa.transfer.archive.sources import Direction, SourceStudy, SourceTrial, merged_distributions

logger = logging.getLogger(__name__)

_INFEASIBLE = create_trial(value=0.0, constraints={"any": 1.0}).system_attrs
_FINISHED = tuple(state for state in TrialState if state.is_finished())


@dataclass(frozen=True)
class StudySnapshot:
    """An Optuna study as it was when it was read.

    Parameters
    ----------
    name : str
        Name in its storage.
    origin : str
        See `autometa.transfer.archive.origins`.
    directions : tuple of "minimize" or "maximize"
        One per objective.
    trials : sequence of FrozenTrial
        All of them, in any state.
    """

    name: str
    origin: str
    directions: tuple[Direction, ...]
    trials: Sequence[FrozenTrial]

    @cached_property
    def finished(self) -> tuple[FrozenTrial, ...]:
        """Its finished trials, by number."""
        return tuple(trial for trial in self.trials if trial.state in _FINISHED)

    @cached_property
    def starts(self) -> dict[int, datetime]:
        """Start times of its trials, by number; waiting trials are absent."""
        return {trial.number: start for trial in self.trials if (start := trial.datetime_start) is not None}


def snapshot_of(study: Study) -> StudySnapshot:
    """Return a study as it is now, without changing it; raises ArchiveError if its storage cannot be read."""
    from autometa.transfer.archive.storages import reading_storage  # loads SQLAlchemy

    with reading_storage(storage_of(study)):
        trials = study.get_trials(deepcopy=False)
        directions = tuple(_direction(direction) for direction in study.directions)
        return StudySnapshot(study.study_name, origin_of(study), directions, trials)


def snapshot_of_source(source: SourceStudy) -> StudySnapshot:
    """Return the entry of an archive as a study, to be entered into another archive."""
    trials = [_frozen(trial, source) for trial in source.trials]
    return StudySnapshot(source.study_name or source.name, source.origin, source.directions, trials)


def with_entries(
    sources: Sequence[SourceStudy],
    read: Sequence[StudySnapshot],
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[SourceStudy]:
    """Return the sources with the entries of the studies that were read; new ones come last."""
    found = list(sources)
    for snapshot in read:
        index, entry = entered(found, snapshot, name, tags)
        found[index : index + 1] = [entry]
    return found


def entered(
    sources: Sequence[SourceStudy], now: StudySnapshot, name: str | None = None, tags: Mapping[str, str] | None = None
) -> tuple[int, SourceStudy]:
    """Return the index of a study in an archive, and its entry with the new trials added.

    None as `name` keeps the name of the entry, or takes that of the study; None as `tags` keeps those of the entry. The
    index is ``len(sources)`` for an unknown study. The entry is the known object itself if nothing has changed.
    """
    index = _index_of(sources, now, name or now.name)
    known = sources[index] if index < len(sources) else None
    taken = {source.name for source in sources if source is not known}
    if known is None:
        known = SourceStudy(_free(name or now.name, taken), {}, now.directions, {}, ())
    elif name is not None and not _is_numbered(known.name, name):
        known = replace(known, name=_free(name, taken))
    return index, _grown(known, now, known.tags if tags is None else tags)


def _grown(known: SourceStudy, now: StudySnapshot, tags: Mapping[str, str]) -> SourceStudy:
    """Return an entry with new and changed trials; trials that the study no longer has are kept."""
    trials = {trial.number: trial for trial in known.trials}
    new = [
        trial
        for trial in now.finished
        if (before := trials.get(trial.number)) is None
        or before.started != trial.datetime_start
        or not _has_same_results(before, trial)
    ]
    about: dict[str, Any] = {
        "tags": dict(tags),
        "begun": min(now.starts.values(), default=None) if known.begun is None else known.begun,
        "study_name": now.name,
        # The first storage counts: one study may be read by several addresses.
        "origin": known.origin if known.origin and known.trials else now.origin,
    }
    is_same = all(value == getattr(known, key) for key, value in about.items())
    if new:
        trials |= {trial.number: _source_trial(trial) for trial in new}
        about["trials"] = tuple(trials[number] for number in sorted(trials))
        about["distributions"] = merged_distributions([known.distributions, *(t.distributions for t in new)])
    return known if is_same and not new else replace(known, **about)


def _index_of(sources: Sequence[SourceStudy], now: StudySnapshot, name: str) -> int:
    """Return the index of a study's entry, ``len(sources)`` if there is none."""
    candidates = []
    for index, source in enumerate(sources):
        if source.study_name not in (None, now.name) or source.directions != now.directions:
            continue
        agrees = _agrees(source, now)
        is_there = source.origin == now.origin != ""
        if agrees is not False and (agrees or is_there or _may_become(source, now, name)):
            candidates.append((not agrees, not is_there, not _is_numbered(source.name, name), index))
    return min(candidates)[-1] if candidates else len(sources)


def _agrees(known: SourceStudy, now: StudySnapshot) -> bool | None:
    """Whether the start times of trials identify a study with the known one; None if they do not tell."""
    starts = now.starts
    is_found = False
    for trial in known.trials:
        start = starts.get(trial.number)
        if start is not None and trial.started is not None:
            if start != trial.started:
                return False
            is_found = True
    if is_found:
        return True
    # No trial is finished, or the archive has the earlier layout with one time per study.
    has_equal_results = _has_equal_results(known, now)
    if known.begun is not None and starts:
        return known.begun in starts.values() and has_equal_results is not False
    return None if known.origin and has_equal_results else has_equal_results


def _has_equal_results(known: SourceStudy, now: StudySnapshot) -> bool | None:
    """Whether trials that are finished in both have equal results; None if there are none."""
    finished = {trial.number: trial for trial in now.finished}
    found = [_has_same_results(trial, finished[trial.number]) for trial in known.trials if trial.number in finished]
    return all(found) if found else None


def _may_become(known: SourceStudy, now: StudySnapshot, name: str) -> bool:
    """Whether an entry without trials may be of a study that is stored elsewhere."""
    if known.trials or known.begun is not None:
        return False
    if known.study_name is None and not _is_numbered(known.name, name):
        return False
    kinds = kind_of(known.origin), kind_of(now.origin)
    return not all(kinds) or (kinds[0] != kinds[1] and IN_MEMORY not in kinds)


def _has_same_results(known: SourceTrial, now: FrozenTrial) -> bool:
    params, values = now.params, _values(now)
    return (
        known.state == now.state
        # NaN may be a choice. It does not equal itself; its text does.
        and (known.params == params or repr(known.params) == repr(params))
        and (known.values == values or repr(known.values) == repr(values))
    )


def _source_trial(trial: FrozenTrial) -> SourceTrial:
    return SourceTrial(
        trial.number,
        trial.state,
        dict(trial.params),
        _values(trial),
        {int(step): float(value) for step, value in sorted(trial.intermediate_values.items())},
        all(value <= 0 for value in trial.constraints.values()),
        trial.datetime_start,
    )


def _frozen(trial: SourceTrial, source: SourceStudy) -> FrozenTrial:
    return FrozenTrial(
        trial.number,
        trial.state,
        None,
        trial.started,
        None,
        dict(trial.params),
        {name: source.distributions[name] for name in trial.params},
        {},
        {} if trial.feasible else _INFEASIBLE,
        dict(trial.intermediate),
        trial.number,
        values=trial.values,
    )


def _values(trial: FrozenTrial) -> tuple[float, ...] | None:
    values = trial.values if trial.state == TrialState.COMPLETE else None
    return None if values is None else tuple(map(float, values))


def _direction(direction: StudyDirection) -> Direction:
    return "maximize" if direction == StudyDirection.MAXIMIZE else "minimize"


def _is_numbered(name: str, base: str) -> bool:
    """Whether a name is `base` with or without a number, such as "churn" or "churn (2)"."""
    number = name[len(base) + 2 : -1]
    return name == base or (name == f"{base} ({number})" and number.isdecimal())


def _free(name: str, taken: set[str]) -> str:
    """Return a name that is not taken, with a number if necessary."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    if number > 1:
        logger.info("The archive has another study %r; this one is kept as %r.", name, free)
    return free
