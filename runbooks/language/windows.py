"""The file of maintenance windows: from its text to `Window` values.

Read in the same way as a runbook, and as strictly: a window that is misspelt is one that does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from zoneinfo import available_timezones

from runbooks.language.findings import Findings, shown, suggestion
from runbooks.language.reading import Section, text_of
from runbooks.language.source import ListNode, Node, read_yaml
from runbooks.language.words import WordList
from runbooks.model.freeze import EVERYTHING, SCOPES, is_scope
from runbooks.model.window import DAYS, LONGEST, Once, Weekly, Window

FILE = WordList("the file of windows", {"windows": "A list of windows."}, required=("windows",))

WINDOW = WordList(
    "a window",
    {
        "name": "What it is called.",
        "scope": "What it stops: " + SCOPES + "; everything, if left out.",
        "reason": "Why nothing is done meanwhile.",
        "from": "When it opens, once: 2026-12-01T22:00:00+01:00.",
        "until": "When it closes, once: 2026-12-02T02:00:00+01:00.",
        "every": "The days on which it opens again and again: day, weekday, weekend, monday, or a list.",
        "at": "The time of day at which it opens: 22:00.",
        "for": "How long it is open: 4h.",
        "zone": "By whose clock: Europe/Berlin.",
    },
    required=("name", "reason"),
)

_ONCE = ("from", "until")
_AGAIN = ("every", "at", "for", "zone")
_DAYS: Mapping[str, tuple[int, ...]] = {
    **{name: (number,) for number, name in enumerate(DAYS)},
    "day": tuple(range(7)),
    "weekday": tuple(range(5)),
    "weekend": (5, 6),
}
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_MIDNIGHT = time()
_NEVER = datetime.min.replace(tzinfo=UTC)


def parse_windows(text: str, *, file: str) -> tuple[Window, ...]:
    """Return the windows that `text` writes.

    Args:
        text: what stands in the file.
        file: its name, for errors.

    Raises:
        RunbookErrors: holds everything that is wrong with it.
    """
    findings = Findings(file, "a file of windows", "`windows:` and a list")
    node = read_yaml(text, findings)
    section = Section(node, FILE, findings)
    windows = tuple(_Reader(Section(item, WINDOW, findings)).read() for item in section.items("windows"))
    findings.settle()
    return windows


class _Reader:
    """Reads one window.  Where something is wrong it goes on with a stand-in."""

    def __init__(self, section: Section) -> None:
        self._section = section
        self._findings = section.findings

    def read(self) -> Window:
        """Return the window; it means nothing where there are findings."""
        section = self._section
        return Window(
            name=section.plain_text("name") or "",
            scope=self._scope(),
            times=self._times(),
            reason=section.plain_text("reason") or "",
        )

    def _scope(self) -> str:
        scope = self._section.plain_text("scope") or EVERYTHING
        if not is_scope(scope):
            problem = f"{shown(scope)} is no scope"
            self._findings.add(problem, f"Write {SCOPES}", self._section.place_of("scope"))
        return scope

    def _times(self) -> Once | Weekly:
        once, again = ([word for word in words if word in self._section] for words in (_ONCE, _AGAIN))
        if bool(once) == bool(again):
            problem = "a window is open once or again and again" if once else "a window says when it is open"
            remedy = "Write either `from` and `until`, or `every`, `at`, `for` and `zone`"
            self._findings.add(problem, remedy, self._section.place)
        for word in _AGAIN if again else _ONCE:
            if word not in self._section and bool(once) != bool(again):
                remedy = f"Add `{word}:`. {WINDOW.words[word]}".rstrip(".")
                self._findings.add(f"this window needs `{word}`", remedy, self._section.place)
        return self._again() if again else self._once()

    def _once(self) -> Once:
        begins, ends = (self._moment(word) for word in _ONCE)
        if begins and ends and begins >= ends:
            place = self._section.place_of("until")
            self._findings.add("the window closes before it opens", "Exchange `from` and `until`", place)
        return Once(begins=begins or _NEVER, ends=ends or _NEVER)

    def _moment(self, word: str) -> datetime | None:
        text = self._section.text(word)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            problem = (
                f"{shown(text)} is no moment"
                if moment is None
                else f"{shown(text)} does not say by whose clock"
            )
            remedy = "Write date, time and offset: 2026-12-01T22:00:00+01:00"
            self._findings.add(problem, remedy, self._section.place_of(word))
            return None
        return moment

    def _again(self) -> Weekly:
        return Weekly(days=self._days(), at=self._time(), lasts=self._span(), zone=self._zone())

    def _days(self) -> tuple[int, ...]:
        node = self._section.node("every")
        items: tuple[Node, ...] = (
            self._section.items("every") if isinstance(node, ListNode) else (node,) if node else ()
        )
        return tuple(sorted({day for item in items for day in self._days_of(item)}))

    def _days_of(self, node: Node) -> tuple[int, ...]:
        word = text_of(node, "a day", self._findings)
        if word is None:
            return ()
        if word not in _DAYS:
            self._findings.add(f"there is no day {shown(word)}", suggestion(word, _DAYS), node.place)
        return _DAYS.get(word, ())

    def _time(self) -> time:
        text = self._section.text("at")
        found = _TIME.fullmatch(text) if text else None
        if text and not found:
            remedy = "Write hours and minutes, from 00:00 to 23:59"
            self._findings.add(f"{shown(text)} is no time of day", remedy, self._section.place_of("at"))
        return time(int(found[1]), int(found[2])) if found else _MIDNIGHT

    def _span(self) -> timedelta:
        span = self._section.duration("for")
        if span is not None and not timedelta() < span <= LONGEST:
            remedy = f"Write more than nothing and at most {LONGEST.days}d"
            self._findings.add("a window cannot be open so long", remedy, self._section.place_of("for"))
        return span or timedelta()

    def _zone(self) -> str:
        zone = self._section.text("zone")
        if zone is not None and zone not in available_timezones():
            near = suggestion(zone, available_timezones())
            remedy = (
                near if near.startswith("Perhaps") else "Write a name of the tz database: Europe/Berlin, UTC"
            )
            self._findings.add(f"there is no time zone {shown(zone)}", remedy, self._section.place_of("zone"))
        return zone or "UTC"
