"""The file of maintenance windows: what it says, and where it is wrong."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest

from runbooks.language.findings import RunbookErrors
from runbooks.language.windows import parse_windows
from runbooks.model.window import Once, Weekly

FILE = """\
windows:
  - name: upgrade
    scope: label:team=payments
    from: 2026-12-01T22:00:00+01:00
    until: 2026-12-02T02:00:00+01:00
    reason: The database is upgraded.
  - name: backup
    every: [thursday, monday]
    at: 22:00
    for: 4h
    zone: Europe/Berlin
    reason: The backup runs.
"""


def problems(text: str) -> list[str]:
    with pytest.raises(RunbookErrors) as caught:
        parse_windows(text, file="w")
    return [str(each) for each in caught.value.errors]


def replaced(old: str, new: str) -> str:
    assert old in FILE
    return FILE.replace(old, new)


def test_reads_windows_that_open_once_and_again() -> None:
    """A window without a scope is for everything."""
    upgrade, backup = parse_windows(FILE, file="w")

    assert upgrade.times == Once(
        begins=datetime.fromisoformat("2026-12-01T22:00:00+01:00"),
        ends=datetime.fromisoformat("2026-12-02T02:00:00+01:00"),
    )
    assert (upgrade.name, upgrade.scope, upgrade.reason) == (
        "upgrade",
        "label:team=payments",
        "The database is upgraded.",
    )
    assert backup.times == Weekly(days=(0, 3), at=time(22), lasts=timedelta(hours=4), zone="Europe/Berlin")
    assert backup.scope == "*"


@pytest.mark.parametrize(
    ("word", "days"),
    [("day", tuple(range(7))), ("weekday", (0, 1, 2, 3, 4)), ("weekend", (5, 6)), ("sunday", (6,))],
)
def test_a_word_stands_for_days(word: str, days: tuple[int, ...]) -> None:
    """`every: weekday` is what people mean by it."""
    backup = parse_windows(replaced("[thursday, monday]", word), file="w")[1]

    assert isinstance(backup.times, Weekly)
    assert backup.times.days == days


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "label:team=payments",
            "team=payments",
            ["w:3:12: `team=payments` is no scope. Write *, runbook=NAME, target=NAME or label:NAME=VALUE."],
        ),
        (
            "from: 2026-12-01T22:00:00+01:00",
            "from: 2026-12-01T22:00:00",
            [
                ("w:4:11: `2026-12-01T22:00:00` does not say by whose clock. "
                "Write date, time and offset: 2026-12-01T22:00:00+01:00.")
            ],
        ),
        (
            "from: 2026-12-01T22:00:00+01:00",
            "from: tonight",
            ["w:4:11: `tonight` is no moment. Write date, time and offset: 2026-12-01T22:00:00+01:00."],
        ),
        ("from: 2026-12-01T22:00:00+01:00", "from: 3", ["w:4:11: `from` is a text. Put it in quotes."]),
        (
            "until: 2026-12-02",
            "until: 2026-11-02",
            ["w:5:12: the window closes before it opens. Exchange `from` and `until`."],
        ),
        (
            "    until: 2026-12-02T02:00:00+01:00\n",
            "",
            [
                ("w:2:5: this window needs `until`. "
                "Add `until:`. When it closes, once: 2026-12-02T02:00:00+01:00.")
            ],
        ),
        ("thursday", "thurday", ["w:8:13: there is no day `thurday`. Perhaps you mean `thursday`."]),
        ("thursday", "4", ["w:8:13: a day is a text. Put it in quotes."]),
        ("[thursday, monday]", "[]", ["w:8:12: `every` is a list with something in it. Begin each item with `- `."]),
        ("22:00\n", "24:00\n", ["w:9:9: `24:00` is no time of day. Write hours and minutes, from 00:00 to 23:59."]),
        ("4h", "8d", ["w:10:10: a window cannot be open so long. Write more than nothing and at most 7d."]),
        ("4h", "0h", ["w:10:10: a window cannot be open so long. Write more than nothing and at most 7d."]),
        ("4h", "four", ["w:10:10: `four` is not a duration. Write a number and its unit, largest first: 90s, 15m, 1h30m, 1d."]),
        ("Europe/Berlin", "Europe/Berln", ["w:11:11: there is no time zone `Europe/Berln`. Perhaps you mean `Europe/Berlin`."]),
        (
            "Europe/Berlin",
            "here",
            ["w:11:11: there is no time zone `here`. Write a name of the tz database: Europe/Berlin, UTC."],
        ),
        ("    zone: Europe/Berlin\n", "", ["w:7:5: this window needs `zone`. Add `zone:`. By whose clock: Europe/Berlin."]),
        (
            "    every: [thursday, monday]\n",
            "    from: 2026-12-01T22:00:00+01:00\n    every: day\n",
            [
                ("w:7:5: a window is open once or again and again. "
                "Write either `from` and `until`, or `every`, `at`, `for` and `zone`.")
            ],
        ),
        (
            "    from: 2026-12-01T22:00:00+01:00\n    until: 2026-12-02T02:00:00+01:00\n",
            "",
            [
                ("w:2:5: a window says when it is open. "
                "Write either `from` and `until`, or `every`, `at`, `for` and `zone`.")
            ],
        ),
        ("    reason: The backup runs.\n", "", ["w:7:5: a window needs `reason`. Add `reason:`. Why nothing is done meanwhile."]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_what_would_be_right(
    old: str, new: str, expected: list[str]
) -> None:
    """A window that is misspelt is one that does not hold."""
    assert problems(replaced(old, new)) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "w:1:1: the file is empty. Begin with `windows:` and a list."),
        ("windows: [*all]", "w:1:11: an alias is not allowed in a file of windows. Write the value out where it is needed."),
        ("window: []", "w:1:1: the file of windows needs `windows`. Add `windows:`. A list of windows."),
    ],
)  # fmt: skip
def test_errors_call_the_file_by_its_name(text: str, problem: str) -> None:
    """It is read as a runbook is, and is none."""
    assert problem in problems(text)
