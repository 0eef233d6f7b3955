"""Duties: one holder at a time, on both databases."""

from __future__ import annotations

from activities.ledger.duties import NOBODY, Duty, beat, find_duty, give_up, take_duty
from activities.ledger.store import Ledger
from tests.ledger.material import BOTH

pytestmark = BOTH


def take(ledger: Ledger, holder: str, seen: Duty | None) -> Duty | None:
    return ledger.write_now(lambda t: take_duty(t, "presenter", holder, seen))


def find(ledger: Ledger) -> Duty | None:
    return ledger.read_now(lambda c: find_duty(c, "presenter"))


def test_of_two_who_saw_the_same_one_takes_it(ledger: Ledger) -> None:
    """Whoever comes second finds another row than they had seen."""
    first = take(ledger, "a", None)

    assert first == Duty(name="presenter", holder="a", term=1, beats=0)
    assert take(ledger, "b", None) is None
    assert find(ledger) == first


def test_a_beat_keeps_others_away_and_is_refused_after_a_take_over(ledger: Ledger) -> None:
    """A holder that lives cannot be overtaken; one that was learns it from its next beat."""
    first = take(ledger, "a", None)
    assert first is not None
    assert ledger.write_now(lambda t: beat(t, first))

    assert take(ledger, "b", first) is None
    assert take(ledger, "b", find(ledger)) is not None
    assert not ledger.write_now(lambda t: beat(t, first))


def test_what_is_given_up_is_free_and_giving_up_late_takes_nothing_away(ledger: Ledger) -> None:
    """Only the holder can give it up."""
    first = take(ledger, "a", None)
    assert first is not None
    ledger.write_now(lambda t: give_up(t, first))
    free = find(ledger)
    assert free is not None
    assert free.holder == NOBODY

    second = take(ledger, "b", free)
    ledger.write_now(lambda t: give_up(t, first))

    assert find(ledger) == second
