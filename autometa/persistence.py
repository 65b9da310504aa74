"""Writes and reads fitted models without pickle: reading a file runs no code from it.

A file is a zip of

==================  ============================================================================
``manifest.json``   format, versions of the libraries, class, parameters, kind of the problem
``history.json``    every trial of the search
``schema.json``     kinds of the columns
``model.skops``     fitted attributes with the ensemble, in the format of `skops`, which names the
                    types that it needs; only `TRUSTED_TYPES` and those of skops are built
==================  ============================================================================

This module knows plain records of fitted estimators; `autometa.loading` makes estimators of them. Every format keeps
two files among the tests (``tests/saved_models/format_<n>_*``) that must load; `autometa.saved_formats` upgrades them.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import logging
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils.validation import check_is_fitted

import autometa
from autometa._support.files import replaced
from autometa._support.imports import is_installed, skops_io
from autometa._support.user_warnings import warn_user
from autometa._support.warning_filters import ignored_warnings, kept_warning_filters
from autometa.ensemble.class_subset import ClassSubsetModel
from autometa.ensemble.predictor import FittedPredictor, Member
from autometa.evaluation.scorers import callable_name
from autometa.exceptions import MissingDependencyError, PersistenceError
from autometa.learners import LEARNERS
from autometa.learners.boosting import BoostedModel
from autometa.learners.constant import ConstantModel, NoPreparation
from autometa.learners.numeric import TargetScale
from autometa.learners.sklearn_estimator import OwnModel
from autometa.learners.trees import ForestModel
from autometa.learners.untrusted_trees import check_trees, reachable
from autometa.posthoc.adjustments import Adjustments
from autometa.posthoc.conformal import ErrorScale, Intervals
from autometa.posthoc.score_estimate import ScoreEstimate
from autometa.saved_formats import FORMAT, upgraded_dump
from autometa.tables.kinds import KINDS
from autometa.tables.measures import Measures
from autometa.tables.preparation import Preparation
from autometa.tables.scaling import Scaler

logger = logging.getLogger(__name__)

ESTIMATORS = ("AutoMeta", "AutoMetaClassifier", "AutoMetaRegressor")
"""Names of the classes whose objects can be saved."""


def _type_name(item: str | type) -> str:
    return item if isinstance(item, str) else f"{item.__module__}.{item.__qualname__}"


_SHARED_TYPES = (
    ClassSubsetModel,
    FittedPredictor,
    Member,
    ConstantModel,
    NoPreparation,
    OwnModel,
    TargetScale,
    Measures,
    Preparation,
    Scaler,
    Adjustments,
    ErrorScale,
    Intervals,
    ScoreEstimate,
)
# The others are named by the learner or the kind of column that they belong to.
_OWN_TYPES = [cls for learner in LEARNERS for cls in learner.saved_types]
_OWN_TYPES += [cls for kind in KINDS for cls in kind.saved_types()]

TRUSTED_TYPES = (
    *dict.fromkeys(_type_name(cls) for cls in (*_SHARED_TYPES, *_OWN_TYPES)),
    # scikit-learn follows the indices in trees without checks; `check_trees` checks them first.
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    # Histogram gradient boosting checks numeric columns by a partial function.
    "functools.partial",
    "sklearn.utils.validation.check_array",
)
"""Types that a file may hold in addition to those that skops trusts: plain values, NumPy arrays, scikit-learn's own."""

METRIC_FIELDS = ("name", "higher_is_better", "best")
"""Fields of a metric that are written."""

_LIBRARIES = ("autometa", "scikit-learn", "numpy", "pandas", "scipy", "skops", "lightgbm", "catboost", "xgboost")
_WARNED_ABOUT = ("autometa", "scikit-learn")
# Attributes that are written in files of their own, or not at all.
_LEAST_SHARED_BYTES = 1024
_SEPARATE = (
    *("study_", "history_", "_schema", "_metric"),
    *("_out_of_fold", "_held_out", "_targets", "_member_predictions", "_warm_start"),
)
# Never written: a URL may hold a password, and a study lives in its storage.
_NEVER_KEPT = ("study", "storage")


@dataclass(frozen=True)
class FittedRecord:
    """A fitted estimator as plain values.

    Parameters
    ----------
    manifest : mapping of str to value
        See the module.
    history, schema : mapping of str to value
        Fields of the `SearchHistory` and of the `Schema`.
    attributes : mapping of str to value
        The other fitted attributes, with the ensemble.
    """

    manifest: Mapping[str, Any]
    history: Mapping[str, Any]
    schema: Mapping[str, Any]
    attributes: Mapping[str, Any]


def save(model: BaseEstimator, path: str | Path) -> Path:
    """Write a fitted model to a file that can be loaded without running code from it.

    The file holds the fitted ensemble, the history of the search, and the parameters that are plain values. It does not
    hold the study (it lives in its storage; `storage` itself may hold a password), callbacks, splitters, ``Strategy``
    objects and custom scorers; ``manifest.json`` in the file names them.

    Parameters
    ----------
    model : AutoMeta, AutoMetaClassifier or AutoMetaRegressor
        A fitted estimator.
    path : str or Path
        The file, by convention ``*.autometa``. An existing one is replaced once the new one is complete.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    NotFittedError
        Before `fit`.
    PersistenceError
        If the file cannot be written, or an estimator of your own cannot be saved without pickle.
    """
    cls = type(model)
    if cls.__name__ not in ESTIMATORS or not cls.__module__.startswith("autometa."):
        raise TypeError(f"Only {', '.join(ESTIMATORS)} can be saved, got {cls.__name__}.")
    check_is_fitted(model, "predictor_")
    record = _record_of(model)
    content = {
        "manifest.json": _as_json(record.manifest, indent=2),
        "history.json": _as_json(record.history),
        "schema.json": _as_json(record.schema),
        "model.skops": dumped(record.attributes),
    }
    if record.manifest["not_kept"]:
        logger.info("Not kept in %s: %s.", path, record.manifest["not_kept"])
    _write(Path(path), content)
    return Path(path)


def read_record(path: str | Path, trusted: Iterable[str | type] = ()) -> FittedRecord:
    """Return the record in a file written by `save`; see `autometa.load` for `trusted`, errors and warnings."""
    if isinstance(trusted, (str, type)):
        trusted = [trusted]
    elif isinstance(trusted, bool):
        raise TypeError("trusted must name the types, e.g. ['mypackage.MyClassifier'], got a bool.")
    file = Path(path)
    with reading_model(file), zipfile.ZipFile(file) as archive:
        manifest = _read_manifest(file, archive)
        history = json.loads(archive.read("history.json"))
        schema = json.loads(archive.read("schema.json"))
        dump = archive.read("model.skops")
        if manifest["format"] < FORMAT:
            dump = upgraded_dump(dump)
    for library in manifest.get("needs", ()):
        _check_installed(file, library)
    _compare_versions(file, manifest["versions"])
    attributes = _load_dump(file, dump, [*TRUSTED_TYPES, *(_type_name(item) for item in trusted)])
    return FittedRecord(manifest, history, schema, attributes)


# ---------------------------------------------------------------------------------------------- saving


def _record_of(model: Any) -> FittedRecord:
    kept, dropped = _split_parameters(model)
    skipped = {*_SEPARATE, *model.get_params(deep=False)}
    manifest = {
        "format": FORMAT,
        "versions": _versions(),
        "class": type(model).__name__,
        "problem": model.problem_,
        "metric": {name: getattr(model._metric, name) for name in METRIC_FIELDS},
        "parameters": kept,
        "not_kept": dropped,
        "needs": sorted(_libraries_of(model.predictor_)),
    }
    attributes = {name: value for name, value in vars(model).items() if name not in skipped}
    return FittedRecord(manifest, asdict(model.history_.without_data()), asdict(model._schema), attributes)


def _split_parameters(model: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parameters that are plain values, and descriptions of the others."""
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
            # The equal class is a plain value, whatever type the label had.
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
    """Return the boosting libraries that the models need for predicting."""
    models = (model for member in predictor.members for model in member.models)
    used = {type(model.model if isinstance(model, ClassSubsetModel) else model) for model in models}
    return {cls.library for cls in used if issubclass(cls, BoostedModel)}


def _as_json(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent, default=_plain_number).encode()


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a plain value")


def dumped(attributes: Mapping[str, Any]) -> bytes:
    """Return attributes of models, with equal arrays shared, as skops writes them."""
    skops = skops_io()  # takes seconds

    share_arrays(attributes["predictor_"])
    try:
        with kept_warning_filters():
            return skops.dumps(dict(attributes), compression=zipfile.ZIP_DEFLATED, compresslevel=6)
    except Exception as error:  # whatever a foreign estimator's state holds
        raise PersistenceError(
            f"The model cannot be saved without pickle ({error}). That happens with estimators of your own that hold "
            "functions or open files; joblib.dump(model, path) writes a pickle, which only you should load."
        ) from error


def share_arrays(root: Any) -> None:
    """Let equal arrays in the attributes of models be one array, which is then written once, and loaded once."""
    known: dict[tuple[Any, ...], np.ndarray] = {}

    def shared(value: Any) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype == object or value.nbytes < _LEAST_SHARED_BYTES:
            return value
        content = hashlib.sha256(np.ascontiguousarray(value).data).digest()
        return known.setdefault((value.dtype.str, value.shape, value.flags.c_contiguous, content), value)

    for part in reachable(root):
        holder = part if isinstance(part, (dict, list)) else vars(part)
        for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            if (one := shared(value)) is not value:
                holder[key] = one


def _write(path: Path, content: Mapping[str, bytes]) -> None:
    try:
        with replaced(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                # The dump is a compressed zip already.
                kind = zipfile.ZIP_STORED if name.endswith(".skops") else zipfile.ZIP_DEFLATED
                archive.writestr(name, data, compress_type=kind)
    except OSError as error:
        raise PersistenceError(
            f"{path} could not be written: {error.strerror or error}. What was there before is untouched; "
            "check the folder, its permissions and the space left, or choose another path."
        ) from error


# ---------------------------------------------------------------------------------------------- loading


@contextlib.contextmanager
def reading_model(file: Path) -> Iterator[None]:
    """Turn any error in the block, which reads `file`, into a PersistenceError."""
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
        warn_user(
            f"{file} was saved with {' and '.join(differing)}. Predictions may differ; "
            "install the same versions, or fit and save the model again."
        )


def _load_dump(file: Path, dump: bytes, trusted: list[str]) -> dict[str, Any]:
    skops = skops_io()
    from skops.io.exceptions import UntrustedTypesFoundException

    # `_compare_versions` has warned once; skops would warn once per tree.
    with reading_model(file), ignored_warnings(InconsistentVersionWarning):
        try:
            attributes: dict[str, Any] = skops.loads(dump, trusted=trusted)
        except UntrustedTypesFoundException:
            unknown = sorted(set(skops.get_untrusted_types(data=dump)) - set(trusted))
            asked = sorted(set(trusted) - set(TRUSTED_TYPES)) + unknown
            raise PersistenceError(
                f"{file} holds types that autometa does not trust: {', '.join(unknown)}. Nothing was loaded. "
                "If you know these types and who made the file, load it with "
                f"autometa.load({str(file)!r}, trusted={asked!r})."
            ) from None
        for part in reachable(attributes):
            if isinstance(part, ForestModel):
                _ = part.estimator  # made of its arrays now, so that a forged file is refused here
        check_trees(attributes)
    return attributes
