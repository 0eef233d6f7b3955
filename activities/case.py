"""The keeping of cases: what the engine's port asks for, done with the ledger and the measurements.

Everything that is concluded in here stands in the ledger before the engine learns of it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from temporalio import activity

from activities.first_look import FirstLook, Looked
from activities.ledger import admission, approvals, inbox, leases, lost, records, remediations, versions
from activities.ledger.admission import Admission
from activities.ledger.approvals import escalated_event
from activities.ledger.store import Ledger, Transaction
from activities.performing import Performer
from activities.plans import Plans, data_of, event_of
from activities.signatures import TrustedKeys
from activities.surroundings import Surroundings
from runbooks.errors import RenderError
from runbooks.language.document import RunbookErrors, parse_runbook
from runbooks.language.facts import Facts
from runbooks.language.rendering import render_checks, render_plan
from runbooks.model.alert import Alert
from runbooks.model.plan import Plan, PlannedCheck
from runbooks.model.record import Entry, Record, RecordKind
from runbooks.model.remediation import CallIn, Closing, Ending, Examination, Withheld
from runbooks.model.runbook import Autonomy, Runbook
from runbooks.model.verdict import CheckResult, Verdict, worst
from runbooks.policy.endings import ending_of_verification
from runbooks.policy.gate import GateState
from runbooks.ports.case import (
    CasePort,
    Escalation,
    GateRequest,
    GateSettlement,
    Hearing,
    Joining,
    Judgement,
    Measurements,
    Reexamination,
    SecondLook,
    Verification,
)

_DOUBT_IS_OVER = frozenset({GateState.HAPPENED, GateState.AGAIN})

REMEMBERED = 10_000  # remediations in progress whose alert is kept in memory


class LedgerCase(CasePort):
    """Keeps cases in the ledger, and measures with the installation's own checks."""

    def __init__(
        self,
        ledger: Ledger,
        performer: Performer,
        trusted: TrustedKeys,
        plans: Plans,
        surroundings: Surroundings,
    ) -> None:
        self._ledger = ledger
        self._performer = performer
        self._trusted = trusted
        self._plans = plans
        self._surroundings = surroundings
        self._vocabulary = performer.registry.vocabulary
        self._runbooks: dict[str, Runbook] = {}
        self._examined: OrderedDict[str, Facts] = OrderedDict()

    def activities(self) -> list[Any]:
        """Return the port's methods as Temporal activities."""
        return [
            self.examine,
            self.examine_again,
            self.join,
            self.open_gate,
            self.escalate_gate,
            self.judge_decision,
            self.close_gate,
            self.verify,
            self.close,
        ]

    @activity.defn(name="examine")
    async def examine(self, call: CallIn) -> Examination:
        """Admit, measure the checks, render the plan; each on record before this returns."""
        runbook = await self._runbook(call.order.runbook_digest)
        if runbook is None:
            return await self._explain_unknown_runbook(call)
        now = datetime.now(UTC)
        outside = await self._surroundings.look()
        look = FirstLook(lambda facts: self._look(facts, runbook))

        def admit(transaction: Transaction) -> Admission:
            def begin(alert: Alert) -> None:
                look.begin_soon(_facts_of(alert, call.order.target))

            return admission.admit(transaction, call, runbook, at=now, outside=outside, decided=begin)

        try:
            # What was measured is on record together with the admission: one wait for the disk.
            admitted = await self._ledger.write(admit, durable=False)
            return await self._examine(admitted, runbook, look)
        finally:
            look.end()

    async def _examine(self, admitted: Admission, runbook: Runbook, look: FirstLook) -> Examination:
        found = Examination(
            remediation=admitted.remediation,
            fencing=admitted.fencing,
            withheld=admitted.withheld,
            observe=runbook.autonomy is Autonomy.OBSERVE,
            requested_by=admitted.requested_by,
        )
        if not admitted.remediation or admitted.withheld is not None:
            await self._ledger.barrier()
            return found
        facts = _facts_of(admitted.alert, admitted.target)
        self._remember(admitted.remediation, facts)
        try:
            checks, results = await look.at(facts)
            return await self._plan(found, runbook, facts, checks, results)
        except RenderError as error:
            await self._ledger.barrier()
            return found.model_copy(update={"withheld": Withheld(reason=error.code, sentence=str(error))})

    async def _look(self, facts: Facts, runbook: Runbook) -> Looked:
        checks = render_checks(runbook, facts, self._vocabulary)
        return checks, await self._measure(checks, facts)

    @activity.defn(name="examine_again")
    async def examine_again(self, look: SecondLook) -> Reexamination:
        """Ask admission and the checks again: people take minutes to answer."""
        now = datetime.now(UTC)
        brakes = self._surroundings.brakes()
        standing = await self._ledger.write(
            lambda t: admission.admit_again(t, look.remediation, look.fencing, at=now, outside=brakes)
        )
        if standing.withheld is not None:
            return Reexamination(withheld=standing.withheld)
        runbook = await self._runbook(standing.runbook_digest)
        if runbook is None:
            return Reexamination(withheld=_unknown_runbook(standing.runbook_digest))
        facts = _facts_of(standing.alert, standing.target)
        checks = render_checks(runbook, facts, self._vocabulary)
        results = await self._measure(checks, facts)
        await self._ledger.append(
            *_check_entries(look.remediation, standing.target, "again", checks, results)
        )
        return Reexamination(checks=_told(results))

    @activity.defn(name="join")
    async def join(self, joining: Joining) -> None:
        """Record that these alerts are taken care of by the remediation in progress."""
        now = datetime.now(UTC)
        await self._ledger.write(lambda t: remediations.join(t, joining.remediation, joining.entries, at=now))

    @activity.defn(name="open_gate")
    async def open_gate(self, request: GateRequest) -> None:
        """Record that people are asked; whoever shows gates to people reads the record."""
        data = {
            "gate": request.gate,
            "approvers": list(request.terms.approvers),
            "need": request.terms.need,
            "opens_at": request.opens_at.isoformat(),
            "expires_at": request.expires_at.isoformat(),
            "plan_digest": request.plan_digest,
            **_chain_data(request),
        }
        if request.doubt is not None:
            data["doubt"] = request.doubt.model_dump(mode="json")
        if request.step is not None:
            data["gated"] = request.step.model_dump(mode="json")
        entry = _entry(request.remediation, RecordKind.GATE_ASKED, f"{request.gate}/asked", data)

        def ask(transaction: Transaction) -> None:
            transaction.append(entry)
            if request.doubt is not None:
                # However long people take: nobody else may act on a target of which nobody knows.
                leases.keep_lease(transaction, request.remediation)

        await self._ledger.write(ask)

    @activity.defn(name="escalate_gate")
    async def escalate_gate(self, escalation: Escalation) -> None:
        """Record that further people are asked; from then on their answers count."""
        data = {
            "gate": escalation.gate,
            "link": escalation.link,
            "approvers": list(escalation.approvers),
            "asked_until": escalation.asked_until.isoformat(),
        }
        event = escalated_event(escalation.gate, escalation.link)
        await self._ledger.append(_entry(escalation.remediation, RecordKind.GATE_ESCALATED, event, data))

    @activity.defn(name="judge_decision")
    async def judge_decision(self, hearing: Hearing) -> Judgement:
        """Verify signature, digest and single use, and record the decision with the result, whatever it is."""
        listener = self._trusted.signer_of(hearing.signed)
        now = datetime.now(UTC)
        objection = await self._ledger.write(lambda t: approvals.judge(t, hearing, listener=listener, at=now))
        return Judgement(objection=objection)

    @activity.defn(name="close_gate")
    async def close_gate(self, settlement: GateSettlement) -> None:
        """Record how the gate closed."""
        data = {"gate": settlement.gate, "sentence": settlement.sentence}
        event = f"{settlement.gate}/closed"
        entry = _entry(
            settlement.remediation, RecordKind.GATE_CLOSED, event, data, outcome=settlement.outcome
        )

        def settle(transaction: Transaction) -> None:
            transaction.append(entry)
            if settlement.outcome in _DOUBT_IS_OVER:
                leases.resume_lease(transaction, settlement.remediation, at=transaction.now)

        await self._ledger.write(settle)

    @activity.defn(name="verify")
    async def verify(self, verification: Verification) -> Measurements:
        """Measure whether it helped; where it did, close the case in the same transaction.

        The first and the deciding look are on record.
        """
        remediation = verification.remediation
        checks = (await self._plans.get(remediation, verification.plan_digest)).verify
        facts = await self._facts(remediation)
        results = await self._measure(checks, facts)
        entries = _check_entries(remediation, facts.target, "verify", checks, results, look=verification.look)
        if worst(results) is Verdict.PASSED:
            closing = ending_of_verification(remediation, results)
            closed = await self._ledger.write(lambda t: _record_and_close(t, entries, closing))
            self._forget(remediation)
            return Measurements(results=_told(results), closed=closed)
        ended = await self._ledger.read(lambda c: records.find(c, f"{remediation}/ending"))
        if ended is not None:  # this look was taken before, and its answer was lost
            return Measurements(results=_told(results), closed=_closing_of(ended))
        if verification.look == 1 or verification.final:
            await self._ledger.append(*entries)
        return Measurements(results=_told(results))

    @activity.defn(name="close")
    async def close(self, closing: Closing) -> None:
        """Record the ending and give the lease back."""
        now = datetime.now(UTC)

        def end(transaction: Transaction) -> None:
            if closing.ending is Ending.FAILED:
                lost.tell_unheard(transaction, closing.remediation)
            remediations.close(transaction, closing, at=now)

        await self._ledger.write(end)
        self._forget(closing.remediation)

    async def _plan(
        self,
        found: Examination,
        runbook: Runbook,
        facts: Facts,
        checks: Sequence[PlannedCheck],
        results: Sequence[CheckResult],
    ) -> Examination:
        """Render the plan where every check passed, and put both on record."""
        entries = _check_entries(found.remediation, facts.target, "before", checks, results)
        if worst(results) is not Verdict.PASSED:
            await self._ledger.append(*entries)
            return found.model_copy(update={"checks": _told(results)})
        seen = facts.model_copy(update={"checks": {result.id: result.result for result in results}})
        try:
            plan = render_plan(runbook, seen, self._vocabulary)
        except RenderError:
            await self._ledger.append(*entries)
            raise
        outline = plan.outline()
        await self._ledger.append(*entries, _plan_entry(found, plan, outline.digest))
        self._plans.remember(found.remediation, outline.digest, plan)
        return found.model_copy(update={"checks": _told(results), "plan": outline})

    async def _measure(self, checks: Sequence[PlannedCheck], facts: Facts) -> list[CheckResult]:
        """Measure all checks at the same time, in the order of the runbook."""
        return await asyncio.gather(*(self._performer.measure(check, facts) for check in checks))

    async def _facts(self, remediation: str) -> Facts:
        """Return what the remediation's alert says; kept from the examination where that was here."""
        if remediation not in self._examined:
            standing = await self._ledger.read(lambda c: admission.standing(c, remediation))
            self._remember(remediation, _facts_of(standing.alert, standing.target))
        return self._examined[remediation]

    def _remember(self, remediation: str, facts: Facts) -> None:
        self._examined[remediation] = facts
        if len(self._examined) > REMEMBERED:
            self._examined.popitem(last=False)

    def _forget(self, remediation: str) -> None:
        self._examined.pop(remediation, None)
        self._plans.forget(remediation)

    async def _runbook(self, digest: str) -> Runbook | None:
        """Return the version of a runbook that was kept under `digest`: what matched is what runs."""
        if digest not in self._runbooks:
            text = await self._ledger.read(lambda c: versions.text_of(c, digest))
            if text is None:
                return None
            try:
                self._runbooks[digest] = parse_runbook(
                    text, file=f"version {digest[:12]}", vocabulary=self._vocabulary
                )
            except RunbookErrors:
                return None
        return self._runbooks[digest]

    async def _explain_unknown_runbook(self, call: CallIn) -> Examination:
        why = _unknown_runbook(call.order.runbook_digest)

        def explain(transaction: Any) -> None:
            for entry in inbox.entries(transaction.connection, call.entries):
                remediations.explain(transaction, entry, why.reason, why.sentence)

        await self._ledger.write(explain)
        return Examination(remediation="")


def _facts_of(alert: Alert, target: str) -> Facts:
    return Facts(labels=alert.labels, annotations=alert.annotations, target=target)


def _record_and_close(transaction: Transaction, entries: Sequence[Entry], closing: Closing) -> Closing:
    """Record the look and the ending, and return the ending on record: the first one stands."""
    ended = transaction.find(f"{closing.remediation}/ending")
    if ended is None:
        for entry in entries:
            transaction.append(entry)
        ended = remediations.close(transaction, closing, at=transaction.now)
    return _closing_of(ended)


def _closing_of(record: Record) -> Closing:
    said = {name: record.data[name] for name in ("ending", "reason", "sentence")}
    return Closing(remediation=record.stream, **said)


def _unknown_runbook(digest: str) -> Withheld:
    sentence = f"No usable version {digest[:12]} of this runbook was ever loaded here."
    return Withheld(reason="unknown_runbook", sentence=sentence)


def _chain_data(request: GateRequest) -> dict[str, Any]:
    """Return who is asked in turn, and until when; nothing where nobody is."""
    if not request.terms.otherwise:
        return {}
    until = request.opens_at + request.terms.within
    data: dict[str, Any] = {"asked_until": until.isoformat(), "otherwise": []}
    for link in request.terms.otherwise:
        until += link.within
        data["otherwise"].append({"approvers": list(link.approvers), "until": until.isoformat()})
    return data


def _check_entries(
    remediation: str,
    target: str,
    round_: str,
    checks: Sequence[PlannedCheck],
    results: Sequence[CheckResult],
    *,
    look: int = 1,
) -> list[Entry]:
    return [
        _entry(
            remediation,
            RecordKind.CHECK,
            # Measuring twice, after a crash for instance, is two measurements: both are kept.
            f"{remediation}/check/{round_}/{check.id}/{datetime.now(UTC).timestamp():.6f}",
            _check_data(round_, check, result, look),
            outcome=str(result.verdict),
            object_=target,
        )
        for check, result in zip(checks, results, strict=True)
    ]


def _check_data(round_: str, check: PlannedCheck, result: CheckResult, look: int) -> Mapping[str, Any]:
    return {
        "round": round_,
        "id": check.id,
        "name": check.name,
        "uses": check.uses,
        "arguments": check.arguments,
        "expect": check.expect or "",
        "sentence": result.sentence,
        "result": result.result,
        "took_ms": result.took_ms,
        "measured_at": result.at.isoformat(),
        "look": look,
    }


def _plan_entry(found: Examination, plan: Plan, digest: str) -> Entry:
    data = {"digest": digest, "observe": found.observe, **data_of(plan)}
    event = event_of(found.remediation, digest)
    return _entry(found.remediation, RecordKind.PLAN, event, data, object_=plan.target)


def _told(results: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """Return the results without what was measured: that stands in the ledger, and not in Temporal's history."""
    return tuple(result.model_copy(update={"result": {}}) for result in results)


def _entry(
    remediation: str,
    kind: RecordKind,
    event: str,
    data: Mapping[str, Any],
    *,
    outcome: str = "-",
    object_: str = "-",
) -> Entry:
    return Entry(
        event_id=event,
        stream=remediation,
        kind=kind,
        actor="bot:worker",
        source="case",
        object=object_,
        outcome=outcome,
        data=dict(data),
    )
