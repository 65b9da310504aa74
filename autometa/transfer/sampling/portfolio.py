"""Complementary configurations: for whatever the new study turns out to be like, one of them is good."""

from __future__ import annotations

import numpy as np

from autometa.transfer.sampling.population import Population

_N_DRAWS = 256
_N_RANDOM = 200


def complementary_points(population: Population, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return `n` points, best first, of which the best is expected to be as good as possible.

    Loss functions are drawn from the population; each next point is the one that lowers the mean
    over the draws of the best score so far the most (greedy, as in Hydra; Xu et al., 2010).

    Parameters
    ----------
    population : Population
        What past studies say.
    n : int
        How many, at least 1; fewer come back if there are not so many different ones.
    rng : Generator
        Draws functions and candidates.
    """
    encoding = population.encoding
    drawn = encoding.uniform(rng.random((_N_RANDOM, len(encoding.names))))
    candidates = np.unique(np.concatenate([population.tops, drawn]), axis=0)
    features = population.features(encoding.inputs(candidates))
    weights = population.mean[:, None] + population.root @ rng.normal(size=(population.root.shape[1], _N_DRAWS))
    scores = features @ weights
    chosen: list[int] = []
    best = np.full(_N_DRAWS, np.inf)
    for _ in range(min(n, len(candidates))):
        means = np.minimum(scores, best).mean(axis=1)
        means[chosen] = np.inf
        chosen.append(int(means.argmin()))
        best = np.minimum(best, scores[chosen[-1]])
    return candidates[chosen]
