from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from autometa.transfer.archive.sources import SourceStudy, SourceTrial
from autometa.transfer.space.alignment import align, align_all, value_in
from autometa.transfer.space.encoding import Encoding, learnt_conditions

optuna.logging.set_verbosity(optuna.logging.ERROR)


def source(distribution, values, direction="minimize", feasible=None) -> SourceStudy:
    trials = tuple(
        SourceTrial(
            n, TrialState.COMPLETE, {"p": value}, (float(n),), feasible=True if feasible is None else feasible[n]
        )
        for n, value in enumerate(values)
    )
    return SourceStudy("old", {}, (direction,), {"p": distribution}, trials)


CASES = {
    # id: past distribution, past values, new distribution, values in the new space (None: left out), change
    "same": (FloatDistribution(0, 1), [0.0, 0.25], FloatDistribution(0, 1), [0.0, 0.25], "same"),
    "narrower": (FloatDistribution(0, 9), [0.5, 9.0], FloatDistribution(0, 1), [0.5, None], "range changed"),
    "wider": (FloatDistribution(0, 1), [0.5], FloatDistribution(0, 10), [0.5], "range changed"),
    "log": (
        FloatDistribution(0, 1), [0.0, 0.1],
        FloatDistribution(0.01, 1, log=True), [None, 0.1], "range changed, log changed",
    ),
    "to integer": (FloatDistribution(0, 5), [2.4], IntDistribution(0, 5), [2], "type changed"),
    "to step": (IntDistribution(0, 6), [3], IntDistribution(0, 6, step=2), [4], "step changed"),
    "choices": (
        CategoricalDistribution(["a", "b", 1]), ["a", "b", 1],
        CategoricalDistribution(["b", "c", "1"]), [None, "b", "1"], "choices changed",
    ),
    "number to choices": (
        FloatDistribution(0, 1), [0.2, 0.9],
        CategoricalDistribution([0.1, 1.0]), [0.1, 1.0], "type changed",
    ),
    "choices to number": (CategoricalDistribution([1, 4]), [4, 1], IntDistribution(1, 8), [4, 1], "type changed"),
}  # fmt: skip


@pytest.mark.parametrize("space", [{"p": FloatDistribution(0, 1)}, {"p": CategoricalDistribution([0.1, 1.0, "b"])}])
def test_many_studies_are_put_into_a_space_as_each_of_them_alone(space):
    sources = [source(before, values) for before, values, *_ in CASES.values()]
    sources += [source(FloatDistribution(0, 1), []), SourceStudy("none", {}, ("minimize",), {}, sources[0].trials)]
    space = {**space, "new": FloatDistribution(0, 1)}
    for study, alone in zip(align_all(sources, space), [align(study, space) for study in sources], strict=True):
        assert (study.name, study.notes, study.reason) == (alone.name, alone.notes, alone.reason)
        for name in ("points", "losses", "known"):
            np.testing.assert_array_equal(getattr(study, name), getattr(alone, name))


def test_values_of_a_column_keep_their_types_and_absent_ones_are_none_of_them():
    study = source(CategoricalDistribution([1, True, "1", 1.0]), [1, True, "1", 1, 1.0])
    column = study.column("p")
    found = [column.values[row] for row in column.codes]
    assert [(type(value), value) for value in found] == [(type(t.params["p"]), t.params["p"]) for t in study.trials]
    assert len(column.values) == 4
    assert (study.column("q").codes == -1).all() and np.isnan(study.numbers("q")).all()


@pytest.mark.parametrize(("before", "values", "after", "expected", "change"), CASES.values(), ids=CASES)
def test_values_are_kept_mapped_or_left_out(before, values, after, expected, change):
    aligned = align(source(before, values), {"p": after})
    encoding = Encoding({"p": after}, {})
    found = [encoding.configuration(point)["p"] for point in encoding.on_grid(aligned.points)]
    kept = [(place, value) for place, value in enumerate(expected) if value is not None]
    assert (
        found == pytest.approx([v for _, v in kept])
        if not isinstance(kept[0][1], str)
        else found == [v for _, v in kept]
    )
    assert list(aligned.losses) == [float(place) for place, _ in kept]
    (note,) = aligned.notes
    assert (note.change, note.n_dropped) == (change, len(expected) - len(kept))


def test_renamed_added_and_dropped_parameters_are_noted():
    aligned = align(
        source(FloatDistribution(0, 1), [0.5]), {"q": FloatDistribution(0, 1), "new": IntDistribution(0, 3)}, {"p": "q"}
    )
    assert [(n.past, n.new, n.change) for n in aligned.notes] == [("p", "q", "renamed"), ("", "new", "new")]
    assert list(aligned.known) == [True, False]
    (note, other) = align(source(FloatDistribution(0, 1), [0.5]), {"q": FloatDistribution(0, 1)}).notes
    assert other.change == "not in the new space, ignored" and note.change == "new"


def test_better_is_lower_whatever_the_direction():
    assert list(align(source(FloatDistribution(0, 1), [0, 1], "maximize"), {"p": FloatDistribution(0, 1)}).losses) == [
        0,
        -1,
    ]


def test_broken_constraints_are_the_worst():
    aligned = align(source(FloatDistribution(0, 1), [0, 1], feasible=[False, True]), {"p": FloatDistribution(0, 1)})
    assert list(aligned.losses) == [math.inf, 1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CategoricalDistribution(["a", "b"]), FloatDistribution(0, 1)),
        (FloatDistribution(0, 1), CategoricalDistribution(["a", "b"])),
    ],
)
def test_types_that_have_nothing_in_common_are_ignored(before, after):
    aligned = align(source(before, ["a"] if hasattr(before, "choices") else [0.5]), {"p": after})
    assert aligned.reason == "no parameter in common"
    assert aligned.notes[0].change == "of another type, ignored"


def test_value_in_clips_and_finds_choices():
    assert value_in(FloatDistribution(0, 1), 7) == 1.0
    assert value_in(IntDistribution(0, 10, step=5), 6.9) == 5
    assert value_in(CategoricalDistribution([True, 1.5]), "1.5") == 1.5
    assert value_in(CategoricalDistribution(["a"]), "b") is None


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_lists_and_tuples_are_the_same_choice():
    before, after = CategoricalDistribution([[1, [2]], [3]]), CategoricalDistribution([(3,), (1, (2,))])
    aligned = align(source(before, [[1, [2]], [3]]), {"p": after})
    assert aligned.points[:, 0].tolist() == [1.0, 0.0]
    assert value_in(after, [1, [2]]) == (1, (2,))


SPACE = {
    "x": FloatDistribution(1e-3, 10, log=True),
    "s": FloatDistribution(-1, 0.8, step=0.3),
    "n": IntDistribution(1, 100, log=True),
    "k": IntDistribution(0, 9, step=3),
    "c": CategoricalDistribution(["a", None, 2]),
}


def test_points_and_configurations_are_inverse(seed=0):
    encoding = Encoding(SPACE, {})
    points = encoding.uniform(np.random.default_rng(seed).random((200, len(SPACE))))
    configurations = [encoding.configuration(point) for point in points]
    for configuration in configurations:
        for name, value in configuration.items():
            assert SPACE[name]._contains(SPACE[name].to_internal_repr(value))
    assert np.allclose(encoding.points(configurations), points)
    assert np.allclose(encoding.on_grid(points), points)


def test_uniform_points_take_every_step_equally_often():
    encoding = Encoding({"k": IntDistribution(1, 4), "c": CategoricalDistribution("ab")}, {})
    points = encoding.uniform(np.random.default_rng(0).random((4000, 2)))
    values = [encoding.configuration(point)["k"] for point in points]
    assert [values.count(k) for k in (1, 2, 3, 4)] == pytest.approx([1000] * 4, rel=0.1)
    assert points[:, 1].mean() == pytest.approx(0.5, abs=0.05)


def test_conditions_are_read_from_configurations():
    space = {
        "kind": CategoricalDistribution(["svm", "mlp"]),
        "C": FloatDistribution(0, 1),
        "layers": IntDistribution(1, 3),
        "width_2": IntDistribution(1, 9),
    }
    configurations = [
        {"kind": "svm", "C": 0.5},
        {"kind": "svm", "C": 0.1},
        {"kind": "mlp", "layers": 1},
        {"kind": "mlp", "layers": 2, "width_2": 3},
        {"kind": "mlp", "layers": 3, "width_2": 4},
    ]
    points = Encoding(space, {}).points(configurations)
    conditions = learnt_conditions(space, points)
    encoding = Encoding(space, conditions)
    names = list(space)
    parents = {names[child]: names[condition.parent] for child, condition in conditions.items()}
    assert parents == {"C": "kind", "layers": "kind", "width_2": "layers"}
    complete = np.where(np.isnan(points), 0.5, points)
    restored = [encoding.configuration(point) for point in encoding.on_grid(complete)]
    assert [set(found) for found in restored] == [set(given) for given in configurations]
