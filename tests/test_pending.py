"""What waits in the tray: whether what is said again may be shed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from activities.ledger.blobs import Blob
from activities.ledger.inbox import Delivery
from activities.ledger.last_words import Word
from bot.pending import Addressed, Notice, Pending, Way
from tests.records import ALERT

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(hours=1)
FIRES, RESOLVED = Word("web-1", b"fires"), Word("web-1", b"resolved")


def notice(word: Word) -> Notice:
    way = Way(Delivery(delivery="d", runbook="", target="", alert=ALERT, sender="am"))
    return Notice([Addressed((way,), word.about, word)], Blob("application/json", b"{}"), NOON)


@pytest.fixture
def pending():
    return Pending()


def test_what_is_durable_and_was_said_last_is_shed(pending):
    """Before it is durable it is not: the sender would be told 200 for something that may be lost."""
    fires = notice(FIRES)
    pending.put("n1", fires)
    before = pending.repeats(FIRES, LONG_AGO)
    pending.hear(fires, durable=True)

    assert before == 0
    assert pending.repeats(FIRES, LONG_AGO) == 1
    assert pending.repeats(RESOLVED, LONG_AGO) == 0


@pytest.mark.parametrize(
    "in_between", [[], [False]], ids=["the second is on its way", "nobody knows of the second"]
)
def test_what_something_else_has_followed_is_not_the_last_word(pending, in_between):
    """Fires and resolved are kept at once; the first is durable first.  Fires again is news: resolved comes last."""
    fires, resolved = notice(FIRES), notice(RESOLVED)
    pending.put("n1", fires)
    pending.put("n2", resolved)
    for durable in in_between:
        pending.hear(resolved, durable=durable)
    pending.hear(fires, durable=True)

    assert pending.repeats(FIRES, LONG_AGO) == 0
    pending.hear(resolved, durable=True)
    assert pending.repeats(FIRES, LONG_AGO) == 0
    assert pending.repeats(RESOLVED, LONG_AGO) == 1
