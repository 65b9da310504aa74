"""The tables of `benchmarks/transfer.md`, from the results of `benchmarks.transfer`: regrets, trials, intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from autometa.metalearning.replay.regret import normalised_regret, paired_bootstrap
from benchmarks.surrogates import FAMILIES

CHECKPOINTS = (1, 5, 10, 25, 50, 100)
N_TRIALS = 100
KEY = ("surrogate", "task", "seed", "sampler", "scenario")
REFERENCE = "tpe"


def course(losses: np.ndarray) -> str:
    """Return the course of the incumbent as text: trial (from 1) and loss of each improvement."""
    best = np.minimum.accumulate(losses)
    changed = np.flatnonzero(np.diff(best, prepend=np.inf))
    return " ".join(f"{place + 1}:{best[place]:.6g}" for place in changed)


def incumbents(text: str, n_run: int = N_TRIALS) -> np.ndarray:
    """Return the loss of the incumbent after 1 … N_TRIALS trials from the text of `course`; NaN after `n_run`."""
    found = np.full(N_TRIALS, np.nan)
    for part in text.split():
        place, loss = part.split(":")
        found[int(place) - 1 : n_run] = float(loss)
    return found


def regret_curves(results: pd.DataFrame, ranges: pd.DataFrame) -> pd.DataFrame:
    """Return the normalised regret after 1 … N_TRIALS trials: a row per run, indexed by `KEY`; NaN after its end.

    The best of a task is the lowest loss of the random sample and of every run, the worst the highest.
    """
    losses = pd.DataFrame(
        [incumbents(text, length) for text, length in zip(results["improvements"], _lengths(results), strict=True)],
        index=pd.MultiIndex.from_frame(results[list(KEY)]),
        columns=range(1, N_TRIALS + 1),
    )
    ends = ranges.set_index(["surrogate", "task"])
    parts = []
    for (name, task), found in losses.groupby(["surrogate", "task"], sort=False):
        best, worst = ends.loc[(name, task), ["best", "worst"]]
        known = [best, worst, found.min(axis=None), found.max(axis=None)]
        regrets = pd.DataFrame(normalised_regret(found, known), found.index, found.columns)
        parts.append(regrets.where(found.notna()))
    return pd.concat(parts)


def _lengths(results: pd.DataFrame) -> list[int]:
    """Return the number of trials of each run: the last checkpoint with a loss."""
    points = results[list(map(str, CHECKPOINTS))].notna()
    return [
        max(count for count, is_there in zip(CHECKPOINTS, row, strict=True) if is_there) for row in points.to_numpy()
    ]


def trials_needed(found: pd.DataFrame, reference: pd.DataFrame) -> pd.Series:
    """Return the trials until TPE's final quality is reached, infinite if it never is.

    Parameters
    ----------
    found : DataFrame
        Median regrets over seeds: rows (…, task) × trials.
    reference : DataFrame
        The same for TPE alone, indexed by task. Tasks on which its run is incomplete give NaN.
    """
    target = reference[N_TRIALS].reindex(found.index.get_level_values("task")).to_numpy()
    reached = found.to_numpy() <= target[:, None] + 1e-12
    first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)
    return pd.Series(np.where(np.isnan(target), np.nan, first), found.index)


def report(results: pd.DataFrame, ranges: pd.DataFrame, with_past: Sequence[str]) -> str:
    """Return the tables of one result file in Markdown; `with_past` names the samplers that use past studies."""
    curves = regret_curves(results, ranges)
    parts = []
    for surrogate in curves.index.unique("surrogate"):
        found = curves.xs(surrogate, level="surrogate")
        parts += [f"**{surrogate}**, mean (median) over tasks"]
        parts += [summary(found, results[results["surrogate"] == surrogate])]
        parts += [_markdown(_shown(comparison(found[list(CHECKPOINTS)], with_past)))]
    return "\n\n".join(parts)


def summary(curves: pd.DataFrame, results: pd.DataFrame) -> str:
    """Return mean and median regrets over tasks of the median over seeds, as a table in Markdown."""
    medians = curves.groupby(["scenario", "sampler", "task"]).median()
    is_reference = (medians.index.get_level_values("scenario") == "past") & (
        medians.index.get_level_values("sampler") == REFERENCE
    )
    needed = trials_needed(medians, medians[is_reference].droplevel(["scenario", "sampler"]))
    rows = []
    for (scenario, name), runs in results.groupby(["scenario", "sampler"], sort=False):
        own, seeds = medians.loc[scenario, name], runs.groupby("task")["seed"]
        trials = needed.loc[scenario, name].dropna()
        row = {"sampler": _label(scenario, name), "tasks × seeds": f"{len(own)} × {_span(seeds.nunique())}"}
        for count in CHECKPOINTS:
            # A mean over some of the tasks would not match the rest of the row.
            is_known = own[count].notna().all()
            row[str(count)] = f"{_short(own[count].mean())} ({_short(own[count].median())})" if is_known else "–"
        median = trials.median() if len(trials) else np.nan
        row["trials to TPE@100"] = "–" if np.isnan(median) else "∞" if np.isinf(median) else f"{median:g}"
        row["in ≤ 20"] = f"{(trials <= 20).sum()} of {len(trials)}" if len(trials) else "–"
        row["CPU ms"] = f"{1000 * runs['suggest_s'].mean():.0f}"
        rows.append(row)
    return _markdown(rows)


def comparison(curves: pd.DataFrame, with_past: Sequence[str]) -> pd.DataFrame:
    """Return the differences of samplers with a past to all others, on the tasks and seeds that both have."""
    pairs = list(curves.index.droplevel(["task", "seed"]).unique().reorder_levels(["scenario", "sampler"]))
    # Samplers without a past are measured once and are the same in every scenario.
    cold = [pair for pair in pairs if pair[1] not in with_past]
    rows = {}
    for scenario, name in [pair for pair in pairs if pair[1] in with_past]:
        warm = [(scenario, other) for other in with_past if other != name and (scenario, other) in pairs]
        for where in (*cold, *warm):
            own, others = (curves.xs(pair, level=("scenario", "sampler")) for pair in ((scenario, name), where))
            shared = own.index.intersection(others.index)
            own, others = (part.loc[shared].groupby("task").median() for part in (own, others))
            families = [FAMILIES.get(task, task) for task in own.index]
            rows[scenario, name, where[1]] = {
                count: _interval((own[count] - others[count]).to_numpy(), families) for count in CHECKPOINTS
            } | {"tasks": len(own), "seeds": shared.get_level_values("seed").nunique()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _shown(differences: pd.DataFrame) -> list[dict[str, str]]:
    """Return the rows of the page: those of `meta`, with a misleading past only against cold starts."""
    return [
        {
            "sampler − baseline, mean over tasks, 95% interval": f"{_label(scenario, name)} − {other}",
            "tasks × seeds": f"{row['tasks']} × {row['seeds']}",
            **{str(count): row[count].replace("-", "−").replace("0.", ".").strip() for count in CHECKPOINTS[1:]},
        }
        for (scenario, name, other), row in differences.iterrows()
        if name == "meta" and (scenario == "past" or other in ("random", REFERENCE))
    ]


def _label(scenario: str, name: str) -> str:
    return name if scenario == "past" else f"{name}, {scenario} past"


def _span(counts: pd.Series) -> str:
    return f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()}–{counts.max()}"


def _short(regret: float) -> str:
    return f"{regret:.4f}".removeprefix("0") if regret < 1 else f"{regret:.4f}"


def _markdown(rows: Sequence[dict[str, str]]) -> str:
    if not rows:
        return ""
    lines = ["| " + " | ".join(cells) + " |" for cells in (rows[0], *(row.values() for row in rows))]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _interval(differences: np.ndarray, families: Sequence[str]) -> str:
    if np.isnan(differences).any():
        return "–"
    mean, low, high = paired_bootstrap(differences, families)
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]{' *' if low > 0 or high < 0 else ''}"
