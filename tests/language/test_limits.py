"""Limits: what they say, and that the JSON Schema says the same."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from runbooks.errors import RunbookError
from runbooks.language.limits import AT_ONCE_PATTERN, ATTEMPTS_PATTERN, parse_at_once, parse_attempts
from runbooks.model.runbook import AttemptLimit, RadiusLimit


def test_reads_attempts_in_a_span() -> None:
    """As one would say it."""
    assert parse_attempts("3 per 6h") == AttemptLimit(most=3, per=timedelta(hours=6))


@pytest.mark.parametrize(
    ("text", "limit", "of_ten", "of_hundred"),
    [
        ("2 per cluster", RadiusLimit(most=2, label="cluster"), 2, 2),
        ("10% of targets", RadiusLimit(most=10), 1, 10),
        ("1% of targets", RadiusLimit(most=1), 1, 1),
        ("25% of targets", RadiusLimit(most=25), 2, 25),
    ],
)
def test_reads_a_blast_radius(text: str, limit: RadiusLimit, of_ten: int, of_hundred: int) -> None:
    """A share is rounded down, but one may always be under repair: else the runbook could never run."""
    assert parse_at_once(text) == limit
    assert (limit.allowed(10), limit.allowed(100)) == (of_ten, of_hundred)


@pytest.mark.parametrize(
    "text",
    ["3 per 6h", "0 per 6h", "3 in 6h", "-1 per 1h", "2 per cluster", "0 per cluster", "2 per 1x", "2 per",
     "10% of targets", "0% of targets", "101% of targets", "100% of targets", "10 % of targets"],
)  # fmt: skip
def test_the_patterns_for_editors_take_what_is_read(text: str) -> None:
    """An editor refuses no limit that lint accepts."""
    for pattern, parse in ((ATTEMPTS_PATTERN, parse_attempts), (AT_ONCE_PATTERN, parse_at_once)):
        try:
            parse(text)
        except RunbookError:
            continue
        assert re.fullmatch(pattern, text)
