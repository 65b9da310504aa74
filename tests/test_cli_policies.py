"""`autometa train` and `autometa assess` do what their functions do, and say in one line what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autometa.cli import main
from autometa.metadataset.dataset import MetaDataset
from autometa.metalearning.replay.assessment import named_policies
from autometa.policy.past_tasks import PastTasks
from autometa.policy.weights_file import read_weights
from tests.helpers.past_tasks import MADE_UP_STRATEGIES, made_up_metadataset

FEW = ["--budgets", "3", "--counts", "1", "2", "--folds", "2"]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return made_up_metadataset(n_tasks=6).to_npz(tmp_path / "records.npz")


def test_train_writes_weights_and_shows_their_card(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "weights"
    assert main(["train", "--records", str(records), "--out", str(out), "--replayed", "0"]) == 0
    weights = read_weights(out, MADE_UP_STRATEGIES)
    assert len(weights.past.tasks) == 6
    text = capsys.readouterr().out
    assert "n_tasks = 6" in text and f"Written to {out}" in text


def test_assess_shows_a_comparison_and_writes_every_regret(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "regrets.csv"
    options = ["--policies", "greedy", "random", "--baseline", "average_rank", "--out", str(out), *FEW]
    assert main(["assess", "--records", str(records), *options]) == 0
    text = capsys.readouterr().out
    assert "Regret on 6 tasks of families left out; the difference is to average_rank" in text
    assert "nearest" in text
    table = pd.read_csv(out)
    assert set(table["policy"]) == {"greedy", "random", "average_rank"}
    assert len(table) == 6 * 3 * 3
    assert np.isfinite(table["regret"]).all()


def test_assess_searches_on_a_sample_of_the_tasks_if_told_so(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "regrets.csv"
    options = ["--policies", "greedy", "--sample", "2", "--out", str(out), *FEW]
    assert main(["assess", "--records", str(records), *options]) == 0
    assert "Regret on 2 tasks" in capsys.readouterr().out
    assert pd.read_csv(out)["task"].nunique() == 2


def test_assess_compares_everything_with_the_static_portfolio_unless_told_otherwise(
    records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["assess", "--records", str(records), "--budgets", "--counts", "1", "--folds", "2"]) == 0
    text = capsys.readouterr().out
    assert "the difference is to best_static" in text
    means = text[text.index("mean\n") : text.index("95% interval over families")]
    past = PastTasks.from_metadataset(MetaDataset.load(records))
    assert [line.split()[0] for line in means.splitlines()[4:-1]] == list(named_policies(past))
    assert "greedy_ensemble_per_second" in text and "0.0 [0.0, 0.0]" in text


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("assess", ["--policies", "gausian"], "There is no policy 'gausian' to assess. Did you mean 'gaussian'"),
        ("assess", ["--baseline", "xyz"], "There are: random, average_rank"),
        ("assess", ["--sample", "0"], "--sample must be at least 1, got 0"),
        ("assess", ["--folds", "1"], "--folds must be at least 2, got 1"),
        ("assess", ["--recurrent", "-1"], "--recurrent must be a number of seconds, 0 or more, got -1"),
        ("train", ["--recurrent", "nan"], "--recurrent must be a number of seconds, 0 or more, got nan"),
        ("assess", ["--budgets", "-1"], "must be positive"),
        ("assess", ["--out", "no_such_folder/a.csv"], "no folder no_such_folder"),
        ("assess", ["--moments", "no_such.npz"], "no_such.npz cannot be read"),
        ("train", ["--replayed", "-1"], "--replayed must not be negative, got -1"),
        ("train", ["--moments", "no_such.npz"], "no_such.npz cannot be read"),
        ("train", ["--records", "no_such_records.npz"], "no_such_records.npz"),
    ],
)
def test_bad_input_is_one_line(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, options: list[str], said: str
) -> None:
    given = ["--out", str(tmp_path / "weights")] if command == "train" else ["--counts", "1", "--policies", "random"]
    assert main([command, "--records", str(records), *given, *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("autometa: error: ") and err.count("\n") == 1
    assert said in err


def test_weights_are_not_written_over_a_file(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--records", str(records), "--out", str(records)]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err
