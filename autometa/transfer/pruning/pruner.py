"""MetaPruner: an Optuna pruner that learns from past curves which trials will not be the best of their study."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from numbers import Real
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autometa._support.numeric_threads import one_blas_thread
from autometa._support.optuna_internals import storage_of, study_id
from autometa._support.seeds import checked_seed
from autometa._support.user_warnings import warn_user
from autometa.transfer.archive.accepted import past_studies
from autometa.transfer.archive.sources import PastStudies, SourceStudy
from autometa.transfer.pruning.calibration import (
    Calibration,
    PastCurves,
    centre_and_scale,
    compared,
    features,
    folds_of,
    learn,
)
from autometa.transfer.pruning.curves import (
    GRID,
    CurveModel,
    LastValue,
    PowerLaw,
    StepScale,
    on_grid,
    reach,
    step_scale,
)

logger = logging.getLogger(__name__)

CURVE_MODELS = ("last", "power_law", "lstm")
_RATES = (0.05, 0.1, 0.2)  # one is chosen by the evidence if none is given
_HARDLY = 0.1  # fraction of saved steps
_MIN_CURVES = 20
_MIN_CURVES_OF_STUDY = 4
_MAX_CURVES_OF_STUDY = 1000


class MetaPruner(BasePruner):
    """Prunes a trial whose probability of ending as the best of its study is too low, judged by past curves.

    Parameters
    ----------
    archive : StudyArchive
        Past studies; it learns from those with one objective and at least 4 complete curves.
    rate : float or None, default=None
        Fraction of studies whose eventual best may be lost, in [0, 1). The thresholds on the probability
        keep to it in replays of held-out past studies. 0 prunes nothing. None takes the lowest of 0.05, 0.1
        and 0.2 that saves a fifth of the steps in these replays, else 0.2; it is said at INFO.
    curve_model : {"last", "power_law", "lstm"}, default="last"
        Prediction of the final value of a curve: its last value, a power law, or a recurrent network that
        is trained on past curves (needs torch, and half a minute at the first report).
    seed : int, default=0
        Seed of the replays.

    Notes
    -----
    A trial goes on where there is no evidence: with fewer than 20 past curves, without a completed trial
    with a curve in the study, at a step beyond the known curves, or with too few past curves at that step.
    Optuna does not call pruners in studies of several objectives. Steps count relative to the length of the
    study's completed curves. Values count relative to where its curves begin and its incumbent ended. So
    past studies may have other steps and scales. Reported values should be of the kind of the returned value.

    The fraction of lost bests is an expectation over studies like the past ones and about as long, not a
    promise about one study.
    The same archive, seed and study give the same decisions in every process.

    Raises
    ------
    TypeError
        If `archive` is not a StudyArchive or `seed` not a whole number.
    ValueError
        If `rate`, `curve_model` or `seed` is out of range.

    Examples
    --------
    >>> import optuna
    >>> from autometa import MetaPruner, StudyArchive
    >>> study = optuna.create_study(pruner=MetaPruner(StudyArchive()))
    """

    def __init__(
        self,
        archive: PastStudies,
        rate: float | None = None,
        curve_model: Literal["last", "power_law", "lstm"] = "last",
        seed: int = 0,
    ) -> None:
        if rate is not None and (not isinstance(rate, Real) or not 0 <= rate < 1):
            raise ValueError(f"rate must lie in [0, 1), got {rate!r}.")
        if curve_model not in CURVE_MODELS:
            raise ValueError(f"curve_model must be one of {', '.join(CURVE_MODELS)}, got {curve_model!r}.")
        self._archive: PastStudies = past_studies(archive)
        self._rate: float | None = None if rate is None else float(rate)
        self._curve_model: str = curve_model
        self._seed: int = checked_seed(seed)
        self._forget()

    def _forget(self) -> None:
        self._learnt_from: tuple[SourceStudy, ...] | None = None
        self._learnt: tuple[CurveModel, Calibration] | None = None
        # By storage and id, because ids of studies repeat in other storages.
        self._curves: WeakKeyDictionary[object, dict[int, _StudyCurves]] = WeakKeyDictionary()
        self._warned: WeakKeyDictionary[object, set[int]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    # Pruners are pickled for worker processes, which learn again; a lock cannot be pickled.
    def __getstate__(self) -> dict[str, object]:
        kept = ("_archive", "_rate", "_curve_model", "_seed")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __repr__(self) -> str:
        return (
            f"MetaPruner({self._archive!r}, rate={self._rate!r}, curve_model={self._curve_model!r}, seed={self._seed})"
        )

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether `trial` should end; called by `optuna.trial.Trial.should_prune`."""
        probability, threshold = self._judged(study, trial)
        return probability < threshold

    def probability(self, study: Study, trial: FrozenTrial) -> float:
        """Return the probability that a trial ends as the best of its study.

        It is NaN without evidence, and between the relative steps at which curves are judged.
        """
        return self._judged(study, trial)[0]

    def _judged(self, study: Study, trial: FrozenTrial) -> tuple[float, float]:
        """Return the probability, and the threshold for it at the trial's step."""
        if not trial.intermediate_values or len(study.directions) > 1 or self._rate == 0:
            return np.nan, 0.0
        # Differences of the largest floats overflow to infinity, which is clipped like any large difference.
        with self._lock, one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            learnt = self._fitted()
            self._warn(study, learnt)
            if learnt is None:
                return np.nan, 0.0
            curves = self._curves.setdefault(storage_of(study), {}).setdefault(study_id(study), _StudyCurves())
            curves.read(study)
            return _judged(curves, trial, *learnt)

    def _fitted(self) -> tuple[CurveModel, Calibration] | None:
        # An archive has a new tuple of sources whenever it has changed.
        if self._learnt_from is not self._archive.sources:
            sources = self._archive.sources
            rates = _RATES if self._rate is None else (self._rate,)
            self._learnt = _fit(sources, self._curve_model, rates, self._seed)
            self._learnt_from = sources
        return self._learnt

    def _warn(self, study: Study, learnt: tuple[CurveModel, Calibration] | None) -> None:
        """Warn once for each study that nothing or hardly anything will be pruned."""
        warned = self._warned.setdefault(storage_of(study), set())
        if study_id(study) in warned:
            return
        warned.add(study_id(study))
        silence = "Silence this with warnings.filterwarnings('ignore', message='MetaPruner')."
        if learnt is None:
            n_curves = sum(len(found.finals) for source in self._archive.sources if (found := _past_curves(source)))
            warn_user(
                f"MetaPruner prunes nothing in {study.study_name!r}: the archive holds {n_curves} complete curves of "
                f"at least 2 steps, in studies with one objective and {_MIN_CURVES_OF_STUDY} such curves or more, and "
                f"{_MIN_CURVES} are needed. {silence}"
            )
        elif learnt[1].saved < _HARDLY:
            warn_user(
                f"MetaPruner will hardly prune in {study.study_name!r}: with rate={learnt[1].rate:g} it saved "
                f"{learnt[1].saved:.0%} of the steps in replays of the past. More past studies or a higher rate save "
                f"more. {silence}"
            )


class _StudyCurves:
    """The curves of the running study's finished trials; each trial is read once."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        self.sign = 1.0
        self.complete: list[FrozenTrial] = []
        self.curves: dict[int, dict[int, float]] = {}
        self.scale: StepScale | None = None
        self.best: FrozenTrial | None = None
        self.values = np.empty((0, len(GRID)))
        self.ends = np.empty(0, dtype=int)  # the last index that each curve reached
        self.first: list[float] = []

    def read(self, study: Study) -> None:
        self.sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        new = [trial for trial in trials if trial.number not in self._numbers]
        if not new:
            return
        for trial in new:
            self._numbers.add(trial.number)
            if trial.intermediate_values:
                self.curves[trial.number] = dict(trial.intermediate_values)
            if trial.state == TrialState.COMPLETE and trial.value is not None:
                if trial.intermediate_values:
                    self.complete.append(trial)
                # The incumbent is the study's best, with a curve or without.
                if self.best is None or self.sign * trial.value < self.sign * self.best.value:  # type: ignore[operator]
                    self.best = trial
        scale = step_scale([trial.intermediate_values for trial in self.complete])
        if scale is None:
            return
        # All curves are put on the grid again only if their length has changed.
        is_same = scale == self.scale
        added = [t.number for t in new if t.number in self.curves] if is_same else sorted(self.curves)
        self.scale = scale
        values = np.array([_up_to_its_end(self.curves[number], scale, self.sign) for number in added])
        values = values.reshape(-1, len(GRID))
        first = [_first(self.curves[number], self.sign) for number in added]
        self.values = np.concatenate([self.values, values]) if is_same else values
        missing = np.isnan(self.values)
        self.ends = (~missing).sum(axis=1) + missing.argmin(axis=1) - 1
        self.first = self.first + first if is_same else first


def _judged(
    curves: _StudyCurves, trial: FrozenTrial, model: CurveModel, calibration: Calibration
) -> tuple[float, float]:
    if curves.scale is None or curves.best is None or not curves.best.intermediate_values:
        return np.nan, 0.0
    best_final = curves.sign * float(curves.best.value)  # type: ignore[arg-type]
    steps = sorted(trial.intermediate_values)
    index = reach(steps[-1], curves.scale)
    before = reach(steps[-2], curves.scale) if len(steps) > 1 else -1
    # Each index is judged once, as in the replays; they do not tell about steps beyond the end.
    if index <= before or curves.scale.relative(steps[-1]) >= 1 or not np.isfinite(best_final):
        return np.nan, 0.0
    own = on_grid(trial.intermediate_values, curves.scale, curves.sign)
    own[index + 1 :] = np.nan
    first = np.array([*curves.first, _first(trial.intermediate_values, curves.sign)])
    centre, scale = centre_and_scale(best_final, first)
    incumbent = on_grid(curves.best.intermediate_values, curves.scale, curves.sign)
    # The last value of a pruned curve counts. It might have improved further, so the trial may seem better among them
    # than it is, which errs on the side of keeping it.
    last = np.clip(curves.ends, 0, index)
    theirs = np.take_along_axis(curves.values, last[:, None], axis=1)
    n_better, n_seen = compared(own[[index]], theirs)
    predicted = model.predict(own[None], np.array([[centre]]), np.array([[scale]]))[0]
    now = slice(index, index + 1)
    found = features(own[now], predicted[now], incumbent[now], n_better, n_seen, centre, scale)
    return calibration.probability(found[0], index), float(calibration.thresholds[index])


def _up_to_its_end(curve: dict[int, float], scale: StepScale, sign: float) -> np.ndarray:
    values = on_grid(curve, scale, sign)
    values[reach(max(curve), scale) + 1 :] = np.nan
    return values


def _first(curve: dict[int, float], sign: float) -> float:
    return sign * float(curve[min(curve)])


def _fit(
    sources: tuple[SourceStudy, ...], curve_model: str, rates: Sequence[float], seed: int
) -> tuple[CurveModel, Calibration] | None:
    past = [found for source in sources if (found := _past_curves(source)) is not None]
    n_curves = sum(len(study.finals) for study in past)
    if n_curves < _MIN_CURVES:
        return None
    if len(past) == 1:
        # Two halves of a single study stand for two studies, each of which is judged by the other.
        (one,) = past
        past = [PastCurves(one.values[half::2], one.first[half::2], one.finals[half::2]) for half in (0, 1)]
    folds = folds_of(len(past))
    model = _model(curve_model, past, seed)
    models = [model] * len(past)
    if curve_model == "lstm":  # the only model that is fitted to curves
        parts = ([p for p, f in zip(past, folds, strict=True) if f != fold] for fold in range(max(folds) + 1))
        by_fold = [_model(curve_model, part, seed) for part in parts]
        models = [by_fold[fold] for fold in folds]
    calibration = learn(past, models, rates, seed)
    logger.info("MetaPruner has learnt from %d curves of %d studies: with rate=%g it saved %.0f%% of the steps in "
                "replays. It prunes below a probability of %.3g early on and %.3g late.", n_curves, len(past),
                calibration.rate, 100 * calibration.saved, calibration.thresholds[0],
                calibration.thresholds[-1])  # fmt: skip
    return model, calibration


def _model(name: str, past: list[PastCurves], seed: int) -> CurveModel:
    if name == "last":
        return LastValue()
    if name == "power_law":
        return PowerLaw()
    from autometa.transfer.pruning.curve_lstm import train_curve_lstm  # torch, only where it is asked for

    return train_curve_lstm(past, seed)


def _past_curves(source: SourceStudy) -> PastCurves | None:
    if len(source.directions) != 1:
        return None
    complete = [t for t in source.trials if t.state == TrialState.COMPLETE and t.values and len(t.intermediate) >= 2]
    # The latest trials, if there are very many.
    complete = complete[-_MAX_CURVES_OF_STUDY:]
    scale = step_scale([trial.intermediate for trial in complete])
    if scale is None or len(complete) < _MIN_CURVES_OF_STUDY:
        return None
    sign = source.sign
    finals = np.array([sign * trial.values[0] for trial in complete if trial.values])
    finals[~np.isfinite(finals)] = np.inf
    if np.isinf(finals).all():
        return None
    return PastCurves(
        np.array([on_grid(trial.intermediate, scale, sign) for trial in complete]),
        np.array([_first(dict(trial.intermediate), sign) for trial in complete]),
        finals,
    )
