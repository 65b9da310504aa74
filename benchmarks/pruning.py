"""Pruners on TaskSet's learning curves, with one task held out: steps spent and winners lost. See
benchmarks/pruning.md.

python -m benchmarks.pruning CURVES.parquet --out benchmarks/results/pruning.csv     # measure; resumes a stopped run
python -m benchmarks.pruning --out benchmarks/results/pruning.csv --report           # print
python -m benchmarks.pruning CURVES.parquet --correlations                           # how well a part of a curve
predicts its end
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.trial import TrialState
from scipy.stats import spearmanr

from autometa.metalearning.replay.regret import paired_bootstrap
from autometa.transfer.archive.sources import SourceStudy, SourceTrial
from autometa.transfer.pruning.calibration import centre_and_scale
from autometa.transfer.pruning.curves import StepScale, on_grid, reach
from autometa.transfer.pruning.pruner import MetaPruner, _model, _past_curves
from autometa.transfer.study_archive import StudyArchive
from benchmarks.results import append_row, read_results

N_PAST, N_TRIALS, N_SEEDS = 1000, 150, 10
FIELDS = ("task", "seed", "pruner", "steps", "steps_to_1", "reached", "lost", "regret", "n_complete", "prune_ms")

# Pruners that learn from the archive, fitted once per task. Optuna's have the settings of its documentation or more
# careful ones.
META: dict[str, Callable[[StudyArchive], BasePruner]] = {
    "meta last": lambda archive: MetaPruner(archive, rate=0.05),
    "meta last 3%": lambda archive: MetaPruner(archive, rate=0.03),
    "meta last 10%": lambda archive: MetaPruner(archive, rate=0.1),
    "meta last 20%": lambda archive: MetaPruner(archive, rate=0.2),
    "meta power_law": lambda archive: MetaPruner(archive, rate=0.05, curve_model="power_law"),
    "meta lstm": lambda archive: MetaPruner(archive, rate=0.05, curve_model="lstm"),
}
OPTUNA: dict[str, Callable[[], BasePruner]] = {
    "none": NopPruner,
    "median": MedianPruner,
    "median warm": lambda: MedianPruner(n_startup_trials=10, n_warmup_steps=10),
    "percentile 25": lambda: PercentilePruner(25.0),
    "percentile 75": lambda: PercentilePruner(75.0),
    "halving": SuccessiveHalvingPruner,
    "halving from 3": lambda: SuccessiveHalvingPruner(min_resource=3, reduction_factor=3),
    "hyperband": lambda: HyperbandPruner(max_resource=51),
    "patient median": lambda: PatientPruner(MedianPruner(), patience=3),
    "wilcoxon": WilcoxonPruner,
}


def curves_of(path: Path) -> dict[str, np.ndarray]:
    """Return the curves of each task, of shape (n_configurations, n_steps)."""
    table = pd.read_parquet(path, columns=["task", "valid_loss"])
    return {str(task): np.stack(found["valid_loss"].to_numpy()) for task, found in table.groupby("task")}


def source(name: str, curves: np.ndarray) -> SourceStudy:
    """Return a past study of curves."""
    trials = tuple(
        SourceTrial(number, TrialState.COMPLETE, {}, (final(curve),), dict(enumerate(map(float, curve))))
        for number, curve in enumerate(curves)
    )
    return SourceStudy(name, {}, ("minimize",), {}, trials)


def final(curve: np.ndarray) -> float:
    """Return the last loss, infinite if it diverged."""
    return float(curve[-1]) if np.isfinite(curve[-1]) else float("inf")


def past_of(curves: dict[str, np.ndarray], task: str) -> tuple[SourceStudy, ...]:
    """Return past studies: a sample of each other task."""
    rng = np.random.default_rng(sorted(curves).index(task))
    return tuple(
        source(other, found[rng.permutation(len(found))[:N_PAST]]) for other, found in curves.items() if other != task
    )


def replay(pruner: BasePruner, curves: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Return the steps that each trial took, and the mean milliseconds of should_prune."""
    # Hyperband draws brackets by a hash of the study's name.
    study = optuna.create_study(pruner=pruner, study_name=f"replay-{seed}")
    steps, spent, calls = [], 0.0, 0
    for curve in curves:
        trial = study.ask()
        for step, value in enumerate(curve):
            trial.report(float(value), step)
            begin = time.perf_counter()
            # After the last step nothing is left to save.
            stop = step < len(curve) - 1 and trial.should_prune()
            spent, calls = spent + time.perf_counter() - begin, calls + 1
            if stop:
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, final(curve))
        steps.append(step + 1)
    return np.array(steps), 1000 * spent / calls


def judged(steps: np.ndarray, curves: np.ndarray) -> dict[str, float]:
    """Return the cost and the result of a replay.

    Regret is 0 at the best of the run and 1 at its median. A run that never comes within 1% of its best has to be
    repeated without pruning: its cost is all its steps plus those until the run without pruning finds it.
    """
    n_steps = curves.shape[1]
    finals = np.array([final(curve) for curve in curves])
    span = np.median(finals) - finals.min()
    if not np.isfinite(span):  # half of the curves diverged
        span = np.median(finals[np.isfinite(finals)]) - finals.min()
    regret = (finals - finals.min()) / span
    complete = steps == n_steps
    good = np.flatnonzero(complete & (regret <= 0.01))
    again = n_steps * (int(np.argmax(regret <= 0.01)) + 1)
    return {
        "steps": int(steps.sum()),
        "steps_to_1": int(steps[: good[0] + 1].sum()) if len(good) else int(steps.sum()) + again,
        "reached": int(len(good) > 0),
        "lost": int(not complete[int(np.argmin(finals))]),
        "regret": float(regret[complete].min()) if complete.any() else 1.0,
        "n_complete": int(complete.sum()),
    }


def measure(curves: dict[str, np.ndarray], out: Path, names: list[str]) -> None:
    found = read_results(out)
    done = set(zip(found["task"], found["seed"], found["pruner"], strict=True)) if len(found) else set()
    for task, own in curves.items():
        archive = StudyArchive()
        archive.sources = past_of(curves, task)
        for name in names:
            pruner = None
            for seed in range(N_SEEDS):
                if (task, seed, name) in done:
                    continue
                run = own[np.random.default_rng([seed, 1]).permutation(len(own))[:N_TRIALS]]
                # Only Hyperband keeps state of a study among Optuna's pruners; ours is fitted once per task.
                if name in OPTUNA:
                    pruner = OPTUNA[name]()
                elif pruner is None:
                    pruner = META[name](archive)
                    replay(pruner, run[:3], -1)  # fitted at the first report
                steps, spent_ms = replay(pruner, run, seed)
                append_row(
                    out,
                    FIELDS,
                    {"task": task, "seed": seed, "pruner": name, **judged(steps, run), "prune_ms": spent_ms},
                )


def report(found: pd.DataFrame) -> str:
    """Return the tables as text."""
    runs = found.set_index(["pruner", "task", "seed"]).sort_index()
    none = runs.loc["none"]
    rows = {}
    for name in found["pruner"].unique():
        own = runs.loc[name]
        rows[name] = {
            "runs": len(own),
            "steps a trial": own["steps"].mean() / N_TRIALS,
            "times fewer": none["steps"].reindex(own.index).sum() / own["steps"].sum(),
            "steps to 1%": own["steps_to_1"].mean(),
            "median": own["steps_to_1"].median(),
            "times fewer to 1%": none["steps_to_1"].reindex(own.index).sum() / own["steps_to_1"].sum(),
            "reached": own["reached"].mean(),
            "lost": own["lost"].mean(),
            "regret": own["regret"].mean(),
            "ms": own["prune_ms"].mean(),
        }
    lines = [pd.DataFrame.from_dict(rows, orient="index").round(3).to_string(), ""]
    for ours in (name for name in rows if name.startswith("meta")):
        lines += [f"{ours} − other: steps to 1%, lost winners; 95% paired bootstrap over (task, seed), then over tasks"]
        for other in (name for name in rows if not name.startswith("meta")):
            texts = []
            for column in ("steps_to_1", "lost"):
                gap = (runs.loc[ours, column] - runs.loc[other, column]).dropna()
                tasks = gap.index.get_level_values("task")
                for groups in (range(len(gap)), tasks):
                    mean, low, high = paired_bootstrap(gap.to_numpy(float), list(map(str, groups)))
                    texts.append(f"{mean:+9.3f} [{low:+9.3f}, {high:+9.3f}]")
            lines.append(f"  {other:16s} " + "  ".join(texts))
    return "\n".join(lines)


def correlations(curves: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return the mean rank correlation over tasks of predicted and final losses, by model and step."""
    scale, rows = StepScale(-1, 50), []
    for task, own in curves.items():
        past = [found for one in past_of(curves, task) if (found := _past_curves(one)) is not None]
        finals = np.array([final(curve) for curve in own])
        for name in ("last", "power_law", "lstm"):
            model = _model(name, past, 0)
            for step in (3, 9, 25):  # each is the first of its grid cell
                part = np.array([on_grid(dict(enumerate(curve[: step + 1])), scale) for curve in own])
                place = reach(step, scale)
                part[:, place + 1 :] = np.nan
                centre, spread = centre_and_scale(finals.min(), own[:, 0])
                foretold = model.predict(part, np.array([[centre]]), np.array([[spread]]))[:, place]
                last = np.where(np.isfinite(own[:, step]), own[:, step], np.inf)
                rho = spearmanr(last if name == "last" else foretold, finals).statistic
                rows.append((name, step, task, rho))
    table = pd.DataFrame(rows, columns=["model", "step", "task", "rho"])
    return table.pivot_table(index="model", columns="step", values="rho")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pruning.csv"))
    parser.add_argument("--pruners", default=",".join((*OPTUNA, *META)), help="names, with commas between them")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--correlations", action="store_true")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if arguments.report:
        print(report(read_results(arguments.out)))
    elif arguments.curves is None:
        parser.error("the Parquet file of curves is needed to measure.")
    elif arguments.correlations:
        print(correlations(curves_of(arguments.curves)).round(3).to_string())
    else:
        measure(curves_of(arguments.curves), arguments.out, arguments.pruners.split(","))


if __name__ == "__main__":
    main()
