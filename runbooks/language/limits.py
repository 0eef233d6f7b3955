"""Limits as people write them: `3 per 6h`, `2 per cluster`, `10% of targets`."""

from __future__ import annotations

import re

from runbooks.errors import RunbookError
from runbooks.language.durations import parse_duration
from runbooks.language.findings import shown
from runbooks.model.runbook import AttemptLimit, RadiusLimit

ATTEMPTS_PATTERN = r"[1-9][0-9]{0,2} per [0-9dhms]+"
AT_ONCE_PATTERN = r"[1-9][0-9]{0,3} per [a-zA-Z_][a-zA-Z0-9_]*|(?:[1-9][0-9]?|100)% of targets"

_ATTEMPTS = re.compile(r"([1-9][0-9]{0,2}) per (\S+)", re.ASCII)
_PER_LABEL = re.compile(r"([1-9][0-9]{0,3}) per ([a-zA-Z_][a-zA-Z0-9_]*)", re.ASCII)
_SHARE = re.compile(r"([1-9][0-9]?|100)% of targets", re.ASCII)


def parse_attempts(text: str) -> AttemptLimit:
    """Return the limit that `text` writes.

    Raises:
        RunbookError: it writes none; without a place.
    """
    found = _ATTEMPTS.fullmatch(text)
    if found is None:
        raise RunbookError(
            f"{shown(text)} is no number of attempts in a span of time", remedy="Write both: 3 per 6h"
        )
    span = parse_duration(found[2])
    if not span:
        raise RunbookError(f"{shown(text)} limits nothing", remedy="Write a span that is longer than nothing")
    return AttemptLimit(most=int(found[1]), per=span)


def parse_at_once(text: str) -> RadiusLimit:
    """Return the limit that `text` writes.

    Raises:
        RunbookError: it writes none; without a place.
    """
    if found := _PER_LABEL.fullmatch(text):
        return RadiusLimit(most=int(found[1]), label=found[2])
    if found := _SHARE.fullmatch(text):
        return RadiusLimit(most=int(found[1]))
    raise RunbookError(
        f"{shown(text)} does not say how much may be under repair at once",
        remedy="Write a number and a label of the alert, 2 per cluster, or a share of the inventory, 10% of targets",
    )
