"""The guard's rules: what may act, and what is on record before and after."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, text

from activities.actions import Probe, ProbeAnswer
from activities.ledger import freezes, leases, records
from runbooks.errors import FailedError, NotSentError, UnknownOutcomeError
from runbooks.model.action import Outcome
from runbooks.model.decision import Answer, Principal
from runbooks.model.plan import Part
from runbooks.model.record import SYSTEM, RecordKind
from runbooks.model.remediation import Closing, Ending
from runbooks.ports.case import Hearing


async def test_writes_the_intent_before_and_the_receipt_after(surgery):
    """The record of an action begins before it does, and ends with what came of it."""
    await surgery.examine()

    receipt = await surgery.attend(surgery.order())

    assert receipt.outcome is Outcome.OK
    assert (await surgery.kinds())[-2:] == ["action.intent", "action.receipt"]
    assert len(surgery.world.calls) == 1


async def test_a_second_call_gets_the_first_ones_receipt(surgery):
    """What is done is not done again, whoever asks: a reset run, a second worker, a late retry."""
    await surgery.examine()
    await surgery.attend(surgery.order())

    again = await surgery.attend(surgery.order(attempt=2))

    assert (again.outcome, again.recovered) == (Outcome.OK, True)
    assert len(surgery.world.calls) == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NotSentError("refused"), Outcome.NOT_SENT),
        (FailedError("no"), Outcome.FAILED),
        (UnknownOutcomeError("hung up"), Outcome.UNKNOWN),
        (ValueError("a bug"), Outcome.UNKNOWN),
        (TimeoutError(), Outcome.UNKNOWN),
        (asyncio.CancelledError(), Outcome.UNKNOWN),
    ],
)
async def test_says_what_is_known_of_an_attempt_that_raised(surgery, error, outcome):
    """Only an error that says so means "not done"; everything else may have happened."""
    await surgery.examine()
    surgery.world.raises = error

    receipt = await surgery.attend(surgery.order())

    assert receipt.outcome is outcome
    assert (await surgery.records())[-1].outcome == str(outcome)


@pytest.mark.parametrize(
    ("changes", "uses"),
    [
        ({"step": "something_else"}, ""),
        ({"part": Part.UNDO}, ""),
        ({"plan_digest": "0" * 64}, ""),
        ({"remediation": "R-000000"}, ""),
        ({}, "test.opaque"),
    ],
)
async def test_refuses_what_the_plan_on_record_does_not_hold(surgery, changes, uses):
    """An order names a step of a plan on record; it cannot bring arguments, or another action, of its own."""
    await surgery.examine()

    receipt = await surgery.attend(surgery.order(**changes), uses)

    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "not_planned")
    assert surgery.world.calls == []
    stream = changes.get("remediation", surgery.found.remediation)
    found = await surgery.ledger.read(lambda c: records.stream_of(c, stream))
    assert found[-1].kind is RecordKind.ACTION_REFUSED


async def test_acts_on_the_plan_on_record_after_a_restart(surgery):
    """A worker that did not make the plan reads it from the ledger, decimals and all."""
    await surgery.examine(labels={"word": "0.5"})
    surgery.plans._known.clear()

    assert (await surgery.attend(surgery.order())).sentence == "mended 0.5"


async def test_whoever_acts_keeps_the_target_until_its_result_was_looked_at(surgery):
    """However long the steps before took: nobody else begins there in the middle of it."""
    found = await surgery.examine()
    before = surgery.ledger.read_now(lambda c: leases.holder_of(c, "web"))

    await surgery.attend(surgery.order())

    after = surgery.ledger.read_now(lambda c: leases.holder_of(c, "web"))
    assert (before.remediation, after.remediation) == (found.remediation, found.remediation)
    assert after.until > before.until


async def test_refuses_without_the_lease(surgery):
    """A remediation that ended, or whose lease went to another, may not act any more."""
    found = await surgery.examine()
    assert (await surgery.attend(surgery.order(fencing=found.fencing + 1))).reason == "lease_lost"
    closing = Closing(remediation=found.remediation, ending=Ending.STOPPED, reason="x", sentence="x")
    await surgery.case.close(closing)

    assert (await surgery.attend(surgery.order())).reason == "lease_lost"
    assert surgery.world.calls == []


@pytest.mark.parametrize("scope", ["*", "runbook=heal", "target=web"])
async def test_a_freeze_stops_the_next_action(surgery, scope):
    """The brake reaches runs in flight, by every scope that covers them."""
    await surgery.examine()
    await surgery.ledger.write(
        lambda t: freezes.freeze(t, scope, actor="bob", source="test", reason="careful")
    )

    receipt = await surgery.attend(surgery.order())

    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "frozen")
    assert "careful" in receipt.sentence
    assert surgery.world.calls == []


async def test_the_freeze_file_stops_the_next_action(surgery):
    """`touch FREEZE` is enough."""
    await surgery.examine()
    surgery.freeze_file.touch()

    assert (await surgery.attend(surgery.order())).reason == "frozen"
    assert surgery.world.calls == []


@pytest.mark.parametrize(
    ("raised", "sentence", "reason"),
    [
        (UnknownOutcomeError("patient answered 500"), "patient answered 500", "unknown"),
        (KeyError("depth"), "KeyError: 'depth'", "error"),
    ],
)
async def test_an_unknown_outcome_is_told_in_the_words_of_the_action(surgery, raised, sentence, reason):
    """People read a sentence, not the name of a class; only of what nobody foresaw the class is named."""
    await surgery.examine(uses="test.opaque")
    surgery.world.raises = raised

    receipt = await surgery.attend(surgery.order())

    assert (receipt.outcome, receipt.sentence, receipt.reason) == (Outcome.UNKNOWN, sentence, reason)


async def test_people_are_told_even_while_frozen(surgery):
    """A freeze stops acting, not talking."""
    await surgery.examine()
    surgery.freeze_file.touch()

    assert (await surgery.attend(surgery.order(Part.OTHERWISE))).outcome is Outcome.OK


async def test_does_nothing_without_a_ledger(surgery):
    """No record, no action: while the ledger is locked the action is put off."""
    await surgery.examine()
    engine = create_engine(f"sqlite:///{surgery.folder / 'ledger.db'}")
    with engine.connect() as other:
        other.execute(text("begin immediate"))
        receipt = await surgery.attend(surgery.order())
    engine.dispose()

    assert (receipt.outcome, receipt.reason) == (Outcome.NOT_SENT, "ledger_unavailable")
    assert surgery.world.calls == []
    assert (await surgery.attend(surgery.order())).outcome is Outcome.OK


class TestApprovals:
    """What was approved is what runs."""

    async def approved(self, surgery, **changes):
        await surgery.examine(gated=True, requested_by=changes.pop("requested_by", ""))
        request = await surgery.ask()
        signed = surgery.key.sign(surgery.decision(request, **changes))
        return signed, (await surgery.case.judge_decision(Hearing(signed=signed))).objection

    async def test_acts_with_a_counted_approval(self, surgery):
        """A signed, judged approval by a member of the group allows the action."""
        signed, objection = await self.approved(surgery)

        receipt = await surgery.attend(surgery.order(decisions=(signed,)))

        assert objection is None
        assert receipt.outcome is Outcome.OK
        intent = (await surgery.records(RecordKind.ACTION_INTENT))[0]
        assert intent.data["decisions"] == ["click-1"]

    async def test_refuses_without_any(self, surgery):
        """A workflow that claims to be approved, and brings nothing, does nothing."""
        await self.approved(surgery)

        receipt = await surgery.attend(surgery.order())

        assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "not_approved")
        assert surgery.world.calls == []

    async def test_refuses_a_forged_signature_and_records_it(self, surgery):
        """An update sent straight to Temporal, every field right but the signature, changes nothing."""
        await surgery.examine(gated=True)
        request = await surgery.ask()
        forged = surgery.forged(surgery.decision(request))

        objection = (await surgery.case.judge_decision(Hearing(signed=forged))).objection
        receipt = await surgery.attend(surgery.order(decisions=(forged,)))

        assert "signed" in objection
        assert receipt.reason == "not_approved"
        assert surgery.world.calls == []
        system = await surgery.ledger.read(lambda c: records.stream_of(c, SYSTEM))
        assert [r.outcome for r in system if r.kind is RecordKind.DECISION] == ["refused"]

    async def test_refuses_an_approval_that_was_never_counted(self, surgery):
        """A genuine signature alone is not enough: the ledger must have judged it."""
        await surgery.examine(gated=True)
        request = await surgery.ask()

        receipt = await surgery.attend(
            surgery.order(decisions=(surgery.key.sign(surgery.decision(request)),))
        )

        assert receipt.reason == "not_approved"

    async def test_counts_one_approval_of_a_person_once(self, surgery):
        """A replayed click gets the first answer; another click of the same person does not count."""
        signed, _ = await self.approved(surgery)
        other = surgery.key.sign(signed.decision.model_copy(update={"id": "click-2"}))

        assert (await surgery.case.judge_decision(Hearing(signed=signed))).objection is None
        assert "already" in (await surgery.case.judge_decision(Hearing(signed=other))).objection
        assert len(await surgery.records(RecordKind.DECISION)) == 2

    @pytest.mark.parametrize(
        ("changes", "objection"),
        [
            ({"plan_digest": "0" * 64}, "changed"),
            ({"principal": Principal(key="slack:T/mallory", groups=())}, "not in oncall"),
            ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expired"),
            ({"answer": Answer.DENIED}, "why not"),
            ({"remediation": "R-000000"}, "nobody was asked this"),
            ({"requested_by": "slack:T/alice"}, "asked for yourself"),
        ],
    )
    async def test_objects_to_what_cannot_count(self, surgery, changes, objection):
        """The keeper of the case applies the gate's rules to what is on record, not to what it is told."""
        _, said = await self.approved(surgery, **changes)

        assert objection in said

    async def test_an_approval_of_another_remediation_allows_nothing(self, surgery):
        """An approval is bound to one remediation."""
        signed, _ = await self.approved(surgery)
        closing = Closing(
            remediation=surgery.found.remediation, ending=Ending.STOPPED, reason="x", sentence="x"
        )
        await surgery.case.close(closing)
        await surgery.examine(gated=True, run="run-2")

        receipt = await surgery.attend(surgery.order(decisions=(signed,)))

        assert receipt.reason == "not_approved"
        assert surgery.world.calls == []


class TestAfterALostAttempt:
    """An attempt with an intent and nothing after it: the class of the action decides."""

    async def lose(self, surgery, uses):
        """Make one attempt whose worker dies after the intent: nothing after it gets recorded."""
        await surgery.examine(uses=uses)
        order = surgery.order()
        assignment = await surgery.guard._assign(order, uses)
        commission = await surgery.guard._commission(assignment)
        assert commission.receipt is None

    async def test_a_keyed_action_is_repeated_under_the_same_key(self, surgery):
        """The target knows the key, so a repetition cannot do it twice."""
        await self.lose(surgery, "test.keyed")

        receipt = await surgery.attend(surgery.order(attempt=2))

        assert receipt.outcome is Outcome.OK
        assert [scene.key for scene in surgery.world.calls] == [surgery.order().key]
        assert (await surgery.kinds())[-4:] == [
            "action.intent",
            "action.unknown",
            "action.intent",
            "action.receipt",
        ]

    async def test_an_attempt_that_does_not_reach_the_target_leaves_it_unknown(self, surgery):
        """ "Not sent" is true of the second attempt only; the first may have happened."""
        await self.lose(surgery, "test.keyed")
        surgery.world.raises = NotSentError("connection refused")

        receipt = await surgery.attend(surgery.order(attempt=2))

        assert (receipt.outcome, receipt.reason) == (Outcome.UNKNOWN, "not_reached")

    async def test_an_opaque_action_is_left_to_a_person(self, surgery):
        """Nobody can know, so nobody guesses."""
        await self.lose(surgery, "test.opaque")

        receipt = await surgery.attend(surgery.order(attempt=2))

        assert (receipt.outcome, receipt.reason) == (Outcome.UNKNOWN, "needs_person")
        assert surgery.world.calls == []

    async def test_a_probed_action_that_happened_is_recovered(self, surgery):
        """The probe gets what was seen before the first attempt, and its answer becomes the receipt."""
        await self.lose(surgery, "test.probed")
        surgery.world.probe = ProbeAnswer(probe=Probe.APPLIED, sentence="it is newer")

        receipt = await surgery.attend(surgery.order(attempt=2))

        assert (receipt.outcome, receipt.recovered) == (Outcome.OK, True)
        assert surgery.world.calls == []
        assert surgery.world.prepared == [{"seen": "before"}]
        assert (await surgery.attend(surgery.order(attempt=3))).recovered

    async def test_a_probed_action_that_did_not_happen_is_repeated(self, surgery, monkeypatch):
        """Only after the target said so."""
        await self.lose(surgery, "test.probed")
        monkeypatch.setattr("activities.guard._time_left", lambda *_: 0.1)
        surgery.world.probe = ProbeAnswer(probe=Probe.NOT_APPLIED, sentence="still the old one")

        assert (await surgery.attend(surgery.order(attempt=2))).outcome is Outcome.OK
        assert len(surgery.world.calls) == 1

    async def test_a_freeze_while_the_target_is_asked_stops_the_repetition(self, surgery, monkeypatch):
        """A probe may take as long as the action, and the brake is pulled meanwhile."""
        await self.lose(surgery, "test.probed")
        monkeypatch.setattr("activities.guard._time_left", lambda *_: 0.1)
        surgery.world.probe = ProbeAnswer(probe=Probe.NOT_APPLIED, sentence="still the old one")
        probe = surgery.guard._probe

        async def probe_and_freeze(*arguments):
            await surgery.ledger.write(
                lambda t: freezes.freeze(t, "*", actor="bob", source="test", reason="careful")
            )
            return await probe(*arguments)

        monkeypatch.setattr(surgery.guard, "_probe", probe_and_freeze)

        receipt = await surgery.attend(surgery.order(attempt=2))

        assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "frozen")
        assert surgery.world.calls == []
        assert len(await surgery.records(RecordKind.ACTION_INTENT)) == 1

    @pytest.mark.parametrize(
        ("probe", "reason"), [(Probe.RUNNING, "running"), (Probe.CANNOT_TELL, "needs_person")]
    )
    async def test_a_probe_that_knows_nothing_leads_to_nothing(self, surgery, probe, reason):
        """No guess is made from a probe that cannot tell."""
        await self.lose(surgery, "test.probed")
        surgery.world.probe = ProbeAnswer(probe=probe, sentence="hm")

        receipt = await surgery.attend(surgery.order(attempt=2))

        assert (receipt.outcome, receipt.reason) == (Outcome.UNKNOWN, reason)
        assert surgery.world.calls == []

    async def test_after_the_last_attempt_it_only_asks(self, surgery):
        """The call after the last attempt finds out what became of it, and does nothing."""
        await self.lose(surgery, "test.keyed")

        receipt = await surgery.attend(surgery.order(attempt=surgery.outline.actions[0].attempts + 1))

        assert (receipt.outcome, receipt.reason) == (Outcome.UNKNOWN, "needs_person")
        assert surgery.world.calls == []


async def test_output_over_the_limit_is_left_out(surgery):
    """Temporal would repeat an action whose result is too large, so a large output never gets there."""
    await surgery.examine(labels={"word": "x" * 40_000})

    receipt = await surgery.attend(surgery.order())

    assert receipt.outcome is Outcome.OK
    assert "over the limit" in receipt.output["left_out"]
