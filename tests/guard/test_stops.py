"""A person's stop reaches the guard: nothing more is done, but people are told."""

from __future__ import annotations

from activities.ledger import stops
from runbooks.model.action import Outcome
from runbooks.model.plan import Part
from runbooks.model.remediation import Ending
from runbooks.policy.endings import ending_of_receipt


async def test_nothing_is_done_after_a_stop(surgery):
    """Whether or not the workflow has heard of it: the guard reads the record, in the transaction of the intent."""
    remediation = (await surgery.examine()).remediation
    said = {"actor": "local:alice", "source": "cli", "reason": "by hand"}
    await surgery.ledger.write(lambda t: stops.ask_to_stop(t, remediation, **said))

    receipt = await surgery.attend(surgery.order())
    told = await surgery.attend(surgery.order(Part.OTHERWISE))

    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "stopped_by_person")
    assert ending_of_receipt(remediation, receipt, "it").ending is Ending.STOPPED
    assert told.outcome is Outcome.OK
    assert len(surgery.world.calls) == 1  # of those who are told
