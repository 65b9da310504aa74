"""Limits of numeric libraries hold in every order in which blocks of threads overlap, and leave nothing behind."""

from __future__ import annotations

import random
import threading
from contextlib import ExitStack

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  # it brings a BLAS library of its own
import sklearn.utils._openmp_helpers  # noqa: F401  # and this one OpenMP
from threadpoolctl import threadpool_info

from autometa._support.numeric_threads import numeric_threads, one_blas_thread, openmp_threads


def threads(api: str) -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == api}


@pytest.fixture(autouse=True)
def two_threads():
    """Start with two threads, also on a single core or under a limit from outside."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2):
        assert threads("blas") == {2}
        yield
        assert threads("blas") == {2}


def in_a_thread(function, *arguments):
    found = []
    thread = threading.Thread(target=lambda: found.append(function(*arguments)))
    thread.start()
    thread.join()
    return found[0]


def test_blas_has_one_thread_inside_and_as_many_as_before_outside():
    with one_blas_thread():
        assert threads("blas") == {1}
        with one_blas_thread():
            assert threads("blas") == {1}
        assert threads("blas") == {1}
    assert threads("blas") == {2}


def test_blas_is_limited_in_every_thread_until_the_last_block_ends():
    rng = random.Random(0)
    for _ in range(20):
        entered, leave = [threading.Event() for _ in range(4)], [threading.Event() for _ in range(4)]

        def block(k, entered=entered, leave=leave):
            with one_blas_thread():
                entered[k].set()
                leave[k].wait()

        workers = [threading.Thread(target=block, args=(k,)) for k in range(4)]
        for k in rng.sample(range(4), 4):
            workers[k].start()
            entered[k].wait()
        for k in rng.sample(range(4), 4):
            assert threads("blas") == {1}
            leave[k].set()
            workers[k].join()
        assert threads("blas") == {2}


def test_blas_is_limited_again_after_an_error():
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            assert threads("blas") == {1}
            raise ZeroDivisionError
        assert threads("blas") == {2}


def test_limit_set_by_somebody_else_meanwhile_is_kept():
    from threadpoolctl import threadpool_limits

    with ExitStack() as other:
        other.enter_context(threadpool_limits(1, user_api="blas"))
        with one_blas_thread():
            other.close()
            assert threads("blas") == {2}
        assert threads("blas") == {2}


def test_openmp_is_limited_in_the_calling_thread_alone():
    before = in_a_thread(threads, "openmp")
    with openmp_threads(1):
        assert threads("openmp") == {1}
        assert in_a_thread(threads, "openmp") == before
        with openmp_threads(3):
            assert threads("openmp") == {3}
        assert threads("openmp") == {1}
    assert threads("openmp") == {2}


def test_both_are_limited_together():
    with numeric_threads(3):
        assert (threads("blas"), threads("openmp")) == ({1}, {3})
        assert np.allclose(np.ones((50, 50)) @ np.ones((50, 50)), 50)
    assert (threads("blas"), threads("openmp")) == ({2}, {2})
