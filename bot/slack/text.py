"""Text for Slack: foreign words made harmless, and cut without breaking them.

Slack's mrkdwn gives meaning to `&`, `<` and `>`: `<!channel>` wakes everybody, `<url|text>` lies
about where a link leads.  Labels, annotations and people's reasons are foreign, so each of them
passes through one of the functions here, once, and is cut only after that: escaping makes text
longer, and half an entity (`&am`) is shown to people as it stands.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

ELLIPSIS = "…"
BACKTICK = "\N{MODIFIER LETTER GRAVE ACCENT}"  # looks like one, and ends no code

_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# C0 and C1 without tab and line feed; marks, embeddings, overrides and isolates of the
# bidirectional algorithm, with which a text can be made to read as another one; half characters.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
_HALVES = re.compile(r"[\ud800-\udfff]")
_PART = re.compile(r"(&[a-z]{0,3}|<[^<>]*)\Z")
_PERSON = re.compile(r"slack:[A-Z0-9]+/([UW][A-Z0-9]+)")
_PEOPLE = re.compile(_PERSON.pattern + r"(?![A-Z0-9…])")  # a key that was cut is somebody else's


def clean(text: str) -> str:
    """Return `text` without controls; all line breaks are line feeds, tabs are spaces."""
    text = _LINE_BREAKS.sub("\n", text)
    return _HALVES.sub("\ufffd", _CONTROLS.sub("", text)).replace("\t", " ")


def escape(text: str) -> str:
    """Return foreign `text` for mrkdwn: no mention, no link, no code, no controls."""
    return _masked(clean(text))


def _masked(text: str) -> str:
    text = text.replace("`", BACKTICK)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(escaped: str, limit: int) -> str:
    """Return at most `limit` characters of `escaped`, never a part of an entity, a mention, a date or a link."""
    if len(escaped) <= limit:
        return escaped
    return _PART.sub("", escaped[: limit - 1]).rstrip() + ELLIPSIS


def line(text: str, limit: int = 200) -> str:
    """Return foreign `text` as one escaped line of at most `limit` characters."""
    words = " ".join(clean(text).split())
    return cut(_masked(words[: limit + 1]), limit)  # one more than fit, so that it is seen to be cut


def plain(text: str, limit: int) -> str:
    """Return foreign `text` as one line for a plain text object, in which nothing is markup."""
    return cut_plain(" ".join(clean(text).split()), limit)


def cut_plain(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text` that is not escaped."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + ELLIPSIS


def code(text: str, limit: int = 100) -> str:
    """Return foreign `text` as inline code; an en dash where there is none."""
    shown = line(text, limit)
    return f"`{shown}`" if shown else "–"


def quote(text: str, limit: int, most_lines: int) -> str:
    """Return foreign `text` as a quotation: every line of it is marked as not ours."""
    lines = [line.strip() for line in clean(text).split("\n")]
    kept = [line for line in lines if line]
    if len(kept) > most_lines:
        kept = [*kept[:most_lines], ELLIPSIS]
    return "\n".join(f">{each}" for each in cut(escape("\n".join(kept)), limit).split("\n"))


def arguments(values: dict[str, Any], limit: int = 300) -> str:
    """Return an action's parameters as inline code, each as name=value; what is absent is left out."""
    parts = [
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in values.items()
        if value is not None
    ]
    return code(" ".join(parts), limit) if parts else ""


def person(key: str, name: str = "") -> str:
    """Return a person for mrkdwn: Slack shows its own name for its people, not one that we heard."""
    known = _PERSON.fullmatch(key)
    return f"<@{known[1]}>" if known else line(name or key, 80)


def with_people(escaped: str) -> str:
    """Return escaped text in which the keys of Slack's people are shown as Slack shows them.

    For what one person sees: in a channel it would wake whoever stands in a foreign text.
    """
    return _PEOPLE.sub(r"<@\1>", escaped)


def moment(at: datetime, *, with_date: bool = False) -> str:
    """Return `at` in the reader's own time zone; UTC where that cannot be shown."""
    shape = "{date_short_pretty} at {time}" if with_date else "{time}"
    return f"<!date^{int(at.timestamp())}^{shape}|{clock(at)}>"


def clock(at: datetime) -> str:
    """Return the time of day in UTC, `15:04 UTC`."""
    return f"{at.astimezone(UTC):%H:%M} UTC"


def span(length: timedelta) -> str:
    """Return a length of time as a person says it: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
