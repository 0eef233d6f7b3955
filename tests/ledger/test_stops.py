"""A person's stop: on record first, read by everybody who acts, passed on until it has ended."""

from __future__ import annotations

import pytest

from activities.ledger import stops
from activities.ledger.admission import admit_again, stopped
from activities.ledger.remediations import close
from activities.ledger.store import Ledger
from bot.answers import AwayError
from bot.stops import Stops
from runbooks.errors import RefusedError
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from tests.ledger.material import BOTH, NIGHT, admitted, call, closing, delivery, received

ALICE = {"actor": "slack:T1/U1", "source": "slack:C1", "reason": "by hand, now"}


def begun(ledger: Ledger, target: str = "web-1") -> str:
    (entry,) = received(ledger, delivery(target))
    return admitted(ledger, call(entry, target=target)).remediation


def stop(ledger: Ledger, remediation: str, **more: str):
    return ledger.write_now(lambda t: stops.ask_to_stop(t, remediation, **{**ALICE, **more}))


def test_a_stop_holds_from_the_moment_it_is_on_record(ledger):
    """Admission's further looks and the guard ask the same question, and it needs no workflow."""
    remediation = begun(ledger)
    assert ledger.read_now(lambda c: stopped(c, remediation, at=NIGHT)) is None

    record = stop(ledger, remediation)
    found = ledger.read_now(lambda c: stopped(c, remediation, at=NIGHT))
    again = ledger.write_now(lambda t: admit_again(t, remediation, 1, at=NIGHT))

    assert (record.kind, record.stream, record.actor) == (RecordKind.STOP_ASKED, remediation, "slack:T1/U1")
    assert found.reason == again.withheld.reason == "stopped_by_person"
    assert "slack:T1/U1" in found.sentence
    assert "by hand" not in found.sentence  # the reason can be taken back; a sentence cannot


def test_the_first_stop_stands(ledger):
    """Two people who stop at once have stopped it once."""
    remediation = begun(ledger)

    assert stop(ledger, remediation) == stop(ledger, remediation, actor="slack:T1/U2")


def test_what_has_ended_or_never_was_cannot_be_stopped(ledger):
    """Whoever tries is told why."""
    remediation = begun(ledger)
    ledger.write_now(lambda t: close(t, closing(remediation, Ending.MITIGATED), at=NIGHT))

    with pytest.raises(RefusedError, match=r"has ended \(mitigated\)"):
        stop(ledger, remediation)
    with pytest.raises(RefusedError, match="there is no remediation"):
        stop(ledger, "R-NONE")


class FakeWorkflows:
    """Workflows that hear of stops, or cannot be reached."""

    def __init__(self) -> None:
        self.heard = []
        self.away = False
        self.deaf = ""

    async def stop(self, workflow_id, stopping):
        if self.away or stopping.remediation == self.deaf:
            raise AwayError("Temporal is away")
        self.heard.append((workflow_id, stopping.remediation))


@BOTH
async def test_a_stop_is_passed_on_once_and_again_after_a_restart(ledger):
    """While Temporal is away it waits; a new process, which cannot know, says it again; after the ending nobody does."""
    remediation, workflows = begun(ledger), FakeWorkflows()
    stop(ledger, remediation)
    passing = Stops(ledger, workflows)

    workflows.away = True
    with pytest.RaisesGroup(AwayError):
        await passing.look()
    workflows.away = False
    await passing.look()
    await passing.look()
    assert [each for _, each in workflows.heard] == [remediation]

    await Stops(ledger, workflows).look()
    assert len(workflows.heard) == 2
    ledger.write_now(lambda t: close(t, closing(remediation, Ending.STOPPED), at=NIGHT))
    await Stops(ledger, workflows).look()
    assert len(workflows.heard) == 2


@BOTH
async def test_one_that_cannot_be_told_does_not_keep_the_others_waiting(ledger):
    """Whatever is wrong with one workflow, the stops that came after its own are passed on, and once."""
    first, second = begun(ledger, "web-1"), begun(ledger, "web-2")
    workflows = FakeWorkflows()
    workflows.deaf = first
    passing = Stops(ledger, workflows)
    for remediation in (first, second):
        stop(ledger, remediation)

    for _ in range(2):
        with pytest.RaisesGroup(AwayError):
            await passing.look()
    assert [each for _, each in workflows.heard] == [second]

    workflows.deaf = ""
    await passing.look()
    assert [each for _, each in workflows.heard] == [second, first]
