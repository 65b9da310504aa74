"""What a fit logs and what it silences goes by its thread, and loggers are as before."""

from __future__ import annotations

import io
import logging
import threading

import optuna
import pytest

from autometa._support.log_output import logged_by, quiet_optuna

LOGGER = logging.getLogger("autometa.somewhere")
STORAGE = logging.getLogger("optuna.storages._in_memory")


@pytest.fixture(autouse=True)
def loggers_are_as_before():
    def state():
        loggers = [logging.getLogger(name) for name in ("autometa", "optuna", STORAGE.name)]
        return [(logger.level, list(logger.handlers), list(logger.filters)) for logger in loggers]

    before, verbosity = state(), optuna.logging.get_verbosity()
    yield
    assert state() == before
    assert optuna.logging.get_verbosity() == verbosity


def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


@pytest.fixture
def announcements():
    logger, heard = logging.getLogger("optuna"), []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield heard
    logger.setLevel(level)
    logger.removeHandler(handler)


def test_optuna_is_quiet_in_the_calling_thread_alone(announcements):
    with quiet_optuna():
        optuna.create_study()
        STORAGE.warning("a warning")
        in_a_thread(lambda: optuna.create_study(study_name="of another thread"))
    optuna.create_study(study_name="afterwards")
    assert [text.split(": ")[-1] for text in announcements] == ["a warning", "of another thread", "afterwards"]


def test_fits_in_two_threads_are_logged_once_each_at_their_own_level():
    written = io.StringIO()

    def handler():
        made = logging.StreamHandler(written)
        made.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        return made

    first_inside, second_done = threading.Event(), threading.Event()

    def first():
        with logged_by(handler(), logging.INFO):
            first_inside.set()
            second_done.wait()
            LOGGER.info("first")
            LOGGER.debug("first in detail")

    thread = threading.Thread(target=first)
    thread.start()
    first_inside.wait()
    with logged_by(handler(), logging.DEBUG):
        LOGGER.debug("second in detail")
    LOGGER.info("nobody asked for this")
    second_done.set()
    thread.join()
    assert written.getvalue() == "DEBUG autometa.somewhere: second in detail\nINFO autometa.somewhere: first\n"


def test_level_of_the_user_is_kept():
    package = logging.getLogger("autometa")
    with logged_by(logging.NullHandler(), logging.INFO):
        package.setLevel(logging.ERROR)
    assert package.level == logging.ERROR
    package.setLevel(logging.NOTSET)
