"""AutoML for tables that has learnt how to learn."""

from __future__ import annotations

import importlib
import os
from typing import Any

# OpenMP threads that spin while they wait slow boosting down many times as soon as anything
# else runs on the machine. Libraries read it when they are loaded; a value of yours is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

# Public name → the module that holds it. Loaded on first use, so that `import autometa`
# stays quick and brings in neither torch nor a boosting library.
_PUBLIC = {
    "AutoMeta": "autometa.estimators",
    "AutoMetaClassifier": "autometa.estimators",
    "AutoMetaRegressor": "autometa.estimators",
    "MetaDataset": "autometa.metadataset.dataset",
    "MetaSampler": "autometa.transfer.sampling.sampler",
    "MetaPruner": "autometa.transfer.pruning.pruner",
    "SearchSpace": "autometa.core.space",
    "Strategy": "autometa.core.strategy",
    "StudyArchive": "autometa.transfer.study_archive",
    "load": "autometa.loading",
    "load_strategies": "autometa.catalogue",
    "pipeline_of": "autometa.pipelines",
    "recommend": "autometa.recommendation",
    "save": "autometa.persistence",
    "warm_start": "autometa.transfer.sampling.warm_start",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'autometa' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
