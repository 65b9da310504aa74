"""Heads of the shared network fitted in torch, so that meta-training can differentiate through the fit.

Numbers are fitted by ridge regression (Bertinetto et al. 2019, "Meta-learning with differentiable closed-form
solvers"), classes by penalised logistic regression. The strength of the penalty is a meta-learned parameter, too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from autometa.learners.mlp_maml.heads import N_STEPS, base_penalty
from autometa.learners.mlp_maml.network import N_FEATURES, forward

_DIFFERENTIATED_STEPS = 3


def fitted_head(
    params: Mapping[str, Tensor], slots: Tensor, targets: Tensor, n_classes: int | None, weights: Tensor | None = None
) -> dict[str, Tensor]:
    """Return ``head/weight`` and ``head/bias`` of the best fit under the learnt penalty; differentiable.

    The objective is that of `autometa.learners.mlp_maml.heads.fitted_heads`. Ridge regression is solved in closed form;
    logistic regression takes accelerated Newton steps with a bound of the Hessian (Böhning 1992).

    Parameters
    ----------
    params : mapping of str to Tensor
        Shared parameters.
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
    features = forward(params, slots).features.double()
    weights = torch.ones(len(features), dtype=torch.float64) if weights is None else weights.double()
    total = weights.sum().clamp(min=1e-12)
    share = weights / total
    mean = share @ features
    centred = features - mean
    weighted = centred * share[:, None]
    covariance = centred.T @ weighted
    logs = params["penalty/regression" if n_classes is None else "penalty/classes"].double()
    penalty = base_penalty(logs.exp(), total, covariance.diagonal().mean())
    identity = torch.eye(N_FEATURES, dtype=torch.float64)
    if n_classes is None:
        y = targets.double()
        bias = (share @ y)[None]
        slope = torch.linalg.solve(covariance + penalty * identity, (weighted.T @ (y - bias))[:, None])
    else:
        members = F.one_hot(targets, n_classes).double()
        bias = torch.log((weights @ members + 0.1) / (total + 0.1 * n_classes))
        bound = torch.linalg.cholesky(0.5 * covariance + penalty * identity)
        slope, bias = _logistic(centred, weighted, share, members, bound, penalty, bias)
    return {"head/weight": slope.float(), "head/bias": (bias - mean @ slope).float()}


def _logistic(
    centred: Tensor, weighted: Tensor, share: Tensor, members: Tensor, bound: Tensor, penalty: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Return slope and bias after accelerated steps from slope 0 that lower the penalised cross-entropy."""
    slope = torch.zeros(centred.shape[1], members.shape[1], dtype=centred.dtype)
    previous, previous_bias = ahead, ahead_bias = slope, bias
    for step in range(N_STEPS):
        # Only the last steps are differentiated: at the optimum their gradients have the direction of all steps'.
        with torch.set_grad_enabled(torch.is_grad_enabled() and step >= N_STEPS - _DIFFERENTIATED_STEPS):
            error = torch.softmax(centred @ ahead + ahead_bias, dim=1) - members
            slope = ahead - torch.cholesky_solve(weighted.T @ error + penalty * ahead, bound)
            bias = ahead_bias - 2 * (share @ error)
            # Nesterov's momentum.
            factor = step / (step + 3)
            ahead, ahead_bias = slope + factor * (slope - previous), bias + factor * (bias - previous_bias)
            previous, previous_bias = slope, bias
    return slope, bias
