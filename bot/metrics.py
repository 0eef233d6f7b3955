"""Metrics: what the ledger says, counted; and what this process sees, which nobody records.

The first kind is a projection of the ledger, like cards and timelines: it is worked out anew at
start, so its counters do not begin at nought after a restart, and two processes on one ledger
tell the same.  The second kind (answers to senders, repetitions that were shed) begins at nought
with the process.

Every label has a closed set of values.  What is worth an alert when it happens for the first time
stands at nought from the start, because Prometheus sees no rise in what was not there before.  A target, an alert's name, a person or an error's text
is never one, because whoever can set a metric label could then fill the memory of whoever
scrapes this.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from activities.freeze_file import read_freezes
from activities.ledger import freezes, records
from activities.ledger.backlog import backlog
from activities.ledger.store import Ledger
from bot.sealer.state import read_state
from runbooks.errors import LedgerError
from runbooks.model.action import Outcome
from runbooks.model.decision import Refusal
from runbooks.model.record import Record, RecordKind
from runbooks.model.remediation import Ending

# A counter that is worked out anew at start was not created at start.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
OTHER = "other"
ENTRIES_REMEMBERED = 100_000  # alerts that wait for their admission, at most
READ_DEADLINE = 2.0  # seconds
BATCH = 1_000  # records read at once while catching up

ANSWERS = (200, 400, 401, 403, 404, 405, 413, 415, 500, 503)
DESTINATIONS = frozenset({"folder", "git", "ssh"})
SLACK_REQUESTS = (
    "accepted",
    "forged",
    "stale",
    "replayed",
    "malformed",
    "unreadable",
    "not_ready",
    "late",
    "failed",
)
SLACK_CALLS = ("done", "paused", "refused", "no_answer", "plain", "fallback", "nowhere")
GATE_OUTCOMES = ("approved", "denied", "happened", "again", "stopped", "expired", "withdrawn")

_ENDINGS = frozenset(ending.value for ending in Ending)
_OUTCOMES = frozenset(outcome.value for outcome in Outcome)
_REFUSALS = frozenset(refusal.value for refusal in Refusal)
_UNTIL_ENDING = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 14400)
_UNTIL_ANSWER = (5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_REBUILT = " Worked out anew from the ledger at start: a restart does not reset it."
_PROCESS = " Of this process: a restart resets it."

GATHER = 0.25  # seconds

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Open:
    """A remediation that has not ended."""

    runbook: str
    since: datetime


class Metrics:
    """All metrics of one process, in a registry of their own.

    Args:
        actions: the names of the registry's actions; others are counted as `other`.
        freeze_file: the brake outside the ledger.
        sealer: the sealer's folder; None where nothing is known of one.
    """

    def __init__(
        self, ledger: Ledger, *, actions: Collection[str], freeze_file: Path, sealer: Path | None = None
    ) -> None:
        self._ledger = ledger
        self._sealer = sealer
        self._freeze_file = freeze_file
        self._actions = frozenset(actions)
        self._runbooks: set[str] = set()  # every name that a catalog on record has had
        self._last = -1
        self._received: OrderedDict[str, datetime] = OrderedDict()
        self._open: dict[str, _Open] = {}
        self._gates: dict[str, datetime] = {}
        self._caught_up = asyncio.Event()
        self.registry = CollectorRegistry()
        self._declare_projection()
        self._declare_process()
        self._declare_moment()
        self._begin_at_nought()
        self._readers: Mapping[RecordKind, Callable[[Record], None]] = {
            RecordKind.CATALOG: self._read_catalog,
            RecordKind.ALERT_RECEIVED: self._read_alert,
            RecordKind.ALERT_JOINED: self._read_taken_in,
            RecordKind.ALERT_EXPLAINED: self._read_explained,
            RecordKind.ADMISSION: self._read_admission,
            RecordKind.GATE_ASKED: self._read_asked,
            RecordKind.GATE_ESCALATED: self._read_escalated,
            RecordKind.GATE_CLOSED: self._read_closed,
            RecordKind.DECISION: self._read_decision,
            RecordKind.ACTION_INTENT: self._read_intent,
            RecordKind.ACTION_RECEIPT: self._read_outcome,
            RecordKind.ACTION_UNKNOWN: self._read_outcome,
            RecordKind.ACTION_REFUSED: self._read_outcome,
            RecordKind.ENDING: self._read_ending,
        }

    def _declare_projection(self) -> None:
        registry = self.registry
        self._remediations = Counter(
            "paramedic_remediations",
            "Remediations that ended, by runbook and ending." + _REBUILT,
            ("runbook", "ending"),
            registry=registry,
        )
        self._running = Gauge(
            "paramedic_remediations_running", "Remediations that have not ended.", registry=registry
        )
        self._until_ending = Histogram(
            "paramedic_alert_to_ending_seconds",
            "From the receipt of a remediation's first alert to its ending." + _REBUILT,
            ("ending",),
            buckets=_UNTIL_ENDING,
            registry=registry,
        )
        self._gates_open = Gauge("paramedic_gates_open", "Gates that wait for people.", registry=registry)
        self._gate_wait = Histogram(
            "paramedic_gate_wait_seconds",
            "From the opening of a gate to its closing, by how it closed." + _REBUILT,
            ("outcome",),
            buckets=_UNTIL_ANSWER,
            registry=registry,
        )
        self._escalations = Counter(
            "paramedic_gate_escalations",
            "Gates that too few answered in time, so that the next of their chain were asked too." + _REBUILT,
            ("runbook",),
            registry=registry,
        )
        self._answers_refused = Counter(
            "paramedic_answers_refused",
            "People's answers that did not count, by why not." + _REBUILT,
            ("reason",),
            registry=registry,
        )
        self._attempts = Counter(
            "paramedic_actions",
            "Attempts at actions, by what came of them." + _REBUILT,
            ("action", "outcome"),
            registry=registry,
        )
        self._retries = Counter(
            "paramedic_action_retries",
            "Attempts after the first." + _REBUILT,
            ("action",),
            registry=registry,
        )
        self._recovered = Counter(
            "paramedic_actions_recovered",
            "Actions of which a later attempt found out that an earlier one had done them." + _REBUILT,
            ("action",),
            registry=registry,
        )
        self._alerts = Counter(
            "paramedic_alerts",
            "Alerts received, repetitions not counted, by whether a runbook matched." + _REBUILT,
            ("outcome",),
            registry=registry,
        )
        self._explained = Counter(
            "paramedic_alerts_explained",
            "Alerts that no remediation took in, each with its reason on record." + _REBUILT,
            registry=registry,
        )

    def _declare_process(self) -> None:
        registry = self.registry
        self._answers = Counter(
            "paramedic_receiver_answers",
            "Answers to senders of alerts, by status code." + _PROCESS,
            ("code",),
            registry=registry,
        )
        self._duplicates = Counter(
            "paramedic_duplicates_suppressed",
            "Alerts that said nothing new: in a body that was equal to a recent one, or by delivery."
            + _PROCESS,
            ("by",),
            registry=registry,
        )
        self._truncated = Counter(
            "paramedic_alerts_truncated",
            "Alerts that the sender cut off its notifications and may never send." + _PROCESS,
            registry=registry,
        )
        self._feeding_failures = Counter(
            "paramedic_feeder_failures",
            "Inbox entries that could not be handed to Temporal at one attempt; they are tried again."
            + _PROCESS,
            ("reason",),
            registry=registry,
        )

        self._slack_calls = Counter(
            "paramedic_slack_calls",
            "Messages on their way to Slack, by what became of them; `nowhere`: no channel took one."
            + _PROCESS,
            ("outcome",),
            registry=registry,
        )
        self._slack_requests = Counter(
            "paramedic_slack_requests",
            "Requests to the address that Slack posts to, by what was made of them." + _PROCESS,
            ("outcome",),
            registry=registry,
        )

    def _declare_moment(self) -> None:
        registry = self.registry
        self._ledger_readable = Gauge(
            "paramedic_ledger_readable",
            "1 if the ledger could be read for this scrape; else the values below are older.",
            registry=registry,
        )
        self._ledger_size = Gauge("paramedic_ledger_size", "Records in the ledger.", registry=registry)
        self._sealed_size = Gauge(
            "paramedic_sealed_size", "Records that the last checkpoint covers.", registry=registry
        )
        self._sealed_at = Gauge(
            "paramedic_sealed_timestamp_seconds", "When the last checkpoint was signed.", registry=registry
        )
        self._refused = Gauge(
            "paramedic_sealer_refused",
            "1 if the sealer signs no more, because the ledger is not what it was.",
            registry=registry,
        )
        self._unpublished = Gauge(
            "paramedic_checkpoints_unpublished",
            "Checkpoints that a destination outside the database has not taken yet.",
            ("destination",),
            registry=registry,
        )
        self._backlog = Gauge(
            "paramedic_inbox_backlog",
            "Inbox entries that Temporal has not accepted yet, and notifications that are not taken in.",
            registry=registry,
        )
        self._oldest = Gauge(
            "paramedic_inbox_oldest_seconds", "How long the oldest of them has waited.", registry=registry
        )
        self._frozen = Gauge(
            "paramedic_frozen", "Scopes that are frozen, by ledger or by file.", registry=registry
        )

    def _begin_at_nought(self) -> None:
        """Show what nobody has seen yet: an alert on its increase would miss the first time."""
        for action in (*self._actions, OTHER):
            self._attempts.labels(action, Outcome.UNKNOWN.value)
        for refusal in _REFUSALS:
            self._answers_refused.labels(refusal)
        for by in ("body", "delivery"):
            self._duplicates.labels(by)

    # --- what this process sees -----------------------------------------------------------------

    def answered(self, code: int) -> None:
        """Count one answer to a sender."""
        self._answers.labels(str(code) if code in ANSWERS else OTHER).inc()

    def suppressed(self, alerts: int, *, by: Literal["body", "delivery"]) -> None:
        """Count alerts that said nothing new."""
        if alerts:
            self._duplicates.labels(by).inc(alerts)

    def truncated(self, alerts: int) -> None:
        """Count alerts that a sender cut off."""
        self._truncated.inc(alerts)

    def feeding_failed(self, reason: Literal["away", "refused"]) -> None:
        """Count one attempt to hand an inbox entry to Temporal."""
        self._feeding_failures.labels(reason).inc()

    def slack_request(self, outcome: str) -> None:
        """Count one request that says it comes from Slack."""
        self._slack_requests.labels(outcome if outcome in SLACK_REQUESTS else OTHER).inc()

    def slack_call(self, outcome: str) -> None:
        """Count what became of one attempt to say something in Slack."""
        self._slack_calls.labels(outcome if outcome in SLACK_CALLS else OTHER).inc()

    # --- what is true right now ------------------------------------------------------------------

    async def page(self) -> bytes:
        """Return the page that Prometheus scrapes."""
        self._read_sealer()
        try:
            async with asyncio.timeout(READ_DEADLINE):
                size, waiting, frozen = await self._ledger.read(
                    lambda c: (records.size(c), backlog(c), freezes.current(c))
                )
        except (LedgerError, TimeoutError):
            self._ledger_readable.set(0)
            return generate_latest(self.registry)
        oldest = waiting.oldest
        scopes = {freeze.scope for freeze in (*frozen, *read_freezes(self._freeze_file))}
        self._ledger_readable.set(1)
        self._ledger_size.set(size)
        self._backlog.set(waiting.entries + waiting.notifications)
        self._oldest.set(max(0.0, (datetime.now(UTC) - oldest).total_seconds()) if oldest else 0)
        self._frozen.set(len(scopes))
        return generate_latest(self.registry)

    def _read_sealer(self) -> None:
        state = None if self._sealer is None else read_state(self._sealer)
        if state is None:
            return
        self._sealed_size.set(state.size)
        self._sealed_at.set(state.sealed_at.timestamp() if state.sealed_at else 0)
        self._refused.set(int(bool(state.refused)))
        for name in DESTINATIONS & state.behind.keys():
            self._unpublished.labels(name).set(state.behind[name])

    # --- the projection --------------------------------------------------------------------------

    @property
    def caught_up(self) -> bool:
        """Whether the ledger was read once to its end.

        Before that the counters are too low, and a scrape would take their rise for news.
        """
        return self._caught_up.is_set()

    async def follow(self) -> None:
        """Count what is on record, then what comes, until cancelled."""
        while True:
            try:
                await self._catch_up()
                kinds = frozenset(self._readers)
                async for batch in self._ledger.follow(self._last, kinds=kinds, gather=GATHER):
                    self.take(batch)
            except LedgerError as error:
                log.warning("the metrics cannot follow the ledger", error=str(error))
                await asyncio.sleep(1)

    async def _catch_up(self) -> None:
        kinds = frozenset(self._readers)
        while batch := await self._ledger.read(lambda c: records.after(c, self._last, BATCH, kinds)):
            self.take(batch)
        self._caught_up.set()

    def take(self, batch: Sequence[Record]) -> None:
        """Count these records; those that were counted already are passed over."""
        for record in batch:
            if record.seq <= self._last:
                continue
            reader = self._readers.get(record.kind)
            if reader is not None:
                reader(record)
            self._last = record.seq
        self._running.set(len(self._open))
        self._gates_open.set(len(self._gates))

    def _read_catalog(self, record: Record) -> None:
        self._runbooks.update(record.data.get("runbooks", {}))

    def _read_alert(self, record: Record) -> None:
        matched = record.outcome == "matched"
        self._alerts.labels("matched" if matched else "unmatched").inc()
        if matched:
            self._received[record.data["entry"]] = record.at
            if len(self._received) > ENTRIES_REMEMBERED:
                self._received.popitem(last=False)

    def _read_taken_in(self, record: Record) -> None:
        self._received.pop(record.data.get("entry", ""), None)

    def _read_explained(self, record: Record) -> None:
        self._explained.inc()
        self._read_taken_in(record)

    def _read_admission(self, record: Record) -> None:
        entries = record.data.get("entries", ())
        received = [at for entry in entries if (at := self._received.pop(entry, None)) is not None]
        runbook = str(record.data.get("runbook", ""))
        self._open[record.stream] = _Open(runbook, min(received, default=record.at))

    def _read_asked(self, record: Record) -> None:
        self._gates[record.data["gate"]] = record.at

    def _read_escalated(self, record: Record) -> None:
        opened = self._open.get(record.stream)
        self._escalations.labels(self._runbook(opened.runbook if opened else "")).inc()

    def _read_decision(self, record: Record) -> None:
        if record.outcome == "refused":
            refusal = record.data.get("refusal")
            self._answers_refused.labels(refusal if refusal in _REFUSALS else OTHER).inc()

    def _read_closed(self, record: Record) -> None:
        opened_at = self._gates.pop(record.data["gate"], None)
        if opened_at is not None:
            outcome = record.outcome if record.outcome in GATE_OUTCOMES else OTHER
            self._gate_wait.labels(outcome).observe(max(0.0, (record.at - opened_at).total_seconds()))

    def _read_intent(self, record: Record) -> None:
        if record.data.get("attempt", 1) > 1:
            self._retries.labels(self._action(record)).inc()

    def _read_outcome(self, record: Record) -> None:
        action = self._action(record)
        self._attempts.labels(action, record.outcome if record.outcome in _OUTCOMES else OTHER).inc()
        if record.data.get("recovered"):
            self._recovered.labels(action).inc()

    def _read_ending(self, record: Record) -> None:
        ending = record.outcome if record.outcome in _ENDINGS else OTHER
        opened = self._open.pop(record.stream, _Open("", record.at))
        self._remediations.labels(self._runbook(opened.runbook), ending).inc()
        self._until_ending.labels(ending).observe(max(0.0, (record.at - opened.since).total_seconds()))
        for gate in [gate for gate in self._gates if gate.startswith(f"{record.stream}/")]:
            del self._gates[gate]

    def _runbook(self, name: str) -> str:
        return name if name in self._runbooks else OTHER

    def _action(self, record: Record) -> str:
        name = record.data.get("uses", "")
        return name if name in self._actions else OTHER
