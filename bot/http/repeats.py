"""Bodies that were read a moment ago, so that a byte-equal repetition costs one hash.

What is remembered of a body is only what it said.  Whether that is still the last word about each
of its alerts is another question, which `activities.ledger.last_words` answers: when an alert
fires, is resolved and fires again, the third body can equal the first byte for byte, and is news.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from activities.ledger.last_words import Word


class RepeatedBodies:
    """What the bodies that were read last have said.

    Attributes:
        limit: how many alerts, in all bodies together, are remembered at most.
    """

    def __init__(self, limit: int = 50_000) -> None:
        self._limit = limit
        self._bodies: OrderedDict[bytes, tuple[Word, ...]] = OrderedDict()
        self._size = 0

    def words_in(self, body: bytes) -> tuple[Word, ...] | None:
        """Return what the body with the hash `body` says; None where it is to be read."""
        return self._bodies.get(body)

    def remember(self, body: bytes, words: Sequence[Word]) -> None:
        """Remember what the body with the hash `body` says.  The oldest bodies are forgotten."""
        self._forget(body)
        self._bodies[body] = tuple(words)
        self._size += len(words) + 1
        while self._size > self._limit:
            self._forget(next(iter(self._bodies)))

    def _forget(self, body: bytes) -> None:
        words = self._bodies.pop(body, None)
        if words is not None:
            self._size -= len(words) + 1
