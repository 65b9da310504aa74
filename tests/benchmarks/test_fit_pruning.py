"""Replays of searches that stop trials early."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fit_pruning import RULES, Task, chance, replays, search, summary


def task(family: str = "f", n: int = 10, seed: int = 0, **changes: np.ndarray) -> Task:
    """Return a task on which losses before the end tell the final ones, up to a little noise."""
    rng = np.random.default_rng(seed)
    final = np.array([-3.0, -2.9, -2.8, -2.95, *np.linspace(-2.0, 0.0, n - 4)])
    early = final + 0.1 + 0.02 * rng.normal(size=n)
    moments = np.diag(np.exp(final))
    values = {"early": early, "final": final, "early_s": np.ones(n), "rest_s": 2.0 * np.ones(n)}
    values |= {"whole_s": 3.0 * np.ones(n), "validation": moments, "held_out": moments} | changes
    names = [f"c{i}" for i in range(n)]
    return Task(family, names, np.array(["a", "b"] * (n // 2)), **values)  # type: ignore[arg-type]


def test_without_a_rule_trials_cost_what_they_cost() -> None:
    assert search(task(), np.arange(10), 9.5, None) == [0, 1, 2]


def test_hopeless_trials_cost_their_first_look_only() -> None:
    order = np.array([0, 1, 2, 9, 8, 7, 3])
    # Three whole trials, three looks, and one more whole trial.
    assert search(task(), order, 9.0 + 3.0 + 3.0, chance(0.05, 0.2)) == [0, 1, 2, 3]
    assert search(task(), order, 9.0 + 3.0 + 3.0, None) == [0, 1, 2, 9, 8]


def test_a_look_that_tells_nothing_stops_little() -> None:
    noisy = task(early=np.random.default_rng(1).normal(-1.5, 2.0, 10))
    complete = search(noisy, np.arange(10), 1e9, chance(0.05, 0.2))
    assert len(complete) >= 8


def test_regret_falls_with_the_seconds_and_differences_are_to_no_pruning() -> None:
    table = replays([task(f"f{seed}", seed=seed) for seed in range(4)])
    assert (table["regret"] >= -1e-9).all()
    found = summary(table)
    assert set(found["rule"]) == set(RULES)
    first = found[found["rule"] == "never"]
    assert first["difference"].abs().max() == pytest.approx(0)
    for _, part in first.groupby("order"):
        assert part.sort_values("share")["regret"].is_monotonic_decreasing
