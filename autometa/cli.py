"""The ``autometa`` command: fit a table from a file, predict, report."""

# Only light modules are imported here, so that `autometa --help` answers at once.
from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import autometa
from autometa._support.imports import import_optional
from autometa.exceptions import AutometaError, SearchFailedError

if TYPE_CHECKING:
    import pandas as pd

    from autometa import AutoMeta, MetaDataset

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130
"""Exit codes: what was asked for is not possible; the search found no model; Ctrl-C."""

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_N_LEADERBOARD_ROWS = 10
_N_CONFIGURATION_LETTERS = 70

_ESTIMATOR_OPTIONS = (
    "problem",
    "time_budget",
    "n_trials",
    "metric",
    "strategies",
    "policy",
    "experience",
    "cv",
    "ensemble_size",
    "n_jobs",
    "memory_limit",
    "storage",
    "study_name",
    "random_state",
    "progress",
    "verbose",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        0, or 2 for bad input, 1 when the search found no model, 130 after Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            arguments.run(arguments)
            sys.stdout.flush()
        except KeyboardInterrupt as interrupt:
            _say("error", str(interrupt) or "interrupted")
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read the output has seen enough; nothing may be written at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (AutometaError, ValueError, TypeError, OSError, MemoryError) as error:
            if getattr(arguments, "verbose", 0):
                traceback.print_exc()
            _say("error", " ".join(str(error).split("\n")) or type(error).__name__)
            return FAILED if isinstance(error, (SearchFailedError, MemoryError)) else BAD_INPUT
    return 0


# ---------------------------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autometa", description="Find, fit and combine models for a table within a time budget."
    )
    parser.add_argument("--version", action="version", version=f"autometa {autometa.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_fit(commands)
    _add_predict(commands)
    _add_report(commands)
    _add_collect(commands)
    _add_export(commands)
    _add_train(commands)
    _add_assess(commands)
    return parser


def _add_fit(commands: Any) -> None:
    # Options left out are not passed on: the estimator's own defaults hold.
    fit = commands.add_parser(
        "fit",
        help="fit a table and save the model",
        description="Fit a table from a CSV, TSV (both also compressed) or Parquet file.",
        argument_default=argparse.SUPPRESS,
    )
    fit.set_defaults(run=_fit)
    fit.add_argument("train", metavar="TRAIN", type=Path, help="the table with the target")
    fit.add_argument("--target", metavar="COL", required=True, help="column to predict")
    fit.add_argument("--problem", choices=["auto", "classification", "binary", "multiclass", "regression"])
    fit.add_argument("--time-budget", metavar="SECONDS", type=float, help="default: 60, or no limit with --n-trials")
    fit.add_argument("--n-trials", metavar="N", type=int, help="most trials to start")
    fit.add_argument("--metric", help="e.g. log_loss, balanced_accuracy, mae; default: by the kind of problem")
    fit.add_argument("--strategies", metavar="NAME", nargs="+", help="names or .toml files; default: all that ship")
    fit.add_argument("--policy", help="name of a policy, or a folder that `autometa train` wrote; default: prior")
    fit.add_argument("--experience", metavar="FOLDER", type=Path, help="learn from earlier fits, and remember this one")
    fit.add_argument("--cv", metavar="N", type=int, help="number of folds; default: by rows and budget")
    fit.add_argument("--ensemble-size", metavar="N", type=int, help="rounds of ensemble selection; 1: best trial only")
    fit.add_argument("--n-jobs", metavar="N", type=int, help="evaluations at a time; -1: one per core (default)")
    fit.add_argument("--memory-limit", metavar="GIB", type=float, help="GiB for all worker processes together")
    fit.add_argument("--storage", metavar="URL", help="where to keep the Optuna study, e.g. sqlite:///study.db")
    fit.add_argument("--study-name", metavar="NAME", help="name of the study; one that is there is gone on with")
    fit.add_argument("--weight", metavar="COL", help="column with the weight of each row")
    fit.add_argument("--groups", metavar="COL", help="column whose equal values stay on one side of every split")
    fit.add_argument("--drop", metavar="COL", nargs="+", help="columns not to learn from")
    fit.add_argument("--random-state", metavar="N", type=int, help="seed")
    fit.add_argument("--save", metavar="FILE", type=Path, help="where to write the model, e.g. model.autometa")
    fit.add_argument("--progress", action=argparse.BooleanOptionalAction, help="show a bar; default: in a terminal")
    fit.add_argument("-v", "--verbose", action="count", help="log new trials and show tracebacks; -vv: everything")


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser("predict", help="predict a table with a saved model")
    predict.set_defaults(run=_predict)
    predict.add_argument("model", metavar="MODEL", type=Path, help="file written by `autometa fit --save`")
    predict.add_argument("new", metavar="NEW", type=Path, help="table with the columns of the training table")
    predict.add_argument("--out", metavar="FILE", type=Path, help="CSV to write; default: standard output")
    predict.add_argument("--proba", action="store_true", help="a column of probabilities per class")
    predict.add_argument("-v", "--verbose", action="count", default=0, help="show tracebacks")


def _add_report(commands: Any) -> None:
    report = commands.add_parser("report", help="show what a saved model is made of")
    report.set_defaults(run=_report)
    report.add_argument("model", metavar="MODEL", type=Path, help="file written by `autometa fit --save`")
    report.add_argument("--leaderboard", action="store_true", help="every trial instead of every strategy")
    report.add_argument("--csv", action="store_true", help="all columns as CSV")
    report.add_argument("-v", "--verbose", action="count", default=0, help="show tracebacks")


def _add_collect(commands: Any) -> None:
    collect = commands.add_parser(
        "collect",
        help="measure configurations on a folder of tables",
        description="Measure the pool of configurations on every table of a folder, and write a meta-dataset. "
        "Stop it at any time: the same command goes on where it stopped. On a cluster, start a worker per core with "
        "`dask worker ADDRESS --nthreads 1`; all must see the folder of tables under the same path.",
    )
    collect.set_defaults(run=_collect)
    collect.add_argument(
        "--tasks", metavar="FOLDER", type=Path, required=True, help="tasks.csv and a Parquet or CSV file per task"
    )
    collect.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="where to keep what is measured")
    collect.add_argument("--strategies", metavar="NAME", nargs="+", help="names or .toml files; default: all that ship")
    collect.add_argument("--configurations", metavar="N", type=int, help="only the first N of the pool")
    collect.add_argument("--only", metavar="FILE", type=Path, help="names of the tasks to use, one per line")
    collect.add_argument(
        "--known", metavar="RECORDS", type=Path, help="a meta-dataset: what is in it is not measured again"
    )
    collect.add_argument("--jobs", metavar="N", type=int, default=2, help="evaluations at a time; default: 2")
    collect.add_argument(
        "--time-limit", metavar="SECONDS", type=float, default=60.0, help="of an evaluation; default: 60"
    )
    collect.add_argument("--memory-limit", metavar="GIB", type=float, default=4.0, help="of an evaluation; default: 4")
    collect.add_argument(
        "--max-rows", metavar="N", type=int, default=10_000, help="most training rows of a fold; default: 10000"
    )
    collect.add_argument("--random-state", metavar="N", type=int, default=0, help="seed; default: 0")
    collect.add_argument("--backend", choices=["local", "dask"], default="local", help="where to measure")
    collect.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, e.g. tcp://10.0.0.1:8786")
    collect.add_argument("--progress", action=argparse.BooleanOptionalAction, help="show a bar; default: in a terminal")
    collect.add_argument("-v", "--verbose", action="count", default=0, help="show tracebacks")


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="make a meta-dataset of a collection",
        description="Write what a collection has measured so far: OUT/records/*.parquet for exchange, "
        "and OUT/metadataset.npz, which needs no pyarrow.",
    )
    export.set_defaults(run=_export)
    export.add_argument("--tasks", metavar="FOLDER", type=Path, required=True, help="the tables that it measures")
    export.add_argument("--collection", metavar="FOLDER", type=Path, required=True, help="what `collect --out` names")
    export.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="where to write")
    export.add_argument("--known", metavar="RECORDS", type=Path, help="a meta-dataset to join it with")
    export.add_argument(
        "--manifest", metavar="NAME=TEXT", nargs="*", default=(), help="entries of the manifest, e.g. licence=..."
    )
    export.add_argument("--progress", action=argparse.BooleanOptionalAction, help="show a bar; default: in a terminal")
    export.add_argument("-v", "--verbose", action="count", default=0, help="show tracebacks")


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="learn a policy from a meta-dataset",
        description="Learn from recorded evaluations which configurations to try; writes weights.npz and card.toml.",
    )
    train.set_defaults(run=_train)
    train.add_argument("--records", metavar="PATH", type=Path, help="folder or .npz; default: the one that ships")
    train.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="where to write the weights")
    train.add_argument(
        "--predictions", metavar="FOLDER", type=Path, help="the collection, to choose portfolios by their ensembles"
    )
    train.add_argument(
        "--replayed", metavar="N", type=int, default=24, help="tasks to tune temperatures on; default: 24; 0: do not"
    )
    train.add_argument(
        "--recurrent", metavar="SECONDS", type=float, default=0.0, help="most time for the recurrent policy; default: 0"
    )
    train.add_argument("--random-state", metavar="N", type=int, default=0, help="seed; default: 0")
    train.add_argument("-v", "--verbose", action="count", default=0, help="show tracebacks")


def _add_assess(commands: Any) -> None:
    assess = commands.add_parser(
        "assess",
        help="compare policies on recorded tasks",
        description="Replay searches on every task of a meta-dataset, with policies made of the tasks of other "
        "families, and compare the regrets.",
    )
    assess.set_defaults(run=_assess)
    assess.add_argument("--records", metavar="PATH", type=Path, help="folder or .npz; default: the one that ships")
    assess.add_argument("--policies", metavar="NAME", nargs="+", help="default: all, with ablations")
    assess.add_argument(
        "--baseline",
        metavar="NAME",
        default="greedy_per_second",
        help="compare with it; default: greedy_per_second, the static portfolio that counts costs",
    )
    assess.add_argument(
        "--budgets", metavar="SECONDS", nargs="*", type=float, default=[1, 10, 60, 600], help="default: 1 10 60 600"
    )
    assess.add_argument(
        "--counts", metavar="N", nargs="*", type=int, default=[1, 3, 5, 10, 16, 32], help="default: 1 3 5 10 16 32"
    )
    assess.add_argument("--folds", metavar="N", type=int, default=10, help="parts of the families; default: 10")
    assess.add_argument("--sample", metavar="N", type=int, help="search on N tasks drawn at random; default: on all")
    assess.add_argument(
        "--predictions", metavar="FOLDER", type=Path, help="the collection, for the regret of ensembles"
    )
    assess.add_argument(
        "--recurrent",
        metavar="SECONDS",
        type=float,
        default=0.0,
        help="train the recurrent policy, at most this long for each part of the families; default: 0, leave it out",
    )
    assess.add_argument("--jobs", metavar="N", type=int, default=1, help="processes; default: 1")
    assess.add_argument("--random-state", metavar="N", type=int, default=0, help="seed; default: 0")
    assess.add_argument("--out", metavar="CSV", type=Path, help="a row per policy, task and limit")
    assess.add_argument("-v", "--verbose", action="count", default=0, help="show tracebacks")


# ---------------------------------------------------------------------------------------- commands


def _fit(arguments: argparse.Namespace) -> None:
    given = vars(arguments)
    destination: Path | None = given.get("save")
    if destination is not None:
        _check_destination(destination)
    table = _read_table(arguments.train)
    target = _column(table, arguments.target, "--target")
    weight = _column(table, given["weight"], "--weight") if "weight" in given else None
    groups = _column(table, given["groups"], "--groups") if "groups" in given else None
    for name in given.get("drop", ()):
        _column(table, name, "--drop")
    unused = {given.get("weight"), given.get("groups"), arguments.target, *given.get("drop", ())}
    X = table.drop(columns=[name for name in table.columns if name in unused])

    from autometa import AutoMeta

    model = AutoMeta(**{name: given[name] for name in _ESTIMATOR_OPTIONS if name in given})
    model.fit(X, target, sample_weight=weight, groups=groups)
    # Saved before anything is shown: a reader that closes the pipe must not cost the model.
    end = "The model was not saved; pass --save FILE to keep it."
    if destination is not None:
        end = f"Saved {model.save(destination)}"
    _show(
        f"{_summary(model)}\n\n"
        f"Leaderboard ({_N_LEADERBOARD_ROWS} best trials)\n{_leaderboard_text(model, _N_LEADERBOARD_ROWS)}\n\n"
        f"Report\n{_report_text(model)}\n\n"
        f"{end}"
    )


def _predict(arguments: argparse.Namespace) -> None:
    import pandas as pd

    if arguments.out is not None:
        _check_destination(arguments.out)
    table = _read_table(arguments.new)
    model = autometa.load(arguments.model)
    if not arguments.proba:
        result = pd.DataFrame({"prediction": model.predict(table)})
    elif model.problem_ == "regression":
        raise ValueError("--proba is for classification; this model predicts amounts.")
    else:
        result = pd.DataFrame(model.predict_proba(table), columns=[str(label) for label in model.classes_])
    result.to_csv(sys.stdout if arguments.out is None else arguments.out, index=False)


def _report(arguments: argparse.Namespace) -> None:
    model = autometa.load(arguments.model)
    if arguments.csv:
        table = model.leaderboard() if arguments.leaderboard else model.report()
        for name in ("configuration", "recommended", "best_configuration"):
            if name in table:
                table[name] = table[name].map(json.dumps)
        table.to_csv(sys.stdout, index=False)
        return
    _show(f"{_summary(model)}\n\n{_leaderboard_text(model) if arguments.leaderboard else _report_text(model)}")


def _collect(arguments: argparse.Namespace) -> None:
    if arguments.scheduler is not None and arguments.backend != "dask":
        raise ValueError("--scheduler is the address of a Dask cluster; it needs --backend dask.")
    if arguments.configurations is not None and arguments.configurations < 1:
        raise ValueError(f"--configurations must be at least 1, got {arguments.configurations}.")
    # Before hours of work: without it their result could not be written.
    import_optional("pyarrow", extra="meta")
    from tqdm.auto import tqdm

    from autometa.catalogue import load_strategies
    from autometa.metadataset.collection import collect
    from autometa.metadataset.dataset import MetaDataset
    from autometa.metadataset.export import export
    from autometa.metadataset.measuring import Settings
    from autometa.metadataset.pool import make_pool

    strategies = load_strategies(arguments.strategies)
    try:
        collect(
            arguments.tasks,
            arguments.out,
            strategies,
            settings=Settings(arguments.time_limit, arguments.memory_limit, arguments.max_rows, arguments.random_state),
            pool=make_pool(strategies)[: arguments.configurations],
            only=_names(arguments.only) if arguments.only is not None else None,
            known=None if arguments.known is None else MetaDataset.load(arguments.known),
            n_jobs=arguments.jobs,
            backend=arguments.backend,
            scheduler=arguments.scheduler,
            progress=arguments.progress,
            on_task=tqdm.write,
        )
    except KeyboardInterrupt:
        _say("stopped", "what was measured is kept; the same command goes on with the rest")
        raise
    metadataset = export(arguments.tasks, arguments.out, progress=arguments.progress)
    metadataset.to_parquet(arguments.out)
    _show(f"{_counts(metadataset)}\n\nWritten to {arguments.out}")


def _export(arguments: argparse.Namespace) -> None:
    import_optional("pyarrow", extra="meta")
    from autometa.metadataset.dataset import MetaDataset
    from autometa.metadataset.export import export

    manifest = dict(entry.split("=", 1) if "=" in entry else (entry, "") for entry in arguments.manifest)
    metadataset = export(arguments.tasks, arguments.collection, manifest=manifest, progress=arguments.progress)
    if arguments.known is not None:
        about = metadataset.manifest
        metadataset = metadataset.concat(MetaDataset.load(arguments.known))
        metadataset = MetaDataset(metadataset.tasks, metadataset.configurations, metadataset.evaluations, about)
    arguments.out.mkdir(parents=True, exist_ok=True)
    metadataset.to_parquet(arguments.out / "records")
    metadataset.to_npz(arguments.out / "metadataset.npz")
    _show(f"{_counts(metadataset)}\n\nWritten to {arguments.out}")


def _counts(metadataset: MetaDataset) -> str:
    return "\n\n".join([repr(metadataset), *(table.to_string() for table in metadataset.summary().values())])


def _train(arguments: argparse.Namespace) -> None:
    if arguments.out.is_file():
        raise NotADirectoryError(f"--out {arguments.out} is a file; name a folder.")
    if arguments.replayed < 0:
        raise ValueError(f"--replayed must not be negative, got {arguments.replayed}.")

    from autometa._support.toml_text import toml_text
    from autometa.metadataset.dataset import MetaDataset
    from autometa.policy.training import train

    weights = train(
        MetaDataset.load(arguments.records),
        seed=arguments.random_state,
        out=arguments.out,
        predictions=arguments.predictions,
        n_replayed=arguments.replayed,
        recurrent_s=arguments.recurrent,
    )
    shown = ("n_tasks", "n_configurations", "similarity", "temperatures", "portfolios", "regret_left_out")
    _show(f"{toml_text({name: weights.card[name] for name in shown})}\nWritten to {arguments.out}")


def _assess(arguments: argparse.Namespace) -> None:
    if arguments.out is not None:
        _check_destination(arguments.out)
    if arguments.folds < 2:
        raise ValueError(f"--folds must be at least 2, got {arguments.folds}.")
    if arguments.sample is not None and arguments.sample < 1:
        raise ValueError(f"--sample must be at least 1, got {arguments.sample}.")

    import numpy as np

    from autometa._support.seeds import child_seed
    from autometa.metadataset.dataset import MetaDataset
    from autometa.policy.assessment import assess, compare, named_policies
    from autometa.policy.metric_learning import learnt_weights
    from autometa.policy.mixture import Stage
    from autometa.policy.past import PastTasks
    from autometa.policy.prediction_errors import prediction_errors
    from autometa.policy.weights import read_weights

    past = PastTasks.from_metadataset(MetaDataset.load(arguments.records))
    every = named_policies(
        past,
        similarity=learnt_weights,
        seed=arguments.random_state,
        stages=[Stage(**stage) for stage in read_weights().card["stages"]],
        predictions=arguments.predictions,
        recurrent_s=arguments.recurrent,
    )
    names = arguments.policies or list(every)
    baseline = arguments.baseline
    for name in (*names, baseline):
        if name not in every:
            hint = _did_you_mean(difflib.get_close_matches(name, every, n=3)) or f" There are: {', '.join(every)}."
            raise ValueError(f"There is no policy {name!r} to assess.{hint}")
    tasks = np.random.default_rng(child_seed(arguments.random_state, "sample")).permutation(len(past.tasks))
    table = assess(
        past,
        {name: every[name] for name in dict.fromkeys([*names, baseline])},
        budgets_s=arguments.budgets,
        counts=arguments.counts,
        n_folds=arguments.folds,
        seed=arguments.random_state,
        n_jobs=arguments.jobs,
        tasks=tasks[: arguments.sample].tolist(),
        predictions=arguments.predictions,
    )
    if arguments.out is not None:
        table.to_csv(arguments.out, index=False)
    text = [f"Regret on {table['task'].nunique()} tasks of families left out; the difference is to {baseline}"]
    for value in ("regret", "ensemble_regret"):
        if table[value].notna().any():
            compared = compare(table[table[value].notna()], baseline, value, arguments.random_state)
            text += [f"\n{value}", _comparison_text(compared)]
    errors = prediction_errors(past, n_folds=arguments.folds, seed=arguments.random_state)
    text += ["\nMean absolute errors of predictions (losses on their scale, logarithms of the others)"]
    _show("\n".join([*text, errors.round(4).to_string()]))


def _comparison_text(compared: pd.DataFrame) -> str:
    """Return policies × limits: mean regrets, then differences with their 95% intervals."""
    rounded = compared.round(4).astype(str)
    difference = rounded["difference"] + " [" + rounded["low"] + ", " + rounded["high"] + "]"
    shown = {"mean": compared["mean"].round(4), "difference [95% interval over families]": difference}
    return "\n".join(
        f"{title}\n{values.unstack(['limit', 'at'], sort=False).to_string()}" for title, values in shown.items()
    )


def _names(file: Path) -> list[str]:
    """Return the names in a text file, one per line; # begins a comment."""
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


# ---------------------------------------------------------------------------------------- tables


def _read_table(file: Path) -> pd.DataFrame:
    """Return the table in a file.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is not there, is of another kind, or cannot be read.
    """
    suffixes = [suffix.lower() for suffix in file.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix not in _COMPRESSED), "")
    if kind not in (".csv", ".tsv", ".txt", ".parquet", ".pq"):
        raise ValueError(
            f"{file} is not a kind of table that can be read: expected .csv, .tsv (also compressed, e.g. .csv.gz) "
            "or .parquet."
        )
    if not file.is_file():
        near = difflib.get_close_matches(file.name, os.listdir(file.parent) if file.parent.is_dir() else [], n=3)
        raise FileNotFoundError(f"There is no file {file}.{_did_you_mean(near)}")
    import pandas as pd

    if kind in (".parquet", ".pq"):
        import_optional("pyarrow", extra="meta")
        try:
            return pd.read_parquet(file)
        except (ValueError, OSError) as error:
            raise ValueError(f"{file} cannot be read as Parquet: {error}") from error
    try:
        names = list(pd.read_csv(file, sep="\x1f", nrows=0, encoding="utf-8-sig"))
        separator = _separator("".join(names), kind)
        return pd.read_csv(file, sep=separator, encoding="utf-8-sig", low_memory=False)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{file} cannot be read as a table: {error}") from error


def _separator(header: str, kind: str) -> str:
    """Return the separator of a table, from its first line: a CSV may use semicolons or tabs."""
    if kind == ".tsv":
        return "\t"
    return max((",", ";", "\t"), key=header.count)


def _column(table: pd.DataFrame, name: str, option: str) -> pd.Series:
    if name not in table.columns:
        near = difflib.get_close_matches(name, map(str, table.columns), n=3)
        shown = ", ".join(map(str, table.columns[:10])) + (", …" if table.shape[1] > 10 else "")
        hint = _did_you_mean(near) or f" It has: {shown}."
        raise ValueError(f"{option} {name!r} is not a column of the table.{hint}")
    return table[name]


def _did_you_mean(near: Sequence[str]) -> str:
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def _check_destination(file: Path) -> None:
    """Refuse a place that cannot be written to before any work is done."""
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder; name a file.")
    folder = file.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} to write {file.name} to.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"The folder {folder} cannot be written to.")


# ---------------------------------------------------------------------------------------- text


def _summary(model: AutoMeta) -> str:
    history = model.history_
    complete = [trial for trial in history.trials if trial["status"] == "ok"]
    used = [trial for trial in history.trials if trial["weight"] > 0]
    lines = [
        f"{model.problem_}, {len(history.trials)} trials in {history.total_s:.1f} s ({history.stop_reason}), "
        f"{len(complete)} measured on every fold, {len(used)} in the ensemble"
    ]
    if complete:
        loss = min(trial["loss"] for trial in complete)
        lines.append(f"best trial: {history.metric} {model._metric.score(loss):.5g} (mean over the folds)")
        score = model._metric.score(history.ensemble_loss)
        lines.append(f"ensemble:   {history.metric} {score:.5g} (out of fold, on the rows that chose it)")
    return "\n".join(lines)


def _leaderboard_text(model: AutoMeta, n_rows: int | None = None) -> str:
    table = model.leaderboard()
    if table.empty:
        return "no trials"
    chosen = table[["trial", "strategy", "loss", "weight", "time_s", "status", "configuration"]].head(n_rows)
    return _aligned(chosen.rename(columns={"time_s": "seconds"}), "configuration")


def _report_text(model: AutoMeta) -> str:
    columns = ["strategy", "probability", "n_trials", "n_ok", "best_loss", "time_s", "weight", "note"]
    return _aligned(model.report()[columns].rename(columns={"time_s": "seconds"}), "note")


def _aligned(table: pd.DataFrame, last: str) -> str:
    """Return a table as text whose last column is aligned to the left."""
    formats = {
        "seconds": "{:.1f}",
        "weight": "{:.3f}",
        "probability": "{:.3f}",
        "loss": "{:.5g}",
        "best_loss": "{:.5g}",
    }
    rows = [list(table.columns)]
    for record in table.to_dict("records"):
        row = []
        for name, value in record.items():
            if name == last:
                row.append(_shortened(_configuration(value)))
            elif value is None or value != value:
                row.append("–")
            else:
                row.append(formats.get(str(name), "{}").format(value))
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    is_text = [name in ("strategy", "status") for name in table.columns]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(row, widths, is_text, strict=False)
        ]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines)


def _configuration(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(
        f"{name}={number:.4g}" if isinstance(number, float) else f"{name}={number}" for name, number in value.items()
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _N_CONFIGURATION_LETTERS else text[: _N_CONFIGURATION_LETTERS - 1] + "…"


def _show(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _say(kind: str, text: str) -> None:
    sys.stderr.write(f"autometa: {kind}: {text}\n")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    _say("warning", str(message))
