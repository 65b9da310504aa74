"""Fitted models in files, written and read without pickle: reading one runs no code from it.

A file is a zip of

==================  ============================================================================
``manifest.json``   format, versions of the libraries, class, parameters, kind of the problem
``history.json``    every trial of the search
``schema.json``     kinds of the columns
``model.skops``     fitted attributes and the ensemble, in the format of `skops`, which names the
                    types it needs; only types on the lists below are built
==================  ============================================================================
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import logging
import os
import uuid
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils.validation import check_is_fitted

import autometa
from autometa._support.imports import is_installed
from autometa._support.warning_filters import ignored_warnings, kept_warning_filters
from autometa.core.task import PROBLEMS
from autometa.ensemble.class_subset import ClassSubsetModel
from autometa.ensemble.predictor import FittedPredictor, upgrade_format_1
from autometa.estimators import AutoMeta, AutoMetaClassifier, AutoMetaRegressor
from autometa.evaluation.metrics import Metric, resolve_metric
from autometa.evaluation.scorers import callable_name
from autometa.exceptions import MissingDependencyError, PersistenceError
from autometa.learners import LEARNERS
from autometa.learners.untrusted_trees import check_trees
from autometa.search.search_history import SearchHistory
from autometa.tables.format_1 import update_preparation
from autometa.tables.schema import Schema

logger = logging.getLogger(__name__)

FORMAT = 2
"""Version of the format that this module writes, and the newest that it reads."""

_MOVED_MODULES = {
    "autometa.learners.categories": "autometa.tables.categories",
    "autometa.learners.measures": "autometa.tables.measures",
    "autometa.learners.mlp_maml": "autometa.learners.mlp_maml.learner",
    "autometa.learners.own": "autometa.learners.sklearn_estimator",
    "autometa.learners.preparation": "autometa.tables.preparation",
    "autometa.learners.scaling": "autometa.tables.scaling",
    "autometa.learners.text": "autometa.tables.text",
}
"""Where the types of a file of format 1 are now."""

TRUSTED_TYPES = (
    "autometa.ensemble.class_subset.ClassSubsetModel",
    "autometa.ensemble.predictor.FittedPredictor",
    "autometa.ensemble.predictor.Member",
    "autometa.learners.bayes.GaussianClassesModel",
    "autometa.learners.boosting.CatBoostModel",
    "autometa.learners.boosting.LightGBMModel",
    "autometa.learners.boosting.XGBoostModel",
    "autometa.tables.categories.CategoryCodes",
    "autometa.tables.categories.OneHot",
    "autometa.learners.constant.ConstantModel",
    "autometa.learners.constant.NoPreparation",
    "autometa.learners.kernels.KernelModel",
    "autometa.tables.measures.Measures",
    "autometa.learners.neighbours.NeighboursModel",
    "autometa.learners.mlp_maml.learner.SharedNetworkModel",
    "autometa.learners.neural.NeuralNetworkModel",
    "autometa.learners.numeric.LinearModel",
    "autometa.learners.numeric.TargetScale",
    "autometa.learners.sklearn_estimator.OwnModel",
    "autometa.tables.preparation.Preparation",
    "autometa.tables.scaling.Scaler",
    "autometa.tables.text.TextEmbedding",
    "autometa.tables.text.TextTopics",
    "autometa.learners.trees.ForestModel",
    "autometa.learners.trees.HistogramModel",
    # Trees are arrays of numbers that scikit-learn follows blindly; `check_trees` looks at them first.
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    # How histogram gradient boosting checks its numeric columns.
    "functools.partial",
    "sklearn.utils.validation.check_array",
)
"""Types that a file may hold, beyond those that skops trusts: plain values, numpy arrays, scikit-learn's estimators."""

_CLASSES = {cls.__name__: cls for cls in (AutoMeta, AutoMetaClassifier, AutoMetaRegressor)}
_LIBRARIES = ("autometa", "scikit-learn", "numpy", "pandas", "scipy", "skops", "lightgbm", "catboost", "xgboost")
_WARNED_ABOUT = ("autometa", "scikit-learn")
# Attributes that are written apart, or not at all.
_APART = ("study_", "history_", "_schema", "_metric")
_METRIC_FIELDS = ("name", "needs", "higher_is_better", "best")
# Never written: a URL may hold a password, and a study lives in its storage.
_NEVER_KEPT = ("study", "storage")


class LostScorer:
    """Stands for a scorer of the user's own, which a file cannot hold.

    Parameters
    ----------
    name : str
        What the scorer was called.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<scorer {self.name}, not kept in the file>"

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Say where the scorer has gone."""
        raise ValueError(
            f"The model was optimised for a scorer of your own ({self.name}), which is not kept in its file. "
            "Call it directly, as scorer(model, X, y), or set it before another fit: model.set_params(metric=scorer)."
        )


def save(model: AutoMeta, path: str | Path) -> Path:
    """Write a fitted model to a file that can be loaded without running code from it.

    Kept are the fitted ensemble, the history of the search, and the parameters that are
    plain values. Not kept are the study (it lives in its storage; `storage` itself may hold
    a password), callbacks, splitters, ``Strategy`` objects and scorers of your own;
    ``manifest.json`` in the file names them.

    Parameters
    ----------
    model : AutoMeta, AutoMetaClassifier or AutoMetaRegressor
        Fitted.
    path : str or Path
        The file, by convention ``*.autometa``. An existing one is replaced once the new
        one is complete.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    NotFittedError
        Before `fit`.
    PersistenceError
        If the file cannot be written, or a model of your own cannot be saved without pickle.
    """
    if type(model) not in _CLASSES.values():
        raise TypeError(f"Only {', '.join(_CLASSES)} can be saved, got {type(model).__name__}.")
    check_is_fitted(model, "predictor_")
    kept, dropped = _split_parameters(model)
    attributes = {
        name: value for name, value in vars(model).items() if name not in _APART and name not in model.get_params(False)
    }
    manifest = {
        "format": FORMAT,
        "versions": _versions(),
        "class": type(model).__name__,
        "problem": model.problem_,
        "metric": {name: getattr(model._metric, name) for name in _METRIC_FIELDS},
        "parameters": kept,
        "not_kept": dropped,
        "needs": sorted(_libraries_of(model.predictor_)),
    }
    content = {
        "manifest.json": _as_json(manifest, indent=2),
        "history.json": _as_json(asdict(model.history_.without_data())),
        "schema.json": _as_json(asdict(model._schema)),
        "model.skops": _dumped(attributes),
    }
    if dropped:
        logger.info("Not kept in %s: %s.", path, dropped)
    _write(Path(path), content)
    return Path(path)


def load(path: str | Path, trusted: Iterable[str | type] = ()) -> AutoMeta:
    """Return the model in a file written by `save`.

    Predictions are the same to the last bit with the same libraries on the same kind of
    machine. ``study_`` is None.

    Parameters
    ----------
    path : str or Path
        The file.
    trusted : iterable of str or type
        Types that the file may hold besides autometa's, numpy's and scikit-learn's, e.g.
        ``["mypackage.MyClassifier"]`` for an estimator of your own. Name only what you know:
        building an object of a type runs that type's code.

    Returns
    -------
    AutoMeta, AutoMetaClassifier or AutoMetaRegressor
        What was saved.

    Raises
    ------
    PersistenceError
        If the file cannot be read, is damaged, comes from a newer autometa, or holds types
        that are not trusted.
    MissingDependencyError
        If a library that the model needs is not installed.

    Warns
    -----
    UserWarning
        If the file was written with another version of autometa or scikit-learn.
    """
    if isinstance(trusted, (str, type)):
        trusted = [trusted]
    elif isinstance(trusted, bool):
        raise TypeError("trusted must name the types, e.g. ['mypackage.MyClassifier'], got a bool.")
    file = Path(path)
    with _reading(file), zipfile.ZipFile(file) as archive:
        manifest = _read_manifest(file, archive)
        history = json.loads(archive.read("history.json"))
        schema = json.loads(archive.read("schema.json"))
        dump = archive.read("model.skops")
        if manifest["format"] == 1:
            dump = _with_present_names(dump)
    for library in manifest.get("needs", ()):
        _check_installed(file, library)
    _compare_versions(file, manifest["versions"])
    attributes = _load_dump(file, dump, [*TRUSTED_TYPES, *(_type_name(item) for item in trusted)])
    with _reading(file):
        return _rebuilt(manifest, history, schema, attributes)


# ---------------------------------------------------------------------------------------------- saving


def _split_parameters(model: AutoMeta) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parameters that are plain values, and what the others were."""
    kept: dict[str, Any] = {}
    dropped: dict[str, str] = {}
    defaults = {name: value.default for name, value in inspect.signature(type(model)).parameters.items()}
    for name, value in model.get_params(deep=False).items():
        if value is defaults[name]:
            continue
        if name == "strategies" and isinstance(value, (list, tuple)):
            kept[name] = [str(item) for item in value if isinstance(item, (str, Path))] or None
            own = [item.name for item in value if not isinstance(item, (str, Path))]
            if own:
                dropped[name] = f"Strategy objects: {', '.join(own)}"
        elif name == "pos_label" and hasattr(model, "classes_"):
            # The class that it equals, which is a plain value whatever stood for it.
            kept[name] = next((label for label in model.classes_.tolist() if label == value), None)
        elif name in _NEVER_KEPT or not _is_plain(value):
            dropped[name] = _described(name, value)
        else:
            kept[name] = value
    return kept, dropped


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, np.bool_, np.integer, np.floating))


def _described(name: str, value: Any) -> str:
    return callable_name(value) if name == "metric" and callable(value) else type(value).__name__


def _versions() -> dict[str, str]:
    versions = {}
    for library in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[library] = metadata.version(library)
    return {**versions, "autometa": autometa.__version__}


def _libraries_of(predictor: FittedPredictor) -> set[str]:
    """Return the boosting libraries that the models need to predict."""
    own = {"LightGBMModel": "lightgbm", "CatBoostModel": "catboost", "XGBoostModel": "xgboost"}
    models = (model for member in predictor.members for model in member.models)
    used = {type(model.model if isinstance(model, ClassSubsetModel) else model).__name__ for model in models}
    return {library for name, library in own.items() if name in used}


def _as_json(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent, default=_plain_number).encode()


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain value")


def _dumped(attributes: Mapping[str, Any]) -> bytes:
    import skops.io  # takes seconds

    try:
        with kept_warning_filters():
            return skops.io.dumps(dict(attributes), compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    except Exception as error:  # whatever a foreign estimator's state holds
        raise PersistenceError(
            f"The model cannot be saved without pickle ({error}). That happens with estimators of your own that hold "
            "functions or open files; joblib.dump(model, path) writes a pickle, which only you should load."
        ) from error


def _write(path: Path, content: Mapping[str, bytes]) -> None:
    """Write a zip next to `path` and move it there once it is complete."""
    target = Path(os.path.realpath(path))
    # Not a name of the tempfile module's: the file should get the permissions that any new file gets.
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with unfinished.open("xb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in content.items():
                    # The dump is a compressed zip already.
                    kind = zipfile.ZIP_STORED if name.endswith(".skops") else zipfile.ZIP_DEFLATED
                    archive.writestr(name, data, compress_type=kind)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(target)
    except OSError as error:
        raise PersistenceError(
            f"{path} could not be written: {error.strerror or error}. What was there before is untouched; "
            "check the folder, its permissions and the space left, or choose another path."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------------- loading


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turn whatever goes wrong with the bytes of `file` into a PersistenceError."""
    try:
        yield
    except (PersistenceError, MissingDependencyError):
        raise
    except FileNotFoundError as error:
        raise PersistenceError(f"There is no file {file}.") from error
    except OSError as error:
        raise PersistenceError(f"{file} cannot be read: {error.strerror or error}.") from error
    except zipfile.BadZipFile as error:
        raise PersistenceError(
            f"{file} is not a model saved by autometa, or not all of it ({error}). "
            "Copy it again, or save the model again."
        ) from error
    except Exception as error:  # a forged or damaged file can fail anywhere
        raise PersistenceError(
            f"{file} is damaged, or was not written by autometa ({type(error).__name__}: {error}). "
            "Copy it again, or save the model again."
        ) from error


def _read_manifest(file: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    if "manifest.json" not in archive.namelist():
        raise PersistenceError(f"{file} is not a model saved by autometa, or not all of it: it has no manifest.json.")
    manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
    version = manifest["format"]
    if not isinstance(version, int) or version > FORMAT:
        raise PersistenceError(
            f"{file} has format {version}, written by autometa {manifest.get('versions', {}).get('autometa', '?')}; "
            f"autometa {autometa.__version__} reads formats up to {FORMAT}. Upgrade autometa."
        )
    return manifest


def _check_installed(file: Path, library: Any) -> None:
    extras = {learner.library: learner.extra for learner in LEARNERS}
    if library in extras and not is_installed(library):
        extra = f"autometa[{extras[library]}]" if extras[library] else library
        raise MissingDependencyError(
            f'The model in {file} needs {library!r}, which is not installed. Install it with: pip install "{extra}"'
        )


def _compare_versions(file: Path, then: Mapping[str, str]) -> None:
    now = _versions()
    differing = [
        f"{library} {then.get(library, '?')} (here: {now.get(library, '?')})"
        for library in _WARNED_ABOUT
        if then.get(library) != now.get(library)
    ]
    if differing:
        warnings.warn(
            f"{file} was saved with {' and '.join(differing)}. Predictions may differ; "
            "install the same versions, or fit and save the model again.",
            UserWarning,
            stacklevel=3,
        )


def _type_name(item: str | type) -> str:
    return item if isinstance(item, str) else f"{item.__module__}.{item.__qualname__}"


def _load_dump(file: Path, dump: bytes, trusted: list[str]) -> dict[str, Any]:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    # Said once above, not once per tree.
    with _reading(file), ignored_warnings(InconsistentVersionWarning):
        try:
            attributes: dict[str, Any] = skops.io.loads(dump, trusted=trusted)
        except UntrustedTypesFoundException:
            unknown = sorted(set(skops.io.get_untrusted_types(data=dump)) - set(trusted))
            asked = sorted(set(trusted) - set(TRUSTED_TYPES)) + unknown
            raise PersistenceError(
                f"{file} holds types that autometa does not trust: {', '.join(unknown)}. Nothing was loaded. "
                "If you know these types and who made the file, load it with "
                f"autometa.load({str(file)!r}, trusted={asked!r})."
            ) from None
        check_trees(attributes)
    return attributes


def _with_present_names(dump: bytes) -> bytes:
    """Return a dump of format 1 in which moved types have the names of today."""
    renamed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(dump)) as before, zipfile.ZipFile(renamed, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name == "schema.json":
                data = json.dumps(json.loads(data, object_hook=_with_present_module)).encode()
            after.writestr(name, data)
    return renamed.getvalue()


def _with_present_module(node: dict[str, Any]) -> dict[str, Any]:
    module = node.get("__module__")
    return {**node, "__module__": _MOVED_MODULES[module]} if module in _MOVED_MODULES else node


def _rebuilt(
    manifest: Mapping[str, Any], history: dict[str, Any], schema: dict[str, Any], attributes: dict[str, Any]
) -> AutoMeta:
    cls = _CLASSES[manifest["class"]]
    names = set(inspect.signature(cls).parameters)
    model = cls(**{name: value for name, value in manifest["parameters"].items() if name in names})
    for name, value in attributes.items():
        if name in names or not (name.endswith("_") or name.startswith("_")) or name.startswith("__"):
            raise PersistenceError(f"The file sets an attribute {name!r}, which no fitted model has.")
        setattr(model, name, value)
    if not isinstance(model.predictor_, FittedPredictor) or model.problem_ not in PROBLEMS:
        raise PersistenceError("The file holds no fitted ensemble.")
    if manifest["format"] == 1:
        upgrade_format_1(model.predictor_)
        for preparation in model.predictor_.preparations:
            update_preparation(preparation)
    if "metric" in manifest["not_kept"]:
        fields = manifest["metric"]
        model.metric = LostScorer(str(fields["name"]))
        model._metric = Metric(**{name: fields[name] for name in _METRIC_FIELDS}, function=model.metric)
    else:
        model._metric = resolve_metric(
            model.metric, model.problem_, getattr(model, "classes_", None), getattr(model, "pos_label", None)
        )
    model.history_ = SearchHistory(**history)
    model._schema = Schema(**schema)
    model.study_ = None  # it lives in its storage
    return model
