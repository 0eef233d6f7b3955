"""`paramedic timeline`: what one remediation saw, decided and did, for people and postmortems."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from activities.ledger.records import stream_of, streams_recent
from activities.ledger.store import Ledger
from bot.cli.completing import recent_ids
from bot.cli.ledger import open_ledger
from bot.cli.tables import room, show_pairs, show_table
from bot.cli.terminal import WRONG, AsJson, end_with, new_commands, show, show_line
from bot.timeline import Timeline, timeline
from bot.timeline_page import as_markdown_page
from bot.timeline_views import (
    as_json,
    as_terminal,
    clock,
    evidence_facts,
    result_text,
    what_text,
)
from bot.visible import as_span, visible
from runbooks.model.record import Record

app = new_commands("What one remediation saw, decided and did.")


WIDE = 76  # columns, from which on a table of five of them reads well


class Format(StrEnum):
    """What a timeline is made for."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    JSON = "json"


@app.callback()
def _app() -> None:
    """Timeline."""


@app.command("timeline")
def show_timeline(
    remediation: Annotated[
        str,
        typer.Argument(metavar="R-…", help="The remediation, as cards show it.", autocompletion=recent_ids),
    ],
    form: Annotated[
        Format, typer.Option("--format", help="For people here, for a postmortem, or for programs.")
    ] = Format.TERMINAL,
    as_json_too: AsJson = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it into this file instead.")] = None,
) -> None:
    """What one remediation saw, decided and did.

    It is read from the ledger's records and nothing else.

    Example: paramedic timeline R-7F3K2Q --format markdown --out postmortem.md
    """
    with open_ledger() as ledger:
        records = _records(ledger, remediation.upper())
    told = timeline(records)
    form = Format.JSON if as_json_too else form
    if out is not None:
        _write(out, _as_text(told, Format.MARKDOWN if form is Format.TERMINAL else form))
        return
    if form is Format.TERMINAL:
        _show(told)
    else:
        typer.echo(_as_text(told, form), nl=False)


def _show(told: Timeline) -> None:
    """Print it as a table, or, where a table of five columns would be unreadable, one thing below the other."""
    if room() >= WIDE:
        show(as_terminal(told))
        return
    for line in (told.title, told.ending, told.story.ending_sentence):
        show_line(visible(line))
    show_pairs(told.facts)
    show_line("")
    rows = [
        (clock(row.at), as_span(row.since), row.who, what_text(row), result_text(row.result))
        for row in told.rows
    ]
    show_table(("UTC", "since", "who", "what", "result"), rows)
    show_line("")
    show_pairs(evidence_facts(told))


def _records(ledger: Ledger, remediation: str) -> list[Record]:
    records = ledger.read_now(lambda connection: stream_of(connection, remediation))
    if not records:
        recent = ledger.read_now(lambda connection: streams_recent(connection, 3))
        known = f"The last ones: {', '.join(recent)}" if recent else "There is none yet"
        end_with(WRONG, f"There is no remediation {remediation}. {known}.", "no_remediation")
    return records


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        sentence = f"{out} cannot be written: {error.strerror}. Choose another file with --out."
        end_with(WRONG, sentence, "not_written")


def _as_text(told: Timeline, form: Format) -> str:
    return as_markdown_page(told) if form is Format.MARKDOWN else as_json(told) + "\n"
