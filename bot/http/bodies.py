"""Bodies of requests: read piece by piece, up to a limit for each and one for all together.

A header that tells the length is believed where it says "too large" and never otherwise.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Message, Receive

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

    async def read(self, receive: Receive) -> bytes:
        """Return the body of one request, which counts until it is given to `release`.

        Raises:
            Refusal: 413 where it is too large, 503 where all together are, 400 where its end never came.
        """
        pieces: list[bytes] = []
        size = 0
        try:
            more = True
            while more:
                message = await receive()
                pieces.append(message.get("body", b""))
                more = message.get("more_body", False)
                size += len(pieces[-1])
                self._held += len(pieces[-1])
                self._refuse_more(message, size)
        except BaseException:  # the deadline, too: nobody gives back what they did not get
            self._held -= size
            raise
        return b"".join(pieces)

    def _refuse_more(self, message: Message, size: int) -> None:
        """Refuse a body of which `message` is the latest piece and `size` bytes have come."""
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the sender went away")
        if size > self._largest:
            raise _too_large(self._largest)
        if self._held > self._limit:
            raise Refusal(503, "too many large notifications at the same time; send it again")

    def release(self, body: bytes) -> None:
        """Count a body no more."""
        self._held -= len(body)


def _too_large(largest: int) -> Refusal:
    return Refusal(413, f"the body is larger than {largest // 2**20} MiB")
