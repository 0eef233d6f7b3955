"""A timeline as text: a table for the terminal, JSON for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bot.timeline import Timeline
from bot.timeline_rows import Row
from bot.visible import as_span, visible

RESULT_STYLES = {
    "admitted": "green",
    "passed": "green",
    "approved": "green",
    "ok": "green",
    "mitigated": "green",
    "failed": "red",
    "error": "red",
    "refused": "red",
    "unknown": "red",
    "unverified": "red",
    "rolled back": "yellow",
    "withheld": "yellow",
    "denied": "yellow",
    "expired": "yellow",
    "stopped": "yellow",
    "inconclusive": "yellow",
    "did not count": "yellow",
}


def clock(at: datetime) -> str:
    """Return the time of day, UTC."""
    return f"{at.astimezone(UTC):%H:%M:%S}"


def as_json(told: Timeline) -> str:
    """Return the timeline as JSON, spans in seconds; control characters are escaped."""
    return json.dumps(told.model_dump(mode="json"), indent=2)


def as_terminal(told: Timeline) -> RenderableType:
    """Return the timeline for a terminal of 80 columns or more."""
    ending = Text(visible(told.ending), style="bold")
    sentence = Text(visible(told.story.ending_sentence))
    return Group(
        Text(visible(told.title), style="bold cyan"),
        ending,
        *([sentence] if sentence else []),
        Padding(_facts(told), (1, 0)),
        _table(told.rows),
        Padding(facts_table(evidence_facts(told)), (1, 0, 0, 0)),
    )


def result_text(result: str) -> Text:
    """Return a result in its colour."""
    return Text(visible(result), style=RESULT_STYLES.get(result, ""))


def facts_table(facts: tuple[tuple[str, str], ...]) -> Table:
    """Return pairs of name and value as two columns without borders."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, Text(visible(value)))
    return table


def _facts(told: Timeline) -> Table:
    return facts_table(told.facts)


def _table(rows: tuple[Row, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("UTC", no_wrap=True)
    table.add_column("since", no_wrap=True, justify="right")
    table.add_column("who", overflow="fold", max_width=18)
    table.add_column("what", overflow="fold", ratio=1)
    table.add_column("result", overflow="fold", max_width=13)
    for row in rows:
        table.add_row(
            clock(row.at),
            as_span(row.since),
            Text(visible(row.who)),
            what_text(row),
            result_text(row.result),
        )
    return table


def what_text(row: Row) -> Text:
    """Return what happened, with its details a line each."""
    text = Text(visible(row.what))
    for detail in row.details:
        text.append("\n" + visible(detail), style="dim")
    return text


def evidence_facts(told: Timeline) -> tuple[tuple[str, str], ...]:
    """Return what it is proved by: pairs of name and value."""
    evidence = told.evidence
    facts = [
        ("Ledger", f"records {evidence.first_seq} to {evidence.last_seq}, {evidence.records} of this stream")
    ]
    if evidence.plan_digest:
        facts.append(("Plan", evidence.plan_digest))
    facts += [
        (f"Decision {signed.seq}", f"{signed.answer} by {signed.person}, signed with key {signed.key_id}")
        for signed in evidence.signed
    ]
    return tuple(facts)
