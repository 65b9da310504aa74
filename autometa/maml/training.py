r"""The outer loop: one for all meta-learners.

Each step draws a batch of tasks, asks the meta-learner for the direction of their mean, clips it and makes a step of
Adam (Kingma and Ba 2015). The step of number i draws from a stream of its own, so that a training which was
interrupted and goes on gives what it would have given without a break.
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

from autometa._support.progress import CountBar
from autometa._support.seeds import child_seed
from autometa.exceptions import DivergenceError, MetaWeightsError
from autometa.maml.protocol import FewShotTask, MetaLearner, Params, TaskSource, n_tasks, stacked_groups

logger = logging.getLogger(__name__)

MOST_SKIPPED = 20
"""Outer steps in a row that may be skipped because an inner loop diverged, before the training gives up."""

_SAVE_EVERY_S = 10.0
"""Between two writes of the state, so that an interrupted training loses little."""

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
        What part of the rate is left at the end; it falls by half a cosine. 1 keeps it.
    most_norm : float
        Longer directions are cut to this norm; infinity cuts none.
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
    """Meta-learned parameters, and how it went.

    Parameters
    ----------
    params : dict of str to Tensor
        On the CPU.
    losses : ndarray of shape (n_done,)
        Mean query loss of the tasks of each outer step; NaN where the step was skipped.
    is_complete : bool
        Whether all steps were done.
    """

    params: Params
    losses: np.ndarray
    is_complete: bool


@dataclass(frozen=True)
class _State:
    """Everything that a training goes on from. Steps replace it as a whole, so an interruption finds it consistent."""

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

    Ctrl-C ends the training early: what was learnt until then is returned, and written where there is a `state`.

    Parameters
    ----------
    learner : MetaLearner
        Whose parameters they are.
    params : mapping of str to Tensor
        What to begin with, as `learner.initial` gives it.
    tasks : callable
        Draws the tasks of one outer step with the generator that it is given.
    settings : OuterSettings, optional
        How.
    seed : int
        Seed of the tasks.
    state : str or Path, optional
        A .npz file from which the training goes on if it exists, and which is written every few seconds.
    device : str or torch.device
        Where tensors are.
    max_s : float
        Seconds after which no step is begun.
    show_progress : bool or None
        None shows a bar only on a terminal.
    name : str
        What stands before the bar.

    Raises
    ------
    DivergenceError
        If inner loops diverged in `MOST_SKIPPED` outer steps in a row.
    MetaWeightsError
        If `state` is of another training, or no state at all.
    """
    settings = OuterSettings() if settings is None else settings
    begun_s = saved_s = time.monotonic()
    path = None if state is None else Path(state)
    told = json.dumps({"seed": seed, "learner": _described(learner), **asdict(settings)}, sort_keys=True)
    now = _start(params, device)
    if path is not None and path.exists():
        now = _read(path, told, now)
    losses = list(now.losses)
    n_in_a_row = 0
    with CountBar(show_progress, settings.n_steps - len(losses), name) as bar:
        try:
            while len(losses) < settings.n_steps and time.monotonic() - begun_s < max_s:
                step = len(losses)
                drawn = tasks(np.random.default_rng(child_seed(seed, "outer step", step)))
                gradient, loss = _direction(learner, now.params, drawn, device)
                norm = float(torch.stack([value.norm() for value in gradient.values()]).norm())
                is_finite = math.isfinite(norm) and math.isfinite(loss)
                n_in_a_row = 0 if is_finite else n_in_a_row + 1
                if is_finite:
                    now = _updated(now, gradient, min(1.0, settings.most_norm / max(norm, 1e-12)), settings, step)
                else:
                    logger.warning("Outer step %d is skipped: an inner loop diverged.", step)
                losses.append(loss if is_finite else math.nan)
                bar.advance()
                if n_in_a_row >= MOST_SKIPPED:
                    raise DivergenceError(
                        f"Inner loops diverged in {MOST_SKIPPED} outer steps in a row, up to step {step}. Use a "
                        f"smaller inner rate or fewer inner steps, or a smaller outer rate than {settings.rate}."
                    )
                if path is not None and time.monotonic() - saved_s > _SAVE_EVERY_S:
                    _write(path, told, replace(now, losses=tuple(losses)))
                    saved_s = time.monotonic()
        except KeyboardInterrupt:
            logger.warning("Meta-training was interrupted after %d of %d steps.", len(losses), settings.n_steps)
    if path is not None:
        _write(path, told, replace(now, losses=tuple(losses)))
    return MetaTrained(
        {name: value.detach().cpu() for name, value in now.params.items()},
        np.array(losses),
        len(losses) == settings.n_steps,
    )


def _described(learner: MetaLearner) -> str:
    """Return what a meta-learner is and its options, alike in every process."""
    names: list[str] = [option.name for option in fields(learner)] if is_dataclass(learner) else []
    values = {name: getattr(learner, name) for name in names}
    # A function's representation has its place in memory.
    said = (f"{name}={getattr(value, '__qualname__', None) or repr(value)}" for name, value in values.items())
    return f"{type(learner).__qualname__}({', '.join(said)})"


def _direction(
    learner: MetaLearner,
    params: Params,
    tasks: FewShotTask | Any,
    device: str | torch.device,
) -> tuple[Params, float]:
    """Return the mean over all tasks of the meta-gradient, and of the query loss."""
    groups = [group.to(device) for group in stacked_groups(tasks)]
    if not groups:
        raise ValueError("The source of tasks drew none; it must draw at least one for each outer step.")
    total = sum(n_tasks(group) for group in groups)
    gradient = {name: torch.zeros_like(value) for name, value in params.items()}
    loss = 0.0
    for group in groups:
        share = n_tasks(group) / total
        of_group, losses = learner.meta_gradient(params, group)
        gradient = {name: value + share * of_group[name] for name, value in gradient.items()}
        loss += share * float(losses.mean())
    return gradient, loss


def _updated(state: _State, gradient: Params, factor: float, settings: OuterSettings, step: int) -> _State:
    """Return the state after a step of Adam along the gradient times a factor."""
    n = state.n_updates + 1
    b1, b2 = _DECAYS
    rate = settings.rate_at(step) * math.sqrt(1 - b2**n) / (1 - b1**n)
    first, second, params = {}, {}, {}
    for name, value in state.params.items():
        g = gradient[name] * factor
        first[name] = torch.lerp(g, state.first[name], b1)
        second[name] = torch.lerp(g * g, state.second[name], b2)
        # The corrected epsilon is that of the paper's section 2, scaled like the rate.
        params[name] = value - rate * first[name] / (second[name].sqrt() + _EPSILON * math.sqrt(1 - b2**n))
    return replace(state, params=params, first=first, second=second, n_updates=n)


def _start(params: Mapping[str, Tensor], device: str | torch.device) -> _State:
    own = {name: value.detach().to(device).clone() for name, value in params.items()}
    zeros = {name: torch.zeros_like(value) for name, value in own.items()}
    return _State(own, zeros, zeros, 0, ())


def _write(path: Path, told: str, state: _State) -> None:
    """Write a state; a reader finds the old file or the new one."""
    arrays: dict[str, Any] = {
        "settings": np.array(told),
        "losses": np.array(state.losses),
        "n_updates": np.array(state.n_updates),
    }
    for kind in ("params", "first", "second"):
        arrays |= {f"{kind}/{name}": value.cpu().numpy() for name, value in getattr(state, kind).items()}
    new = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as file:
            np.savez(file, **arrays)
        new.replace(path)
    except OSError as error:
        raise MetaWeightsError(
            f"{path} cannot be written: {error.strerror or error}. Choose another place for the state."
        ) from error


def _read(path: Path, told: str, start: _State) -> _State:
    """Return the state in a file, on the device of a fresh one, whose names and shapes it must have."""
    advice = "Delete the file, or name another one."
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        settings = str(arrays.pop("settings"))
        losses, n_updates = arrays.pop("losses").tolist(), int(arrays.pop("n_updates"))
    except Exception as error:  # a forged or torn file can fail anywhere
        raise MetaWeightsError(f"{path} does not hold the state of a meta-training ({error}). {advice}") from error
    if settings != told:
        raise MetaWeightsError(f"{path} is of a meta-training with {settings}, but this one has {told}. {advice}")
    expected = {f"{k}/{n}": tuple(v.shape) for k in ("params", "first", "second") for n, v in getattr(start, k).items()}
    found = {name: values.shape for name, values in arrays.items()}
    if found != expected:
        different = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise MetaWeightsError(f"{path} is of other parameters than these: {', '.join(different[:5])} differ. {advice}")

    def kind(k: str) -> Params:
        return {n: torch.from_numpy(arrays[f"{k}/{n}"]).to(v.device) for n, v in getattr(start, k).items()}

    return _State(kind("params"), kind("first"), kind("second"), n_updates, tuple(losses))
