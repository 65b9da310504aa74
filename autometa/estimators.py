"""AutoMeta, AutoMetaClassifier and AutoMetaRegressor: the parts put together behind scikit-learn's interface."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from optuna.storages import BaseStorage
from optuna.study import Study
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from autometa._support.derived import docstring_without, init_without
from autometa._support.log_output import logged_by, quiet_optuna
from autometa._support.machine import jobs_at_a_time
from autometa._support.process_state import kept_process_state
from autometa._support.progress import LogHandler
from autometa._support.user_warnings import warn_user
from autometa.catalogue import load_strategies
from autometa.core.proposal import Policy
from autometa.core.strategy import Strategy
from autometa.ensemble.predictor import FittedPredictor, Member
from autometa.evaluation.metrics import Metric
from autometa.fit_inputs import read_inputs, warn_if_reordered
from autometa.fitting import Fitted, Settings, fit_task
from autometa.learners.constant import ConstantModel, NoPreparation
from autometa.parameters import read_settings
from autometa.policy.registry import DEFAULT_POLICY
from autometa.report import closing_line, leaderboard, strategy_report
from autometa.search.search_history import SearchHistory
from autometa.search.studies import open_study
from autometa.tables.cleaning import clean
from autometa.tables.inputs import as_frame
from autometa.tables.table_task import Task
from autometa.tables.target import ProblemChoice, read_codes, read_values

logger = logging.getLogger(__name__)


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
        Kind of the target. ``"auto"`` goes by a metric that fits one kind of problem. Else it
        reads categories, booleans, and two whole numbers as classes; numbers with fractions as
        regression; other whole numbers as classes if there are at most 20 distinct ones, each
        occurring three times on average, else as regression, and says so in a warning when up
        to 100 distinct ones leave room for doubt; text as classes, unless it holds many
        distinct numbers, which are a regression, with a warning.
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
    pos_label : label or None, default=None
        Which of two classes is the positive one for a metric of one class (``"f1"``, ``"precision"``,
        ``"recall"``, ``"average_precision"``); None is the one that sorts last. The report says which.
    strategies : sequence of (str, path or Strategy), or None, default=None
        What may be tried: names of shipped strategies, paths of strategy files, or
        ``Strategy`` objects around any scikit-learn estimator. None is all shipped ones.
    policy : {"gaussian", "attention", "portfolio", "recurrent", "prior"}, path or Policy, default="gaussian"
        What decides which configurations are tried: policies learnt from past tasks (fits of less
        than 8 s use the hand-made one instead of ``"gaussian"``, as there is no time to learn from
        records); the hand-made ``"prior"``; the folder of weights of your own that
        `autometa train` wrote; or an object with a method ``propose``.
    experience : str, Path or None, default=None
        Folder of your own experience: every fit adds what it measured (meta-features,
        configurations, losses, seconds, types of errors; no rows, labels or names), and
        learnt policies go by it as well.
    cv : int, splitter, iterable or None, default=None
        Number of folds, a scikit-learn splitter, which gets X, y and groups as they were
        given, or (train, validation) row numbers or masks. None chooses folds or a
        holdout by rows and budget; folds are stratified, and keep groups together when `fit` is
        given some.
    ensemble_size : int, default=40
        Rounds of ensemble selection, >= 1; 1 keeps the best trial alone.
    n_jobs : int or None, default=-1
        Evaluations at a time, each a process with one thread; -1 is one per core. Never more
        than the cores that this process may use (affinity, quota of a container).
    memory_limit : float or None, default=None
        GiB that all worker processes together may allocate, > 0; a trial that wants more
        fails alone. None is 2 GiB + 10 × the prepared table, within what is free. It is on
        address space, with room of 2 GiB per process for what allocators reserve unused.
    study : optuna.Study or None, default=None
        Study to search in, with your own sampler, pruner and storage; it must minimise.
    storage : str, optuna.storages.BaseStorage or None, default=None
        Where to keep a new study, e.g. ``"sqlite:///study.db"``. With `study_name`, a
        study that is there already is resumed: its best configurations come first, what is
        known is not tried again, and the rows may be others.
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
        Every trial with its losses and seconds, and notes on what was decided for you.

    Notes
    -----
    scikit-learn's tools ask for the kind of problem before `fit`. `AutoMetaClassifier` and
    `AutoMetaRegressor` know it; of ``AutoMeta()`` cross-validation does not stratify the folds, and
    stacking refuses it.

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
        self.pos_label = pos_label
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
        X : DataFrame, array, sparse matrix, rows or records, shape (n_rows, n_columns)
            The raw table: numbers, booleans, categories, text, dates and durations with
            missing values, as they came. It is not changed.
        y : Series, array or list of shape (n_rows,)
            The target: numbers, booleans or text, nothing missing.
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
        settings = read_settings(self, start_s)
        strategies = load_strategies(self.strategies)
        inputs = read_inputs(
            X,
            y,
            sample_weight=sample_weight,
            groups=groups,
            problem=self._problem_choice(),
            metric=self.metric,
            pos_label=getattr(self, "pos_label", None),
            cv=settings.cv,
        )
        task, metric = inputs.task, inputs.metric
        if inputs.folds is not None:
            settings = replace(settings, cv=inputs.folds)

        for note in inputs.notes:
            logger.info(note)
        if task.problem == "regression" and np.ptp(task.y) == 0:
            fitted = _fit_constant(task, metric, strategies, settings)
        else:
            fitted = fit_task(task, metric, strategies, settings)
        fitted.history.total_s = time.monotonic() - start_s
        logger.info(closing_line(fitted.history, metric))
        # Only now: a fit that fails leaves the fit before it as it was.
        self.n_features_in_, self.problem_ = inputs.raw.n_features, task.problem
        self._number_format = inputs.target.number_format
        self._keep("feature_names_in_", _feature_names(inputs.raw.labels))
        self._keep("classes_", inputs.target.classes)
        self._schema, self._metric = task.table.schema, metric
        self.predictor_, self.history_, self.study_ = fitted.predictor, fitted.history, fitted.study
        self.history_.notes = inputs.notes
        return self

    def _problem_choice(self) -> ProblemChoice:
        return self.problem

    def _keep(self, name: str, value: Any) -> None:
        """Set a fitted attribute, or forget that of the last fit."""
        if value is not None:
            setattr(self, name, value)
        elif hasattr(self, name):
            delattr(self, name)

    # ------------------------------------------------------------------ predict

    def predict(self, X: Any) -> np.ndarray:
        """Return labels of the type of `classes_`, or values.

        Parameters
        ----------
        X : like in `fit`, shape (n_rows, n_columns)
            Columns of a frame or of records are matched by name: their order does not matter
            and extra ones are ignored. Those of an array are matched by position.

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
        with kept_process_state():
            frame = as_frame(X, self._schema.columns, self.n_features_in_, owner=type(self).__name__)
            return self.predictor_.predict(clean(frame, self._schema), jobs_at_a_time(self.n_jobs))

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
        warn_if_reordered(X, y, "y")
        predictions = self._predict(X)
        is_regression = self.problem_ == "regression"
        if is_regression:
            truth = read_values(y, len(predictions), getattr(self, "_number_format", None))
        else:
            truth = read_codes(y, len(predictions), self.classes_)
        if isinstance(self.metric, str) and self.metric == "auto":
            if not is_regression:
                return float(accuracy_score(truth, predictions.argmax(axis=1), sample_weight=sample_weight))
            # R² has no units, and squares of the largest floats overflow.
            unit = float(np.abs(truth).max()) or 1.0
            return float(r2_score(truth / unit, predictions / unit, sample_weight=sample_weight))
        if not is_regression and (truth < 0).any():
            unknown = np.unique(np.asarray(y, dtype=object)[truth < 0].astype(str))[:5].tolist()
            raise ValueError(
                f"y holds labels that were not in fit: {unknown}. Leave these rows out, or fit on rows of every class, "
                "as cross-validation does when it is stratified."
            )
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return float(-self._metric.loss(truth, predictions, weight) + self._metric.best)

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


class AutoMetaClassifier(ClassifierMixin, AutoMeta):  # noqa: D101  # its text is made from AutoMeta's
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
        """Return accuracy, or the metric that was asked for; see `AutoMeta.score`."""
        return AutoMeta.score(self, X, y, sample_weight)


class AutoMetaRegressor(RegressorMixin, AutoMeta):  # noqa: D101  # its text is made from AutoMeta's
    __doc__ = docstring_without(
        AutoMeta,
        "problem",
        "pos_label",
        "classes_",
        summary="AutoMeta for targets that are amounts.",
        example="""
        >>> from sklearn.datasets import load_diabetes
        >>> from autometa import AutoMetaRegressor
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> model = AutoMetaRegressor(n_trials=3, strategies=["ridge"]).fit(X, y)
        >>> bool(model.score(X, y) > 0.4)
        True
        """,
    )
    __init__ = init_without(AutoMeta, "problem", "pos_label")

    def _problem_choice(self) -> ProblemChoice:
        return "regression"

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², or the metric that was asked for; see `AutoMeta.score`."""
        return AutoMeta.score(self, X, y, sample_weight)


def _feature_names(labels: list[Any] | None) -> np.ndarray | None:
    """Return ``feature_names_in_`` as scikit-learn does: when every name is text; here also only when unique."""
    if labels and all(isinstance(label, str) for label in labels) and len(set(labels)) == len(labels):
        return np.array([label[:] for label in labels], dtype=object)
    return None


def _fit_constant(task: Task, metric: Metric, strategies: Sequence[Strategy], settings: Settings) -> Fitted:
    value = float(task.y[0])
    warn_user(f"y is {value:g} in every row, so the model predicts {value:g} for every row. Check the target column.")
    member = Member(0, 1.0, [ConstantModel(value)], [0])
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
