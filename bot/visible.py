"""Text from outside, made safe to show: in a terminal, in Markdown, for people.

A label may hold escape sequences that repaint the terminal, characters that turn the direction of
writing, or a line break that breaks a table.  What cannot be seen is replaced by a mark that can.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_MARKDOWN = re.compile(r"([\\`*\[\]<>|~#])|(?<!\w)(_)|(_)(?!\w)")
_BEGINS_SOMETHING = re.compile(r"^([=+@-]|\d+(?=[.)]))")


def visible(text: object) -> str:
    """Return `text` on one line, with a mark in the place of every character that cannot be seen."""
    line = " ".join(str(text).split())
    return "".join(
        REPLACEMENT if unicodedata.category(character) in _INVISIBLE else character for character in line
    )


def as_markdown(text: object) -> str:
    """Return `text` so that Markdown, and a spreadsheet it is pasted into, show it as it is."""
    escaped = _MARKDOWN.sub(r"\\\g<0>", visible(text))
    begins = _BEGINS_SOMETHING.match(escaped)
    if begins is None:
        return escaped
    mark = begins.group()
    return mark + "\\" + escaped[len(mark) :] if mark.isdigit() else "\\" + escaped


def as_code(text: object) -> str:
    """Return `text` as a Markdown code span that no backtick in it can end."""
    line = visible(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def as_span(span: timedelta) -> str:
    """Return a span of time as people write it: `350ms`, `2.1s`, `1m 37s`, `3h 5m`, `2d 4h`."""
    seconds = span.total_seconds()
    if seconds == 0:
        return "0s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = [(days, "d"), (hour, "h"), (minute, "m"), (second, "s")]
    first = next(position for position, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount}{unit}" for amount, unit in parts[first : first + 2] if amount)
