"""Values as bytes: the same value is the same bytes, on every machine."""

from __future__ import annotations

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from runbooks.model.base import Value, as_body, canonical, digest

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(BODIES)
def test_bodies_are_written_as_rfc_8785_says(body):
    """The quick encoder and the reference agree on everything that a body can hold."""
    assert canonical(body) == rfc8785.dumps(body)


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (1.0, "1.0"),
        (float("nan"), "nan"),
        (2**60, str(2**60)),
        ({1: (2, True)}, {"1": [2, True]}),
        (None, None),
    ],
)
def test_numbers_that_differ_between_machines_become_text(value, body):
    """1.0 would be written as 1, and NaN not at all."""
    assert as_body(value) == body


def test_equal_values_have_one_digest():
    """The order in which fields are given does not matter; their content does."""

    class Pair(Value):
        one: int
        two: dict[str, int]

    assert digest(Pair(one=1, two={"a": 1, "b": 2})) == digest(Pair(two={"b": 2, "a": 1}, one=1))
    assert digest(Pair(one=1, two={})) != digest(Pair(one=2, two={}))
