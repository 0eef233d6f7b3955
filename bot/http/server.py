"""The HTTP server, inside this process: uvicorn on the loop that is already running.

It takes no signal handlers (they belong to the process), logs no accesses (the metrics count
answers) and believes no header about who the peer is.  What uvicorn leaves open is closed here:
how large the head of a request may be and how long it may take.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runbooks.errors import ParamedicError

CONNECTIONS_LIMIT = 512  # beyond this many at once the answer is 503
HEAD_LIMIT = 64 * 1024  # bytes of request line and headers
HEAD_DEADLINE = 10.0  # seconds from the first byte, or the connection, to the end of the headers
KEEP_ALIVE = 75  # seconds that an idle connection stays open between two requests
STOP_DEADLINE = 6  # seconds that requests in progress get; the receiver's own deadline is 5

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class PortTakenError(ParamedicError):
    """The address cannot be listened on."""

    code = "port_taken"


class BoundedHead(HttpToolsProtocol):
    """A connection whose request heads are limited in size and in time."""

    _head_bytes = 0
    _in_head = True
    _has_begun = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_DEADLINE, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then look at how much head there is without an end.

        Nearly every head comes in one piece: only where one does not is a clock set.
        """
        self._head_bytes += len(data)
        super().data_received(data)
        if self._has_begun and self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_DEADLINE, self.transport.close)
        if self._in_head and self._head_bytes > HEAD_LIMIT and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to wait for the end of this head."""
        self._in_head = self._has_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hand the request on."""
        self._in_head = self._has_begun = False
        self._head_bytes = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Count the next head from its own first byte."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers, and with an event in the place of a flag."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process."""
        yield


class HttpServer:
    """Serves an application from `start` to `stop`."""

    def __init__(self, application: ASGIApp, *, host: str, port: int) -> None:
        self._host = host
        self._port = port
        config = uvicorn.Config(
            application,
            http=BoundedHead,
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS_LIMIT,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=STOP_DEADLINE,
        )
        self._server = _QuietServer(config)
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on: the one that was free, where 0 was asked for."""
        return self._port

    async def start(self) -> None:
        """Listen.  Returns when connections are accepted.

        Raises:
            PortTakenError: the address is in use, or not one of this machine.
        """
        listener = _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve([listener]), name="http")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._serving.done():
            self._serving.result()

    async def stop(self) -> None:
        """Accept nothing more, and let requests in progress end."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = _resolve(host, port)
        with contextlib.ExitStack() as unless_bound:
            listener = unless_bound.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            unless_bound.pop_all()
    except OSError as error:
        raise PortTakenError(
            f"cannot listen on {host}:{port}: {error.strerror}; set PARAMEDIC_HTTP_HOST or PARAMEDIC_HTTP_PORT"
        ) from error
    return listener


def _resolve(host: str, port: int) -> tuple[Any, ...]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
