"""`paramedic ledger`: verify the record of everything, and read its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.text import Text

from activities.ledger.records import after, size, streams_recent
from activities.ledger.store import Ledger
from activities.ledger.verification import Verification, VerifiedState, verify
from bot.cli.terminal import AsJson, add_rows, new_commands, new_table, settings, show, show_json, show_line
from bot.timeline_rows import as_time
from bot.timeline_views import result_text
from bot.visible import visible
from runbooks.model.record import Record

app = new_commands("Verify and read the record of everything.")


@contextmanager
def open_ledger() -> Iterator[Ledger]:
    """Open the ledger of these settings, which must be there, and close it again.

    Raises:
        LedgerError: there is none, or it cannot be used.
    """
    ledger = Ledger.open(settings().ledger, create=False)
    try:
        yield ledger
    finally:
        ledger.close()


@app.command("verify")
def verify_ledger(as_json: AsJson = False) -> None:
    """Find out whether anything was changed, lost or put in another order.

    Exit code 0: it is good; 1: it was tampered with; 2: it cannot be told.

    Example: paramedic ledger verify
    """
    with open_ledger() as ledger:
        report, remediations = ledger.read_now(_verify)
    if as_json:
        show_json({**report.model_dump(mode="json"), "remediations": remediations})
    else:
        _show_report(report, remediations)
    raise typer.Exit(report.exit_code)


def _verify(connection: Any) -> tuple[Verification, int]:
    """Verify first: what else is read from a ledger that is not good may be anything."""
    report = verify(connection)
    if report.state is not VerifiedState.OK:
        return report, 0
    return report, len(streams_recent(connection, report.size))


def _show_report(report: Verification, remediations: int) -> None:
    facts = [
        ("first bad record", "" if report.seq is None else str(report.seq)),
        ("records", f"{report.size} found good"),
        ("remediations", str(remediations) if remediations else ""),
        ("checkpoints", f"{report.checkpoints} compared"),
        ("root", report.root),
    ]
    style = "bold green" if report.state is VerifiedState.OK else "bold red"
    why = f": {report.problem}" if report.problem else ""
    show_line(Text(visible(f"ledger verify: {report.state.replace('_', ' ')}{why}"), style=style))
    # A line each, however narrow the terminal: a root that is broken cannot be copied or searched for.
    for name, value in facts:
        if value:
            show_line(Text.assemble((f"{name:<18}", "dim"), visible(value)))


@app.command()
def tail(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many records.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The last records, oldest first.

    Example: paramedic ledger tail -n 50
    """
    with open_ledger() as ledger:
        records = ledger.read_now(lambda connection: after(connection, size(connection) - count - 1, count))
    if as_json:
        show_json([record.model_dump(mode="json") for record in records])
        return
    table = new_table("seq", "time", "stream", "record", "outcome", "who")
    for column in table.columns[:2]:
        column.no_wrap = True
    show(add_rows(table, [_as_row(record) for record in records]))


def _as_row(record: Record) -> tuple[object, ...]:
    outcome = result_text(record.outcome.removeprefix("-").replace("_", " "))
    return record.seq, as_time(record.at), record.stream, record.kind.value, outcome, record.actor
