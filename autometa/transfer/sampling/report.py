"""Reports which past studies match a study, how their parameters were aligned, and what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from optuna.study import Study
from scipy.linalg import solve

from autometa._support.numeric_threads import one_blas_thread
from autometa.transfer.archive.sources import PastStudies
from autometa.transfer.sampling.cold_start import cause_of_cold_start, warn_of_cold_start
from autometa.transfer.sampling.experts import OwnKernel, experts_of, weights_of
from autometa.transfer.sampling.kernel import OFFSET_VARIANCE, Kernel, normal_scores
from autometa.transfer.sampling.past_studies import Past, checked_names
from autometa.transfer.sampling.proposals import TriedPoints, posteriors_of
from autometa.transfer.sampling.study import Observed, finished_trials, observed_trials, own_space
from autometa.transfer.space.alignment import AlignedStudy, ParameterNote, align
from autometa.transfer.space.choices import Choices, checked_choices, translated
from autometa.transfer.space.encoding import Encoding

COLUMNS = (
    *("study", "tags", "n_trials", "used", "reason", "agreement"),
    *("parameters", "n_mapped", "n_dropped", "best", "predicted_score"),
)


@one_blas_thread()
def report(
    archive: PastStudies, study: Study, names: Mapping[str, str] | None = None, choices: Choices | None = None
) -> pd.DataFrame:
    """Return how the past studies of an archive relate to a study; neither is changed.

    Parameters
    ----------
    archive : StudyArchive
        Past studies.
    study : optuna.Study
        The new study. Before its first trial its space is taken to be that of the past studies.
    names : mapping of str to str or None, default=None
        Past name → name in the study, as given to `MetaSampler`.
    choices : mapping of str to mapping or None, default=None
        Parameter → past choice → new choice, as given to `MetaSampler`.

    Returns
    -------
    DataFrame
        A row per past study, in the order of the archive:

        - ``study``, ``tags``: name and tags; ``n_trials``: completed trials that lie in the new space;
        - ``used``: whether it is learnt from; ``reason``: why not;
        - ``agreement``: rank correlation in [−1, 1] of its predictions for the new study's trials
          with their results; missing with fewer than three trials;
        - ``parameters``: past name → what became of the parameter, as a dict;
        - ``n_mapped``, ``n_dropped``: values that were mapped to one of the new space, and trials
          that were left out because of a value outside of it;
        - ``best``: its best configuration in the new space, clipped to it;
        - ``predicted_score``: expected score of the new study there, in standard deviations of its
          losses so far, lower is better.

        ``attrs["experts"]`` holds the probabilities of the experts, of which "no transfer" is one;
        ``attrs["cold_start"]`` why nothing is learnt from the past, which is also a warning, or "".

    Raises
    ------
    TypeError
        If `study` is not a study.
    ValueError
        If the study has several objectives.
    """
    if not isinstance(study, Study):
        raise TypeError(f"study must be an optuna.Study, got {type(study).__name__}.")
    if len(study.directions) != 1:
        raise ValueError(f"report is for studies with one objective, and this one has {len(study.directions)}.")
    names = checked_names(names, archive.sources)
    sources = translated(archive.sources, checked_choices(choices, archive.sources, names), names)
    space = own_space(study)
    learnt = Past().learn(sources, space, names, finished_trials(study))
    cause = cause_of_cold_start(archive, learnt, space, names)
    if cause:
        warn_of_cold_start(study, cause)
    encoding = learnt.encoding
    observed = observed_trials(study, encoding)
    experts = experts_of(learnt, observed.points, observed.outcomes, OwnKernel())
    tried = TriedPoints(observed.points, observed.scores, observed.points[:0])
    posteriors = posteriors_of(encoding, experts, tried)
    weights = weights_of(posteriors)
    suited = {aligned.name for aligned in learnt.usable}
    used = suited if learnt.population is not None else set()
    considered = {aligned.name: aligned for aligned in learnt.studies}
    rows = []
    for source in sources:
        aligned = considered.get(source.name) or align(source, encoding.distributions, names)
        is_used = aligned.name in used
        row: dict[str, Any] = {
            "study": source.name,
            "tags": dict(source.tags),
            "n_trials": len(aligned.losses),
            "used": is_used,
            "reason": aligned.reason or _reason(aligned.name in considered, aligned.name in suited, is_used),
            "agreement": np.nan,
            "parameters": {note.past or note.new: _text(note) for note in aligned.notes},
            "n_mapped": sum(note.n_mapped for note in aligned.notes),
            "n_dropped": sum(note.n_dropped for note in aligned.notes),
            "best": {},
            "predicted_score": np.nan,
        }
        if is_used:
            best = encoding.on_grid(aligned.points[[int(aligned.losses.argmin())]])
            inputs = encoding.inputs(best)
            row["best"] = encoding.configuration(best[0])
            row["predicted_score"] = float(
                sum(weight * p.predict(inputs)[0][0] for weight, p in zip(weights, posteriors, strict=True))
            )
            row["agreement"] = _agreement(aligned, encoding, experts[0].kernel, observed)
        rows.append(row)
    # The name of a study may hold lone surrogates, which pandas' dtype for text cannot.
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    found = pd.DataFrame({**columns, "study": pd.Series(columns["study"], dtype=object)})
    found.attrs["experts"] = {e.name: float(weight) for e, weight in zip(experts, weights, strict=True)}
    found.attrs["cold_start"] = cause
    return found


def _reason(is_considered: bool, is_suited: bool, is_used: bool) -> str:
    if is_used:
        return ""
    if not is_considered:
        return "others are learnt from, which share as many parameters or more"
    return "past losses follow no pattern" if is_suited else "no parameter in common"


def _text(note: ParameterNote) -> str:
    return f"{note.new}: {note.change}" if note.new and note.past and note.new != note.past else note.change


def _agreement(aligned: AlignedStudy, encoding: Encoding, kernel: Kernel, observed: Observed) -> float:
    ranks = observed.outcomes.ranks
    if len(ranks) < 3 or len(set(ranks.tolist())) < 2:
        return float("nan")
    # A parameter that the past study did not have must not separate its trials.
    inverse_scales = np.where(aligned.known[encoding.groups], kernel.inverse_scales, 0.0)
    own = Kernel(inverse_scales, kernel.amplitude, kernel.noise)
    past, new = encoding.inputs(aligned.points), encoding.inputs(observed.points)
    covariance = own(past, past) + OFFSET_VARIANCE + own.noise * np.eye(len(past))
    predicted = (own(new, past) + OFFSET_VARIANCE) @ solve(covariance, normal_scores(aligned.losses), assume_a="pos")
    if np.ptp(predicted) < 1e-12:
        return float("nan")
    return float(pd.Series(predicted).corr(pd.Series(ranks), method="spearman"))
