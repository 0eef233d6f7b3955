"""The judge: was anything lost, done twice, done without a record, or done against the rules?

It reads three things that were written independently of each other: what the sender was answered,
what the target says was done to it, and the ledger.  It never asks the bot.  Every target stands for
one episode of one alert, so the most that may ever happen to it is one effect, whatever the keys say.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runbooks.model.record import SYSTEM, Record, RecordKind

FREEZE_WITHIN = timedelta(seconds=2)
"""A freeze reaches everything within this time."""

NEWS = "news"
"""The label that makes each alert of a sender unlike every other one."""


@dataclass(frozen=True)
class Delivery:
    """One alert that its sender was told (2xx) would be taken care of.

    Attributes:
        at: when it was told so; None where that is not asked.
    """

    news: str
    target: str
    status: str = "firing"
    at: datetime | None = None


@dataclass(frozen=True)
class Effect:
    """One thing that was done to a target, as the target itself wrote it down.

    Attributes:
        key: the key under which it was done; empty where this kind of target is told none.
    """

    target: str
    at: datetime
    key: str = ""


@dataclass(frozen=True)
class Findings:
    """What the judge counted for one fault.

    Attributes:
        longest: seconds from the 2xx to the outcome, of the alert that waited longest for it.
        problems: what is behind the numbers, in words.
    """

    delivered: int = 0
    explained: int = 0
    effects: int = 0
    duplicates: int = 0
    without_intent: int = 0
    without_end: int = 0
    against_policy: int = 0
    to_person: int = 0
    longest: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def lost(self) -> int:
        """Alerts that were acknowledged and have no explained outcome."""
        return self.delivered - self.explained

    @property
    def broken(self) -> bool:
        """Whether a promise was broken.  An outcome that is handed to a person is none."""
        return bool(
            self.lost + self.duplicates + self.without_intent + self.without_end + self.against_policy
        )


def judge(
    deliveries: Sequence[Delivery], effects: Sequence[Effect], records: Sequence[Record], *, most: int = 1
) -> Findings:
    """Return what came of these deliveries.

    Args:
        deliveries: those of one fault.
        effects: those at the targets of the same fault.
        records: the whole ledger, in order.
        most: how many effects the rules allow for each target; 0 where nothing may be done at all.
    """
    book = Book(records)
    lost = [each for each in deliveries if not book.explains(each)]
    effects = sorted(effects, key=lambda effect: effect.at)
    extra = _beyond_the_first(effects)
    unrecorded = [effect for effect in effects if book.intent_before(effect) is None]
    unruly = [(effect, why) for effect in effects if (why := _objection(book, effect, most))]
    scope = {each.target for each in deliveries} | {effect.target for effect in effects}
    unended = list(book.intents_without_end(scope))
    return Findings(
        delivered=len(deliveries),
        explained=len(deliveries) - len(lost),
        effects=len(effects),
        duplicates=len(extra),
        without_intent=len(unrecorded),
        without_end=len(unended),
        against_policy=len(unruly),
        to_person=book.left_to_people(scope),
        longest=max((book.delay_of(each) for each in deliveries), default=0.0),
        problems=(
            *(f"lost: {each.target} ({each.status}, {each.news})" for each in lost),
            *(f"done again: {effect.target} at {effect.at:%H:%M:%S.%f}" for effect in extra),
            *(f"no intent: {effect.target}, key {effect.key or 'unknown'}" for effect in unrecorded),
            *(f"no end: {intent.object}, attempt {intent.data['attempt']}" for intent in unended),
            *(f"against the rules: {effect.target}: {why}" for effect, why in unruly),
        ),
    )


def _beyond_the_first(effects: Iterable[Effect]) -> list[Effect]:
    """Return every effect at a target that had one already."""
    seen: Counter[str] = Counter()
    extra = []
    for effect in effects:
        if seen[effect.target]:
            extra.append(effect)
        seen[effect.target] += 1
    return extra


def _objection(book: Book, effect: Effect, most: int) -> str:
    """Return why the rules forbade this effect; empty where they did not."""
    if most == 0:
        return "nothing at all was allowed here"
    intent = book.intent_before(effect)
    if intent is None:
        return ""  # counted already
    return (
        book.objection_of_freezes(intent)
        or book.objection_of_checks(intent)
        or book.objection_of_the_gate(intent)
    )


class Book:
    """The ledger, with the few questions that the judge has."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._kinds: dict[RecordKind, list[Record]] = defaultdict(list)
        self._streams: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            self._kinds[record.kind].append(record)
            if record.stream != SYSTEM:
                self._streams[record.stream].append(record)
        self._entries = {
            (alert["labels"].get(NEWS, ""), alert["status"]): record.data["entry"]
            for record in self._kinds[RecordKind.ALERT_RECEIVED]
            if (alert := record.data.get("alert"))
        }
        self._explained = dict(self._explained_entries())
        self._intents: dict[str, list[Record]] = defaultdict(list)
        for intent in self._kinds[RecordKind.ACTION_INTENT]:
            self._intents[intent.data["key"]].append(intent)
            self._intents[f"target {intent.object}"].append(intent)

    def _explained_entries(self) -> Iterator[tuple[str, datetime]]:
        """Yield each entry that has its outcome, and since when."""
        ended = {record.stream: record.at for record in self._kinds[RecordKind.ENDING]}
        for record in self._kinds[RecordKind.ALERT_EXPLAINED]:
            yield record.data["entry"], record.at
        for record in self._kinds[RecordKind.ALERT_JOINED]:
            if record.stream in ended:
                yield record.data["entry"], ended[record.stream]
        for record in self._kinds[RecordKind.ADMISSION]:
            if record.stream in ended:
                yield from ((entry, ended[record.stream]) for entry in record.data["entries"])

    def explains(self, delivery: Delivery) -> bool:
        """Return whether the ledger says what became of it in the end."""
        return self._entries.get((delivery.news, delivery.status)) in self._explained

    def delay_of(self, delivery: Delivery) -> float:
        """Return how many seconds after its 2xx it had its outcome; 0 where it has none, or nobody knows."""
        entry = self._entries.get((delivery.news, delivery.status), "")
        if delivery.at is None or entry not in self._explained:
            return 0.0
        return max(0.0, (self._explained[entry] - delivery.at).total_seconds())

    def intent_before(self, effect: Effect) -> Record | None:
        """Return the newest intent that stood on record when the effect happened."""
        known = self._intents.get(effect.key or f"target {effect.target}", [])
        return next((intent for intent in reversed(known) if intent.at <= effect.at), None)

    def intents_without_end(self, targets: set[str]) -> Iterator[Record]:
        """Yield each intent after which the record is silent about what became of that attempt."""
        ends = [*self._kinds[RecordKind.ACTION_RECEIPT], *self._kinds[RecordKind.ACTION_UNKNOWN]]
        attempts = {(end.data["key"], end.data["attempt"]) for end in ends}
        final = {end.data["key"] for end in ends if end.outcome in {"ok", "failed"}}
        for intent in self._kinds[RecordKind.ACTION_INTENT]:
            key = intent.data["key"]
            if (
                intent.object in targets
                and key not in final
                and (key, intent.data["attempt"]) not in attempts
            ):
                yield intent

    def left_to_people(self, targets: set[str]) -> int:
        """Return how many remediations ended with an action whose outcome nobody knows."""
        return sum(
            1
            for ending in self._kinds[RecordKind.ENDING]
            if ending.object in targets
            and (acts := [r for r in self._streams[ending.stream] if r.kind.startswith("action.")])
            and acts[-1].kind is RecordKind.ACTION_UNKNOWN
        )

    def objection_of_freezes(self, intent: Record) -> str:
        """Say so where the action began while its target was frozen for longer than a freeze takes."""
        admission = self._streams[intent.stream][0]
        scopes = {"*", f"target={intent.object}", f"runbook={admission.data['runbook']}"}
        for freeze in self._kinds[RecordKind.FREEZE]:
            thaws = (each for each in self._kinds[RecordKind.THAW] if each.seq > freeze.seq)
            lifted = next((thaw.at for thaw in thaws if thaw.data["scope"] == freeze.data["scope"]), None)
            until = lifted or datetime.max.replace(tzinfo=UTC)
            if freeze.data["scope"] in scopes and freeze.at + FREEZE_WITHIN < intent.at < until:
                return f"begun {(intent.at - freeze.at).total_seconds():.1f} s into a freeze"
        return ""

    def objection_of_checks(self, intent: Record) -> str:
        """Say so where the newest answer of a check before the action was not `passed`."""
        verdicts = {
            record.data["id"]: record.outcome
            for record in self._before(intent, RecordKind.CHECK)
            if record.data["round"] != "verify"
        }
        wrong = sorted(f"{name} {verdict}" for name, verdict in verdicts.items() if verdict != "passed")
        if not verdicts:
            return "no check stands before it"
        return f"check {wrong[0]}" if wrong else ""

    def objection_of_the_gate(self, intent: Record) -> str:
        """Say so where a gate stood before it and too few of the right people approved this very plan."""
        plan = self._before(intent, RecordKind.PLAN)[-1]
        gate = plan.data["plan"].get("gate")
        if not gate:
            return ""
        requested_by = self._streams[intent.stream][0].data["requested_by"]
        people = {
            said["principal"]["key"]
            for record in self._before(intent, RecordKind.DECISION)
            if record.outcome == "accepted"
            and (said := record.data["decision"])["answer"] == "approved"
            and said["plan_digest"] == intent.data["plan_digest"]
            and set(said["principal"]["groups"]) & set(gate["approvers"])
        } - {requested_by}
        return "" if len(people) >= gate["need"] else f"{len(people)} of {gate['need']} approvals"

    def _before(self, record: Record, kind: RecordKind) -> list[Record]:
        return [each for each in self._streams[record.stream] if each.kind is kind and each.seq < record.seq]
