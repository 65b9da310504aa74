"""The table of costs of suggestions, on few past studies."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import transfer_overhead


def test_every_past_study_has_the_space_of_the_new_one() -> None:
    studies = transfer_overhead.past(3)
    assert [study.study_name for study in studies] == ["past-0", "past-1", "past-2"]
    for study in studies:
        assert len(study.trials) == transfer_overhead.N_PAST_TRIALS
        assert all(trial.distributions == transfer_overhead.SPACE.distributions for trial in study.trials)


def test_the_best_configurations_of_past_studies_are_alike() -> None:
    studies = transfer_overhead.past(5)
    for study in studies:
        best = study.best_params
        losses = [transfer_overhead.loss(transfer_overhead.SPACE, trial.params, 0) for trial in study.trials]
        assert transfer_overhead.loss(transfer_overhead.SPACE, best, 0) < sorted(losses)[len(losses) // 2]


@pytest.mark.slow
def test_there_is_a_row_for_each_size_of_the_past_and_space(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "overhead.csv"
    transfer_overhead.main(["--studies", "1", "2", "--out", str(out)])
    rows = pd.read_csv(out)
    assert list(rows.columns) == list(transfer_overhead.FIELDS)
    assert rows["n_studies"].tolist() == [1, 1, 2, 2]
    assert rows["space"].tolist() == [*transfer_overhead.SPACES] * 2
    assert (rows["median_s"] > 0).all() and (rows["median_s"] <= rows["slowest_s"]).all()
    assert "archive_s" in capsys.readouterr().out
