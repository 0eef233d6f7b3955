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
from bot.cli.terminal import WRONG, AsJson, complain, new_commands, show
from bot.timeline import Timeline, timeline
from bot.timeline_page import as_markdown_page
from bot.timeline_views import as_json, as_terminal
from runbooks.model.record import Record

app = new_commands("What one remediation saw, decided and did.")


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
    out: Annotated[Path | None, typer.Option(help="Write it into this file instead.")] = None,
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
        show(as_terminal(told))
    else:
        typer.echo(_as_text(told, form), nl=False)


def _records(ledger: Ledger, remediation: str) -> list[Record]:
    records = ledger.read_now(lambda connection: stream_of(connection, remediation))
    if records:
        return records
    recent = ledger.read_now(lambda connection: streams_recent(connection, 3))
    known = f"The last ones: {', '.join(recent)}" if recent else "There is none yet"
    complain(f"There is no remediation {remediation}. {known}.")
    raise typer.Exit(WRONG)


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        complain(f"{out} cannot be written: {error.strerror}. Choose another file with --out.")
        raise typer.Exit(WRONG) from None


def _as_text(told: Timeline, form: Format) -> str:
    return as_markdown_page(told) if form is Format.MARKDOWN else as_json(told) + "\n"
