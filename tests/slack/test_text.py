"""Foreign text in Slack: harmless, and never broken by being cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack import text


def test_nothing_foreign_mentions_or_links():
    """`<!channel>` in an alert wakes nobody."""
    assert text.escape("<!channel> & <https://evil|ok>") == "&lt;!channel&gt; &amp; &lt;https://evil|ok&gt;"


def test_back_ticks_end_no_code():
    """Foreign text cannot leave the code that it stands in."""
    assert "`" not in text.code("a```b`c")[1:-1]


def test_controls_and_reordering_marks_are_gone():
    """Text reads in the order in which it was written."""
    assert text.escape("a\x00b\u202ec\u2066d\x1be\u200f") == "abcde"


def test_half_characters_can_be_sent():
    """A lone surrogate, which no request can carry, becomes a replacement character."""
    assert text.escape("a\ud800b") == "a\ufffdb"


@pytest.mark.parametrize("limit", range(1, 12))
def test_an_entity_is_never_cut(limit):
    """What is cut ends before an entity or after it."""
    shown = text.cut(text.escape("ab<<>>&"), limit)

    assert len(shown) <= limit
    assert shown.count("&") == shown.count(";")


@given(st.text(max_size=300), st.integers(min_value=1, max_value=80))
def test_any_text_is_cut_by_its_escaped_length(foreign, limit):
    """The limit is kept after escaping, and no part of an entity is left over."""
    shown = text.line(foreign, limit)

    assert len(shown) <= limit
    assert shown.count("&") <= shown.count(";")
    assert not {"<", ">", "`", "\n"} & set(shown)


@given(st.text(max_size=300))
def test_every_line_of_a_quotation_is_marked(foreign):
    """No line of an alert can look like one of ours."""
    assert all(each.startswith(">") for each in text.quote(foreign, 200, 5).split("\n"))


def test_a_person_is_shown_under_the_name_that_slack_knows():
    """A name that somebody chose is not used where Slack can say who it is."""
    assert text.person("slack:T1/U42", "<!here> root") == "<@U42>"
    assert text.person("local:alice", "<!here>") == "&lt;!here&gt;"
    assert text.person("slack:T1/U42> <!channel", "") == "slack:T1/U42&gt; &lt;!channel"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (42, "42 s"), (185, "3 min 5 s"), (900, "15 min"), (7800, "2 h 10 min")],
)
def test_spans_read_like_speech(seconds, words):
    """A length of time is said in at most two units."""
    assert text.span(timedelta(seconds=seconds)) == words


def test_a_moment_is_shown_in_the_readers_zone():
    """Slack puts it into the reader's zone; UTC stands in for those who cannot see that."""
    at = datetime(2026, 3, 14, 15, 4, tzinfo=UTC)

    assert text.moment(at) == f"<!date^{int(at.timestamp())}^{{time}}|15:04 UTC>"


def test_people_in_a_sentence_are_shown_by_the_name_that_slack_has_for_them():
    """A key that was cut is no key: it would show somebody else."""
    assert text.with_people("slack:T0/U0MALLORY answered") == "<@U0MALLORY> answered"
    assert text.with_people(text.line("slack:T0/U0MALLORY", 14)) == "slack:T0/U0MA…"
    assert text.with_people("slack:T0/mallory, local:ann") == "slack:T0/mallory, local:ann"
