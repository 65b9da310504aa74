"""Which policy is in charge when is learnt from replayed searches."""

from __future__ import annotations

from functools import partial

import pytest

from autometa.metalearning.replay.baselines import Oracle, RandomPolicy
from autometa.metalearning.training.stage_learning import USUAL, learn_stages
from autometa.policy.mixture import Stage
from autometa.policy.past_tasks import PastTasks
from tests.policy.made_up import made_up_metadataset


@pytest.fixture(scope="module")
def past() -> PastTasks:
    return PastTasks.from_metadataset(made_up_metadataset(n_tasks=24))


def test_a_policy_that_is_better_beyond_chance_gets_the_searches(past: PastTasks) -> None:
    makers = {"gaussian": partial(RandomPolicy, seed=0), "attention": lambda _: Oracle(past)}
    stages, regrets = learn_stages(past, makers, range(24), seed=0)
    assert stages == [{"policy": "attention", "from_trial": 0, "in_time": in_time} for in_time in (False, True)]
    assert all(regrets[limit]["attention"] < regrets[limit][USUAL] for limit in ("trials", "seconds"))


def test_without_a_sure_difference_the_usual_policy_stays(past: PastTasks) -> None:
    makers = {name: partial(RandomPolicy, seed=0) for name in ("gaussian", "attention")}
    stages, _ = learn_stages(past, makers, range(6), seed=0)
    assert [Stage(**stage) for stage in stages] == [Stage(USUAL, 0, in_time) for in_time in (False, True)]
