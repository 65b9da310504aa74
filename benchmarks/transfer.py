"""Does a new study benefit from old ones? Samplers on tasks that no past study has seen.

``python -m benchmarks.transfer FOLDER [--role test] [--folds 0]`` measures; ``--report`` prints the results.
The folder holds the surrogates (see `benchmarks.surrogates`); `benchmarks/transfer.md` describes the measurement.

The result file has a row per surrogate, task, seed, sampler and scenario. ``1`` … ``100`` are the losses of
the incumbent after so many trials, ``improvements`` is the whole course of the incumbent
(``"1:0.31 4:0.28"``: 0.31 from trial 1 on, 0.28 from trial 4 on), ``suggest_s`` the CPU seconds per
suggestion, including telling the result and excluding the surrogate. A stopped run can be resumed;
``--again NAMES`` first drops the rows of these samplers, for a new version. Other folds have other test tasks (see
`benchmarks.transfer_past.split`), each with its own file. A shorter run has no losses after its end.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import optuna
import pandas as pd
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler

from autometa._support.seeds import child_seed
from benchmarks.results import append_row, read_results
from benchmarks.surrogates import LAYOUTS, Surrogate, read_surrogate
from benchmarks.transfer_past import N_TASKS, SCENARIOS, scenario_past, split
from benchmarks.transfer_report import CHECKPOINTS, KEY, N_TRIALS, course, report

N_WARM = 8
N_RANGE = 20_000  # random configurations for the ends of a task's regret
FIELDS = (*KEY, *map(str, CHECKPOINTS), "suggest_s", "improvements")
RANGE_FIELDS = ("surrogate", "task", "best", "worst")


# ---- samplers ---------------------------------------------------------------------------------------------------

Archive = Any  # autometa.transfer's, imported only where a past is used


def _meta(archive: Archive, seed: int) -> BaseSampler:
    from autometa.transfer.sampling.sampler import MetaSampler

    return MetaSampler(archive, seed=seed)


COLD: Mapping[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed),
    "tpe group": lambda seed: TPESampler(seed=seed, multivariate=True, group=True),
    "cma-es": lambda seed: CmaEsSampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
}
WITH_PAST: Mapping[str, Callable[[Archive, int], BaseSampler]] = {
    "warm start + tpe": lambda archive, seed: TPESampler(seed=seed),
    "meta": _meta,
}
SAMPLERS = (*COLD, *WITH_PAST)


def new_study(name: str, archive: Archive, seed: int) -> optuna.Study:
    """Return a study with the sampler called `name`, warm-started if the name says so."""
    sampler = COLD[name](seed) if name in COLD else WITH_PAST[name](archive, seed)
    study = optuna.create_study(sampler=sampler)
    if name.startswith("warm start"):
        from autometa.transfer.sampling.warm_start import warm_start

        warm_start(study, archive, n=N_WARM)
    return study


def make_archive(studies: Iterable[optuna.Study]) -> Archive:
    """Return an archive in memory of these studies."""
    from autometa.transfer.study_archive import StudyArchive

    archive = StudyArchive()
    for study in studies:
        archive.add(study, name=study.study_name)
    return archive


# ---- measuring --------------------------------------------------------------------------------------------------


def run(study: optuna.Study, surrogate: Surrogate, task: str, n_trials: int = N_TRIALS) -> tuple[np.ndarray, float]:
    """Return the loss of each trial in order, and the mean CPU seconds per suggestion."""
    losses, seconds = [], 0.0
    for _ in range(n_trials):
        # CPU time does not count other work on the machine.
        start = time.process_time()
        trial = study.ask()
        configuration = surrogate.space.suggest(trial)
        seconds += time.process_time() - start
        losses.append(float(surrogate.predict(task, [configuration])[0]))
        start = time.process_time()
        study.tell(trial, losses[-1])
        seconds += time.process_time() - start
    return np.array(losses), seconds / n_trials


def measure(
    surrogate: Surrogate,
    tasks: Sequence[str],
    seeds: Sequence[int],
    samplers: Sequence[str],
    scenario: str,
    archive: Callable[[], Archive],
    done: set[tuple[str, ...]],
    n_trials: int = N_TRIALS,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each missing run; `archive` is called if a run needs past studies."""
    for seed in seeds:
        for task in tasks:
            for name in samplers:
                key = (surrogate.name, task, str(seed), name, scenario)
                if key in done:
                    continue
                past = archive() if name in WITH_PAST else None
                study = new_study(name, past, child_seed(seed, "run", surrogate.name, task))
                losses, suggest_s = run(study, surrogate, task, n_trials)
                best = np.minimum.accumulate(losses)
                points = {str(count): f"{best[count - 1]:.6g}" for count in CHECKPOINTS if count <= n_trials}
                yield {
                    **dict(zip(KEY, key, strict=True)),
                    **points,
                    "suggest_s": round(suggest_s, 6),
                    "improvements": course(losses),
                }


def measured_ranges(surrogate: Surrogate, file: Path) -> pd.DataFrame:
    """Return the best and the worst loss of each task over a large random sample, and store them in `file`."""
    ranges = _read(file)
    known = set(ranges.loc[ranges["surrogate"] == surrogate.name, "task"]) if len(ranges) else set()
    missing = [task for task in surrogate.tasks if task not in known]
    drawn = surrogate.draw(N_RANGE, np.random.default_rng(child_seed(0, "range"))) if missing else []
    for task in missing:
        losses = surrogate.predict(task, drawn)
        row = {"surrogate": surrogate.name, "task": task, "best": float(losses.min()), "worst": float(losses.max())}
        append_row(file, RANGE_FIELDS, row)
    return _read(file)


# ---- the command ------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="holds the folders of the surrogates")
    parser.add_argument(
        "--out", type=Path, help="of one fold; benchmarks/results/transfer_ROLE[_foldK].csv unless given"
    )
    parser.add_argument("--role", choices=("test", "tune"), default="test")
    parser.add_argument("--surrogates", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS))
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=["past"])
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0 … SEEDS − 1")
    parser.add_argument("--tasks", type=int, default=N_TASKS, help="only the first tasks")
    parser.add_argument(
        "--folds", nargs="+", type=int, default=[0], help="folds of tasks to test on; 0 has the test tasks"
    )
    parser.add_argument(
        "--trials",
        type=int,
        choices=CHECKPOINTS,
        default=N_TRIALS,
        help="trials of a run; the first ones do not depend on it",
    )
    parser.add_argument(
        "--again", nargs="+", choices=SAMPLERS, default=[], help="drop the rows of these samplers first"
    )
    parser.add_argument("--cache", type=Path, help="folder to store the past studies in, which take seconds to search")
    parser.add_argument("--report", action="store_true", help="print the results and measure nothing")
    arguments = parser.parse_args(argv)
    if arguments.out and len(arguments.folds) > 1:
        parser.error("--out is the file of one fold")
    outs = {fold: arguments.out or result_file(arguments.role, fold) for fold in arguments.folds}
    range_file = next(iter(outs.values())).with_name("transfer_ranges.csv")
    if arguments.report:
        print(report(pd.concat(map(_read, outs.values())), _read(range_file), tuple(WITH_PAST)))
        return
    if arguments.folder is None:
        parser.error("the folder of the surrogates is missing")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    loaded = {name: read_surrogate(arguments.folder / name) for name in LAYOUTS}
    for fold, out in outs.items():
        if arguments.again and out.exists():
            rows = _read(out)
            rows[~rows["sampler"].isin(arguments.again)].to_csv(out, index=False)
        measure_fold(loaded, arguments, fold, out, range_file)


def result_file(role: str, fold: int) -> Path:
    """Return the result file of a fold."""
    return Path(f"benchmarks/results/transfer_{role}{f'_fold{fold}' if fold else ''}.csv")


def measure_fold(
    loaded: Mapping[str, Surrogate], arguments: argparse.Namespace, fold: int, out: Path, range_file: Path
) -> None:
    """Measure the runs of one fold that `out` lacks."""
    sides = {
        name: split(loaded[name], measured_ranges(loaded[name], range_file), arguments.role, fold=fold)
        for name in arguments.surrogates
    }

    @cache
    def archive(name: str, scenario: str) -> Archive:
        other = next(loaded[another] for another in loaded if another != name)
        file = arguments.cache and arguments.cache / f"past_{name}_{arguments.role}{f'_fold{fold}' if fold else ''}"
        past = scenario_past(scenario, loaded[name], other, sides[name][1], file)
        return make_archive(study.study(loaded[name].space) for study in past)

    rows = _read(out)
    if len(rows) and (is_short := rows[str(arguments.trials)].isna()).any():
        # Shorter runs are repeated.
        rows = rows[~is_short]
        rows.to_csv(out, index=False)
    done = set(rows[list(KEY)].itertuples(index=False, name=None)) if len(rows) else set()
    # Seed by seed, so that an unfinished measurement has the same seeds for all tasks.
    for seed, scenario, name in product(range(arguments.seeds), arguments.scenarios, arguments.surrogates):
        # Samplers without a past are the same in every scenario.
        samplers = [sampler for sampler in arguments.samplers if scenario == "past" or sampler in WITH_PAST]
        tasks = sides[name][0][: arguments.tasks]
        past = partial(archive, name, scenario)
        for row in measure(loaded[name], tasks, [seed], samplers, scenario, past, done, arguments.trials):
            append_row(out, FIELDS, row)


def _read(path: Path) -> pd.DataFrame:
    rows = read_results(path)
    return rows.astype({name: str for name in ("surrogate", "task", "seed", "sampler", "scenario") if name in rows})


if __name__ == "__main__":
    main()
