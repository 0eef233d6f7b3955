"""The door for command lines: `paramedic login`, and what it is for.

Asking for a login needs no credentials, and gives nothing: its token speaks for nobody until a person
has typed its code in Slack.  Everything else needs a token that speaks for somebody.  Tokens come in
the header, never in a path or a query, which others would write into their logs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.ledger.logins import Login, LoginEnding
from bot.answers import AwayError, PersonRefusedError
from bot.desk import Asker, Desk
from bot.http.answers import Refusal
from bot.http.bodies import Bodies, refuse_unreadable
from bot.logins import LoginError, Logins
from bot.policy.doorkeeper import TERMINAL, NotPermittedError
from bot.requests import ASK_PATH, LOGIN_PATH, REQUEST
from bot.visible import visible
from runbooks.errors import LedgerError, ParamedicError, RefusedError

DEADLINE = 20.0  # seconds for one request; command lines wait a little longer
LARGEST = 64 * 1024  # bytes of one request

STATUSES: dict[type[ParamedicError], int] = {
    LoginError: 401,
    NotPermittedError: 403,
    PersonRefusedError: 403,
    RefusedError: 429,
    AwayError: 503,
    LedgerError: 503,
}
"""What an error means over HTTP; every other is 422: what was asked cannot be done."""

log = structlog.get_logger("paramedic.terminal")

Handler = Callable[[Request], Awaitable[Response]]


class TerminalDoor:
    """Answers command lines."""

    def __init__(self, logins: Logins, desk: Desk) -> None:
        self._logins = logins
        self._desk = desk
        self._bodies = Bodies(limit=16 * LARGEST, largest=LARGEST)

    @property
    def routes(self) -> list[Route]:
        """What is answered, and where."""
        return [
            Route(LOGIN_PATH, _answered(self._begin), methods=["POST"]),
            Route(LOGIN_PATH, _answered(self._tell), methods=["GET"]),
            Route(LOGIN_PATH, _answered(self._log_out), methods=["DELETE"]),
            Route(ASK_PATH, _answered(self._ask), methods=["POST"]),
        ]

    async def _begin(self, request: Request) -> Response:
        if "origin" in request.headers:
            raise Refusal(403, "a login is for a command line; nothing is taken from a browser")
        told = await self._read(request)
        label = told.get("label") if isinstance(told, dict) else None
        if label is not None and not isinstance(label, str):
            raise Refusal(422, "the label must be a text, like ann@laptop")
        peer = request.client.host if request.client else "-"
        asked = await self._logins.ask(visible(label or "a command line"), peer)
        log.info("a login is asked for", login=asked.login, peer=peer)
        return _private(asked.model_dump(mode="json"), 201)

    async def _tell(self, request: Request) -> Response:
        login = await self._logins.identify(_token(request))
        return _private(login.model_dump(mode="json"))

    async def _log_out(self, request: Request) -> Response:
        login = await self._identify(request)
        asker = _asker(login)
        await self._logins.end([login.id], LoginEnding.LOGGED_OUT, actor=asker.person, source=asker.source)
        return _private({"logged_out": login.id})

    async def _ask(self, request: Request) -> Response:
        asker = _asker(await self._identify(request))
        try:
            asked = REQUEST.validate_python(await self._read(request))
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
                for each in error.errors(include_input=False)
            )
            raise Refusal(422, f"this cannot be asked here: {visible(wrong)[:500]}") from error
        return _private(await self._desk.carry_out(asked, asker))

    async def _identify(self, request: Request) -> Login:
        login = await self._logins.identify(_token(request))
        if not login.person:
            raise LoginError("nobody has confirmed this login yet: type its code in Slack")
        return login

    async def _read(self, request: Request) -> Any:
        refuse_unreadable(request.headers, LARGEST)
        body = await self._bodies.read(request.receive)
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refusal(400, "the body is not JSON") from error
        finally:
            self._bodies.release(body)


def _answered(handler: Handler) -> Handler:
    """Return `handler` with an answer for everything that may go wrong."""

    async def answer(request: Request) -> Response:
        try:
            async with asyncio.timeout(DEADLINE):
                return await handler(request)
        except Refusal as refusal:
            return refusal.answer()
        except ParamedicError as error:
            status = next((code for kind, code in STATUSES.items() if isinstance(error, kind)), 422)
            return _private({"error": str(error), "code": error.code}, status)
        except TimeoutError:
            late = f"this took longer than {DEADLINE:g} s; see what became of it: paramedic status"
            return _private({"error": late, "code": AwayError.code}, 503)

    return answer


def _private(body: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(body, status, {"cache-control": "no-store"})


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise LoginError("nobody is logged in: paramedic login")
    return token.strip()


def _asker(login: Login) -> Asker:
    return Asker(person=login.person, source=f"{TERMINAL}:{login.id}")
