"""Meta-learning on the literature's own problems: what `autometa.maml` reaches, beside what others measured.

    python -m benchmarks.maml sinusoid --shots 10       # Finn, Abbeel and Levine (2017), section 5.1
    python -m benchmarks.maml report                    # what was measured, as tables

Each row of `benchmarks/results/maml_<problem>.csv` is written as soon as it is measured, and a run that was stopped
goes on: what has a row is not measured again, what was in training goes on from `--state`.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from autometa._support.seeds import child_seed
from autometa.exceptions import DivergenceError
from autometa.maml.evaluation import losses_after
from autometa.maml.gradient import anil, first_order, maml, meta_sgd, pretraining
from autometa.maml.losses import squared_error
from autometa.maml.networks import mlp, mlp_params
from autometa.maml.protocol import Examples, FewShotTask, MetaLearner, Params, TaskSource
from autometa.maml.reptile import Reptile
from autometa.maml.training import MetaTrained, OuterSettings, meta_train
from benchmarks.results import append_row, read_results

RESULTS = Path(__file__).parent / "results"


# ------------------------------------------------------------------------------------------------------- sinusoids

SINUSOID_STEPS = (0, 1, 2, 5, 10)
SINUSOID_REFERENCE = {
    (10, "maml"): (2.91, 0.35, 0.20, 0.18, 0.12),
    (10, "first order"): (3.41, 0.49, 0.28, 0.16, 0.13),
    (10, "pre-training"): (2.91, 3.41, 2.70, 2.07, 1.95),
    (5, "maml"): (math.nan, 0.58, math.nan, math.nan, 0.33),
}
"""Mean squared errors after the inner steps above, by shots and meta-learner: a reference run of others' code."""

SINUSOID_FIELDS = ("shots", "learner", "seed", "n_outer", "inner_steps", "mse", "half_width", "n_tasks", "cpu_s")


def sinusoids(n_tasks: int, n_support: int, n_query: int) -> TaskSource:
    """Return a source of sines with amplitudes in [0.1, 5] and phases in [0, π], seen on [−5, 5]."""

    def draw(rng: np.random.Generator) -> FewShotTask:
        amplitude, phase = rng.uniform(0.1, 5.0, (n_tasks, 1)), rng.uniform(0.0, np.pi, (n_tasks, 1))
        x = rng.uniform(-5.0, 5.0, (n_tasks, n_support + n_query))
        y = torch.from_numpy(amplitude * np.sin(x - phase)).float()
        inputs = torch.from_numpy(x).float()[..., None]
        support, query = slice(None, n_support), slice(n_support, None)
        return FewShotTask(Examples(inputs[:, support], y[:, support]), Examples(inputs[:, query], y[:, query]))

    return draw


SINUSOID_LEARNERS: dict[str, Callable[[], MetaLearner]] = {
    "maml": lambda: maml(mlp, squared_error, rate=0.01),
    "first order": lambda: first_order(mlp, squared_error, rate=0.01),
    "pre-training": lambda: pretraining(mlp, squared_error, rate=0.01),
    "anil": lambda: anil(mlp, squared_error, ("layer2",), rate=0.01),
    "meta-sgd": lambda: meta_sgd(mlp, squared_error, rate=0.01),
    "reptile": lambda: Reptile(mlp, squared_error, rate=0.01, n_steps=8, batch_size=10),
}


def sinusoid_params(seed: int) -> Params:
    """Return weights of the deviation that torch gives a linear layer, sqrt(1 / 3 n).

    From the larger ones of He et al. plain pre-training ends where fine-tuning at the rate of 0.01 diverges.
    """
    params = mlp_params((1, 40, 40, 1), seed=seed)
    return {name: value * (1 / 6) ** 0.5 if name.endswith("weight") else value for name, value in params.items()}


def measure_sinusoid(args: argparse.Namespace) -> None:
    out = args.out or RESULTS / "maml_sinusoid.csv"
    for name in args.learners.split(","):
        learner = SINUSOID_LEARNERS[name]()
        key = {"shots": args.shots, "learner": name, "seed": args.seed, "n_outer": args.outer}
        if has_rows(out, key):
            continue
        # Reptile needs several mini-batches of a task, so it is given more rows.
        tasks = sinusoids(25, args.shots, args.shots if name != "reptile" else 40)
        params = learner.initial(sinusoid_params(child_seed(args.seed, "weights")))
        trained, cpu_s = timed(learner, params, tasks, OuterSettings(args.outer, last_rate=0.05), args, key)
        if not trained.is_complete:
            print(f"{name}: stopped after {len(trained.losses)} of {args.outer} steps")
            continue
        test = sinusoids(1000, args.shots, 100)(np.random.default_rng(child_seed(args.seed, "test tasks")))
        for steps in SINUSOID_STEPS:
            try:
                losses = losses_after(learner, trained.params, test, [steps])[:, 0]
            except DivergenceError as error:
                print(f"{name}, {steps} steps: {error}")
                losses = np.full(1000, np.nan)
            mse, half = mean_and_half_width(losses)
            row = {**key, "inner_steps": steps, "mse": mse, "half_width": half, "n_tasks": len(losses), "cpu_s": cpu_s}
            append_row(out, SINUSOID_FIELDS, row)


def report_sinusoid(rows: pd.DataFrame) -> None:
    for (shots, learner, seed, n_outer), group in rows.groupby(["shots", "learner", "seed", "n_outer"], sort=False):
        numbers = "  ".join(f"{r.mse:6.3f} ± {r.half_width:.3f}" for r in group.itertuples())
        print(f"{shots:2}-shot {learner:13} {n_outer:6} steps, seed {seed}, {group.cpu_s.iloc[0]:5.0f} s: {numbers}")
        if (shots, learner) in SINUSOID_REFERENCE:
            numbers = "  ".join(f"{value:6.2f}        " for value in SINUSOID_REFERENCE[shots, learner])
            print(f"{'':10}{'reference':38} {numbers}")


# ---------------------------------------------------------------------------------------------------------- common


def timed(
    learner: MetaLearner,
    params: Params,
    tasks: TaskSource,
    settings: OuterSettings,
    args: argparse.Namespace,
    key: dict,
) -> tuple[MetaTrained, float]:
    """Return what meta-training gives and the CPU seconds of this go."""
    state = None
    if args.state is not None:
        state = args.state / ("-".join(str(value).replace(" ", "_") for value in key.values()) + ".npz")
    begun_s = time.process_time()
    name = " ".join(map(str, key.values()))
    trained = meta_train(learner, params, tasks, settings, seed=args.seed, state=state, max_s=args.max_s, name=name)
    return trained, time.process_time() - begun_s


def has_rows(out: Path, key: dict) -> bool:
    """Return whether a result file has rows of a measurement already."""
    rows = read_results(out)
    if rows.empty:
        return False
    return bool(np.logical_and.reduce([rows[name] == value for name, value in key.items()]).any())


def mean_and_half_width(values: np.ndarray) -> tuple[float, float]:
    """Return a mean and half of its 95% interval."""
    return float(values.mean()), float(1.96 * values.std() / math.sqrt(len(values)))


REPORTS: dict[str, Callable[[pd.DataFrame], None]] = {"sinusoid": report_sinusoid}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seed", type=int, default=0)
    common.add_argument("--out", type=Path, help="result file; benchmarks/results/maml_<problem>.csv by default")
    common.add_argument("--state", type=Path, help="folder for trainings that are to go on after a stop")
    common.add_argument("--max-s", type=float, default=math.inf, help="seconds of one training in this go")

    sinusoid = commands.add_parser("sinusoid", parents=[common])
    sinusoid.add_argument("--shots", type=int, default=10)
    sinusoid.add_argument("--learners", default=",".join(SINUSOID_LEARNERS))
    sinusoid.add_argument("--outer", type=int, default=70_000, help="outer steps")
    sinusoid.set_defaults(measure=measure_sinusoid)

    commands.add_parser("report", parents=[common])
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.command != "report":
        args.measure(args)
    for problem, report in REPORTS.items():
        if args.command in ("report", problem):
            rows = read_results(args.out or RESULTS / f"maml_{problem}.csv")
            if not rows.empty:
                report(rows)


if __name__ == "__main__":
    main()
