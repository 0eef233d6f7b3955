"""Bodies of requests: read piece by piece, up to a limit for each and one for all together.

A header that tells the length is believed where it says "too large" and never otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import Headers
from starlette.types import Receive

from bot.http.answers import Refusal
from bot.http.payload import BODY_LIMIT

IN_MEMORY_LIMIT = 4 * BODY_LIMIT  # bytes of all bodies at the same time


def refuse_unreadable(headers: Headers, largest: int = BODY_LIMIT) -> None:
    """Refuse on the headers what would be refused after reading the body.

    A compressed body is among it: neither Alertmanager nor Slack sends one, and unpacking one can
    fill the memory.

    Raises:
        Refusal: 413 or 415.
    """
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "compressed bodies are not read; send it uncompressed")
    length = headers.get("content-length", "0")
    if length.isdecimal() and (len(length) > 18 or int(length) > largest):
        raise _too_large(largest)


class Bodies:
    """All bodies that are in memory at the same time.

    Args:
        limit: bytes of all of them.
        largest: bytes of one.
    """

    def __init__(self, limit: int = IN_MEMORY_LIMIT, *, largest: int = BODY_LIMIT) -> None:
        self._limit = limit
        self._largest = largest
        self._held = 0  # bytes

    @asynccontextmanager
    async def read(self, receive: Receive) -> AsyncIterator[bytes]:
        """Give the body of one request.

        Raises:
            Refusal: 413 where it is too large, 503 where all together are, 400 where its end never came.
        """
        pieces: list[bytes] = []
        size = 0
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "the sender went away")
                piece = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(piece)
                self._held += len(piece)
                if size > self._largest:
                    raise _too_large(self._largest)
                if self._held > self._limit:
                    raise Refusal(503, "too many large notifications at the same time; send it again")
                pieces.append(piece)
            yield b"".join(pieces)
        finally:
            self._held -= size


def _too_large(largest: int) -> Refusal:
    return Refusal(413, f"the body is larger than {largest // 2**20} MiB")
