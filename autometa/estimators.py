"""AutoMeta, AutoMetaClassifier and AutoMetaRegressor: the parts put together behind scikit-learn's interface."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse
from optuna.storages import BaseStorage
from optuna.study import Study
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from autometa._support.log_output import logged_by, quiet_optuna
from autometa._support.machine import jobs_at_a_time
from autometa._support.process_state import kept_process_state
from autometa._support.progress import LogHandler
from autometa.catalogue import load_strategies
from autometa.core.budget import Budget, Deadline
from autometa.core.proposal import Policy
from autometa.core.strategy import Strategy
from autometa.core.target import ProblemChoice, Target, read_target
from autometa.core.task import Task
from autometa.ensemble.predictor import FittedPredictor, Member
from autometa.evaluation.metrics import Metric, resolve_metric
from autometa.fitting import Fitted, Settings, fit_task
from autometa.learners.constant import ConstantModel, NoPreparation
from autometa.learners.frames import Schema
from autometa.learners.inputs import as_frame
from autometa.policy.choice import DEFAULT_POLICY, checked_policy
from autometa.report import closing_line, leaderboard, strategy_report
from autometa.search.history import SearchHistory
from autometa.search.studies import open_study

logger = logging.getLogger(__name__)

DEFAULT_TIME_BUDGET_S = 60.0


def _is_classifier(estimator: AutoMeta) -> bool:
    problem = getattr(estimator, "problem_", None) or estimator._problem_choice()
    if problem == "regression":
        raise AttributeError("predict_proba exists for classification only; this target is a regression.")
    return True


class AutoMeta(BaseEstimator):
    """Finds, fits and combines models for a table within a budget.

    Parameters
    ----------
    problem : {"auto", "classification", "binary", "multiclass", "regression"}, default="auto"
        Kind of the target. ``"auto"`` reads text, categories, booleans and any two whole
        numbers as classes; numbers with fractions as regression; other whole numbers as
        classes if there are at most 20 distinct ones, each occurring three times on
        average, else as regression, and says so in a warning when up to 100 distinct
        ones leave room for doubt.
    time_budget : float or None, default=None
        Seconds that `fit` may take, > 0. None is 60 seconds, or no limit when
        `n_trials` is given. `fit` returns within 1.05 × budget + 2 s.
    n_trials : int or None, default=None
        Number of trials that may be started. With `n_trials` alone and a `random_state`,
        the result is the same on every run of one machine; a time budget cannot promise that.
    metric : str or callable, default="auto"
        What to optimise: a name such as ``"log_loss"``, ``"balanced_accuracy"``, ``"mae"``,
        scikit-learn's scorer names, or a scorer made by ``sklearn.metrics.make_scorer``.
        ``"auto"`` is ROC AUC for two classes, log loss for more, RMSE for regression.
    strategies : sequence of (str, path or Strategy), or None, default=None
        What may be tried: names of shipped strategies, paths of strategy files, or
        ``Strategy`` objects around any scikit-learn estimator. None is all shipped ones.
    policy : {"mixture", "gaussian", "attention", "portfolio", "recurrent", "prior"}, path or Policy, default="mixture"
        What decides which configurations are tried: policies learnt from past tasks, of which the
        ``"mixture"`` takes the one that was best at each stage of a search (in less than 8 s the
        hand-made one); the hand-made ``"prior"``; the folder of weights of your own that
        `autometa train` wrote; or an object with a method ``propose``.
    experience : str, Path or None, default=None
        Folder of your own experience: every fit adds what it measured (meta-features,
        configurations, losses, seconds, types of errors; no rows, labels or names), and
        learnt policies go by it as well.
    cv : int, splitter, iterable or None, default=None
        Number of folds, a scikit-learn splitter, or (train, validation) row numbers.
        None chooses folds or a holdout by rows and budget; folds are stratified, and keep
        groups together when `fit` is given some.
    ensemble_size : int, default=40
        Rounds of ensemble selection, >= 1; 1 keeps the best trial alone.
    n_jobs : int or None, default=-1
        Evaluations at a time, each a process with one thread; -1 is one per core. Never more
        than the cores that this process may use (affinity, quota of a container).
    memory_limit : float or None, default=None
        GiB that all worker processes together may allocate, > 0; a trial that wants more
        fails alone. None is 2 GiB + 10 × the frame, within what is free. The limit is on
        address space, with room of 2 GiB per process for what allocators reserve unused.
    study : optuna.Study or None, default=None
        Study to search in, with your own sampler, pruner and storage; it must minimise.
    storage : str, optuna.storages.BaseStorage or None, default=None
        Where to keep a new study, e.g. ``"sqlite:///study.db"``. With `study_name`, a
        study that is there already is gone on with: its best configurations come first.
    study_name : str or None, default=None
        Name of the study in `storage`.
    callbacks : sequence of callable, default=()
        Called as ``callback(study, trial)`` after each trial; ``study.stop()`` ends the search.
    random_state : int, RandomState or None, default=None
        Seed of folds, samplers and learners.
    progress : bool or None, default=None
        Whether to show a bar with the incumbent's score and the time left; None shows it
        in a terminal or a notebook only.
    verbose : int, default=0
        1 logs the plan, new trials and the result to standard error, 2 everything; 0 leaves
        it to ``logging``.

    Attributes
    ----------
    problem_ : str
        ``"binary"``, ``"multiclass"`` or ``"regression"``.
    classes_ : ndarray of shape (n_classes,)
        Labels in the target's own dtype; classification only.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns, when X had names that are all text.
    study_ : optuna.Study
        The study that was searched in.
    predictor_ : FittedPredictor
        The ensemble.
    history_ : SearchHistory
        Every trial with its losses and seconds.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from autometa import AutoMeta
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = AutoMeta(problem="multiclass", n_trials=3, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        problem: ProblemChoice = "auto",
        *,
        time_budget: float | None = None,
        n_trials: int | None = None,
        metric: str | Callable[..., Any] = "auto",
        strategies: Sequence[str | Path | Strategy] | None = None,
        policy: str | Path | Policy = DEFAULT_POLICY,
        experience: str | Path | None = None,
        cv: Any = None,
        ensemble_size: int = 40,
        n_jobs: int | None = -1,
        memory_limit: float | None = None,
        study: Study | None = None,
        storage: str | BaseStorage | None = None,
        study_name: str | None = None,
        callbacks: Sequence[Callable[..., Any]] = (),
        random_state: int | np.random.RandomState | None = None,
        progress: bool | None = None,
        verbose: int = 0,
    ) -> None:
        self.problem = problem
        self.time_budget = time_budget
        self.n_trials = n_trials
        self.metric = metric
        self.strategies = strategies
        self.policy = policy
        self.experience = experience
        self.cv = cv
        self.ensemble_size = ensemble_size
        self.n_jobs = n_jobs
        self.memory_limit = memory_limit
        self.study = study
        self.storage = storage
        self.study_name = study_name
        self.callbacks = callbacks
        self.random_state = random_state
        self.progress = progress
        self.verbose = verbose

    # ------------------------------------------------------------------ fit

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Fit the estimator: search for `time_budget` seconds or `n_trials`, then build the ensemble.

        Parameters
        ----------
        X : DataFrame, array, sparse matrix or list of rows, shape (n_rows, n_columns)
            The raw table: numbers, booleans, categories, text, dates and durations with
            missing values, as they came. It is not changed.
        y : Series, array or list of shape (n_rows,)
            The target, nothing missing.
        sample_weight : array of shape (n_rows,), optional
            Non-negative weights in fitting and in the loss; rows of weight 0 are left out.
        groups : array of shape (n_rows,), optional
            Rows of one group are never split over training and validation.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data is not usable; the text says what to do.
        SearchFailedError
            If no trial gave a model.
        """
        with kept_process_state(), _verbosity(self.verbose):
            return self._fit(X, y, sample_weight, groups)

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> Self:
        start_s = time.monotonic()
        settings = self._settings(start_s)
        strategies = load_strategies(self.strategies)
        frame = as_frame(X)
        if len(frame) < 2:
            raise ValueError("At least 2 rows are needed to train and validate, got n_samples = 1.")
        target = read_target(y, len(frame), self._problem_choice())
        metric = resolve_metric(self.metric, target.problem, target.classes)
        task = self._task(frame, target, sample_weight, groups)
        schema = Schema.fit(task.X)
        task = replace(task, X=schema.clean(task.X))

        if target.problem == "regression" and np.ptp(task.y) == 0:
            fitted = _fit_constant(task, metric, strategies, settings)
        else:
            fitted = fit_task(task, schema, metric, strategies, settings)
        fitted.history.total_s = time.monotonic() - start_s
        logger.info(closing_line(fitted.history, metric))
        # Only now: a fit that fails leaves the fit before it as it was.
        self.n_features_in_ = np.shape(X)[1] if scipy.sparse.issparse(X) else frame.shape[1]
        self._keep_names(X)
        self.problem_ = target.problem
        if target.classes is not None:
            self.classes_ = target.classes
        elif hasattr(self, "classes_"):
            del self.classes_
        self._schema, self._metric = schema, metric
        self.predictor_, self.history_, self.study_ = fitted.predictor, fitted.history, fitted.study
        return self

    def _problem_choice(self) -> ProblemChoice:
        return self.problem

    def _keep_names(self, X: Any) -> None:
        """Set ``feature_names_in_`` as scikit-learn does: when every name is text; here also only when unique."""
        names = list(getattr(X, "columns", []))
        if names and all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _settings(self, start_s: float) -> Settings:
        """Return the checked parameters; everything here is refused before any work starts."""
        time_budget = self.time_budget
        if time_budget is None:
            time_budget = DEFAULT_TIME_BUDGET_S if self.n_trials is None else math.inf
        budget = Budget(time_budget, None if self.n_trials is None else _whole("n_trials", self.n_trials))
        if self.memory_limit is not None and not (_is_number(self.memory_limit) and self.memory_limit > 0):
            raise ValueError(f"memory_limit must be a positive number of GiB or None, got {self.memory_limit!r}.")
        if self.progress is not None and not isinstance(self.progress, (bool, np.bool_)):
            raise TypeError(f"progress must be True, False or None, got {self.progress!r}.")
        callbacks = list(self.callbacks or ())
        for callback in callbacks:
            if not callable(callback):
                raise TypeError(f"callbacks must be callable as callback(study, trial), got {callback!r}.")
        cv = self.cv
        if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
            if cv < 2:
                raise ValueError(f"cv must be at least 2 folds, a splitter or None, got {cv}.")
            cv = int(cv)
        elif cv is not None and (
            isinstance(cv, (bool, str, float)) or not (hasattr(cv, "split") or hasattr(cv, "__iter__"))
        ):
            raise TypeError(
                f"cv must be a whole number, a scikit-learn splitter, (train, validation) rows or None, got {cv!r}."
            )
        ensemble_size = _whole("ensemble_size", self.ensemble_size)
        if ensemble_size < 1:
            raise ValueError(f"ensemble_size must be at least 1, got {ensemble_size}.")
        if self.n_jobs == 0:
            raise ValueError("n_jobs must not be 0: give a number of processes, or -1 for one per core.")
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        return Settings(
            budget=budget,
            deadline=Deadline(start_s + budget.time_s),
            n_jobs=jobs_at_a_time(self.n_jobs),
            ensemble_size=ensemble_size,
            memory_bytes=None if self.memory_limit is None else int(self.memory_limit * 2**30),
            cv=cv,
            study=self.study,
            storage=self.storage,
            study_name=self.study_name,
            callbacks=callbacks,
            progress=self.progress,
            seed=seed,
            policy=checked_policy(self.policy),
            experience=None if self.experience is None else _folder("experience", self.experience),
        )

    def _task(self, frame: pd.DataFrame, target: Target, sample_weight: Any, groups: Any) -> Task:
        values = target.values
        if groups is not None:
            groups = np.asarray(groups)
            if groups.shape != (len(frame),):
                raise ValueError(f"groups must have one entry per row of X ({len(frame)}), got shape {groups.shape}.")
            _, groups = np.unique(groups.astype(str) if groups.dtype == object else groups, return_inverse=True)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, frame, dtype=np.float64, ensure_non_negative=True)
            kept = sample_weight > 0
            if not kept.any():
                raise ValueError("sample_weight is 0 for every row: at least some rows need a positive weight.")
            # A splitter or rows of the user's count the rows as they came.
            if not kept.all() and (self.cv is None or isinstance(self.cv, (int, np.integer))):
                frame, values, sample_weight = frame[kept], values[kept], sample_weight[kept]
                groups = None if groups is None else groups[kept]
                lost = set(range(target.n_classes)) - set(np.unique(values).tolist()) if target.n_classes else set()
                if lost and target.classes is not None:
                    raise ValueError(
                        f"Every row of the classes {target.classes[sorted(lost)].tolist()} has sample_weight 0. "
                        "Give those rows weight, or leave them out of X and y."
                    )
            sample_weight = None if np.ptp(sample_weight) == 0 else sample_weight / sample_weight.mean()
        return Task(
            X=frame,
            y=values,
            problem=target.problem,
            n_classes=target.n_classes,
            metric=self.metric,
            sample_weight=sample_weight,
            groups=groups,
            classes=target.classes,
        )

    # ------------------------------------------------------------------ predict

    def predict(self, X: Any) -> np.ndarray:
        """Return labels in the target's own dtype, or values.

        Parameters
        ----------
        X : like in `fit`, shape (n_rows, n_columns)
            Columns of a frame are matched by name: their order does not matter and extra
            ones are ignored.

        Returns
        -------
        ndarray of shape (n_rows,)

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If a column is missing.
        """
        predictions = self._predict(X)
        if self.problem_ == "regression":
            return predictions
        return self.classes_[np.argmax(predictions, axis=1)]

    @available_if(_is_classifier)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return class probabilities.

        Parameters
        ----------
        X : like in `predict`
            The rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            Columns in the order of ``classes_``; rows sum to 1.
        """
        return self._predict(X)

    def _predict(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "predictor_")
        if hasattr(self, "feature_names_in_") and not hasattr(X, "columns"):
            warnings.warn(
                f"X does not have valid feature names, but {type(self).__name__} was fitted with feature names",
                UserWarning,
                stacklevel=3,
            )
        with kept_process_state():
            frame = as_frame(X, self._schema.columns, self.n_features_in_, owner=type(self).__name__)
            return self.predictor_.predict(self._schema.clean(frame), jobs_at_a_time(self.n_jobs))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return how good the predictions are, higher is better.

        With ``metric="auto"`` it is accuracy for classification and R² for regression, as
        in every scikit-learn estimator; otherwise the metric that was optimised, in its
        usual units (negated when lower is better).

        Parameters
        ----------
        X : like in `predict`
            The rows.
        y : array of shape (n_rows,)
            The true labels or values.
        sample_weight : array of shape (n_rows,), optional
            Weights of the rows.
        """
        if self.metric == "auto":
            compare = r2_score if getattr(self, "problem_", None) == "regression" else accuracy_score
            return float(compare(y, self.predict(X), sample_weight=sample_weight))
        predictions = self._predict(X)
        codes = np.asarray(y, dtype=np.float64) if self.problem_ == "regression" else self._codes(y)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return float(-self._metric.loss(codes, predictions, weight) + self._metric.best)

    def _codes(self, y: Any) -> np.ndarray:
        labels = np.asarray(y)
        positions = np.searchsorted(self.classes_, labels)
        positions = np.minimum(positions, len(self.classes_) - 1)
        unknown = self.classes_[positions] != labels
        if np.any(unknown):
            raise ValueError(f"y holds labels that were not in fit: {np.unique(labels[unknown])[:5]}.")
        return positions

    # ------------------------------------------------------------------ explain

    def leaderboard(self, *, full: bool = False) -> pd.DataFrame:
        """Return every trial: strategy, loss, weight in the ensemble, seconds, status.

        Parameters
        ----------
        full : bool, default=False
            Whether to add the configuration, what was expected of it, its error, and the
            losses by fold and anchor.

        Returns
        -------
        DataFrame
            Best first; see ``autometa.report.leaderboard`` for the columns.
        """
        check_is_fitted(self, "predictor_")
        return leaderboard(self.history_, full=full)

    def report(self, *, full: bool = False) -> pd.DataFrame:
        """Return each strategy's probability, trials, best loss, share of the ensemble and a note.

        Parameters
        ----------
        full : bool, default=False
            Whether to add what was recommended and expected, seconds and the best
            configuration, and the strategies that are not for this kind of problem.

        Returns
        -------
        DataFrame
            The likeliest first; see ``autometa.report.strategy_report`` for the columns.
        """
        check_is_fitted(self, "predictor_")
        return strategy_report(self.history_, full=full)

    def save(self, path: str | Path) -> Path:
        """Write the fitted model to a file that can be loaded without running code from it.

        Parameters
        ----------
        path : str or Path
            The file; it is replaced only once the new one is complete.

        Returns
        -------
        Path
            The file. ``autometa.load(path)`` reads it.
        """
        from autometa.persistence import save

        return save(self, path)

    # ------------------------------------------------------------------ scikit-learn

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.target_tags.required = True
        problem = getattr(self, "problem_", None) or self._problem_choice()
        if problem == "regression":
            tags.estimator_type = "regressor"
        elif problem != "auto":
            tags.estimator_type = "classifier"
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "predictor_")


class _KnownProblem(AutoMeta):
    """AutoMeta without the parameter `problem`."""

    def __init__(
        self,
        *,
        time_budget: float | None = None,
        n_trials: int | None = None,
        metric: str | Callable[..., Any] = "auto",
        strategies: Sequence[str | Path | Strategy] | None = None,
        policy: str | Path | Policy = DEFAULT_POLICY,
        experience: str | Path | None = None,
        cv: Any = None,
        ensemble_size: int = 40,
        n_jobs: int | None = -1,
        memory_limit: float | None = None,
        study: Study | None = None,
        storage: str | BaseStorage | None = None,
        study_name: str | None = None,
        callbacks: Sequence[Callable[..., Any]] = (),
        random_state: int | np.random.RandomState | None = None,
        progress: bool | None = None,
        verbose: int = 0,
    ) -> None:
        # scikit-learn reads the parameters from this signature, so it is written out.
        for name, value in locals().copy().items():
            if name != "self":
                setattr(self, name, value)


class AutoMetaClassifier(ClassifierMixin, _KnownProblem):
    """AutoMeta for targets that are classes, whatever their dtype.

    Takes the parameters of `AutoMeta`, without `problem`.
    """

    def _problem_choice(self) -> ProblemChoice:
        return "classification"

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return accuracy, or the metric that was asked for; see `AutoMeta.score`."""
        return AutoMeta.score(self, X, y, sample_weight)


class AutoMetaRegressor(RegressorMixin, _KnownProblem):
    """AutoMeta for targets that are amounts.

    Takes the parameters of `AutoMeta`, without `problem`.
    """

    def _problem_choice(self) -> ProblemChoice:
        return "regression"

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², or the metric that was asked for; see `AutoMeta.score`."""
        return AutoMeta.score(self, X, y, sample_weight)


def _fit_constant(task: Task, metric: Metric, strategies: Sequence[Strategy], settings: Settings) -> Fitted:
    value = float(task.y[0])
    warnings.warn(
        f"y is {value:g} in every row, so the model predicts {value:g} for every row. Check the target column.",
        UserWarning,
        stacklevel=3,
    )
    member = Member(0, 1.0, [ConstantModel(value)], [0], [None])
    study = open_study(
        settings.study,
        settings.storage,
        settings.study_name,
        seed=settings.seed,
        strategies=strategies,
        task={"problem": "constant"},
    )
    left_out = [{"name": s.name, "probability": None, "note": "left out: y is constant"} for s in strategies]
    history = SearchHistory(
        metric.name, strategies=left_out, ensemble_loss=0.0, stop_reason="y is constant", first_model_s=0.0
    )
    return Fitted(FittedPredictor([member], [NoPreparation()], 0), history, study)


def _folder(name: str, given: str | Path) -> Path:
    if not isinstance(given, (str, Path)):
        raise TypeError(f"{name} must be the path of a folder or None, got {given!r}.")
    if Path(given).exists() and not Path(given).is_dir():
        raise NotADirectoryError(f"{name} must be the path of a folder, and {given} is a file.")
    return Path(given)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, got {value!r}.")
    return int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


@contextlib.contextmanager
def _verbosity(verbose: int) -> Iterator[None]:
    """Log to standard error for the duration of a fit, and keep Optuna quiet unless asked."""
    with contextlib.ExitStack() as stack:
        if verbose < 2:
            stack.enter_context(quiet_optuna())
        if verbose and sys.stderr is not None:
            handler = LogHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
            stack.enter_context(logged_by(handler, logging.DEBUG if verbose >= 2 else logging.INFO))
        yield
