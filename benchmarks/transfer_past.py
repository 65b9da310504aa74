"""Past studies for `benchmarks.transfer`: which tasks they are of, how they searched, how they may mislead."""

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
    """A finished study: configurations and their losses, in the order in which they were tried."""

    name: str
    configurations: tuple[Mapping[str, Value], ...]
    losses: np.ndarray

    def study(self, space: SearchSpace) -> optuna.Study:
        """Return it as a study in memory."""
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

    ``"test"`` is for what is reported; ``"tune"`` has other tasks, and its past has none of ``"test"``, so that a
    sampler can be improved without a look at what it is judged on. No family of tables is on two sides.

    Each further `fold` has the next tasks in place of the first ones, so that over the folds every task is judged
    once. The test tasks that no sampler may be improved on are those of fold 0. The past of ``"test"`` in another
    fold has them; that of ``"tune"`` never does.

    Raises
    ------
    ValueError
        If there is no such role, or no task is left for such a fold.
    """
    order = np.random.default_rng(child_seed(0, "split", surrogate.name)).permutation(len(surrogate.tasks))
    names = [surrogate.tasks[place] for place in order]
    # A network cuts its accuracies off at 1. Where random configurations reach that, it extrapolates, and nothing
    # is left to search: no task to judge anything on.
    best = ranges[ranges["surrogate"] == surrogate.name].set_index("task")["best"]
    sound = [task for task in names if best[task] > 0]
    test = sound[:n_tasks]
    match role:
        case "test":
            judged = hidden = sound[fold * n_tasks : (fold + 1) * n_tasks]
        case "tune":
            # A fifth of the tasks at most: a past must remain.
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
    """Return `n` past studies on `tasks` by turns; half of them searched at random, half with TPE."""
    found = []
    for number in range(n):
        task = tasks[number % len(tasks)]
        seed = child_seed(number, "past", surrogate.name, task)
        # The kind changes with each round too, so that a task with two studies has one of either kind.
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
    """Return `past_studies`, from `file` if it is there, and written to it otherwise."""
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
    """Return another problem behind the names and ranges of `space`: parameter k is really parameter k of `other`."""
    n_here, n_there = len(space.distributions), len(other.space.distributions)

    def predict(task: str, configurations: Sequence[Mapping[str, Value]]) -> np.ndarray:
        points = [to_unit(space, found)[np.arange(n_there) % n_here] for found in configurations]
        return other.predict(task, [from_unit(other.space, point) for point in points])

    return Surrogate(f"disguised {other.name}", space, other.tasks, predict)


def negated(study: PastStudy) -> PastStudy:
    """Return the study with good and bad exchanged."""
    return replace(study, losses=-study.losses)


def shuffled(study: PastStudy) -> PastStudy:
    """Return the study with the losses given to other configurations at random."""
    seed = child_seed(0, "shuffled", study.name)
    return replace(study, losses=np.random.default_rng(seed).permutation(study.losses))


def scenario_past(
    scenario: str, surrogate: Surrogate, other: Surrogate, tasks: Sequence[str], cache: Path | None
) -> list[PastStudy]:
    """Return the past studies of a scenario; `cache` is the start of the names of files to keep them in."""
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
    """Whether a task is one of the others, or of a family with one of them."""
    return FAMILIES.get(task, task) in {FAMILIES.get(other, other) for other in others}
