from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.samplers._tpe.sampler import _split_trials
from optuna.trial import FrozenTrial, TrialState, create_trial

from autometa import StudyArchive
from autometa.transfer.archive.sources import SourceStudy, SourceTrial
from autometa.transfer.sampling.outcomes import behind_complete, outcomes_of

optuna.logging.set_verbosity(optuna.logging.ERROR)

X = {"x": FloatDistribution(0, 1)}


def trial(state=TrialState.COMPLETE, value=None, curve=None, violation=None) -> FrozenTrial:
    made = create_trial(
        state=state, value=value, params={"x": 0.5}, distributions=X, intermediate_values=dict(curve or {})
    )
    if violation is not None:
        made.system_attrs = {"constraints": [violation]}
    return made


IN_ORDER = [
    trial(value=-math.inf),
    trial(value=1.0),
    trial(value=1e308),
    trial(value=math.inf),
    trial(TrialState.PRUNED, curve={0: 1.0, 7: 3.0}),
    trial(TrialState.PRUNED, curve={7: 4.0}),
    trial(TrialState.PRUNED, curve={7: math.nan}),
    trial(TrialState.PRUNED, curve={2: 0.0}),
    trial(TrialState.PRUNED),
    trial(value=0.0, violation=0.5),
    trial(value=0.0, violation=2.0),
    trial(TrialState.FAIL, curve={9: 0.0}),
]


def test_complete_trials_come_first_then_pruned_then_infeasible_then_failed_ones():
    order = np.random.default_rng(0).permutation(len(IN_ORDER))
    outcomes = outcomes_of([IN_ORDER[index] for index in order])
    assert list(outcomes.ranks) == list(order)
    assert list(outcomes.losses[np.argsort(order)]) == [-math.inf, 1.0, 1e308] + [math.inf] * 9
    assert list(outcomes.is_failed) == [index == len(IN_ORDER) - 1 for index in order]


def test_better_is_higher_where_a_study_is_maximised():
    trials = [trial(value=1.0), trial(value=2.0)]
    trials += [trial(TrialState.PRUNED, curve={3: value}) for value in (1.0, 2.0, math.nan)]
    assert list(outcomes_of(trials, sign=-1.0).ranks) == [1, 0, 3, 2, 4]


@st.composite
def finished_trials(draw) -> list[FrozenTrial]:
    def one() -> FrozenTrial:
        state = draw(st.sampled_from([TrialState.COMPLETE, TrialState.PRUNED]))
        value = draw(st.floats(allow_nan=False)) if state == TrialState.COMPLETE else None
        curve = draw(st.dictionaries(st.integers(0, 4), st.floats(), max_size=3))
        return trial(state, value, curve, draw(st.sampled_from([None, -1.0, 0.5, 2.0])))

    return [one() for _ in range(draw(st.integers(1, 8)))]


@settings(max_examples=100)
@given(trials=finished_trials(), direction=st.sampled_from(["minimize", "maximize"]), data=st.data())
def test_trials_are_ordered_as_optunas_tpe_orders_them(trials, direction, data):
    study = optuna.create_study(direction=direction)
    for number, one in enumerate(trials):
        one.number = number
    ranks = outcomes_of(trials, -1.0 if direction == "maximize" else 1.0).ranks
    below, above = _split_trials(study, trials, data.draw(st.integers(0, len(trials))))
    assert max((ranks[t.number] for t in below), default=-1) <= min((ranks[t.number] for t in above), default=99)


@pytest.mark.parametrize("trials", [[trial(TrialState.FAIL)] * 3, [trial(value=math.inf)] * 2])
def test_trials_that_are_equally_worthless_are_all_bad(trials):
    assert outcomes_of(trials).is_all_bad
    assert not outcomes_of([*trials, trial(value=1.0)]).is_all_bad


def test_no_trials_are_not_bad():
    assert not outcomes_of([]).is_all_bad


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_pruned_and_failed_trials_of_a_past_study_are_ranked_as_their_own_study(direction):
    study = optuna.create_study(direction=direction)
    sign = -1.0 if direction == "maximize" else 1.0
    study.add_trials(
        [trial(TrialState.FAIL), trial(value=1.0), trial(TrialState.PRUNED, curve={1: 0.0})]
        + [trial(TrialState.PRUNED, curve={5: sign * value}) for value in (2.0, 1.0)]
    )
    archive = StudyArchive()
    archive.add(study)
    found = behind_complete(archive.sources[0])
    assert list(found.losses) == [3, 2, 1, 0]
    assert [t.number for t in found.trials] == [0, 2, 3, 4]


def test_trials_without_parameters_are_nothing_to_learn_from():
    source = SourceStudy("old", {}, ("minimize",), X, (SourceTrial(0, TrialState.FAIL, {}, None),))
    assert behind_complete(source).trials == ()
