"""The timeline of a remediation: what was seen, who decided what and why, what was done, how it ended.

It is read from the ledger's records and nothing else, so it can be made long after the fact, and
what it says can be proved.  It goes into a postmortem: a stranger must understand it.  Decisions
not to act stand in it like all others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from bot.timeline_rows import SHORT_DIGEST, Row, Told, as_alert, as_arguments, as_time, person, row
from bot.visible import as_span
from runbooks.model.record import Record, RecordKind
from runbooks.model.remediation import Ending
from runbooks.policy.story import Story, read_story

ENDING_WORDS: Mapping[Ending, str] = {
    Ending.MITIGATED: "Mitigated: it acted, and it was verified that this helped.",
    Ending.NOT_NEEDED: "Not needed: when it looked, there was nothing to do.",
    Ending.WITHHELD: "Withheld: it was not allowed to act, or did not know enough to act.",
    Ending.DENIED: "Denied: a person said no, and nothing was done.",
    Ending.EXPIRED: "Expired: too few answered in time, and nothing was done.",
    Ending.UNVERIFIED: "Unverified: it acted, and could not verify that this helped.",
    Ending.FAILED: "Failed: an action failed, or it is not known what came of it.",
    Ending.ROLLED_BACK: "Rolled back: it acted, this did not help, and what was done was undone.",
    Ending.STOPPED: "Stopped: a person or a freeze stopped it.",
}


class Durations(Told):
    """How long things took.  None: it did not come to that, or is not over.

    Attributes:
        to_gate: from the first record until people were asked.
        gate_wait: from asking until the gate closed.
        to_act: from the first record until the first action began, people's time included.
        to_verify: from the end of the last action to the last look at whether it helped.
        total: from the first record to the ending.
    """

    to_gate: timedelta | None = None
    gate_wait: timedelta | None = None
    to_act: timedelta | None = None
    to_verify: timedelta | None = None
    total: timedelta | None = None


class Measured(Told):
    """One check with what was asked and what was expected."""

    seq: int
    round: str
    name: str
    verdict: str
    sentence: str
    asked: str
    expected: str


class Signed(Told):
    """One decision with the key that signed it."""

    seq: int
    person: str
    answer: str
    counted: bool
    key_id: str


class Evidence(Told):
    """Where the proof is: positions in the ledger, digests and keys."""

    first_seq: int
    last_seq: int
    records: int
    plan_digest: str
    measured: tuple[Measured, ...]
    signed: tuple[Signed, ...]


class Timeline(Told):
    """A remediation, ready to be told."""

    story: Story
    rows: tuple[Row, ...]
    durations: Durations
    evidence: Evidence

    @property
    def title(self) -> str:
        """One line: which remediation, of what, for what."""
        return f"{self.story.remediation}: {self.story.runbook} on {self.story.target}"

    @property
    def ending(self) -> str:
        """How it ended, in words, or what is going on."""
        if self.story.ending is None:
            return f"In progress: {self.story.phase}."
        words = ENDING_WORDS[self.story.ending]
        # Between two steps a person may say no as well.
        return words.replace("nothing was done", "nothing more was done") if self.story.actions else words

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What stands above the table: pairs of name and value."""
        story, durations = self.story, self.durations
        spans = {
            "until people were asked": durations.to_gate,
            "people took": durations.gate_wait,
            "until it acted": durations.to_act,
            "to verify": durations.to_verify,
            "in all": durations.total,
        }
        facts = {
            "Runbook": f"{story.runbook}: {story.summary}" if story.summary else story.runbook,
            "Version": story.runbook_digest[:SHORT_DIGEST],
            "Target": story.target,
            "Alert": as_alert(story.alert),
            "Which says": story.alert.annotations.get("summary", "") if story.alert else "",
            "Asked for by": story.requested_by,
            "Opened": as_time(story.opened_at),
            "Ended": as_time(story.ended_at),
            "Durations": ", ".join(
                f"{name} {as_span(span)}" for name, span in spans.items() if span is not None
            ),
            "Further notifications": str(story.joined or ""),
        }
        return tuple((name, value) for name, value in facts.items() if value)


def timeline(records: Sequence[Record]) -> Timeline:
    """Return the timeline of one remediation from all records of its stream, in order.

    Raises:
        StoryError: they are not all the records of one remediation, in order.
    """
    story = read_story(records)
    judged = {record.data["decision"]["id"] for record in records if record.kind is RecordKind.DECISION}
    told = [record for record in records if not is_told_elsewhere(record, judged, story.entries)]
    return Timeline(
        story=story,
        rows=tuple(row(record, records[0].at) for record in told),
        durations=_durations(story),
        evidence=_evidence(story, records),
    )


def is_told_elsewhere(record: Record, judged: Collection[str], opened_for: Sequence[str]) -> bool:
    """Return whether another row says it: a click is told by its judgement, and the alert that opened a remediation by its admission."""
    if record.kind is RecordKind.DECISION_RECEIVED:
        return record.data.get("id") in judged
    return record.kind is RecordKind.ALERT_JOINED and record.data.get("entry") in opened_for


# --- durations and evidence -----------------------------------------------------------------------


def _durations(story: Story) -> Durations:
    start = story.opened_at
    gate = next((each for each in story.gates if each.doubt is None), None)
    asked_at = gate.opens_at if gate else None
    begun_at = story.actions[0].begun_at if story.actions else None
    acted_at = max((action.ended_at for action in story.actions if action.ended_at), default=None)
    looked_at = max((check.at for check in story.checks if check.round == "verify"), default=None)
    return Durations(
        to_gate=_between(start, asked_at),
        gate_wait=_between(asked_at, gate.closed_at if gate else None),
        to_act=_between(start, begun_at),
        to_verify=_between(acted_at, looked_at),
        total=_between(start, story.ended_at),
    )


def _between(start: datetime | None, end: datetime | None) -> timedelta | None:
    """Return None where one of them is not known, or the second was before the first."""
    if start is None or end is None or end < start:
        return None
    return end - start


def _evidence(story: Story, records: Sequence[Record]) -> Evidence:
    return Evidence(
        first_seq=records[0].seq,
        last_seq=records[-1].seq,
        records=len(records),
        plan_digest=story.plan_digest,
        measured=tuple(_measured(record) for record in records if record.kind is RecordKind.CHECK),
        signed=tuple(_signed(record) for record in records if record.kind is RecordKind.DECISION),
    )


def _measured(record: Record) -> Measured:
    data = record.data
    return Measured(
        seq=record.seq,
        round=data["round"],
        name=data["name"],
        verdict=record.outcome,
        sentence=data.get("sentence", ""),
        asked=f"{data.get('uses', '')} {as_arguments(data.get('arguments') or {})}".strip(),
        expected=data.get("expect") or "",
    )


def _signed(record: Record) -> Signed:
    decision = record.data["decision"]
    return Signed(
        seq=record.seq,
        person=person(decision["principal"]),
        answer=decision["answer"],
        counted=record.outcome == "accepted",
        key_id=record.data.get("key_id", ""),
    )
