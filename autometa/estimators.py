"""The estimators AutoMeta, AutoMetaClassifier and AutoMetaRegressor, with the interface of scikit-learn."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from optuna.storages import BaseStorage
from optuna.study import Study
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from autometa._support.derived import docstring_without, init_without
from autometa._support.process_state import kept_process_state
from autometa.catalogue import load_strategies
from autometa.core.proposal import Policy
from autometa.core.strategy import Strategy
from autometa.fit_inputs import read_inputs, warn_if_reordered
from autometa.fitted_model import known_problem, solves_classes
from autometa.fitting import fit_task
from autometa.judged_model import JudgedModel, held_out_rows
from autometa.parameters import read_settings, with_warm_start
from autometa.policy.registry import DEFAULT_POLICY
from autometa.posthoc.threshold import labels_at
from autometa.report import closing_line, logged_fit
from autometa.scoring import score_predictions
from autometa.tables.target import ProblemChoice
from autometa.validation_rows import join_rows

logger = logging.getLogger(__name__)


class AutoMeta(JudgedModel, BaseEstimator):
    """Finds, fits and combines models for a table within a budget.

    Parameters
    ----------
    problem : {"auto", "classification", "binary", "multiclass", "regression"}, default="auto"
        Kind of the target. ``"auto"`` follows a metric that fits one kind of problem. Otherwise
        categories, booleans, text and two whole numbers are classes, and numbers with fractions are
        a regression. Other whole numbers are classes if there are at most 20 distinct ones that
        occur three times on average, else a regression; a warning says so when up to 100 distinct
        ones leave room for doubt. Text with many distinct numbers is a regression, with a warning.
    time_budget : float or None, default=None
        Seconds that `fit` may take, > 0. None is 60 seconds, or no limit when
        `n_trials` is given. `fit` returns within 1.05 × budget + 2 s.
    n_trials : int or None, default=None
        Number of trials that may be started. With `n_trials` alone and a `random_state`,
        the result is the same on every run on one machine; a time budget cannot promise that.
    metric : str or callable, default="auto"
        What to optimise: a name such as ``"log_loss"``, ``"balanced_accuracy"`` or ``"mae"``,
        a name of a scikit-learn scorer, or a scorer made by ``sklearn.metrics.make_scorer``.
        ``"auto"`` is ROC AUC for two classes, log loss for more, RMSE for regression.
    pos_label : label or None, default=None
        Positive one of two classes, for a metric of one class (``"f1"``, ``"precision"``,
        ``"recall"``, ``"average_precision"``); None is the one that sorts last. The report names it.
    strategies : sequence of (str, path or Strategy), or None, default=None
        What may be tried: names of shipped strategies, paths of strategy files, or
        ``Strategy`` objects around any scikit-learn estimator. None is all shipped ones.
    policy : {"auto", "gaussian", "attention", "portfolio", "recurrent", "prior"}, path or Policy, default="auto"
        What decides which configurations are tried: a policy learnt from past tasks; the
        hand-made ``"prior"``; ``"auto"``, which is ``"gaussian"`` or, below 8 s, where there is
        no time to learn from records, ``"prior"``; the folder of weights that `autometa train`
        wrote; or an object with a method ``propose``.
    policy_temperature : float, default=1.0
        Temperature of the softmax over strategies, > 0: their probabilities are raised to the power
        1 / temperature before one is drawn. Below 1 the likeliest strategies are explored more,
        above 1 all of them more evenly; it does not change the order in which a policy proposes
        recorded configurations.
    experience : str, Path or None, default=None
        Folder of your own experience. Every fit adds what it measured (meta-features,
        configurations, losses, seconds, types of errors; no rows, labels or names), and
        learnt policies use it.
    cv : int, "time", splitter, iterable or None, default=None
        Number of folds, a scikit-learn splitter, which gets X, y and groups as they were
        given, or (train, validation) row numbers or masks. None chooses folds or a holdout by
        rows and budget; folds are stratified, and keep groups together if `fit` gets any.
        ``"time"`` validates on later rows than it trains on, and fits the final models on all rows.
    time_column : label or None, default=None
        Column with the times of the rows, dates or numbers, for ``cv="time"``; its position if X
        has no labels. None takes the order of the rows.
    ensemble_size : int, default=40
        Rounds of ensemble selection, >= 1; 1 keeps the best trial alone.
    calibrate : bool, default=True
        Whether class probabilities are scaled with a temperature, if that lowers the log loss
        of out-of-fold rows that it was not fitted on. Labels and ROC AUC stay the same.
    tune_threshold : bool, default=True
        Whether `predict` cuts the probability of one of two classes at a threshold that is
        tuned on out-of-fold rows, for metrics of labels such as ``"f1"`` or
        ``"balanced_accuracy"``; otherwise the likeliest class is predicted.
    n_jobs : int or None, default=-1
        Evaluations at a time, each a process with one thread; -1 is one per core. Never more
        than the cores that this process may use (affinity, quota of a container).
    memory_limit : float or None, default=None
        GiB that all worker processes together may allocate, > 0; a trial that wants more
        fails alone. None is 2 GiB + 10 × the prepared table, within the free memory. The limit is
        on private memory, plus 2 GiB per process that allocators reserve and never use.
    study : optuna.Study or None, default=None
        Study to search in, with your own sampler, pruner and storage; it must minimise.
    storage : str, optuna.storages.BaseStorage or None, default=None
        Where to keep a new study, e.g. ``"sqlite:///study.db"``. With `study_name`, a study
        that is there is resumed: its best configurations come first, known ones are not tried
        again, and the rows may differ.
    study_name : str or None, default=None
        Name of the study in `storage`.
    callbacks : sequence of callable, default=()
        Called as ``callback(study, trial)`` after each trial; ``study.stop()`` ends the search.
    random_state : int, RandomState or None, default=None
        Seed of folds, samplers and learners.
    progress : bool or None, default=None
        Whether to show a bar with the incumbent's score and the time left; None shows it
        in a terminal or a notebook only.
    warm_start : bool, default=False
        Whether `fit` on the same rows goes on where the last `fit` stopped, for another `time_budget`
        or `n_trials`: trials and models are kept, in memory. Other rows, metrics or folds are refused.
    verbose : int, default=0
        1 logs the plan, new trials and the result to standard error, 2 everything; 0 logs
        through ``logging`` alone.

    Attributes
    ----------
    problem_ : str
        ``"binary"``, ``"multiclass"`` or ``"regression"``.
    classes_ : ndarray of shape (n_classes,)
        Sorted labels: booleans, numbers or text; classification only.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns, when X had names that are all text.
    study_ : optuna.Study
        The study that was searched in.
    predictor_ : FittedPredictor
        The ensemble.
    history_ : SearchHistory
        Every trial with its losses and seconds, and notes on automatic decisions.

    Notes
    -----
    scikit-learn's tools ask for the kind of problem before `fit`, which `AutoMetaClassifier` and
    `AutoMetaRegressor` know. With ``AutoMeta()`` cross-validation does not stratify, and stacking fails.

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
        pos_label: Any = None,
        strategies: Sequence[str | Path | Strategy] | None = None,
        policy: str | Path | Policy = DEFAULT_POLICY,
        policy_temperature: float = 1.0,
        experience: str | Path | None = None,
        cv: Any = None,
        time_column: Any = None,
        ensemble_size: int = 40,
        calibrate: bool = True,
        tune_threshold: bool = True,
        n_jobs: int | None = -1,
        memory_limit: float | None = None,
        study: Study | None = None,
        storage: str | BaseStorage | None = None,
        study_name: str | None = None,
        callbacks: Sequence[Callable[..., Any]] = (),
        random_state: int | np.random.RandomState | None = None,
        progress: bool | None = None,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.problem = problem
        self.time_budget = time_budget
        self.n_trials = n_trials
        self.metric = metric
        self.pos_label = pos_label
        self.strategies = strategies
        self.policy = policy
        self.policy_temperature = policy_temperature
        self.experience = experience
        self.cv = cv
        self.time_column = time_column
        self.ensemble_size = ensemble_size
        self.calibrate = calibrate
        self.tune_threshold = tune_threshold
        self.n_jobs = n_jobs
        self.memory_limit = memory_limit
        self.study = study
        self.storage = storage
        self.study_name = study_name
        self.callbacks = callbacks
        self.random_state = random_state
        self.progress = progress
        self.warm_start = warm_start
        self.verbose = verbose

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> Self:
        """Fit the estimator: search for `time_budget` seconds or `n_trials`, then build the ensemble.

        Parameters
        ----------
        X : DataFrame, array, sparse matrix, rows or records, shape (n_rows, n_columns)
            The raw table: numbers, booleans, categories, text, dates and durations, with
            missing values. It is not changed.
        y : Series, array or list of shape (n_rows,)
            The target: numbers, booleans or text, nothing missing.
        sample_weight : array of shape (n_rows,), optional
            Non-negative weights in fitting and in the loss; rows of weight 0 are left out.
        groups : array of shape (n_rows,), optional
            Rows of one group are never split over training and validation.
        X_val, y_val : like X and y, optional
            Rows of your own to validate on, in place of folds of X: iterations, trials and the ensemble are chosen on
            them, and no model is ever fitted on them. `oof_predictions` has the rows of X first (NaN), then these.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data is not usable; the message says what to do.
        SearchFailedError
            If no trial gave a model.
        """
        with kept_process_state(), logged_fit(self.verbose):
            return self._fit(X, y, sample_weight, groups, X_val, y_val)

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any, X_val: Any, y_val: Any) -> Self:
        start_s = time.monotonic()
        settings = read_settings(self, start_s)
        cv: Any = settings.cv
        if X_val is not None or y_val is not None:
            joined = join_rows(X, y, sample_weight, groups, X_val, y_val, cv)
            X, y, sample_weight = joined.X, joined.y, joined.sample_weight
            settings, cv = replace(settings, refits=False), [joined.fold]
        strategies = load_strategies(self.strategies)
        inputs = read_inputs(
            X,
            y,
            sample_weight=sample_weight,
            groups=groups,
            problem=self._problem_choice(),
            metric=self.metric,
            pos_label=getattr(self, "pos_label", None),
            cv=cv,
            time_column=self.time_column,
        )
        if inputs.folds is not None:
            settings = replace(settings, cv=inputs.folds)
        for note in inputs.notes:
            logger.info(note)
        settings = with_warm_start(self, settings, inputs, strategies)
        fitted = fit_task(inputs.task, inputs.metric, strategies, settings)
        before_s = 0.0 if settings.warm_start is None else settings.warm_start.search.total_s
        fitted.history.total_s = before_s + time.monotonic() - start_s
        logger.info(closing_line(fitted.history, inputs.metric))
        # Set last, so that a fit that fails leaves the state of the fit before it unchanged.
        self.n_features_in_, self.problem_ = inputs.raw.n_features, inputs.task.problem
        self._number_format = inputs.target.number_format
        self._keep("feature_names_in_", _feature_names(inputs.raw.labels))
        self._keep("classes_", inputs.target.classes)
        self._schema, self._metric = inputs.task.table.schema, inputs.metric
        self.predictor_, self.history_, self.study_ = fitted.predictor, fitted.history, fitted.study
        self._adjustments, self._targets = fitted.adjustments, inputs.target.values
        self._member_predictions, self._warm_start = fitted.members, fitted.warm_start
        self._n_rows, self._out_of_fold = len(inputs.raw.frame), fitted.out_of_fold
        if fitted.out_of_fold is not None and inputs.task.n_rows < self._n_rows:
            # Rows of weight 0 are not in the task.
            used = np.flatnonzero(np.asarray(sample_weight) > 0)
            self._out_of_fold = replace(fitted.out_of_fold, rows=used[fitted.out_of_fold.rows])
        self._score_estimate = fitted.score_estimate
        self._held_out = held_out_rows(self._out_of_fold, inputs.raw.frame, inputs.target.values, sample_weight)
        self.history_.notes = inputs.notes + fitted.adjustments.notes(inputs.metric)
        self._roles = {}
        return self

    def _problem_choice(self) -> ProblemChoice:
        return self.problem

    def _keep(self, name: str, value: Any) -> None:
        """Set a fitted attribute, or delete that of the last fit."""
        if value is not None:
            setattr(self, name, value)
        elif hasattr(self, name):
            delattr(self, name)

    def predict(self, X: Any) -> np.ndarray:
        """Return labels of the type of `classes_`, or values.

        Parameters
        ----------
        X : like in `fit`, shape (n_rows, n_columns)
            Columns of a frame or of records are matched by name: their order does not matter
            and extra ones are ignored. Columns of an array are matched by position.

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
        return self.classes_[self._adjustments.codes(predictions)]

    @available_if(solves_classes)
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

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return how good the predictions are, higher is better.

        With ``metric="auto"`` the score is accuracy for classification and R² for regression,
        as in every scikit-learn estimator; otherwise it is the metric that was optimised, in its
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
        warn_if_reordered(X, y, "y")
        predictions = self._predict(X)
        if (threshold := self._adjustments.threshold) is not None:
            predictions = labels_at(predictions[:, 1], threshold)
        return score_predictions(
            predictions,
            y,
            sample_weight,
            classes=None if self.problem_ == "regression" else self.classes_,
            number_format=getattr(self, "_number_format", None),
            metric=None if isinstance(self.metric, str) and self.metric == "auto" else self._metric,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.target_tags.required = True
        problem = known_problem(self)
        if problem == "regression":
            tags.estimator_type = "regressor"
        elif problem != "auto":
            tags.estimator_type = "classifier"
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "predictor_")


class AutoMetaClassifier(ClassifierMixin, AutoMeta):  # noqa: D101  # docstring derived from AutoMeta's
    __doc__ = docstring_without(
        AutoMeta,
        "problem",
        summary="AutoMeta for targets that are classes, whatever their type.",
        example="""
        >>> from sklearn.datasets import load_iris
        >>> from autometa import AutoMetaClassifier
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> model = AutoMetaClassifier(n_trials=3, strategies=["logistic_regression"]).fit(X, y)
        >>> bool(model.score(X, y) > 0.9)
        True
        """,
    )
    __init__ = init_without(AutoMeta, "problem")

    def _problem_choice(self) -> ProblemChoice:
        return "classification"

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return accuracy, or the chosen metric; see `AutoMeta.score`."""
        return AutoMeta.score(self, X, y, sample_weight)


class AutoMetaRegressor(RegressorMixin, AutoMeta):  # noqa: D101  # docstring derived from AutoMeta's
    __doc__ = docstring_without(
        AutoMeta,
        "problem",
        "pos_label",
        "calibrate",
        "tune_threshold",
        "classes_",
        summary="AutoMeta for targets that are numbers to predict.",
        example="""
        >>> from sklearn.datasets import load_diabetes
        >>> from autometa import AutoMetaRegressor
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> model = AutoMetaRegressor(n_trials=3, strategies=["ridge"]).fit(X, y)
        >>> bool(model.score(X, y) > 0.4)
        True
        """,
    )
    __init__ = init_without(AutoMeta, "problem", "pos_label", "calibrate", "tune_threshold")

    def _problem_choice(self) -> ProblemChoice:
        return "regression"

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², or the chosen metric; see `AutoMeta.score`."""
        return AutoMeta.score(self, X, y, sample_weight)


def _feature_names(labels: list[Any] | None) -> np.ndarray | None:
    """Return ``feature_names_in_``, None unless every name is text, as in scikit-learn, and unique."""
    if labels and all(isinstance(label, str) for label in labels) and len(set(labels)) == len(labels):
        return np.array([label[:] for label in labels], dtype=object)
    return None
