from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from autometa.metadataset.families import family_parts


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1), st.integers(1, 8), st.integers(0, 99))
def test_every_family_is_in_one_part_and_parts_are_about_equal(families: list[str], n: int, seed: int):
    sizes = Counter(families)
    n = min(n, len(sizes))
    parts = family_parts(families, n, seed)
    assert sorted(family for part in parts for family in part) == sorted(sizes)
    n_tasks = [sum(sizes[family] for family in part) for part in parts]
    # The smallest part got the last family, so it lacks at most the largest one.
    assert max(n_tasks) - min(n_tasks) <= max(sizes.values())


def test_parts_depend_on_the_seed_and_not_on_the_order_of_the_tasks():
    families = [f"family {number}" for number in range(12)]
    assert family_parts(families, 3, 1) == family_parts(reversed(families), 3, 1)
    assert family_parts(families, 3, 1) != family_parts(families, 3, 2)
