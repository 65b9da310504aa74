"""A search as pandas tables."""

from __future__ import annotations

import math

import pandas as pd

from autometa.search.history import SearchHistory


def leaderboard(history: SearchHistory) -> pd.DataFrame:
    """Return one row per trial, best first.

    Columns: ``trial``, ``strategy``, ``configuration`` (a dict), ``loss`` (mean over the
    folds, lower is better), ``status``, ``weight`` in the ensemble, ``time_s`` of all its
    fits, ``ended_s`` from the start, ``error``, and a column per measured anchor and fold,
    such as ``loss_fold0`` (all training rows) or ``loss_fold0_anchor0.125``.
    """
    rows = []
    for trial in history.trials:
        row = {
            "trial": trial["number"],
            "strategy": trial["strategy"],
            "configuration": trial["parameters"],
            "loss": trial["loss"],
            "predicted_loss": trial.get("predicted_loss", math.nan),
            "status": trial["status"],
            "weight": trial["weight"],
            "time_s": trial["time_s"],
            "predicted_s": trial.get("predicted_s", math.nan),
            "ended_s": trial["ended_s"],
            "error": trial["error"],
        }
        for evaluation in trial["evaluations"]:
            suffix = "" if evaluation["anchor"] == 1 else f"_anchor{evaluation['anchor']:g}"
            row[f"loss_fold{evaluation['fold']}{suffix}"] = evaluation["loss"]
        rows.append(row)
    columns = [
        "trial",
        "strategy",
        "configuration",
        "loss",
        "predicted_loss",
        "status",
        "weight",
        "time_s",
        "predicted_s",
        "ended_s",
        "error",
    ]
    if not rows:
        return pd.DataFrame(columns=columns)
    table = pd.DataFrame(rows)
    folds = sorted(column for column in table.columns if column.startswith("loss_fold"))
    order = [column for column in table.columns if column not in folds] + folds
    incomplete = (table["status"] != "ok").rename("incomplete")
    ranked = table[order].assign(incomplete=incomplete).sort_values(["incomplete", "loss", "trial"], ignore_index=True)
    return ranked.drop(columns="incomplete")


def strategy_report(history: SearchHistory) -> pd.DataFrame:
    """Return one row per strategy, the likeliest first.

    Columns: ``probability`` that the policy gives it after the search (missing when it was
    left out), the configuration that it ``recommended`` before the search with its
    ``predicted_loss``, the ``predicted_s`` of one fit and the probability that it
    ``beats_default`` (missing where the policy does not predict),
    ``n_trials`` tried, of which ``n_ok`` on every fold, ``best_loss``, ``time_s`` spent on
    it, ``weight`` in the ensemble, ``best_configuration`` and ``note``: why it was left
    out, that the policy has no records of it, its last error when nothing of it worked.
    """
    rows = []
    for strategy in history.strategies:
        trials = [trial for trial in history.trials if trial["strategy"] == strategy["name"]]
        complete = [trial for trial in trials if trial["status"] == "ok"]
        best = min(complete, key=lambda trial: trial["loss"], default=None)
        errors = [trial["error"] for trial in trials if trial["error"]]
        rows.append(
            {
                "strategy": strategy["name"],
                "probability": strategy["probability"],
                "recommended": strategy.get("recommended"),
                "predicted_loss": strategy.get("predicted_loss", math.nan),
                "predicted_s": strategy.get("predicted_s", math.nan),
                "beats_default": strategy.get("beats_default", math.nan),
                "n_trials": len(trials),
                "n_ok": len(complete),
                "best_loss": None if best is None else best["loss"],
                "time_s": sum(trial["time_s"] for trial in trials),
                "weight": sum(trial["weight"] for trial in trials),
                "best_configuration": None if best is None else best["parameters"],
                "note": "; ".join(filter(None, [strategy["note"], *(errors[-1:] if not complete else ())])),
            }
        )
    table = pd.DataFrame(rows).astype({"probability": "float64", "best_loss": "float64"})
    return table.sort_values(["probability", "weight"], ascending=False, na_position="last", ignore_index=True)
