from __future__ import annotations

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from autometa import StudyArchive
from autometa.exceptions import ArchiveError
from autometa.transfer.archive.accepted import is_past, past_studies

optuna.logging.set_verbosity(optuna.logging.ERROR)


def study_of(name: str, storage=None, n_trials: int = 3) -> optuna.Study:
    study = optuna.create_study(study_name=name, storage=storage, sampler=RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=n_trials)
    return study


def test_studies_storages_and_files_are_read(tmp_path):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    journal = tmp_path / "j.log"
    study_of("in database", url)
    study_of("in journal", JournalStorage(JournalFileBackend(str(journal))))
    archive = StudyArchive(tmp_path / "a.db")
    archive.add(study_of("in archive"))
    for source, names in [
        (study_of("alone"), ["alone"]),
        (url, ["in database"]),
        (str(journal), ["in journal"]),
        (tmp_path / "a.db", ["in archive"]),
        (archive, ["in archive"]),
        ([study_of("alone"), url, archive, tmp_path / "a.db"], ["alone", "in database", "in archive"]),
        ([], []),
    ]:
        past = past_studies(source)
        assert [found.name for found in past] == names
        assert all(len(found.trials) == 3 for found in past)
    assert past_studies(archive) is archive


def test_other_things_are_refused(tmp_path):
    with pytest.raises(TypeError, match="got dict"):
        past_studies({})
    with pytest.raises(ArchiveError, match="There is no file"):
        past_studies(tmp_path / "nowhere")
    assert not is_past([[1.0]]) and not is_past([]) and not is_past(None) and is_past("a.db")


@pytest.mark.parametrize("is_file", [False, True])
def test_archives_are_merged_renamed_tagged_and_read_like_lists(is_file, tmp_path):
    def archive(name: str) -> StudyArchive:
        return StudyArchive(tmp_path / name) if is_file else StudyArchive()

    first, second = archive("1.db"), archive("2.db")
    shared = study_of("shared")
    first.add(shared)
    shared.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    second.add(shared, tags={"model": "lgbm"})
    second.add(study_of("only there"), name="renamed", tags={"model": "svm"})
    first.merge(second)
    assert [source.name for source in first] == ["shared", "renamed"] and len(first) == 2
    assert len(first["shared"].trials) == 5 and first[1].tags == {"model": "svm"}
    assert "renamed" in first and "only there" not in first and first["renamed"] in first
    first.rename("renamed", "svm")
    first.tag("svm", {"model": "svc"})
    with pytest.raises(ValueError, match="has a study 'shared' already"):
        first.rename("svm", "shared")
    with pytest.raises(KeyError, match="no study 'renamed'"):
        first.tag("renamed", {})
    again = StudyArchive(tmp_path / "1.db") if is_file else first
    assert again["svm"].tags == {"model": "svc"} and [source.name for source in again] == ["shared", "svm"]
    # The same study, added once more, is still known.
    before = len(first)
    first.merge([second, shared])
    assert len(first) == before


def test_infeasible_trials_stay_infeasible_in_another_archive():
    study = optuna.create_study()
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    trial.set_constraint("c", 1.0)
    study.tell(trial, 0.0)
    archive, other = StudyArchive(), StudyArchive()
    archive.add(study)
    other.merge(archive)
    assert not archive[0].trials[0].feasible and not other[0].trials[0].feasible
    assert other[0].trials == archive[0].trials
