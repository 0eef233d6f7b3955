"""HTTP services: `http.check` looks, `http.request` changes something.

Runbooks name an endpoint; only the connections file says where it is.  A path cannot leave it:
no dot segments (a label with the value `..` would climb), no second host, no redirects.

For a check, silence is an answer: a refused connection, a reset or a time-out is measured as
`answered: false`.  That we cannot resolve a name, reach a network or trust a certificate says
nothing about the service, and is an error.

A request is sent once, under the action's key in the header `Idempotency-Key`.  Its errors are
sorted by what may have happened: not connected, not done; refused with 4xx, not done; 5xx, 302 or
303, a reset or no answer after it was sent, unknown.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from activities.actions import Action, Measurement, Scene, action
from activities.connections import EndpointConnection, SecretMissingError
from activities.transport import (
    BearerToken,
    in_words,
    is_our_own_trouble,
    open_client,
    read_at_most,
    was_never_sent,
)
from runbooks.errors import FailedError, MeasureError, NotSentError, ParamedicError, UnknownOutcomeError
from runbooks.model.action import ActionClass, ActionResult, Effect, UrlPath

_CHECK_BODY_LIMIT = 64 * 1024  # bytes
_REQUEST_BODY_LIMIT = 16 * 1024  # bytes; a receipt's output is 32 KiB at most, in JSON
_TEXT_LIMIT = 2048  # bytes
_DOT_SEGMENT = re.compile(r"(^|/)(\.|%2e){1,2}(/|$)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x20\x7f\\#]")
_TOO_EARLY_OR_MANY = frozenset({425, 429})
_SAYS_NOTHING_OF_EARLIER = frozenset({401, 403, 404, 407, 408, 409, 410, 412})
"""What a request may be answered because the one before it was carried out, or because it was asked again."""

_SEE_ELSEWHERE = frozenset({302, 303})
"""How many services answer a request that they have carried out: the result stands elsewhere."""


def _stays_below_its_endpoint(path: str) -> str:
    if path.startswith("//"):
        raise ValueError("a path begins with one slash: the endpoint says which host")
    if _CONTROL.search(path):
        raise ValueError("a path has no spaces, control characters, backslashes or #: percent-encode them")
    if _DOT_SEGMENT.search(path.partition("?")[0]):
        raise ValueError("a path has no . or .. segments: it would leave its endpoint")
    return path


EndpointPath = Annotated[UrlPath, AfterValidator(_stays_below_its_endpoint)]
"""A path that cannot leave its endpoint, whatever a label holds."""


class Check(BaseModel):
    """What is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str = Field(description="A name under `endpoints:` in the connections file.")
    path: EndpointPath = Field(description="Path with an optional query, below the endpoint's url.")
    method: Literal["GET", "HEAD"] = "GET"


class Request(BaseModel):
    """What is sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str = Field(description="A name under `endpoints:` in the connections file.")
    path: EndpointPath = Field(description="Path with an optional query, below the endpoint's url.")
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = "POST"
    body: JsonValue = Field(default=None, description="Sent as JSON; nothing is sent where it is left out.")


@action(
    "http.check",
    "Ask an HTTP service and measure how it answers",
    effect=Effect.READ,
    kind=ActionClass.IDEMPOTENT,
    timeout=timedelta(seconds=15),
    samples={"answered": True, "status": 200, "took_ms": 12, "json": {}, "text": ""},
)
async def check(parameters: Check, scene: Scene) -> Measurement:
    """Return how the service answered; that it did not is a measurement as well.

    `result.status` is 0 where there was no answer.  `result.json` is the parsed body, None where it
    is no JSON or larger than 64 KiB; `result.text` its first 2 KiB.

    Raises:
        MeasureError: retryable where we could not even ask; not where the endpoint is unknown.
    """
    connection = _endpoint(scene, parameters.endpoint, MeasureError)
    client = _client(scene, parameters.endpoint, connection)
    begun = time.perf_counter()
    try:
        async with (
            asyncio.timeout(connection.timeout.total_seconds()),
            client.stream(parameters.method, parameters.path) as answer,
        ):
            body, whole = await read_at_most(answer, _CHECK_BODY_LIMIT)
    except SecretMissingError as error:
        raise MeasureError(f"{parameters.endpoint} cannot be asked: {error}") from error
    except (httpx.HTTPError, TimeoutError) as error:
        return _unanswered(parameters, error, _milliseconds_since(begun))
    took = _milliseconds_since(begun)
    return Measurement(
        sentence=f"{parameters.endpoint} answered {answer.status_code} in {took} ms",
        result={
            "answered": True,
            "status": answer.status_code,
            "took_ms": took,
            "json": _parsed(body) if whole else None,
            "text": body[:_TEXT_LIMIT].decode(errors="replace"),
        },
    )


def _unanswered(parameters: Check, error: httpx.HTTPError | TimeoutError, took_ms: int) -> Measurement:
    if isinstance(error, httpx.HTTPError) and is_our_own_trouble(error):
        raise MeasureError(
            f"{parameters.endpoint} cannot be asked: {in_words(error)}", retryable=True
        ) from error
    why = in_words(error) if isinstance(error, httpx.HTTPError) else "no answer in time"
    return Measurement(
        sentence=f"{parameters.endpoint} does not answer: {why}",
        result={"answered": False, "status": 0, "took_ms": took_ms, "json": None, "text": ""},
    )


@action(
    "http.request",
    "Send a request to an HTTP service, once",
    effect=Effect.WRITE,
    kind=ActionClass.KEYED,
    timeout=timedelta(seconds=60),
)
async def request(parameters: Request, scene: Scene) -> ActionResult:
    """Send it under the action's key, so that a service which honours the key does it once.

    Raises:
        NotSentError: it did not leave, or was refused before anybody looked at it (425, 429).
        FailedError: 4xx and most of 3xx; the endpoint is unknown.
        UnknownOutcomeError: 5xx, 302, 303, a reset or no answer after it was sent; and, where an earlier
            attempt may have been carried out, a 4xx that says nothing about that attempt (a rotated token).
    """
    connection = _endpoint(scene, parameters.endpoint, scene.refusal)
    client = _client(scene, parameters.endpoint, connection)
    content = b"" if parameters.body is None else json.dumps(parameters.body).encode()
    headers = {"Idempotency-Key": scene.key} | ({"Content-Type": "application/json"} if content else {})
    sending = client.stream(parameters.method, parameters.path, content=content, headers=headers)
    try:
        # Connecting may take one `timeout`; what is left after that is time in which it has been sent.
        async with asyncio.timeout(3 * connection.timeout.total_seconds()), sending as answer:
            body, _ = await read_at_most(answer, _REQUEST_BODY_LIMIT)
    except SecretMissingError as error:
        raise NotSentError(f"{parameters.endpoint}: not sent: {error}") from error
    except httpx.HTTPError as error:
        kind = NotSentError if was_never_sent(error) else UnknownOutcomeError
        raise kind(f"{parameters.endpoint}: {in_words(error)}") from error
    except TimeoutError as error:
        raise UnknownOutcomeError(f"{parameters.endpoint}: no complete answer in time") from error
    _refuse_unless_done(parameters, answer.status_code, body, scene.attempt)
    return ActionResult(
        sentence=f"{parameters.method} {parameters.path} at {parameters.endpoint}: {answer.status_code}",
        output={
            "status": answer.status_code,
            "json": _parsed(body),
            "text": body[:_TEXT_LIMIT].decode(errors="replace"),
        },
    )


def _refuse_unless_done(parameters: Request, status: int, body: bytes, attempt: int) -> None:
    """Raise what `status` means, unless it means that the request was carried out."""
    if httpx.codes.is_success(status):
        return
    said = body[:200].decode(errors="replace").strip()
    sentence = f"{parameters.endpoint} answered {status}{': ' + said if said else ''}"
    if status in _SEE_ELSEWHERE:
        raise UnknownOutcomeError(
            f"{parameters.endpoint} answered {status}: it may have been carried out; redirects are not followed"
        )
    if httpx.codes.is_redirect(status):
        raise FailedError(
            f"{parameters.endpoint} answered {status}: redirects are not followed, mend the url"
        )
    if status in _TOO_EARLY_OR_MANY:
        raise NotSentError(sentence)
    if httpx.codes.is_client_error(status) and not (attempt > 1 and status in _SAYS_NOTHING_OF_EARLIER):
        raise FailedError(sentence)
    raise UnknownOutcomeError(sentence)


def _endpoint(scene: Scene, name: str, error: Callable[[str], ParamedicError]) -> EndpointConnection:
    found = scene.connections.endpoints.get(name)
    if found is None:
        known = ", ".join(sorted(scene.connections.endpoints)) or "none"
        raise error(f"there is no endpoint {name!r} in the connections file; known: {known}")
    return found


def _client(scene: Scene, name: str, connection: EndpointConnection) -> httpx.AsyncClient:
    def build() -> httpx.AsyncClient:
        auth = None if connection.token is None else BearerToken(connection.token)
        return open_client(str(connection.url), timeout=connection.timeout, auth=auth)

    return scene.clients.get(f"http/{name}", build)


def _parsed(body: bytes) -> Any:
    """Return the JSON value in `body`; None where it is none, or one that could not be put on record."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
        if b"\\" in body or not body.isascii():
            # There may be half a surrogate pair, which cannot be written down.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _milliseconds_since(begun: float) -> int:
    return round(1000 * (time.perf_counter() - begun))


ACTIONS: list[Action] = [check, request]
