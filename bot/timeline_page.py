"""A timeline as a page of Markdown, for a postmortem and for a file in a chat.

It needs no terminal, so it is apart from the views that do.
"""

from __future__ import annotations

from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from bot.timeline import Timeline
from bot.timeline_rows import as_arguments
from bot.visible import as_code, as_markdown, as_span


class _Ready(str):
    """Text that is Markdown already."""

    __slots__ = ()


def _finalize(value: object) -> str:
    return value if isinstance(value, _Ready) else as_markdown(value)


def _code(text: object) -> str:
    return _Ready(as_code(text))


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S}"


_TEMPLATES = Environment(
    loader=PackageLoader("bot"),
    autoescape=False,  # noqa: S701 - it is Markdown, not HTML: `finalize` escapes every value
    undefined=StrictUndefined,
    finalize=_finalize,
    keep_trailing_newline=True,
)
_TEMPLATES.globals.update(code=_code, clock=_clock, span=as_span, arguments=as_arguments)


def as_markdown_page(told: Timeline) -> str:
    """Return the timeline as a Markdown page for a postmortem."""
    page = _TEMPLATES.get_template("timeline.md.j2").render(told=told)
    return page.rstrip("\n") + "\n"
