"""What was fitted comes back the same from a file, and a file cannot run code."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import make_scorer

import autometa
from autometa import AutoMeta, AutoMetaClassifier, AutoMetaRegressor, Strategy, load, persistence, save
from autometa._support.imports import is_installed
from autometa.ensemble.predictor import FittedPredictor, Member
from autometa.evaluation.metrics import resolve_metric
from autometa.exceptions import MissingDependencyError, PersistenceError
from autometa.learners import LEARNERS
from autometa.learners.base import FitData, Learner
from autometa.learners.sklearn_estimator import own_learner
from autometa.learners.untrusted_trees import check_trees
from autometa.saved_formats import MOVED_TYPES, upgraded_dump
from autometa.search.search_history import SearchHistory
from autometa.tables.cleaning import clean, fit_schema
from autometa.tables.inputs import as_frame
from autometa.tables.preparation import fit_preparation
from autometa.tables.target import read_target
from tests.saved_models import make as saved_models

_CLASSIFIERS_ONLY = {"logistic_regression", "discriminant_analysis"}
_REGRESSORS_ONLY = {"ridge", "elastic_net", "gaussian_process"}
_CASES = [
    pytest.param(
        learner,
        problem,
        id=f"{learner.name}-{problem}",
        marks=pytest.mark.skipif(not is_installed(learner.library), reason=f"{learner.library} is not installed"),
    )
    for learner in LEARNERS
    for problem in ("binary", "multiclass", "regression")
    if learner.name not in (_REGRESSORS_ONLY if problem != "regression" else _CLASSIFIERS_ONLY)
]


def _table(n_rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    words = np.array(["red hat", "blue coat", "green and blue scarf", "no hat at all", "a red coat of wool"])
    return pd.DataFrame(
        {
            "number": rng.normal(size=n_rows),
            "gaps": np.where(rng.random(n_rows) < 0.3, np.nan, rng.integers(0, 9, n_rows)),
            "stamp": 1.7e9 + rng.integers(0, 10**6, n_rows),
            "city [km]": rng.choice(["Köln", "Łódź", "Rio", "東京"], n_rows),
            "day": pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 400, n_rows), unit="D"),
            "text": [f"{words[rng.integers(5)]} {words[rng.integers(5)]} {i}" for i in range(n_rows)],
        }
    )


def _target(problem: str, X: pd.DataFrame) -> np.ndarray:
    if problem == "regression":
        return X["number"].to_numpy() * 3 + 100
    labels = np.array(["no", "yes"] if problem == "binary" else ["low", "mid", "top"])
    codes = pd.qcut(X["number"], len(labels), labels=False).to_numpy()
    return labels[codes]


def _fitted(learner: Learner, problem: str, **parameters: Any) -> tuple[AutoMeta, pd.DataFrame]:
    """Return a model put together by hand from two fits of one learner, and its table."""
    X = _table()
    target = read_target(_target(problem, X), len(X))
    frame = as_frame(X)
    model = AutoMeta(problem=problem, n_jobs=1, **parameters)  # type: ignore[arg-type]
    schema = fit_schema(frame)
    cleaned = clean(frame, schema)
    preparations, models = [], []
    for fold in range(2):
        preparation = fit_preparation(cleaned, learner.view, fold)
        data = FitData(
            preparation.transform(cleaned),
            target.values,
            target.problem,
            target.n_classes,
            preparation.categorical,
            preparation.n_categories,
            seed=fold,
            n_iterations=5,
        )
        preparations.append(preparation)
        models.append(
            learner.fit(data, {"n_estimators": 10} if learner.name in ("random_forest", "extra_trees") else {})
        )
    model.problem_ = target.problem
    if target.classes is not None:
        model.classes_ = target.classes
    model.n_features_in_, model.feature_names_in_ = X.shape[1], np.array(X.columns, dtype=object)
    model._schema, model._metric = schema, resolve_metric(model.metric, target.problem, target.classes)
    member = Member(0, 1.0, models, [0, 1])
    model.predictor_ = FittedPredictor([member], preparations, target.n_classes)
    trial = {
        "number": 0,
        "strategy": "a",
        "parameters": {"C": 0.1, "kernel": None},
        "status": "ok",
        "loss": np.float64(0.1),
    }
    trial |= {"weight": 1.0, "time_s": 0.2, "ended_s": 1.0, "error": "", "evaluations": []}
    strategies = [{"name": "a", "probability": 1.0, "note": ""}, {"name": "b", "probability": None, "note": "left out"}]
    model.history_ = SearchHistory(model._metric.name, [trial], strategies, "n_trials", 0.5, 1.5, 0.25)
    model.study_ = None
    return model, X


def _named(name: str) -> Learner:
    return next(learner for learner in LEARNERS if learner.name == name)


@pytest.fixture(scope="module")
def ridge() -> tuple[AutoMeta, pd.DataFrame]:
    return _fitted(_named("ridge"), "regression", random_state=3)


@pytest.fixture
def file(ridge: tuple[AutoMeta, pd.DataFrame], tmp_path: Path) -> Path:
    return save(ridge[0], tmp_path / "model.autometa")


def _rewrite(file: Path, name: str, data: bytes | None) -> None:
    """Replace one part of a saved model; None leaves it out."""
    with zipfile.ZipFile(file) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    if data is None:
        del parts[name]
    else:
        parts[name] = data
    with zipfile.ZipFile(file, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)


def _edit_manifest(file: Path, **changes: Any) -> None:
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    _rewrite(file, "manifest.json", json.dumps(manifest | changes).encode())


# ---------------------------------------------------------------------------------- what comes back


@pytest.mark.parametrize(("learner", "problem"), _CASES)
def test_predictions_are_the_same_to_the_last_bit(learner: Learner, problem: str, tmp_path: Path) -> None:
    model, X = _fitted(learner, problem)
    loaded = load(save(model, tmp_path / "model.autometa"))
    assert np.array_equal(loaded.predict(X), model.predict(X))
    if problem != "regression":
        assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
        assert loaded.classes_.dtype == model.classes_.dtype
        assert np.array_equal(loaded.classes_, model.classes_)


def test_everything_but_the_study_survives(ridge: tuple[AutoMeta, pd.DataFrame], file: Path) -> None:
    model, loaded = ridge[0], load(file)
    assert type(loaded) is AutoMeta
    assert loaded.get_params() == model.get_params()
    assert loaded.history_ == model.history_
    assert loaded._schema == model._schema
    assert loaded.problem_ == "regression"
    assert list(loaded.feature_names_in_) == list(model.feature_names_in_)
    assert loaded.n_features_in_ == model.n_features_in_
    assert loaded.study_ is None
    pd.testing.assert_frame_equal(loaded.leaderboard(full=True), model.leaderboard(full=True))
    pd.testing.assert_frame_equal(loaded.report(full=True), model.report(full=True))


@pytest.mark.parametrize(("name", "needs"), [("lightgbm", ["lightgbm"]), ("catboost", ["catboost"]), ("ridge", [])])
def test_a_file_names_the_library_that_its_models_need(name: str, needs: list[str], tmp_path: Path) -> None:
    file = save(_fitted(_named(name), "regression")[0], tmp_path / "m.autometa")
    with zipfile.ZipFile(file) as archive:
        assert json.loads(archive.read("manifest.json"))["needs"] == needs


def test_saving_what_was_loaded_gives_the_same_model(ridge: tuple[AutoMeta, pd.DataFrame], file: Path) -> None:
    again = load(save(load(file), file.with_name("again.autometa")))
    assert np.array_equal(again.predict(ridge[1]), ridge[0].predict(ridge[1]))
    assert again.history_ == ridge[0].history_


def test_score_uses_the_named_metric_after_loading(tmp_path: Path) -> None:
    model, X = _fitted(_named("ridge"), "regression", metric="mae")
    y = _target("regression", X)
    assert load(save(model, tmp_path / "m.autometa")).score(X, y) == model.score(X, y)


def test_a_scorer_of_ones_own_is_named_but_not_kept(tmp_path: Path) -> None:
    def twice_wrong(y_true: np.ndarray, y_pred: np.ndarray) -> float:
        return float(2 * np.mean(y_true != y_pred))

    scorer = make_scorer(twice_wrong, greater_is_better=False)
    model, X = _fitted(_named("logistic_regression"), "binary", metric=scorer)
    loaded = load(save(model, tmp_path / "m.autometa"))
    y = _target("binary", X)
    with pytest.raises(ValueError, match=r"twice_wrong.*scorer\(model, X, y\)"):
        loaded.score(X, y)
    assert scorer(loaded, X, y) == scorer(model, X, y)
    assert loaded._metric.score(0.25) == model._metric.score(0.25)


def test_parameters_that_are_no_plain_values_are_left_out_and_named(tmp_path: Path) -> None:
    own = Strategy("own_forest", RandomForestClassifier())
    model, _ = _fitted(_named("logistic_regression"), "binary")
    model.set_params(
        strategies=["logistic_regression", Path("mine.toml"), own],
        callbacks=[print],
        storage="postgresql://me:secret@host/db",
        random_state=np.random.RandomState(0),
        n_trials=np.int64(7),
    )
    file = save(model, tmp_path / "m.autometa")
    loaded = load(file)
    assert loaded.strategies == ["logistic_regression", "mine.toml"]
    assert (loaded.callbacks, loaded.storage, loaded.random_state, loaded.n_trials) == ((), None, None, 7)
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert set(manifest["not_kept"]) == {"strategies", "callbacks", "storage", "random_state"}
    assert "own_forest" in manifest["not_kept"]["strategies"]
    assert b"secret" not in file.read_bytes()


@pytest.mark.parametrize("cls", [AutoMetaClassifier, AutoMetaRegressor])
def test_the_class_comes_back(cls: type[AutoMeta], tmp_path: Path) -> None:
    is_regression = cls is AutoMetaRegressor
    template, X = _fitted(_named("nearest_neighbours"), "regression" if is_regression else "binary")
    model = cls(time_budget=5)
    vars(model).update({name: value for name, value in vars(template).items() if name not in template.get_params()})
    loaded = load(save(model, tmp_path / "m.autometa"))
    assert type(loaded) is cls
    assert loaded.time_budget == 5
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert not hasattr(clone(loaded), "predictor_")


@pytest.mark.parametrize(
    "labels", [[False, True], [3, 7], [0.0, 1.0], ["a", "ä"]], ids=["bool", "int", "float", "text"]
)
def test_labels_keep_their_dtype(labels: list[Any], tmp_path: Path) -> None:
    model, X = _fitted(_named("nearest_neighbours"), "binary")
    model.classes_ = np.array(labels)
    loaded = load(save(model, tmp_path / "m.autometa"))
    assert loaded.predict(X).dtype == model.predict(X).dtype
    assert np.array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.slow
def test_a_searched_model_comes_back(tmp_path: Path) -> None:
    X = _table(90)
    y = _target("multiclass", X)
    model = AutoMetaClassifier(
        n_trials=2,
        random_state=0,
        n_jobs=1,
        strategies=["random_forest", "lightgbm"],
        storage=f"sqlite:///{tmp_path}/s.db",
    ).fit(X, y)
    loaded = load(model.save(tmp_path / "m.autometa"))
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    pd.testing.assert_frame_equal(loaded.leaderboard(full=True), model.leaderboard(full=True))
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


# ---------------------------------------------------------------------------------- writing


def test_save_before_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not fitted"):
        save(AutoMeta(), tmp_path / "m.autometa")


def test_only_models_of_autometa_are_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="RandomForestClassifier"):
        save(RandomForestClassifier(), tmp_path / "m.autometa")  # type: ignore[arg-type]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    ridge: tuple[AutoMeta, pd.DataFrame], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PersistenceError, match="No space left on device"):
        save(ridge[0], file)
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def test_a_folder_that_does_not_exist_is_named(ridge: tuple[AutoMeta, pd.DataFrame], tmp_path: Path) -> None:
    with pytest.raises(PersistenceError, match="nowhere"):
        save(ridge[0], tmp_path / "nowhere" / "m.autometa")


# ---------------------------------------------------------------------------------- bad files


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PersistenceError, match=r"There is no file .*gone"):
        load(tmp_path / "gone.autometa")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "table.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(PersistenceError, match="not a model saved by autometa"):
        load(other)


def test_a_pickle_is_not_unpickled(tmp_path: Path) -> None:
    forged = tmp_path / "m.autometa"
    forged.write_bytes(pickle.dumps(_Shell(tmp_path / "owned")))
    with pytest.raises(PersistenceError, match="not a model"):
        load(forged)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_short_is_refused(file: Path, share: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PersistenceError, match="not all of it"):
        load(file)


@pytest.mark.parametrize("position", [0.2, 0.5, 0.8])
def test_a_changed_byte_is_noticed(file: Path, position: float) -> None:
    with zipfile.ZipFile(file) as archive:
        start = archive.getinfo("model.skops").header_offset + 60
        size = archive.getinfo("model.skops").file_size
    data = bytearray(file.read_bytes())
    data[start + int(position * size)] ^= 0xFF
    file.write_bytes(bytes(data))
    with pytest.raises(PersistenceError, match=str(file)):
        load(file)


@pytest.mark.parametrize("part", ["manifest.json", "history.json", "schema.json", "model.skops"])
def test_a_missing_part_is_an_error(file: Path, part: str) -> None:
    _rewrite(file, part, None)
    with pytest.raises(PersistenceError, match=part.split(".")[0]):
        load(file)


def test_a_format_from_the_future_asks_for_an_upgrade(file: Path) -> None:
    _edit_manifest(file, format=persistence.FORMAT + 1, versions={"autometa": "9.0"})
    with pytest.raises(PersistenceError, match=r"9\.0.*Upgrade autometa"):
        load(file)


@pytest.mark.parametrize("library", ["autometa", "scikit-learn"])
def test_another_version_warns_with_both_versions_and_loads(
    ridge: tuple[AutoMeta, pd.DataFrame], file: Path, library: str
) -> None:
    versions = persistence._versions() | {library: "0.0.1"}
    _edit_manifest(file, versions=versions)
    with pytest.warns(UserWarning, match=rf"{library} 0\.0\.1 \(here: {persistence._versions()[library]}\)"):
        loaded = load(file)
    assert np.array_equal(loaded.predict(ridge[1]), ridge[0].predict(ridge[1]))


def test_a_missing_library_is_named_when_loading(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _edit_manifest(file, needs=["xgboost"])
    monkeypatch.setattr(persistence, "is_installed", lambda library: False)
    with pytest.raises(MissingDependencyError, match=r'pip install "autometa\[xgboost\]"'):
        load(file)


# ---------------------------------------------------------------------------------- no code is run


class _Shell:
    """Runs a shell command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def _node(module: str, name: str, loader: str, **content: Any) -> dict[str, Any]:
    return {"__class__": name, "__module__": module, "__loader__": loader, **content}


def _forged_dump(root: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps(root | {"protocol": 2, "_skops_version": "0.16.0"}))
    return buffer.getvalue()


def _forged(command: str) -> dict[str, dict[str, Any]]:
    text = _node("builtins", "str", "JsonNode", content=json.dumps(command), is_json=True)
    arguments = _node("builtins", "tuple", "TupleNode", content=[text])
    system = _node("posix", "system", "FunctionNode", content={"module_path": "posix", "function": "system"})
    state = _node(
        "builtins", "dict", "DictNode", content={}, key_types=_node("builtins", "list", "ListNode", content=[])
    )
    bound = {"func": system, "args": arguments, "kwds": state, "namespace": state}
    return {
        "constructor": _node("posix", "system", "ConstructorFromReduceNode", content=arguments),
        "function": system,
        "partial": _node("functools", "partial", "PartialNode", content=bound),
        "object": _node("subprocess", "Popen", "ObjectNode", content=state),
        "operator": _node("operator", "methodcaller", "OperatorFuncNode", attrs=arguments),
    }


@pytest.mark.parametrize("kind", ["constructor", "function", "partial", "object", "operator"])
def test_a_forged_file_is_refused_and_runs_nothing(file: Path, tmp_path: Path, kind: str) -> None:
    _rewrite(file, "model.skops", _forged_dump(_forged(f"touch {tmp_path}/owned")[kind]))
    with pytest.raises(PersistenceError):
        load(file)
    assert not (tmp_path / "owned").exists()


class OwnModel(RandomForestClassifier):
    """An estimator that autometa cannot know."""


def test_an_estimator_of_ones_own_needs_trust_and_the_error_says_how(tmp_path: Path) -> None:
    model, X = _fitted(own_learner("own", OwnModel(n_estimators=3)), "binary")
    file = save(model, tmp_path / "m.autometa")
    name = f"{OwnModel.__module__}.OwnModel"
    with pytest.raises(PersistenceError) as caught:
        load(file)
    assert f"does not trust: {name}." in str(caught.value)
    assert f"autometa.load({str(file)!r}, trusted=[{name!r}])" in str(caught.value)
    loaded = load(file, trusted=[OwnModel])
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_estimators_of_scikit_learn_need_no_trust(tmp_path: Path) -> None:
    model, X = _fitted(own_learner("forest", RandomForestClassifier(n_estimators=3)), "multiclass")
    loaded = load(save(model, tmp_path / "m.autometa"))
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_trusting_everything_is_not_possible(file: Path) -> None:
    with pytest.raises(TypeError, match="name the types"):
        load(file, trusted=True)  # type: ignore[arg-type]


def test_trusted_types_of_autometa_exist_and_hold_no_code() -> None:
    for name in persistence.TRUSTED_TYPES:
        module, _, attribute = name.rpartition(".")
        cls = getattr(__import__(module, fromlist=[attribute]), attribute)
        if module.startswith("autometa"):
            assert isinstance(cls, type)
            assert not {"__reduce__", "__setstate__", "__del__", "__new__"} & set(vars(cls))


def test_attributes_that_no_model_has_are_refused(file: Path) -> None:
    _rewrite(file, "model.skops", skops.io.dumps({"predict": 1}))
    with pytest.raises(PersistenceError, match="predict"):
        load(file)


# ---------------------------------------------------------------------------------- forged trees

_ROWS = np.random.default_rng(0).integers(0, 5, (80, 3)).astype(np.float32)
_CODES = (_ROWS[:, 0] + _ROWS[:, 1] > 4).astype(int)


@pytest.mark.parametrize("field", ["left_child", "right_child", "feature"])
@pytest.mark.parametrize("value", [-7, 0, 10**6])
def test_forest_nodes_that_point_outside_are_found(field: str, value: int) -> None:
    forest = RandomForestClassifier(2, random_state=0).fit(_ROWS, _CODES)
    assert check_trees({"model": [forest]}) == 2
    if (field, value) == ("feature", 0):
        pytest.skip("column 0 exists")
    tree = forest.estimators_[1].tree_
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][0] = value
    forged = type(tree)(3, np.array([2]), 1)
    if value == -7 and field != "feature":
        value = -1  # what scikit-learn writes for a leaf
    forged.__setstate__(state)
    forest.estimators_[1].tree_ = forged
    with pytest.raises(ValueError, match="tree"):
        check_trees({"model": [forest]})


@pytest.mark.parametrize(("field", "value"), [("left", 0), ("right", 10**6), ("feature_idx", 3), ("feature_idx", -1)])
def test_boosting_nodes_that_point_outside_are_found(field: str, value: int) -> None:
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features=[1], random_state=0).fit(_ROWS, _CODES)
    assert check_trees([model]) == 3
    model._predictors[1][0].nodes[field][0] = value
    with pytest.raises(ValueError, match="tree"):
        check_trees([model])


def test_sets_of_categories_that_do_not_exist_are_found() -> None:
    rows = np.column_stack([_ROWS[:, 0], np.tile([0, 1, 2, 3], 20)])
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features=[1], min_samples_leaf=5, random_state=0)
    model.fit(rows, np.tile([0, 1, 0, 1], 20))
    nodes = model._predictors[0][0].nodes
    split = np.flatnonzero(nodes["is_categorical"])[0]
    check_trees(model)
    nodes["bitset_idx"][split] = 99
    with pytest.raises(ValueError, match="categories"):
        check_trees(model)


def test_a_forged_forest_in_a_file_is_refused(tmp_path: Path) -> None:
    model, _ = _fitted(_named("random_forest"), "binary")
    forest = model.predictor_.members[0].models[0].estimator  # type: ignore[attr-defined]
    state = forest.estimators_[0].tree_.__getstate__()
    state["nodes"]["feature"][state["nodes"]["left_child"] >= 0] = 10**6
    forged = type(forest.estimators_[0].tree_)(forest.n_features_in_, np.array([2]), 1)
    forged.__setstate__(state)
    forest.estimators_[0].tree_ = forged
    file = save(model, tmp_path / "m.autometa")
    with pytest.raises(PersistenceError, match="column that does not exist"):
        load(file)


def test_the_public_functions_are_these() -> None:
    assert (autometa.save, autometa.load) == (save, load)


# ---------------------------------------------------------------------------------- earlier formats

# What the list of trusted types was when format 1 was written.
FORMAT_1_TYPES = (
    "autometa.ensemble.predictor.FittedPredictor",
    "autometa.ensemble.predictor.Member",
    "autometa.learners.bayes.GaussianClassesModel",
    "autometa.learners.boosting.CatBoostModel",
    "autometa.learners.boosting.LightGBMModel",
    "autometa.learners.boosting.XGBoostModel",
    "autometa.learners.categories.CategoryCodes",
    "autometa.learners.categories.OneHot",
    "autometa.learners.constant.ConstantModel",
    "autometa.learners.constant.NoPreparation",
    "autometa.learners.kernels.KernelModel",
    "autometa.learners.measures.Measures",
    "autometa.learners.neighbours.NeighboursModel",
    "autometa.learners.mlp_maml.SharedNetworkModel",
    "autometa.learners.neural.NeuralNetworkModel",
    "autometa.learners.numeric.LinearModel",
    "autometa.learners.numeric.TargetScale",
    "autometa.learners.own.OwnModel",
    "autometa.learners.preparation.Preparation",
    "autometa.learners.scaling.Scaler",
    "autometa.learners.text.TextEmbedding",
    "autometa.learners.trees.ForestModel",
    "autometa.learners.trees.HistogramModel",
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "functools.partial",
    "sklearn.utils.validation.check_array",
)


@pytest.mark.parametrize("name", FORMAT_1_TYPES)
def test_every_type_of_format_1_is_still_there_and_trusted(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    dump = upgraded_dump(_forged_dump({"content": [_node(module, attribute, "ObjectNode")]}))
    with zipfile.ZipFile(io.BytesIO(dump)) as archive:
        (node,) = json.loads(archive.read("schema.json"))["content"]
    present = f"{node['__module__']}.{node['__class__']}"
    assert present in persistence.TRUSTED_TYPES
    assert hasattr(__import__(node["__module__"], fromlist=[attribute]), node["__class__"])


def test_names_of_moved_types_are_not_used_again() -> None:
    assert not set(MOVED_TYPES) & set(persistence.TRUSTED_TYPES)
    assert set(MOVED_TYPES.values()) <= set(persistence.TRUSTED_TYPES)


@pytest.mark.parametrize("version", range(1, persistence.FORMAT + 1))
@pytest.mark.parametrize("name", ["classifier", "regressor"])
def test_model_of_every_format_predicts_as_it_did(name: str, version: int) -> None:
    file = saved_models.FOLDER / f"format_{version}_{name}.autometa"
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    for library in manifest["needs"]:
        pytest.importorskip(library)
    model = load(file)
    expected = pd.read_csv(file.with_suffix(".csv"))[name]
    # Another processor may sum in another order.
    np.testing.assert_allclose(saved_models.predictions(name, model), expected, rtol=1e-6)
    assert manifest["format"] == version
    assert len(model.leaderboard()) == 2
