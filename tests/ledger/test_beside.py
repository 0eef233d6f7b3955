"""What stands beside the ledger: freezes, runbook versions, cards."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from activities.ledger import cards, freezes, records, versions
from activities.ledger.cards import Card
from activities.ledger.store import Ledger
from runbooks.errors import RefusedError
from runbooks.model.freeze import Freeze
from runbooks.model.record import RecordKind
from tests.ledger.material import BOTH, NIGHT

pytestmark = BOTH

WHO = {"actor": "local:alice", "source": "cli"}


def test_a_freeze_stands_until_it_is_lifted_and_both_are_on_record(ledger: Ledger) -> None:
    """Who pulled the brake, why, and who released it."""
    pulled = ledger.write_now(lambda t: freezes.freeze(t, "*", **WHO, reason="migration", at=NIGHT))

    assert pulled == Freeze(scope="*", actor="local:alice", reason="migration", at=NIGHT)
    assert ledger.read_now(freezes.current) == [pulled]
    later = NIGHT + timedelta(hours=1)
    assert ledger.write_now(lambda t: freezes.thaw(t, "*", **WHO, reason="done", at=later)) == pulled
    assert ledger.read_now(freezes.current) == []
    told = [(each.kind, each.data) for each in ledger.read_now(lambda c: records.after(c, -1, 9))]
    assert told == [
        (RecordKind.FREEZE, {"scope": "*", "reason": "migration"}),
        (RecordKind.THAW, {"scope": "*", "reason": "done"}),
    ]


def test_the_first_freeze_of_a_scope_stands(ledger: Ledger) -> None:
    """Pulling a brake that is pulled changes nothing; other scopes have their own."""
    first = ledger.write_now(lambda t: freezes.freeze(t, "target=web-1", **WHO, reason="a", at=NIGHT))

    again = ledger.write_now(lambda t: freezes.freeze(t, "target=web-1", **WHO, reason="b"))
    ledger.write_now(lambda t: freezes.freeze(t, "runbook=disk-full", **WHO, reason="c"))

    assert again == first
    assert [each.scope for each in ledger.read_now(freezes.current)] == ["target=web-1", "runbook=disk-full"]
    assert ledger.read_now(records.size) == 2


def test_releasing_a_brake_that_is_not_pulled_does_nothing(ledger: Ledger) -> None:
    """There is nothing to record."""
    assert ledger.write_now(lambda t: freezes.thaw(t, "*", **WHO, reason="?")) is None
    assert ledger.read_now(records.size) == 0


def test_can_be_pulled_again_after_it_was_released(ledger: Ledger) -> None:
    """Each pull is an event of its own."""
    for minutes in (0, 2):
        at = NIGHT + timedelta(minutes=minutes)
        ledger.write_now(lambda t, at=at: freezes.freeze(t, "*", **WHO, reason="", at=at))
        ledger.write_now(
            lambda t, at=at: freezes.thaw(t, "*", **WHO, reason="", at=at + timedelta(minutes=1))
        )

    assert ledger.read_now(records.size) == 4


@pytest.mark.parametrize("scope", ["", "web-1", "target=", "service=web"])
def test_a_scope_that_nobody_knows_is_refused(ledger: Ledger, scope: str) -> None:
    """A brake that would stop nothing must not look pulled."""
    with pytest.raises(RefusedError, match="a freeze is on"):
        ledger.write_now(lambda t: freezes.freeze(t, scope, **WHO, reason=""))
    with pytest.raises(RefusedError, match="a freeze is on"):
        ledger.write_now(lambda t: freezes.thaw(t, scope, **WHO, reason=""))


@pytest.mark.parametrize(
    ("scope", "what", "stops"),
    [
        ("*", "everything", True),
        ("runbook=disk-full", "the runbook disk-full", True),
        ("target=web-1", "the target web-1", True),
        ("runbook=web-1", "the runbook web-1", False),
        ("target=web-10", "the target web-10", False),
    ],
)
def test_a_freeze_covers_its_scope_and_no_more(scope: str, what: str, stops: bool) -> None:
    """Everything, one runbook or one target."""
    freeze = Freeze(scope=scope, actor="a", reason="", at=NIGHT)

    assert (freeze.covers("disk-full", "web-1"), freeze.what) == (stops, what)


def test_a_runbook_version_is_found_by_its_digest(ledger: Ledger) -> None:
    """What matched is what runs, whatever becomes of the file; keeping it twice keeps one."""
    text = "runbook: disk-full\n# ü\n"

    for _ in range(2):
        digest = ledger.write_now(lambda t: versions.keep(t, "disk-full", text, at=NIGHT))

    assert digest == hashlib.sha256(text.encode()).hexdigest()
    assert ledger.read_now(lambda c: versions.text_of(c, digest)) == text
    assert ledger.read_now(lambda c: versions.text_of(c, "unknown")) is None


def test_the_card_of_a_remediation_is_remembered(ledger: Ledger) -> None:
    """A card is updated where it is, also after a restart; the newest word on it counts."""
    card = Card(remediation="R-7F3K2Q", channel="C1", ts="1.2", seq=7, state="asking")
    moved = card.model_copy(update={"seq": 9, "state": "ended"})

    ledger.write_now(lambda t: cards.keep(t, card))
    assert ledger.read_now(lambda c: cards.card(c, "R-7F3K2Q")) == card
    ledger.write_now(lambda t: cards.keep(t, moved))

    assert ledger.read_now(lambda c: cards.card(c, "R-7F3K2Q")) == moved
    assert ledger.read_now(lambda c: cards.card(c, "R-000000")) is None
