"""Moves a population into a space whose ranges or choices have changed, without fitting it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.linalg import cholesky, solve_triangular

from autometa.transfer.sampling.kernel import Kernel
from autometa.transfer.sampling.population import JITTER, Population, best_points
from autometa.transfer.space.alignment import MARGIN, AlignedStudy
from autometa.transfer.space.choices import matched
from autometa.transfer.space.encoding import CHOICE, Encoding, halves_of

_FEWEST_CENTRES = 0.5  # fraction of the centres; fewer no longer describe the functions


@dataclass(frozen=True)
class _Moved:
    """Input columns of one parameter after a change, and which rows are still inside."""

    inputs: np.ndarray
    inverse_scales: np.ndarray
    is_inside: np.ndarray


def moved_population(population: Population, encoding: Encoding, studies: Sequence[AlignedStudy]) -> Population | None:
    """Return a population in another space, None where it has to be fitted again.

    A wider or narrower range of the same scale stretches the inputs and the length scale alike, so that the kernel
    stays the same function of values. Centres whose choice is gone, or whose value is more than half a range outside,
    are left out; the functions keep their distribution at all others.

    It is None if a parameter is new, gone, of another type or scale, or conditional and changed, or if fewer than half
    of the centres are inside. `studies` are the past studies in the new space, which give its best points.
    """
    before = population.encoding
    if before.names != encoding.names or before.conditions.keys() != encoding.conditions.keys():
        return None
    parts = []
    for column, (old, new) in enumerate(
        zip(before.distributions.values(), encoding.distributions.values(), strict=True)
    ):
        rows = population.centres[:, before.groups == column]
        scales = population.kernel.inverse_scales[before.groups == column]
        if old == new:
            parts.append(_Moved(rows, scales, np.ones(len(rows), dtype=bool)))
            continue
        part = None if column in encoding.conditions else _moved(old, new, rows, float(scales[0]))
        if part is None:
            return None
        parts.append(part)
    kept = np.flatnonzero(np.all([part.is_inside for part in parts], axis=0))
    if len(kept) < _FEWEST_CENTRES * len(population.centres):
        return None
    centres = np.column_stack([part.inputs for part in parts])[kept]
    tops, top_studies = best_points(
        encoding, population.studies, [study.points for study in studies], [study.losses for study in studies]
    )
    old_kernel = population.kernel
    kernel = Kernel(np.concatenate([part.inverse_scales for part in parts]), old_kernel.amplitude, old_kernel.noise)
    factor = cholesky(kernel(centres, centres) + JITTER * kernel.amplitude * np.eye(len(centres)), lower=True)
    # The new weights give the same values at the centres as the old ones; the constant is kept.
    transform = np.zeros((len(kept) + 1, len(population.mean)))
    transform[:-1, :-1] = solve_triangular(factor, population.factor[kept], lower=True)
    transform[-1, -1] = 1.0
    return Population(
        encoding,
        kernel,
        centres,
        factor,
        transform @ population.mean,
        transform @ population.root,
        population.weights @ transform.T,
        tops,
        top_studies,
        population.studies,
        population.n_studies,
    )


def _moved(old: BaseDistribution, new: BaseDistribution, rows: np.ndarray, scale: float) -> _Moved | None:
    match old, new:
        case CategoricalDistribution(), CategoricalDistribution():
            found = np.zeros((len(rows), len(new.choices)))
            for index, choice in enumerate(old.choices):
                new_index = matched(new, choice)
                if new_index is not None:
                    found[:, new_index] = np.maximum(found[:, new_index], rows[:, index])
            return _Moved(found, np.full(len(new.choices), scale), (found == CHOICE).any(axis=1))
        case (FloatDistribution() | IntDistribution(), FloatDistribution() | IntDistribution()) if old.log == new.log:
            (old_low, old_width), (low, width) = halves_of(old), halves_of(new)
            if not (old_width > 0 and width > 0):
                return None
            stretch = old_width / width
            found = (old_low - low) / width + rows * stretch
            return _Moved(found, np.array([scale / stretch]), (np.abs(found - 0.5) <= 0.5 + MARGIN)[:, 0])
    return None
