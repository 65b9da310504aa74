"""AdamW (Loshchilov and Hutter 2019) on one vector that holds all parameters.

A step is a dozen passes over one array, whatever the number of parameters.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_BETAS = (0.9, 0.95)
_EPSILON = 1e-8


class AdamW:
    """Parameters in training, their gradients and their running mean.

    Parameters
    ----------
    params : mapping of str to ndarray
        First values of the parameters; copied.
    factors : mapping of str to float
        Factor of the learning rate, by name.
    decays : mapping of str to float
        Factor of the weight decay, by name.
    largest_norm : float
        Longer gradients are shortened to this norm.

    Attributes
    ----------
    params, gradients, mean : dict of str to ndarray
        Views by name, which steps change. Callers write the gradients before each step.
    """

    def __init__(
        self,
        params: Mapping[str, np.ndarray],
        factors: Mapping[str, float],
        decays: Mapping[str, float],
        largest_norm: float,
    ) -> None:
        self._vector = np.concatenate([array.ravel() for array in params.values()]).astype(np.float32)
        self._gradient, self._first, self._second, self._buffer = (np.zeros_like(self._vector) for _ in range(4))
        self._mean = self._vector.copy()
        sizes = [array.size for array in params.values()]
        self._factor = np.repeat(np.array([factors[name] for name in params], dtype=np.float32), sizes)
        self._decay = np.repeat(np.array([factors[name] * decays[name] for name in params], dtype=np.float32), sizes)
        self._largest_norm = largest_norm
        self.n_steps = 0
        self.params, self.gradients, self.mean = (
            _views(vector, params) for vector in (self._vector, self._gradient, self._mean)
        )

    def step(self, rate: float, decay: float, n_averaged: int) -> None:
        """Make a step along the gradients.

        Parameters
        ----------
        rate : float
            Learning rate of parameters with factor 1.
        decay : float
            Weight decay of parameters with factor 1, relative to the rate.
        n_averaged : int
            Approximate number of steps that the running mean covers.
        """
        gradient, buffer = self._gradient, self._buffer
        norm = float(np.sqrt(gradient @ gradient))
        gradient *= np.float32(min(1.0, self._largest_norm / (norm + 1e-6)))
        self.n_steps += 1
        beta1, beta2 = _BETAS
        self._first += np.multiply(np.subtract(gradient, self._first, out=buffer), 1 - beta1, out=buffer)
        np.square(gradient, out=gradient)
        self._second += np.multiply(np.subtract(gradient, self._second, out=buffer), 1 - beta2, out=buffer)
        np.sqrt(self._second, out=buffer)
        buffer *= (1 - beta2**self.n_steps) ** -0.5
        buffer += _EPSILON
        np.divide(self._first, buffer, out=buffer)
        buffer *= self._factor
        buffer *= rate / (1 - beta1**self.n_steps)
        # The decay is relative to the parameters before the step.
        self._vector -= np.multiply(np.multiply(self._decay, self._vector, out=gradient), rate * decay, out=gradient)
        self._vector -= buffer
        np.subtract(self._vector, self._mean, out=buffer)
        buffer *= 1 / min(1 + self.n_steps, max(2, n_averaged))
        self._mean += buffer


def _views(vector: np.ndarray, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return views into a vector, with the names and shapes of the arrays in `like`."""
    views, start = {}, 0
    for name, array in like.items():
        views[name] = vector[start : start + array.size].reshape(array.shape)
        start += array.size
    return views
