"""People's side over HTTP: the page, what it shows, and what people do on it.

Tests and the terminal use the same endpoints through `hands.Hands`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.practice.api import read_body
from bot.practice.guard import cookie_name
from bot.practice.interactions import Press
from bot.practice.parts import Parts, parts_of
from bot.practice.refusals import MethodRefusedError
from bot.practice.residents import Person
from bot.practice.snapshot import take_snapshot

PAGE = Path(__file__).parent / "page"
STATIC_FILES = {"app.js": "text/javascript", "style.css": "text/css"}
LONGEST_WAIT = 20.0  # seconds that a request for news is kept
LARGEST_BODY = 100_000  # bytes of what a person does

Given = Mapping[str, Any]
Deed = Callable[[Parts, Person, Given], Awaitable[Mapping[str, object]]]

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def show_page(request: Request) -> Response:
    """Show the page; a visit with the secret leaves it in a cookie."""
    parts = parts_of(request)
    response = FileResponse(PAGE / "index.html", headers=HEADERS)
    response.set_cookie(cookie_name(parts.port), parts.secret, httponly=True, samesite="strict", path="/")
    return response


async def show_static(request: Request) -> Response:
    """Show the page's script or style."""
    name = request.path_params["name"]
    if name not in STATIC_FILES:
        return PlainTextResponse("there is no such file\n", status_code=404)
    return FileResponse(PAGE / name, media_type=STATIC_FILES[name], headers=HEADERS)


async def show_file(request: Request) -> Response:
    """Hand out a file that the app has shared: always as a download, it is foreign."""
    upload = parts_of(request).workspace.uploads.get(request.path_params["file"])
    if upload is None or upload.content is None:
        return PlainTextResponse("there is no such file\n", status_code=404)
    name = upload.filename.encode("ascii", errors="replace").decode().replace('"', "'")
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(upload.content, media_type="application/octet-stream", headers=headers)


async def show_state(request: Request) -> Response:
    """Show what a person sees; with `after`, as soon as there is something newer than that version."""
    parts = parts_of(request)
    try:
        person = parts.workspace.person(request.query_params.get("as", ""))
        after = int(request.query_params.get("after", "0"))
    except (MethodRefusedError, ValueError) as error:
        return JSONResponse({"ok": False, "error": str(error)}, status_code=400)
    await parts.workspace.wait_for_change(after, LONGEST_WAIT)
    return JSONResponse({"ok": True, **take_snapshot(parts, person)}, headers=HEADERS)


async def stream_state(websocket: WebSocket) -> None:
    """Send what a person sees, again after each change, until the page goes."""
    parts = parts_of(websocket)
    try:
        person = parts.workspace.person(websocket.query_params.get("as", ""))
    except MethodRefusedError:
        await websocket.close(code=1008, reason="there is no such person")
        return
    await websocket.accept()
    gone = asyncio.ensure_future(_until_gone(websocket))
    try:
        while not gone.done() and not parts.stopping.is_set():
            version = parts.workspace.version
            await websocket.send_json(take_snapshot(parts, person))
            news = asyncio.ensure_future(parts.workspace.wait_for_change(version, LONGEST_WAIT))
            await asyncio.wait({gone, news}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
    except (WebSocketDisconnect, RuntimeError):
        pass  # the page went while it was being written to
    finally:
        gone.cancel()


async def _until_gone(websocket: WebSocket) -> None:
    async for _ in websocket.iter_text():
        pass  # the page has nothing to say here


# --- deeds --------------------------------------------------------------------------------------


async def _press(parts: Parts, person: Person, given: Given) -> Mapping[str, object]:
    press = Press(
        action_id=str(given["action_id"]),
        channel=str(given.get("channel") or ""),
        ts=str(given.get("ts") or ""),
        view_id=str(given.get("view_id") or ""),
        block_id=str(given.get("block_id") or ""),
        chosen=given.get("chosen"),
        inputs=given.get("inputs") or {},
    )
    return {"answer": await parts.interactions.press(person, press)}


async def _command(parts: Parts, person: Person, given: Given) -> Mapping[str, object]:
    answer = await parts.interactions.command(person, str(given["channel"]), str(given["text"]))
    return {"answer": answer}


async def _shortcut(parts: Parts, person: Person, given: Given) -> Mapping[str, object]:
    callback_id, channel, ts = (str(given[name]) for name in ("callback_id", "channel", "ts"))
    return {"answer": await parts.interactions.shortcut(person, callback_id, channel, ts)}


async def _say(parts: Parts, person: Person, given: Given) -> Mapping[str, object]:
    thread_ts = str(given.get("thread_ts") or "")
    message = await parts.interactions.say(
        person, str(given["channel"]), str(given["text"]), thread_ts=thread_ts
    )
    return {"ts": message.ts}


async def _submit(parts: Parts, person: Person, given: Given) -> Mapping[str, object]:
    submission = await parts.interactions.submit(person, str(given["view_id"]), given.get("inputs") or {})
    return {"answer": submission.answer, "errors": submission.errors}


async def _close(parts: Parts, person: Person, given: Given) -> Mapping[str, object]:
    await parts.interactions.close(person, str(given["view_id"]))
    return {}


async def _open_home(parts: Parts, person: Person, _given: Given) -> Mapping[str, object]:
    await parts.interactions.open_home(person)
    return {}


async def _dismiss(parts: Parts, person: Person, given: Given) -> Mapping[str, object]:
    if given.get("notice") is not None:
        parts.workspace.dismiss_notice(person.id, int(given["notice"]))
    else:
        parts.workspace.delete(parts.workspace.ephemeral(person.id, str(given["ts"])))
    return {}


DEEDS: Mapping[str, Deed] = {
    "press": _press,
    "command": _command,
    "shortcut": _shortcut,
    "say": _say,
    "submit": _submit,
    "close": _close,
    "home": _open_home,
    "dismiss": _dismiss,
}


async def handle_deed(request: Request) -> Response:
    """Carry out what a person does on the page."""
    parts, deed = parts_of(request), DEEDS.get(request.path_params["deed"])
    if deed is None:
        return JSONResponse({"ok": False, "error": "there is no such deed"}, status_code=404)
    try:
        given = await _parse_given(request)
        person = parts.workspace.person(str(given.get("as", "")))
        return JSONResponse({"ok": True, **await deed(parts, person, given)})
    except MethodRefusedError as refusal:
        return JSONResponse({"ok": False, "error": str(refusal)}, status_code=409)
    except (KeyError, TypeError, ValueError) as error:
        return JSONResponse({"ok": False, "error": f"missing or wrong: {error}"}, status_code=400)


async def handle_fault(request: Request) -> Response:
    """Switch a fault on: `{"do": "fail", "method": "chat.update", "times": 2, "status": 429}` and its like."""
    parts = parts_of(request)
    try:
        given = dict(await _parse_given(request))
        await _switch(parts, str(given.pop("do", "")), given)
    except (KeyError, TypeError, ValueError) as error:
        return JSONResponse({"ok": False, "error": str(error)}, status_code=400)
    return JSONResponse({"ok": True, "waiting": parts.faults.waiting()})


async def _switch(parts: Parts, what: str, given: dict[str, Any]) -> None:
    switches: Mapping[str, Callable[..., None]] = {
        "fail": parts.faults.fail,
        "refuse": parts.faults.refuse,
        "slow": parts.faults.slow,
        "deliver_twice": parts.faults.deliver_twice,
        "lose": parts.faults.lose,
        "rate_limits": parts.rate_limits.switch,
        "clear": parts.faults.clear,
        "cut": parts.sockets.cut,
    }
    if what == "disconnect":
        await parts.sockets.disconnect(**given)
    elif what == "away":
        _go_away(parts, **given)
    elif what in switches:
        switches[what](**given)
    else:
        raise ValueError(f"there is no fault {what!r}; there are away, disconnect, {', '.join(switches)}")
    parts.workspace.touch()


def _go_away(parts: Parts, *, on: bool = True) -> None:
    """Break off the app's connections and take no new ones; or come back."""
    parts.faults.away = on
    if on:
        parts.sockets.cut()


async def _parse_given(request: Request) -> Given:
    """Return the JSON that was sent.  A plain HTML form cannot send this type: one more lock.

    Raises:
        ValueError: it is something else.
    """
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise ValueError("the content type must be application/json")
    given = json.loads(await read_body(request, LARGEST_BODY))
    if not isinstance(given, dict):
        raise ValueError("an object is wanted")  # noqa: TRY004  (a wrong request, not a wrong program)
    return given


ROUTES: list[BaseRoute] = [
    Route("/", show_page),
    Route("/page/{name}", show_static),
    Route("/files/{file}", show_file),
    Route("/practice/state", show_state),
    Route("/practice/faults", handle_fault, methods=["POST"]),
    Route("/practice/{deed}", handle_deed, methods=["POST"]),
    WebSocketRoute("/practice/changes", stream_state),
]
