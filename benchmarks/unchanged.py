"""Did a change of the code change results? Records fits and suggestions to the last bit and compares them.

``python -m benchmarks.unchanged record --corpus FOLDER --surrogates FOLDER --out before.json``
``python -m benchmarks.unchanged compare before.json after.json``

`record` fits eight tables (numbers, categories, missing values, text, dates; two classes, more classes, regression)
with a number of trials and a seed, and searches two tasks of each surrogate (see `benchmarks.surrogates`) with a past.
It stores configurations and losses of all trials, the weights of the ensemble, predictions of held-out rows, and the
report without seconds. `compare` names the differences and then ends with exit status 1.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.corpus import load_table

logger = logging.getLogger(__name__)

TASKS = (
    "churn",  # two classes, numbers and categories
    "credit_approval",  # two classes, gaps
    "youtube_spam",  # two classes, text and dates
    "anneal",  # five classes, gaps
    "seattle_weather",  # five classes, dates
    "abalone",  # numbers
    "car_msrp_2004",  # numbers, text
    "landslide_size",  # more classes, dates, gaps
)
SURROGATE_NAMES = ("lcbench", "rbv2_xgboost")
N_TRIALS = 12
N_SUGGESTIONS = 15
N_PAST, N_PAST_TRIALS = 6, 30


def record(corpus: Path, surrogates: Path | None) -> dict[str, Any]:
    """Return the results of fits and searches."""
    found: dict[str, Any] = {}
    for task in TASKS:
        found[f"fit {task}"] = _fit(corpus, task)
        logger.info("fit %s", task)
    for name in SURROGATE_NAMES if surrogates is not None else ():
        for task, suggestions in _searches(surrogates / name):  # type: ignore[operator]
            found[f"search {name} {task}"] = suggestions
            logger.info("search %s %s", name, task)
    return found


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Yield the paths at which two records differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            if name not in before or name not in after:
                yield f"{where}/{name}: only in {'the first' if name in before else 'the second'}"
            else:
                yield from differences(before[name], after[name], f"{where}/{name}")
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"{where}: {len(before)} entries, then {len(after)}"
        for number, pair in enumerate(zip(before, after, strict=False)):
            yield from differences(*pair, f"{where}/{number}")
    elif before != after:
        yield f"{where}: {before!r}, then {after!r}"


def _fit(corpus: Path, task: str) -> dict[str, Any]:
    from autometa import AutoMeta

    X, y, problem = load_table(corpus, task)
    stratify = None if problem == "regression" else y
    X_train, X_test, y_train, _ = train_test_split(X, y, random_state=0, stratify=stratify)
    model = AutoMeta(problem, n_trials=N_TRIALS, random_state=0, n_jobs=1, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X_train, y_train)
    predictions = model.predict(X_test) if problem == "regression" else model.predict_proba(X_test)
    report = model.report(full=True)
    timeless = [column for column in report if not column.endswith("_s") and column not in ("probability", "note")]
    return _plain(
        {
            "trials": [
                {
                    "strategy": trial["strategy"],
                    "parameters": trial["parameters"],
                    "losses": [evaluation["loss"] for evaluation in trial["evaluations"]],
                    "status": trial["status"],
                    "weight": trial["weight"],
                }
                for trial in model.history_.trials
            ],
            "ensemble_loss": model.history_.ensemble_loss,
            "predictions": np.asarray(predictions).tolist(),
            "report": report[timeless].to_dict("records"),
        }
    )


def _searches(folder: Path) -> Iterator[tuple[str, Any]]:
    from autometa import MetaSampler, StudyArchive
    from benchmarks.surrogates import read_surrogate

    surrogate = read_surrogate(folder)
    archive = StudyArchive()
    for number, task in enumerate(surrogate.tasks[2 : 2 + N_PAST]):
        past = optuna.create_study(study_name=task, sampler=optuna.samplers.RandomSampler(seed=number))
        past.optimize(surrogate.objective(task), n_trials=N_PAST_TRIALS)
        archive.add(past)
    for task in surrogate.tasks[:2]:
        study = optuna.create_study(sampler=MetaSampler(archive, seed=0))
        study.optimize(surrogate.objective(task), n_trials=N_SUGGESTIONS)
        yield task, _plain([[trial.params, trial.value] for trial in study.trials])


def _plain(value: Any) -> Any:
    """Return a value as it comes back from JSON; floats keep all their digits, and NaN equals itself."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return "nan" if value is pd.NA or (isinstance(value, float) and np.isnan(value)) else value


def main() -> None:
    """Record, or compare two records."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unchanged", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record", help="write the results of fits and searches")
    recording.set_defaults(command="record")
    recording.add_argument("--corpus", type=Path, required=True, help="folder of tables, see benchmarks.corpus")
    recording.add_argument("--surrogates", type=Path, help="folder of surrogates, see benchmarks.surrogates")
    recording.add_argument("--out", type=Path, required=True)
    comparing = commands.add_parser("compare", help="compare two records")
    comparing.set_defaults(command="compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.command == "record":
        options.out.write_text(json.dumps(record(options.corpus, options.surrogates)), encoding="utf-8")
        return
    before, after = (json.loads(file.read_text(encoding="utf-8")) for file in (options.before, options.after))
    found = list(differences(before, after))
    print("\n".join(found[:50]) if found else f"{len(before)} fits and searches are the same to the last bit")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
