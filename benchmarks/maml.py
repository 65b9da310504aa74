"""Meta-learning on problems of the literature: results of `autometa.maml` beside those of others.

    python -m benchmarks.maml sinusoid --shots 10       # Finn, Abbeel and Levine (2017), section 5.1
    python -m benchmarks.maml digits --shots 1          # episodes of the digits that come with scikit-learn
    python -m benchmarks.maml quadratics                # a learnt optimiser against tuned ones
    python -m benchmarks.maml report                    # print the results as tables

Each row of `benchmarks/results/maml_<problem>.csv` is written as soon as it is measured. A stopped run resumes:
existing rows are not measured again, and unfinished trainings resume from `--state`.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits

from autometa._support.seeds import child_seed
from autometa.exceptions import DivergenceError
from autometa.maml.evaluation import losses_after, outputs_after
from autometa.maml.gradient import anil, first_order, maml, meta_sgd, pretraining
from autometa.maml.learned_optimiser import LearnedOptimiser
from autometa.maml.losses import cross_entropy, squared_error
from autometa.maml.matching import MatchingNetwork
from autometa.maml.meta_learner import MetaLearner
from autometa.maml.networks import mlp, mlp_features, mlp_params
from autometa.maml.protocol import Examples, FewShotTask, Params, TaskSource
from autometa.maml.prototypes import ProtoMAML
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
"""Mean squared errors after the inner steps above, by shots and meta-learner, of a reference run."""

SINUSOID_FIELDS = ("shots", "learner", "seed", "n_outer", "inner_steps", "mse", "half_width", "n_tasks", "cpu_s")


def sinusoids(n_tasks: int, n_support: int, n_query: int) -> TaskSource:
    """Return a source of sines with amplitudes in [0.1, 5] and phases in [0, π], on [−5, 5]."""

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

    After plain pre-training from He et al.'s larger weights, fine-tuning at the rate of 0.01 diverges.
    """
    params = mlp_params((1, 40, 40, 1), seed=seed)
    return {name: value * (1 / 6) ** 0.5 if name.endswith("weight") else value for name, value in params.items()}


def sinusoid_settings(n_outer: int) -> OuterSettings:
    """Return settings that were among the best of several with 8,000 and 12,000 steps, on other tasks than the test's.

    Adam's usual rate of 0.001 learns too slowly for this number of steps. Gradient clipping helps first-order MAML
    most.
    """
    return OuterSettings(n_outer, rate=0.004, last_rate=0.0, most_norm=1.0)


def measure_sinusoid(args: argparse.Namespace) -> None:
    out = args.out or RESULTS / "maml_sinusoid.csv"
    for name in args.learners.split(","):
        learner = SINUSOID_LEARNERS[name]()
        key = {"shots": args.shots, "learner": name, "seed": args.seed, "n_outer": args.outer}
        if has_rows(out, key):
            continue
        # Reptile needs several mini-batches of a task, so it gets more rows.
        tasks = sinusoids(25, args.shots, args.shots if name != "reptile" else 40)
        params = learner.initial(sinusoid_params(child_seed(args.seed, "weights")))
        trained, cpu_s = timed(learner, params, tasks, sinusoid_settings(args.outer), args, key)
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


# ---------------------------------------------------------------------------------------------------------- digits

WAYS, QUERIES, WIDTH = 5, 10, 64
DIGITS_FIELDS = ("episodes", "shots", "learner", "seed", "n_outer", "accuracy", "half_width", "n_tasks", "cpu_s")
DIGITS_LEARNERS: dict[str, Callable[[], MetaLearner]] = {
    "maml": lambda: maml(mlp, cross_entropy, rate=0.1, n_steps=5),
    "proto-maml": lambda: ProtoMAML(mlp_features, WIDTH, rate=0.1, n_steps=5),
    "matching": lambda: MatchingNetwork(mlp),
}


@dataclass(frozen=True)
class Episodes:
    """A source of 5-way episodes over images of some classes.

    Parameters
    ----------
    images : list of ndarray of shape (n_images, 64)
        By class.
    n_tasks, n_shots : int
        Tasks of a batch; images of each class in the support.
    permutes : bool
        Whether each episode has its own order of pixels.
    """

    images: list[np.ndarray]
    n_tasks: int
    n_shots: int
    permutes: bool

    def __call__(self, rng: np.random.Generator) -> FewShotTask:
        inputs = np.stack([self._episode(rng) for _ in range(self.n_tasks)])  # (tasks, ways, shots + queries, 64)
        codes = torch.arange(WAYS)[None, :, None]
        support, query = (
            Examples(
                torch.from_numpy(part.reshape(self.n_tasks, -1, 64)).float(),
                codes.expand(self.n_tasks, WAYS, part.shape[2]).reshape(self.n_tasks, -1),
                WAYS,
            )
            for part in (inputs[:, :, : self.n_shots], inputs[:, :, self.n_shots :])
        )
        return FewShotTask(support, query)

    def _episode(self, rng: np.random.Generator) -> np.ndarray:
        # The classes come in random order, so that labels have no meaning.
        chosen = [self.images[k] for k in rng.permutation(len(self.images))[:WAYS]]
        rows = [images[rng.permutation(len(images))[: self.n_shots + QUERIES]] for images in chosen]
        return np.stack(rows)[:, :, rng.permutation(64) if self.permutes else np.arange(64)]


def digit_episodes(kind: str, n_shots: int, seed: int) -> tuple[Episodes, Episodes]:
    """Return training and test episodes.

    ``classes``: five digits, in their eight symmetries that make 40 classes, against the other five upright.
    ``pixels``: all digits, each episode with its own order of pixels; half of the images against the other half.
    """
    digits = load_digits()
    rng = np.random.default_rng(child_seed(seed, "split"))
    by_class = [digits.data[digits.target == k] / 8 - 1 for k in range(10)]
    if kind == "pixels":
        halves = [images[rng.permutation(len(images))] for images in by_class]
        train = [images[: len(images) // 2] for images in halves]
        test = [images[len(images) // 2 :] for images in halves]
    else:
        order = rng.permutation(10)
        square = [by_class[k].reshape(-1, 8, 8) for k in order[:5]]
        turned = [np.rot90(images, turns, (1, 2)) for images in square for turns in range(4)]
        train = [view.reshape(-1, 64) for images in turned for view in (images, images[:, :, ::-1])]
        test = [by_class[k] for k in order[5:]]
    return Episodes(train, 16, n_shots, kind == "pixels"), Episodes(test, 500, n_shots, kind == "pixels")


def measure_digits(args: argparse.Namespace) -> None:
    out = args.out or RESULTS / "maml_digits.csv"
    train, test = digit_episodes(args.episodes, args.shots, args.seed)
    tasks = test(np.random.default_rng(child_seed(args.seed, "test tasks")))
    truth = tasks.query.targets.numpy()
    body, head = mlp_params((64, WIDTH, WIDTH), args.seed), mlp_params((64, WIDTH, WIDTH, WAYS), args.seed)

    def record(name: str, n_outer: int, chosen: np.ndarray, cpu_s: float) -> None:
        accuracy, half = mean_and_half_width((chosen == truth).mean(axis=1))
        key = {"episodes": args.episodes, "shots": args.shots, "learner": name, "seed": args.seed, "n_outer": n_outer}
        row = {**key, "accuracy": accuracy, "half_width": half, "n_tasks": len(truth), "cpu_s": cpu_s}
        append_row(out, DIGITS_FIELDS, row)

    done = read_results(out)
    about = {"episodes": args.episodes, "shots": args.shots, "seed": args.seed}
    if not has_rows(out, {**about, "learner": "1-nn on pixels"}):
        nearest = torch.cdist(tasks.query.inputs, tasks.support.inputs).argmin(dim=2)
        record("1-nn on pixels", 0, tasks.support.targets.gather(1, nearest).numpy(), 0.0)
        # The best of several rates, chosen on the test episodes: an upper bound for training from scratch.
        for steps in (5, 100):
            found = []
            for rate in (0.01, 0.03, 0.1, 0.3):
                scratch = maml(mlp, cross_entropy, rate=rate)
                with contextlib.suppress(DivergenceError):
                    found.append(outputs_after(scratch, head, tasks, steps).argmax(axis=2))
            record(f"from scratch, {steps} steps", 0, max(found, key=lambda chosen: (chosen == truth).mean()), 0.0)
    for name in args.learners.split(","):
        key = {**about, "learner": name, "n_outer": args.outer}
        if not done.empty and has_rows(out, key):
            continue
        learner = DIGITS_LEARNERS[name]()
        params = learner.initial(head if name == "maml" else body, seed=args.seed)
        trained, cpu_s = timed(learner, params, train, OuterSettings(args.outer, last_rate=0.05), args, key)
        if trained.is_complete:
            record(name, args.outer, outputs_after(learner, trained.params, tasks).argmax(axis=2), cpu_s)


def report_digits(rows: pd.DataFrame) -> None:
    for (episodes, shots, learner), group in rows.groupby(["episodes", "shots", "learner"], sort=False):
        # Each seed is another split; intervals are over episodes within a split.
        numbers = "  ".join(f"{100 * r.accuracy:.1f} ± {100 * r.half_width:.1f}" for r in group.itertuples())
        print(f"{episodes:8} {shots}-shot {learner:24} {numbers} %, {group.cpu_s.mean():.0f} s")


# ------------------------------------------------------------------------------------------------------ quadratics

QUADRATICS_FIELDS = ("optimiser", "seed", "n_outer", "rate", "loss", "half_width", "median", "n_tasks", "cpu_s")
N_INNER = 100


def quadratics(n_tasks: int) -> TaskSource:
    """Return a source of ‖Wθ − y‖² / 10 with W of shape (10, 10) and y normal (Andrychowicz et al. 2016)."""

    def draw(rng: np.random.Generator) -> FewShotTask:
        matrix, aim = rng.normal(size=(n_tasks, 10, 10)), rng.normal(size=(n_tasks, 10))
        examples = Examples(torch.from_numpy(matrix).float(), torch.from_numpy(aim).float())
        return FewShotTask(examples, examples)

    return draw


def linear(params: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    return inputs @ params["theta"]


HAND_MADE: dict[str, Callable[[list[torch.Tensor], float], torch.optim.Optimizer]] = {
    "adam": lambda some, rate: torch.optim.Adam(some, lr=rate),
    "sgd": lambda some, rate: torch.optim.SGD(some, lr=rate),
    "sgd, momentum 0.9": lambda some, rate: torch.optim.SGD(some, lr=rate, momentum=0.9),
}
RATES = [round(10 ** (-2 + place / 8), 4) for place in range(17)]  # 0.01 to 1


def optimised(name: str, rate: float, tasks: FewShotTask) -> np.ndarray:
    """Return the losses of tasks after the steps of an optimiser of torch from 0."""
    theta = torch.zeros(len(tasks.query.targets), 10, requires_grad=True)
    optimiser = HAND_MADE[name]([theta], rate)

    def losses() -> torch.Tensor:
        outputs = torch.einsum("tij,tj->ti", tasks.query.inputs, theta)
        return ((outputs - tasks.query.targets) ** 2).mean(dim=1)

    for _ in range(N_INNER):
        optimiser.zero_grad()
        losses().sum().backward()
        optimiser.step()
    return losses().detach().numpy()


def measure_quadratics(args: argparse.Namespace) -> None:
    out = args.out or RESULTS / "maml_quadratics.csv"
    rng = np.random.default_rng(child_seed(args.seed, "tasks"))
    tuning, test = quadratics(1000)(rng), quadratics(1000)(rng)

    def record(name: str, n_outer: int, rate: float, losses: np.ndarray, cpu_s: float) -> None:
        mean, half = mean_and_half_width(losses)
        row = {"optimiser": name, "seed": args.seed, "n_outer": n_outer, "rate": rate, "loss": mean}
        rest = {"half_width": half, "median": float(np.median(losses)), "n_tasks": len(losses), "cpu_s": cpu_s}
        append_row(out, QUADRATICS_FIELDS, {**row, **rest})

    for name in HAND_MADE:
        if not has_rows(out, {"optimiser": name, "seed": args.seed}):
            means = [np.nan_to_num(optimised(name, rate, tuning).mean(), nan=np.inf) for rate in RATES]
            rate = RATES[int(np.argmin(means))]
            record(name, 0, rate, optimised(name, rate, test), 0.0)
    key = {"optimiser": "learnt", "seed": args.seed, "n_outer": args.outer}
    if has_rows(out, key):
        return
    learner = LearnedOptimiser(linear, squared_error, n_steps=N_INNER, rate=0.2)
    settings = OuterSettings(args.outer, rate=0.01, last_rate=0.02, most_norm=1.0)
    start = learner.initial({"theta": torch.zeros(10)}, seed=args.seed)
    trained, cpu_s = timed(learner, start, quadratics(64), settings, args, key)
    if trained.is_complete:
        losses = losses_after(learner, trained.params, test, [N_INNER])[:, 0]
        record("learnt", args.outer, math.nan, losses, cpu_s)


def report_quadratics(rows: pd.DataFrame) -> None:
    for row in rows.itertuples():
        how = f"rate {row.rate:g}" if row.optimiser != "learnt" else f"{row.n_outer} outer steps, {row.cpu_s:.0f} s"
        print(f"{row.optimiser:18} {how:24} {row.loss:.4f} ± {row.half_width:.4f}, median {row.median:.5f}")


# ---------------------------------------------------------------------------------------------------------- common


def timed(
    learner: MetaLearner,
    params: Params,
    tasks: TaskSource,
    settings: OuterSettings,
    args: argparse.Namespace,
    key: dict,
) -> tuple[MetaTrained, float]:
    """Return the result of meta-training and the CPU seconds of this run."""
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


REPORTS: dict[str, Callable[[pd.DataFrame], None]] = {
    "sinusoid": report_sinusoid,
    "digits": report_digits,
    "quadratics": report_quadratics,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seed", type=int, default=0)
    common.add_argument("--out", type=Path, help="result file; benchmarks/results/maml_<problem>.csv by default")
    common.add_argument("--state", type=Path, help="folder of unfinished trainings, to resume them")
    common.add_argument("--max-s", type=float, default=math.inf, help="seconds of one training in this run")

    sinusoid = commands.add_parser("sinusoid", parents=[common])
    sinusoid.add_argument("--shots", type=int, default=10)
    sinusoid.add_argument("--learners", default=",".join(SINUSOID_LEARNERS))
    sinusoid.add_argument("--outer", type=int, default=50_000, help="outer steps")
    sinusoid.set_defaults(measure=measure_sinusoid)

    digits = commands.add_parser("digits", parents=[common])
    digits.add_argument("--shots", type=int, default=1)
    digits.add_argument("--episodes", choices=["classes", "pixels"], default="classes")
    digits.add_argument("--learners", default=",".join(DIGITS_LEARNERS))
    digits.add_argument("--outer", type=int, default=1500, help="outer steps")
    digits.set_defaults(measure=measure_digits)

    optimiser = commands.add_parser("quadratics", parents=[common])
    optimiser.add_argument("--outer", type=int, default=150, help="outer steps")
    optimiser.set_defaults(measure=measure_quadratics)

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
