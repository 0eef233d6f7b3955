"""Durations as people write them in runbooks: `90s`, `15m`, `1h30m`, `1d`."""

from __future__ import annotations

import re
from datetime import timedelta

from runbooks.errors import RunbookError
from runbooks.language.findings import shown

DURATION_PATTERN = r"(?:\d{1,5}d)?(?:\d{1,5}h)?(?:\d{1,5}m)?(?:\d{1,5}s)?"
"""Largest unit first, each at most once.  Matches the empty text, which is no duration."""

_DURATION = re.compile(
    r"(?:(?P<days>\d{1,5})d)?(?:(?P<hours>\d{1,5})h)?(?:(?P<minutes>\d{1,5})m)?(?:(?P<seconds>\d{1,5})s)?",
    re.ASCII,
)


def parse_duration(text: str) -> timedelta:
    """Return the span that `text` names.

    Raises:
        RunbookError: it names none; without a place.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise RunbookError(
            f"{shown(text)} is not a duration",
            remedy="Write a number and its unit, largest first: 90s, 15m, 1h30m, 1d",
        )
    return timedelta(**{unit: int(number) for unit, number in match.groupdict("0").items()})
