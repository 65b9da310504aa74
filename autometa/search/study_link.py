"""A search's link to its Optuna study: ask, report, tell, heartbeats, callbacks, and a storage that may fail."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.search.pruner import ROWS
from autometa.search.resume import MEASURED, measured, remember_ensemble
from autometa.search.studies import ask_configuration, enqueue, enqueue_strategy, has_heartbeat, record_heartbeat
from autometa.search.trial_records import TrialRecord

logger = logging.getLogger(__name__)

StudyCallback = Callable[[Study, FrozenTrial], Any]

_HEARTBEAT_S = 15.0


class StudyLink:
    """Speaks to a study for a search; once the storage has failed, the search ends with what it has.

    Parameters
    ----------
    study : optuna.Study
        Holds the trials.
    strategies : sequence of Strategy
        Every strategy of the study's space.
    available : set of str
        Names of the strategies that suit the task.
    callbacks : sequence of callable
        Called as ``callback(study, trial)`` after each trial.
    rows : str
        Digest of the rows that trials are measured on, kept with them; empty to keep nothing.

    Attributes
    ----------
    stop_reason : str
        Why the search must end; empty while it may go on.
    has_model : bool
        Whether there is anything to lose: until then an error of the caller's study is raised.
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
        """Return the next trial and what it says to fit, None if there is nothing or the storage fails.

        Parameters
        ----------
        choose : callable
            Says what to queue: a configuration, the name of a strategy whose parameters the study's
            sampler draws, or None for nothing.
        """
        try:
            chosen = choose()
            if chosen is None:
                return None
            if isinstance(chosen, Configuration):
                enqueue(self._study, chosen)
            else:
                enqueue_strategy(self._study, chosen)
            trial, configuration = ask_configuration(self._study, self._strategies)
            while configuration.strategy not in self._available:
                # Queued by somebody else: the user, another machine, a run that was killed.
                self._study.tell(trial, state=TrialState.FAIL)
                trial, configuration = ask_configuration(self._study, self._strategies)
            if self._rows:
                # At once, as the pruner looks at it.
                trial.set_user_attr(ROWS, self._rows)
        except Exception as error:
            self._failed(error)
            return None
        return trial, configuration

    def should_prune(self, trial: Trial, loss: float, step: int) -> bool:
        """Report a trial's loss so far; return whether the study's pruner ends it."""
        try:
            trial.report(loss, step)
            return trial.should_prune()
        except Exception as error:
            self._failed(error)
            return False

    def tell(self, trial: Trial, record: TrialRecord) -> FrozenTrial | None:
        """End a trial in the study as its record says; return it, None if the storage fails."""
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
        """Call the callbacks, which may stop the study."""
        if not self._callbacks:
            return
        # Optuna's own callbacks end a study with `study.stop()`, which it allows only while
        # these two private marks are set.
        local = self._study._thread_local
        before = local.in_optimize_loop
        local.in_optimize_loop = True
        self._study._stop_flag = False
        try:
            for callback in self._callbacks:
                callback(self._study, frozen)
        finally:
            local.in_optimize_loop = before
        if self._study._stop_flag:
            self.stop_reason = "stopped by a callback"

    def beat(self, trials: Iterable[Trial], now_s: float) -> None:
        """Tell the storage every now and then that these trials are alive."""
        if not has_heartbeat(self._study) or now_s - self._last_heartbeat_s < _HEARTBEAT_S:
            return
        self._last_heartbeat_s = now_s
        try:
            for trial in trials:
                record_heartbeat(self._study, trial)
        except Exception as error:
            self._failed(error)

    def keep_ensemble(self, weights: Mapping[int, float]) -> None:
        """Keep the weights of an ensemble with the study, for a run that goes on with it."""
        try:
            remember_ensemble(self._study, self._rows, weights)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """End the search, keeping its models: a storage that is gone must not cost the user the fit."""
        if isinstance(error, optuna.exceptions.UpdateFinishedTrialError):
            # Another process took this trial for dead, because a long evaluation kept us from
            # sending heartbeats: its result counts here all the same.
            return
        if not self.has_model and isinstance(error, (TypeError, ValueError)):
            raise error
        if not self.stop_reason:
            logger.warning("the study's storage failed, so the search ends early: %s: %s", type(error).__name__, error)
            self.stop_reason = "the study's storage failed"
