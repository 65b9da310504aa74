"""Replays of recorded searches that stop trials early.

    python -m benchmarks.fit_pruning --moments FILE [--records PATH]

Configurations of a task are tried in random orders, and in orders close to their ranks on other tasks, until a
part of the CPU seconds of all of them is used up. The ensemble of the complete trials is chosen on validation rows and
judged on held-out rows, by second moments of errors. The first table stops trials after the first of three folds, the
second one after a fit on an eighth of the rows, which costs seconds of its own; the third one supposes that this costs
only 15% of a whole fit. Differences to a search without pruning have paired 95% bootstrap intervals over families.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr

from autometa import MetaDataset
from autometa.evaluation.loss_transform import to_scale
from autometa.metadataset.error_moments import ErrorMoments
from autometa.metalearning.replay.regret import paired_bootstrap
from autometa.policy.ensemble_model import greedy_weights

METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
SHARES = (0.2, 0.4, 0.6, 0.8)
N_ORDERS = 12
OVERHEAD_S = 0.1
FEWEST_ROWS_OF_LOOKS = 7000
_LEAST_DEVIATION = 0.15
_CHEAP_LOOK = 0.15


@dataclass(frozen=True)
class Task:
    """The recorded trials of one task: losses on the scale of `to_scale`, early and final, and seconds.

    `whole_s` are the seconds of a trial without an early look, `rest_s` those after the look.
    """

    family: str
    names: list[str]
    strategies: np.ndarray
    early: np.ndarray
    final: np.ndarray
    early_s: np.ndarray
    rest_s: np.ndarray
    whole_s: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray

    def log_error(self, members: list[int]) -> float:
        """Return the logarithm of the error of the ensemble of some trials on held-out rows."""
        if not members:
            members = [int(np.argmax(self.final))]  # a search without a model counts as its worst trial
        index = np.ix_(members, members)
        weights = greedy_weights(self.validation[index][None], 25)[0]
        return float(np.log(weights @ self.held_out[index] @ weights))


Rule = Callable[[Task, int, list[int], list[int]], bool]
"""Whether to stop a trial, given the complete trials and those that were looked at before."""


def median_of_strategy(task: Task, trial: int, complete: list[int], looked_at: list[int]) -> bool:
    """Stop a trial that is worse than the median of its own strategy."""
    peers = [other for other in looked_at if task.strategies[other] == task.strategies[trial]]
    return len(peers) >= 2 and task.early[trial] > np.median(task.early[peers])


def chance(rate: float, margin: float) -> Rule:
    """Stop a trial whose chance to end less than a margin behind the best one is below a rate, as in fits."""

    def rule(task: Task, trial: int, complete: list[int], looked_at: list[int]) -> bool:
        if len(complete) < 3:
            return False
        changes = task.final[complete] - task.early[complete]
        n = len(changes)
        variance = (3 * _LEAST_DEVIATION**2 + ((changes - changes.mean()) ** 2).sum()) / (n + 2) * (1 + 1 / n)
        ahead = task.final[complete].min() + margin - task.early[trial] - changes.mean()
        return bool(ndtr(ahead / np.sqrt(variance)) < rate)

    return rule


RULES: dict[str, Rule | None] = {
    "never": None,
    "median of strategy": median_of_strategy,
    "chance .05, margin .1": chance(0.05, 0.1),
    "chance .05, margin .2 (fits)": chance(0.05, 0.2),
    "chance .05, margin .4": chance(0.05, 0.4),
    "chance .2, margin .1": chance(0.2, 0.1),
    "chance .5, margin .1": chance(0.5, 0.1),
}


def read_tasks(metadataset: MetaDataset, moments: ErrorMoments, *, looks: bool) -> list[Task]:
    """Return the tasks with three folds, or, with `looks`, large ones with a fit on an eighth of the rows."""
    rows = metadataset.evaluations.query("status == 'ok' and progress == 1")
    rows = rows.assign(cpu_s=rows["fit_cpu_s"] + rows["predict_cpu_s"])
    strategies = metadataset.configurations.set_index("configuration")["strategy"]
    found = []
    for about in metadataset.tasks.itertuples():
        metric = METRICS[about.problem]
        own = rows[rows["task"] == about.task]
        whole = own[own["anchor"] == 1].groupby("configuration")
        n_folds = whole["fold"].nunique().max() if len(own) else 0
        if looks:
            first = own[(own["anchor"] == 0.125) & (own["fold"] == 0)].groupby("configuration")
            if about.n_rows_used < FEWEST_ROWS_OF_LOOKS:
                continue
        else:
            first = own[(own["anchor"] == 1) & (own["fold"] == 0)].groupby("configuration")
            if n_folds < 3:
                continue
        table = pd.DataFrame(
            {
                "early": first[f"loss_{metric}"].mean(),
                "early_s": first["cpu_s"].sum(),
                "final": whole[f"loss_{metric}"].mean(),
                "all_s": whole["cpu_s"].sum(),
            }
        ).dropna()
        part = moments.select([about.task], list(table.index))
        known = np.isfinite(np.diagonal(part.validation[0])) & np.isfinite(np.diagonal(part.held_out[0]))
        table, index = table[known], np.ix_(known, known)
        if len(table) < 8:
            continue
        early_s = table["early_s"].to_numpy() + OVERHEAD_S
        rest_s = table["all_s"].to_numpy() + OVERHEAD_S if looks else (table["all_s"] - table["early_s"]).to_numpy()
        found.append(
            Task(
                about.family,
                list(table.index),
                strategies[table.index].to_numpy(),
                to_scale(table["early"].to_numpy(), metric),
                to_scale(table["final"].to_numpy(), metric),
                early_s,
                rest_s,
                rest_s if looks else early_s + rest_s,
                part.validation[0][index],
                part.held_out[0][index],
            )
        )
    return found


def search(task: Task, order: np.ndarray, limit_s: float, rule: Rule | None) -> list[int]:
    """Return the complete trials of a search that stops trials by a rule; None looks at nothing and stops nothing."""
    spent_s = 0.0
    complete: list[int] = []
    looked_at: list[int] = []
    for trial in order.tolist():
        if rule is not None:
            spent_s += task.early_s[trial]
            if spent_s > limit_s:
                break
            stops = rule(task, trial, complete, looked_at)
            looked_at.append(trial)
            if stops:
                continue
        spent_s += task.whole_s[trial] if rule is None else task.rest_s[trial]
        if spent_s > limit_s:
            break
        complete.append(trial)
    return complete


def replays(tasks: list[Task], seed: int = 0) -> pd.DataFrame:
    """Return the regret of each rule on each task: family, order, share of the seconds, rule, regret."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, task in enumerate(tasks):
        others = [other for other in tasks if other.family != task.family]
        least = task.log_error(list(range(len(task.final))))
        usual = np.array([_usual_rank(others, name) for name in task.names])
        for repeat in range(N_ORDERS):
            noise = rng.normal(size=len(usual))
            orders = {"random": noise, "usual ranks": usual + 0.1 * noise}
            name = list(orders)[repeat % 2]
            for share in SHARES:
                limit_s = share * task.whole_s.sum()
                for label, rule in RULES.items():
                    complete = search(task, np.argsort(orders[name]), limit_s, rule)
                    rows.append((number, task.family, name, share, label, task.log_error(complete) - least))
    return pd.DataFrame(rows, columns=["task", "family", "order", "share", "rule", "regret"])


def _usual_rank(tasks: list[Task], name: str) -> float:
    """Return the mean relative rank of a configuration on some tasks; in the middle where it was never measured."""
    ranks = [float((t.final < t.final[t.names.index(name)]).mean()) for t in tasks if name in t.names]
    return float(np.mean(ranks)) if ranks else 0.5


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean regret of each rule, and its difference to the first one with a 95% interval."""
    rows = []
    first = next(iter(RULES))
    for (order, share), part in table.groupby(["order", "share"]):
        wide = part.pivot_table(index=["task", "family"], columns="rule", values="regret")
        families = wide.index.get_level_values("family").tolist()
        for rule in RULES:
            difference, low, high = paired_bootstrap(wide[rule] - wide[first], families)
            rows.append((order, share, rule, wide[rule].mean(), difference, low, high))
    return pd.DataFrame(rows, columns=["order", "share", "rule", "regret", "difference", "low", "high"])


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit_pruning", description="Replay pruned searches.")
    parser.add_argument("--records", type=Path, help="folder or .npz; default: the one that ships")
    parser.add_argument("--moments", type=Path, help="second moments of errors; default: those that ship")
    options = parser.parse_args()
    metadataset, moments = MetaDataset.load(options.records), ErrorMoments.load(options.moments)
    folds, looks = (read_tasks(metadataset, moments, looks=looks) for looks in (False, True))
    cheap = [replace(task, early_s=_CHEAP_LOOK * task.whole_s) for task in looks]
    titles = "after the first of three folds", "after a fit on an eighth of the rows", "after a look that is cheap"
    for tasks, title in zip((folds, looks, cheap), titles, strict=True):
        seconds = np.mean([task.early_s.sum() / task.whole_s.sum() for task in tasks])
        print(f"\nTrials stopped {title}: {len(tasks)} tasks; it takes {seconds:.0%} of the seconds of a whole trial")
        print(summary(replays(tasks)).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
