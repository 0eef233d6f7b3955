"""The door: who may talk to the practice workspace at all.

Its buttons run real commands, so a web page that the user happens to visit must not reach them,
not even by giving its own name the address 127.0.0.1 (DNS rebinding).  Three checks, on HTTP and
on WebSockets alike: the `Host` is ours; an `Origin`, which browsers send with everything that
changes something, is ours; and whatever a person uses needs the secret from the printed address,
which the first visit turns into a cookie.  The app's own paths carry their own secrets.
"""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

import structlog
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger(__name__)

APP_PATHS = ("/api/", "/link", "/actions/", "/commands/", "/upload/")
"""Paths of the app.  They are guarded by its tokens, or by a secret in the path."""


class Guard:
    """Middleware that lets in only whom the module's docstring says."""

    def __init__(self, app: ASGIApp, *, port: int, secret: str) -> None:
        self._app = app
        self._secret = secret
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._origins = {f"http://{host}" for host in self._hosts}
        self._cookie = cookie_name(port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "lifespan" or (objection := self._objection(scope)) is None:
            await self._app(scope, receive, send)
            return
        log.warning("refused_at_the_door", path=scope["path"], reason=objection)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": objection})
            return
        await PlainTextResponse(f"{objection}\n", status_code=403)(scope, receive, send)

    def _objection(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if headers.get("host") not in self._hosts:
            return "This is the practice workspace on 127.0.0.1; it answers to no other name."
        if headers.get("origin", next(iter(self._origins))) not in self._origins:
            return "Another web page may not use the practice workspace."
        if scope["path"].startswith(APP_PATHS) or self._knows_secret(scope, headers):
            return None
        return "Open the practice workspace with the address that was printed when it started."

    def _knows_secret(self, scope: Scope, headers: Headers) -> bool:
        offered = [_cookie_value(headers.get("cookie", ""), self._cookie)]
        if scope["path"] == "/":
            query = parse_qs(scope["query_string"].decode("latin-1"))
            offered += query.get("secret", [])
        return any(secrets.compare_digest(each.encode(), self._secret.encode()) for each in offered)


def cookie_name(port: int) -> str:
    """Return the cookie's name; browsers do not keep the cookies of two ports apart."""
    return f"practice_{port}"


def _cookie_value(header: str, name: str) -> str:
    try:
        cookies = SimpleCookie(header)
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""
