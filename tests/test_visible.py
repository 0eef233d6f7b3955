"""Text from outside, and spans of time, as people are shown them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.visible import REPLACEMENT, as_code, as_markdown, as_span, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\t c", "a b c"),
        ("\x1b[31mred", f"{REPLACEMENT}[31mred"),
        ("abc\u202edef\u200b", f"abc{REPLACEMENT}def{REPLACEMENT}"),
        ("\x9b2J", f"{REPLACEMENT}2J"),
        ("überall 東京", "überall 東京"),
    ],
)
def test_what_cannot_be_seen_is_marked(text, shown):
    """Control and direction characters are replaced, line breaks become spaces, letters stay."""
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", "a\\|b"),
        ("<b>", "\\<b\\>"),
        ("*_x_*", "\\*\\_x\\_\\*"),
        ("disk_used_ratio", "disk_used_ratio"),
        ("=1", "\\=1"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("10 items", "10 items"),
    ],
)
def test_markdown_shows_text_as_it_is(text, escaped):
    """What Markdown or a spreadsheet would obey is escaped, and nothing else."""
    assert as_markdown(text) == escaped


@pytest.mark.parametrize(
    ("text", "span"), [("up{}", "`up{}`"), ("a`b", "`` a`b ``"), ("a|b", "`a\\|b`"), ("``", "``` `` ```")]
)
def test_no_backtick_ends_a_code_span(text, span):
    """The fence is longer than any run of backticks in the text."""
    assert as_code(text) == span


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (0.35, "350ms"),
        (2.1, "2.1s"),
        (3, "3s"),
        (59.7, "1m"),
        (97, "1m 37s"),
        (900, "15m"),
        (11100, "3h 5m"),
        (187200, "2d 4h"),
        (86400 + 59, "1d"),
    ],
)
def test_spans_read_as_people_write_them(seconds, shown):
    """Two units at most, none that is zero."""
    assert as_span(timedelta(seconds=seconds)) == shown
