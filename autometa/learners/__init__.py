"""The algorithms that can be fitted; ``LEARNERS`` is the only list of them."""

from __future__ import annotations

from autometa.core.strategy import Strategy
from autometa.learners.base import Learner
from autometa.learners.bayes import DISCRIMINANT_ANALYSIS
from autometa.learners.catboost_fit import CATBOOST
from autometa.learners.kernels import GAUSSIAN_PROCESS, KERNEL_SVM
from autometa.learners.lightgbm_fit import LIGHTGBM
from autometa.learners.linear import ELASTIC_NET, LOGISTIC_REGRESSION, RIDGE
from autometa.learners.mlp_maml.learner import MLP_MAML
from autometa.learners.neighbours import NEAREST_NEIGHBOURS
from autometa.learners.neural import NEURAL_NETWORK
from autometa.learners.sklearn_estimator import own_learner
from autometa.learners.trees import EXTRA_TREES, HIST_GRADIENT_BOOSTING, RANDOM_FOREST
from autometa.learners.xgboost_fit import XGBOOST

LEARNERS: tuple[Learner, ...] = (
    LIGHTGBM,
    CATBOOST,
    XGBOOST,
    HIST_GRADIENT_BOOSTING,
    RANDOM_FOREST,
    EXTRA_TREES,
    LOGISTIC_REGRESSION,
    RIDGE,
    ELASTIC_NET,
    NEAREST_NEIGHBOURS,
    KERNEL_SVM,
    GAUSSIAN_PROCESS,
    DISCRIMINANT_ANALYSIS,
    NEURAL_NETWORK,
    MLP_MAML,
)

_BY_NAME = {learner.name: learner for learner in LEARNERS}


def learner_named(name: str) -> Learner:
    """Return the learner called `name`.

    Raises
    ------
    ValueError
        If there is none.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ValueError(f"There is no learner {name!r}; there are {sorted(_BY_NAME)}.") from None


def learner_of(strategy: Strategy) -> Learner:
    """Return the learner of a strategy, which is named in it or made around its scikit-learn estimator."""
    if isinstance(strategy.learner, str):
        return learner_named(strategy.learner)
    return own_learner(strategy.name, strategy.learner)
