"""Methods of a fitted estimator beside those of scikit-learn: reports, columns, out-of-fold predictions, intervals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from autometa._support.machine import jobs_at_a_time
from autometa._support.process_state import kept_process_state
from autometa.continued_fit import WarmStart
from autometa.core.task import Problem
from autometa.ensemble.out_of_fold import MemberPredictions, OutOfFold, weighted_spread
from autometa.ensemble.predictor import MOST_ROWS_OF_PART, FittedPredictor
from autometa.posthoc.adjustments import Adjustments
from autometa.posthoc.conformal import class_sets
from autometa.report import leaderboard, strategy_report
from autometa.search.search_history import SearchHistory
from autometa.tables.clean_table import CleanTable
from autometa.tables.cleaning import clean
from autometa.tables.inputs import as_frame
from autometa.tables.schema import Schema


def known_problem(model: Any) -> str:
    """Return the problem of an estimator: the one of the fit, or before it the one that was asked for."""
    return getattr(model, "problem_", None) or model._problem_choice()


def solves_classes(model: Any) -> bool:
    """Return whether the problem of an estimator is classification, as far as is known."""
    if known_problem(model) == "regression":
        raise AttributeError("predict_proba and predict_set exist for classification only; y is a regression target.")
    return True


def solves_regression(model: Any) -> bool:
    """Return whether the problem of an estimator is regression, as far as is known."""
    if known_problem(model) not in ("regression", "auto"):
        raise AttributeError("predict_interval exists for regression only; for classes there is predict_set.")
    return True


class FittedModel:
    """Methods of a fitted estimator beside those of scikit-learn."""

    n_jobs: int | None
    n_features_in_: int
    problem_: Problem
    predictor_: FittedPredictor
    history_: SearchHistory
    _schema: Schema
    # Models in files of earlier versions know no adjustments, and no file keeps out-of-fold predictions.
    _adjustments = Adjustments()
    _out_of_fold: OutOfFold | None = None
    _targets: np.ndarray | None = None
    _member_predictions: MemberPredictions | None = None
    _warm_start: WarmStart | None = None
    _n_rows: int
    # Columns of the file that the command line fitted, by their role: "target", "weight" and "id".
    _roles: Mapping[str, Any] = MappingProxyType({})

    def leaderboard(self, *, full: bool = False) -> pd.DataFrame:
        """Return a table of the trials, best first; see ``autometa.report.leaderboard`` for the columns.

        Parameters
        ----------
        full : bool, default=False
            Whether to add the configuration, its predicted loss and seconds, its error, and
            the losses by fold and anchor.
        """
        check_is_fitted(self, "predictor_")
        return leaderboard(self.history_, full=full)

    def report(self, *, full: bool = False) -> pd.DataFrame:
        """Return a table of the strategies, most probable first; see ``autometa.report.strategy_report``.

        Parameters
        ----------
        full : bool, default=False
            Whether to add the recommended configuration with its predictions, the seconds, the
            best configuration, and the strategies that are not for this kind of problem.
        """
        check_is_fitted(self, "predictor_")
        return strategy_report(self.history_, full=full)

    def report_html(self, path: str | Path, X: Any = None, y: Any = None) -> Path:
        """Write a page on the fitted model, in one file that needs no network.

        The page shows the score, the course of the search, what was recommended, the ensemble, the columns, warnings,
        seconds and memory, and how good the predictions are. It needs matplotlib, which the extra ``plots`` installs.

        Parameters
        ----------
        path : str or Path
            The file, e.g. ``"report.html"``; an existing one is replaced once the new one is complete.
        X, y : like in `score`, optional
            Rows to judge the predictions on, with their true labels or values. None is the rows of `fit`, predicted
            out-of-fold; a model from a file has no such predictions, and its page says so.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ValueError
            If X is given without y, or y without X.
        MissingDependencyError
            If matplotlib is not installed.
        OSError
            If the file cannot be written.
        """
        check_is_fitted(self, "predictor_")
        from autometa.html_report.page import write_page

        return write_page(self, Path(path), X, y)

    def save(self, path: str | Path) -> Path:
        """Write the fitted model to a file that can be loaded without running code from it.

        Parameters
        ----------
        path : str or Path
            The file; an existing one is replaced once the new one is complete.

        Returns
        -------
        Path
            The file. ``autometa.load(path)`` reads it.
        """
        from autometa.persistence import save

        return save(self, path)

    def refit(self, X: Any, y: Any, *, sample_weight: Any = None, time_budget: float | None = None) -> Self:
        """Return a new model: the ensemble of this one, fitted on other rows without a search.

        Configurations and weights are those of this model, which stays as it is. Each configuration is fitted once, on
        all rows, with the mean number of iterations that early stopping chose in `fit`, times the square root of how
        many times more rows there are. Kinds of columns and levels of categories are learnt again; classes,
        temperature, threshold and the errors behind intervals and sets are kept. There are no out-of-fold predictions.

        Parameters
        ----------
        X, y, sample_weight : like in `fit`
            The rows to fit on, with the columns of `fit`. Classes may be missing, but none may be new.
        time_budget : float or None, default=None
            Seconds, > 0; None for no limit. Members with more weight come first.

        Returns
        -------
        AutoMeta, AutoMetaClassifier or AutoMetaRegressor
            The new model, of the same class and with the same parameters. It can be saved as well.

        Raises
        ------
        ValueError
            If columns are missing, y has unknown classes, or there are too few rows.
        SearchFailedError
            If no member could be fitted within the budget.

        Warns
        -----
        UserWarning
            If some members could not be fitted; the others share their weight.
        """
        check_is_fitted(self, "predictor_")
        from autometa.refitting import refitted_model

        with kept_process_state():
            return refitted_model(self, X, y, sample_weight, time_budget)

    def compact_options(self, X: Any = None, y: Any = None) -> pd.DataFrame:
        """Return smaller ensembles of this model's members with their price.

        Each member alone is an option, and so are ensembles that grow from the best one member at a time. Their weights
        are chosen again, on out-of-fold predictions or on the rows that are given.

        Parameters
        ----------
        X, y : like in `fit`, optional
            Rows that `fit` has not seen; needed for a loaded model, as files keep no out-of-fold predictions.

        Returns
        -------
        DataFrame
            A row per option, least loss first: ``trials`` and ``weights`` of the members; ``loss`` on the rows, lower
            is better; ``price``, the loss minus that of this model on the same rows; ``ms``, milliseconds of predicting
            1,000 cleaned rows in one thread; ``mb``, megabytes in a saved file.

        Raises
        ------
        ValueError
            If there are no out-of-fold predictions and no rows are given.
        """
        check_is_fitted(self, "predictor_")
        from autometa.compacting import compact_options

        with kept_process_state():
            return compact_options(self, X, y)

    def compact(
        self,
        X: Any = None,
        y: Any = None,
        *,
        max_ms: float | None = None,
        max_mb: float | None = None,
        max_loss: float | None = None,
    ) -> Self:
        """Return a smaller model: the ensemble of `compact_options` with the least loss within the limits.

        With `max_loss` alone it is the quickest one. This model stays as it is. ``refit`` on the rows of `fit` first
        puts one model in place of those of the folds, which is several times smaller and quicker.

        Parameters
        ----------
        X, y : like in `fit`, optional
            Rows that `fit` has not seen; needed for a loaded model.
        max_ms : float or None
            Most milliseconds for predicting 1,000 rows in one thread.
        max_mb : float or None
            Most megabytes in a saved file.
        max_loss : float or None
            Largest loss, as in the column ``loss`` of `compact_options`.

        Returns
        -------
        AutoMeta, AutoMetaClassifier or AutoMetaRegressor
            The smaller model. Its price in loss is logged, and is a note in its report.

        Raises
        ------
        ValueError
            If no option is within the limits, with what is possible; or as in `compact_options`.
        """
        check_is_fitted(self, "predictor_")
        from autometa.compacting import compact_model

        with kept_process_state():
            return compact_model(self, X, y, {"ms": max_ms, "mb": max_mb, "loss": max_loss})

    def pipeline(self, trial: int | None = None) -> Pipeline:
        """Return a trial as an unfitted scikit-learn pipeline, which works without the rest of autometa.

        The step ``"prepare"`` is autometa's preparation of raw tables, the step ``"model"`` the estimator of LightGBM,
        CatBoost, XGBoost or scikit-learn itself. autometa's own learners (networks, kernel machines, nearest
        neighbours, discriminant analysis, and XGBoost for labels other than 0, 1, …) are there as estimators of
        autometa. Parameters reproduce the trial as nearly as the library allows; the number of iterations is the mean
        that early stopping chose in the trial.

        Parameters
        ----------
        trial : int or None, default=None
            Number of a trial, as in ``leaderboard()``; None for the best one.

        Returns
        -------
        sklearn.pipeline.Pipeline
            For ``clone``, ``cross_val_score`` or ``GridSearchCV``, e.g. over ``model__C``.

        Raises
        ------
        ValueError
            If there is no such trial, or its `Strategy` is not known to a loaded model.
        MissingDependencyError
            If the library is not installed.
        """
        check_is_fitted(self, "predictor_")
        from autometa.pipelines import pipeline_of_trial

        return pipeline_of_trial(self, trial)

    def columns(self) -> pd.DataFrame:
        """Return what was made of each column of X.

        Returns
        -------
        DataFrame
            A row per column, in the order of X: ``column``; ``kind`` (``"number"``, ``"timedelta"``, ``"datetime"``,
            ``"category"``, ``"text"``, or ``"left out"``); and ``note``: the format of text that is read as something
            else, the number of levels of a category, or why the column is left out.
        """
        check_is_fitted(self, "predictor_")
        schema = self._schema
        kinds = schema.kinds
        rows = []
        for name in schema.columns:
            note = schema.dropped.get(name, "")
            if name in schema.categories:
                note = f"{len(schema.categories[name])} levels"
            elif (style := schema.formats.get(name)) and style != "timedelta":
                note = f"text read as {style}"
            rows.append((name, kinds.get(name, "left out"), note))
        return pd.DataFrame(rows, columns=["column", "kind", "note"])

    def oof_predictions(self) -> np.ndarray:
        """Return the ensemble's out-of-fold predictions for the rows of X that `fit` was given.

        Each row is predicted by models that were not fitted on it, so these predictions are about as good as those of
        new rows. They are a little better, because the ensemble's weights were chosen on them.

        Returns
        -------
        ndarray of shape (n_rows, n_classes) or (n_rows,)
            Class probabilities in the order of ``classes_``, or values. NaN for rows that no fold validated: after a
            holdout most of them, and rows of weight 0.

        Raises
        ------
        ValueError
            If the model comes from a file, which does not keep them, or if y was constant in `fit`.
        """
        check_is_fitted(self, "predictor_")
        if self._out_of_fold is None:
            raise ValueError(
                "There are no out-of-fold predictions: a file written by `save` does not keep them, and a constant y "
                "has none. Call oof_predictions() before saving, or fit again."
            )
        predictions = self._out_of_fold.by_row(self._n_rows)
        return predictions if self.problem_ == "regression" else self._adjustments.probabilities(predictions)

    @available_if(solves_regression)
    def predict_interval(self, X: Any, coverage: float = 0.9) -> np.ndarray:
        """Return intervals that hold the value of a new row with a stated probability.

        The widths come from the errors of out-of-fold predictions. They are larger where the members of the ensemble
        disagree, and where errors of predictions of that size were larger. The coverage is an average over rows that
        are drawn like those of `fit`: it is not promised for each part of the rows, nor for groups or times that `fit`
        has not seen unless its folds kept them apart (`groups`, `cv`). With ``cv="time"`` the errors are those on
        later rows, and the coverage holds as far as the future errs like them.

        Parameters
        ----------
        X : like in `predict`
            The rows.
        coverage : float, default=0.9
            In (0, 1).

        Returns
        -------
        ndarray of shape (n_rows, 2)
            Lower and upper bounds.

        Raises
        ------
        ValueError
            If the coverage is not in (0, 1), or `fit` had too few rows for it.
        """
        check_is_fitted(self, "predictor_")
        _check_coverage(coverage)
        if self._adjustments.intervals is None:
            raise ValueError(_WITHOUT.format("intervals", "predict_interval"))
        with kept_process_state():
            values = self.predictor_.member_values(self._cleaned(X))
        weights = np.array([member.weight for member in self.predictor_.members])
        return self._adjustments.intervals.around(weights @ values, weighted_spread(values, weights), coverage)

    @available_if(solves_classes)
    def predict_set(self, X: Any, coverage: float = 0.9) -> np.ndarray:
        """Return for each row the classes of which one is the true one with a stated probability.

        A class belongs to the set when its probability is large enough, judged by out-of-fold predictions; the
        likeliest class always does. What the coverage promises is the same as for `predict_interval`.

        Parameters
        ----------
        X : like in `predict`
            The rows.
        coverage : float, default=0.9
            In (0, 1).

        Returns
        -------
        ndarray of shape (n_rows, n_classes), bool
            Whether each class is in the set, in the order of ``classes_``.

        Raises
        ------
        ValueError
            If the coverage is not in (0, 1), or `fit` had too few rows for it.
        """
        check_is_fitted(self, "predictor_")
        _check_coverage(coverage)
        if self._adjustments.class_scores is None:
            raise ValueError(_WITHOUT.format("sets", "predict_set"))
        return class_sets(self._predict(X), self._adjustments.class_scores, coverage)

    def _predict(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "predictor_")
        with kept_process_state():
            return self._predict_cleaned(self._cleaned(X))

    def _predict_cleaned(self, X: CleanTable) -> np.ndarray:
        # How many cores may be used is read from files, which takes as long as a model for one row.
        n_threads = jobs_at_a_time(self.n_jobs) if len(X) > MOST_ROWS_OF_PART else 1
        with kept_process_state():
            return self._adjusted(self.predictor_.predict(X, n_threads))

    def _adjusted(self, predictions: np.ndarray) -> np.ndarray:
        return predictions if self.problem_ == "regression" else self._adjustments.probabilities(predictions)

    def _cleaned(self, X: Any) -> CleanTable:
        frame = as_frame(X, self._schema.columns, self.n_features_in_, owner=type(self).__name__)
        return clean(frame, self._schema)


_WITHOUT = (
    "This model knows nothing that {} could be made from: it comes from a file of an earlier version, or y was "
    "constant in fit. Fit it again to use {}."
)


def _check_coverage(coverage: float) -> None:
    if not isinstance(coverage, (int, float, np.floating)) or not 0 < coverage < 1:
        raise ValueError(f"coverage must be a number between 0 and 1, e.g. 0.9, got {coverage!r}.")
