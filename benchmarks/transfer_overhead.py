"""The cost of a suggestion as the past grows: ``python -m benchmarks.transfer_overhead [--studies 1 10 100 1000]``.

Each past study has 100 random trials. The new study has 100 trials, in the ``same`` space or in one where two ranges
and a choice ``changed``, so that the learnt model has to be adapted. A row holds CPU seconds: of filling the archive,
of creating the sampler, which learns from the past, of the first suggestion, and of the median and the slowest after
it. CPU time excludes other work on the machine. Needs no data.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from autometa._support.seeds import child_seed
from autometa.core.space import SearchSpace, Value
from benchmarks.results import append_row, read_results
from benchmarks.surrogates import from_unit, to_unit
from benchmarks.transfer import make_archive, new_study
from benchmarks.transfer_past import PastStudy

N_PAST_TRIALS, N_TRIALS = 100, 100
FIELDS = ("sampler", "n_studies", "space", "archive_s", "make_s", "first_s", "median_s", "slowest_s")
SPACE = SearchSpace(
    {
        "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
        "momentum": FloatDistribution(0.0, 1.0),
        "dropout": FloatDistribution(0.0, 0.9),
        "decay": FloatDistribution(1e-6, 1e-1, log=True),
        "layers": IntDistribution(1, 8),
        "units": IntDistribution(16, 1024, log=True),
        "kind": CategoricalDistribution(("plain", "residual", "gated")),
    }
)
SPACES = {
    "same": SPACE,
    "changed": SearchSpace(
        {
            **SPACE.distributions,
            "learning_rate": FloatDistribution(1e-3, 1.0, log=True),
            "units": IntDistribution(16, 2048, log=True),
            "kind": CategoricalDistribution(("plain", "residual", "attention")),
        }
    ),
}


def loss(space: SearchSpace, configuration: Mapping[str, Value], seed: int) -> float:
    """Return the squared distance in the unit cube from a point near 0.4, which depends on the seed."""
    best = np.clip(np.random.default_rng(seed).normal(0.4, 0.1, len(space.distributions)), 0, 1)
    return float(((to_unit(space, configuration) - best) ** 2).mean())


def past(n: int) -> list[optuna.Study]:
    """Return `n` studies of random trials."""
    studies = []
    for number in range(n):
        seed = child_seed(number, "overhead")
        points = np.random.default_rng(seed).random((N_PAST_TRIALS, len(SPACE.distributions)))
        configurations = tuple(from_unit(SPACE, point) for point in points)
        losses = np.array([loss(SPACE, configuration, seed) for configuration in configurations])
        studies.append(PastStudy(f"past-{number}", configurations, losses).study(SPACE))
    return studies


def measure(sampler: str, studies: Sequence[optuna.Study], space: str) -> dict[str, Any]:
    """Return the row of a sampler with these past studies, in the space of that name."""
    # Loads the modules, which must not count.
    new_study(sampler, make_archive(studies[:1]), seed=0).ask(dict(SPACE.distributions))
    start = time.process_time()
    archive = make_archive(studies)
    filled = time.process_time()
    study = new_study(sampler, archive, seed=0)
    made = time.process_time()
    seconds = []
    for _ in range(N_TRIALS):
        begin = time.process_time()
        trial = study.ask()
        configuration = SPACES[space].suggest(trial)
        seconds.append(time.process_time() - begin)
        study.tell(trial, loss(SPACES[space], configuration, child_seed(0, "new")))
    spent = {"archive_s": filled - start, "make_s": made - filled, "first_s": seconds[0]}
    rest = {"median_s": float(np.median(seconds[1:])), "slowest_s": max(seconds[1:])}
    return {"sampler": sampler, "n_studies": len(studies), "space": space, **spent, **rest}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", nargs="+", type=int, default=[1, 10, 100, 1000])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/transfer_overhead.csv"))
    arguments = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for n_studies in arguments.studies:
        studies = past(n_studies)
        for space in SPACES:
            append_row(arguments.out, FIELDS, measure("meta", studies, space))
    print(read_results(arguments.out).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
