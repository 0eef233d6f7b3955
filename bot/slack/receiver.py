"""The receiver of Slack's requests, where Slack calls over HTTP and not through a socket.

A request is verified, read, and handed to bolt as the payload that a socket would have brought:
from there on both ways are one.  Strangers are turned away on their headers, and whatever comes,
the answer is one of ours and comes in time: Slack shows a person that something is wrong after
three seconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qsl

import structlog
from slack_bolt.response import BoltResponse
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bot.http.answers import Refusal
from bot.http.bodies import Bodies, refuse_unreadable
from bot.slack.signatures import NotFromSlackError, Signatures

DEADLINE = 2.5  # seconds for everything; Slack waits 3 s
BODY_LIMIT = 2**20  # bytes; the largest that Slack sends is a view of 250 kB
BODIES_LIMIT = 8 * BODY_LIMIT  # bytes of all bodies at the same time
QUIET = 10.0  # seconds between two lines in the log about the same: a stranger could fill it
FIELDS_LIMIT = 100  # of a form; a slash command has fifteen

LOG = structlog.get_logger("paramedic.slack")


class Listener(Protocol):
    """Whoever hears what people did; `bot.slack.connection.SlackConnection` is one."""

    @property
    def is_ready(self) -> bool:
        """Whether it knows where it is installed."""

    async def hear(self, payload: dict[str, Any]) -> BoltResponse:
        """Let the listener for this payload run, and return its answer to Slack."""


class SlackReceiver:
    """`POST /slack/events`, as an ASGI application.

    Args:
        count: told of every request what was made of it; see `bot.metrics.SLACK_REQUESTS`.
    """

    def __init__(self, signatures: Signatures, listener: Listener, count: Callable[[str], None]) -> None:
        self._signatures = signatures
        self._listener = listener
        self._count = count
        self._bodies = Bodies(BODIES_LIMIT, largest=BODY_LIMIT)
        self._logged: dict[str, float] = {}  # when something was logged last, by outcome

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        outcome, answer = await self._answer(scope, receive)
        self._count(outcome)
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[str, Response]:
        try:
            async with asyncio.timeout(DEADLINE):
                return await self._take(scope, receive)
        except NotFromSlackError as stranger:
            outcome, refusal = stranger.kind, Refusal(401, str(stranger))
        except MalformedError as malformed:
            outcome, refusal = "malformed", Refusal(400, str(malformed))
        except Refusal as refused:
            outcome, refusal = "unreadable", refused
        except TimeoutError:
            outcome, refusal = "late", Refusal(503, f"not everything was done within {DEADLINE:g} s")
        self._log(outcome, str(refusal))
        return outcome, refusal.answer()

    def _log(self, outcome: str, why: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged.get(outcome, float("-inf")) >= QUIET:
            self._logged[outcome] = now
            LOG.warning("a request in Slack's name was refused", outcome=outcome, why=why)

    async def _take(self, scope: Scope, receive: Receive) -> tuple[str, Response]:
        headers = Headers(scope=scope)
        if scope["method"] != "POST":
            raise Refusal(405, "Slack sends with POST", allow="POST")
        self._signatures.check_head(headers)
        refuse_unreadable(headers, BODY_LIMIT)
        body = await self._bodies.read(receive)
        try:
            self._signatures.check(headers, body)
            payload = parse_request(body.decode("utf-8"), headers.get("content-type", ""))
        finally:
            self._bodies.release(body)
        if not self._listener.is_ready:
            self._signatures.forget(headers)
            return "not_ready", Refusal(503, "Slack's Web API was not reached yet").answer()
        answer = await self._listener.hear(payload)
        if answer.status >= 500:
            self._signatures.forget(headers)
            return "failed", Refusal(503, "this could not be taken").answer()
        return "accepted", _response(answer)


class MalformedError(Exception):
    """A signed request that is none of those that Slack sends."""


def parse_request(body: str, content_type: str) -> dict[str, Any]:
    """Return what a request says, as a socket's envelope would hold it.

    An interaction is JSON in one field of a form, a slash command is the form itself, an event is JSON.

    Raises:
        MalformedError: it is none of these.
    """
    try:
        if content_type.partition(";")[0].strip().lower() == "application/json":
            return _object(body)
        form = dict(parse_qsl(body, keep_blank_values=True, strict_parsing=True, max_num_fields=FIELDS_LIMIT))
    except ValueError as error:
        raise MalformedError("the body is no form and no JSON") from error
    if "payload" in form:
        return _object(form["payload"])
    if "command" not in form and "ssl_check" not in form:
        raise MalformedError("the form holds neither an interaction nor a command")
    return form


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError("the body's JSON cannot be read") from error
    if not isinstance(value, dict):
        raise MalformedError("the body's JSON is not an object")
    return value


def _response(answer: BoltResponse) -> Response:
    headers = {name: values[0] for name, values in answer.headers.items() if name.lower() == "content-type"}
    return Response(answer.body, answer.status, headers)
