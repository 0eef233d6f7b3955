"""`paramedic stop`: one remediation does nothing more."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from bot.cli.completing import open_ids
from bot.cli.reach import reach
from bot.cli.terminal import AsJson, new_commands, show_json, show_line
from bot.operations import Stopped
from bot.requests import StopRequest
from bot.visible import visible

app = new_commands("One remediation does nothing more.")


@app.callback()
def _app() -> None:
    """Stop."""


@app.command()
def stop(
    remediation: Annotated[
        str,
        typer.Argument(
            metavar="R-…", help="The remediation, as `paramedic status` shows it.", autocompletion=open_ids
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who read the timeline.")],
    as_json: AsJson = False,
) -> None:
    """One remediation does nothing more; all others go on.

    It ends before its next action. What it has begun is not interrupted, and what it has done is not
    undone. To stop everything on a target, or everywhere: paramedic freeze

    Example: paramedic stop R-7F3K2Q --reason "we fail over by hand"
    """
    with reach() as way:
        told = way.ask(StopRequest(remediation=remediation, reason=reason))
    if as_json:
        show_json(told)
        return
    stopped = Stopped.model_validate(told)
    words = f"Stopped: {stopped.runbook} on {stopped.target} ({stopped.remediation}). Nothing more is done."
    show_line(Text(visible(words), style="green"))
