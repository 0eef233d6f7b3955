"""What the guard does about actions of which nobody knows whether they happened."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from activities.actions import Probe, ProbeAnswer
from activities.ledger import leases
from activities.spool import FOLDER, Spool, write_late
from runbooks.errors import LedgerError, NotSentError, UnknownOutcomeError
from runbooks.model.action import Outcome
from runbooks.model.decision import Answer, Doubt, Principal
from runbooks.model.freeze import EVERYTHING
from runbooks.model.plan import Part
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Closing, Ending
from runbooks.policy.endings import action_key
from runbooks.policy.story import read_story
from runbooks.ports.case import GateRequest, GateSettlement, Hearing
from tests.guard.surgery import in_time
from tests.waiting import as_entry

ALICE = Principal(key="slack:T/alice", name="alice", groups=("oncall", "help"))
BOB = Principal(key="slack:T/bob", name="bob", groups=("oncall",))
WAIT = 0.5  # seconds; for so long a second attempt waits here for the first, which may take longer to act


class Clinic:
    """A surgery with an opaque action that was begun, and whose outcome is unknown."""

    def __init__(self, surgery) -> None:
        self.surgery = surgery
        self.first = None
        self.request = None
        wait = surgery.guard._wait_for_earlier
        surgery.guard._wait_for_earlier = lambda assignment: wait(in_time(assignment, WAIT))

    async def begin(self, requested_by: str = "") -> None:
        """The first attempt gets no answer."""
        await self.surgery.examine(uses="test.opaque", gated=True, requested_by=requested_by)
        approved = await self.approve()
        self.first = self.surgery.order(decisions=(approved,))
        self.surgery.world.raises = UnknownOutcomeError("reset while reading")
        receipt = await self.surgery.attend(self.first)
        assert receipt.outcome is Outcome.UNKNOWN
        self.surgery.world.raises = None
        self.request = await self.ask(self.first, receipt.sentence)

    async def approve(self):
        """The plan's own gate is answered."""
        request = await self.surgery.ask()
        signed = self.surgery.key.sign(self.surgery.decision(request, principal=BOB))
        assert (await self.surgery.case.judge_decision(Hearing(signed=signed))).objection is None
        return signed

    async def ask(self, order, evidence: str) -> GateRequest:
        """People are asked what became of `order`."""
        found, now = self.surgery.found, datetime.now(UTC)
        doubt = Doubt(key=order.key, part=order.part.value, step=order.step, name="Mend it", uses="test.opaque",
                      attempt=1, evidence=evidence)  # fmt: skip
        request = GateRequest(
            remediation=found.remediation, gate=f"{found.remediation}/verdict-{order.iteration}",
            plan_digest=order.plan_digest, terms=found.plan.verdict, opens_at=now,
            expires_at=now + timedelta(minutes=15), doubt=doubt,
        )  # fmt: skip
        await self.surgery.case.open_gate(request)
        return request

    def signed(self, says: Answer, **changes):
        about = {"answer": says, "about": self.first.key, "id": f"click-{says}", "principal": ALICE}
        return self.surgery.key.sign(self.surgery.decision(self.request, **{**about, **changes}))

    async def judge(self, signed) -> str | None:
        return (await self.surgery.case.judge_decision(Hearing(signed=signed))).objection

    def again(self, *verdicts, **changes):
        """Return the order that the engine gives after `verdicts`."""
        first = self.first
        key = action_key(first.remediation, first.part, first.step, first.plan_digest, 2)
        return first.model_copy(update={"iteration": 2, "key": key, "verdicts": verdicts, **changes})

    async def heard_late(self) -> None:
        """The action's own receipt arrives after people were asked."""
        [unknown] = await self.surgery.records(RecordKind.ACTION_UNKNOWN)
        late = {"event_id": f"{self.first.key}/receipt", "kind": RecordKind.ACTION_RECEIPT, "outcome": "ok"}
        await write_late(self.surgery.ledger, as_entry(unknown).model_copy(update=late))

    async def lease(self):
        return await self.surgery.ledger.read(lambda c: leases.holder_of(c, "web"))


@pytest.fixture
async def clinic(surgery):
    found = Clinic(surgery)
    await found.begin()
    return found


async def test_does_it_again_once_with_a_counted_verdict(clinic):
    """A signed and counted “do it again” allows one more effect, under the second key, and no third."""
    said = clinic.signed(Answer.AGAIN)
    assert await clinic.judge(said) is None

    receipt = await clinic.surgery.attend(clinic.again(said))
    repeated = await clinic.surgery.attend(clinic.again(said))

    assert (receipt.outcome, repeated.recovered) == (Outcome.OK, True)
    assert len(clinic.surgery.world.calls) == 2
    assert clinic.surgery.world.calls[0].key != clinic.surgery.world.calls[1].key
    intents = await clinic.surgery.records(RecordKind.ACTION_INTENT)
    assert intents[-1].data["decisions"] == ["click-1", "click-again"]


async def test_a_workflow_that_was_reset_does_not_begin_anew(clinic):
    """The first attempt, ordered a second time, is one of which nobody knows, and no fresh one."""
    receipt = await clinic.surgery.attend(clinic.first)

    assert (receipt.outcome, receipt.reason) == (Outcome.UNKNOWN, "needs_person")
    assert len(clinic.surgery.world.calls) == 1


async def test_waits_until_the_time_of_the_first_is_over(clinic):
    """The first worker may be frozen and not dead: until its time is over it may still act."""
    said = clinic.signed(Answer.AGAIN)
    await clinic.judge(said)
    [intent] = await clinic.surgery.records(RecordKind.ACTION_INTENT)

    await clinic.surgery.attend(clinic.again(said))

    [_, second] = await clinic.surgery.records(RecordKind.ACTION_INTENT)
    assert second.at - intent.at >= timedelta(seconds=WAIT)


async def test_waits_no_longer_than_that_where_the_clock_was_put_back(clinic, monkeypatch):
    """A clock that is hours behind the first attempt's does not keep the second waiting for hours."""
    said = clinic.signed(Answer.AGAIN)
    await clinic.judge(said)

    class HoursAgo(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(hours=3)

    monkeypatch.setattr("activities.guard.datetime", HoursAgo)

    async with asyncio.timeout(30):
        receipt = await clinic.surgery.attend(clinic.again(said))

    assert receipt.outcome is Outcome.OK


@pytest.mark.parametrize(
    "case", ["none", "uncounted", "forged", "other key", "happened", "approval", "one iteration too far"]
)
async def test_does_nothing_again_without_a_verdict_of_its_own(clinic, case):
    """A forged or foreign answer, or an order under a key of its own making, changes nothing."""
    counted = clinic.signed(Answer.AGAIN)
    if case not in {"none", "uncounted", "happened"}:
        assert await clinic.judge(counted) is None
    order = {
        "none": clinic.again(),
        "uncounted": clinic.again(counted),
        "forged": clinic.again(clinic.surgery.forged(counted.decision)),
        "other key": clinic.again(counted, key="0" * 40),
        "happened": clinic.again(clinic.signed(Answer.HAPPENED)),
        "approval": clinic.again(clinic.first.decisions[0]),
        "one iteration too far": clinic.again(
            counted,
            iteration=3,
            key=action_key(clinic.first.remediation, Part.DO, clinic.first.step, clinic.first.plan_digest, 3),
        ),
    }[case]

    receipt = await clinic.surgery.attend(order)

    assert receipt.outcome is Outcome.REFUSED
    assert len(clinic.surgery.world.calls) == 1


async def test_what_a_person_attests_is_the_receipt(clinic):
    """“It happened” is on record as the action's receipt, with the person, and is never done again."""
    assert await clinic.judge(clinic.signed(Answer.HAPPENED, reason="saw it")) is None

    receipt = await clinic.surgery.attend(clinic.first)
    story = read_story(await clinic.surgery.records())

    assert (receipt.outcome, receipt.reason) == (Outcome.OK, "attested")
    assert receipt.sentence == "alice says that it happened."
    assert (story.actions[0].state, story.unresolved) == ("ok", ())
    assert len(clinic.surgery.world.calls) == 1


async def test_a_verdict_comes_too_late_where_the_outcome_is_known(clinic):
    """A late receipt beats a verdict; nobody does again what turned out to be done."""
    await clinic.heard_late()

    said = clinic.signed(Answer.AGAIN)
    assert "is known now" in await clinic.judge(said)
    assert (await clinic.surgery.attend(clinic.again(said))).recovered


async def test_to_judge_is_not_for_who_asked_for_it(surgery):
    """Who asked for the remediation may stop it, and not say that it may go on."""
    clinic = Clinic(surgery)
    await clinic.begin(requested_by=ALICE.key)

    assert "cannot judge" in await clinic.judge(clinic.signed(Answer.HAPPENED))
    assert "cannot judge" in await clinic.judge(clinic.signed(Answer.AGAIN))
    assert await clinic.judge(clinic.signed(Answer.STOP)) is None


async def test_one_person_answers_one_question_once(clinic):
    """A second verdict of the same person on the same action does not count."""
    assert await clinic.judge(clinic.signed(Answer.STOP)) is None
    assert "already answered" in await clinic.judge(clinic.signed(Answer.AGAIN))


async def test_what_has_ended_is_not_judged_any_more(clinic):
    """After the ending a verdict changes nothing, and its stream is left alone."""
    await clinic.surgery.case.close(
        Closing(remediation=clinic.first.remediation, ending=Ending.FAILED, reason="x", sentence="x", keep_lease=True)
    )  # fmt: skip

    assert "has ended" in await clinic.judge(clinic.signed(Answer.HAPPENED))
    receipt = await clinic.surgery.attend(clinic.first.model_copy(update={"attempt": 2}))
    assert receipt.outcome is Outcome.UNKNOWN
    assert len(clinic.surgery.world.calls) == 1


async def test_a_target_in_doubt_stays_taken_however_long_people_take(clinic):
    """The lease does not expire while people are asked, and does so again once they have answered."""
    assert (await clinic.lease()).until is None
    assert await clinic.surgery.ledger.read(leases.kept_targets) == []

    await clinic.surgery.case.close_gate(
        GateSettlement(
            remediation=clinic.first.remediation, gate=clinic.request.gate, outcome="again", sentence="x"
        )
    )

    assert (await clinic.lease()).until is not None


async def test_a_freeze_between_two_attempts_leaves_the_first_unknown(surgery):
    """That the second attempt was refused says nothing about the one before it."""
    await surgery.examine()
    surgery.world.raises = UnknownOutcomeError("reset")
    await surgery.attend(surgery.order())
    surgery.freeze_file.write_text(f"{EVERYTHING} alice migration\n")

    receipt = await surgery.attend(surgery.order(attempt=2))

    assert (receipt.outcome, receipt.reason) == (Outcome.UNKNOWN, "frozen")
    assert read_story(await surgery.records()).unresolved


async def test_a_second_attempt_that_cannot_be_prepared_leaves_the_first_unknown(surgery):
    """So does one that did not even get to see the target."""
    await surgery.examine(uses="test.probed")
    surgery.world.raises = UnknownOutcomeError("reset")
    await surgery.attend(surgery.order())
    surgery.world.unprepared = NotSentError("connection refused")

    receipt = await surgery.attend(surgery.order(attempt=2))

    assert receipt.outcome is Outcome.UNKNOWN


async def test_a_worker_that_stood_still_before_acting_does_not_act(surgery, monkeypatch):
    """Frozen between intent and action for longer than the attempt's time, it must not act on waking up."""
    await surgery.examine()
    clock = time.monotonic
    append = surgery.ledger.write

    async def write_and_freeze(work, **more):
        done = await append(work, **more)
        monkeypatch.setattr("activities.guard.time.monotonic", lambda: clock() + 60)
        return done

    monkeypatch.setattr(surgery.ledger, "write", write_and_freeze)
    receipt = await surgery.attend(surgery.order())

    assert (receipt.outcome, receipt.reason) == (Outcome.NOT_SENT, "too_late")
    assert surgery.world.calls == []


async def test_a_probe_that_answers_nothing_is_evidence_for_people(surgery):
    """What the probe said is what people are shown."""
    await surgery.examine(uses="test.probed")
    surgery.world.raises = UnknownOutcomeError("reset")
    await surgery.attend(surgery.order())
    surgery.world.probe = ProbeAnswer(probe=Probe.CANNOT_TELL, sentence="it answers, and has no start time")

    receipt = await surgery.attend(surgery.order(attempt=2))

    assert (receipt.reason, receipt.sentence) == ("needs_person", "it answers, and has no start time")


class TestReceiptsThatCannotBeWritten:
    async def test_lie_on_the_disk_until_they_can(self, surgery, monkeypatch):
        """A worker that dies meanwhile leaves the receipt to the next one, which then has not to guess."""
        await surgery.examine()
        folder = surgery.folder / FOLDER
        entries = self.broken_after_the_intent(surgery, monkeypatch)

        await self.die_while_writing(surgery, folder)
        monkeypatch.undo()
        assert entries
        assert await Spool(folder).settle(surgery.ledger) == 1
        receipt = await surgery.attend(surgery.order(attempt=2))

        assert (receipt.outcome, receipt.recovered) == (Outcome.OK, True)
        assert len(surgery.world.calls) == 1
        assert list(folder.iterdir()) == []

    async def test_are_dropped_from_the_disk_once_they_are_on_record(self, surgery, monkeypatch):
        """The same worker writes it as soon as the ledger is back."""
        await surgery.examine()
        self.broken_after_the_intent(surgery, monkeypatch, failures=1)

        receipt = await surgery.attend(surgery.order())

        assert receipt.outcome is Outcome.OK
        assert [each.outcome for each in await surgery.records(RecordKind.ACTION_RECEIPT)] == ["ok"]
        assert list((surgery.folder / FOLDER).iterdir()) == []

    async def test_are_kept_beside_what_a_person_said(self, clinic):
        """A late receipt that says something else than the attested one is on record as well."""
        await clinic.judge(clinic.signed(Answer.HAPPENED))
        spool = Spool(clinic.surgery.folder / FOLDER)
        [attested] = await clinic.surgery.records(RecordKind.ACTION_RECEIPT)
        late = as_entry(attested).model_copy(update={"outcome": "failed"})
        await spool.keep(late)

        await spool.settle(clinic.surgery.ledger)
        await spool.settle(clinic.surgery.ledger)

        receipts = await clinic.surgery.records(RecordKind.ACTION_RECEIPT)
        assert [each.outcome for each in receipts] == ["ok", "failed"]

    async def test_a_file_that_cannot_be_read_is_left_to_a_person(self, surgery):
        """It stops nobody, and is not thrown away."""
        folder = surgery.folder / FOLDER
        folder.mkdir()
        (folder / "torn.json").write_text('{"event_id": "k/rec')

        assert await Spool(folder).settle(surgery.ledger) == 0
        assert [file.name for file in folder.iterdir()] == ["torn.json"]

    def broken_after_the_intent(self, surgery, monkeypatch, failures: int = 10**9) -> list[int]:
        """Let the ledger fail from the moment on that the action has acted."""
        write, failed = surgery.ledger.write, []

        async def fail_or_write(work, **more):
            if surgery.world.calls and len(failed) < failures:
                failed.append(1)
                raise LedgerError("disk full")
            return await write(work, **more)

        monkeypatch.setattr(surgery.ledger, "write", fail_or_write)
        return failed

    async def die_while_writing(self, surgery, folder) -> None:
        task = asyncio.create_task(surgery.attend(surgery.order()))
        while not list(folder.glob("*.json")):  # noqa: ASYNC110 - a file cannot be awaited
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
