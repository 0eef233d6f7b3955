"""Records: what the ledger keeps, for ever, of everything that was seen, decided and done.

The kinds and the names in `data` are read by timelines, metrics, cards and auditors, so they
are never renamed.  A record's `stream` is a remediation's id, or `system`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from runbooks.model.base import Value

SYSTEM = "system"
"""The stream of records that belong to no single remediation."""


class RecordKind(StrEnum):
    """What a record is about.  After each: what its `data` holds."""

    #: delivery, entry, alert {status, labels, annotations, starts_at, ends_at, generator_url, group_key}, runbook, target, sender,
    #: raw (SHA-256 of the body that it came in, hex, or empty); system
    ALERT_RECEIVED = "alert.received"
    #: entry, delivery, status, alert; an alert that this remediation took in
    ALERT_JOINED = "alert.joined"
    #: entry, delivery, reason, sentence, remediation; an alert that no remediation took in; system
    ALERT_EXPLAINED = "alert.explained"
    #: runbook, runbook_digest, target, summary, workflow_id, first_run, entries, alert, requested_by, fencing,
    #: reason, sentence; where attempts are used up: earlier [{remediation, at, ending}], tell, said_before;
    #: outcome admitted or withheld
    ADMISSION = "admission"
    #: round (before, again, verify), id, name, uses, arguments, expect, sentence, result, took_ms; outcome = verdict
    CHECK = "check"
    #: digest, plan, observe
    PLAN = "plan"
    #: gate, approvers, need, opens_at, expires_at, plan_digest; asked_until and otherwise [{approvers, until}]
    #: where others are asked in turn; doubt {key, part, step, name, uses, attempt, evidence} where the question is
    #: what became of an action; gated {key, step, name, uses} where it is about a single step
    GATE_ASKED = "gate.asked"
    #: gate, link (1 for the first), approvers (who are asked too from now on), asked_until
    GATE_ESCALATED = "gate.escalated"
    #: id, gate, answer, principal, via; a click, durable before it is acknowledged
    DECISION_RECEIVED = "decision.received"
    #: decision {...}, key_id, signature, objection, refusal (its word); outcome accepted or refused.  The key of one that was accepted
    #: stands in a `listener.key` before it
    DECISION = "decision"
    #: gate, sentence; outcome approved, denied, expired, withdrawn; happened, again, stopped where about an action
    GATE_CLOSED = "gate.closed"
    #: reason; a person wants this remediation to do nothing more
    STOP_ASKED = "stop.asked"
    #: key, step, name, uses, effect, kind, arguments, attempt, plan_digest, decisions
    ACTION_INTENT = "action.intent"
    #: key, step, name, uses, attempt, sentence, reason, output, recovered, took_ms; outcome ok, failed, not_sent
    ACTION_RECEIPT = "action.receipt"
    #: key, step, name, uses, attempt, sentence, reason; outcome unknown
    ACTION_UNKNOWN = "action.unknown"
    #: key, step, name, uses, attempt, sentence, reason; outcome refused
    ACTION_REFUSED = "action.refused"
    #: ending, reason, sentence, count (records in this stream, this one included); outcome = ending
    ENDING = "ending"
    #: scope, reason; system
    FREEZE = "freeze"
    #: scope, reason; system
    THAW = "thaw"
    #: target, remediation, reason; a person gave a target back whose state nobody knew; system
    LEASE_RELEASED = "lease.released"
    #: remediation, records [seq], digests [hex], reason; values were taken back for good; system
    REDACTION = "redaction"
    #: key_id, key (base64); a listener whose seal counts from here on; system
    LISTENER_KEY = "listener.key"
    #: key (the new one's text), reason; the sealer has lost its key and memory and begins with others; system
    SEALER_ANEW = "sealer.anew"
    #: before, export (SHA-256, hex), streams [id], records, blobs; bodies that stand in the export only now; system
    LEDGER_PRUNED = "ledger.pruned"
    #: runbooks {name: digest}, refused [{file, line, column, problem}]; system
    CATALOG = "catalog"
    #: words, rules [id], why, policy; what the policy said to a person; outcome allowed or refused; system
    RULING = "policy.ruled"
    #: login, person, label, peer, expires_at, reason; a command line may speak for a person; system
    LOGIN_ISSUED = "login.issued"
    #: login, person, reason; a login counts no more; outcome revoked, logged_out or expired; system
    LOGIN_ENDED = "login.ended"
    #: what (started, stopped), parts, version, pid; a process started, or stopped in order; system
    PROCESS = "process"


class Entry(Value):
    """What is handed to the ledger to be kept.

    Attributes:
        event_id: deterministic, so that appending twice keeps one (`<key>/intent/1`).
        actor: who: `slack:T1/U1`, `local:alice`, `bot:worker`.
        source: where it came from: an address, a channel, a component.
        object: what it is about, usually the target.
        outcome: `-` where the kind has none.
        at: when; informative, the order is the sequence number.  None: the time of the append.
    """

    event_id: str
    stream: str
    kind: RecordKind
    actor: str
    source: str
    object: str = "-"
    outcome: str = "-"
    data: dict[str, Any] = {}
    at: datetime | None = None


class Record(Value):
    """An entry as the ledger keeps it.

    Attributes:
        seq: position in the whole ledger, from 0, without gaps.
        stream_seq: position in its stream, from 0, without gaps.
    """

    seq: int
    event_id: str
    stream: str
    stream_seq: int
    kind: RecordKind
    actor: str
    source: str
    object: str
    outcome: str
    at: datetime
    data: dict[str, Any]
