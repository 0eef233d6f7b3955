"""An outage: while it lasts, the app reaches nothing, and its connections break off without an answer."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.practice.guard import APP_PATHS
from bot.practice.parts import parts_of


class Outage:
    """Middleware that breaks off the app's connections while `Faults.away` is set.  People stay connected."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or break it off."""
        if scope["type"] == "lifespan" or not scope["path"].startswith(APP_PATHS):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        parts = parts_of(connection)
        if not parts.faults.away or parts.sockets.abort is None:
            await self._app(scope, receive, send)
            return
        parts.sockets.abort(connection)
        while not (await receive())["type"].endswith(".disconnect"):
            pass  # what was sent before the connection broke
