"""The practice workspace as a server: a local Slack for demo and tests.

It listens on 127.0.0.1 only.  The bot is the ordinary one: it gets another base URL and other
tokens, and nothing else is different.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection

from bot.practice import api, page
from bot.practice.faults import Faults
from bot.practice.guard import Guard
from bot.practice.interactions import Interactions
from bot.practice.methods.scopes import heard_with
from bot.practice.outage import Outage
from bot.practice.parts import Parts, Tokens
from bot.practice.posts import Posts
from bot.practice.rate_limits import RateLimits
from bot.practice.residents import APP
from bot.practice.sockets import Sockets
from bot.practice.workspace import Workspace
from bot.slack.manifest import APP_SCOPES, BOT_SCOPES

HOST = "127.0.0.1"


def build_practice(
    workspace: Workspace, *, tokens: Tokens, secret: str, port: int, rate_limited: bool = False
) -> Starlette:
    """Wire one practice workspace.

    Args:
        workspace: its state.
        tokens: what the app shows, and what it may do with it.
        rate_limited: whether Slack's rate limits are enforced.
        secret: what a person must know to see the page.
        port: where it will listen: addresses that it hands out contain it.
    """
    base_url = f"http://{HOST}:{port}"
    workspace.events = heard_with(workspace.events, tokens.bot_scopes)
    faults = Faults()
    sockets = Sockets(faults, patience=workspace.patience, on_change=workspace.touch)
    app = Starlette(
        routes=[*api.ROUTES, *page.ROUTES],
        middleware=[Middleware(Guard, port=port, secret=secret), Middleware(Outage)],
    )
    app.state.parts = Parts(
        workspace=workspace,
        faults=faults,
        rate_limits=RateLimits(workspace.clock, enforced=rate_limited),
        sockets=sockets,
        interactions=Interactions(workspace, sockets, base_url=base_url),
        tokens=tokens,
        secret=secret,
        port=port,
        base_url=base_url,
    )
    return app


class PracticeServer:
    """A practice workspace that runs in a task of this event loop.

    Also an asynchronous context manager: started inside, stopped after.

    Args:
        workspace: its state; the default has alice, bob, mallory and #incidents.
        port: 0 takes a free one.
        secret: what a person must know to see the page; made up if it is not given.
        scopes: what the bot token may do; the default is what the app's manifest asks for.
        app_scopes: what the app token may do; the same.
        rate_limited: whether Slack's rate limits are enforced.

    Attributes:
        signing_secret: what requests to the app are signed with, once it has an address.
        bot_token: what the bot must show to the Web API.
        app_token: what the bot must show to open its socket.
    """

    def __init__(
        self,
        workspace: Workspace | None = None,
        *,
        bot_token: str = "",
        app_token: str = "",
        secret: str = "",
        port: int = 0,
        scopes: frozenset[str] = BOT_SCOPES,
        app_scopes: frozenset[str] = APP_SCOPES,
        rate_limited: bool = False,
    ) -> None:
        self.workspace = workspace or Workspace()
        self.bot_token = bot_token or _new_bot_token()
        self.app_token = app_token or _new_app_token()
        self.signing_secret = secrets.token_hex(16)
        self._scopes = (scopes, app_scopes)
        self._rate_limited = rate_limited
        self._posts: Posts | None = None
        self._secret = secret or secrets.token_urlsafe(24)
        self._wanted_port = port
        self._server: _QuietServer | None = None
        self._task: asyncio.Task[None] | None = None
        self._app: Starlette | None = None
        self._parts: Parts | None = None

    @property
    def parts(self) -> Parts:
        """The parts of the running workspace.

        Raises:
            RuntimeError: it has not been started.
        """
        if self._parts is None:
            raise RuntimeError("the practice workspace has not been started")
        return self._parts

    @property
    def faults(self) -> Faults:
        """Switches for faults of methods and deliveries."""
        return self.parts.faults

    @property
    def sockets(self) -> Sockets:
        """The bot's connections: they can be asked to be replaced, or cut."""
        return self.parts.sockets

    @property
    def base_url(self) -> str:
        """Base URL of the Web API, for the bot."""
        return f"{self.parts.base_url}/api/"

    @property
    def page_url(self) -> str:
        """Address of the page, with its secret, for a person."""
        return f"{self.parts.base_url}/?secret={self.parts.secret}"

    def replace_tokens(self) -> None:
        """Give the app other tokens, as its owner does when they got out: the old ones are refused at once.

        A connection that is open stays open.
        """
        if self._app is None:
            raise RuntimeError("the practice workspace has not been started")
        self.bot_token, self.app_token = _new_bot_token(), _new_app_token()
        tokens = replace(self.parts.tokens, bot=self.bot_token, app=self.app_token)
        self._parts = self._app.state.parts = replace(self.parts, tokens=tokens)

    async def start(self) -> None:
        """Start listening.

        Raises:
            OSError: the port is taken.
        """
        listener = _listen(self._wanted_port)
        port: int = listener.getsockname()[1]
        app = build_practice(
            self.workspace,
            tokens=Tokens(self.bot_token, self.app_token, *self._scopes),
            secret=self._secret,
            port=port,
            rate_limited=self._rate_limited,
        )
        self._app, self._parts = app, app.state.parts
        self._server = _QuietServer(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )
        self.sockets.abort = self._server.abort
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="practice-workspace")
        await self._server.ready.wait()

    @property
    def posts(self) -> Posts:
        """What is posted to the app's address.

        Raises:
            RuntimeError: it has none.
        """
        if self._posts is None:
            raise RuntimeError("the practice workspace does not call over HTTP")
        return self._posts

    async def call_over_http(self, url: str) -> Posts:
        """Post what people do to the app's address from now on, signed, and no longer through its socket."""
        await self._stop_calling()
        workspace = self.workspace
        self._posts = Posts(
            self.faults,
            url=url,
            secret=self.signing_secret,
            patience=workspace.patience,
            clock=workspace.clock,
        )
        self.parts.interactions.carrier = self._posts
        workspace.touch()
        return self._posts

    async def _stop_calling(self) -> None:
        if self._posts is not None:
            posts, self._posts = self._posts, None
            await posts.aclose()

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        await self._stop_calling()
        if self._server is None or self._task is None:
            return
        self.parts.stopping.set()
        self.workspace.touch()  # whoever waits for news stops waiting
        self._server.should_exit = True
        await self._task
        self._server = self._task = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def _new_bot_token() -> str:
    return f"xoxb-practice-{secrets.token_hex(12)}"


def _new_app_token() -> str:
    return f"xapp-1-{APP}-{secrets.token_hex(12)}"  # a real one names its app too


class _QuietServer(uvicorn.Server):
    """A server that leaves signals to the program around it and says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets=sockets)
        self.ready.set()

    def abort(self, broken: HTTPConnection) -> None:
        """Drop the TCP connection of a request or WebSocket without a closing word."""
        for connection in list(self.server_state.connections):
            peer = connection.transport.get_extra_info("peername")
            if broken.client is not None and peer == (broken.client.host, broken.client.port):
                connection.transport.abort()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener
