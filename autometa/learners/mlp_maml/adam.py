"""AdamW (Loshchilov and Hutter 2019) on one vector that all parameters lie in, one after the other.

A step is then a dozen passes over one array, however many parameters there are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_BETAS = (0.9, 0.95)
_LEAST = 1e-8


class AdamW:
    """Parameters in training, their gradients and their running mean.

    Parameters
    ----------
    params : mapping of str to ndarray
        What the parameters are at first; copied.
    factors : mapping of str to float
        By name, what the learning rate is multiplied by.
    decays : mapping of str to float
        By name, what the weight decay is multiplied by.
    largest_norm : float
        Longer gradients are shortened to this.

    Attributes
    ----------
    params, gradients, mean : dict of str to ndarray
        By name. The arrays of `gradients` are to be written to; all are views that steps change.
    """

    def __init__(
        self,
        params: Mapping[str, np.ndarray],
        factors: Mapping[str, float],
        decays: Mapping[str, float],
        largest_norm: float,
    ) -> None:
        self._vector = np.concatenate([array.ravel() for array in params.values()]).astype(np.float32)
        self._gradient, self._first, self._second, self._room = (np.zeros_like(self._vector) for _ in range(4))
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
            Learning rate of parameters whose factor is 1.
        decay : float
            Share of the rate by which parameters shrink whose factor of decay is 1.
        n_averaged : int
            About how many of the last steps the running mean is taken over.
        """
        gradient, room = self._gradient, self._room
        norm = float(np.sqrt(gradient @ gradient))
        gradient *= np.float32(min(1.0, self._largest_norm / (norm + 1e-6)))
        self.n_steps += 1
        of_first, of_second = _BETAS
        self._first += np.multiply(np.subtract(gradient, self._first, out=room), 1 - of_first, out=room)
        np.square(gradient, out=gradient)
        self._second += np.multiply(np.subtract(gradient, self._second, out=room), 1 - of_second, out=room)
        np.sqrt(self._second, out=room)
        room *= (1 - of_second**self.n_steps) ** -0.5
        room += _LEAST
        np.divide(self._first, room, out=room)
        room *= self._factor
        room *= rate / (1 - of_first**self.n_steps)
        # Of what was there before the step.
        self._vector -= np.multiply(np.multiply(self._decay, self._vector, out=gradient), rate * decay, out=gradient)
        self._vector -= room
        np.subtract(self._vector, self._mean, out=room)
        room *= 1 / min(1 + self.n_steps, max(2, n_averaged))
        self._mean += room


def _views(vector: np.ndarray, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return parts of a vector by name, of the shapes of other arrays."""
    views, start = {}, 0
    for name, array in like.items():
        views[name] = vector[start : start + array.size].reshape(array.shape)
        start += array.size
    return views
