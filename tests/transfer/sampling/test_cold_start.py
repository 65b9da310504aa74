"""Each cold start is said once for each study, with its cause and the way to silence it."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import optuna
import pytest

from autometa import MetaSampler, StudyArchive, warm_start
from tests.helpers.past_studies import archive_of

optuna.logging.set_verbosity(optuna.logging.ERROR)


def line(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", 0, 1) + trial.suggest_int("k", 1, 10)


def cold_starts(sampler: MetaSampler, objective, n_trials: int = 4, **options) -> list[str]:
    """Return the warnings of a study."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        study = optuna.create_study(sampler=sampler, **options)
        study.optimize(objective, n_trials=n_trials)
    return [str(w.message) for w in found if str(w.message).startswith("Cold start")]


@pytest.fixture(scope="module")
def lines() -> StudyArchive:
    return archive_of(line, n_studies=2, n_trials=12)


def test_a_past_that_helps_is_no_cold_start(lines):
    assert cold_starts(MetaSampler(lines, seed=0), line) == []


def test_empty_archive_is_said_once_for_each_study():
    sampler = MetaSampler(StudyArchive(), seed=0)
    for _ in range(2):
        (text,) = cold_starts(sampler, line)
        assert "the archive is empty" in text and "filterwarnings('ignore', message='Cold start')" in text


def test_path_that_was_just_made_is_said(tmp_path: Path):
    path = tmp_path / "studeis.db"
    (text,) = cold_starts(MetaSampler(StudyArchive(path), seed=0), line)
    assert str(path) in text and "did not exist" in text
    (text,) = cold_starts(MetaSampler(StudyArchive(path), seed=0), line)
    assert "did not exist" not in text


def test_no_shared_parameter_is_said_with_the_names_of_both(lines):
    (text,) = cold_starts(MetaSampler(lines, seed=0), lambda trial: trial.suggest_float("width", 0, 1))
    assert "shares no parameter" in text and "'width'" in text and "'k', 'x'" in text


def test_nothing_inside_the_new_ranges_is_said(lines):
    (text,) = cold_starts(MetaSampler(lines, seed=0), lambda trial: trial.suggest_float("x", 50, 60))
    assert "inside the ranges and choices of 'x'" in text


def test_several_objectives_are_said(lines):
    sampler = MetaSampler(lines, seed=0)
    (text,) = cold_starts(sampler, lambda trial: (line(trial), 0.0), directions=["minimize", "minimize"])
    assert "2 objectives" in text and "TPESampler takes over" in text


def test_studies_without_a_result_are_said():
    archive = StudyArchive()
    archive.add(optuna.create_study())
    (text,) = cold_starts(MetaSampler(archive, seed=0), line)
    assert "none of the 1 past studies" in text


def test_report_repeats_it(lines):
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("width", 0, 1), n_trials=2)
    with pytest.warns(UserWarning, match="Cold start of .*shares no parameter"):
        table = lines.report(study)
    assert "shares no parameter" in table.attrs["cold_start"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lines.report(optuna.create_study()).attrs["cold_start"] == ""


def test_names_that_match_nothing_and_reversed_names_are_said(lines):
    with pytest.warns(UserWarning, match=r"names renames \['rate'\]"):
        MetaSampler(lines, names={"rate": "lr"})
    with pytest.warns(UserWarning, match=r"seems to be reversed: names=\{'x': 'lr'\}"):
        MetaSampler(lines, names={"lr": "x"})
    with pytest.warns(UserWarning, match=r"choices renames \['adam'\] of 'opt'"):
        MetaSampler(lines, choices={"opt": {"adam": "ADAM"}})


def test_it_points_to_the_line_of_the_user():
    with pytest.warns(UserWarning, match="Cold start") as found:
        warm_start(optuna.create_study(), StudyArchive())
    assert found[0].filename == __file__


def test_filter_silences_it_and_a_pickled_sampler_still_says_it():
    sampler = pickle.loads(pickle.dumps(MetaSampler(StudyArchive(), seed=0)))
    assert len(cold_starts(sampler, line)) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Cold start")
        optuna.create_study(sampler=MetaSampler(StudyArchive(), seed=0)).optimize(line, n_trials=3)
