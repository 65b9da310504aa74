"""Run the commands `collect`, `export`, `train` and `assess`."""

# Tests: tests/test_cli.py
# Tests: tests/test_cli_policies.py

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autometa._support.files import shipped_folder
from autometa._support.hints import did_you_mean
from autometa._support.imports import import_optional
from autometa.cli.printing import say, show
from autometa.cli.table_files import check_destination, names_in
from autometa.metalearning.replay import BEST_STATIC

if TYPE_CHECKING:
    import pandas as pd

    from autometa import MetaDataset
    from autometa.metadataset.error_moments import ErrorMoments
    from autometa.metalearning.replay.assessment import Factory


_MOMENTS_HELP = "second moments of errors; default: error_moments.npz beside the records, if it is there"


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    _add_collect(commands)
    _add_export(commands)
    _add_train(commands)
    _add_assess(commands)


def _add_collect(commands: Any) -> None:
    collect = commands.add_parser(
        "collect",
        help="measure configurations on a folder of tables",
        description="Measure the pool of configurations on every table of a folder, and write a meta-dataset. "
        "Stop it at any time: the same command resumes it. On a cluster, start a worker per core with "
        "`dask worker ADDRESS --nthreads 1`; all must see the folder of tables under the same path.",
    )
    collect.set_defaults(run=_collect)
    collect.add_argument(
        "--tasks", metavar="FOLDER", type=Path, required=True, help="tasks.csv and a Parquet or CSV file per task"
    )
    collect.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="where to store the results")
    collect.add_argument("--strategies", metavar="NAME", nargs="+", help="names or .toml files; default: all that ship")
    collect.add_argument("--configurations", metavar="N", type=int, help="only the first N of the pool")
    collect.add_argument("--only", metavar="FILE", type=Path, help="names of the tasks to use, one per line")
    collect.add_argument(
        "--known", metavar="RECORDS", type=Path, help="a meta-dataset whose results are not measured again"
    )
    collect.add_argument(
        "--jobs", metavar="N", type=int, default=2, help="number of parallel evaluations; default: %(default)s"
    )
    collect.add_argument(
        "--time-limit", metavar="SECONDS", type=float, default=60.0, help="of an evaluation; default: %(default)g"
    )
    collect.add_argument(
        "--memory-limit", metavar="GIB", type=float, default=4.0, help="of an evaluation; default: %(default)g"
    )
    collect.add_argument(
        "--max-rows", metavar="N", type=int, default=10_000, help="most training rows of a fold; default: %(default)s"
    )
    collect.add_argument("--random-state", metavar="N", type=int, default=0, help="seed; default: %(default)s")
    collect.add_argument(
        "--backend", choices=["local", "dask"], default="local", help="where to measure; default: %(default)s"
    )
    collect.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, e.g. tcp://10.0.0.1:8786")
    collect.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, help="show a bar; default: in a terminal or a notebook"
    )
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
    export.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, help="show a bar; default: in a terminal or a notebook"
    )
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
    train.add_argument("--moments", metavar="FILE", type=Path, help=_MOMENTS_HELP)
    train.add_argument(
        "--replayed",
        metavar="N",
        type=int,
        default=24,
        help="number of tasks on which temperatures are compared; default: %(default)s; 0: keep the usual ones",
    )
    train.add_argument(
        "--recurrent",
        metavar="SECONDS",
        type=float,
        default=0.0,
        help="most time for the recurrent policy; default: %(default)g",
    )
    train.add_argument("--random-state", metavar="N", type=int, default=0, help="seed; default: %(default)s")
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
        default=BEST_STATIC,
        help="compare with it; default: %(default)s, for each limit the static policy with the lowest regret",
    )
    assess.add_argument(
        "--budgets", metavar="SECONDS", nargs="*", type=float, default=[3, 10, 60, 600], help="default: %(default)s"
    )
    assess.add_argument("--counts", metavar="N", nargs="*", type=int, default=[3, 10, 32], help="default: %(default)s")
    assess.add_argument(
        "--folds", metavar="N", type=int, default=10, help="parts of the families; default: %(default)s"
    )
    assess.add_argument("--sample", metavar="N", type=int, help="search on N tasks drawn at random; default: on all")
    assess.add_argument("--moments", metavar="FILE", type=Path, help=_MOMENTS_HELP)
    assess.add_argument(
        "--recurrent",
        metavar="SECONDS",
        type=float,
        default=0.0,
        help="train the recurrent policy, at most this long for each part of the families, 0 leaves it out; "
        "default: %(default)g",
    )
    assess.add_argument("--jobs", metavar="N", type=int, default=1, help="processes; default: %(default)s")
    assess.add_argument("--random-state", metavar="N", type=int, default=0, help="seed; default: %(default)s")
    assess.add_argument("--out", metavar="CSV", type=Path, help="a row per policy, task and limit")
    assess.add_argument("-v", "--verbose", action="count", default=0, help="show tracebacks")


def _collect(arguments: argparse.Namespace) -> None:
    if arguments.scheduler is not None and arguments.backend != "dask":
        raise ValueError("--scheduler is the address of a Dask cluster; it needs --backend dask.")
    if arguments.configurations is not None and arguments.configurations < 1:
        raise ValueError(f"--configurations must be at least 1, got {arguments.configurations}.")
    # Checked before hours of work, as the result could not be written without it.
    import_optional("pyarrow", extra="meta")
    from tqdm.auto import tqdm

    from autometa.catalogue import load_strategies
    from autometa.metadataset.dataset import MetaDataset
    from autometa.metadataset.pool import make_pool
    from autometa.metalearning.collection.collection import collect
    from autometa.metalearning.collection.export import export
    from autometa.metalearning.collection.measuring import CollectionSettings

    strategies = load_strategies(arguments.strategies)
    try:
        collect(
            arguments.tasks,
            arguments.out,
            strategies,
            settings=CollectionSettings(
                arguments.time_limit, arguments.memory_limit, arguments.max_rows, arguments.random_state
            ),
            pool=make_pool(strategies)[: arguments.configurations],
            only=names_in(arguments.only) if arguments.only is not None else None,
            known=None if arguments.known is None else MetaDataset.load(arguments.known),
            n_jobs=arguments.jobs,
            backend=arguments.backend,
            scheduler=arguments.scheduler,
            progress=arguments.progress,
            on_task=tqdm.write,
        )
    except KeyboardInterrupt:
        say("stopped", "what was measured is kept; the same command goes on with the rest")
        raise
    metadataset = export(arguments.tasks, arguments.out, progress=arguments.progress)
    metadataset.to_parquet(arguments.out)
    show(f"{_counts(metadataset)}\n\nWritten to {arguments.out}")


def _export(arguments: argparse.Namespace) -> None:
    import_optional("pyarrow", extra="meta")
    from autometa.metadataset.dataset import MetaDataset
    from autometa.metadataset.error_moments import FILE_NAME
    from autometa.metalearning.collection.export import export, export_moments

    manifest = dict(entry.split("=", 1) if "=" in entry else (entry, "") for entry in arguments.manifest)
    metadataset = export(arguments.tasks, arguments.collection, manifest=manifest, progress=arguments.progress)
    if arguments.known is not None:
        about = metadataset.manifest
        metadataset = metadataset.concat(MetaDataset.load(arguments.known))
        metadataset = MetaDataset(metadataset.tasks, metadataset.configurations, metadataset.evaluations, about)
    arguments.out.mkdir(parents=True, exist_ok=True)
    metadataset.to_parquet(arguments.out / "records")
    metadataset.to_npz(arguments.out / "metadataset.npz")
    export_moments(arguments.collection, metadataset).to_npz(arguments.out / FILE_NAME)
    show(f"{_counts(metadataset)}\n\nWritten to {arguments.out}")


def _counts(metadataset: MetaDataset) -> str:
    return "\n\n".join([repr(metadataset), *(table.to_string() for table in metadataset.summary().values())])


def _train(arguments: argparse.Namespace) -> None:
    if arguments.out.is_file():
        raise NotADirectoryError(f"--out {arguments.out} is a file; name a folder.")
    if arguments.replayed < 0:
        raise ValueError(f"--replayed must not be negative, got {arguments.replayed}.")
    _check_recurrent(arguments.recurrent)

    import tomli_w

    from autometa.metadataset.dataset import MetaDataset
    from autometa.metalearning.training.policy_training import train

    metadataset = MetaDataset.load(arguments.records)
    weights = train(
        metadataset,
        seed=arguments.random_state,
        out=arguments.out,
        moments=_moments(arguments),
        n_replayed=arguments.replayed,
        recurrent_s=arguments.recurrent,
    )
    shown = ("n_tasks", "n_configurations", "similarity", "temperatures", "portfolios", "regret_left_out")
    show(f"{tomli_w.dumps({name: weights.card[name] for name in shown})}\nWritten to {arguments.out}")


def _assess(arguments: argparse.Namespace) -> None:
    if arguments.out is not None:
        check_destination(arguments.out)
    if arguments.folds < 2:
        raise ValueError(f"--folds must be at least 2, got {arguments.folds}.")
    if arguments.sample is not None and arguments.sample < 1:
        raise ValueError(f"--sample must be at least 1, got {arguments.sample}.")
    _check_recurrent(arguments.recurrent)

    import numpy as np

    from autometa._support.seeds import child_seed
    from autometa.metadataset.dataset import MetaDataset
    from autometa.metadataset.schema import LOSSES
    from autometa.metalearning.replay.assessment import assess, named_policies
    from autometa.metalearning.replay.prediction_errors import prediction_errors
    from autometa.metalearning.training.similarity_learning import learnt_weights
    from autometa.policy.past_tasks import PastTasks

    metadataset, moments = MetaDataset.load(arguments.records), _moments(arguments)
    past = PastTasks.from_metadataset(metadataset, moments)
    if moments is not None:
        moments = moments.select(past.tasks, metadataset.configurations["configuration"])
    every = named_policies(
        past, similarity=learnt_weights, seed=arguments.random_state, recurrent_s=arguments.recurrent
    )
    tasks = np.random.default_rng(child_seed(arguments.random_state, "sample")).permutation(len(past.tasks))
    table = assess(
        past,
        _chosen(every, [*(arguments.policies or every), *_named_baselines(arguments.baseline, every)]),
        budgets_s=arguments.budgets,
        counts=arguments.counts,
        n_folds=arguments.folds,
        seed=arguments.random_state,
        n_jobs=arguments.jobs,
        tasks=tasks[: arguments.sample].tolist(),
        moments=moments,
        as_in_fits=not set(past.problems) - set(LOSSES),
    )
    if arguments.out is not None:
        table.to_csv(arguments.out, index=False)
    errors = prediction_errors(past, n_folds=arguments.folds, seed=arguments.random_state)
    show(
        f"{_regret_text(table, arguments.baseline, arguments.random_state)}\n\n"
        "Mean absolute errors of predictions (losses on their scale, logarithms of the others)\n"
        f"{errors.round(4).to_string()}"
    )


def _moments(arguments: argparse.Namespace) -> ErrorMoments | None:
    """Return the second moments that were asked for, or else lie beside the records."""
    from autometa.metadataset.error_moments import FILE_NAME, ErrorMoments

    if arguments.moments is not None:
        return ErrorMoments.load(arguments.moments)
    records = shipped_folder("datasets") / "metadataset.npz" if arguments.records is None else arguments.records
    found = [folder / FILE_NAME for folder in (records, records.parent) if (folder / FILE_NAME).is_file()]
    return ErrorMoments.load(found[0]) if found else None


def _named_baselines(baseline: str, every: Mapping[str, Factory]) -> list[str]:
    """Return the policies that a comparison with a baseline needs."""
    from autometa.metalearning.replay.assessment import STATIC_POLICIES

    return [name for name in STATIC_POLICIES if name in every] if baseline == BEST_STATIC else [baseline]


def _chosen(every: Mapping[str, Factory], names: Sequence[str]) -> dict[str, Factory]:
    """Return the policies of these names, or say which name is unknown."""
    for name in names:
        if name not in every:
            hint = did_you_mean(name, every, n=3) or f" There are: {', '.join(every)}."
            if name == "recurrent":
                hint = " It is trained anew for each part of the families: say for how long, with --recurrent SECONDS."
            raise ValueError(f"There is no policy {name!r} to assess.{hint}")
    return {name: every[name] for name in names}


def _regret_text(table: pd.DataFrame, baseline: str, seed: int) -> str:
    from autometa.metalearning.replay.assessment import compare

    text = [f"Regret on {table['task'].nunique()} tasks of families left out; the difference is to {baseline}"]
    for value in ("ensemble_regret", "regret"):
        if table[value].notna().any():
            compared = compare(table[table[value].notna()], baseline, value, seed)
            text += [f"\n{value}", _comparison_text(compared)]
    return "\n".join(text)


def _check_recurrent(seconds: float) -> None:
    if not 0 <= seconds < math.inf:
        raise ValueError(f"--recurrent must be a number of seconds, 0 or more, got {seconds:g}.")


def _comparison_text(compared: pd.DataFrame) -> str:
    """Return policies × limits: mean regrets, then differences with their 95% intervals."""
    rounded = compared.round(4).astype(str)
    difference = rounded["difference"] + " [" + rounded["low"] + ", " + rounded["high"] + "]"
    shown = {"mean": compared["mean"].round(4), "difference [95% interval over families]": difference}
    return "\n".join(
        f"{title}\n{values.unstack(['limit', 'at'], sort=False).to_string()}" for title, values in shown.items()
    )
