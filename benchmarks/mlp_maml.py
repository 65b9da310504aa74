"""Meta-learns the starts of `mlp_maml`, and compares them on held-out tables.

``tables``    prepares the tables once, into a folder outside the repository
``train``     meta-trains one start and writes it beside the others; resumes an interrupted training
``compare``   writes losses after epochs on held-out tables, a row per fit; resumes an interrupted run
``report``    prints the results of `compare`, with paired intervals
``ensembles`` fits `AutoMeta` with and without `mlp_maml`, see `benchmarks.mlp_maml_ensembles`
``replays``   replays searches with and without `mlp_maml`, see `benchmarks.mlp_maml_replays`

Training uses no family of the tasks in ``tasks24.txt`` and ``tasks60.txt``, on which fits are tested, or of the
meta-dataset, whose records of `mlp_maml` would be too optimistic otherwise. Settings were chosen on ``tasks40.txt``.
The test uses the tasks of ``tasks48.txt`` that were not trained on. A seed of `compare` sets the rows for training,
early stopping and testing, and the seed of the fits.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from autometa.learners import epochs, learner_named
from autometa.learners.base import FitData, FitFunction, stages_before
from autometa.learners.mlp_maml.learner import SharedNetworkModel, fit_mlp_maml
from autometa.metalearning.replay.regret import paired_bootstrap
from benchmarks import mlp_maml_ensembles, mlp_maml_replays
from benchmarks.corpus import named_tasks
from benchmarks.plain_mlp import PlainMLP
from benchmarks.table_tasks import TableTask, prepare_all, table_task

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
ASIDE = (HERE / "tasks24.txt", HERE / "tasks60.txt", HERE.parent / "datasets" / "tasks.txt")
JUDGED_BY = HERE / "tasks48.txt"
RESULTS = HERE / "results" / "mlp_maml_epochs.csv"
PLAIN = "scikit-learn"
TWO_RANDOM = "two random"
LAST_EPOCH = 64
EPOCHS = (1, 2, 4, 8, 16, 32, LAST_EPOCH)
MOST_LOSS = 2.0
"""Upper bound of losses in means; a constant prediction has 1."""


def training_names(corpus: Path, without: Path | None = None) -> tuple[list[str], list[str]]:
    """Return the tasks that may be trained on, and their families, without families of a further list of tasks."""
    tasks = pd.read_csv(corpus / "tasks.csv").set_index("task_id")
    aside = [name for file in (*ASIDE, *([without] if without else [])) for name in named_tasks(str(file))]
    free = tasks[~tasks["family"].isin(set(tasks.loc[aside, "family"]))]
    return list(free.index), sorted(set(free["family"]))


def train(options: argparse.Namespace) -> None:
    """Meta-train one start."""
    import torch

    from autometa.learners.mlp_maml.network import random_arrays
    from autometa.learners.mlp_maml.starts import write_starts
    from autometa.maml.training import OuterSettings, meta_train
    from autometa.metalearning.training.start_training import SharedNetworkLearner, Table, draw_task

    torch.set_num_threads(1)
    names, families = training_names(options.corpus, options.without)
    names = prepare_all(options.corpus, options.cache, names)
    tables = []
    for name in names:
        task = table_task(options.corpus, options.cache, name)
        tables.append(Table(np.concatenate(list(task.X.values())), np.concatenate(list(task.y.values())), task.problem))
    learner = SharedNetworkLearner(options.variant)
    first = random_arrays(np.random.default_rng(options.seed))
    start = {name: torch.from_numpy(array) for name, array in first.items()}
    options.states.mkdir(parents=True, exist_ok=True)
    began_s = time.process_time()
    trained = meta_train(
        learner,
        learner.initial(start),
        lambda rng: [draw_task(tables, rng) for _ in range(options.n_tasks)],
        OuterSettings(options.n_steps, options.rate, last_rate=0.0, most_norm=1.0),
        seed=options.seed,
        state=options.states / f"{options.variant}.npz",
        max_s=options.max_s,
        name=options.variant,
    )
    params = {name: value.numpy().astype(np.float32) for name, value in trained.params.items()}
    np.savez(options.states / f"{options.variant}.trained.npz", **params)  # type: ignore[arg-type]
    losses = trained.losses[np.isfinite(trained.losses)]
    print(
        options.variant, "complete" if trained.is_complete else "interrupted",
        f"{len(losses)} of {len(trained.losses)} steps",
        f"{time.process_time() - began_s:.0f} CPU s", "mean loss of tenths:",
        " ".join(f"{part.mean():.3f}" for part in np.array_split(losses, 10)), flush=True,
    )  # fmt: skip
    starts = {}
    for file in sorted(options.states.glob("*.trained.npz")):
        with np.load(file, allow_pickle=False) as arrays:
            starts[file.name.partition(".")[0]] = {name: arrays[name] for name in arrays.files}
    command = f"python -m benchmarks.mlp_maml train --n-steps {options.n_steps} --rate {options.rate}"
    how = {"command": command, "steps_done": len(trained.losses), "seed": options.seed, "n_tasks": len(names)}
    write_starts(
        options.out or HERE.parent / "strategies" / "starts",
        starts,
        {**how, "starts": sorted(starts), "tasks": names, "families": families},
    )


def arms(starts: list[str]) -> dict[str, tuple[FitFunction, dict[str, Any]]]:
    """Return the compared arms by name: how each is fitted, and its hyperparameters."""
    usual: dict[str, Any] = {"start": "random", "dropout": 0.1}
    ours: dict[str, tuple[FitFunction, dict[str, Any]]] = {
        start: (fit_mlp_maml, {"start": start}) for start in (*starts, "projected")
    }
    return ours | {
        "random": (fit_mlp_maml, usual),
        TWO_RANDOM: (fit_two, usual),
        "neural_network": (learner_named("neural_network").fit, {"n_epochs": LAST_EPOCH}),
        PLAIN: (PlainMLP(LAST_EPOCH).fit, {}),
    }


def fit_two(data: FitData, parameters: Mapping[str, Any]) -> SharedNetworkModel:
    """Return the mean of two networks of `mlp_maml` that differ in their random weights and order of rows."""
    models = [fit_mlp_maml(replace(data, seed=seed), parameters) for seed in (data.seed, data.seed + 1000)]

    def joined(parts: Sequence[SharedNetworkModel], n_epochs: int) -> SharedNetworkModel:
        networks = [network for part in parts for network in part.networks]
        return SharedNetworkModel(networks, [1 / len(networks)] * len(networks), parts[0].scale, n_epochs)

    both = joined(models, max(model.n_iterations for model in models))
    if data.keep_stages:
        stages = stages_before(both.n_iterations)
        both._stages = {n: joined([model._stages.get(n, model) for model in models], n) for n in stages}
    return both


def compare(options: argparse.Namespace) -> None:
    """Fit every arm on every held-out task."""
    done: set[tuple[str, ...]] = set()
    if options.results.exists():
        done = {tuple(row) for row in pd.read_csv(options.results, dtype=str)[["task", "arm", "seed"]].to_numpy()}
    all_arms = arms([start for start in options.starts.split(",") if start])
    wanted = options.arms.split(",") if options.arms else list(all_arms)
    trained_on = set(training_names(options.corpus)[0])
    judged = [name for name in named_tasks(str(options.judged_by)) if name not in trained_on]
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name in judged:
            missing = [arm for arm in wanted if (name, arm, str(seed)) not in done]
            if not missing:
                continue
            task = table_task(options.corpus, options.cache, name, split=seed)
            for arm in missing:
                fit, parameters = all_arms[arm]
                data = task.fit_data(seed)
                began_s, began_cpu_s = time.perf_counter(), time.process_time()
                with epoch_ends() as ends:
                    model = fit(data, parameters)
                row: dict[str, Any] = {
                    "task": name,
                    "problem": task.problem,
                    "n_rows": len(data.X),
                    "n_features": data.X.shape[1],
                    "arm": arm,
                    "seed": seed,
                    "epochs": model.n_iterations,
                    "wall_s": round(time.perf_counter() - began_s, 3),
                    "cpu_s": round(time.process_time() - began_cpu_s, 3),
                }
                # After its best epoch, a training with early stopping returns the same at any later epoch.
                stages = {n: test_loss(task, p) for n, p in model.staged_predict(task.X["test"])}
                final = test_loss(task, model.predict(task.X["test"]))
                row |= {f"loss_{n}": round(stages.get(n, final), 6) for n in EPOCHS}
                if arm == TWO_RANDOM:
                    ends = []  # of two trainings, one after the other
                # An epoch after the last one takes no time.
                row |= {f"cpu_s_{n}": round(ends[:n][-1] - began_cpu_s, 4) if ends else np.nan for n in EPOCHS}
                frame = pd.DataFrame([row])
                options.results.parent.mkdir(exist_ok=True)
                frame.to_csv(options.results, mode="a", header=not options.results.exists(), index=False)


@contextmanager
def epoch_ends() -> Iterator[list[float]]:
    """Give the list to which each epoch of a training adds the process's CPU seconds at its end."""
    ends: list[float] = []
    loss = epochs.Monitor.loss

    def timed(monitor: epochs.Monitor, forward: Callable[[np.ndarray], np.ndarray]) -> float:
        found = loss(monitor, forward)
        ends.append(time.process_time())
        return found

    with patch.object(epochs.Monitor, "loss", timed):
        yield ends


def test_loss(task: TableTask, prediction: np.ndarray) -> float:
    """Return log loss over that of the class frequencies, or mean squared error over the target's variance."""
    y, y_train = task.y["test"], task.y["train"]
    if task.problem == "regression":
        return float(np.mean((prediction - y) ** 2) / np.mean((y_train.mean() - y) ** 2))
    frequencies = np.bincount(y_train, minlength=task.n_classes) / len(y_train)
    right = np.maximum(prediction[np.arange(len(y)), y], 1e-9)
    return float(np.log(right).mean() / np.log(frequencies[y]).mean())


def report(options: argparse.Namespace) -> None:
    """Print the results of `compare`.

    Shares and differences are means over tasks of means over seeds. "On tables" counts each table once, by the means of
    its losses over seeds, because chance decides between single fits that are nearly equal.
    """
    rows = pd.read_csv(options.results)
    if options.only_seed is not None:
        rows = rows[rows["seed"] == options.only_seed]
    losses = [f"loss_{n}" for n in EPOCHS]
    fits = rows.set_index(["arm", "task", "seed"]).sort_index()
    reference = fits.loc[options.reference, f"loss_{LAST_EPOCH}"]
    print(f"reference: {options.reference!r} after {LAST_EPOCH} epochs\n")
    shown = (1, 4, 16, 64)
    print("| arm | tasks, seeds | " + " | ".join(f"{n} epochs" for n in shown) + " | reached within 8 | "
          "on tables | median epochs, CPU s to reach | difference after 64 | wins after 64 | CPU s |")  # fmt: skip
    print("|" + "---|" * (len(shown) + 8))
    for arm in rows["arm"].unique():
        one = fits.loc[arm]
        one = one.loc[one.index.intersection(reference.index)]
        to_reach = reference.loc[one.index]
        tasks = one.index.get_level_values("task")
        reached = one[losses].le(to_reach, axis=0)
        needed = np.where(reached.any(axis=1), np.array(EPOCHS)[reached.to_numpy().argmax(axis=1)], np.inf)
        seconds = _seconds_to_reach(one, needed)
        share, share_low, share_high = paired_bootstrap((needed <= 8).astype(float), list(tasks))
        by_table = one[losses].clip(upper=MOST_LOSS).groupby("task").mean()
        table_reference = to_reach.clip(upper=MOST_LOSS).groupby("task").mean()
        early = by_table[[f"loss_{n}" for n in EPOCHS if n <= 8]].min(axis=1)
        on_tables = paired_bootstrap((early <= table_reference).to_numpy(float), list(by_table.index))
        # Losses are relative to a constant, so that tasks have one unit; large losses count as 2.
        capped, capped_reference = one["loss_64"].clip(upper=MOST_LOSS), to_reach.clip(upper=MOST_LOSS)
        mean, low, high = paired_bootstrap((capped - capped_reference).to_numpy(), list(tasks))
        medians = " | ".join(f"{one[f'loss_{n}'].median():.3f}" for n in shown)
        print(f"| {arm} | {tasks.nunique()}, {one.index.get_level_values('seed').nunique()} | {medians} | "
              f"{share:.0%} [{share_low:.0%}, {share_high:.0%}] | "
              f"{on_tables[0]:.0%} [{on_tables[1]:.0%}, {on_tables[2]:.0%}] | {np.median(needed):.0f}, {seconds} | "
              f"{mean:+.3f} [{low:+.3f}, {high:+.3f}] | {(one['loss_64'] < to_reach).mean():.0%} | "
              f"{one['cpu_s'].mean():.2f} |")  # fmt: skip


def _seconds_to_reach(fits: pd.DataFrame, epochs_needed: np.ndarray) -> str:
    """Return the median CPU seconds of fits until the end of an epoch; infinite if never, "-" without records."""
    known = fits["cpu_s_1"].notna().to_numpy() if "cpu_s_1" in fits else np.zeros(len(fits), dtype=bool)
    if not known.any():
        return "-"
    timed = zip(fits[known].to_dict("records"), epochs_needed[known], strict=True)
    return f"{np.median([fit[f'cpu_s_{n:.0f}'] if np.isfinite(n) else np.inf for fit, n in timed]):.2f}"


def ensembles(options: argparse.Namespace) -> None:
    """Measure missing fits of `AutoMeta` with and without `mlp_maml`, and print the comparison."""
    out = options.out or HERE / "results" / "mlp_maml_ensembles.csv"
    if not options.report:
        tasks = named_tasks(options.tasks) if options.tasks else mlp_maml_ensembles.chosen_tasks(options.corpus)
        mlp_maml_ensembles.measure(
            options.corpus, tasks, out, options.seconds, options.seeds, options.jobs, options.score
        )
    rows = pd.read_csv(out)
    print(mlp_maml_ensembles.compared(rows).round(4).to_string(index=False))


def replays(options: argparse.Namespace) -> None:
    """Replay searches with and without `mlp_maml`, and print the comparison."""
    out = options.out or HERE / "results" / "mlp_maml_replays.csv"
    table = pd.read_csv(out) if options.report else mlp_maml_replays.replay(out, options.seed)
    print(mlp_maml_replays.differences(table).round(4).to_string(index=False))


def main() -> None:
    """Run one of the commands."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mlp_maml", description=__doc__)
    parser.add_argument("command", choices=["tables", "train", "compare", "report", "ensembles", "replays"])
    parser.add_argument("--corpus", type=Path, default=None, help="folder of tables, see benchmarks.corpus")
    parser.add_argument("--cache", type=Path, default=None, help="folder of prepared tables")
    parser.add_argument("--states", type=Path, default=Path("mlp_maml_states"), help="folder of unfinished trainings")
    parser.add_argument("--variant", default="fitted_head")
    parser.add_argument("--n-steps", type=int, default=1500)
    parser.add_argument("--n-tasks", type=int, default=4, help="tables per outer step")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--without", type=Path, help="list of further tasks whose families are not trained on")
    parser.add_argument("--max-s", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1, help="fits of each arm on each task")
    parser.add_argument("--first-seed", type=int, default=0, help="first seed of `compare`")
    parser.add_argument("--only-seed", type=int, help="report this seed alone")
    parser.add_argument("--starts", default="fitted_head", help="starts to compare, beside the other arms")
    parser.add_argument("--arms", default="", help="only these of the arms, joined by commas")
    parser.add_argument("--judged-by", type=Path, default=JUDGED_BY, help="list of tasks to compare on")
    parser.add_argument("--reference", default="random", help="the arm that others are compared with in the report")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, help="folder of the starts (train), or CSV file (ensembles, replays)")
    few = parser.add_argument_group("ensembles")
    few.add_argument("--seconds", type=float, default=10.0, help="time budget of a fit")
    few.add_argument("--jobs", type=int, default=2, help="cores of a fit")
    few.add_argument("--score", type=float, help="score of mlp_maml, instead of the one in its file")
    few.add_argument("--tasks", help="names joined by commas, or a file; default: chosen by the rule")
    few.add_argument("--report", action="store_true", help="only print the results")
    options = parser.parse_args()
    names = [*training_names(options.corpus)[0], *named_tasks(str(JUDGED_BY))] if options.command == "tables" else []
    commands: dict[str, Callable[[argparse.Namespace], object]] = {
        "tables": lambda given: prepare_all(given.corpus, given.cache, names),
        "train": train,
        "compare": compare,
        "report": report,
        "ensembles": ensembles,
        "replays": replays,
    }
    commands[options.command](options)


if __name__ == "__main__":
    main()
