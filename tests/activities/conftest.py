"""What the tests of the actions share: a scene, and the real components behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from activities.actions import Clients, Scene
from activities.connections import Connections

MakeScene = Callable[..., Scene]


@pytest.fixture(autouse=True)
def _hostile_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment that would break everything if anybody heeded it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)


@pytest.fixture
async def make_scene() -> AsyncIterator[MakeScene]:
    """Return a function that makes a scene for the given connections."""
    clients = Clients()

    def make(connections: dict[str, Any] | None = None, **further: Any) -> Scene:
        defaults: dict[str, Any] = {"remediation": "R-TEST", "target": "web-1", "key": "key-1"}
        return Scene(
            connections=Connections.model_validate(connections or {}),
            clients=further.pop("clients", clients),
            begun_at=datetime.now(UTC),
            **(defaults | further),
        )

    yield make
    await clients.aclose()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Listen = Callable[[Talk], Awaitable[str]]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Return a function that starts a server on loopback which talks as told, and returns its url."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(talk: Talk) -> str:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.suppress(
                    ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
                ):
                    await talk(reader, writer)
                writer.close()

            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            stack.callback(server.close)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        yield start


class MetricsPage:
    """A page that Prometheus scrapes and tests change.  `text` None: the exporter is dead."""

    def __init__(self) -> None:
        self.text: str | None = ""
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = (page.text or "").encode()
                self.send_response(200 if page.text is not None else 503)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.target = f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def metrics_page() -> Iterator[MetricsPage]:
    """A page of metrics for Prometheus."""
    page = MetricsPage()
    yield page
    page.close()


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a reference to a token that is in the environment."""
    monkeypatch.setenv("PRACTICE_TOKEN", "canary-token")
    assert os.environ["PRACTICE_TOKEN"]
    return "env:PRACTICE_TOKEN"
