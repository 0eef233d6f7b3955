"""The app's side over HTTP: the Web API, response URLs, uploads, and the Socket Mode address.

The rules of the envelope are here: which token, where arguments may stand, what a refusal looks
like, and the faults that somebody switched on.  What a method does is in `methods/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from bot.practice.faults import MethodFault
from bot.practice.methods.call import Call
from bot.practice.methods.files import LARGEST_FILE, receive
from bot.practice.methods.scopes import check_scope
from bot.practice.methods.table import APP_TOKEN_METHODS, METHODS
from bot.practice.parts import Parts, Tokens, parts_of
from bot.practice.refusals import MethodRefusedError
from bot.practice.residents import APP
from bot.practice.responses import respond
from bot.practice.workspace import CallRecord

log = structlog.get_logger(__name__)

LARGEST_BODY = 1_000_000  # bytes of a call


async def handle_call(request: Request) -> Response:
    """Answer one call of the Web API."""
    parts, method = parts_of(request), request.path_params["method"]
    arguments: dict[str, object] = {}
    try:
        arguments = await parse_arguments(request)
        token = parse_token(request, arguments)
        channel = _channel(parts, arguments)
        fault = parts.faults.next_call(method, channel)
        if fault.delay and await _ends_within(parts, fault.delay):
            return _failure(MethodFault(status=503))
        if fault.status != 200:
            _record(parts, method, arguments, error=f"http_{fault.status}")
            return _failure(fault)
        if pause := parts.rate_limits.pause(method, channel):
            _record(parts, method, arguments, error="ratelimited")
            return _failure(MethodFault(status=429, retry_after=pause))
        answer = {"ok": True, **_carry_out(parts, method, arguments, token, fault)}
    except MethodRefusedError as refusal:
        _record(parts, method, arguments, error=refusal.error)
        return JSONResponse(refusal.as_json())
    _record(parts, method, arguments, error="")
    return JSONResponse(answer)


def _channel(parts: Parts, arguments: Mapping[str, object]) -> str:
    """Return the id of the channel that a call is about, however it calls it; empty where it is about none."""
    with contextlib.suppress(MethodRefusedError):
        return parts.workspace.channel(str(arguments.get("channel") or "")).id
    return ""


async def _ends_within(parts: Parts, seconds: float) -> bool:
    """Wait so long, or until the server ends; return whether it does."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await parts.stopping.wait()
    return parts.stopping.is_set()


def _carry_out(
    parts: Parts, method: str, arguments: Mapping[str, object], token: str, fault: MethodFault
) -> Mapping[str, object]:
    if method not in METHODS and method not in APP_TOKEN_METHODS:
        log.error("unknown_method", method=method, remedy="the practice workspace has to learn it")
        raise MethodRefusedError("unknown_method", [f"the practice workspace does not know {method}"])
    check_token(parts.tokens, method, token)
    is_for_app = method in APP_TOKEN_METHODS
    check_scope(method, parts.tokens.app_scopes if is_for_app else parts.tokens.bot_scopes)
    if fault.error:
        raise MethodRefusedError(fault.error)
    if method == "apps.connections.open":
        return {"url": _socket_address(parts)}
    return METHODS[method](Call(parts.workspace, method, arguments, parts.base_url))


async def parse_arguments(request: Request) -> dict[str, object]:
    """Return the arguments of query string, form and JSON, merged.

    Raises:
        MethodRefusedError: `request_too_large`, `invalid_json`, `json_not_object`, `invalid_form_data`.
    """
    arguments: dict[str, object] = dict(request.query_params)
    body = await read_body(request, LARGEST_BODY)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        return arguments
    if kind == "application/json":
        return arguments | _parse_json_object(body)
    if kind == "application/x-www-form-urlencoded":
        return arguments | dict(parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True))
    raise MethodRefusedError("invalid_form_data")


async def read_body(request: Request, most: int) -> bytes:
    """Return the request's body.

    Raises:
        MethodRefusedError: `request_too_large` above `most` bytes, before all of it was read.
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise MethodRefusedError("request_too_large")
        chunks.append(chunk)
    return b"".join(chunks)


def _parse_json_object(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except ValueError:
        raise MethodRefusedError("invalid_json") from None
    if not isinstance(value, dict):
        raise MethodRefusedError("json_not_object")
    return value


def parse_token(request: Request, arguments: dict[str, object]) -> str:
    """Take the token out of the header or the arguments; empty if there is none."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    in_arguments = str(arguments.pop("token", "") or "")
    return credentials.strip() if scheme.lower() == "bearer" else in_arguments


def check_token(tokens: Tokens, method: str, token: str) -> None:
    """Refuse a call without the right token.

    Raises:
        MethodRefusedError: `not_authed`, `invalid_auth`, `not_allowed_token_type`.
    """
    if not token:
        raise MethodRefusedError("not_authed")
    is_bot = secrets.compare_digest(token.encode(), tokens.bot.encode())
    is_app = secrets.compare_digest(token.encode(), tokens.app.encode())
    if not is_bot and not is_app:
        raise MethodRefusedError("invalid_auth")
    if is_app != (method in APP_TOKEN_METHODS):
        raise MethodRefusedError("not_allowed_token_type")


async def handle_response(request: Request) -> Response:
    """Answer a post to a response URL."""
    parts = parts_of(request)
    try:
        arguments = await parse_arguments(request)
        address = parts.workspace.response_urls.use(request.path_params["secret"])
        respond(parts.workspace, address, arguments)
    except MethodRefusedError as refusal:
        _record(parts, "response_url", {}, error=refusal.error)
        gone = refusal.error in {"expired_url", "used_url"}
        return JSONResponse(refusal.as_json(), status_code=404 if gone else 400)
    _record(parts, "response_url", arguments, error="")
    return PlainTextResponse("ok")


async def handle_upload(request: Request) -> Response:
    """Take the bytes of an announced file."""
    parts = parts_of(request)
    try:
        content = await read_body(request, LARGEST_FILE)
        upload = receive(parts.workspace, request.path_params["file"], content)
    except MethodRefusedError as refusal:
        return PlainTextResponse(refusal.error, status_code=400)
    return PlainTextResponse(f"OK - {upload.length}")


async def handle_socket(websocket: WebSocket) -> None:
    """Serve one connection of the app."""
    await parts_of(websocket).sockets.serve(websocket)


def _socket_address(parts: Parts) -> str:
    address = parts.base_url.replace("http://", "ws://", 1)
    return f"{address}/link/?ticket={parts.sockets.issue_ticket()}&app_id={APP}"


def _failure(fault: MethodFault) -> Response:
    if fault.status == 429:
        headers = {"Retry-After": str(fault.retry_after)}
        return JSONResponse({"ok": False, "error": "ratelimited"}, status_code=429, headers=headers)
    return PlainTextResponse("the practice workspace was told to fail", status_code=fault.status)


def _record(parts: Parts, method: str, arguments: Mapping[str, object], *, error: str) -> None:
    parts.workspace.calls.append(CallRecord(method, dict(arguments), error))


ROUTES: list[BaseRoute] = [
    Route("/api/{method}", handle_call, methods=["GET", "POST"]),
    Route("/actions/{secret}", handle_response, methods=["POST"]),
    Route("/commands/{secret}", handle_response, methods=["POST"]),
    Route("/upload/v1/{file}", handle_upload, methods=["POST"]),
    WebSocketRoute("/link/", handle_socket),
]
