r"""The network that tables share: a pure function of named parameters and of slots, and heads in closed form.

============== =========================================================================================
slots          rows as `projection` gives them, (n_rows, N_SLOTS)
waves          :math:`\cos(f z + \phi)` of every slot, mixed to two numbers (PBLD of RealMLP)
features       what heads see: the slots and the trunk's last layer, (n_rows, N_FEATURES)
head           ``head/weight`` (N_FEATURES, n_outputs) and ``head/bias``: of the task, never shared
============== =========================================================================================

Heads start from a closed form: prototypes under a shared covariance for any number of classes (Snell, Swersky and
Zemel 2017, with the covariance of a linear discriminant), ridge regression for numbers (Bertinetto et al. 2019,
"Meta-learning with differentiable closed-form solvers"). How much they shrink is a parameter, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from autometa.learners.projection import N_SLOTS

WIDTH = 128
N_WAVES = 8
N_MIXED = 2
N_FEATURES = N_SLOTS + WIDTH

SHAPES: dict[str, tuple[int, ...]] = {
    "wave/frequency": (N_SLOTS, N_WAVES),
    "wave/phase": (N_SLOTS, N_WAVES),
    "wave/mix": (N_SLOTS, N_WAVES, N_MIXED),
    "layer0/weight": (N_SLOTS * (1 + N_MIXED), WIDTH),
    "layer0/bias": (WIDTH,),
    "layer1/weight": (WIDTH, WIDTH),
    "layer1/bias": (WIDTH,),
    # Logarithms of: shrinkage by rows and at least, of covariances; temperature; rows that count for the mean.
    "closed/classes": (4,),
    # Logarithms of: shrinkage by rows and at least.
    "closed/regression": (2,),
}
"""Shapes of what tables share."""


def random_parameters(generator: torch.Generator) -> dict[str, Tensor]:
    """Return shared parameters before any learning."""

    def normal(name: str, deviation: float) -> Tensor:
        return deviation * torch.randn(SHAPES[name], generator=generator)

    return {
        "wave/frequency": normal("wave/frequency", 0.2 * math.pi),
        "wave/phase": math.pi * (2 * torch.rand(SHAPES["wave/phase"], generator=generator) - 1),
        "wave/mix": normal("wave/mix", N_WAVES**-0.5),
        "layer0/weight": normal("layer0/weight", (2 / SHAPES["layer0/weight"][0]) ** 0.5),
        "layer0/bias": normal("layer0/bias", 0.5),
        "layer1/weight": normal("layer1/weight", (2 / WIDTH) ** 0.5),
        "layer1/bias": normal("layer1/bias", 0.5),
        "closed/classes": torch.tensor([-1.0, -4.0, 0.0, 0.0]),
        "closed/regression": torch.tensor([-1.0, -4.0]),
    }


def features(params: Mapping[str, Tensor], slots: Tensor, masks: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return what heads see of rows; `masks` multiply the two layers (dropout)."""
    waves = torch.cos(slots[:, :, None] * params["wave/frequency"] + params["wave/phase"])
    mixed = torch.einsum("bsw,swm->bsm", waves, params["wave/mix"]).flatten(1)
    hidden = F.silu(torch.cat([slots, mixed], dim=1) @ params["layer0/weight"] + params["layer0/bias"])
    if masks is not None:
        hidden = hidden * masks[0]
    hidden = hidden + F.silu(hidden @ params["layer1/weight"] + params["layer1/bias"])
    if masks is not None:
        hidden = hidden * masks[1]
    return torch.cat([slots, hidden], dim=1)


def scores(params: Mapping[str, Tensor], slots: Tensor, masks: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return the outputs of the head, (n_rows, n_outputs)."""
    return features(params, slots, masks) @ params["head/weight"] + params["head/bias"]


def closed_form_head(
    params: Mapping[str, Tensor], slots: Tensor, targets: Tensor, n_classes: int | None, weights: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the head that fits the features of rows best, as far as a closed form goes; differentiable.

    Parameters
    ----------
    params : mapping of str to Tensor
        What tables share.
    slots : Tensor of shape (n_rows, N_SLOTS)
        Rows.
    targets : Tensor of shape (n_rows,)
        Codes of classes, or standardised numbers.
    n_classes : int or None
        None for regression.
    weights : Tensor of shape (n_rows,), optional
        Non-negative weights of the rows.
    """
    # Covariances of correlated features need more digits than float32 has.
    seen = features(params, slots).double()
    rows = torch.ones(len(seen), dtype=torch.float64) if weights is None else weights.double()
    total = rows.sum().clamp(min=1e-12)
    share = rows / total
    mean = share @ seen
    if n_classes is None:
        y = targets.double()
        y_mean = share @ y
        centred = seen - mean
        covariance = centred.T @ (centred * share[:, None])
        relation = centred.T @ (share * (y - y_mean))
        slope = _solve(covariance, relation[:, None], params["closed/regression"], total)
        return {"head/weight": slope.float(), "head/bias": (y_mean - mean @ slope).float()}
    least, temperature, mean_rows = (params["closed/classes"][i].double().exp() for i in (1, 2, 3))
    of_class = F.one_hot(targets, n_classes).double() * rows[:, None]  # (n, C)
    n_rows = of_class.sum(dim=0)
    # Means of classes of few rows are drawn towards the mean of all.
    away = (of_class.T @ (seen - mean)) / (n_rows + mean_rows)[:, None]  # (C, F)
    inside = (seen - mean) - away[targets]
    covariance = inside.T @ (inside * share[:, None])
    slope = _solve(covariance, away.T, params["closed/classes"][:2], total)
    prior = torch.log((n_rows + least) / (total + n_classes * least))
    bias = temperature * (-0.5 * (away * slope.T).sum(dim=1) - mean @ slope) + prior
    return {"head/weight": (temperature * slope).float(), "head/bias": bias.float()}


def _solve(covariance: Tensor, right: Tensor, shrinkage: Tensor, n_rows: Tensor) -> Tensor:
    """Return the inverse of the covariance, drawn towards a multiple of the identity, times `right`."""
    by_rows, least = shrinkage.double().exp().unbind()
    size = covariance.diagonal().mean() + 1e-9
    ridge = size * (by_rows * N_FEATURES / n_rows + least + 1e-6)
    return torch.linalg.solve(covariance + ridge * torch.eye(len(covariance), dtype=torch.float64), right)
