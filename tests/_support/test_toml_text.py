from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autometa._support.toml_text import toml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = TEXTS | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=12)


@given(st.dictionaries(TEXTS, VALUES))
def test_what_is_written_is_read_again(values: dict[str, object]):
    assert tomllib.loads(toml_text(values)) == values


def test_value_without_a_word_in_toml_is_named():
    with pytest.raises(TypeError, match=r"machine\.gpu = None cannot be written as TOML"):
        toml_text({"machine": {"gpu": None}})
