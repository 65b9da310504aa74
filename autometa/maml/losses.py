"""Losses per row that can be differentiated twice under `vmap`."""

# Tests: tests/maml/test_gradient.py

from __future__ import annotations

import torch
from torch import Tensor


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return (n_rows,) squared errors, the mean over outputs if there are several."""
    errors = (outputs.reshape(targets.shape) - targets) ** 2
    return errors if errors.ndim == 1 else errors.flatten(1).mean(dim=1)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return (n_rows,) negative log-probabilities of the codes in `targets` under the softmax of logits."""
    return -torch.log_softmax(logits, dim=-1).gather(-1, targets[:, None])[:, 0]
