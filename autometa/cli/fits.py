"""Run the commands `fit`, `predict` and `report`."""

# Tests: tests/test_cli.py

from __future__ import annotations

import argparse
import functools
import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import autometa
from autometa._support.imports import import_optional
from autometa.cli.evaluations import check_labelled, evaluation_text, scores
from autometa.cli.id_columns import id_columns, with_ids
from autometa.cli.printing import aligned, say, show
from autometa.cli.table_files import check_destination, column_of, read_table

if TYPE_CHECKING:
    import pandas as pd

    from autometa import AutoMeta

_N_LEADERBOARD_ROWS = 10

_PROBLEMS = ("auto", "classification", "binary", "multiclass", "regression")

_ESTIMATOR_OPTIONS = (
    "problem",
    "time_budget",
    "n_trials",
    "metric",
    "pos_label",
    "strategies",
    "policy",
    "policy_temperature",
    "experience",
    "cv",
    "time_column",
    "ensemble_size",
    "calibrate",
    "tune_threshold",
    "n_jobs",
    "memory_limit",
    "storage",
    "study_name",
    "random_state",
    "progress",
    "verbose",
)


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    _add_fit(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    _add_report(commands)


def _add_fit(commands: Any) -> None:
    # Missing options are not passed on, so the estimator's own defaults apply.
    fit = commands.add_parser(
        "fit",
        help="fit a table and save the model",
        description="Fit a table from a text file (CSV, TSV; also compressed) or a Parquet file.",
        argument_default=argparse.SUPPRESS,
        formatter_class=_WithEstimatorDefaults,
    )
    fit.set_defaults(run=_fit)
    fit.add_argument("train", metavar="TRAIN", type=Path, help="the table with the target")
    fit.add_argument("--target", metavar="COL", required=True, help="column to predict")
    fit.add_argument("--problem", choices=_PROBLEMS, help="auto: by the target")
    fit.add_argument("--time-budget", metavar="SECONDS", type=float, help="for the whole fit")
    fit.add_argument("--n-trials", metavar="N", type=int, help="most trials to start")
    fit.add_argument("--metric", help="e.g. log_loss, balanced_accuracy, mae; auto: by the kind of problem")
    fit.add_argument("--pos-label", metavar="LABEL", help="positive class of f1, precision, …; default: sorts last")
    fit.add_argument("--strategies", metavar="NAME", nargs="+", help="names or .toml files; default: all that ship")
    fit.add_argument("--policy", help="name of a policy, or a folder that `autometa train` wrote")
    fit.add_argument("--policy-temperature", metavar="T", type=float, help="of the softmax over strategies")
    fit.add_argument("--experience", metavar="FOLDER", type=Path, help="learn from earlier fits, and remember this one")
    fit.add_argument("--cv", metavar="N", type=int, help="number of folds; default: by rows and budget")
    fit.add_argument(
        "--time-column",
        metavar="COL",
        help="column with the times of the rows: later rows are validated",
    )
    fit.add_argument(
        "--validation",
        metavar="FILE",
        type=Path,
        help="table of other rows with the target to validate on; no model is fitted on them",
    )
    fit.add_argument("--ensemble-size", metavar="N", type=int, help="rounds of ensemble selection; 1: best trial only")
    fit.add_argument(
        "--calibrate", action=argparse.BooleanOptionalAction, help="scale class probabilities where it lowers log loss"
    )
    fit.add_argument(
        "--tune-threshold",
        action=argparse.BooleanOptionalAction,
        help="cut the probability of one of two classes where a metric of labels is best",
    )
    fit.add_argument("--n-jobs", metavar="N", type=int, help="number of parallel evaluations; -1: one per core")
    fit.add_argument("--memory-limit", metavar="GIB", type=float, help="GiB for all worker processes together")
    fit.add_argument("--storage", metavar="URL", help="where to keep the Optuna study, e.g. sqlite:///study.db")
    fit.add_argument("--study-name", metavar="NAME", help="name of the study; one that is there is resumed")
    fit.add_argument("--weight", metavar="COL", help="column with the weight of each row")
    fit.add_argument("--groups", metavar="COL", help="column whose equal values stay on one side of every split")
    fit.add_argument("--drop", metavar="COL", nargs="+", help="columns not to learn from")
    fit.add_argument(
        "--id",
        metavar="COL",
        nargs="+",
        help="columns not to learn from that `autometa predict` writes beside its rows",
    )
    fit.add_argument("--random-state", metavar="N", type=int, help="seed")
    fit.add_argument("--test", metavar="FILE", type=Path, help="table of other rows to evaluate the model on")
    fit.add_argument("--save", metavar="FILE", type=Path, help="where to write the model, e.g. model.autometa")
    fit.add_argument("--html", metavar="FILE", type=Path, help="where to write a page on the fit, e.g. report.html")
    _add_text_options(fit)
    fit.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, help="show a bar; default: in a terminal or a notebook"
    )
    fit.add_argument("-v", "--verbose", action="count", help="log new trials and show tracebacks; -vv: everything")


def _add_text_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--separator", metavar="CHAR", type=_separator, help="between fields, tab for a tab; default: found in the file"
    )
    parser.add_argument(
        "--decimal", metavar="MARK", choices=[".", ","], help="point or comma; default: found in the file"
    )


def _separator(text: str) -> str:
    separator = {"tab": "\t", r"\t": "\t"}.get(text, text)
    if len(separator) != 1:
        raise argparse.ArgumentTypeError(f"expected one character or the word tab, got {text!r}")
    return separator


class _WithEstimatorDefaults(argparse.HelpFormatter):
    """Adds the defaults of `AutoMeta` to the help; the help text of each option explains None."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = _estimator_defaults().get(action.dest)
        # Flags take no value, so they have no default to show.
        default = f"{default:g}" if isinstance(default, float) else default
        if default is None or action.nargs == 0:
            return action.help
        return f"{action.help}; default: {default}" if action.help else f"default: {default}"


@functools.cache
def _estimator_defaults() -> dict[str, Any]:
    """Return the defaults of `AutoMeta`, which is imported late, as that takes a second or two."""
    from autometa.estimators import AutoMeta
    from autometa.parameters import DEFAULT_TIME_BUDGET_S

    defaults = {name: parameter.default for name, parameter in inspect.signature(AutoMeta).parameters.items()}
    if defaults["time_budget"] is None:
        defaults["time_budget"] = f"{DEFAULT_TIME_BUDGET_S:g}, or no limit with --n-trials"
    return defaults


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser("predict", help="predict a table with a saved model")
    predict.set_defaults(run=_predict)
    predict.add_argument("model", metavar="MODEL", type=Path, help="file written by `autometa fit --save`")
    predict.add_argument("new", metavar="NEW", type=Path, help="table with the columns of the training table")
    predict.add_argument("--out", metavar="FILE", type=Path, help="CSV to write; default: standard output")
    predict.add_argument("--id", metavar="COL", nargs="+", default=(), help="columns of NEW to write beside its rows")
    predict.add_argument("--proba", action="store_true", help="a column of probabilities per class")
    _add_text_options(predict)
    predict.add_argument("-v", "--verbose", action="count", default=0, help="show tracebacks")


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="score a saved model on rows with known targets")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("model", metavar="MODEL", type=Path, help="file written by `autometa fit --save`")
    evaluate.add_argument(
        "test", metavar="TEST", type=Path, help="table with the target, of rows that fit has not seen"
    )
    evaluate.add_argument("--target", metavar="COL", help="column with the target; default: that of `autometa fit`")
    evaluate.add_argument("--weight", metavar="COL", help="column of weights; default: that of `autometa fit`, if any")
    evaluate.add_argument("--metrics", metavar="NAME", nargs="+", help="default: that of the fit and the usual ones")
    evaluate.add_argument("--csv", action="store_true", help="the scores as CSV")
    _add_text_options(evaluate)
    evaluate.add_argument("-v", "--verbose", action="count", default=0, help="show tracebacks")


def _add_report(commands: Any) -> None:
    report = commands.add_parser("report", help="show what a saved model is made of")
    report.set_defaults(run=_report)
    report.add_argument("model", metavar="MODEL", type=Path, help="file written by `autometa fit --save`")
    report.add_argument("--leaderboard", action="store_true", help="every trial instead of every strategy")
    report.add_argument("--csv", action="store_true", help="all columns as CSV")
    report.add_argument("--html", metavar="FILE", type=Path, help="write a page, e.g. report.html, instead")
    report.add_argument("-v", "--verbose", action="count", default=0, help="show tracebacks")


def _fit(arguments: argparse.Namespace) -> None:
    given = vars(arguments)
    destination: Path | None = given.get("save")
    page: Path | None = given.get("html")
    if page is not None:
        check_destination(page)
        import_optional("matplotlib", extra="plots")
    if destination is not None:
        check_destination(destination)
    _check_folds(given)
    table = read_table(arguments.train, given.get("separator"), given.get("decimal"))
    target = column_of(table, arguments.target, "--target")
    weight = column_of(table, given["weight"], "--weight") if "weight" in given else None
    groups = column_of(table, given["groups"], "--groups") if "groups" in given else None
    for option in ("drop", "id"):
        for name in given.get(option, ()):
            column_of(table, name, f"--{option}")
    not_learnt = {*given.get("drop", ()), *given.get("id", ())}
    unused = {given.get("weight"), given.get("groups"), arguments.target, *not_learnt}
    X = table.drop(columns=[name for name in table.columns if name in unused])

    if "time_column" in given:
        column_of(table, given["time_column"], "--time-column")
        given["cv"] = "time"
    if "pos_label" in given:
        given["pos_label"] = _label_of(target, given["pos_label"])

    from autometa import AutoMeta

    test = _other_rows(given, "test", X)
    validation = _other_rows(given, "validation", X)
    own = {} if validation is None else {"X_val": validation[X.columns], "y_val": validation[arguments.target]}
    if destination is None:
        say("warning", "no --save was given, so the model will be lost when this command ends.")
    model = AutoMeta(**{name: given[name] for name in _ESTIMATOR_OPTIONS if name in given})
    model.fit(X, target, sample_weight=weight, groups=groups, **own)
    model._roles = {name: given[name] for name in ("target", "weight", "id") if name in given}
    # Saved before anything is printed, so that a closed pipe does not cost the model.
    end = "The model was not saved; pass --save FILE to keep it."
    if destination is not None:
        end = f"Saved {model.save(destination)}"
    if page is not None:
        end += f"\nWrote {model.report_html(page)}"
    show(
        f"{_summary(model)}\n\n"
        f"Leaderboard ({_N_LEADERBOARD_ROWS} best trials)\n{_leaderboard_text(model, _N_LEADERBOARD_ROWS)}\n\n"
        f"Report\n{_report_text(model)}\n\n"
        f"{end}"
    )
    if test is not None:
        show(f"\nTest {given['test']}\n{evaluation_text(model, test)}")


def _check_folds(given: dict[str, Any]) -> None:
    """Raise if options contradict each other about the rows that are validated."""
    if "time_column" in given and "cv" in given:
        raise ValueError("--time-column decides the folds; leave out --cv.")
    for option in ("cv", "groups", "time_column"):
        if "validation" in given and option in given:
            raise ValueError(f"--validation says which rows are validated; leave out --{option.replace('_', '-')}.")


def _other_rows(given: dict[str, Any], option: str, X: pd.DataFrame) -> pd.DataFrame | None:
    """Return the table that an option names, with the columns of X and the target; None without the option."""
    if option not in given:
        return None
    table = read_table(given[option], given.get("separator"), given.get("decimal"))
    check_labelled(table, given[option], X, given["target"])
    return table


def _label_of(target: pd.Series, text: str) -> Any:
    """Return the target value whose text was given on the command line, or else the text."""
    return next((label for label in target.unique().tolist() if str(label) == text), text)


def _predict(arguments: argparse.Namespace) -> None:
    import pandas as pd

    if arguments.out is not None:
        check_destination(arguments.out)
    model = autometa.load(arguments.model)
    unused = [name for name in id_columns(model, arguments.id) if name not in model._schema.kinds]
    table = read_table(arguments.new, arguments.separator, arguments.decimal, as_text=unused)
    # Before predicting, so that a misspelt name costs no time.
    for name in arguments.id:
        column_of(table, name, "--id")
    if not arguments.proba:
        result = pd.DataFrame({"prediction": model.predict(table)})
    elif model.problem_ == "regression":
        raise ValueError("--proba is for classification; this model predicts amounts.")
    else:
        result = pd.DataFrame(model.predict_proba(table), columns=[str(label) for label in model.classes_])
    result = with_ids(result, table, model, arguments.id)
    result.to_csv(sys.stdout if arguments.out is None else arguments.out, index=False)


def _evaluate(arguments: argparse.Namespace) -> None:
    model = autometa.load(arguments.model)
    table = read_table(arguments.test, arguments.separator, arguments.decimal)
    roles = {name: value for name in ("target", "weight") if (value := getattr(arguments, name)) is not None}
    if arguments.csv:
        scores(model, table, roles, arguments.metrics).to_csv(sys.stdout, index=False)
    else:
        show(evaluation_text(model, table, roles, arguments.metrics))


def _report(arguments: argparse.Namespace) -> None:
    model = autometa.load(arguments.model)
    if arguments.html is not None:
        show(f"Wrote {model.report_html(arguments.html)}")
        return
    if arguments.csv:
        table = model.leaderboard(full=True) if arguments.leaderboard else model.report(full=True)
        for name in ("configuration", "recommended", "best_configuration"):
            if name in table:
                table[name] = table[name].map(json.dumps)
        table.to_csv(sys.stdout, index=False)
        return
    show(f"{_summary(model)}\n\n{_leaderboard_text(model) if arguments.leaderboard else _report_text(model)}")


def _summary(model: AutoMeta) -> str:
    from autometa.report import columns_line
    from autometa.search.trial_records import COMPLETE

    history = model.history_
    complete = [trial for trial in history.trials if trial["status"] in COMPLETE]
    used = [trial for trial in history.trials if trial["weight"] > 0]
    lines = [
        f"{model.problem_}, {len(history.trials)} trials in {history.total_s:.1f} s ({history.stop_reason}), "
        f"{len(complete)} measured on every fold, {len(used)} in the ensemble",
        columns_line(model._schema),
    ]
    if complete:
        loss = min(trial["loss"] for trial in complete)
        lines.append(f"best trial: {history.metric} {model._metric.score(loss):.5g} (mean over the folds)")
        score = model._metric.score(history.ensemble_loss)
        lines.append(f"ensemble:   {history.metric} {score:.5g} (out of fold, on the rows that chose it)")
    if model._score_estimate is not None:
        expected = model.expected_score()
        interval = f"{expected['low']:.5g} to {expected['high']:.5g}"
        lines.append(f"new rows:   {history.metric} {expected['score']:.5g} expected, {interval} with 90% confidence")
    return "\n".join([*lines, *history.notes])


def _leaderboard_text(model: AutoMeta, n_rows: int | None = None) -> str:
    table = model.leaderboard(full=True)
    if table.empty:
        return "no trials"
    chosen = table[["trial", "strategy", "loss", "weight", "time_s", "status", "configuration"]].head(n_rows)
    return aligned(chosen.rename(columns={"time_s": "seconds"}), "configuration")


def _report_text(model: AutoMeta) -> str:
    return aligned(model.report(), "note")
