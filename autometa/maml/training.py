r"""The outer loop of meta-training, one for all meta-learners.

Each step draws a batch of tasks, gets their mean meta-gradient from the meta-learner, clips it and makes a step of Adam
(Kingma and Ba 2015). Each step has its own stream of random numbers, so that a resumed training gives the result of an
uninterrupted one.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autometa._support.files import replaced
from autometa._support.progress import CountBar
from autometa._support.seeds import child_seed
from autometa.exceptions import DivergenceError, MetaWeightsError
from autometa.maml.meta_learner import MetaLearner
from autometa.maml.protocol import FewShotTask, Params, TaskSource, n_tasks, stacked_groups

logger = logging.getLogger(__name__)

MOST_SKIPPED = 20
"""Number of consecutive outer steps with diverged inner loops after which the training fails."""

_SAVE_EVERY_S = 10.0
"""Seconds between two writes of the state."""

_DECAYS = (0.9, 0.999)
_EPSILON = 1e-8


@dataclass(frozen=True)
class OuterSettings:
    r"""How parameters are meta-trained.

    Parameters
    ----------
    n_steps : int
        Outer steps.
    rate : float
        Step size of Adam, :math:`\beta` in MAML's paper.
    last_rate : float
        Fraction of the rate at the last step; it falls by half a cosine. 1 keeps the rate constant.
    most_norm : float
        Longer meta-gradients are shortened to this norm; infinity shortens none.
    """

    n_steps: int = 10_000
    rate: float = 1e-3
    last_rate: float = 1.0
    most_norm: float = 10.0

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {self.n_steps}.")
        if not self.rate > 0 or not self.most_norm > 0:
            raise ValueError(f"rate and most_norm must be positive, got {self.rate} and {self.most_norm}.")
        if not 0 <= self.last_rate <= 1:
            raise ValueError(f"last_rate must be in [0, 1], got {self.last_rate}.")

    def rate_at(self, step: int) -> float:
        """Return the step size of the outer step of this number, from 0."""
        fallen = 0.5 * (1 - math.cos(math.pi * step / self.n_steps))
        return self.rate * (1 - (1 - self.last_rate) * fallen)


@dataclass(frozen=True)
class MetaTrained:
    """Meta-learned parameters, and the losses of their training.

    Parameters
    ----------
    params : dict of str to Tensor
        Parameters, on the CPU.
    losses : ndarray of shape (n_done,)
        Mean query loss of the tasks of each outer step; NaN if the step was skipped.
    is_complete : bool
        Whether all steps were made.
    """

    params: Params
    losses: np.ndarray
    is_complete: bool


@dataclass(frozen=True)
class _State:
    """The state of a training. Steps replace it as a whole, so that it is consistent after an interruption."""

    params: Params
    first: Params
    second: Params
    n_updates: int
    losses: tuple[float, ...]


def meta_train(
    learner: MetaLearner,
    params: Mapping[str, Tensor],
    tasks: TaskSource,
    settings: OuterSettings | None = None,
    *,
    seed: int = 0,
    state: str | Path | None = None,
    device: str | torch.device = "cpu",
    max_s: float = math.inf,
    show_progress: bool | None = None,
    name: str = "meta-training",
) -> MetaTrained:
    """Return parameters from which a meta-learner adapts better.

    Ctrl-C ends the training early: the parameters so far are returned, and written to `state`.

    Parameters
    ----------
    learner : MetaLearner
        Method to be trained.
    params : mapping of str to Tensor
        First parameters, as `learner.initial` returns them.
    tasks : callable
        Draws the tasks of one outer step with the generator that it is given.
    settings : OuterSettings, optional
        Settings of the outer loop.
    seed : int
        Seed of the tasks.
    state : str or Path, optional
        A .npz file from which the training resumes if it exists, and which is written every few seconds.
    device : str or torch.device
        Device of the tensors.
    max_s : float
        Seconds after which no step is begun.
    show_progress : bool or None
        None shows a bar only on a terminal.
    name : str
        Label of the bar.

    Raises
    ------
    DivergenceError
        If inner loops diverged in `MOST_SKIPPED` outer steps in a row.
    MetaWeightsError
        If `state` belongs to another training, or is no state.
    """
    settings = OuterSettings() if settings is None else settings
    start_s = saved_s = time.monotonic()
    path = None if state is None else Path(state)
    settings_json = json.dumps({"seed": seed, "learner": _described(learner), **asdict(settings)}, sort_keys=True)
    now = _start(params, device)
    if path is not None and path.exists():
        now = _read(path, settings_json, now)
    losses = list(now.losses)
    n_skipped = 0
    with CountBar(show_progress, settings.n_steps - len(losses), name) as bar:
        try:
            while len(losses) < settings.n_steps and time.monotonic() - start_s < max_s:
                step = len(losses)
                drawn = tasks(np.random.default_rng(child_seed(seed, "outer step", step)))
                gradient, loss = _direction(learner, now.params, drawn, device)
                norm = float(torch.stack([value.norm() for value in gradient.values()]).norm())
                is_finite = math.isfinite(norm) and math.isfinite(loss)
                n_skipped = 0 if is_finite else n_skipped + 1
                if is_finite:
                    now = _updated(now, gradient, min(1.0, settings.most_norm / max(norm, 1e-12)), settings, step)
                else:
                    logger.warning("Outer step %d is skipped: an inner loop diverged.", step)
                losses.append(loss if is_finite else math.nan)
                bar.advance()
                if n_skipped >= MOST_SKIPPED:
                    raise DivergenceError(
                        f"Inner loops diverged in {MOST_SKIPPED} outer steps in a row, up to step {step}. Use a "
                        f"smaller inner rate or fewer inner steps, or a smaller outer rate than {settings.rate}."
                    )
                if path is not None and time.monotonic() - saved_s > _SAVE_EVERY_S:
                    _write(path, settings_json, replace(now, losses=tuple(losses)))
                    saved_s = time.monotonic()
        except KeyboardInterrupt:
            logger.warning("Meta-training was interrupted after %d of %d steps.", len(losses), settings.n_steps)
    if path is not None:
        _write(path, settings_json, replace(now, losses=tuple(losses)))
    return MetaTrained(
        {name: value.detach().cpu() for name, value in now.params.items()},
        np.array(losses),
        len(losses) == settings.n_steps,
    )


def _described(learner: MetaLearner) -> str:
    """Return the class and the options of a meta-learner as a text that is equal in every process."""
    names: list[str] = [option.name for option in fields(learner)] if is_dataclass(learner) else []
    values = {name: getattr(learner, name) for name in names}
    # The representation of a function contains its address in memory.
    options = (f"{name}={getattr(value, '__qualname__', None) or repr(value)}" for name, value in values.items())
    return f"{type(learner).__qualname__}({', '.join(options)})"


def _direction(
    learner: MetaLearner,
    params: Params,
    tasks: FewShotTask | Any,
    device: str | torch.device,
) -> tuple[Params, float]:
    """Return the mean of all tasks' meta-gradients, and of their query losses."""
    groups = [group.to(device) for group in stacked_groups(tasks)]
    if not groups:
        raise ValueError("The source of tasks drew none; it must draw at least one for each outer step.")
    total = sum(n_tasks(group) for group in groups)
    gradient = {name: torch.zeros_like(value) for name, value in params.items()}
    loss = 0.0
    for group in groups:
        share = n_tasks(group) / total
        group_gradient, losses = learner.meta_gradient(params, group)
        gradient = {name: value + share * group_gradient[name] for name, value in gradient.items()}
        loss += share * float(losses.mean())
    return gradient, loss


def _updated(state: _State, gradient: Params, factor: float, settings: OuterSettings, step: int) -> _State:
    """Return the state after a step of Adam along the gradient, multiplied by a factor."""
    n = state.n_updates + 1
    b1, b2 = _DECAYS
    rate = settings.rate_at(step) * math.sqrt(1 - b2**n) / (1 - b1**n)
    first, second, params = {}, {}, {}
    for name, value in state.params.items():
        g = gradient[name] * factor
        first[name] = torch.lerp(g, state.first[name], b1)
        second[name] = torch.lerp(g * g, state.second[name], b2)
        # Epsilon is scaled like the rate, as in the form at the end of the paper's section 2.
        params[name] = value - rate * first[name] / (second[name].sqrt() + _EPSILON * math.sqrt(1 - b2**n))
    return replace(state, params=params, first=first, second=second, n_updates=n)


def _start(params: Mapping[str, Tensor], device: str | torch.device) -> _State:
    own = {name: value.detach().to(device).clone() for name, value in params.items()}
    zeros = {name: torch.zeros_like(value) for name, value in own.items()}
    return _State(own, zeros, zeros, 0, ())


def _write(path: Path, settings_json: str, state: _State) -> None:
    """Replace the file of the state by a new one in one step."""
    arrays: dict[str, Any] = {
        "settings": np.array(settings_json),
        "losses": np.array(state.losses),
        "n_updates": np.array(state.n_updates),
    }
    for kind in ("params", "first", "second"):
        arrays |= {f"{kind}/{name}": value.cpu().numpy() for name, value in getattr(state, kind).items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise MetaWeightsError(
            f"{path} cannot be written: {error.strerror or error}. Choose another place for the state."
        ) from error


def _read(path: Path, settings_json: str, start: _State) -> _State:
    """Return the state in a file, which must have the names and shapes of a fresh one, on the same device."""
    advice = "Delete the file, or name another one."
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        settings = str(arrays.pop("settings"))
        losses, n_updates = arrays.pop("losses").tolist(), int(arrays.pop("n_updates"))
    except Exception as error:  # a forged or torn file can fail anywhere
        raise MetaWeightsError(f"{path} does not hold the state of a meta-training ({error}). {advice}") from error
    if settings != settings_json:
        raise MetaWeightsError(
            f"{path} is of a meta-training with {settings}, but this one has {settings_json}. {advice}"
        )
    expected = {f"{k}/{n}": tuple(v.shape) for k in ("params", "first", "second") for n, v in getattr(start, k).items()}
    found = {name: values.shape for name, values in arrays.items()}
    if found != expected:
        different = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise MetaWeightsError(f"{path} is of other parameters than these: {', '.join(different[:5])} differ. {advice}")

    def kind(k: str) -> Params:
        return {n: torch.from_numpy(arrays[f"{k}/{n}"]).to(v.device) for n, v in getattr(start, k).items()}

    return _State(kind("params"), kind("first"), kind("second"), n_updates, tuple(losses))
