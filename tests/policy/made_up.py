"""Past tasks that are made up: enough of them, and few enough to be replayed in milliseconds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autometa.metadataset.dataset import MetaDataset
from autometa.policy.past_tasks import PastTasks
from autometa.tables.features import META_FEATURES


def made_up_metadataset(
    seed: int = 0, n_tasks: int = 12, n_configurations: int = 8, *, missing: float = 0.0, n_families: int | None = None
) -> MetaDataset:
    """Return tasks of two kinds, told by one meta-feature: each half of the configurations suits one kind."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n_tasks) % 2
    suits = np.arange(n_configurations) % 2 == kind[:, None]
    losses = np.where(suits, 0.1, 0.4) + 0.1 * rng.random((n_tasks, n_configurations))
    losses[rng.random(losses.shape) < missing] = np.nan
    columns = [
        str({"algorithm": f"algorithm_{place % 3}", "hyperparameters": {"place": place}})
        for place in range(n_configurations)
    ]
    names = [f"task {number}" for number in range(n_tasks)]
    seconds = np.exp(rng.normal(size=n_configurations)) * np.exp(0.2 * rng.normal(size=losses.shape))
    about = pd.DataFrame(rng.normal(size=(n_tasks, len(META_FEATURES))), index=names, columns=list(META_FEATURES))
    about["landmark_ridge"] = 5.0 * kind + 0.1 * rng.normal(size=n_tasks)
    about["n_rows"], about["n_columns"], about["n_classes"] = rng.integers(100, 1000, n_tasks), 5, 3
    if n_families is not None:
        about["family"] = [f"family {number % n_families}" for number in range(n_tasks)]
    return MetaDataset.from_matrix(
        pd.DataFrame(losses, index=names, columns=columns),
        pd.DataFrame(seconds, index=names, columns=columns),
        tasks=about,
    )


def made_up_past(seed: int = 0, **shape: object) -> PastTasks:
    return PastTasks.from_metadataset(made_up_metadataset(seed, **shape))  # type: ignore[arg-type]
