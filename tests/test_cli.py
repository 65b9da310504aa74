"""The command does what the estimator does, and says in one line what is wrong."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autometa
from autometa import AutoMeta
from autometa._support.imports import is_installed
from autometa.cli import main
from autometa.cli.evaluations import confusion_text
from autometa.exceptions import SearchFailedError
from autometa.metadataset.dataset import MetaDataset
from autometa.metalearning.collection import measuring
from tests.helpers.collections import CallingProcess, small_tables, write_tables

_QUICK = ["--n-trials", "1", "--n-jobs", "1", "--random-state", "0", "--no-progress", "--cv", "2"]


def _table(n_rows: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    amount = rng.normal(size=n_rows)
    return pd.DataFrame(
        {
            "amount": amount,
            "city": rng.choice(["Köln", "Rio"], n_rows),
            "price, in €": amount * 10 + rng.normal(size=n_rows),
            "risk": np.where(amount > 0, "high", "low"),
            "weight": rng.random(n_rows) + 0.5,
            "customer": np.arange(n_rows) // 4,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def train(folder: Path) -> Path:
    file = folder / "train.csv"
    _table().to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def classifier(folder: Path, train: Path) -> Path:
    file = folder / "risk.autometa"
    options = ["--strategies", "logistic_regression", "--drop", "weight", "customer", "--save", str(file)]
    assert main(["fit", str(train), "--target", "risk", *options, *_QUICK]) == 0
    return file


@pytest.fixture(scope="module")
def regressor(folder: Path, train: Path) -> Path:
    file = folder / "price.autometa"
    options = ["--strategies", "ridge", "--weight", "weight", "--groups", "customer", "--save", str(file)]
    assert main(["fit", str(train), "--target", "price, in €", *options, *_QUICK]) == 0
    return file


class _Fitted:
    """Stands for AutoMeta where only its arguments matter."""

    calls: list[dict[str, Any]] = []

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    def fit(
        self, X: pd.DataFrame, y: pd.Series, sample_weight: Any = None, groups: Any = None, **validation: Any
    ) -> None:
        call = {"parameters": self.parameters, "X": X, "y": y, "sample_weight": sample_weight, "groups": groups}
        call |= validation
        _Fitted.calls.append(call)
        raise SearchFailedError("seen enough")


@pytest.fixture
def arguments_only(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    _Fitted.calls = []
    monkeypatch.setattr("autometa.estimators.AutoMeta", _Fitted)
    return _Fitted.calls


# ---------------------------------------------------------------------------------- fit


def test_options_left_out_do_not_override_the_estimators_defaults(
    train: Path, arguments_only: list[dict[str, Any]]
) -> None:
    assert main(["fit", str(train), "--target", "risk"]) == 1
    assert arguments_only[0]["parameters"] == {}


def test_every_option_reaches_the_estimator(train: Path, arguments_only: list[dict[str, Any]]) -> None:
    options: dict[str, Any] = {
        "problem": "binary",
        "time_budget": 7.5,
        "n_trials": 3,
        "metric": "log_loss",
        "pos_label": "high",
        "policy": "portfolio",
        "policy_temperature": 0.5,
        "experience": Path("mine"),
        "cv": 4,
        "ensemble_size": 5,
        "n_jobs": 2,
        "memory_limit": 1.5,
        "storage": "sqlite:///s.db",
        "study_name": "mine",
        "random_state": 9,
    }
    given = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    main(
        [
            "fit",
            str(train),
            "--target",
            "risk",
            *given,
            "--strategies",
            "ridge",
            "own.toml",
            "--progress",
            "-vv",
            "--no-calibrate",
            "--no-tune-threshold",
        ]
    )
    off = {"calibrate": False, "tune_threshold": False}
    expected = options | off | {"strategies": ["ridge", "own.toml"], "progress": True, "verbose": 2}
    assert arguments_only[0]["parameters"] == expected
    # `time_column` excludes `cv`, and has a test of its own. A command fits once, without `warm_start`.
    assert set(expected) | {"study", "callbacks", "time_column", "warm_start"} == set(AutoMeta().get_params())


@pytest.mark.parametrize(
    ("labels", "text", "label"), [([0, 1], "0", 0), ([True, False], "False", False), ("ab", "a", "a")]
)
def test_the_positive_class_is_a_value_of_the_target(
    labels: Any, text: str, label: Any, tmp_path: Path, arguments_only: list[dict[str, Any]]
) -> None:
    file = tmp_path / "table.csv"
    pd.DataFrame({"x": range(4), "y": list(labels) * 2}).to_csv(file, index=False)
    main(["fit", str(file), "--target", "y", "--pos-label", text])
    main(["fit", str(file), "--target", "y", "--pos-label", "other"])
    assert [call["parameters"]["pos_label"] for call in arguments_only] == [label, "other"]
    assert type(arguments_only[0]["parameters"]["pos_label"]) is type(label)


def test_target_weight_groups_and_dropped_columns_are_not_features(
    train: Path, arguments_only: list[dict[str, Any]]
) -> None:
    main(["fit", str(train), "--target", "risk", "--weight", "weight", "--groups", "customer", "--drop", "city"])
    call = arguments_only[0]
    assert list(call["X"].columns) == ["amount", "price, in €"]
    assert call["y"].tolist() == _table()["risk"].tolist()
    assert call["sample_weight"].tolist() == pytest.approx(_table()["weight"].tolist())
    assert call["groups"].tolist() == _table()["customer"].tolist()


@pytest.mark.parametrize(
    "name", ["t.csv", "t.csv.gz", "t.csv.zip", "t.tsv", "t.tsv.gz", "t.semicolons.csv", "t.parquet"]
)
def test_kinds_of_files_give_the_same_table(tmp_path: Path, arguments_only: list[dict[str, Any]], name: str) -> None:
    file, table = tmp_path / name, _table()
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
        table.to_parquet(file)
    else:
        separator = "\t" if ".tsv" in name else ";" if "semicolons" in name else ","
        table.to_csv(file, index=False, sep=separator, encoding="utf-8-sig" if name == "t.csv" else "utf-8")
    main(["fit", str(file), "--target", "risk"])
    pd.testing.assert_frame_equal(arguments_only[0]["X"], table.drop(columns="risk"))


def test_amounts_with_decimal_commas_are_numbers(tmp_path: Path, arguments_only: list[dict[str, Any]]) -> None:
    rows = [f"{k},5;{k % 3};2,25;1.234,{k}" for k in range(5)]
    (tmp_path / "t.csv").write_text("\n".join(["price, in €;size;weight;total", *rows]), encoding="utf-8")
    main(["fit", str(tmp_path / "t.csv"), "--target", "price, in €", "--weight", "weight"])
    call = arguments_only[0]
    assert call["y"].tolist() == [k + 0.5 for k in range(5)]
    assert call["sample_weight"].tolist() == [2.25] * 5
    assert call["X"]["total"].tolist() == [1234 + k / 10 for k in range(5)]


@pytest.mark.parametrize("said", ["tab", r"\t", "\t"])
def test_separator_and_decimal_mark_can_be_said(
    tmp_path: Path, arguments_only: list[dict[str, Any]], said: str
) -> None:
    (tmp_path / "t.csv").write_text("last, first\tborn\nDoe, Ann\t1,200\nRoe, Bob\t1,300\n")
    given = ["fit", str(tmp_path / "t.csv"), "--target", "born", "--separator", said, "--decimal", ","]
    main(given)
    assert arguments_only[0]["y"].tolist() == [1.2, 1.3]
    with pytest.raises(SystemExit) as stop:
        main([*given[:-3], "two", "--decimal", ","])
    assert stop.value.code == 2


def test_a_model_that_will_be_lost_is_warned_of_before_the_fit(
    train: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments_only: list[dict[str, Any]]
) -> None:
    # The fit fails, so whatever is shown was shown before.
    main(["fit", str(train), "--target", "risk"])
    assert "autometa: warning: no --save was given, so the model will be lost" in capsys.readouterr().err
    main(["fit", str(train), "--target", "risk", "--save", str(tmp_path / "m.autometa")])
    assert "warning" not in capsys.readouterr().err


def test_fit_prints_scores_leaderboard_report_and_file(
    train: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.autometa"
    options = ["--strategies", "logistic_regression", "ridge", "--save", str(file)]
    assert main(["fit", str(train), "--target", "risk", *options, *_QUICK]) == 0
    shown = capsys.readouterr().out
    assert "binary, 1 trials" in shown
    assert "roc_auc" in shown
    assert "logistic_regression" in shown
    assert "left out: not for binary" not in shown
    assert shown.rstrip().endswith(f"Saved {file}")
    assert autometa.load(file).problem_ == "binary"


# ---------------------------------------------------------------------------------- predict and report


def test_predictions_keep_the_rows_in_order_and_ignore_extra_columns(
    train: Path, classifier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(classifier), str(train)]) == 0
    shown = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(shown.columns) == ["prediction"]
    assert shown["prediction"].tolist() == autometa.load(classifier).predict(pd.read_csv(train)).tolist()


def test_probabilities_have_a_column_per_class(train: Path, classifier: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    assert main(["predict", str(classifier), str(train), "--proba", "--out", str(out)]) == 0
    written = pd.read_csv(out)
    assert list(written.columns) == ["high", "low"]
    expected = autometa.load(classifier).predict_proba(pd.read_csv(train))
    np.testing.assert_allclose(written.to_numpy(), expected, rtol=1e-12)


def test_fit_with_test_rows_evaluates_them_and_warns_first_that_nothing_is_saved(
    train: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ["--target", "risk", "--strategies", "logistic_regression", *_QUICK]
    assert main(["fit", str(train), *options, "--test", str(train)]) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines()[0].startswith("autometa: warning: no --save was given")
    assert f"Test {train}" in captured.out and "balanced_accuracy" in captured.out and "columns: " in captured.out
    pd.read_csv(train).drop(columns="risk").to_csv(tmp_path / "new.csv", index=False)
    assert main(["fit", str(train), *options, "--test", str(tmp_path / "new.csv")]) == 2
    assert "'risk' is not a column" in capsys.readouterr().err


def test_a_missing_column_is_named(
    train: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.csv"
    pd.read_csv(train).drop(columns="amount").to_csv(new, index=False)
    assert main(["predict", str(classifier), str(new)]) == 2
    assert "amount" in capsys.readouterr().err


def test_probabilities_of_a_regression_are_refused(
    train: Path, regressor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(regressor), str(train), "--proba"]) == 2
    assert "classification" in capsys.readouterr().err


def test_report_and_leaderboard_as_text_and_csv(regressor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = autometa.load(regressor)
    for flags, expected in (([], model.report(full=True)), (["--leaderboard"], model.leaderboard(full=True))):
        assert main(["report", str(regressor), *flags]) == 0
        assert "ridge" in capsys.readouterr().out
        assert main(["report", str(regressor), *flags, "--csv"]) == 0
        shown = pd.read_csv(io.StringIO(capsys.readouterr().out))
        assert list(shown.columns) == list(expected.columns)
        assert len(shown) == len(expected)


# ---------------------------------------------------------------------------------- evaluate


@pytest.fixture(scope="module")
def test_rows(folder: Path) -> Path:
    file = folder / "test.csv"
    _table(160).tail(80).to_csv(file, index=False)
    return file


def test_evaluate_prints_what_the_model_says_of_itself(
    classifier: Path, test_rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(classifier), str(test_rows), "--csv"]) == 0
    shown = pd.read_csv(io.StringIO(capsys.readouterr().out))
    table, model = pd.read_csv(test_rows), autometa.load(classifier)
    pd.testing.assert_frame_equal(shown, model.evaluate(table, table["risk"]))
    assert main(["evaluate", str(classifier), str(test_rows), "--metrics", "f1", "neg_log_loss"]) == 0
    shown = capsys.readouterr().out
    scores = model.evaluate(table, table["risk"], metrics=["f1", "log_loss"])
    rows = [line.split() for line in shown.splitlines()[2:4]]
    assert [row[0] for row in rows] == ["f1", "log_loss"]
    np.testing.assert_allclose([[float(cell) for cell in row[1:]] for row in rows], scores.iloc[:, 1:], rtol=1e-4)
    assert "Confusion matrix" in shown
    counts = [[int(cell) for cell in line.split()[1:]] for line in shown.splitlines()[-2:]]
    assert counts == model.confusion(table, table["risk"]).to_numpy().tolist()


def test_evaluate_takes_target_and_weights_from_the_fit_unless_named(
    regressor: Path, test_rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, model = pd.read_csv(test_rows), autometa.load(regressor)
    for options, target, weight in (
        ([], "price, in €", "weight"),
        (["--target", "amount", "--weight", "customer"], "amount", "customer"),
    ):
        assert main(["evaluate", str(regressor), str(test_rows), "--metrics", "mae", *options]) == 0
        shown = capsys.readouterr().out
        X = pd.read_csv(test_rows)
        expected = model.evaluate(X, table[target], ["mae"], sample_weight=table[weight])["score"][0]
        assert f"weighted by {weight!r}" in shown
        assert float(shown.splitlines()[2].split()[1]) == pytest.approx(expected, rel=1e-4)
        assert "Confusion" not in shown


def test_evaluate_without_the_weights_of_the_fit_counts_rows_alike(
    regressor: Path, test_rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.csv"
    pd.read_csv(test_rows).drop(columns="weight").to_csv(new, index=False)
    assert main(["evaluate", str(regressor), str(new)]) == 0
    assert "weighted" not in capsys.readouterr().out


def test_a_fit_in_python_forgets_the_columns_of_the_file(
    classifier: Path, test_rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, file = _table(), tmp_path / "again.autometa"
    autometa.load(classifier).fit(table[["amount", "city"]], table["risk"]).save(file)
    assert main(["evaluate", str(file), str(test_rows)]) == 2
    assert "Pass --target COL" in capsys.readouterr().err


def test_a_model_of_python_is_evaluated_with_a_named_target(
    test_rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = _table()
    model = AutoMeta(strategies=["ridge"], n_trials=1, n_jobs=1, cv=2, random_state=0, progress=False)
    model.fit(table[["amount", "city"]], table["price, in €"]).save(tmp_path / "m.autometa")
    arguments = ["evaluate", str(tmp_path / "m.autometa"), str(test_rows)]
    assert main(arguments) == 2
    assert "Pass --target COL" in capsys.readouterr().err
    assert main([*arguments, "--target", "price, in €"]) == 0
    assert "rmse" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--target", "rsik"], "--target 'rsik' is not a column of the table. Did you mean 'risk'"),
        (["--metrics", "rmse"], "does not fit a binary target"),
        (["--target", "city"], "y holds labels"),
        (["--weight", "cty"], "--weight 'cty'"),
        (["--weight", "amount"], "Negative values in data passed to `sample_weight`"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    classifier: Path, test_rows: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    assert main(["evaluate", str(classifier), str(test_rows), *options]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.out == ""


def test_fit_evaluates_on_a_test_table(
    train: Path, test_rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.autometa"
    options = ["--strategies", "logistic_regression", "--weight", "weight", "--test", str(test_rows)]
    assert main(["fit", str(train), "--target", "risk", *options, "--save", str(file), *_QUICK]) == 0
    fitted = capsys.readouterr().out
    assert main(["evaluate", str(file), str(test_rows)]) == 0
    assert fitted.endswith(f"Saved {file}\n\nTest {test_rows}\n{capsys.readouterr().out}")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda table: table.drop(columns=["city", "amount"]), "lacks columns of the training table: 'amount', 'city'"),
        (lambda table: table.head(0), "has no rows"),
        (lambda table: table.drop(columns="risk"), "'risk' is not a column of the table"),
        (lambda table: table.assign(risk=table["risk"].mask(table.index < 83)), "has 3 rows without 'risk'"),
    ],
)
@pytest.mark.parametrize("option", ["--test", "--validation"])
def test_a_useless_table_of_other_rows_is_found_before_the_fit(
    option: str,
    change: Any,
    expected: str,
    train: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments_only: list[dict[str, Any]],
) -> None:
    change(_table(160).tail(80)).to_csv(tmp_path / "test.csv", index=False)
    assert main(["fit", str(train), "--target", "risk", option, str(tmp_path / "test.csv")]) == 2
    assert expected in capsys.readouterr().err
    assert not arguments_only


def test_validation_rows_reach_the_estimator_with_the_columns_that_are_learnt_from(
    train: Path, test_rows: Path, arguments_only: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["fit", str(train), "--target", "risk", "--id", "customer", "--validation", str(test_rows)]
    assert main(given) == 1
    (call,) = arguments_only
    rows = pd.read_csv(test_rows)
    pd.testing.assert_frame_equal(call["X_val"], rows[call["X"].columns])
    pd.testing.assert_series_equal(call["y_val"], rows["risk"])
    assert not {"customer", "risk"} & set(call["X_val"])
    for option, value in (("--cv", "3"), ("--groups", "customer"), ("--time-column", "age")):
        assert main([*given, option, value]) == 2
        assert f"leave out {option}" in capsys.readouterr().err
    assert len(arguments_only) == 1


def test_validation_rows_are_what_a_fit_is_judged_on(
    train: Path, test_rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--strategies", "logistic_regression", "--validation", str(test_rows), "-v"]
    assert main(["fit", str(train), "--target", "risk", *options, *_QUICK[:-2]]) == 0
    n_rows = len(pd.read_csv(train)) + len(pd.read_csv(test_rows))
    assert f"fit: {n_rows} rows" in capsys.readouterr().err


def test_of_many_classes_the_most_frequent_confusions_are_shown() -> None:
    labels = [f"c{k:02}" for k in range(30)]
    counts = np.diag(np.full(30, 9))
    counts[3, 7], counts[20, 1] = 4, 6
    matrix = pd.DataFrame(counts, pd.Index(labels, name="true"), pd.Index(labels, name="predicted"))
    lines = [line.split() for line in confusion_text(matrix).splitlines()]
    assert lines[2:] == [["c20", "c01", "6"], ["c03", "c07", "4"]]
    assert "none" in confusion_text(matrix * np.eye(30, dtype=int))


# ---------------------------------------------------------------------------------- ids


@pytest.fixture(scope="module")
def keyed(folder: Path) -> Path:
    """Return a table with keys: ``code`` is left out as an identifier, ``customer`` on demand."""
    file = folder / "keyed.csv"
    _table().assign(customer=[f"{k:04}" for k in range(80)], code=[f"K-{k:03}" for k in range(80)]).to_csv(
        file, index=False
    )
    return file


@pytest.fixture(scope="module")
def with_ids(folder: Path, keyed: Path) -> Path:
    file = folder / "keyed.autometa"
    options = ["--strategies", "logistic_regression", "--id", "customer", "--save", str(file), *_QUICK]
    assert main(["fit", str(keyed), "--target", "risk", *options]) == 0
    return file


def _predicted(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> pd.DataFrame:
    capsys.readouterr()
    assert main(["predict", *map(str, arguments)]) == 0
    return pd.read_csv(io.StringIO(capsys.readouterr().out), dtype=str)


def test_ids_are_not_learnt_from(keyed: Path, arguments_only: list[dict[str, Any]]) -> None:
    main(["fit", str(keyed), "--target", "risk", "--id", "customer", "amount"])
    assert list(arguments_only[0]["X"].columns) == ["city", "price, in €", "weight", "code"]


def test_predictions_keep_the_ids_of_their_rows_as_they_are_written(
    with_ids: Path, keyed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(keyed, dtype=str)
    shown = _predicted(capsys, with_ids, keyed)
    assert list(shown.columns) == ["customer", "code", "prediction"]
    assert shown["customer"].tolist() == table["customer"].tolist()
    assert shown["code"].tolist() == table["code"].tolist()
    assert shown["prediction"].tolist() == autometa.load(with_ids).predict(pd.read_csv(keyed)).tolist()
    chances = _predicted(capsys, with_ids, keyed, "--proba", "--id", "city")
    assert list(chances.columns) == ["city", "customer", "code", "high", "low"]
    assert chances["city"].tolist() == table["city"].tolist()


def test_a_row_name_in_front_does_not_move_the_ids(
    with_ids: Path, keyed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    table = pd.read_csv(keyed, dtype={"customer": str}).sample(frac=1, random_state=0)  # with the index of the sample
    table.to_parquet(tmp_path / "new.parquet")
    shown = _predicted(capsys, with_ids, tmp_path / "new.parquet")
    assert shown["customer"].tolist() == table["customer"].tolist()


def test_ids_that_new_rows_lack_are_said_and_cost_no_prediction(
    with_ids: Path, keyed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.csv"
    pd.read_csv(keyed).drop(columns=["customer", "code"]).to_csv(new, index=False)
    assert main(["predict", str(with_ids), str(new)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "prediction"
    assert "autometa: warning: the table has no column 'customer', which is an id by the --id" in captured.err
    assert "code" not in captured.err
    assert main(["predict", str(with_ids), str(new), "--id", "ctiy"]) == 2
    assert "--id 'ctiy' is not a column of the table. Did you mean 'city'" in capsys.readouterr().err


def test_an_id_with_the_name_of_a_result_column_is_left_out(
    with_ids: Path, keyed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.csv"
    pd.read_csv(keyed).assign(prediction=1).to_csv(new, index=False)
    assert main(["predict", str(with_ids), str(new), "--id", "prediction"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "customer,code,prediction"
    assert "the id column 'prediction' has the name of a column of the result" in captured.err


# ---------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--target", "riks"], "Did you mean 'risk'"),
        (["--target", "zzz"], "It has: amount, city"),
        (["--target", "risk", "--weight", "wieght"], "Did you mean 'weight'"),
        (["--target", "risk", "--drop", "cty"], "--drop 'cty'"),
        (["--target", "risk", "--id", "cty"], "--id 'cty'"),
        (["--target", "risk", "--time-budget", "-1"], "time_budget"),
        (["--target", "risk", "--metric", "rmsee"], "rmsee"),
        (["--target", "risk", "--strategies", "rigde"], "did you mean 'ridge'"),
        (["--target", "risk", "--strategies", "gone.toml"], "gone.toml"),
        (["--target", "risk", "--save", "no/such/folder/m.autometa"], "There is no folder"),
        (["--target", "city", "--problem", "regression"], "Regression needs numbers"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    train: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    assert main(["fit", str(train), *options]) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("autometa: error: ")]
    assert len(errors) == 1
    assert expected in errors[0]
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("trian.csv", None, "Did you mean 'train.csv'"),
        ("empty.csv", b"", "cannot be read as a table"),
        ("latin.csv", "a,b\nKöln,1\n".encode("latin-1"), "neither UTF-8 nor UTF-16"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3,4\n", "cannot be read as a table"),
        ("cut.csv.gz", b"\x1f\x8b\x08\x00\x00", "cannot be read as a table"),
        ("none.csv.xz", b"no such format", "cannot be read as a table"),
        ("none.csv.zip", b"no such format", "cannot be read as a table"),
        ("table.xlsx", b"", "expected .csv"),
        ("gaps.csv", b"x,risk\n1,high\n2,\n3,low\n", "NaN"),
    ],
)
def test_unreadable_tables_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, expected: str
) -> None:
    (tmp_path / "train.csv").write_text("a\n1\n")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["fit", str(tmp_path / name), "--target", "risk"]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.skipif(not is_installed("pyarrow"), reason="a broken file is told from a missing library only with it")
def test_a_broken_parquet_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing else")
    assert main(["fit", str(tmp_path / "t.parquet"), "--target", "risk"]) == 2
    assert "cannot be read as Parquet" in capsys.readouterr().err


def test_parquet_without_its_library_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "t.parquet").write_bytes(b"")
    assert main(["fit", str(tmp_path / "t.parquet"), "--target", "risk"]) == 2
    assert 'pip install "autometa[meta]"' in capsys.readouterr().err


def test_a_file_that_is_no_model_is_refused(train: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(train), str(train)]) == 2
    assert main(["report", str(train.with_name("gone.autometa"))]) == 2
    shown = capsys.readouterr().err
    assert "not a model saved by autometa" in shown
    assert "There is no file" in shown


def test_a_failed_search_is_exit_code_1(
    train: Path, capsys: pytest.CaptureFixture[str], arguments_only: list[dict[str, Any]]
) -> None:
    assert main(["fit", str(train), "--target", "risk"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "autometa: error: seen enough"


def test_verbose_shows_the_traceback(
    train: Path, capsys: pytest.CaptureFixture[str], arguments_only: list[dict[str, Any]]
) -> None:
    assert main(["fit", str(train), "--target", "risk", "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_interrupted_before_the_first_model_is_exit_code_130(
    train: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(AutoMeta, "fit", interrupted)
    assert main(["fit", str(train), "--target", "risk"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "autometa: error: interrupted"


def test_warnings_are_one_line_on_standard_error(train: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--strategies", "logistic_regression", "--drop", "price, in €", *_QUICK]
    table = pd.read_csv(train).assign(grade=np.arange(80) % 4)
    graded = train.with_name("graded.csv")
    table.to_csv(graded, index=False)
    assert main(["fit", str(graded), "--target", "grade", *options]) == 0
    shown = capsys.readouterr().err
    assert "autometa: warning: y holds whole numbers with 4 distinct values" in shown
    assert "UserWarning" not in shown


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for argument, expected in (("--version", f"autometa {autometa.__version__}"), ("--help", "predict")):
        with pytest.raises(SystemExit) as stop:
            main([argument])
        assert stop.value.code == 0
        assert expected in capsys.readouterr().out


# ---------------------------------------------------------------------------------- in a process of its own


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from autometa.cli import _parser; _parser().format_help(); "
        "sys.exit(bool({'numpy', 'pandas', 'sklearn', 'optuna', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_the_command_works_from_a_shell(train: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.autometa"
    command = [sys.executable, "-m", "autometa"]
    options = ["--target", "risk", "--strategies", "logistic_regression", "--save", str(file), "--n-trials", "2"]
    subprocess.run([*command, "fit", str(train), *options], check=True, capture_output=True)
    done = subprocess.run([*command, "predict", str(file), str(train)], check=True, capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 81


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_ctrl_c_saves_the_best_model_so_far(train: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.autometa"
    command = [sys.executable, "-m", "autometa", "fit", str(train), "--target", "risk", "--time-budget", "120"]
    with subprocess.Popen(
        [*command, "--save", str(file), "-v"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The whole group gets the signal, as from a terminal; a runner that ignores it must not pass that on.
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "loss" in line:
                break
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        shown, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "interrupted" in shown
    assert len(autometa.load(file).predict(_table())) == 80


# ---------------------------------------------------------------------------------------- collect


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two small tables; what is measured on them is measured in this process."""
    monkeypatch.setattr(measuring, "process_pool", CallingProcess)
    small = small_tables(48)
    return write_tables(tmp_path / "tables", {name: small[name] for name in ("numbers", "two")})


def _collect(tables: Path, *options: str) -> list[str]:
    cheap = ["--strategies", "ridge", "nearest_neighbours", "--configurations", "3", "--jobs", "1", "--no-progress"]
    return ["collect", "--tasks", str(tables), "--out", str(tables.parent / "out"), *cheap, *options]


def test_collect_measures_says_what_and_writes_a_meta_dataset(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(_collect(tables)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "numbers: 3 configurations in 0 s of CPU (3 ok)" in out
    assert "MetaDataset(2 tasks, 3 configurations of 2 strategies, " in out
    assert f"Written to {tables.parent / 'out'}" in out
    metadataset = MetaDataset.load(tables.parent / "out")
    assert list(metadataset.tasks["task"]) == ["numbers", "two"]
    assert {path.name for path in (tables.parent / "out").iterdir()} >= {"manifest.toml", "collected.sqlite"}


def test_collect_again_goes_on_with_what_is_left(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tables / "some.txt").write_text("# the first ones\nnumbers  # of all\n\n")
    assert main(_collect(tables, "--only", str(tables / "some.txt"))) == 0
    assert "MetaDataset(1 tasks" in capsys.readouterr().out
    assert main(_collect(tables)) == 0
    out = capsys.readouterr().out
    assert "numbers: 3 configurations" not in out and "MetaDataset(2 tasks" in out


def test_options_of_collect_are_settings(tables: Path) -> None:
    options = ["--time-limit", "9", "--memory-limit", "2", "--max-rows", "20", "--random-state", "3"]
    assert main(_collect(tables, *options)) == 0
    metadataset = MetaDataset.load(tables.parent / "out")
    settings = {"time_limit_s": 9.0, "memory_limit_gb": 2.0, "max_train_rows": 20, "seed": 3}
    assert settings.items() <= metadataset.manifest["settings"].items()
    # Two thirds of them are trained on; the classes are divided one by one.
    assert set(metadataset.tasks["n_rows_used"]) <= {29, 30}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scheduler", "tcp://localhost:1"], "it needs --backend dask"),
        (["--configurations", "0"], "--configurations must be at least 1, got 0"),
        (["--jobs", "0"], "n_jobs must be at least 1, got 0"),
        (["--time-limit", "-1"], "time_limit_s must be positive, got -1.0"),
        (["--only", "no_such_file.txt"], "no_such_file.txt"),
        (["--strategies", "rigde"], "rigde"),
        (["--tasks", "no_such_folder"], "no_such_folder has no tasks.csv"),
    ],
)
def test_bad_input_to_collect_is_one_line_and_makes_nothing(
    tables: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(_collect(tables, *options)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("autometa: error: ") and err.count("\n") == 1
    assert said in err
    assert not (tables.parent / "out").exists()


def test_a_damaged_collection_is_one_line(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tables.parent / "out").mkdir()
    (tables.parent / "out" / "collected.sqlite").write_bytes(b"no database" * 500)
    assert main(_collect(tables)) == 2
    err = capsys.readouterr().err
    assert "is damaged" in err and err.count("\n") == 1


def test_tables_of_which_none_can_be_used_are_no_success(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame({"task_id": ["lost", "two"], "target": "z"}).to_csv(tables / "tasks.csv", index=False)
    assert main(_collect(tables)) == 2
    out, err = capsys.readouterr()
    assert "lost: skipped: there is no file lost.parquet" in out
    assert "two: skipped: the target 'z' is not a column of" in out
    assert "nothing has been measured" in err


def test_a_collection_that_is_stopped_says_that_it_can_go_on(
    tables: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("autometa.metadataset.store.Store.add", interrupt)
        assert main(_collect(tables)) == 130
    assert "stopped: what was measured is kept; the same command goes on" in capsys.readouterr().err
    assert main(_collect(tables)) == 0


def test_a_time_column_makes_the_folds_follow_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"day": days, "a": rng.normal(size=120)})
    frame.assign(y=frame["a"] + rng.normal(size=120)).to_csv(tmp_path / "rows.csv", index=False)
    given = ["fit", str(tmp_path / "rows.csv"), "--target", "y", "--n-trials", "2", "--strategies", "ridge"]
    assert main([*given, "--time-column", "day", "--save", str(tmp_path / "model.autometa")]) == 0
    assert autometa.load(tmp_path / "model.autometa").get_params()["cv"] == "time"
    assert main([*given, "--time-column", "day", "--cv", "3"]) == 2
    assert "leave out --cv" in capsys.readouterr().err
    assert main([*given, "--time-column", "dai"]) == 2
    assert "'dai'" in capsys.readouterr().err
