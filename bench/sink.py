"""The target service: everything that is broken, and the clock that says when it was acted on.

Every target is broken until somebody acts on it.  All times that the contenders are compared by
are taken here, by one clock, at the moment the request arrives.

    GET  /state/<target>     {"broken": true or false}; the first look after an action is its verification
    POST /act/<target>       makes it healthy
    GET  /verified/<count>   answers as soon as so many targets have been verified since the reset
    GET  /log                {target: {"acted": [times], "verified": time or null}}; unix seconds
    POST /reset              forgets all
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httptools
import uvloop

from bench.processes import child, free_port
from bench.wire import Connection, answers, connected, render_request


@dataclass
class TargetLog:
    """What happened to one target; unix seconds."""

    acted: list[float] = field(default_factory=list)
    verified: float | None = None


class Service:
    """The state behind the protocol."""

    def __init__(self) -> None:
        self.targets: dict[str, TargetLog] = {}
        self.waiting: list[tuple[int, Visitor]] = []
        self.verified = 0

    def answer(self, visitor: Visitor, method: str, path: str) -> None:
        """Answer one request, now or when its condition holds."""
        _, word, *rest = path.split("/")
        match method, word:
            case "GET", "state":
                visitor.reply(self._look(rest[0]))
            case "POST", "act":
                self.targets.setdefault(rest[0], TargetLog()).acted.append(time.time())
                visitor.reply({"done": True})
            case "GET", "verified":
                self.waiting.append((int(rest[0]), visitor))
                self._release()
            case "GET", "log":
                visitor.reply({target: asdict(log) for target, log in self.targets.items()})
            case "POST", "reset":
                self.targets.clear()
                self.verified = 0
                visitor.reply({})
            case _:
                visitor.reply({"error": f"no such thing: {method} {path}"}, status="404 Not Found")

    def _look(self, target: str) -> Mapping[str, bool]:
        log = self.targets.get(target)
        if log is None or not log.acted:
            return {"broken": True}
        if log.verified is None:
            log.verified = time.time()
            self.verified += 1
            self._release()
        return {"broken": False}

    def _release(self) -> None:
        ready = [visitor for count, visitor in self.waiting if self.verified >= count]
        self.waiting = [(count, visitor) for count, visitor in self.waiting if self.verified < count]
        for visitor in ready:
            visitor.reply({"verified": self.verified})


class Visitor(asyncio.Protocol):
    """One connection; httptools calls the `on_` methods."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._path = b""
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_message_complete(self) -> None:
        path, self._path = self._path.decode(), b""
        self._service.answer(self, self._parser.get_method().decode(), path)

    def reply(self, answer: Mapping[str, object], status: str = "200 OK") -> None:
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


class Sink:
    """The driver's side of it."""

    def __init__(self, port: int, connection: Connection) -> None:
        self.port = port
        self._connection = connection

    async def reset(self) -> None:
        """Break everything again and forget what happened."""
        await self._connection.ask(render_request("POST", "/reset"))

    async def wait_for_verified(self, count: int) -> None:
        """Return when `count` targets have been verified since the reset."""
        await self._connection.ask(render_request("GET", f"/verified/{count}"))

    async def log(self) -> dict[str, TargetLog]:
        """Return what happened to each target since the reset."""
        answer = await self._connection.ask(render_request("GET", "/log"))
        return {target: TargetLog(**log) for target, log in json.loads(answer.body).items()}


@asynccontextmanager
async def sink(folder: Path) -> AsyncIterator[Sink]:
    """Run the service as a process of its own for as long as the block lasts."""
    port = free_port()
    command = [sys.executable, "-m", "bench.sink", str(port)]
    async with child("the sink", command, folder / "sink.log") as started:
        await started.wait_until(lambda: answers(port))
        async with connected(port) as connection:
            yield Sink(port, connection)


async def serve(port: int) -> None:
    service = Service()
    server = await asyncio.get_running_loop().create_server(lambda: Visitor(service), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
