"""Maintenance windows: open when their clock says so, through every change of the clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.model.window import LONGEST, Once, Weekly, Window

EVERY_DAY = tuple(range(7))
BERLIN = "Europe/Berlin"
ZONES = (BERLIN, "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kolkata", "UTC")
HOUR = timedelta(hours=1)


def weekly(at: str, lasts: timedelta = HOUR, zone: str = BERLIN, days: tuple[int, ...] = EVERY_DAY) -> Weekly:
    return Weekly(days=days, at=time.fromisoformat(at), lasts=lasts, zone=zone)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(times: Once | Weekly, scope: str = "*") -> Window:
    return Window(name="backup", scope=scope, times=times, reason="The backup runs.")


@pytest.mark.parametrize(
    ("day", "at", "begins"),
    [
        ("2026-07-01", "22:00", "2026-07-01T20:00"),  # summer time
        ("2026-12-01", "22:00", "2026-12-01T21:00"),  # winter time
        ("2026-03-29", "02:30", "2026-03-29T01:30"),  # left out: as if the clock had not been changed, 03:30
        ("2026-03-29", "03:00", "2026-03-29T01:00"),  # the first moment after what is left out
        ("2026-10-25", "02:30", "2026-10-25T00:30"),  # shown twice: the first
        ("2026-10-25", "03:00", "2026-10-25T02:00"),  # after it was shown twice
    ],
)
def test_a_window_begins_by_the_clock_of_its_place(day: str, at: str, begins: str) -> None:
    """In summer, in winter, and on the two days on which the clock is changed."""
    assert weekly(at).begin_on(date.fromisoformat(day)) == utc(begins)


@pytest.mark.parametrize("night", ["2026-03-28", "2026-10-24", "2026-06-01"])
def test_a_window_over_a_changed_clock_lasts_as_long_as_it_says(night: str) -> None:
    """Four hours are four hours, also in the night that has one hour more, or less."""
    over_night = weekly("23:00", 4 * HOUR)
    begin = over_night.begin_on(date.fromisoformat(night))

    assert begin is not None
    assert over_night.end_at(begin - timedelta(seconds=1)) != begin + 4 * HOUR
    assert over_night.end_at(begin) == begin + 4 * HOUR
    assert over_night.end_at(begin + 4 * HOUR - timedelta(seconds=1)) == begin + 4 * HOUR
    assert over_night.end_at(begin + 4 * HOUR) is None


@given(
    seconds=st.integers(0, 3 * 365 * 86400),
    days=st.sets(st.integers(0, 6), min_size=1),
    minute=st.integers(0, 24 * 60 - 1),
    lasts=st.timedeltas(timedelta(minutes=1), LONGEST),
    zone=st.sampled_from(ZONES),
)
def test_a_window_is_open_exactly_within_one_of_its_occurrences(
    seconds: int, days: set[int], minute: int, lasts: timedelta, zone: str
) -> None:
    """Whatever the zone and the season: open means that it began on one of its days, not longer ago than it lasts."""
    now = utc("2025-01-01") + timedelta(seconds=seconds)
    each = Weekly(days=tuple(sorted(days)), at=time(*divmod(minute, 60)), lasts=lasts, zone=zone)
    here = now.astimezone(ZoneInfo(zone)).date()
    begins = [each.begin_on(here + timedelta(days=offset)) for offset in range(-10, 3)]
    ends = [begin + lasts for begin in begins if begin is not None and begin <= now < begin + lasts]

    assert each.end_at(now) == max(ends, default=None)


def test_a_window_does_not_open_on_other_days() -> None:
    """Monday is Monday by the clock of the place, where it may be Sunday elsewhere."""
    monday = weekly("08:00", zone="Pacific/Auckland", days=(0,))

    assert monday.end_at(utc("2026-11-22T19:30")) == utc("2026-11-22T20:00")
    assert monday.end_at(utc("2026-11-23T19:30")) is None


def test_a_window_that_is_open_once_has_a_beginning_and_an_end() -> None:
    """It begins with its first moment and is over at its last."""
    once = window(Once(begins=utc("2026-12-01T22:00"), ends=utc("2026-12-02T02:00")))

    assert once.end_at(utc("2026-12-01T21:59")) is None
    assert once.end_at(utc("2026-12-01T22:00")) == utc("2026-12-02T02:00")
    assert once.end_at(utc("2026-12-02T02:00")) is None


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (weekly("22:00", 4 * HOUR), "every day at 22:00 for 4 h (Europe/Berlin)"),
        (
            weekly("06:30", HOUR / 2, days=(0, 3)),
            "every monday, thursday at 06:30 for 0.5 h (Europe/Berlin)",
        ),
        (
            Once(begins=utc("2026-12-01T22:00"), ends=utc("2026-12-02T02:00")),
            "from 2026-12-01 22:00 UTC until 2026-12-02 02:00 UTC",
        ),
    ],
)
def test_a_window_says_when_it_is_open(times: Once | Weekly, words: str) -> None:
    """For whoever looks why nothing is done."""
    assert times.words == words


@pytest.mark.parametrize(
    ("scope", "covered", "what"),
    [
        ("*", True, "everything"),
        ("runbook=disk-full", True, "the runbook disk-full"),
        ("target=web-2", False, "the target web-2"),
        ("label:team=payments", True, "all with team=payments"),
        ("label:team=search", False, "all with team=search"),
        ("label:region=eu", False, "all with region=eu"),
    ],
)
def test_a_window_stops_what_its_scope_takes_in(scope: str, covered: bool, what: str) -> None:
    """The same scopes as of a freeze; a label that the alert does not carry is not meant."""
    each = window(weekly("22:00"), scope)

    assert (each.covers("disk-full", "web-1", {"team": "payments"}), each.what) == (covered, what)
    assert not window(weekly("22:00"), "label:team=payments").covers("disk-full", "web-1")
