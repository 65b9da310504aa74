"""Measures the cost of adding studies to an archive: ``python -m benchmarks.archive_costs [--studies 300]``.

Past studies of 100 trials are added one after the other (``fill_s``). Then a study is added to the full archive after
each of its new trials, as a callback does (``cpu_ms`` and ``wall_ms``, medians). The study has 100 or 1000 trials and
is in memory or in a journal; the archive is in memory or in a file. ``disk_ms`` is the time until one page is safely
written to the disk; an addition to a file waits for three such writes, which take no CPU time. Needs no data.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial

from autometa.transfer.study_archive import StudyArchive
from benchmarks.results import append_row, read_results
from benchmarks.transfer_overhead import past

N_ADDED = 50
FIELDS = ("archive", "n_studies", "fill_s", "study", "n_trials", "cpu_ms", "wall_ms", "disk_ms")


def disk_ms(folder: Path, n: int = 20) -> float:
    """Return the median milliseconds until a page is on the disk."""
    seconds = []
    with (folder / "page").open("wb") as file:
        for _ in range(n):
            file.seek(0)
            file.write(os.urandom(4096))
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds))


def added_ms(archive: StudyArchive, study: optuna.Study) -> dict[str, float]:
    """Return the milliseconds of adding a study after each of its next trials."""
    archive.add(study)
    trial = study.trials[0]
    spent = []
    for _ in range(N_ADDED):
        study.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=trial.value))
        wall, cpu = time.perf_counter(), time.process_time()
        archive.add(study)
        spent.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu_ms, wall_ms = 1e3 * np.median(spent, axis=0)
    return {"cpu_ms": cpu_ms, "wall_ms": wall_ms}


def measure(studies: Sequence[optuna.Study], path: Path | None, folder: Path) -> list[dict[str, Any]]:
    """Return a row for each study that is added trial by trial to an archive of these studies."""
    archive = StudyArchive(path)
    start = time.perf_counter()
    for study in studies:
        archive.add(study)
    about = {"archive": "memory" if path is None else "file", "n_studies": len(studies)}
    filled = {**about, "fill_s": time.perf_counter() - start}
    rows = []
    for n_trials in (100, 1000):
        for kind in ("memory", "journal"):
            name = f"new-{about['archive']}-{n_trials}-{kind}"
            storage = JournalStorage(JournalFileBackend(str(folder / name))) if kind == "journal" else None
            study = optuna.create_study(study_name=name, storage=storage)
            study.add_trials([trial for other in studies for trial in other.trials][:n_trials])
            row = {**filled, "study": kind, "n_trials": n_trials, **added_ms(archive, study)}
            rows.append({**row, "disk_ms": disk_ms(folder)})
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/archive_costs.csv"))
    arguments = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    studies = past(arguments.studies)
    with TemporaryDirectory() as name:
        for path in (None, Path(name) / "archive.db"):
            for row in measure(studies, path, Path(name)):
                append_row(arguments.out, FIELDS, row)
    print(read_results(arguments.out).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
