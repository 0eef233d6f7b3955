"""A remediation's story: what its records say, read from first to last.

Cards, timelines, SLIs and the console all ask the same questions (who was asked, what was done,
how did it end), so the answers are worked out once, here, from the records and nothing else.
Reading is a fold: each record turns the story so far into the next one.

A reader must cope with records that a newer version wrote, so unknown kinds and unknown names in
`data` are passed over.  Order is another matter: a receipt without its intent, a gap, or a record
of another stream means that this is not the story of one remediation, and nothing is told at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from runbooks.errors import ParamedicError
from runbooks.model.action import Effect
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.base import Value
from runbooks.model.decision import Answer, Doubt, GatedStep
from runbooks.model.plan import Plan
from runbooks.model.record import Record, RecordKind
from runbooks.model.remediation import Ending
from runbooks.model.verdict import Verdict

Round = Literal["before", "again", "verify"]
ActionState = Literal["running", "ok", "failed", "not_sent", "unknown", "refused"]
Phase = Literal["checking", "asking", "acting", "verifying", "ended"]

V = TypeVar("V", bound=Value)


class StoryError(ParamedicError):
    """The records are not those of one remediation, in order."""

    code = "story_unreadable"


class CheckStory(Value):
    """One measurement that is on record.

    Attributes:
        round: before the gate, again right before acting, or to verify afterwards.
        look: 1 for the first look at this check in its round.
    """

    round: Round
    id: str
    name: str
    verdict: Verdict
    sentence: str = ""
    at: datetime
    took_ms: int = 0
    look: int


class DecisionStory(Value):
    """One person's answer at the gate, whether or not it counted.

    Attributes:
        key: the person: `slack:T0123/U0456`, `local:alice`.
        objection: why it did not count; empty where it did.
    """

    answer: Answer
    key: str
    name: str = ""
    reason: str = ""
    via: str
    at: datetime
    accepted: bool
    objection: str = ""


class LinkStory(Value):
    """Who will be asked too when nobody has answered by then, and until when they have time."""

    approvers: tuple[str, ...]
    until: datetime


class GateStory(Value):
    """The question that was put to people, and what came of it.

    Attributes:
        approvers: the groups that are asked by now.
        expires_at: when the last who are ever asked have had their time.
        asked_until: when those who are asked now have had theirs; None: that is `expires_at`.
        otherwise: who is asked in turn after that.
        doubt: the action, where the question is what became of it.
        gated: the step, where it is about that one alone.  Neither: the plan is to be approved.
        outcome: empty while it is open; then approved, denied, expired or withdrawn; about an action
            happened, again, stopped, expired or withdrawn.
        sentence: how it closed, for people.
    """

    gate: str
    approvers: tuple[str, ...]
    need: int
    plan_digest: str
    opens_at: datetime
    expires_at: datetime
    asked_until: datetime | None = None
    otherwise: tuple[LinkStory, ...] = ()
    doubt: Doubt | None = None
    gated: GatedStep | None = None
    outcome: Literal["", "approved", "denied", "happened", "again", "stopped", "expired", "withdrawn"] = ""
    sentence: str = ""
    closed_at: datetime | None = None
    decisions: tuple[DecisionStory, ...] = ()

    @property
    def about(self) -> str:
        """The key of the action that it is about; empty where the plan is to be approved."""
        subject = self.doubt or self.gated
        return subject.key if subject is not None else ""

    @property
    def everybody(self) -> tuple[str, ...]:
        """All groups that are ever asked."""
        later = (group for link in self.otherwise for group in link.approvers)
        return tuple(dict.fromkeys((*self.approvers, *later)))

    @property
    def until(self) -> datetime:
        """When those who are asked now have had their time."""
        return self.asked_until or self.expires_at

    def given(self, answer: Answer) -> tuple[DecisionStory, ...]:
        """Return the answers of this kind that counted."""
        return tuple(each for each in self.decisions if each.accepted and each.answer is answer)


class StopStory(Value):
    """A person's word that nothing more shall be done.

    Attributes:
        key: the person: `slack:T0123/U0456`, `local:alice`.
    """

    key: str
    reason: str = ""
    at: datetime


class ActionStory(Value):
    """One action, all its attempts together.

    Attributes:
        key: the same for every attempt.
        begun_at: of the first attempt.
        ended_at: of the last attempt; None while it runs.
        recovered: an earlier attempt had done it; a later one found out.
    """

    key: str
    step: str
    name: str
    uses: str
    effect: str = ""
    state: ActionState = "running"
    attempts: int = 1
    sentence: str = ""
    reason: str = ""
    begun_at: datetime
    ended_at: datetime | None = None
    recovered: bool = False
    output: dict[str, Any] = {}


class Story(Value):
    """One remediation so far.

    Attributes:
        target: the thing acted on.
        requested_by: the person who asked for it; empty where an alert did.
        admitted: whether it was let in at all.
        withheld_reason: why it may not go on, as a stable word; empty where it may.
        observe: it only says what it would do.
        gate: the gate at which the plan was to be approved.
        step_gates: the gates of single steps that were asked.
        verdicts: the gates at which people were asked what became of an action.
        stop: who stopped it; None where nobody did.
        tell: groups that should hear that it was withheld, because what was tried does not help.
        said_before: the remediation that has told them so already; empty where none has.
        entries: the inbox entries that it was opened for.
        joined: how many further notifications it took in of alerts that fire.
        resolved_at: when an alert reported as resolved joined; None again if one fired after that.
        last_seq: position in the ledger of the last record that was read.
    """

    remediation: str
    runbook: str = ""
    runbook_digest: str = ""
    summary: str = ""
    target: str = ""
    workflow_id: str = ""
    alert: Alert | None = None
    requested_by: str = ""
    admitted: bool = False
    opened_at: datetime
    withheld_reason: str = ""
    withheld_sentence: str = ""
    tell: tuple[str, ...] = ()
    said_before: str = ""
    checks: tuple[CheckStory, ...] = ()
    plan: Plan | None = None
    plan_digest: str = ""
    observe: bool = False
    gate: GateStory | None = None
    step_gates: tuple[GateStory, ...] = ()
    verdicts: tuple[GateStory, ...] = ()
    actions: tuple[ActionStory, ...] = ()
    stop: StopStory | None = None
    entries: tuple[str, ...] = ()
    joined: int = 0
    resolved_at: datetime | None = None
    ending: Ending | None = None
    ending_reason: str = ""
    ending_sentence: str = ""
    ended_at: datetime | None = None
    last_seq: int

    @property
    def gates(self) -> tuple[GateStory, ...]:
        """All questions that were put to people: about the plan, about steps, about what became of them."""
        return (*((self.gate,) if self.gate else ()), *self.step_gates, *self.verdicts)

    @property
    def approval(self) -> GateStory | None:
        """The newest question whether something may be done; None: nobody was asked that."""
        return self.step_gates[-1] if self.step_gates else self.gate

    @property
    def open_gates(self) -> tuple[GateStory, ...]:
        """The questions that wait for people.  The engine asks one after the other; no reader relies on that."""
        if self.ending is not None:
            return ()
        return tuple(gate for gate in self.gates if not gate.outcome)

    @property
    def open_gate(self) -> GateStory | None:
        """The first question that waits for people, or None."""
        return next(iter(self.open_gates), None)

    @property
    def unresolved(self) -> tuple[ActionStory, ...]:
        """The actions that may have changed the target, and nobody knows whether they did.

        Where a step was done again, only the last time counts: people said what became of the first.
        """
        newest = {(action.uses, action.step): action for action in self.actions}
        acting = (action for action in newest.values() if action.effect != Effect.TELL)
        return tuple(action for action in acting if action.state in {"running", "unknown"})

    @property
    def phase(self) -> Phase:
        """What is going on, from the records' point of view."""
        if self.ending is not None:
            return "ended"
        if self.open_gate is not None:
            return "asking"
        if any(action.state == "running" for action in self.actions):
            return "acting"
        if self._has_acted:
            return "verifying"
        if self.plan is None or self.observe:
            return "checking"
        awaited = self.plan.gate is not None or self.step_gates
        approved = self.approval is not None and self.approval.outcome == "approved"
        return "asking" if awaited and not approved else "acting"

    @property
    def _has_acted(self) -> bool:
        """Whether verification has begun, or everything that comes before it is done."""
        if any(check.round == "verify" for check in self.checks):
            return True
        done = {action.step for action in self.actions if action.state == "ok"}
        return self.plan is not None and bool(done) and done >= {step.id for step in self.plan.actions}


def read_story(records: Sequence[Record]) -> Story:
    """Return what `records` tell: all records of one stream, in their order.

    Raises:
        StoryError: they are not all the records of one remediation from its admission on, they are
            out of order, or one lacks what its kind must hold.
    """
    _refuse_disorder(records)
    first = records[0]
    opening = Story(remediation=first.stream, opened_at=first.at, last_seq=first.seq)
    return reduce(_read, records, opening)


def _refuse_disorder(records: Sequence[Record]) -> None:
    if not any(record.kind is RecordKind.ADMISSION for record in records):
        raise StoryError("these are not the records of a remediation: there is no admission among them")
    for position, record in enumerate(records):
        if record.stream != records[0].stream:
            raise StoryError(f"record {record.seq} is of {record.stream}, not of {records[0].stream}")
        if record.stream_seq != position:
            raise StoryError(
                f"record {record.seq} is number {record.stream_seq} of its stream, not {position}"
            )


def _read(story: Story, record: Record) -> Story:
    tell = _TELL.get(record.kind, _pass_over)
    try:
        return _with(tell(story, record), last_seq=record.seq)
    except (ValidationError, KeyError) as error:
        raise StoryError(f"record {record.seq} ({record.kind}) cannot be understood: {error}") from error


def _with(value: V, **changes: Any) -> V:
    """Return `value` with `changes`, validated: they come from a record's data."""
    return type(value).model_validate({**dict(value), **changes}, extra="ignore")


def _chosen(record: Record, *names: str) -> dict[str, Any]:
    """Return those of `names` that the record's data holds."""
    return {name: record.data[name] for name in names if name in record.data}


def _pass_over(story: Story, _record: Record) -> Story:
    return story


_ADMISSION_FACTS = (
    "runbook",
    "runbook_digest",
    "summary",
    "target",
    "workflow_id",
    "requested_by",
    "entries",
    "tell",
    "said_before",
)


def _admission(story: Story, record: Record) -> Story:
    """The first tells who and what; a later one only that it may not go on."""
    changes: dict[str, Any] = {}
    if record.outcome != "admitted":
        changes = {
            "withheld_reason": record.data.get("reason", ""),
            "withheld_sentence": record.data.get("sentence", ""),
        }
    if story.runbook:
        return _with(story, **changes)
    facts = _chosen(record, *_ADMISSION_FACTS)
    alert = record.data.get("alert") or None
    admitted = record.outcome == "admitted"
    return _with(story, **facts, **changes, alert=alert, admitted=admitted, opened_at=record.at)


def _joined(story: Story, record: Record) -> Story:
    """Those that it was opened for have joined as well; neither they nor the all-clear are further ones."""
    resolved = record.data.get("status") == AlertStatus.RESOLVED
    further = not resolved and record.data.get("entry") not in story.entries
    return _with(story, joined=story.joined + further, resolved_at=record.at if resolved else None)


def _check(story: Story, record: Record) -> Story:
    same = (record.data["round"], record.data["id"])
    earlier = sum((check.round, check.id) == same for check in story.checks)
    facts = {"look": earlier + 1, **record.data, "verdict": record.outcome, "at": record.at}
    check = CheckStory.model_validate(facts, extra="ignore")
    return _with(story, checks=(*story.checks, check))


def _plan(story: Story, record: Record) -> Story:
    return _with(
        story,
        plan=record.data["plan"],
        plan_digest=record.data["digest"],
        observe=record.data.get("observe", False),
    )


def _gate_asked(story: Story, record: Record) -> Story:
    names = ("gate", "approvers", "need", "plan_digest", "opens_at", "expires_at", "asked_until", "otherwise")
    told = _chosen(record, *names, "doubt", "gated")
    return _with_gate(story, GateStory.model_validate(told, extra="ignore"))


def _gate_escalated(story: Story, record: Record) -> Story:
    gate = _known_gate(story, record)
    further = tuple(record.data["approvers"])
    asked = _with(
        gate,
        approvers=tuple(dict.fromkeys((*gate.approvers, *further))),
        asked_until=record.data["asked_until"],
        otherwise=gate.otherwise[1:],
    )
    return _with_gate(story, asked)


def _with_gate(story: Story, gate: GateStory) -> Story:
    """Return the story with `gate` in the place of the one with its id, or at the end."""
    if gate.doubt is None and gate.gated is None:
        return _with(story, gate=gate)
    name = "verdicts" if gate.doubt is not None else "step_gates"
    by_id = {each.gate: each for each in getattr(story, name)} | {gate.gate: gate}
    return _with(story, **{name: tuple(by_id.values())})


def _gate_named(story: Story, name: str) -> GateStory | None:
    return next((gate for gate in story.gates if gate.gate == name), None)


def _decision(story: Story, record: Record) -> Story:
    """An answer to a gate that was not asked is on record, but not part of any question."""
    decision: Mapping[str, Any] = record.data["decision"]
    gate = _gate_named(story, decision["gate"])
    if gate is None:
        return story
    told = {
        **decision,
        "at": decision.get("decided_at", record.at),
        "key": decision["principal"]["key"],
        "name": decision["principal"].get("name", ""),
        "accepted": record.outcome == "accepted",
        "objection": record.data.get("objection") or "",
    }
    answer = DecisionStory.model_validate(told, extra="ignore")
    return _with_gate(story, _with(gate, decisions=(*gate.decisions, answer)))


def _known_gate(story: Story, record: Record) -> GateStory:
    gate = _gate_named(story, record.data["gate"])
    if gate is None:
        raise StoryError(f"record {record.seq} is about a gate that was never asked")
    return gate


def _gate_closed(story: Story, record: Record) -> Story:
    gate = _known_gate(story, record)
    closed = _with(
        gate,
        outcome=record.outcome,
        sentence=record.data.get("sentence", ""),
        closed_at=record.at,
    )
    return _with_gate(story, closed)


def _stop(story: Story, record: Record) -> Story:
    stop = StopStory(key=record.actor, reason=record.data.get("reason", ""), at=record.at)
    return _with(story, stop=stop)


def _intent(story: Story, record: Record) -> Story:
    """A further attempt of an action that is known keeps the time of the first."""
    told = _chosen(record, "key", "step", "name", "uses", "effect")
    begun = ActionStory.model_validate(
        {**told, "attempts": record.data.get("attempt", 1), "begun_at": record.at}
    )
    known = _action(story, begun.key)
    return _with_action(story, begun if known is None else _with(begun, begun_at=known.begun_at))


def _outcome(story: Story, record: Record) -> Story:
    """What certainly did not happen may stand without an intent: it did not come to that."""
    known = _action(story, record.data["key"])
    if known is None and record.outcome not in {"refused", "not_sent"}:
        raise StoryError(f"record {record.seq} tells the outcome of an action that has no intent")
    told = {**_chosen(record, "key", "step", "name", "uses", "effect"), "begun_at": record.at}
    before = known or ActionStory.model_validate(told)
    if before.state == "unknown" and record.outcome in {"refused", "not_sent"}:
        return story  # that it was not done later says nothing about the time before
    ended = _with(
        before,
        state=record.outcome,
        attempts=record.data.get("attempt", before.attempts),
        ended_at=record.at,
        **_chosen(record, "sentence", "reason", "recovered", "output"),
    )
    return _with_action(story, ended)


def _action(story: Story, key: str) -> ActionStory | None:
    return next((action for action in story.actions if action.key == key), None)


def _with_action(story: Story, action: ActionStory) -> Story:
    """Return the story with `action` in the place of the one with its key, or at the end."""
    by_key = {each.key: each for each in story.actions} | {action.key: action}
    return _with(story, actions=tuple(by_key.values()))


def _ending(story: Story, record: Record) -> Story:
    """What still ran when it ended, ran on a worker that was lost: nobody knows what came of it."""
    lost = {"state": "unknown", "sentence": "no outcome is on record"}
    return _with(
        story,
        actions=tuple(_with(each, **lost) if each.state == "running" else each for each in story.actions),
        ending=record.outcome,
        ending_reason=record.data.get("reason", ""),
        ending_sentence=record.data.get("sentence", ""),
        ended_at=record.at,
    )


_TELL: Mapping[RecordKind, Callable[[Story, Record], Story]] = {
    RecordKind.ADMISSION: _admission,
    RecordKind.ALERT_JOINED: _joined,
    RecordKind.CHECK: _check,
    RecordKind.PLAN: _plan,
    RecordKind.GATE_ASKED: _gate_asked,
    RecordKind.GATE_ESCALATED: _gate_escalated,
    RecordKind.DECISION: _decision,
    RecordKind.GATE_CLOSED: _gate_closed,
    RecordKind.STOP_ASKED: _stop,
    RecordKind.ACTION_INTENT: _intent,
    RecordKind.ACTION_RECEIPT: _outcome,
    RecordKind.ACTION_UNKNOWN: _outcome,
    RecordKind.ACTION_REFUSED: _outcome,
    RecordKind.ENDING: _ending,
}
