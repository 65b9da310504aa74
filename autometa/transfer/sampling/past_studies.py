"""Learns from past studies for one space: chooses studies, aligns them, and fits their common population."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from autometa._support.numeric_threads import one_blas_thread
from autometa._support.seeds import child_seed
from autometa._support.user_warnings import warn_user
from autometa.transfer.archive.sources import SourceStudy, merged_distributions
from autometa.transfer.sampling.outcomes import behind_complete
from autometa.transfer.sampling.past_values import PastValues
from autometa.transfer.sampling.population import Population, encoding_of, fitted_population
from autometa.transfer.sampling.respacing import moved_population
from autometa.transfer.space.alignment import AlignedStudy, align_all
from autometa.transfer.space.encoding import Encoding

logger = logging.getLogger(__name__)

_N_CACHED = 8
_MAX_STUDIES = 64  # more take longer and hardly change mean and covariance
_MAX_NOISE = 2.0  # noise / variance of the function; about 0.1 in studies of real problems, 5 with shuffled losses


@dataclass(frozen=True)
class Learnt:
    """Knowledge from past studies for one space.

    Parameters
    ----------
    encoding : Encoding
        The space, with the parameters that may come in addition by past studies.
    sources : tuple of SourceStudy
        The past studies that were considered, see `chosen_sources`.
    studies : tuple of AlignedStudy
        Each of them in the space.
    usable : tuple of AlignedStudy
        Those that were learnt from.
    population : Population or None
        Their population; None if nothing was learnt.
    is_moved : bool
        Whether it was learnt in another space, see `autometa.transfer.sampling.respacing`.
    """

    encoding: Encoding
    sources: tuple[SourceStudy, ...]
    studies: tuple[AlignedStudy, ...]
    usable: tuple[AlignedStudy, ...]
    population: Population | None
    is_moved: bool = False

    @cached_property
    def is_changed(self) -> bool:
        """Whether the space is conditional, or differs from that of a past study in more than names."""
        notes = (note for study in self.usable for note in study.notes)
        return bool(self.encoding.conditions) or any(note.change not in ("same", "renamed") for note in notes)

    @cached_property
    def is_all_complete(self) -> bool:
        """Whether no trial of the studies was pruned or failed."""
        return all(len(source.completed) == len(source.trials) for source in self.sources)

    @cached_property
    def values(self) -> PastValues | None:
        """The values of the studies that were learnt from."""
        return None if self.population is None else PastValues(self.usable, self.encoding, self.population.kernel)


class Past:
    """Learns from past studies, and caches the result for the latest spaces."""

    def __init__(self) -> None:
        self._kept: dict[Any, tuple[tuple[SourceStudy, ...], Learnt]] = {}
        # Populations are always moved from the last fitted one, so that the spaces in between do not matter.
        self._fitted: Learnt | None = None
        self._named: tuple[tuple[SourceStudy, ...], frozenset[str]] = ((), frozenset())

    # Studies are not pickled, and what was learnt for their spaces is soon learnt again.
    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {key: kept for key, kept in self._kept.items() if key[-1] is None}}

    def parameters(self, sources: tuple[SourceStudy, ...], names: Mapping[str, str]) -> frozenset[str]:
        """Return the new names of all parameters of past studies."""
        if self._named[0] is not sources:
            self._named = (sources, frozenset(names.get(name, name) for s in sources for name in s.distributions))
        return self._named[1]

    @one_blas_thread()
    def learn(
        self,
        sources: tuple[SourceStudy, ...],
        space: Mapping[str, BaseDistribution],
        names: Mapping[str, str],
        finished: Sequence[FrozenTrial],
        study: Hashable = None,
    ) -> Learnt:
        """Return what the sources say about a space and about the parameters that may come in addition.

        `space` holds the parameters that the new study has asked for; it is empty before the first trial. Conditions
        are learnt from the complete ones of its `finished` trials, so the result is cached for the key `study`.
        """
        # A failed trial may have ended before it asked for all of its parameters.
        complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
        described = tuple(sorted((name, repr(d)) for name, d in space.items()))
        key = (described, bool(finished), study if complete else None)
        kept = self._kept.get(key)
        if kept is not None and kept[0] is sources:
            return kept[1]
        learnt = _learnt(sources, space, names, complete, bool(finished), self._fitted)
        if not learnt.is_moved:
            self._fitted = learnt
        while len(self._kept) >= _N_CACHED:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = (sources, learnt)
        return learnt


def chosen_sources(
    sources: Sequence[SourceStudy], space: Mapping[str, BaseDistribution], names: Mapping[str, str]
) -> tuple[SourceStudy, ...]:
    """Return the past studies that are considered for a space, at most 64, in the order of the archive.

    Studies that share most of the space's parameters come first; among equals a fixed random order decides.
    """
    candidates = [
        s for s in sources if len(s.directions) == 1 and any(t.state == TrialState.COMPLETE for t in s.trials)
    ]
    if len(candidates) <= _MAX_STUDIES:
        return tuple(candidates)
    n_shared = np.array([sum(names.get(name, name) in space for name in s.distributions) for s in candidates])
    drawn = np.random.default_rng(child_seed(0, "sources", len(candidates))).permutation(len(candidates))
    chosen = drawn[np.argsort(-n_shared[drawn], kind="stable")[:_MAX_STUDIES]]
    return tuple(candidates[index] for index in np.sort(chosen))


def checked_names(names: Mapping[str, str] | None, sources: Sequence[SourceStudy] = ()) -> dict[str, str]:
    """Return a copy of the renaming past name → new name.

    Warns of a name that no source has, and raises ValueError if two parameters of one study would get the same name.
    """
    if names is None:
        return {}
    if not isinstance(names, Mapping) or not all(isinstance(text, str) for item in names.items() for text in item):
        raise TypeError(f"names must map past names to new ones, such as {{'learning_rate': 'lr'}}, got {names!r}.")
    for source in sources:
        counts = Counter(names.get(name, name) for name in source.distributions)
        for new in (name for name, count in counts.items() if count > 1):
            old = [name for name in source.distributions if names.get(name, name) == new]
            raise ValueError(
                f"With names={dict(names)!r}, the parameters {old} of the past study {source.name!r} would all be "
                f"{new!r}. Give all but one of them another name, such as {{{old[0]!r}: {'old_' + old[0]!r}}}."
            )
    found = {name for source in sources for name in source.distributions}
    unknown = [name for name in names if name not in found]
    if sources and unknown:
        hint = ""
        if all(names[name] in found for name in unknown):
            hint = f" It seems to be reversed: names={ ({new: past for past, new in names.items()})!r}."
        warn_user(
            f"names renames {unknown}, which no study of the archive has; their parameters are {sorted(found)[:20]}. "
            f"names maps past names to new ones.{hint} Leave out what no past study has to silence this."
        )
    return dict(names)


def _learnt(
    sources: tuple[SourceStudy, ...],
    space: Mapping[str, BaseDistribution],
    names: Mapping[str, str],
    complete: Sequence[FrozenTrial],
    is_begun: bool,
    before: Learnt | None,
) -> Learnt:
    """Learn from the sources for a space; reuse `before` where its sources and encoding are unchanged."""
    chosen = chosen_sources(sources, space, names)
    wide = _wide_space(chosen, space, names, is_begun)
    if before is None or before.sources != chosen:
        before = None
    is_same = before is not None and before.encoding.distributions == wide
    studies = before.studies if before is not None and is_same else align_all(chosen, wide, names)
    usable = tuple(study for study in studies if not study.reason and _shares(study, wide, space))
    own = Encoding(wide, {}).points([trial.params for trial in complete])
    encoding = encoding_of(wide, usable, own)
    # The space is known after the first trial, and is most often the expected one.
    if before is not None and _names(before.usable) == _names(usable):
        if is_same and before.encoding.conditions == encoding.conditions:
            return before
        if not is_same and before.population is not None:
            moved = moved_population(before.population, encoding, usable)
            if moved is not None:
                return Learnt(encoding, chosen, studies, usable, moved, is_moved=True)
    population = fitted_population(usable, encoding, _behind(chosen, usable, wide, names)) if usable else None
    if population is not None and population.kernel.noise > _MAX_NOISE * population.kernel.amplitude:
        # The population would explain all observations as noise, and search at random.
        logger.info("What past studies tried says nothing about what is good: they are not used.")
        population = None
    return Learnt(encoding, chosen, studies, usable, population)


def _behind(
    sources: Sequence[SourceStudy],
    usable: Sequence[AlignedStudy],
    space: Mapping[str, BaseDistribution],
    names: Mapping[str, str],
) -> tuple[AlignedStudy, ...]:
    """Return the pruned and failed trials of the usable studies in a space."""
    by_name = {source.name: source for source in sources}
    return align_all([behind_complete(by_name[study.name]) for study in usable], space, names)


def _names(studies: Sequence[AlignedStudy]) -> list[str]:
    return [study.name for study in studies]


def _wide_space(
    sources: Sequence[SourceStudy], space: Mapping[str, BaseDistribution], names: Mapping[str, str], is_begun: bool
) -> dict[str, BaseDistribution]:
    """Return a space with the parameters of past studies that the new study may still ask for, sorted by name.

    Before the first finished trial these are all parameters. Afterwards they are those that were absent in some
    past trials, because the new study would have asked for the others.
    """
    past: list[dict[str, BaseDistribution]] = []
    for source in sources:
        found = {name: d for name, d in source.distributions.items() if names.get(name, name) not in space}
        if is_begun:
            found = {name: d for name, d in found.items() if not all(name in t.params for t in source.completed)}
        past.append({names.get(name, name): d for name, d in found.items()})
    return dict(sorted({**merged_distributions(past), **space}.items()))


def _shares(study: AlignedStudy, wide: Mapping[str, BaseDistribution], space: Mapping[str, BaseDistribution]) -> bool:
    """Whether a past study has a parameter of the new one; True while nothing is known of the new one."""
    return not space or any(is_known and name in space for name, is_known in zip(wide, study.known, strict=True))
