"""Records for tests: a remediation told step by step, as the ledger would hold it.

    told = Telling()
    told.admitted().check("before", "passed").planned().asked()
    told.wait(minutes=2).answered("approved").gate_closed("approved")
    told.intent().wait(seconds=3).receipt().ended("mitigated")
    story = read_story(told.records)

Each step appends one record; `wait` lets time pass before the next one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Self

from runbooks.model.action import ActionClass, Effect
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.base import as_body
from runbooks.model.plan import GateTerms, Plan, PlannedAction, PlannedCheck
from runbooks.model.record import Record, RecordKind

NOON = datetime(2026, 3, 14, 3, 7, 0, tzinfo=UTC)
"""When these stories begin: at seven past three in the night."""

ALERT = Alert(
    status=AlertStatus.FIRING,
    labels={"alertname": "ServiceErrors", "service": "checkout", "env": "prod"},
    annotations={"summary": "5 % of requests to checkout fail"},
    starts_at=NOON - timedelta(minutes=2),
)

RESTART = PlannedAction(
    id="restart-checkout",
    name="Restart checkout",
    uses="supervisor.restart",
    effect=Effect.DESTRUCTIVE,
    kind=ActionClass.PROBED,
    arguments={"supervisor": "web-1", "process": "checkout"},
    timeout=timedelta(seconds=30),
    attempts=3,
)

HELPED = PlannedCheck(
    id="errors-are-low",
    name="Errors are below 1 %",
    uses="prometheus.query",
    arguments={"query": 'error_ratio{service="checkout"}'},
    expect="result.value < 0.01",
    within=timedelta(minutes=5),
)

PLAN = Plan(
    runbook="service-errors",
    runbook_digest="ab" * 32,
    summary="Restart a service that answers with errors.",
    target="checkout",
    gate=GateTerms(approvers=("sre-oncall",), need=1, within=timedelta(minutes=15)),
    actions=(RESTART,),
    verify=(HELPED,),
)

ALICE = {"key": "slack:T1/U1", "name": "Alice", "groups": ["sre-oncall"]}


class Telling:
    """One remediation's records, in the order in which they are told."""

    def __init__(self, remediation: str = "R-7F3K2Q", *, first_seq: int = 40, plan: Plan = PLAN) -> None:
        self.remediation = remediation
        self.plan = plan
        self.gate = f"{remediation}/gate-1"
        self.key = f"{remediation}/{plan.actions[0].id}"
        self.now = NOON
        self.records: list[Record] = []
        self._first_seq = first_seq

    def wait(self, **span: float) -> Self:
        """Let time pass: `wait(minutes=2)`."""
        self.now += timedelta(**span)
        return self

    def tell(
        self, kind: RecordKind, outcome: str = "-", /, *, actor: str = "bot:worker", **data: Any
    ) -> Self:
        """Append a record of any kind."""
        number = len(self.records)
        record = Record(
            seq=self._first_seq + number,
            event_id=f"{self.remediation}/{number}",
            stream=self.remediation,
            stream_seq=number,
            kind=kind,
            actor=actor,
            source="worker",
            object=self.plan.target,
            outcome=outcome,
            at=self.now,
            data=as_body(data),
        )
        self.records.append(record)
        return self

    def admitted(self, outcome: str = "admitted", **more: Any) -> Self:
        """Admission; `outcome="withheld"` with reason= and sentence= where it was refused."""
        facts = {
            "runbook": self.plan.runbook,
            "runbook_digest": self.plan.runbook_digest,
            "target": self.plan.target,
            "summary": self.plan.summary,
            "workflow_id": f"remediation/{self.plan.runbook}/{self.plan.target}",
            "first_run": "0190-run",
            "entries": ["entry-1"],
            "alert": ALERT.model_dump(mode="json"),
            "requested_by": "",
            "fencing": 1,
            "reason": "",
            "sentence": "",
        }
        return self.tell(RecordKind.ADMISSION, outcome, **(facts | more))

    def joined(self, status: AlertStatus = AlertStatus.FIRING, entry: str = "entry-2") -> Self:
        """A further alert that this remediation took in."""
        alert = ALERT.model_copy(update={"status": status})
        told = {"entry": entry, "delivery": "d2", "status": status.value}
        return self.tell(RecordKind.ALERT_JOINED, **told, alert=alert.model_dump(mode="json"))

    def check(
        self, round_name: str, verdict: str, sentence: str = "error_ratio is 0.05", **more: Any
    ) -> Self:
        """A measurement."""
        facts = {
            "round": round_name,
            "id": "errors-are-high",
            "name": "Errors are above 2 %",
            "uses": "prometheus.query",
            "arguments": {"query": 'error_ratio{service="checkout"}'},
            "expect": "result.value > 0.02",
            "sentence": sentence,
            "result": {"value": 0.05},
            "took_ms": 12,
        }
        return self.tell(RecordKind.CHECK, verdict, **(facts | more))

    def verified(self, verdict: str, sentence: str = "error_ratio is 0.002", **more: Any) -> Self:
        """A measurement of whether it helped."""
        facts = {"id": HELPED.id, "name": HELPED.name, "expect": HELPED.expect}
        return self.check("verify", verdict, sentence, **(facts | more))

    def planned(self, *, observe: bool = False) -> Self:
        """The plan."""
        plan = self.plan.model_dump(mode="json")
        return self.tell(RecordKind.PLAN, digest=self.plan.digest, plan=plan, observe=observe)

    def asked(self, **more: Any) -> Self:
        """The gate opens for a quarter of an hour."""
        facts = {
            "gate": self.gate,
            "approvers": ["sre-oncall"],
            "need": 1,
            "opens_at": self.now.isoformat(),
            "expires_at": (self.now + timedelta(minutes=15)).isoformat(),
            "plan_digest": self.plan.digest,
        }
        return self.tell(RecordKind.GATE_ASKED, **(facts | more))

    def escalated(self, *groups: str, until: str, link: int = 1) -> Self:
        """Nobody answered in time, so these are asked too."""
        told = {"gate": self.gate, "link": link, "approvers": list(groups), "asked_until": until}
        return self.tell(RecordKind.GATE_ESCALATED, **told)

    def asked_about_step(self, number: int = 1, **more: Any) -> Self:
        """People are asked about one step of the plan alone, right before it is done."""
        action = self.plan.actions[number - 1]
        gated = {"key": self.key, "step": action.id, "name": action.name, "uses": action.uses}
        self.gate = f"{self.remediation}/step-{number}"
        return self.asked(gated=gated, **more)

    def answered(
        self,
        answer: str,
        outcome: str = "accepted",
        *,
        objection: str | None = None,
        refusal: str = "",
        **decision: Any,
    ) -> Self:
        """A person's answer, judged."""
        facts = {
            "id": f"click-{len(self.records)}",
            "gate": self.gate,
            "remediation": self.remediation,
            "plan_digest": self.plan.digest,
            "answer": answer,
            "principal": ALICE,
            "reason": "",
            "via": "slack",
            "decided_at": self.now.isoformat(),
            "expires_at": (self.now + timedelta(minutes=15)).isoformat(),
        }
        signed = {"decision": facts | decision, "key_id": "0123456789abcdef", "signature": "c2lnbmVk"}
        return self.tell(RecordKind.DECISION, outcome, **signed, objection=objection, refusal=refusal)

    def in_doubt(self, number: int = 1, *, key: str = "", **more: Any) -> Self:
        """People are asked what became of the plan's action."""
        action = self.plan.actions[0]
        doubt = {"key": key or self.key, "part": "do", "step": action.id, "name": action.name, "uses": action.uses,
                 "attempt": 1, "evidence": "no answer within 30 s"}  # fmt: skip
        self.gate = f"{self.remediation}/verdict-{number}"
        self.asked()
        asked = self.records.pop()
        return self.tell(RecordKind.GATE_ASKED, **{**asked.data, "doubt": doubt, **more})

    def gate_closed(self, outcome: str, sentence: str = "Alice approved") -> Self:
        """The gate closes."""
        return self.tell(RecordKind.GATE_CLOSED, outcome, gate=self.gate, sentence=sentence)

    def intent(self, attempt: int = 1, **more: Any) -> Self:
        """An action is about to begin."""
        return self.tell(RecordKind.ACTION_INTENT, **(self._action(attempt) | more))

    def receipt(self, outcome: str = "ok", attempt: int = 1, **more: Any) -> Self:
        """What came of it."""
        facts = {"sentence": "restarted checkout: process 4711 is now 4723", "reason": "", "took_ms": 2100}
        output = {"output": {"pid": 4723}, "recovered": False}
        return self.tell(
            RecordKind.ACTION_RECEIPT, outcome, **(self._action(attempt) | facts | output | more)
        )

    def unknown(self, attempt: int = 1, **more: Any) -> Self:
        """Nobody knows what came of it."""
        facts = {"sentence": "no answer within 30 s", "reason": "timeout"}
        return self.tell(RecordKind.ACTION_UNKNOWN, "unknown", **(self._action(attempt) | facts | more))

    def refused(self, **more: Any) -> Self:
        """A rule of the house forbade it."""
        facts = {"sentence": "a freeze of * is in force: database migration", "reason": "frozen"}
        return self.tell(RecordKind.ACTION_REFUSED, "refused", **(self._action(1) | facts | more))

    def ended(self, ending: str, sentence: str = "it helped", reason: str = "verified") -> Self:
        """The ending."""
        count = len(self.records) + 1
        facts = {"ending": ending, "reason": reason, "sentence": sentence, "count": count}
        return self.tell(RecordKind.ENDING, ending, **facts)

    def _action(self, attempt: int) -> dict[str, Any]:
        action = self.plan.actions[0]
        return {
            "key": self.key,
            "step": action.id,
            "name": action.name,
            "uses": action.uses,
            "effect": action.effect.value,
            "kind": action.kind.value,
            "arguments": action.arguments,
            "attempt": attempt,
            "plan_digest": self.plan.digest,
            "decisions": [
                record.data["decision"]["id"]
                for record in self.records
                if record.kind is RecordKind.DECISION and record.outcome == "accepted"
            ],
        }


def a_good_night() -> Telling:
    """Return a remediation that was approved and helped, from alert to ending."""
    told = Telling().admitted().wait(seconds=1).check("before", "passed").planned().asked()
    told.wait(seconds=95).answered("approved", reason="known leak, restart is safe").gate_closed("approved")
    told.wait(seconds=1).check("again", "passed", "error_ratio is 0.06")
    told.intent().wait(seconds=2.1).receipt().wait(seconds=10)
    told.verified("failed", "error_ratio is 0.03").wait(seconds=20).joined(AlertStatus.RESOLVED)
    return told.wait(seconds=30).verified("passed").ended("mitigated")
