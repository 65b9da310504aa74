"""Reads archives of layout 1, which recorded neither when a trial started nor where a study was stored."""
# Tests: tests/transfer/archive/test_archive_file.py

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, json_to_distribution
from optuna.trial import TrialState

from autometa.transfer.archive.sources import SourceStudy, SourceTrial


def read_layout_1(connection: sqlite3.Connection) -> dict[int, SourceStudy]:
    """Return the studies of a file by row id, in the order in which they were added."""
    trials: dict[int, list[SourceTrial]] = {}
    query = "SELECT study, number, state, params, objectives, intermediate, feasible FROM trials ORDER BY study, number"
    for study, number, state, params, objectives, intermediate, feasible in connection.execute(query):
        values = json.loads(objectives)
        trials.setdefault(study, []).append(
            SourceTrial(
                number,
                TrialState[state],
                {name: _hashable(value) for name, value in json.loads(params).items()},
                None if values is None else tuple(values),
                {int(step): value for step, value in json.loads(intermediate).items()},
                bool(feasible),
            )
        )
    query = "SELECT id, name, begun, tags, directions, distributions FROM studies ORDER BY id"
    return {
        row: SourceStudy(
            name,
            json.loads(tags),
            tuple(json.loads(directions)),
            {key: _distribution(text) for key, text in json.loads(distributions).items()},
            tuple(trials.get(row, ())),
            datetime.fromisoformat(begun) if begun else None,
        )
        for row, name, begun, tags, directions, distributions in connection.execute(query)
    }


def _distribution(text: str) -> BaseDistribution:
    found = json_to_distribution(text)
    if isinstance(found, CategoricalDistribution):
        return CategoricalDistribution([_hashable(choice) for choice in found.choices])
    return found


def _hashable(value: Any) -> Any:
    # Layout 1 wrote tuples as lists.
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value
