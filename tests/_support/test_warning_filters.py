"""Warnings are ignored in one thread alone, and the filters are as before whatever libraries do in threads."""

from __future__ import annotations

import random
import threading
import warnings
from contextlib import contextmanager

import pytest
from sklearn.ensemble import RandomForestClassifier

from autometa._support.warning_filters import ignored_warnings, kept_warning_filters


@pytest.fixture(autouse=True)
def filters_of_the_process():
    """Compare the filters, within a copy that pytest takes back in any case."""
    filters, before = warnings.filters, list(warnings.filters)
    yield
    assert warnings.filters is filters
    assert warnings.filters == before


def warn(text, category=UserWarning):
    warnings.warn(text, category, stacklevel=2)


@contextmanager
def heard():
    """Yield a list that has the texts of the warnings that were heard, after the block."""
    texts = []
    # Filters that are set inside of `ignored_warnings`, as `pytest.warns` sets them, would come before its own.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts.extend(str(warning.message) for warning in caught)


def test_warning_is_ignored_inside_and_heard_outside():
    with heard() as texts:
        warn("one")
        with ignored_warnings():
            warn("two")
            with ignored_warnings(DeprecationWarning):
                warn("three")
            warn("four", DeprecationWarning)
        warn("five")
    assert texts == ["one", "five"]


def test_only_the_named_categories_and_their_subclasses_are_ignored():
    class Mine(RuntimeWarning):
        pass

    with heard() as texts, ignored_warnings(RuntimeWarning, ImportWarning):
        warn("mine", Mine)
        warn("of an import", ImportWarning)
        warn("another")
    assert texts == ["another"]


def test_warnings_of_other_threads_are_heard_meanwhile():
    inside, done = threading.Event(), threading.Event()

    def quiet():
        with ignored_warnings():
            warn("of the thread")
            inside.set()
            done.wait()

    thread = threading.Thread(target=quiet)
    with heard() as texts:
        thread.start()
        inside.wait()
        warn("of the user")
        done.set()
        thread.join()
    assert texts == ["of the user"]


def test_ignored_warning_that_is_an_error_elsewhere_is_still_ignored():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ignored_warnings():
            warn("ignored")
        with pytest.raises(UserWarning):
            warn("an error")


def overlapping(block, seed):
    """Run four blocks in threads that enter and leave in any order."""
    rng = random.Random(seed)
    entered, leave = [threading.Event() for _ in range(4)], [threading.Event() for _ in range(4)]

    def run(k):
        block(lambda: (entered[k].set(), leave[k].wait()))

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for k in rng.sample(range(4), 4):
        threads[k].start()
        entered[k].wait()
    for k in rng.sample(range(4), 4):
        leave[k].set()
        threads[k].join()


def test_filters_are_as_before_when_blocks_of_threads_overlap():
    def block(wait):
        with ignored_warnings():
            wait()

    for seed in range(20):
        overlapping(block, seed)


def test_what_libraries_leave_behind_in_threads_is_undone():
    def library(wait):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wait()

    def block(wait):
        with kept_warning_filters():
            library(wait)

    before = list(warnings.filters)
    for seed in range(20):
        overlapping(block, seed)
        assert warnings.filters == before


def test_filter_that_a_user_adds_during_one_block_is_kept():
    with warnings.catch_warnings():
        with ignored_warnings():
            warnings.simplefilter("error", ImportWarning)
        assert warnings.filters[0][:3] == ("error", None, ImportWarning)
        assert "IgnoredInThisThread" not in str(warnings.filters)


@pytest.mark.slow
def test_forests_in_threads_leave_the_filters_as_they_were():
    def fit():
        with ignored_warnings():
            X = [[k % 7, k % 5] for k in range(300)]
            RandomForestClassifier(20, n_jobs=2).fit(X, [k % 2 for k in range(300)]).predict(X)

    threads = [threading.Thread(target=fit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
