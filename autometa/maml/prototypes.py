r"""Proto-MAML: MAML for any number of classes, whose head starts from prototypes.

A prototype :math:`c_k` is the mean of a class's features in the support. The squared distances of prototypical
networks are a linear layer,

.. math:: -\tfrac1d \lVert f - c_k \rVert^2 = \tfrac2d c_k^\top f - \tfrac1d \lVert c_k \rVert^2 + \text{const},

which is the head's start. Then the inner loop of MAML changes head and body, and the outer gradient flows through both
(Triantafillou et al. 2020, "Meta-Dataset"; Snell, Swersky and Zemel 2017). Unlike there, distances are divided by the
number of features :math:`d`, so that one inner rate suits networks of any width.

For regression the head starts from meta-learned weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from autometa.maml.inner import descend
from autometa.maml.losses import cross_entropy, squared_error
from autometa.maml.meta_learner import MetaLearner
from autometa.maml.protocol import Examples, Forward, Inputs, Params

HEAD = ("head.weight", "head.bias")
"""Names of adapted parameters, of shapes (n_classes, n_features) and (n_classes,), with one row for regression."""

REGRESSION_HEAD = ("regression_head.weight", "regression_head.bias")
"""Names of the meta-learned parameters that the head of a regression starts from."""


def prototype_head(features: Tensor, support: Examples) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the linear layer whose logits are negative squared distances to prototypes.

    The prototype of a class without a row in the support is the mean of all rows.

    Parameters
    ----------
    features : Tensor of shape (n_rows, n_features)
        Features of the support's rows.
    support : Examples
        Targets, number of classes and weights.
    """
    assert support.n_classes is not None
    members = torch.nn.functional.one_hot(support.targets, support.n_classes).to(features.dtype)  # (rows, classes)
    weights = features.new_ones(len(features)) if support.weights is None else support.weights
    members = members * weights[:, None]
    counts = members.sum(dim=0)[:, None]
    middle = (features * weights[:, None]).sum(dim=0) / weights.sum().clamp(min=1e-12)
    prototypes = torch.where(counts > 0, members.T @ features / counts.clamp(min=1e-12), middle)
    n_features = features.shape[1]
    return 2 / n_features * prototypes, -(prototypes**2).sum(dim=1) / n_features


@dataclass(frozen=True)
class ProtoMAML(MetaLearner):
    r"""Proto-MAML as a meta-learner for classification and regression.

    Parameters
    ----------
    features : callable
        The body of the network: rows → features of shape (n_rows, n_features).
    n_features : int
        Number of features.
    rate : float
        :math:`\alpha` of the inner loop.
    n_steps : int
        Inner steps; without any the meta-learner is a prototypical network.
    is_first_order : bool
        Whether inner gradients count as constants. The prototypes are always differentiated.
    """

    features: Forward
    n_features: int
    rate: float = 0.1
    n_steps: int = 5
    is_first_order: bool = False

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}.")
        if self.n_steps < 0 or self.n_features < 1:
            raise ValueError(
                f"n_steps must not be negative and n_features at least 1, got {self.n_steps} and {self.n_features}."
            )

    def initial(self, params: Mapping[str, Tensor], seed: int = 0) -> Params:
        """Return parameters of the body, and zeros for the head of a regression."""
        weight, bias = REGRESSION_HEAD
        like = next(iter(params.values()))
        return {**params, weight: like.new_zeros(1, self.n_features), bias: like.new_zeros(1)}

    def inner(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return body and head after the inner loop, unchecked."""
        body = {name: value for name, value in params.items() if name not in REGRESSION_HEAD}
        if support.n_classes is None:
            weight, bias = (params[name] for name in REGRESSION_HEAD)
        else:
            weight, bias = prototype_head(self.features(body, support.inputs), support)
        return descend(
            lambda some: self.loss(some, support),
            {**body, HEAD[0]: weight, HEAD[1]: bias},
            self.rate,
            self.n_steps if n_steps is None else n_steps,
            first_order=self.is_first_order,
        )

    def predict(self, params: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        """Return logits of shape (n_rows, n_classes), or values of shape (n_rows, 1), under adapted parameters."""
        body = {name: value for name, value in params.items() if name not in HEAD}
        return self.features(body, inputs) @ params[HEAD[0]].T + params[HEAD[1]]

    def loss(self, params: Mapping[str, Tensor], examples: Examples) -> Tensor:
        """Return the mean log loss of classes, or the mean squared error."""
        row_losses = squared_error if examples.n_classes is None else cross_entropy
        return examples.mean(row_losses(self.predict(params, examples.inputs), examples.targets))
