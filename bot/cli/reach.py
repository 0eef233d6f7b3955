"""Where a command is carried out: by the running Paramedic that its person has logged in to, else here.

Both take the same requests (`bot.requests`) and give the same answers.  Here, the person is whom the
operating system says they are, and the ledger is opened.  There, the login says who they are, and
nothing of this machine is needed but the way to it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from activities.lazily import lazily
from activities.ledger.store import Ledger
from bot.cli.here import SOURCE, desk_here, keep_version, load_catalog, who
from bot.cli.ledger import open_ledger
from bot.cli.login_file import StoredLogin, read_login
from bot.cli.terminal import ToldError, complain, settings, waiting_for
from bot.desk import Asker
from bot.logins import LoginError
from bot.requests import ASK_PATH, Judged, JudgedRequest, Request, RunRequest
from runbooks.errors import LedgerAwayError, LedgerError, ParamedicError

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

PATIENCE = 25.0  # seconds for one answer; a running Paramedic gives up after 20 by itself
_ELSEWHERE = (
    "PARAMEDIC_DATA says in which folder. "
    "To work with a Paramedic on another machine: paramedic login --url https://paramedic.example.net"
)
LOOK_EVERY = 0.2  # seconds between two looks whether an answer has been judged


class UnreachableError(ParamedicError):
    """No running Paramedic answers at that address."""

    code = "unreachable"


class AddressError(ParamedicError):
    """A token must not be sent to such an address."""

    code = "address_wrong"


class Reach(Protocol):
    """Whoever carries requests out."""

    def ask(self, request: Request) -> Any:
        """Return the answer, as JSON values.

        Raises:
            ParamedicError: why not, and what would be right.
        """


class Here:
    """Carries requests out in this process, for the person at this terminal."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._catalog = load_catalog()
        self._desk = desk_here(ledger, self._catalog)

    def ask(self, request: Request) -> Any:
        """Carry it out."""
        if isinstance(request, RunRequest):
            keep_version(self._ledger, self._catalog, request.runbook)
        return asyncio.run(self._desk.carry_out(request, Asker(person=who(), source=SOURCE)))


class There:
    """Lets a running Paramedic carry requests out, for the person who has logged in."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = checked(url)
        self._token = token

    def ask(self, request: Request) -> Any:
        """Send it."""
        return self.call("POST", ASK_PATH, request.model_dump(mode="json"))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer to one call over HTTP.

        Raises:
            UnreachableError: nobody answers there.
            ToldError: the answer is no.
        """
        credentials = {"authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            # A proxy of the environment would be asked even for 127.0.0.1.
            with httpx.Client(timeout=PATIENCE, trust_env=not _is_near(self._url)) as client:
                answer = client.request(method, f"{self._url}{path}", json=body, headers=credentials)
            told = answer.json()
        except httpx.HTTPError as error:
            raise UnreachableError(
                f"Paramedic does not answer at {self._url} ({error}). Is it running, and is that its address?"
            ) from error
        except ValueError as error:
            raise UnreachableError(
                f"what answers at {self._url} is not Paramedic, or a proxy before it"
            ) from error
        if answer.is_success:
            return told
        raise ToldError(str(told.get("error", f"HTTP {answer.status_code}")), str(told.get("code", "")))


def checked(url: str) -> str:
    """Return an address that a token may be sent to, without a slash at its end.

    Raises:
        AddressError: it is none, or everybody on the way could read the token.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
        raise AddressError(f"{url} is no address of Paramedic; it looks like https://paramedic.example.net")
    if parts.scheme == "http" and not _is_near(url):
        raise AddressError(
            f"over {url} everybody on the way could read the token; use https, "
            "or a tunnel to this machine: ssh -L 8700:127.0.0.1:8700 HOST"
        )
    return url.rstrip("/")


def _is_near(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def there(login: StoredLogin) -> There:
    """Return the way to the Paramedic of this login.

    Raises:
        LoginError: it has expired.
    """
    if login.expires_at <= datetime.now(UTC):
        raise LoginError(
            f"your login has ended at {login.expires_at:%Y-%m-%d %H:%M} UTC. "
            "Log in again: paramedic login. Or go on without: paramedic logout"
        )
    return There(login.url, login.token.get_secret_value())


@contextmanager
def reach() -> Iterator[Reach]:
    """Give the way that this person's requests go.

    Raises:
        LoginError: there is a login that does not count any more.
        LedgerAwayError: there is no login, and the ledger here does not answer now.
        LedgerError: there is no login, and no ledger here.
    """
    login = read_login()
    if login is not None:
        yield there(login)
        return
    with ExitStack() as stack:
        try:
            ledger = stack.enter_context(open_ledger())
        except LedgerAwayError:
            raise  # it is there: nobody has to look elsewhere
        except LedgerError as error:
            if settings().ledger_url is not None:
                raise
            raise LedgerError(f"{error}. {_ELSEWHERE}") from error
        yield Here(ledger)


def judged(way: Reach, taken: dict[str, str], seconds: float) -> Judged:
    """Wait until an answer that was taken in has been judged, or the time is over."""
    question = JudgedRequest(remediation=taken["remediation"], answer=taken["answer"])
    deadline = time.monotonic() + seconds
    try:
        with waiting_for("Waiting until your answer is judged ..."):
            while True:
                found = Judged.model_validate(way.ask(question))
                if found.counts is not None or time.monotonic() >= deadline:
                    return found
                time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        complain("Nobody waits any more, but your answer is on record: it is not taken back.", "not_judged")
        raise
