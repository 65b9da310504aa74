"""Brings saved models of earlier formats to the present one; every conversion is called from here."""
# Tests: tests/test_persistence.py

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from autometa.ensemble.predictor import FittedPredictor, upgrade_format_1
from autometa.tables.format_1 import update_preparation

FORMAT = 3
"""Version of the format that this autometa writes, and the newest that it reads."""

MOVED_TYPES = {
    "autometa.learners.categories.CategoryCodes": "autometa.tables.categories.CategoryCodes",
    "autometa.learners.categories.OneHot": "autometa.tables.categories.OneHot",
    "autometa.learners.measures.Measures": "autometa.tables.measures.Measures",
    "autometa.learners.mlp_maml.SharedNetworkModel": "autometa.learners.mlp_maml.learner.SharedNetworkModel",
    "autometa.learners.own.OwnModel": "autometa.learners.sklearn_estimator.OwnModel",
    "autometa.learners.preparation.Preparation": "autometa.tables.preparation.Preparation",
    "autometa.learners.scaling.Scaler": "autometa.tables.scaling.Scaler",
    "autometa.learners.text.TextEmbedding": "autometa.tables.text.TextEmbedding",
}
"""Present names of types that have moved since some format; no type may reuse an old name."""


def upgraded_dump(dump: bytes) -> bytes:
    """Return the dump of an earlier format (``model.skops``) with the present names of types."""
    renamed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(dump)) as before, zipfile.ZipFile(renamed, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name == "schema.json":
                data = json.dumps(json.loads(data, object_hook=_with_present_name)).encode()
            after.writestr(name, data)
    return renamed.getvalue()


def upgrade_predictor(predictor: FittedPredictor, version: int) -> None:
    """Convert the attributes of an ensemble that was read from a file of format `version`, in place."""
    if version == 1:
        upgrade_format_1(predictor)
        for preparation in predictor.preparations:
            update_preparation(preparation)


def _with_present_name(node: dict[str, Any]) -> dict[str, Any]:
    present = MOVED_TYPES.get(f"{node.get('__module__')}.{node.get('__class__')}")
    if present is None:
        return node
    module, _, name = present.rpartition(".")
    return {**node, "__module__": module, "__class__": name}
