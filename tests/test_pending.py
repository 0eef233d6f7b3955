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
    number = pending.put("n1", fires)
    before = pending.repeats(FIRES, LONG_AGO)
    pending.hear(fires, number, durable=True)

    assert before == 0
    assert pending.repeats(FIRES, LONG_AGO) == 1
    assert pending.repeats(RESOLVED, LONG_AGO) == 0


def test_of_many_that_say_the_same_the_first_that_is_durable_counts(pending):
    """In a storm there is always another on its way: to wait for that would shed nothing."""
    fires = notice(FIRES)
    first, _ = pending.put("n1", fires), pending.put("n2", fires)
    pending.hear(fires, first, durable=True)

    assert pending.repeats(FIRES, LONG_AGO) == 1


@pytest.mark.parametrize("nobody_knows", [False, True], ids=["on its way", "nobody knows of it"])
@pytest.mark.parametrize("again", [False, True], ids=["resolved last", "fires last"])
def test_what_something_else_has_followed_is_not_the_last_word(pending, nobody_knows, again):
    """Fires, then resolved, then perhaps fires: only the first is durable, and to say it again is news."""
    fires, resolved = notice(FIRES), notice(RESOLVED)
    first, second = pending.put("n1", fires), pending.put("n2", resolved)
    last = pending.put("n3", fires) if again else None
    if nobody_knows:
        pending.hear(resolved, second, durable=False)
    pending.hear(fires, first, durable=True)

    assert pending.repeats(FIRES, LONG_AGO) == 0
    if last is None:
        pending.hear(resolved, second, durable=True)
    else:
        pending.hear(fires, last, durable=True)
    assert pending.repeats(FIRES, LONG_AGO) == (0 if last is None else 1)
    assert pending.repeats(RESOLVED, LONG_AGO) == (1 if last is None else 0)


def test_where_nobody_knows_nothing_is_a_repetition(pending):
    """A sender whose deadline is over posts again: what it posted may not be there."""
    fires = notice(FIRES)
    first, second = pending.put("n1", fires), pending.put("n2", fires)
    pending.hear(fires, first, durable=True)
    pending.hear(fires, second, durable=False)

    assert pending.repeats(FIRES, LONG_AGO) == 0
