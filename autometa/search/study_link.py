"""The link of a search to its Optuna study: ask, report, tell, heartbeats, callbacks, and a storage that may fail."""

# Tests: tests/search/test_engine.py
# Tests: tests/search/test_resume.py

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from autometa._support.optuna_internals import stop_allowed, storage_of, trial_id
from autometa._support.warning_filters import ignored_warnings
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.search.pruner import ROWS
from autometa.search.resume import MEASURED, measured, remember_ensemble
from autometa.search.studies import STRATEGY
from autometa.search.trial_records import TrialRecord

logger = logging.getLogger(__name__)

StudyCallback = Callable[[Study, FrozenTrial], Any]

_HEARTBEAT_S = 15.0


class StudyLink:
    """Reads and writes the study of a search; if the storage fails, the search ends with the models that it has.

    Parameters
    ----------
    study, strategies, available, callbacks, rows : as in `Search`
        The study, its space, and what is kept with its trials.

    Attributes
    ----------
    stop_reason : str
        Why the search must end; empty while it may go on.
    has_model : bool
        Whether the search has a model to keep; until then errors of the caller's study are raised.
    """

    def __init__(
        self,
        study: Study,
        strategies: Sequence[Strategy],
        available: set[str],
        callbacks: Sequence[StudyCallback],
        rows: str = "",
    ) -> None:
        self._study, self._strategies, self._available = study, strategies, available
        self._callbacks, self._rows = callbacks, rows
        self._last_heartbeat_s = -math.inf
        self.stop_reason = ""
        self.has_model = False

    def ask(self, choose: Callable[[], Configuration | str | None]) -> tuple[Trial, Configuration] | None:
        """Return the next trial and its configuration, None if there is nothing to try or the storage fails.

        Parameters
        ----------
        choose : callable
            Returns what to queue: a configuration, the name of a strategy whose parameters the
            study's sampler draws, or None for nothing.
        """
        try:
            chosen = choose()
            if chosen is None:
                return None
            self._enqueue(chosen)
            trial, configuration = self._next_trial()
            while configuration.strategy not in self._available:
                # Queued by somebody else: the user, another machine, a run that was killed.
                self._study.tell(trial, state=TrialState.FAIL)
                trial, configuration = self._next_trial()
            if self._rows:
                # Set now, because the pruner reads it.
                trial.set_user_attr(ROWS, self._rows)
        except Exception as error:
            self._failed(error)
            return None
        return trial, configuration

    def _enqueue(self, chosen: Configuration | str) -> None:
        """Make a configuration, or one of a strategy that the sampler draws, the study's next trial."""
        if isinstance(chosen, str):
            self._study.enqueue_trial({STRATEGY: chosen})
            return
        parameters = {f"{chosen.strategy}.{name}": value for name, value in chosen.parameters.items()}
        self._study.enqueue_trial({STRATEGY: chosen.strategy, **parameters})

    def _next_trial(self) -> tuple[Trial, Configuration]:
        # Optuna warns that heartbeats need `optimize`; here `beat` sends them.
        with ignored_warnings(UserWarning) if self._has_heartbeat() else contextlib.nullcontext():
            trial = self._study.ask()
        by_name = {strategy.name: strategy for strategy in self._strategies}
        chosen = str(trial.suggest_categorical(STRATEGY, sorted(by_name)))
        return trial, Configuration(chosen, by_name[chosen].space.suggest(trial, prefix=f"{chosen}."))

    def should_prune(self, trial: Trial, loss: float, step: int) -> bool:
        """Report a trial's loss so far; return whether the study's pruner ends it."""
        try:
            trial.report(loss, step)
            return trial.should_prune()
        except Exception as error:
            self._failed(error)
            return False

    def tell(self, trial: Trial, record: TrialRecord) -> FrozenTrial | None:
        """End a trial in the study with the state of its record; return it, None if the storage fails."""
        state = TrialState.FAIL
        if record.is_complete:
            state = TrialState.COMPLETE
        elif record.status in ("pruned", "stopped") and record.evaluations:
            state = TrialState.PRUNED
        try:
            trial.set_user_attr("status", record.status)
            if record.error:
                trial.set_user_attr("error", record.error)
            if self._rows:
                trial.set_user_attr(MEASURED, measured(record))
            return self._study.tell(trial, record.loss if state == TrialState.COMPLETE else None, state=state)
        except Exception as error:
            self._failed(error)
            return None

    def call_back(self, frozen: FrozenTrial) -> None:
        """Call the callbacks, which may stop the search by ``study.stop()``."""
        if not self._callbacks:
            return
        with stop_allowed(self._study) as was_stopped:
            for callback in self._callbacks:
                callback(self._study, frozen)
        if was_stopped():
            self.stop_reason = "stopped by a callback"

    def beat(self, trials: Iterable[Trial], now_s: float) -> None:
        """Tell the storage every 15 seconds that these trials are alive; Optuna does it only inside `optimize`."""
        if not self._has_heartbeat() or now_s - self._last_heartbeat_s < _HEARTBEAT_S:
            return
        self._last_heartbeat_s = now_s
        try:
            for trial in trials:
                storage_of(self._study).record_heartbeat(trial_id(trial))  # type: ignore[attr-defined]
        except Exception as error:
            self._failed(error)

    def _has_heartbeat(self) -> bool:
        """Whether the storage notices trials of processes that were killed."""
        interval = getattr(storage_of(self._study), "get_heartbeat_interval", None)
        return interval is not None and interval() is not None

    def keep_ensemble(self, weights: Mapping[int, float]) -> None:
        """Store the weights of an ensemble with the study, for a run that resumes it."""
        try:
            remember_ensemble(self._study, self._rows, weights)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """End the search and keep its models: a failed storage must not cost the user the fit."""
        if isinstance(error, optuna.exceptions.UpdateFinishedTrialError):
            # Another process failed this trial, because a long evaluation kept this one from sending
            # heartbeats; the result counts here all the same.
            return
        if not self.has_model and isinstance(error, (TypeError, ValueError)):
            raise error
        if not self.stop_reason:
            # The text may quote what was to be stored.
            logger.warning("the study's storage failed, so the search ends early: %s", type(error).__name__)
            logger.debug("the storage's error", exc_info=error)
            self.stop_reason = "the study's storage failed"
