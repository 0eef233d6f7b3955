"""The smallest HTTP/1.1 client that can do the job, so that the driver costs the contenders little.

It speaks to servers that answer with a Content-Length and keep the connection: all servers here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


def render_request(method: str, path: str, body: bytes = b"", token: str = "") -> bytes:
    """Return the bytes of one request.  They are rendered before the clock runs."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Answer:
    """Status and body of a response."""

    status: int
    body: bytes


class Connection:
    """One kept-alive connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes) -> Answer:
        """Send `request` and return the answer."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await self._reader.readexactly(int(length[1])) if length else b""
        return Answer(status=int(head[9:12]), body=body)

    def close(self) -> None:
        """Close it."""
        self._writer.close()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """Connect to `port` of 127.0.0.1 for as long as the block lasts."""
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield connection
    finally:
        connection.close()


async def answers(port: int) -> bool:
    """Say whether a web server answers at `port`, whatever its answer."""
    try:
        async with connected(port) as connection:
            await connection.ask(render_request("GET", "/"))
    except (OSError, asyncio.IncompleteReadError):
        return False
    return True
