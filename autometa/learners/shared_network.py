r"""The network that tables share: a pure function of named parameters and of slots, and heads fitted to it.

============== =========================================================================================
slots          rows as `projection` gives them, (n_rows, N_SLOTS)
waves          :math:`\cos(f z + \phi)` of every slot, mixed to two numbers (PBLD of RealMLP)
features       what heads see: the slots and the trunk's last layer, (n_rows, N_FEATURES)
head           ``head/weight`` (N_FEATURES, n_outputs) and ``head/bias``: of the task, never shared
============== =========================================================================================

Heads are fitted to the features of rows: ridge regression for numbers (Bertinetto et al. 2019, "Meta-learning with
differentiable closed-form solvers"), penalised logistic regression for classes. Both can be differentiated, and how
strong their penalty is by rows is a parameter, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from autometa.learners.projection import LARGEST_SLOT, N_SLOTS

WIDTH = 256
N_WAVES = 8
N_MIXED = 2
N_FEATURES = N_SLOTS + WIDTH
_HEAD_STEPS = 20
_DIFFERENTIATED = 3

SHAPES: dict[str, tuple[int, ...]] = {
    "wave/frequency": (N_SLOTS, N_WAVES),
    "wave/phase": (N_SLOTS, N_WAVES),
    "wave/mix": (N_SLOTS, N_WAVES, N_MIXED),
    "layer0/weight": (N_SLOTS * (1 + N_MIXED), WIDTH),
    "layer0/bias": (WIDTH,),
    "layer1/weight": (WIDTH, WIDTH),
    "layer1/bias": (WIDTH,),
    # Logarithms of: penalty by features per row, and at least.
    "penalty/classes": (2,),
    "penalty/regression": (2,),
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
        "penalty/classes": torch.tensor([-3.0, -5.0]),
        "penalty/regression": torch.tensor([-3.0, -5.0]),
    }


def features(params: Mapping[str, Tensor], slots: Tensor, masks: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return what heads see of rows; `masks` multiply the two layers (dropout)."""
    slots = slots * torch.rsqrt(1 + (slots / LARGEST_SLOT) ** 2)
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


def fitted_head(
    params: Mapping[str, Tensor], slots: Tensor, targets: Tensor, n_classes: int | None, weights: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the head that fits rows best under the learnt penalty; differentiable. See `fitted_heads`."""
    return fitted_heads(params, features(params, slots), targets, n_classes, weights)[0].params


@dataclass(frozen=True)
class Head:
    """A fitted head.

    Parameters
    ----------
    params : dict of str to Tensor
        ``head/weight`` and ``head/bias``.
    penalty : Tensor
        What half of the squared weights was multiplied by when they were fitted.
    """

    params: dict[str, Tensor]
    penalty: Tensor


def fitted_heads(
    params: Mapping[str, Tensor],
    seen: Tensor,
    targets: Tensor,
    n_classes: int | None,
    weights: Tensor | None = None,
    strengths: Sequence[float] = (1.0,),
) -> list[Head]:
    """Return a head for each of some strengths of the penalty.

    Minimised is the mean of half the squared error, or of the cross-entropy, plus half of the penalty times the
    squared weights. The former is done in closed form. The latter takes steps of Newton's method with the bound of
    the Hessian in its place (Böhning 1992), accelerated; they begin at the head before.

    Parameters
    ----------
    params : mapping of str to Tensor
        What tables share.
    seen : Tensor of shape (n_rows, N_FEATURES)
        Features of rows.
    targets : Tensor of shape (n_rows,)
        Codes of classes, or standardised numbers.
    n_classes : int or None
        None for regression.
    weights : Tensor of shape (n_rows,), optional
        Non-negative weights of the rows.
    strengths : sequence of float
        Factors of the learnt penalty, the largest first.
    """
    # Covariances of correlated features need more digits than float32 has.
    seen = seen.double()
    rows = torch.ones(len(seen), dtype=torch.float64) if weights is None else weights.double()
    total = rows.sum().clamp(min=1e-12)
    share = rows / total
    mean = share @ seen
    centred = seen - mean
    weighted = centred * share[:, None]
    covariance = centred.T @ weighted
    by_rows, least = params["penalty/regression" if n_classes is None else "penalty/classes"].double().exp().unbind()
    size = covariance.diagonal().mean() + 1e-9
    learnt = size * (by_rows * N_FEATURES / total + least + 1e-6)
    identity = torch.eye(N_FEATURES, dtype=torch.float64)
    if n_classes is None:
        y = targets.double()
        bias = (share @ y)[None]
        relation = (weighted.T @ (y - bias))[:, None]
    else:
        of_class = F.one_hot(targets, n_classes).double()
        bias = torch.log((rows @ of_class + 0.1) / (total + 0.1 * n_classes))
        slope = torch.zeros(N_FEATURES, n_classes, dtype=torch.float64)
    heads = []
    for strength in strengths:
        penalty = strength * learnt
        if n_classes is None:
            slope = torch.linalg.solve(covariance + penalty * identity, relation)
        else:
            bound = torch.linalg.cholesky(0.5 * covariance + penalty * identity)
            slope, bias = _logistic(centred, weighted, share, of_class, bound, penalty, slope, bias)
        head = {"head/weight": slope.float(), "head/bias": (bias - mean @ slope).float()}
        heads.append(Head(head, penalty))
    return heads


def _logistic(
    centred: Tensor, weighted: Tensor, share: Tensor, of_class: Tensor, bound: Tensor, penalty: Tensor,
    slope: Tensor, bias: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return slope and bias after steps that lower the penalised cross-entropy."""
    before, before_bias = ahead, ahead_bias = slope, bias
    for step in range(_HEAD_STEPS):
        # Only the last steps carry gradients: at the optimum they point the way that all of them would.
        with torch.set_grad_enabled(torch.is_grad_enabled() and step >= _HEAD_STEPS - _DIFFERENTIATED):
            wrong = torch.softmax(centred @ ahead + ahead_bias, dim=1) - of_class
            slope = ahead - torch.cholesky_solve(weighted.T @ wrong + penalty * ahead, bound)
            bias = ahead_bias - 2 * (share @ wrong)
            # Nesterov's momentum.
            factor = step / (step + 3)
            ahead, ahead_bias = slope + factor * (slope - before), bias + factor * (bias - before_bias)
            before, before_bias = slope, bias
    return slope, bias
