"""Reconciliation: what Temporal lost has an ending; what it did not lose is left alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from activities.ledger import inbox, leases, lost, remediations, stops
from activities.ledger.records import stream_of
from activities.ledger.store import Ledger
from bot.answers import AwayError
from bot.reconcile import GRACE, Reconciler
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from runbooks.policy.story import read_story
from tests.ledger.material import NIGHT, WINDOW, admitted, call, closing, delivery, entry, received
from tests.ledgers import new_ledger

KEY = {"key": "k1", "step": "mend", "name": "Mend it", "uses": "test.act", "effect": "write", "attempt": 1}


class FakeTemporal:
    """Knows which workflows are running."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.away = False
        self.asked: list[tuple[str, str]] = []

    async def is_running(self, workflow: str, first_run: str = "") -> bool:
        self.asked.append((workflow, first_run))
        if self.away:
            raise AwayError("Temporal is away")
        return workflow in self.running


class House:
    """A ledger with one remediation in progress, and a Temporal without its workflow."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.temporal = FakeTemporal()
        self.now = NIGHT + timedelta(minutes=1)
        self.reconciler = Reconciler(ledger, self.temporal, clock=lambda: self.now)
        self.entries = received(ledger, delivery())
        self.remediation = admitted(ledger, call(*self.entries), cooldown=timedelta(hours=1)).remediation

    def tell(self, kind: RecordKind, event: str, outcome: str = "-", **data) -> None:
        told = entry(f"{self.remediation}/{event}", self.remediation, kind=kind, outcome=outcome, data=data)
        self.ledger.write_now(lambda t: t.append(told))

    async def look(self, times: int = 2):
        """Look so often, and return the story after it."""
        for _ in range(times):
            await self.reconciler.look()
        return read_story(self.ledger.read_now(lambda c: stream_of(c, self.remediation)))

    def waiting(self):
        """What the inbox holds for the feeder."""
        return self.ledger.write_now(lambda t: inbox.claim(t, 9, at=self.now, hold=WINDOW))

    def done(self, *entries: str, at=NIGHT) -> None:
        self.ledger.write_now(lambda t: inbox.done(t, entries, at=at))


@pytest.fixture
def house(tmp_path):
    ledger = new_ledger(tmp_path / "ledger.db")
    house = House(ledger)
    house.done(*house.entries)
    yield house
    ledger.close()


async def test_leaves_alone_what_is_running(house):
    """A remediation whose workflow is open goes on."""
    house.temporal.running = {"remediation/disk-full/web-1"}

    assert (await house.look(5)).ending is None
    assert ("remediation/disk-full/web-1", "run-1") in house.temporal.asked


async def test_concludes_nothing_while_temporal_is_away(house):
    """Away is not gone."""
    house.temporal.away = True
    for _ in range(3):
        with pytest.raises(AwayError):
            await house.reconciler.look()
    house.temporal.away = False

    assert (await house.look(1)).ending is None


async def test_one_look_is_not_enough(house):
    """What is missed once may be on its way."""
    assert (await house.look(1)).ending is None
    assert (await house.look(1)).ending is Ending.WITHHELD


async def test_an_action_without_an_end_is_unknown_and_keeps_its_target(house):
    """Nobody may act on a target of which nobody knows, until a person gives it back."""
    house.tell(RecordKind.ACTION_INTENT, "intent", **KEY)

    story = await house.look()

    assert (story.ending, story.ending_reason) == (Ending.FAILED, "lost")
    assert "Mend it" in story.ending_sentence
    assert [each.state for each in story.actions] == ["unknown"]
    assert [each.target for each in house.ledger.read_now(leases.kept_targets)] == ["web-1"]
    assert house.waiting() == []


async def test_what_had_acted_and_is_known_gives_its_target_back(house):
    """All actions have an end: nothing is in doubt but whether it helped."""
    house.tell(RecordKind.ACTION_INTENT, "intent", **KEY)
    house.tell(RecordKind.ACTION_RECEIPT, "receipt", "ok", **KEY, sentence="done", reason="")

    story = await house.look()

    assert (story.ending, story.ending_reason) == (Ending.FAILED, "interrupted")
    assert house.ledger.read_now(lambda c: leases.holder_of(c, "web-1")) is None
    assert house.waiting() == []


async def test_what_had_begun_nothing_is_fed_again_and_counts_for_nothing(house):
    """The alert goes through the inbox once more, as an entry of its own, and no cooldown holds it up."""
    assert (await house.look()).ending_reason == "interrupted"

    [again] = house.waiting()
    second = admitted(house.ledger, call(again.entry, run="run-2"), cooldown=timedelta(hours=1))

    assert again.entry not in house.entries
    assert (second.withheld, second.remediation != house.remediation) == (None, True)


async def test_what_a_person_stopped_is_not_fed_again(house):
    """Their word holds though the workflow that should have heard it is gone."""
    house.ledger.write_now(
        lambda t: stops.ask_to_stop(
            t, house.remediation, actor="slack:T1/U1", source="slack", reason="not now"
        )
    )

    story = await house.look()

    assert (story.ending, story.ending_reason) == (Ending.STOPPED, "stopped_by_person")
    assert house.waiting() == []


async def test_an_open_question_is_withdrawn(house):
    """Nobody waits for an answer that nothing can follow."""
    times = {"opens_at": NIGHT.isoformat(), "expires_at": (NIGHT + WINDOW).isoformat()}
    gate = f"{house.remediation}/gate-1"
    house.tell(
        RecordKind.GATE_ASKED,
        "gate-1/asked",
        gate=gate,
        approvers=["oncall"],
        need=1,
        plan_digest="d",
        **times,
    )

    story = await house.look()

    assert (story.gate.outcome, story.open_gate) == ("withdrawn", None)


async def test_the_first_ending_stands(house):
    """A workflow that ended between two looks has said how."""
    await house.look(1)
    house.ledger.write_now(lambda t: remediations.close(t, closing(house.remediation), at=NIGHT))
    before = house.ledger.read_now(lambda c: stream_of(c, house.remediation))

    house.ledger.write_now(lambda t: lost.end_lost(t, house.remediation, at=NIGHT))
    await house.look()

    assert house.ledger.read_now(lambda c: stream_of(c, house.remediation)) == before


async def test_entries_that_temporal_lost_before_anybody_saw_them_are_fed_again(house):
    """Temporal said yes and lost its database: the same entry is taken to it once more."""
    [accepted] = received(house.ledger, delivery("web-2"))
    house.done(accepted, at=NIGHT)
    house.temporal.running = {"remediation/disk-full/web-1"}

    await house.look()

    assert [each.entry for each in house.waiting()] == [accepted]


async def test_entries_that_are_on_their_way_are_left_alone(house):
    """What Temporal has just accepted, or a workflow will take in, is not fed twice."""
    [fresh] = received(house.ledger, delivery("web-2"))
    [taken] = received(house.ledger, delivery("web-3"))
    house.done(fresh, at=house.now - GRACE / 2)
    house.done(taken, at=NIGHT)
    house.temporal.running = {"remediation/disk-full/web-1", "remediation/disk-full/web-3"}

    await house.look()

    assert house.waiting() == []
