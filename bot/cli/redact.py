"""`paramedic redact`: take back what a remediation's records hold and nobody should read.

The record stays, and stays provable: it holds only a commitment to the value, which tells nothing
without the salt that is deleted here.
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from bot.cli.completing import recent_ids
from bot.cli.exits import Exit
from bot.cli.reach import reach
from bot.cli.terminal import AsJson, counted, end_with, new_commands, show_json, show_line
from bot.requests import RedactRequest
from bot.visible import visible

app = new_commands("Take back values that nobody should read.")


@app.callback()
def _app() -> None:
    """Redact."""


@app.command("redact")
def redact(
    remediation: Annotated[
        str,
        typer.Argument(metavar="R-…", help="The remediation, as cards show it.", autocompletion=recent_ids),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who will ask. It stays on record.")],
    record: Annotated[
        int | None,
        typer.Option("--record", metavar="SEQ", help="Only this record, by its number in the ledger."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take back values that nobody should read.

    It takes what commands put out, checks returned and people wrote, for good. Timelines and cards then
    say "redacted". The ledger still verifies, and who redacted what, and why, is on record. What Slack,
    Temporal's histories and backups hold is not reached by it.

    Example: paramedic redact R-7F3K2Q --record 4711 --reason "a customer's name"
    """
    request = RedactRequest(remediation=remediation.upper(), record=record, reason=reason)
    with reach() as way:
        done = way.ask(request)["redaction"]
    if done is None:
        what = f"record {record} of {remediation}" if record is not None else remediation
        why = "it is unknown, holds no such values, or was redacted before"
        end_with(Exit.NO, f"Nothing of {what} can be redacted: {why}.", "nothing_to_redact")
    if as_json:
        show_json(done)
        return
    values, records = (
        counted(len(done["data"]["digests"]), "value"),
        ", ".join(map(str, done["data"]["records"])),
    )
    show_line(
        Text(
            visible(
                f"Redacted: {values} of {done['object']} (records {records}), on record as {done['seq']}."
            )
        )
    )
