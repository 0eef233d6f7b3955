"""The command `paramedic`.

The commands stand in a table, each with the module that holds it, and a module is imported when
its command is called.  So `paramedic --help` and `paramedic runbook lint` start at once, and do
not wait for Temporal, Slack and the web server to be imported.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from dataclasses import dataclass
from typing import Any

import typer
from typer.main import get_group

from bot.cli.exits import Exit
from bot.cli.terminal import Commands, complain_of_system, tidy_help


@dataclass(frozen=True)
class Place:
    """Where a command is, and what `paramedic --help` says of it.

    Attributes:
        module: it has `app`, a Typer with the command `name`, or that is `name` as a whole.
    """

    name: str
    module: str
    summary: str
    panel: str


_RUN, _WATCH, _WRITE, _PROVE = "Run", "Look and act", "Runbooks", "Records"

PLACES = (
    Place("status", "bot.cli.operations", "What is going on: remediations, open gates, freezes.", _WATCH),
    Place("run", "bot.cli.operations", "Start a runbook by hand; its gate asks as always.", _WATCH),
    Place(
        "release",
        "bot.cli.operations",
        "Give back a target that is kept because an action's outcome is unknown.",
        _WATCH,
    ),
    Place("approve", "bot.cli.answers", "Approve a plan, as the button in Slack does.", _WATCH),
    Place("deny", "bot.cli.answers", "Say no to a plan: nothing is done.", _WATCH),
    Place("verdict", "bot.cli.answers", "Say what became of an action whose outcome nobody knows.", _WATCH),
    Place("stop", "bot.cli.stop", "One remediation does nothing more.", _WATCH),
    Place("freeze", "bot.cli.operations", "The brake: nobody acts until it is lifted.", _WATCH),
    Place("thaw", "bot.cli.operations", "Lift a freeze.", _WATCH),
    Place("login", "bot.cli.login", "Log in: be at the command line whom you are in Slack.", _WATCH),
    Place("logout", "bot.cli.logout", "Give your login back.", _WATCH),
    Place("runbook", "bot.cli.runbook", "Check, show and try out runbooks.", _WRITE),
    Place(
        "policy",
        "bot.cli.policy",
        "Who may do what where: show, check, test and explain the policy.",
        _WRITE,
    ),
    Place("actions", "bot.cli.actions", "The actions that runbooks can use.", _WRITE),
    Place("timeline", "bot.cli.timeline", "What one remediation saw, decided and did.", _PROVE),
    Place(
        "redact",
        "bot.cli.redact",
        "Take back values that nobody should read.",
        _PROVE,
    ),
    Place("ledger", "bot.cli.ledger", "Verify and read the record of everything.", _PROVE),
    Place("up", "bot.cli.process", "Run everything that one machine needs.", _RUN),
    Place("serve", "bot.cli.process", "Run the webhooks, metrics and the conversation in Slack.", _RUN),
    Place("worker", "bot.cli.process", "Run the worker, which carries out remediations.", _RUN),
    Place("sealer", "bot.cli.sealer", "Run the sealer, which signs what the ledger is.", _RUN),
    Place("demo", "bot.cli.demo", "Break a small service for real, twice, and let Paramedic heal it.", _RUN),
    Place("slack", "bot.cli.slack", "The manifest from which Slack creates the app.", _RUN),
    Place("settings", "bot.cli.settings", "All settings with their values and meanings.", _RUN),
    Place("completion", "bot.cli.completion", "Print the script that teaches a shell to complete.", _RUN),
)


class ImportedWhenCalled(Commands):
    """Commands that are imported when they are called."""

    def format_help(self, context: Any, formatter: Any) -> None:
        """Show what there is."""
        tidy_help(self)
        super().format_help(context, formatter)

    def resolve_command(self, context: Any, args: list[str]) -> Any:
        """Return the real command in the place of its entry in the table."""
        name, _, rest = super().resolve_command(context, args)
        place = next(place for place in PLACES if place.name == name)
        return name, load(place), rest


def load(place: Place) -> Any:
    """Import the command at `place`."""
    group = get_group(importlib.import_module(place.module).app)
    command = group.commands.get(place.name, group)
    for each in (command, *getattr(command, "commands", {}).values()):
        tidy_help(each)
    return command


def _listed() -> None:
    """Stand in the table of `--help`; `ImportedWhenCalled` puts the real command in its place."""


def build_app() -> typer.Typer:
    """Return the app with every command in its place."""
    commands = typer.Typer(
        name="paramedic",
        cls=ImportedWhenCalled,
        help="Incident remediation that asks first, never acts twice, and can prove it.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    commands.callback()(_listed)
    for place in PLACES:
        commands.command(place.name, help=place.summary, rich_help_panel=place.panel)(_listed)
    return commands


app = build_app()


def main() -> None:
    """Run the command and leave at once.

    A Temporal client's threads can hang a process that ends in the ordinary way.  Every command
    has closed what it opened before it returns here, so nothing is lost by not waiting for them.
    """
    code: int = Exit.DONE
    try:
        app(prog_name="paramedic")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    except Exception:  # noqa: BLE001 - whatever it is, the code must not be that of an answer
        traceback.print_exc()
        code = Exit.BROKEN
    os._exit(_flushed(code))


def _flushed(code: int) -> int:
    """Write what waits to be written, and return how the process ends: otherwise if nobody can read that."""
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):  # either may have been closed by who started it
            stream.flush()
    except BrokenPipeError:
        return Exit.UNREAD
    except OSError as error:
        if code == Exit.DONE:  # else what went wrong has been said
            complain_of_system(error)
            return Exit.WRONG
    return code
