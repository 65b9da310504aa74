"""What an installation brings."""

from __future__ import annotations

from benchmarks.install_weight import required


def test_what_is_required_is_weighed_and_extras_are_not() -> None:
    found = required()
    assert {"numpy", "pandas", "optuna", "scikit-learn", "lightgbm", "torch"} <= set(found)
    assert not {"pytest", "xgboost-cpu", "ruff", "dask"} & set(found)
    assert found["numpy"] > 10
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_a_distribution_that_is_not_there_weighs_nothing() -> None:
    assert required("no-such-distribution") == {}
