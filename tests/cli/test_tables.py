"""Tables on terminals of any width: what a person may want to copy stays whole."""

from __future__ import annotations

import pytest
from rich.text import Text

from bot.cli.tables import show_pairs, show_table

COLUMNS = ("remediation", "runbook", "waits for")
ROWS = [
    ("R-7F3K2Q", "host-disk-full", "sre-oncall until 03:22 UTC, then incident-commanders too"),
    ("R-9XW2AB", "service-errors", ""),
]
WORDS = [word for row in ROWS for cell in row for word in cell.split()]


@pytest.fixture
def show(capsys, monkeypatch):
    def shown(width, function, *arguments):
        if width:
            monkeypatch.setenv("COLUMNS", str(width))
        else:
            monkeypatch.delenv("COLUMNS", raising=False)
        function(*arguments)
        return capsys.readouterr().out.splitlines()

    return shown


@pytest.mark.parametrize("width", range(1, 100, 7))
def test_no_word_is_broken_or_lost_however_narrow_the_terminal_is(show, width):
    """An id that goes over two lines cannot be copied, and `grep` does not find it."""
    told = [word for line in show(width, show_table, COLUMNS, ROWS) for word in line.split()]

    assert all(told.count(word) >= WORDS.count(word) for word in WORDS)


@pytest.mark.parametrize("width", [58, 70, 85, 120])
def test_a_table_that_fits_keeps_to_its_width_and_to_its_columns(show, width):
    """A long text gives way, an id does not; no line has spaces at its end."""
    lines = show(width, show_table, COLUMNS, ROWS)

    assert lines[0].index("waits for") == lines[1].index("sre-oncall") == len("remediation  host-disk-full  ")
    assert all(len(line) <= width and line == line.rstrip() for line in lines)


def test_a_row_is_told_one_by_one_where_its_words_do_not_fit_beside_each_other(show):
    """Names and values, without those that have nothing to say."""
    assert show(38, show_table, COLUMNS, ROWS) == [
        "remediation  R-7F3K2Q",
        "runbook      host-disk-full",
        "waits for    sre-oncall until 03:22",
        "             UTC, then",
        "             incident-commanders too",
        "",
        "remediation  R-9XW2AB",
        "runbook      service-errors",
    ]


def test_in_a_pipe_a_row_is_one_line(show):
    """`paramedic ledger tail | grep R-7F3K2Q` finds the whole row, and wide characters count as two."""
    long = "x " * 200 + "end"

    heading, first, second = show(None, show_table, ("who", "what"), [("日本", long), ("ann", "short")])

    assert (heading, first, second) == ("who   what", f"日本  {long}", "ann   short")


def test_names_that_take_too_much_of_a_line_stand_above_their_values(show):
    """Otherwise every value would be a column of single words."""
    pairs = [("what it does", Text("Ask one\nquery")), ("who", "ann")]

    assert show(20, show_pairs, pairs) == ["what it does", "  Ask one", "  query", "who", "  ann"]
    assert show(60, show_pairs, pairs) == [
        "what it does  Ask one",
        "              query",
        "who           ann",
    ]
    assert show(60, show_pairs, []) == []


def test_what_a_terminal_would_obey_is_made_visible(show):
    """Text from outside colours nothing, and moves no cursor."""
    assert "\x1b" not in "".join(show(60, show_table, ("a",), [("\x1b[31mred",)]))
