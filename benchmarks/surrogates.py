"""Surrogates of large tuning databases as objectives for Optuna: YAHPO Gym (Pfisterer et al., 2022).

A surrogate is a neural network in ONNX that predicts the results of a real run from a task and a
configuration. A folder holds ``model.onnx``, ``config_space.json`` (names, types, ranges, conditions)
and ``encoding.json`` (categories to the integers that the model takes). Needs ``onnxruntime``.

Losses, lower is better, at full fidelity:

- ``rbv2_xgboost``: 1 − AUC with all rows (``trainsize`` 1) and ten repetitions (``repl`` 10).
- ``lcbench``: 1 − balanced validation accuracy after epoch 52. Both this and the cross-entropy are recorded;
  cross-entropy has no upper bound, so a single diverged run would set the scale of a task's regret, and it
  would not be comparable with the other surrogate's loss.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from autometa.core.space import SearchSpace, Value

INACTIVE = "#na#"
BATCH = 4096  # rows at a time: the networks are wide, and more would only cost memory


@dataclass(frozen=True)
class Layout:
    """The meaning of a surrogate's columns.

    Parameters
    ----------
    task : str
        Name of the parameter that holds the task; the first category of the model.
    categories, numbers : tuple of str
        Columns of the two inputs, in order; ``categories`` without the task.
    fidelity : mapping of str to float
        Values of the parameters that are not searched.
    output : int
        Column of the output whose complement to 1 is the loss.
    """

    task: str
    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    fidelity: Mapping[str, float]
    output: int


LAYOUTS: Mapping[str, Layout] = {
    "rbv2_xgboost": Layout(
        task="task_id",
        categories=("booster", "num.impute.selected.cpo"),
        numbers=(
            *("nrounds", "eta", "gamma", "lambda", "alpha", "subsample", "max_depth", "min_child_weight"),
            *("colsample_bytree", "colsample_bylevel", "rate_drop", "skip_drop", "trainsize", "repl"),
        ),
        fidelity={"trainsize": 1.0, "repl": 10},
        output=2,
    ),
    "lcbench": Layout(
        task="OpenML_task_id",
        categories=(),
        numbers=(
            *("epoch", "batch_size", "learning_rate", "momentum", "weight_decay"),
            *("num_layers", "max_units", "max_dropout"),
        ),
        fidelity={"epoch": 52},
        output=3,
    ),
}

# Tables of one origin, by OpenML's numbers: results on one table reveal too much about another.
FAMILIES: Mapping[str, str] = {
    **dict.fromkeys(("12", "14", "16", "18", "22"), "mfeat"),
    **dict.fromkeys(("1049", "1050", "1053", "1056", "1063", "1067", "1068"), "software defects"),
}


@dataclass(frozen=True)
class Surrogate:
    """Losses of any configuration on any of its tasks.

    Parameters
    ----------
    name : str
        Name of the surrogate, such as ``"lcbench"``.
    space : SearchSpace
        The searched parameters, without task and fidelity.
    tasks : tuple of str
        Its tasks, in the order of the space's file.
    predict : callable
        ``predict(task, configurations)`` returns losses, an ndarray of shape (n_configurations,).
    """

    name: str
    space: SearchSpace
    tasks: tuple[str, ...]
    predict: Callable[[str, Sequence[Mapping[str, Value]]], np.ndarray] = field(repr=False)

    def objective(self, task: str) -> Callable[[Trial], float]:
        """Return the define-by-run objective of a task."""
        return lambda trial: float(self.predict(task, [self.space.suggest(trial)])[0])

    def draw(self, n: int, rng: np.random.Generator) -> list[dict[str, Value]]:
        """Return `n` random configurations, distributed as Optuna's ``RandomSampler`` draws them."""
        return [from_unit(self.space, row) for row in rng.random((n, len(self.space.distributions)))]


def read_surrogate(folder: Path) -> Surrogate:
    """Return the surrogate in a folder whose name is in `LAYOUTS`."""
    import onnxruntime

    layout = LAYOUTS[folder.name]
    space, tasks = read_space(json.loads((folder / "config_space.json").read_text(encoding="utf-8")), layout)
    encoding = json.loads((folder / "encoding.json").read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    # One row is too little work for several threads, which would also disturb the timing of suggestions.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def predict(task: str, configurations: Sequence[Mapping[str, Value]]) -> np.ndarray:
        categories, numbers = encode(task, configurations, layout, encoding)
        parts = [
            session.run(None, {"x_cat": categories[start : start + BATCH], "x_cont": numbers[start : start + BATCH]})[0]
            for start in range(0, len(configurations), BATCH)
        ]
        return 1.0 - np.concatenate(parts)[:, layout.output].astype(np.float64)

    return Surrogate(folder.name, space, tasks, predict)


def read_space(text: Mapping[str, Any], layout: Layout) -> tuple[SearchSpace, tuple[str, ...]]:
    """Return space and tasks of a parsed ``config_space.json``."""
    parameters = {parameter["name"]: parameter for parameter in text["hyperparameters"]}
    tasks = tuple(parameters.pop(layout.task)["choices"])
    searched = {name: _distribution(found) for name, found in parameters.items() if name not in layout.fidelity}
    conditions = {
        condition["child"]: (condition["parent"], tuple(condition.get("values") or [condition["value"]]))
        for condition in text["conditions"]
    }
    return SearchSpace(searched, conditions), tasks


def encode(
    task: str,
    configurations: Sequence[Mapping[str, Value]],
    layout: Layout,
    encoding: Mapping[str, Mapping[str, int]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the model's inputs, int32 and float32, a row for each configuration; inactive numbers are 0."""
    known = [[encoding[layout.task][task]]] * len(configurations)
    chosen = [
        [encoding[name][configuration.get(name, INACTIVE)] for name in layout.categories]
        for configuration in configurations
    ]
    categories = np.array([a + b for a, b in zip(known, chosen, strict=True)], dtype=np.int32)
    numbers = [
        [layout.fidelity[name] if name in layout.fidelity else configuration.get(name, 0) for name in layout.numbers]
        for configuration in configurations
    ]
    return categories, np.array(numbers, dtype=np.float32)


def from_unit(space: SearchSpace, row: np.ndarray) -> dict[str, Value]:
    """Return the configuration at a point of the unit cube, with axes in the order of the space."""
    values = {
        name: _from_unit(distribution, float(place))
        for (name, distribution), place in zip(space.distributions.items(), row, strict=True)
    }
    return space.complete(values)


def to_unit(space: SearchSpace, configuration: Mapping[str, Value]) -> np.ndarray:
    """Return the point of a configuration in the unit cube; 0.5 for inactive parameters."""
    return np.array(
        [
            _to_unit(distribution, configuration[name]) if name in configuration else 0.5
            for name, distribution in space.distributions.items()
        ]
    )


def _distribution(parameter: Mapping[str, Any]) -> BaseDistribution:
    match parameter["type"]:
        case "categorical":
            return CategoricalDistribution(parameter["choices"])
        case "uniform_int":
            return IntDistribution(parameter["lower"], parameter["upper"], log=parameter["log"])
        case "uniform_float":
            return FloatDistribution(parameter["lower"], parameter["upper"], log=parameter["log"])
    raise ValueError(f"{parameter['name']!r} has the unknown type {parameter['type']!r}.")


def _edges(distribution: FloatDistribution | IntDistribution) -> tuple[float, float]:
    """Return the ends of the uniform interval; whole numbers extend half a unit to each side, as in Optuna."""
    half = 0.5 if isinstance(distribution, IntDistribution) else 0.0
    low, high = distribution.low - half, distribution.high + half
    return (math.log(low), math.log(high)) if distribution.log else (low, high)


def _from_unit(distribution: BaseDistribution, place: float) -> Value:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[min(int(place * len(distribution.choices)), len(distribution.choices) - 1)]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = _edges(distribution)
    value = low + place * (high - low)
    value = math.exp(value) if distribution.log else value
    value = round(value) if isinstance(distribution, IntDistribution) else value
    return min(max(value, distribution.low), distribution.high)


def _to_unit(distribution: BaseDistribution, value: Any) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return (distribution.choices.index(value) + 0.5) / len(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = _edges(distribution)
    return ((math.log(value) if distribution.log else value) - low) / (high - low)
