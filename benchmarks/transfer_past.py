"""Past studies for `benchmarks.transfer`: their tasks, how they searched, and misleading versions of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.samplers import RandomSampler, TPESampler

from autometa._support.seeds import child_seed
from autometa.core.space import SearchSpace, Value
from benchmarks.surrogates import FAMILIES, Surrogate, from_unit, to_unit

N_PAST, N_PAST_TRIALS = 60, 50
N_TASKS = 12
SCENARIOS = ("past", "other", "negated", "shuffled")


@dataclass(frozen=True)
class PastStudy:
    """A finished study: configurations and their losses, in the order of the trials."""

    name: str
    configurations: tuple[Mapping[str, Value], ...]
    losses: np.ndarray

    def study(self, space: SearchSpace) -> optuna.Study:
        """Return an Optuna study in memory."""
        study = optuna.create_study(study_name=self.name)
        study.add_trials(
            [
                optuna.create_trial(
                    params=dict(found), distributions={name: space.distributions[name] for name in found}, value=loss
                )
                for found, loss in zip(self.configurations, self.losses.tolist(), strict=True)
            ]
        )
        return study


def split(
    surrogate: Surrogate, ranges: pd.DataFrame, role: str, n_tasks: int = N_TASKS, fold: int = 0
) -> tuple[list[str], list[str]]:
    """Return the tasks of new studies, and the tasks that past studies may be of.

    ``"test"`` is for reported results. ``"tune"`` has other tasks, and its past has no task of ``"test"``, so that a
    sampler can be tuned without its test tasks. No family of tables is on two sides.

    Each further `fold` has the next tasks instead of the first ones, so that every task is a test task once. No sampler
    may be tuned on the test tasks of fold 0. The past of ``"test"`` in another fold has them; that of ``"tune"`` never
    does.

    Raises
    ------
    ValueError
        If there is no such role, or no task is left for such a fold.
    """
    order = np.random.default_rng(child_seed(0, "split", surrogate.name)).permutation(len(surrogate.tasks))
    names = [surrogate.tasks[place] for place in order]
    # The network clips accuracies at 1. If random configurations reach 1, it extrapolates, and nothing is left to
    # search: such a task is no test.
    best = ranges[ranges["surrogate"] == surrogate.name].set_index("task")["best"]
    sound = [task for task in names if best[task] > 0]
    test = sound[:n_tasks]
    match role:
        case "test":
            judged = hidden = sound[fold * n_tasks : (fold + 1) * n_tasks]
        case "tune":
            # A fifth of the tasks at most, so that enough tasks remain for the past.
            n_tune = min(n_tasks, len(names) // 5)
            apart = [task for task in sound if not _related(task, test)]
            judged = apart[fold * n_tune : (fold + 1) * n_tune]
            hidden = [*test, *judged]
        case _:
            raise ValueError(f"The role is 'test' or 'tune', got {role!r}.")
    if not judged:
        raise ValueError(
            f"{surrogate.name} has {len(sound)} tasks to judge on, and none of them is left for fold {fold}."
        )
    return judged, [task for task in names if not _related(task, hidden)]


def past_studies(surrogate: Surrogate, tasks: Sequence[str], n: int = N_PAST) -> list[PastStudy]:
    """Return `n` past studies, alternating over `tasks`, half of them random searches and half with TPE."""
    found = []
    for number in range(n):
        task = tasks[number % len(tasks)]
        seed = child_seed(number, "past", surrogate.name, task)
        # The kind also changes with each round, so that a task with two studies has one of each kind.
        is_random = (number + number // len(tasks)) % 2 == 0
        study = optuna.create_study(sampler=RandomSampler(seed=seed) if is_random else TPESampler(seed=seed))
        study.optimize(surrogate.objective(task), n_trials=N_PAST_TRIALS)
        configurations = tuple(trial.params for trial in study.trials)
        losses = np.array([trial.value for trial in study.trials])
        found.append(PastStudy(f"{surrogate.name}-{task}-{number}", configurations, losses))
    return found


def kept_past_studies(
    surrogate: Surrogate, tasks: Sequence[str], file: Path | None, n: int = N_PAST
) -> list[PastStudy]:
    """Return `past_studies`, read from `file` or written to it."""
    if file is not None and file.exists():
        return [
            PastStudy(found["name"], tuple(found["configurations"]), np.array(found["losses"]))
            for found in json.loads(file.read_text(encoding="utf-8"))
        ]
    studies = past_studies(surrogate, tasks, n)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([{**vars(study), "losses": study.losses.tolist()} for study in studies]))
    return studies


def disguised(other: Surrogate, space: SearchSpace) -> Surrogate:
    """Return another problem under the names and ranges of `space`: parameter k is parameter k of `other`."""
    n_here, n_there = len(space.distributions), len(other.space.distributions)

    def predict(task: str, configurations: Sequence[Mapping[str, Value]]) -> np.ndarray:
        points = [to_unit(space, found)[np.arange(n_there) % n_here] for found in configurations]
        return other.predict(task, [from_unit(other.space, point) for point in points])

    return Surrogate(f"disguised {other.name}", space, other.tasks, predict)


def negated(study: PastStudy) -> PastStudy:
    """Return the study with good and bad exchanged."""
    return replace(study, losses=-study.losses)


def shuffled(study: PastStudy) -> PastStudy:
    """Return the study with its losses randomly permuted over the configurations."""
    seed = child_seed(0, "shuffled", study.name)
    return replace(study, losses=np.random.default_rng(seed).permutation(study.losses))


def scenario_past(
    scenario: str, surrogate: Surrogate, other: Surrogate, tasks: Sequence[str], cache: Path | None
) -> list[PastStudy]:
    """Return the past studies of a scenario; names of the files that store them begin with `cache`."""
    if scenario == "other":
        problem, tasks = disguised(other, surrogate.space), other.tasks
        return kept_past_studies(problem, tasks, cache and cache.with_name(f"{cache.name}_other.json"))
    past = kept_past_studies(surrogate, tasks, cache and cache.with_name(f"{cache.name}.json"))
    match scenario:
        case "past":
            return past
        case "negated":
            return [negated(study) for study in past]
        case "shuffled":
            return [shuffled(study) for study in past]
    raise ValueError(f"Unknown scenario {scenario!r}; expected one of {SCENARIOS}.")


def _related(task: str, others: Sequence[str]) -> bool:
    """Return whether a task is one of the others or shares a family with one of them."""
    return FAMILIES.get(task, task) in {FAMILIES.get(other, other) for other in others}
