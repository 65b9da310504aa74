"""The network of `shared_arrays` in torch, for meta-learning: a pure function that can be differentiated twice.

Heads are fitted to the features of rows: ridge regression for numbers (Bertinetto et al. 2019, "Meta-learning with
differentiable closed-form solvers"), penalised logistic regression for classes. Both can be differentiated, and how
strong their penalty is by rows is a parameter, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from autometa.learners.mlp_maml.heads import N_STEPS
from autometa.learners.mlp_maml.network import DEVIATIONS, FIRST_PENALTY, N_FEATURES, SHAPES
from autometa.learners.mlp_maml.projection import LARGEST_SLOT

_DIFFERENTIATED = 3


def random_parameters(generator: torch.Generator) -> dict[str, Tensor]:
    """Return shared parameters before any learning."""
    params = {}
    for name, shape in SHAPES.items():
        if name.startswith("penalty/"):
            params[name] = torch.tensor(FIRST_PENALTY)
        elif name == "wave/phase":
            params[name] = math.pi * (2 * torch.rand(shape, generator=generator) - 1)
        else:
            params[name] = DEVIATIONS[name] * torch.randn(shape, generator=generator)
    return params


def features(params: Mapping[str, Tensor], slots: Tensor) -> Tensor:
    """Return what heads see of rows."""
    slots = slots * torch.rsqrt(1 + (slots / LARGEST_SLOT) ** 2)
    waves = torch.cos(slots[:, :, None] * params["wave/frequency"] + params["wave/phase"])
    mixed = torch.einsum("bsw,swm->bsm", waves, params["wave/mix"]).flatten(1)
    hidden = F.silu(torch.cat([slots, mixed], dim=1) @ params["layer0/weight"] + params["layer0/bias"])
    hidden = hidden + F.silu(hidden @ params["layer1/weight"] + params["layer1/bias"])
    return torch.cat([slots, hidden], dim=1)


def scores(params: Mapping[str, Tensor], slots: Tensor) -> Tensor:
    """Return the outputs of the head, (n_rows, n_outputs)."""
    return features(params, slots) @ params["head/weight"] + params["head/bias"]


def fitted_head(
    params: Mapping[str, Tensor], slots: Tensor, targets: Tensor, n_classes: int | None, weights: Tensor | None = None
) -> dict[str, Tensor]:
    """Return ``head/weight`` and ``head/bias`` that fit rows best under the learnt penalty; differentiable.

    Minimised is the mean of half the squared error, or of the cross-entropy, plus half of the penalty times the
    squared weights. The former is done in closed form. The latter takes steps of Newton's method with the bound of
    the Hessian in its place (Böhning 1992), accelerated.

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
    centred = seen - mean
    weighted = centred * share[:, None]
    covariance = centred.T @ weighted
    by_rows, least = params["penalty/regression" if n_classes is None else "penalty/classes"].double().exp().unbind()
    size = covariance.diagonal().mean() + 1e-9
    penalty = size * (by_rows * N_FEATURES / total + least + 1e-6)
    identity = torch.eye(N_FEATURES, dtype=torch.float64)
    if n_classes is None:
        y = targets.double()
        bias = (share @ y)[None]
        slope = torch.linalg.solve(covariance + penalty * identity, (weighted.T @ (y - bias))[:, None])
    else:
        of_class = F.one_hot(targets, n_classes).double()
        bias = torch.log((rows @ of_class + 0.1) / (total + 0.1 * n_classes))
        bound = torch.linalg.cholesky(0.5 * covariance + penalty * identity)
        slope, bias = _logistic(centred, weighted, share, of_class, bound, penalty, bias)
    return {"head/weight": slope.float(), "head/bias": (bias - mean @ slope).float()}


def _logistic(
    centred: Tensor, weighted: Tensor, share: Tensor, of_class: Tensor, bound: Tensor, penalty: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Return slope and bias after steps from no slope and a bias that lower the penalised cross-entropy."""
    slope = torch.zeros(centred.shape[1], of_class.shape[1], dtype=centred.dtype)
    before, before_bias = ahead, ahead_bias = slope, bias
    for step in range(N_STEPS):
        # Only the last steps carry gradients: at the optimum they point the way that all of them would.
        with torch.set_grad_enabled(torch.is_grad_enabled() and step >= N_STEPS - _DIFFERENTIATED):
            wrong = torch.softmax(centred @ ahead + ahead_bias, dim=1) - of_class
            slope = ahead - torch.cholesky_solve(weighted.T @ wrong + penalty * ahead, bound)
            bias = ahead_bias - 2 * (share @ wrong)
            # Nesterov's momentum.
            factor = step / (step + 3)
            ahead, ahead_bias = slope + factor * (slope - before), bias + factor * (bias - before_bias)
            before, before_bias = slope, bias
    return slope, bias
