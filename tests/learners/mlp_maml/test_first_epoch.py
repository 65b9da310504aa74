import numpy as np
import pytest

from autometa.core.budget import Deadline
from autometa.learners.mlp_maml import first_epoch
from autometa.learners.mlp_maml.first_epoch import STRENGTHS, TableRows, choose_strength, fit_slots_and_heads
from autometa.learners.mlp_maml.network import N_FEATURES, random_arrays
from autometa.learners.mlp_maml.projection import N_SLOTS

NEVER = Deadline(np.inf)


def shared():
    return [random_arrays(np.random.default_rng(0))]


def rows(noise: float, problem: str = "regression", n: int = 120) -> TableRows:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    y = X[:, 0] + noise * rng.normal(size=n)
    if problem == "regression":
        return TableRows(X, ((y - y.mean()) / y.std()).astype(np.float32), problem, None)
    n_classes = 2 if problem == "binary" else 3
    return TableRows(X, np.digitize(y, [0.0, 1.0][: n_classes - 1]), problem, n_classes)


@pytest.mark.parametrize("problem", ["regression", "binary", "multiclass"])
def test_noise_asks_for_a_stronger_penalty(problem):
    clear, noisy = (choose_strength(shared(), rows(noise, problem), 0, NEVER) for noise in (0.01, 10.0))
    assert STRENGTHS[noisy] > STRENGTHS[clear]


@pytest.mark.parametrize("problem", ["regression", "binary"])
@pytest.mark.parametrize("n", [2, 5])
def test_a_few_rows_and_a_passed_deadline_give_finite_heads(problem, n):
    ((found, penalty),), is_hurried = fit_slots_and_heads(shared(), rows(1.0, problem, n), 0, Deadline.after(-1.0))
    assert is_hurried
    assert found["slots/weight"].shape == (6, N_SLOTS) and len(found["head/weight"]) == N_FEATURES
    assert penalty > 0 and all(np.isfinite(value).all() for value in found.values())


class SlowMachine:
    """A clock that fits of projections and of heads move, by some seconds a row."""

    def __init__(self, monkeypatch, row_s: float) -> None:
        self.now_s, self.n_fits = 0.0, 0
        projection, heads = first_epoch.fit_projection, first_epoch.fitted_heads

        def slow_projection(X, *others):
            self.now_s += row_s * len(X)
            self.n_fits += 1
            return projection(X, *others)

        def slow_heads(shared, seen, targets, n_classes, weights, strengths):
            self.now_s += row_s * len(seen) * len(strengths)
            return heads(shared, seen, targets, n_classes, weights, strengths)

        monkeypatch.setattr(first_epoch, "fit_projection", slow_projection)
        monkeypatch.setattr(first_epoch, "fitted_heads", slow_heads)

    def deadline(self, seconds: float) -> Deadline:
        return Deadline.after(seconds, clock=lambda: self.now_s)


@pytest.mark.parametrize("problem", ["regression", "multiclass"])
def test_a_passed_deadline_leaves_one_fit_of_a_few_rows(problem, monkeypatch):
    machine = SlowMachine(monkeypatch, row_s=1.0)
    ((found, penalty),), is_hurried = fit_slots_and_heads(shared(), rows(1.0, problem, 3000), 0, machine.deadline(-1.0))
    # A projection and one head, for 400 rows.
    assert is_hurried and machine.n_fits == 1 and machine.now_s == 800
    assert penalty > 0 and all(np.isfinite(value).all() for value in found.values())


@pytest.mark.parametrize("row_s", [1e-3, 3e-3, 1e-2])
def test_the_fit_takes_less_than_half_of_the_time_however_slow_the_machine(row_s, monkeypatch):
    machine = SlowMachine(monkeypatch, row_s)
    fit_slots_and_heads(shared(), rows(0.1, "regression", 2000), 0, machine.deadline(100.0))
    assert machine.now_s < 50.0


def test_a_deadline_of_twenty_times_the_fit_of_a_few_rows_leaves_time_to_choose_the_penalty(monkeypatch):
    machine = SlowMachine(monkeypatch, row_s=1e-3)
    fit_slots_and_heads(shared(), rows(1.0, n=600), 0, machine.deadline(20 * 0.8))
    # Besides a fold or more, a few rows and all of them.
    assert machine.n_fits > 2


@pytest.mark.parametrize("seconds", [100.0, np.inf])
def test_the_penalty_is_chosen_by_all_four_folds_where_there_is_time(seconds, monkeypatch):
    machine = SlowMachine(monkeypatch, row_s=0.0)
    choose_strength(shared(), rows(1.0), 0, machine.deadline(seconds))
    assert machine.n_fits == 4


def test_folds_take_turns_among_networks(monkeypatch):
    networks = [random_arrays(np.random.default_rng(seed)) for seed in range(2)]
    used, heads = [], first_epoch.fitted_heads

    def noted(shared, *others):
        used.append(next(place for place, network in enumerate(networks) if network is shared))
        return heads(shared, *others)

    monkeypatch.setattr(first_epoch, "fitted_heads", noted)
    fitted, _ = fit_slots_and_heads(networks, rows(0.1), 0, NEVER)
    assert used == [0, 1, 0, 1, 0, 1]  # four folds, then one head for each
    (one, _), (other, _) = fitted
    np.testing.assert_array_equal(one["slots/weight"], other["slots/weight"])
    assert not np.array_equal(one["head/weight"], other["head/weight"])


def test_without_hurry_a_deadline_changes_nothing(monkeypatch):
    machine = SlowMachine(monkeypatch, row_s=1e-9)
    ((in_time, _),), is_hurried = fit_slots_and_heads(shared(), rows(1.0), 0, machine.deadline(100.0))
    ((without, _),), _ = fit_slots_and_heads(shared(), rows(1.0), 0, NEVER)
    assert not is_hurried
    for name, value in without.items():
        np.testing.assert_array_equal(in_time[name], value)
