"""Maintenance windows: times in which nobody acts, known beforehand.

A window is open once, from one moment to another, or again and again: on some days of the week,
from a time of day by the clock of a place, for a span of real time.

Where that clock is changed, a window begins as RFC 5545 (3.3.5) says of recurring events: a time that
the clock shows twice is the first of the two, and one that it leaves out is counted on as if the
clock had not been changed.  However long its night is, a window lasts as long as it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from runbooks.model.base import Value
from runbooks.model.freeze import is_covered, scope_words

LONGEST = timedelta(days=7)
"""How long a recurring window may last: longer ones would be open always."""

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_ONE_DAY = timedelta(days=1)


class Once(Value):
    """From one moment to another."""

    begins: datetime
    ends: datetime

    def end_at(self, now: datetime) -> datetime | None:
        """Return when the window that is open at `now` closes; None where it is not open."""
        return self.ends if self.begins <= now < self.ends else None

    @property
    def words(self) -> str:
        """When it is open, for people."""
        return f"from {_minute(self.begins)} until {_minute(self.ends)}"


class Weekly(Value):
    """Again and again, on some days of the week.

    Attributes:
        days: 0 is Monday.
        at: by the clock of `zone`.
        lasts: real time, at most `LONGEST`.
        zone: a name of the tz database (`Europe/Berlin`).
    """

    days: tuple[int, ...]
    at: time
    lasts: timedelta
    zone: str

    def end_at(self, now: datetime) -> datetime | None:
        """Return when the window that is open at `now` closes; None where it is not open."""
        ends = [begin + self.lasts for begin in self._begins_before(now) if now < begin + self.lasts]
        return max(ends, default=None)

    def _begins_before(self, now: datetime) -> Iterator[datetime]:
        """Yield the beginnings that a window which is open at `now` may have."""
        today = now.astimezone(ZoneInfo(self.zone)).date()
        for back in range(
            self.lasts // _ONE_DAY + 3
        ):  # tomorrow's may have begun where clocks are put back over midnight
            begin = self.begin_on(today + _ONE_DAY - back * _ONE_DAY)
            if begin is not None and begin <= now:
                yield begin

    def begin_on(self, day: date) -> datetime | None:
        """Return when it begins on this day, UTC; None where it does not."""
        if day.weekday() not in self.days:
            return None
        return datetime.combine(day, self.at, ZoneInfo(self.zone)).astimezone(UTC)

    @property
    def words(self) -> str:
        """When it is open, for people."""
        named = ", ".join(DAYS[day] for day in self.days) if len(self.days) < len(DAYS) else "day"
        hours = f"{self.lasts / timedelta(hours=1):g} h"
        return f"every {named} at {self.at:%H:%M} for {hours} ({self.zone})"


class Window(Value):
    """One maintenance window.

    Attributes:
        scope: as of a freeze.
    """

    name: str
    scope: str
    times: Once | Weekly
    reason: str

    def covers(self, runbook: str, target: str, labels: Mapping[str, str] | None = None) -> bool:
        """Return whether it stops this runbook on this target, for an alert with these labels."""
        return is_covered(self.scope, runbook, target, labels or {})

    def end_at(self, now: datetime) -> datetime | None:
        """Return when it closes, where it is open at `now`, else None.  UTC."""
        return self.times.end_at(now)

    @property
    def what(self) -> str:
        """What it stops, for people."""
        return scope_words(self.scope)


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
