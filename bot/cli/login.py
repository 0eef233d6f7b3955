"""`paramedic login` and `logout`: be at the command line whom you are in Slack.

A login is a token that speaks for one person for some hours.  It stands in a file that only they can
read, and it can be taken back.
"""

from __future__ import annotations

import asyncio
import getpass
import re
import socket
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.text import Text

from activities.ledger.logins import Grant, Login
from bot.cli.exits import Exit
from bot.cli.here import SOURCE, who
from bot.cli.ledger import open_ledger
from bot.cli.login_file import StoredLogin, forget_login, keep_login, read_login
from bot.cli.reach import There, checked, reach, there
from bot.cli.tables import show_table
from bot.cli.terminal import (
    AsJson,
    ToldError,
    complain,
    end_with,
    new_commands,
    settings,
    show_err,
    show_json,
    show_line,
    waiting_for,
)
from bot.logins import LoginError, Logins
from bot.requests import LOGIN_PATH, LoginsRequest, RevokeRequest
from bot.timeline_rows import as_time
from bot.visible import as_span, visible
from runbooks.errors import ParamedicError

app = new_commands()

LOOK_EVERY = 1.0  # seconds between two looks whether the code was typed
UNITS = {"m": "minutes", "h": "hours", "d": "days"}

_SPAN = re.compile(r"(\d{1,4})([mhd])")
_PERSON = re.compile(r"slack:[A-Z0-9]+/[UW][A-Z0-9]+")

Url = Annotated[
    str,
    typer.Option("--url", help="The address of the running Paramedic.  Without it: that of these settings."),
]


@app.callback(invoke_without_command=True, no_args_is_help=False)
def login(
    context: typer.Context,
    url: Url = "",
    token: Annotated[
        bool, typer.Option("--token", help="Take a token that an administrator has issued, from stdin.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Log in: be at the command line whom you are in Slack.

    It shows a code. Type it in Slack, as `/runbook login CODE`, within 5 minutes; then what you do here
    counts as yours, for 12 hours or what PARAMEDIC_LOGIN_LIFETIME says.

    Example: paramedic login --url https://paramedic.example.net
    """
    if context.invoked_subcommand is not None:
        return
    url = checked(url or _own_address())
    stored = _with_token(url) if token else _with_code(url)
    file = keep_login(stored)
    if as_json:
        show_json({**stored.model_dump(mode="json", exclude={"token"}), "file": str(file)})
        return
    show_line(
        Text(visible(f"Logged in as {stored.person} until {as_time(stored.expires_at)}."), style="green"),
        Text(visible(f"{stored.login}, kept in {file}. Give it back with: paramedic logout"), style="dim"),
    )


def _own_address() -> str:
    host = settings().http_host
    return f"http://{'127.0.0.1' if host in {'0.0.0.0', '::'} else host}:{settings().http_port}"  # noqa: S104 - told apart, not bound


def _with_code(url: str) -> StoredLogin:
    """Ask for a login, show its code, and wait until somebody has typed it."""
    label = f"{getpass.getuser()}@{socket.gethostname()}"
    asked = There(url).call("POST", LOGIN_PATH, {"label": label})
    way = There(url, asked["token"])
    show_err(
        Text.assemble("Type this in Slack:  ", (f"/runbook login {visible(asked['code'])}", "bold")),
        Text(f"It serves once, until {_clock(asked['expires_at'])}.", style="dim"),
    )
    with waiting_for("Waiting until the code is typed in Slack ..."):
        while not (found := _state(way)).person:
            time.sleep(LOOK_EVERY)
    return _stored(url, found, asked["token"])


def _state(way: There) -> Login:
    try:
        return Login.model_validate(way.call("GET", LOGIN_PATH))
    except ToldError as error:
        if error.told != LoginError.code:
            raise
        raise LoginError("nobody has typed the code in time; run paramedic login again") from error


def _with_token(url: str) -> StoredLogin:
    """Take a token from a pipe, or from a person, who does not see it."""
    given = getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.readline()
    return _stored(url, _state(There(url, given.strip())), given.strip())


def _stored(url: str, found: Login, token: str) -> StoredLogin:
    facts = {"login": found.id, "person": found.person, "expires_at": found.expires_at}
    return StoredLogin(url=url, token=SecretStr(token), **facts)


def _clock(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(UTC):%H:%M:%S} UTC"


@app.command("who")
def show_who(as_json: AsJson = False) -> None:
    """Who you are here, and until when.

    Example: paramedic login who
    """
    stored = read_login()
    if stored is None:
        told: dict[str, Any] = {"person": who(), "login": None, "decides": settings().local_people_decide}
        sentence = f"{who()}: nobody is logged in." + (
            "" if told["decides"] else " To do more than look and freeze: paramedic login"
        )
    else:
        told = stored.model_dump(mode="json", exclude={"token"})
        left = stored.expires_at - datetime.now(UTC)
        until = f"for {as_span(left)} more" if left > timedelta() else "but that has ended: paramedic login"
        sentence = f"{stored.person} ({stored.login} at {stored.url}), {until}."
    if as_json:
        show_json(told)
    else:
        show_line(visible(sentence))


@app.command("list")
def list_logins(as_json: AsJson = False) -> None:
    """The logins that count: your own, and at the machine without a login everybody's.

    Example: paramedic login list
    """
    with reach() as way:
        told = way.ask(LoginsRequest())
    if as_json:
        show_json(told)
        return
    if not told:
        show_line("There is no login.")
        return
    rows = [
        (each.id, each.person, each.label, each.peer, as_time(each.expires_at))
        for each in map(Login.model_validate, told)
    ]
    show_table(("login", "person", "command line", "from", "until"), rows)


@app.command()
def revoke(
    login: Annotated[str, typer.Argument(metavar="L-…", help="As `paramedic login list` shows it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on record.")] = "",
    as_json: AsJson = False,
) -> None:
    """Take a login back: your own, or at the machine without a login anybody's.

    Example: paramedic login revoke L-7F3K2Q --reason "the laptop is lost"
    """
    with reach() as way:
        told = way.ask(RevokeRequest(login=login.upper(), reason=reason))
    if not told["revoked"]:
        sentence = f"{login} is no login that you can take back. See: paramedic login list"
        end_with(Exit.NO, sentence, "no_such_login")
    if as_json:
        show_json(told)
    else:
        show_line(Text(visible(f"Revoked: {login.upper()}. It speaks for nobody now."), style="green"))


@app.command()
def issue(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="For whom it speaks: slack:T0123/U0456.")],
    lasting: Annotated[str, typer.Option("--for", metavar="SPAN", help="How long: 30m, 1h, 2d.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on record, with your name.")],
    as_json: AsJson = False,
) -> None:
    """Issue a login without Slack, for the day when Slack is down.

    Only at the machine, with the ledger. It prints the token, once: hand it over on a way that you trust.
    The person takes it with `paramedic login --token`, from stdin. You stand on record for who they are.

    Example: paramedic login issue slack:T0123/U0456 --for 1h --reason "outage"
    """
    if _PERSON.fullmatch(person) is None:
        raise typer.BadParameter("a person of Slack looks like slack:T0123/U0456", param_hint="PERSON")
    at = datetime.now(UTC)
    grant = Grant(person=person, until=at + _span(lasting), actor=who(), source=SOURCE, reason=reason, at=at)
    with open_ledger() as ledger:
        logins = Logins(ledger, lifetime=settings().login_lifetime)
        issued = asyncio.run(logins.issue(grant))
    if as_json:
        show_json({**issued.login.model_dump(mode="json"), "token": issued.token})
        return
    show_err(Text(visible(f"{issued.login.id} speaks for {person} until {as_time(grant.until)}:")))
    show_line(issued.token)


def _span(text: str) -> timedelta:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no span; write 30m, 1h or 2d", param_hint="--for")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def log_out(*, as_json: bool) -> None:
    """Give this person's login back, and delete it here whether or not anybody answers there."""
    stored = read_login()
    if stored is None:
        end_with(Exit.NO, "Nobody is logged in here.", "no_login")
    problem = ""
    try:
        there(stored).call("DELETE", LOGIN_PATH)
    except ParamedicError as error:
        problem = str(error)
    forget_login()
    if as_json:
        show_json({"logged_out": stored.login, "ended_there": not problem})
    else:
        show_line(visible(f"Logged out: {stored.login} of {stored.person}."))
    if problem:
        complain(f"It is deleted here, and may go on counting there: {problem}", "not_ended_there")
