"""`paramedic status`, `run`, `release`, `freeze` and `thaw`: what people can ask for at a terminal.

They go the same ways as from Slack: a request through the inbox, the brake through its file and
its table.  So none of them needs Temporal, and the brake does not even need the ledger.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from activities.freeze_file import FILE_NAME
from activities.ledger.leases import KeptTarget
from activities.ledger.store import Ledger
from bot.brake import Brake
from bot.cli.completing import runbook_names
from bot.cli.exits import Exit
from bot.cli.here import SOURCE, doorkeeper, log_quietly, who
from bot.cli.ledger import open_ledger
from bot.cli.login_file import read_login
from bot.cli.reach import UnreachableError, reach, there
from bot.cli.tables import show_table
from bot.cli.terminal import (
    AsJson,
    Labels,
    complain,
    confirm,
    end_with,
    new_commands,
    parse_pairs,
    settings,
    show_json,
    show_line,
)
from bot.logins import LoginError
from bot.operations import GateLine, OpenWindow, RunRequested, Status
from bot.policy.doorkeeper import NotPermittedError
from bot.policy.questions import Question, Verb
from bot.policy.rulings import admit_on_record
from bot.requests import FreezeRequest, ReleaseRequest, RunRequest, StatusRequest, ThawRequest
from bot.timeline_rows import as_time
from bot.visible import as_span, visible
from runbooks.errors import LedgerError, ParamedicError
from runbooks.model.freeze import EVERYTHING, SCOPES, scope_words

app = new_commands("What is going on, and what people can ask for.")

_NO_BRAKE = (
    "{not_done}: nobody is logged in here, and no Paramedic runs on this machine ({why}). "
    "Log in to the one that runs: paramedic login --url https://paramedic.example.net. "
    "Or say it in Slack: /runbook {verb}"
)
_NOT_DONE = {Verb.FREEZE: "NOT frozen", Verb.THAW: "NOT thawed"}

Scope = Annotated[str, typer.Option("--scope", metavar="SCOPE", help=f"What it is about: {SCOPES}.")]


@app.command()
def status(as_json: AsJson = False) -> None:
    """What is going on: remediations, open gates, freezes, targets that wait for a person.

    Example: paramedic status
    """
    with reach() as way:
        told = way.ask(StatusRequest())
    if as_json:
        show_json(told)
    else:
        show_status(Status.model_validate(told), datetime.now(UTC))


def show_status(now: Status, at: datetime) -> None:
    """Print what is going on, as of `at`."""
    for freeze in now.frozen:
        since = f"since {as_time(freeze.at)} by {freeze.actor}: {freeze.reason}"
        show_line(Text(visible(f"FROZEN: {freeze.what}, {since}"), style="bold red"))
    for window in now.windows:
        show_line(Text(visible(_window_words(window)), style="bold yellow"))
    if now.windows_problem:
        said = f"NOBODY ACTS: the maintenance windows cannot be read. {now.windows_problem}"
        show_line(Text(visible(said), style="bold red"))
    for kept in now.kept:
        show_line(Text(visible(_kept_words(kept)), style="bold yellow"))
    for asked in now.gates:
        if asked.doubt:
            show_line(Text(visible(_doubt_words(asked)), style="bold yellow"))
    if not now.running:
        show_line("Nothing is in progress.")
        return
    waits: dict[str, list[GateLine]] = {}
    for each in now.gates:
        waits.setdefault(each.remediation, []).append(each)
    rows: list[tuple[object, ...]] = []
    for line in now.running:
        whom = "; ".join(_all_waits(waits.get(line.remediation, [])))
        rows.append((line.remediation, line.runbook, line.target, line.phase, as_span(at - line.since), whom))
    show_table(("remediation", "runbook", "target", "phase", "for", "waits for"), rows)


def _all_waits(gates: list[GateLine]) -> list[str]:
    """Return what each of these waits for, with its name where there are several."""
    return [f"{gate.gate}: {_waits_for(gate)}" if len(gates) > 1 else _waits_for(gate) for gate in gates]


def _waits_for(gate: GateLine) -> str:
    missing = f"{gate.need - gate.given} more of " if gate.need > 1 else ""
    then = f", then {' or '.join(gate.then)} too" if gate.then else ""
    step = f" ({gate.step})" if gate.step else ""
    return f"{missing}{' or '.join(gate.approvers)} until {gate.until:%H:%M} UTC{then}{step}"


def _doubt_words(gate: GateLine) -> str:
    whom = f"{' or '.join(gate.approvers)} must say by {gate.until:%H:%M} UTC"
    command = f'paramedic verdict {gate.remediation} happened|again|stop --reason "..."'
    return f"ASKED: did this happen on {gate.target}? {gate.doubt}. Look, then {whom}: {command}"


def _window_words(window: OpenWindow) -> str:
    until = f"until {as_time(window.until)} ({window.name}): {window.reason}"
    return f"MAINTENANCE: {scope_words(window.scope)}, {until}"


def _kept_words(kept: KeptTarget) -> str:
    since = f"since {as_time(kept.since)}: {kept.remediation} ({kept.runbook}) left an action whose outcome is unknown"
    return f'KEPT: {kept.target}, {since}. Look, then: paramedic release {shlex.quote(kept.target)} --reason "..."'


@app.command()
def release(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="As `paramedic status` names it.")],
    reason: Annotated[str, typer.Option("--reason", help="What you found there, and what you did.")],
    as_json: AsJson = False,
) -> None:
    """Give back a target that is kept because an action's outcome is unknown.

    Look at the target first: after this, runbooks act on it again. Who gave it back, and why, is on record.

    Example: paramedic release web-1 --reason "it had restarted, and answers"
    """
    with reach() as way:
        told = way.ask(ReleaseRequest(target=target, reason=reason))
    if told["released"] is None:
        sentence = f"{target} is not kept because of an unknown outcome. See what is: paramedic status"
        end_with(Exit.NO, sentence, "not_kept")
    if as_json:
        show_json(told)
        return
    kept = KeptTarget.model_validate(told["released"])
    show_line(Text(visible(f"Given back: {kept.target}, which {kept.remediation} had left."), style="green"))


@app.command()
def run(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The runbook's name.", autocompletion=runbook_names),
    ],
    labels: Labels = [],  # noqa: B006 - typer reads the default and never changes it
    as_json: AsJson = False,
) -> None:
    """Start a runbook by hand; its gate asks as always.

    The request waits in the inbox like an alert, until a running Paramedic takes it up. Whoever asks
    for a remediation cannot approve it.

    Example: paramedic run host-disk-full --label instance=web-1
    """
    pairs = parse_pairs(labels, "--label")
    with reach() as way:
        told = way.ask(RunRequest(runbook=name, labels=pairs))
    if as_json:
        show_json(told)
        return
    requested = RunRequested.model_validate(told)
    show_line(Text(visible(f"Asked for {requested.runbook} on {requested.target}.")))
    show_line("Watch it with: paramedic status")


@app.command()
def freeze(
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who find it frozen.")],
    scope: Scope = EVERYTHING,
    as_json: AsJson = False,
) -> None:
    """The brake: nobody acts until it is lifted.

    It stops new remediations and the next action of those in progress, also with Slack, Temporal or
    the ledger down.

    Example: paramedic freeze --scope target=db-1 --reason "migration until 14:00"
    """
    told = _freeze_there(scope, reason) or _freeze_here(scope, reason)
    if as_json:
        show_json(told)
    else:
        show_line(Text(visible(f"FROZEN: {scope_words(scope)}."), style="bold red"))
    if not told["recorded"]:
        sentence = "The ledger could not be written. The brake holds by its file, and is recorded later."
        complain(sentence, "not_recorded")


def _freeze_there(scope: str, reason: str) -> dict[str, object] | None:
    """Freeze as the person who is logged in; None where nobody is, or the brake must be pulled here.

    Raises:
        UnreachableError: nobody answers there, and there is no brake on this machine.
    """
    try:
        login = read_login()
        if login is None:
            return None
        told: dict[str, object] = there(login).ask(FreezeRequest(scope=scope, reason=reason))
    except (UnreachableError, LoginError) as error:
        if not settings().data.is_dir():
            raise UnreachableError(f"NOT frozen: {error}") from error
        complain(f"{error}\nThe brake does not wait for that: it is pulled on this machine.", error.code)
        return None
    return told


def _freeze_here(scope: str, reason: str) -> dict[str, object]:
    with _brake(Verb.FREEZE, scope) as brake:
        recorded = asyncio.run(brake.freeze(scope, reason, actor=who(), source=SOURCE))
    return {"frozen": scope, "recorded": recorded}


@app.command()
def thaw(
    scope: Scope = EVERYTHING,
    reason: Annotated[str, typer.Option("--reason", help="Why it may go on.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    as_json: AsJson = False,
) -> None:
    """Lift a freeze: runbooks act again.

    It asks whether that is meant. Who lifted it is on record.

    Example: paramedic thaw --scope target=db-1 --reason "migration is done"
    """
    if not yes:
        confirm(f"Let {scope_words(scope)} act again?")
    login = read_login()
    if login is not None:
        told = there(login).ask(ThawRequest(scope=scope, reason=reason))
    else:
        with _brake(Verb.THAW, scope) as brake:
            thawed = asyncio.run(brake.thaw(scope, reason, actor=who(), source=SOURCE))
        told = {"scope": scope, "thawed": thawed}
    if not told["thawed"]:
        sentence = f"{scope_words(scope)} was not frozen. See what is: paramedic status"
        end_with(Exit.NO, sentence, "not_frozen")
    if as_json:
        show_json(told)
    else:
        show_line(Text(visible(f"No longer frozen: {scope_words(scope)}."), style="green"))


def _ask_leave(ledger: Ledger | None, question: Question) -> None:
    """End the command where the policy does not let this person.  A policy that is wrong holds up no freeze."""
    try:
        asked = admit_on_record(doorkeeper(), question, ledger=ledger, actor=who(), source=SOURCE)
        asyncio.run(asked)
    except NotPermittedError:
        raise
    except ParamedicError as error:
        if question.verb is not Verb.FREEZE:
            raise
        complain(f"{error}\nThe brake does not wait for that.", error.code)


@contextmanager
def _brake(verb: Verb, scope: str) -> Iterator[Brake]:
    """Open the brake for this person, with the ledger or without it."""
    log_quietly()
    with ExitStack() as stack:
        ledger: Ledger | None = None
        try:
            ledger = stack.enter_context(open_ledger())
        except LedgerError as error:
            if not settings().data.is_dir():
                raise UnreachableError(
                    _NO_BRAKE.format(not_done=_NOT_DONE[verb], verb=verb.value, why=error)
                ) from error
            complain(str(error), error.code)
        _ask_leave(ledger, Question(verb=verb, scope=scope))
        yield Brake(ledger, freeze_file=settings().data / FILE_NAME)
