from __future__ import annotations

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import RandomSampler

from autometa import StudyArchive
from autometa.transfer.space.alignment import align
from autometa.transfer.space.choices import matched, translated


@pytest.mark.parametrize(
    ("value", "choices", "expected"),
    [
        ("adam", ["sgd", "ADAM"], "ADAM"),
        ("random_forest", ["SVM", "Random Forest"], "Random Forest"),
        (True, [0, 1], 1),
        ("false", [True, False], False),
        (1, [False, True], True),
        ("1", [1, 2], 1),
        ((1, 2), [[1, 2], [3]], [1, 2]),
        ("adam", ["Adam", "ADAM"], None),  # two of them could be meant
        ("adam", ["adam", "ADAM"], "adam"),
        ("-1", ["1"], None),
        ("adam", ["adamw"], None),
        (None, ["none"], "none"),
    ],
)
def test_choices_are_matched_by_value_then_text_then_folded_text(value, choices, expected):
    index = matched(CategoricalDistribution(choices), value)
    assert (None if index is None else choices[index]) == expected


def source_of(objective, n_trials: int = 20):
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    study.optimize(objective, n_trials=n_trials)
    archive = StudyArchive()
    archive.add(study)
    return archive.sources[0]


def test_one_moved_range_or_renamed_choice_does_not_discard_the_past():
    source = source_of(
        lambda trial: (
            trial.suggest_float("x", 0, 1) + trial.suggest_int("k", 1, 10) + len(trial.suggest_categorical("c", ["a"]))
        )
    )
    space = {
        "x": source.distributions["x"],
        "k": IntDistribution(50, 60),
        "c": CategoricalDistribution(["b", "d"]),
    }
    aligned = align(source, space)
    assert aligned.reason == "" and len(aligned.losses) == 20
    assert aligned.known.tolist() == [True, False, False]
    assert {note.past: note.change for note in aligned.notes}["k"] == "range changed, ignored"


def test_booleans_become_numbers():
    source = source_of(lambda trial: float(trial.suggest_categorical("flag", [True, False])))
    aligned = align(source, {"flag": IntDistribution(0, 1)})
    assert len(aligned.losses) == 20 and aligned.known.all()
    # Losses are the flag itself.
    assert ((aligned.points[:, 0] > 0.5) == (aligned.losses > 0.5)).all()


def test_choices_are_renamed_in_distributions_and_trials():
    source = source_of(lambda trial: float(trial.suggest_categorical("opt", ["adam", "sgd"]) == "sgd"))
    (renamed,) = translated((source,), {"o": {"adam": "lion"}}, {"opt": "o"})
    assert renamed.distributions["opt"] == CategoricalDistribution(["lion", "sgd"])
    assert {trial.params["opt"] for trial in renamed.trials} == {"lion", "sgd"}
    assert translated((source,), {"other": {"adam": "lion"}}, {}) == (source,)
    sources = (source,)
    assert translated(sources, {}, {}) is sources
