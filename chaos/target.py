"""The HTTP target: a process that is broken until somebody mends it, and writes down all that is done to it.

Each effect is one line of JSON, on the disk (fsync) before anything is answered.  A service that
honours the key of a request does it once for each key; where no key is sent it obeys every time, as
most services do.

    GET  /state/<target>           {"broken": true or false}
    POST /act/<target>             mends it
    POST /guarded/<target>         the same, for whoever shows one of the tokens
    PUT  /tokens/<token>,<token>   these are the tokens
    PUT  /faults/<prefix>/<fault>  targets of this prefix have this fault, each in its first request
    PUT  /value/<what>             what `/api/v1/query` answers: it stands in for Prometheus as well

    python -m chaos.target PORT FOLDER
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import uvloop

EFFECTS = "effects.jsonl"
VICTIM = "victim.pid"
"""File that holds the process id which the fault `kill` ends."""

SLOW = 0.3  # seconds that a slow target works before the effect, and again after it
HANG = 30.0  # seconds; longer than anybody waits


class Target:
    """What the target knows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._effects = (folder / EFFECTS).open("a", encoding="utf-8")
        self._keys: set[str] = set()
        self._mended: set[str] = set()
        self._faults: dict[str, str] = {}
        self._had_its_fault: set[str] = set()
        self._value = "one"
        self._tokens: list[str] = []

    async def answer(self, request: str, headers: Mapping[str, str], writer: asyncio.StreamWriter) -> None:
        """Answer one request, or fail at it as this target is meant to."""
        key = headers.get("idempotency-key", "")
        method, path, _ = request.split(" ", 2)
        _, word, *rest = unquote(path.split("?")[0]).split("/")
        match method, word:
            case "GET", "state":
                _reply(writer, {"broken": rest[0] not in self._mended})
            case "POST", "act":
                await self._act(rest[0], key, writer)
            case "POST", "guarded":
                if headers.get("authorization", "").removeprefix("Bearer ") in self._tokens:
                    await self._act(rest[0], key, writer)
                else:
                    _reply(writer, {"error": "nobody knows you"}, "401 Unauthorized")
            case "PUT", "tokens":
                self._tokens = rest[0].split(",")
                _reply(writer, {})
            case "PUT", "faults":
                self._faults[rest[0]] = rest[1]
                _reply(writer, {})
            case "PUT", "value":
                self._value = rest[0]
                _reply(writer, {})
            case _, "api":
                await self._measure(writer)
            case _:
                _reply(writer, {"error": "no such thing"}, "404 Not Found")

    async def _act(self, target: str, key: str, writer: asyncio.StreamWriter) -> None:
        fault = self._fault_of(target)
        if fault == "reset-before":
            _reset(writer)
            return
        if fault == "refuse":
            _reply(writer, {"error": "not today"}, "500 Internal Server Error")
            return
        if fault == "slow":
            await asyncio.sleep(SLOW)
        await self._effect(target, key)
        await _answer_with(fault, writer, self._folder)

    def _fault_of(self, target: str) -> str:
        """Return the fault that this target has now: a passing one, so that a second try finds it well."""
        fault = next((each for prefix, each in self._faults.items() if target.startswith(f"{prefix}-")), "")
        if fault == "slow":
            return fault
        if target in self._had_its_fault:
            return ""
        self._had_its_fault.add(target)
        return fault

    async def _effect(self, target: str, key: str) -> None:
        """Do it, unless that was done with this key, and return when it is on the disk.

        Whether it was done is decided and written at once.  Only the disk is waited for, and others are
        answered meanwhile; whoever comes with the same key waits for it too.
        """
        if not key or key not in self._keys:
            self._keys.add(key)
            self._effects.write(json.dumps({"target": target, "key": key, "at": time.time()}) + "\n")
            self._effects.flush()
        await asyncio.to_thread(os.fsync, self._effects.fileno())
        self._mended.add(target)

    async def _measure(self, writer: asyncio.StreamWriter) -> None:
        """Answer as Prometheus does; the age of the sample is asked with the same kind of query."""
        if self._value == "down":
            _reset(writer)
            return
        now = time.time()
        values = {
            "one": ["1"], "empty": [], "nan": ["NaN"], "infinite": ["+Inf"], "many": ["1", "1"], "stale": ["900"],
        }  # fmt: skip
        rows = [
            {"metric": {"replica": str(number)}, "value": [now, value]}
            for number, value in enumerate(values[self._value])
        ]
        _reply(writer, {"status": "success", "data": {"resultType": "vector", "result": rows}})


async def _answer_with(fault: str, writer: asyncio.StreamWriter, folder: Path) -> None:
    """It has been done.  Say so, or fail to."""
    match fault:
        case "error":
            _reply(writer, {"error": "out of order"}, "500 Internal Server Error")
        case "hang":
            await asyncio.sleep(HANG)
        case "reset-after":
            _reset(writer)
        case "half":
            writer.write(
                b'HTTP/1.1 200 OK\r\nContent-Length: 400\r\nContent-Type: application/json\r\n\r\n{"done"'
            )
            await writer.drain()
            _reset(writer)
        case "kill":
            with contextlib.suppress(ProcessLookupError):
                os.kill(int((folder / VICTIM).read_text()), signal.SIGKILL)
            _reset(writer)
        case _:
            if fault == "slow":
                await asyncio.sleep(SLOW)
            _reply(writer, {"done": True})


def _reply(writer: asyncio.StreamWriter, answer: object, status: str = "200 OK") -> None:
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection as a crashed peer does: RST, and not FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _serve_one(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while not writer.is_closing():
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            request, *lines = head.split("\r\n")
            headers = {
                name.lower(): value for line in lines if line for name, _, value in [line.partition(": ")]
            }
            await reader.readexactly(int(headers.get("content-length", 0)))
            await target.answer(request, headers, writer)
    writer.close()


async def serve(port: int, folder: Path) -> None:
    """Serve until the process is ended."""
    target = Target(folder)
    server = await asyncio.start_server(
        lambda reader, writer: _serve_one(target, reader, writer), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
