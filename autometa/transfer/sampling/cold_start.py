"""Says visibly, once for each study, why it starts without a past."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import Study

from autometa._support.optuna_internals import storage_of, study_id
from autometa._support.user_warnings import warn_user
from autometa.transfer.archive.sources import PastStudies
from autometa.transfer.sampling.past_studies import Learnt

_N_SHOWN = 12


class ColdStarts:
    """Warns of the cold starts of studies, of each study once."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        # By storage and id, because ids of studies repeat in other storages.
        self._said: WeakKeyDictionary[BaseStorage, set[int]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    # A sampler is pickled for worker processes, whose users have not seen the warning.
    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._forget()

    def warn(self, study: Study, cause: str) -> None:
        """Warn that a study starts without a past, unless this was said before."""
        with self._lock:
            said = self._said.setdefault(storage_of(study), set())
            is_said = study_id(study) in said
            said.add(study_id(study))
        if not is_said:
            warn_of_cold_start(study, cause)


def warn_of_cold_start(study: Study, cause: str) -> None:
    """Warn that a study starts without a past."""
    warn_user(
        f"Cold start of {study.study_name!r}: {cause} "
        "Silence this with warnings.filterwarnings('ignore', message='Cold start')."
    )


def cause_without_studies(past: PastStudies) -> str:
    """Return why there are no past studies at all."""
    if past.is_new:
        return (
            f"the archive {past.path} is empty, because this file did not exist and was just made. Look whether the "
            "path is right, or fill the archive with archive.add(study)."
        )
    where = "" if past.path is None else f" {past.path}"
    return f"the archive{where} is empty. Fill it with archive.add(study) or archive.add_storage(storage)."


def cause_of_cold_start(
    past: PastStudies, learnt: Learnt, space: Mapping[str, BaseDistribution], names: Mapping[str, str]
) -> str:
    """Return why nothing was learnt for a space from past studies, "" if something was."""
    if learnt.population is not None:
        return ""
    if not past.sources:
        return cause_without_studies(past)
    if not learnt.sources:
        return (
            f"none of the {len(past.sources)} past studies can be learnt from. A study needs a complete trial and a "
            "single objective."
        )
    if learnt.usable:
        return "what past studies tried says nothing about what is good, so they are not used."
    past_names = sorted({name for source in learnt.sources for name in source.distributions})
    shared = sorted({names.get(name, name) for name in past_names} & space.keys())
    if shared:
        return (
            f"no trial of a past study lies inside the ranges and choices of {_shown(shared)}. archive.report(study) "
            "tells what became of each parameter; choices={'parameter': {'past choice': 'new choice'}} maps renamed "
            "choices."
        )
    return (
        f"it shares no parameter with past studies. It has {_shown(sorted(space))}; they have {_shown(past_names)}. "
        "names={'past name': 'new name'} maps renamed ones."
    )


def cause_of_several_objectives(study: Study) -> str:
    """Return why a study with several objectives has no past."""
    return (
        f"it has {len(study.directions)} objectives, and past studies help with one objective only. Optuna's "
        "TPESampler takes over."
    )


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _N_SHOWN} more" if len(names) > _N_SHOWN else ""
    return ", ".join(map(repr, names[:_N_SHOWN])) + more
