from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler

from autometa.transfer.sampling.past_studies import Past
from autometa.transfer.sampling.population import fitted_population
from autometa.transfer.sampling.respacing import moved_population
from autometa.transfer.space.alignment import align_all
from autometa.transfer.space.encoding import Encoding
from autometa.transfer.study_archive import StudyArchive

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE = {
    "kind": CategoricalDistribution(("plain", "gated", "deep")),
    "rate": FloatDistribution(1e-4, 1.0, log=True),
    "units": IntDistribution(1, 100),
}
WIDER = {
    "kind": CategoricalDistribution(("deep", "new", "plain", "gated")),
    "rate": FloatDistribution(1e-5, 10.0, log=True),
    "units": IntDistribution(1, 200),
}


def objective(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("kind", SPACE["kind"].choices)
    rate = np.log10(trial.suggest_float("rate", 1e-4, 1.0, log=True))
    return (rate + 2) ** 2 + trial.suggest_int("units", 1, 100) / 50 + (kind == "plain")


@pytest.fixture(scope="module")
def archive() -> StudyArchive:
    archive = StudyArchive()
    for seed in range(4):
        study = optuna.create_study(study_name=f"old-{seed}", sampler=RandomSampler(seed=seed))
        study.optimize(objective, n_trials=30)
        archive.add(study)
    return archive


def learnt(archive: StudyArchive):
    return fitted_population(align_all(archive.sources, SPACE), Encoding(SPACE, {}))


def moved(archive: StudyArchive, space: dict):
    return moved_population(learnt(archive), Encoding(space, {}), align_all(archive.sources, space))


def test_functions_stay_what_they_are_for_every_configuration(archive):
    before, after = learnt(archive), moved(archive, WIDER)
    configurations = [trial.params for source in archive.sources for trial in source.trials]
    old, new = (
        population.features(population.encoding.inputs(population.encoding.points(configurations)))
        for population in (before, after)
    )
    assert len(after.centres) == len(before.centres)
    np.testing.assert_allclose(new @ after.mean, old @ before.mean, atol=1e-3)
    np.testing.assert_allclose(
        new @ after.root @ after.root.T @ new.T, old @ before.root @ before.root.T @ old.T, atol=1e-2
    )
    np.testing.assert_allclose(new @ after.weights.T, old @ before.weights.T, atol=1e-3)


def test_the_kernel_stays_the_same_function_of_values(archive):
    before, after = learnt(archive), moved(archive, WIDER)
    configurations = [trial.params for trial in archive.sources[0].trials]
    old, new = (p.encoding.inputs(p.encoding.points(configurations)) for p in (before, after))
    np.testing.assert_allclose(after.kernel(new, new), before.kernel(old, old), rtol=1e-6)


def test_centres_outside_the_new_space_are_left_out(archive):
    space = {**SPACE, "kind": CategoricalDistribution(("plain", "gated"))}
    after = moved(archive, space)
    assert len(after.centres) < len(learnt(archive).centres)
    assert after.tops[:, 0].max() <= 1
    configurations = [t.params for s in archive.sources for t in s.trials if t.params["kind"] != "deep"]
    inputs = after.encoding.inputs(after.encoding.points(configurations))
    order = np.argsort(after.features(inputs) @ after.mean)
    assert {configurations[place]["kind"] for place in order[:5]} == {"gated"}


@pytest.mark.parametrize(
    "change",
    [
        {"rate": FloatDistribution(1e-4, 1.0)},
        {"units": CategoricalDistribution((1, 100))},
        {"more": FloatDistribution(0, 1)},
        {"rate": FloatDistribution(0.5, 0.6, log=True)},
        {"units": IntDistribution(5, 5)},
    ],
)
def test_other_changes_must_be_learnt_anew(archive, change):
    assert moved(archive, {**SPACE, **change}) is None


def test_what_was_moved_does_not_depend_on_the_spaces_asked_for_between(archive):
    direct, by_steps = Past(), Past()
    for past in (direct, by_steps):
        past.learn(archive.sources, {}, {}, [])
    by_steps.learn(archive.sources, {**SPACE, "kind": CategoricalDistribution(("gated", "deep"))}, {}, [])
    found = [past.learn(archive.sources, WIDER, {}, []) for past in (direct, by_steps)]
    assert all(one.is_moved for one in found)
    np.testing.assert_array_equal(found[0].population.mean, found[1].population.mean)


def test_the_same_space_is_neither_moved_nor_learnt_again(archive):
    past = Past()
    assert past.learn(archive.sources, SPACE, {}, []) is past.learn(archive.sources, dict(SPACE), {}, [])
    assert not past.learn(archive.sources, SPACE, {}, []).is_moved
