"""Preparations of models saved in format 1, brought to the attributes of today."""

# Tests: tests/test_persistence.py

from __future__ import annotations

from typing import Any

from autometa.tables.preparation import Preparation
from autometa.tables.text import TextTopics


def update_preparation(preparation: Any) -> None:
    """Give a preparation that was read from a file the attributes of today, in place; others stay as they are."""
    if not isinstance(preparation, Preparation) or "_embeddings" not in vars(preparation):
        return
    state = vars(preparation)
    categories = state.pop("_categories")
    topics = preparation.names[state["_n_measured"] + len(categories.names) :]
    state["_encoders"] = {"categories": categories, "texts": TextTopics(state.pop("_embeddings"), topics)}
    measures = vars(state["_measures"])
    measures["_learnt"] = {
        "numbers": None,
        "precise": (measures.pop("_offsets"), measures.pop("_scales")),
        "moments": measures.pop("_epochs_us"),
        "categories": measures.pop("_frequencies"),
        "texts": measures.pop("_repeats"),
    }
    del state["_first_category"], state["_first_text"], measures["_bounds"]
