"""Which table a study belongs to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from autometa.search.identity import digests, identify
from autometa.tables.table_task import Task
from tests.helpers.tables import clean_table, make_task


def columns(n_rows: int = 50, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "a": rng.normal(size=n_rows),
            "level": np.array(["u", "v", "w"])[rng.integers(0, 3, n_rows)],
            "text": [f"word {i % 7}" for i in range(n_rows)],
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 99, n_rows), unit="D"),
        }
    )


def task(n_rows: int = 50, seed: int = 0) -> Task:
    return make_task(columns(n_rows, seed), np.random.default_rng(seed).normal(size=n_rows))


def test_the_same_rows_have_the_same_identity() -> None:
    assert identify(task(), "rmse") == identify(task(), "rmse")


@pytest.mark.parametrize("n_rows", [50, 9000])
def test_other_rows_have_another_digest_and_the_same_task(n_rows: int) -> None:
    before = task(n_rows)
    X = columns(n_rows)
    X.loc[0, "a"] += 1
    others = [
        replace(before, table=clean_table(X)),
        replace(before, y=np.append(before.y[:-1], 9.0)),
        replace(before, sample_weight=np.linspace(1, 2, n_rows)),
        replace(before, groups=np.arange(n_rows) % 3),
        task(n_rows + 1),
        Task(before.table.take(np.arange(n_rows)[::-1]), before.y[::-1], "regression"),
    ]
    identities = [identify(other, "rmse") for other in (before, *others)]
    assert len({identity.rows for identity in identities}) == len(identities)
    assert all(identity.task == identities[0].task for identity in identities)


def test_columns_count_by_their_names_in_any_order() -> None:
    before = task()
    turned, renamed = (
        replace(before, table=clean_table(X)) for X in (columns().iloc[:, ::-1], columns().rename(columns={"a": "b"}))
    )
    assert identify(turned, "rmse").task == identify(before, "rmse").task
    assert identify(renamed, "rmse").task != identify(before, "rmse").task
    assert identify(before, "mae").task != identify(before, "rmse").task


def test_an_identity_holds_no_value_of_the_table() -> None:
    identity = identify(task(), "rmse")
    text = f"{identity.task}{identity.rows}"
    assert "word" not in text and "2020" not in text and len(identity.rows) == 16


def test_digests_of_parts_change_with_any_row_of_that_part_alone() -> None:
    before = digests(task(9000))
    assert digests(task(9000)) == before
    X, y = columns(9000), np.random.default_rng(0).normal(size=9000)
    X.loc[4321, "a"] += 1
    changed = digests(make_task(X, y))
    assert {name for name in before if before[name] != changed[name]} == {"X"}
    y[4321] += 1
    changed = digests(make_task(columns(9000), y))
    assert {name for name in before if before[name] != changed[name]} == {"y"}


def test_digests_tell_labels_apart_that_have_the_same_codes() -> None:
    plain = make_task(columns(), np.arange(50) % 2, 2)
    digested = [digests(replace(plain, classes=np.array(labels)))["y"] for labels in (["no", "yes"], ["a", "b"])]
    assert digested[0] != digested[1]
