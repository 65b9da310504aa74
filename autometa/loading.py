"""load: makes an estimator of the record in a file; the counterpart of `autometa.save`."""
# Tests: tests/test_persistence.py

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from autometa.core.task import PROBLEMS
from autometa.ensemble.predictor import FittedPredictor
from autometa.estimators import AutoMeta, AutoMetaClassifier, AutoMetaRegressor
from autometa.evaluation.metrics import Metric, resolve_metric
from autometa.exceptions import PersistenceError
from autometa.persistence import METRIC_FIELDS, FittedRecord, read_record, reading_model
from autometa.saved_formats import upgrade_predictor
from autometa.search.search_history import SearchHistory
from autometa.tables.schema import Schema

_CLASSES = {cls.__name__: cls for cls in (AutoMeta, AutoMetaClassifier, AutoMetaRegressor)}


class LostScorer:
    """Stands for a custom scorer, which a file cannot hold.

    Parameters
    ----------
    name : str
        Name of the scorer.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<scorer {self.name}, not kept in the file>"

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise a ValueError that tells how to score."""
        raise ValueError(
            f"The model was optimised for a scorer of your own ({self.name}), which is not kept in its file. "
            "Call it directly, as scorer(model, X, y), or set it before another fit: model.set_params(metric=scorer)."
        )


def load(path: str | Path, trusted: Iterable[str | type] = ()) -> AutoMeta:
    """Return the model in a file written by `save`.

    Predictions are the same to the last bit with the same libraries on the same kind of machine. ``study_`` is None.

    Parameters
    ----------
    path : str or Path
        The file.
    trusted : iterable of str or type
        Types that the file may hold besides autometa's, NumPy's and scikit-learn's, e.g. ``["mypackage.MyClassifier"]``
        for an estimator of your own. Name only types that you know: building an object of a type runs that type's code.

    Returns
    -------
    AutoMeta, AutoMetaClassifier or AutoMetaRegressor
        The saved model.

    Raises
    ------
    PersistenceError
        If the file cannot be read, is damaged, comes from a newer autometa, or holds types that are not trusted.
    MissingDependencyError
        If a library that the model needs is not installed.

    Warns
    -----
    UserWarning
        If the file was written with another version of autometa or scikit-learn.
    """
    record = read_record(path, trusted)
    with reading_model(Path(path)):
        return _rebuilt(record)


def _rebuilt(record: FittedRecord) -> AutoMeta:
    manifest = record.manifest
    cls = _CLASSES[manifest["class"]]
    names = set(inspect.signature(cls).parameters)
    model = cls(**{name: value for name, value in manifest["parameters"].items() if name in names})
    for name, value in record.attributes.items():
        if name in names or not (name.endswith("_") or name.startswith("_")) or name.startswith("__"):
            raise PersistenceError(f"The file sets an attribute {name!r}, which no fitted model has.")
        setattr(model, name, value)
    if not isinstance(model.predictor_, FittedPredictor) or model.problem_ not in PROBLEMS:
        raise PersistenceError("The file holds no fitted ensemble.")
    upgrade_predictor(model.predictor_, manifest["format"])
    if "metric" in manifest["not_kept"]:
        fields = manifest["metric"]
        model.metric = LostScorer(str(fields["name"]))
        model._metric = Metric(**{name: fields[name] for name in METRIC_FIELDS}, function=model.metric)
    else:
        model._metric = resolve_metric(
            model.metric, model.problem_, getattr(model, "classes_", None), getattr(model, "pos_label", None)
        )
    model.history_ = SearchHistory(**record.history)
    model._schema = Schema(**record.schema)
    model.study_ = None  # it lives in its storage
    return model
