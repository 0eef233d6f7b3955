"""`paramedic verdict`: say at a terminal what became of an action whose outcome nobody knows.

The answer goes the way of a click in Slack: durable first, then sealed by the listener and judged by
the same rules.  So a running Paramedic counts it, and this command waits to say whether it did.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from activities.ledger.clicks import Click, accept_click
from activities.ledger.records import stream_of
from activities.ledger.store import Ledger
from bot.cli.ledger import open_ledger
from bot.cli.operations import SOURCE, who
from bot.cli.terminal import WRONG, complain, new_commands, show_line
from bot.visible import visible
from runbooks.model.decision import Answer
from runbooks.model.record import Record, RecordKind
from runbooks.policy.story import GateStory, StoryError, read_story

LOOK_EVERY = 0.2  # seconds
UNJUDGED = 3
"""Exit code where the answer is on record, and nobody has judged it in time."""

app = new_commands("Say what became of an action whose outcome nobody knows.")


class Said(StrEnum):
    """What can be said."""

    HAPPENED = "happened"
    AGAIN = "again"
    STOP = "stop"


@app.callback()
def _app() -> None:
    """Verdict."""


@app.command()
def verdict(
    remediation: Annotated[
        str, typer.Argument(metavar="R-…", help="The remediation, as `paramedic status` shows it.")
    ],
    said: Annotated[
        Said, typer.Argument(help="happened: go on. again: do it once more. stop: do nothing more.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="What you found at the target.")],
    wait: Annotated[float, typer.Option(help="Seconds to wait until the answer is judged.")] = 30.0,
) -> None:
    """Say what became of an action whose outcome nobody knows.

    Look at the target first. You must be in a group that is asked: the connections file lists the
    people of this machine as members, local:NAME. The answer counts as soon as a running Paramedic has
    judged it.

    Example: paramedic verdict R-7F3K2Q happened --reason "it restarted at 03:12, and answers"
    """
    with open_ledger() as ledger:
        gate = _open_gate(ledger, remediation.upper())
        click = _click(gate, Answer(said.value), reason)
        ledger.write_now(lambda transaction: accept_click(transaction, click))
        judged = asyncio.run(_judged(ledger, click, wait))
    if judged is None:
        complain(
            "Your answer is on record, and was not judged yet. Is Paramedic running? See: paramedic status"
        )
        raise typer.Exit(UNJUDGED)
    if judged.outcome != "accepted":
        complain(visible(_objection_words(click, judged.data["objection"])))
        raise typer.Exit(1)
    show_line(Text(f"Your answer counts: {said}.", style="green"))


def _objection_words(click: Click, objection: str) -> str:
    if not objection.startswith("you are not in"):
        return f"Your answer does not count: {objection}."
    remedy = f"List {click.person} under the group's members in the connections file, or answer in Slack."
    return f"Your answer does not count: {objection}. {remedy}"


def _open_gate(ledger: Ledger, remediation: str) -> GateStory:
    """Return the open question what became of an action; end the command where there is none."""
    stream = ledger.read_now(lambda connection: stream_of(connection, remediation))
    try:
        gate = read_story(stream).open_gate
    except StoryError:
        complain(f"there is no remediation {visible(remediation)}. See those in progress: paramedic status")
        raise typer.Exit(WRONG) from None
    if gate is None or gate.doubt is None:
        complain(f"{remediation} does not ask what became of an action. See what it does: paramedic status")
        raise typer.Exit(1)
    return gate


def _click(gate: GateStory, answer: Answer, reason: str) -> Click:
    return Click(
        id=f"cli-{secrets.token_hex(16)}",
        gate=gate.gate,
        answer=answer,
        person=who(),
        reason=reason.strip(),
        via=SOURCE,
        at=datetime.now(UTC),
    )


async def _judged(ledger: Ledger, click: Click, seconds: float) -> Record | None:
    """Return the record of how the answer was judged; None where that took longer."""
    deadline = time.monotonic() + seconds
    while True:
        stream = await ledger.read(lambda connection: stream_of(connection, click.remediation))
        decisions = (record for record in stream if record.kind is RecordKind.DECISION)
        found = next((each for each in decisions if each.data["decision"]["id"] == click.id), None)
        if found is not None or time.monotonic() >= deadline:
            return found
        await asyncio.sleep(LOOK_EVERY)
