"""The speed of a machine: a positive number that says the same twice, and leaves no trace."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from autometa.metadataset import machine_speed as machine
from autometa.metadataset.machine_speed import machine_speed


@pytest.fixture(autouse=True)
def _measured_anew() -> Iterator[None]:
    machine._measured_speed.cache_clear()
    yield
    machine._measured_speed.cache_clear()


def measured_anew() -> float:
    machine._measured_speed.cache_clear()
    return machine_speed()


@pytest.mark.slow
def test_speed_is_about_the_same_when_it_is_measured_again() -> None:
    speeds = [measured_anew() for _ in range(3)]
    assert all(math.isfinite(speed) and speed > 0 for speed in speeds)
    # Other work on the machine can make a measurement slower, though not by much: it is the best of three.
    assert max(speeds) / min(speeds) < 3


def test_a_machine_that_takes_half_as_long_is_twice_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    def speed(factor: float) -> float:
        seconds = iter([factor * reference for reference in machine._REFERENCE_CPU_S.values()])
        monkeypatch.setattr(machine, "_cpu_s", lambda fit: next(seconds))
        return measured_anew()

    assert speed(1.0) == pytest.approx(1.0)
    assert speed(0.5) == pytest.approx(2.0)


def test_it_is_measured_once_also_by_threads_that_ask_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    n_fits: list[object] = []

    def cpu_s(fit: object) -> float:
        n_fits.append(fit)
        time.sleep(0.02)  # for the other threads to come in between
        return 0.01

    monkeypatch.setattr(machine, "_cpu_s", cpu_s)
    speeds: list[float] = []
    threads = [threading.Thread(target=lambda: speeds.append(machine_speed())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(n_fits) == len(machine._REFERENCE_CPU_S)
    assert len(set(speeds)) == 1 and len(speeds) == 4


def test_seconds_of_other_threads_do_not_count() -> None:
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sum(range(1000))

    def fit() -> None:
        for _ in range(4_000_000):  # longer than a turn of the interpreter
            pass

    alone = machine._cpu_s(fit)
    others = [threading.Thread(target=busy) for _ in range(4)]
    for thread in others:
        thread.start()
    try:
        among_others = machine._cpu_s(fit)
    finally:
        stop.set()
        for thread in others:
            thread.join()
    # The clock of the process would show about five times as much.
    assert among_others < 2 * alone


@pytest.mark.parametrize("n_threads", [1, 2])
def test_limits_of_threads_are_as_before(n_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def cpu_s(fit: object) -> float:
        seen.extend(library["num_threads"] for library in threadpool_info())
        return 0.01

    monkeypatch.setattr(machine, "_cpu_s", cpu_s)
    with threadpool_limits(limits=n_threads):
        before = threadpool_info()
        machine_speed()
        assert threadpool_info() == before
    assert set(seen) == {1}
