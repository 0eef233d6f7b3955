"""The last words of each alert, kept in memory, so that a storm of repetitions costs no transaction.

The inbox knows best what was said last of an alert, but to ask it takes a place in the queue of the
ledger's writer, and in a storm nine deliveries of ten say nothing new.  So what a transaction has
found or written is remembered, in the order of the commits: a word that is remembered here stands
there, and nothing else was taken in about that alert since.  What waits to be taken in is another
question, which comes first (`bot.tray`).

That holds for as long as nobody else writes alerts into the same inbox.  Whoever relies on it
compares `newest` with the inbox, and each transaction does as well: after the first alert that
came in elsewhere, everything is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

NOTHING = -1
"""The `newest` of an inbox without alerts."""


class Word(NamedTuple):
    """What was said of one alert.

    Attributes:
        about: the alert's fingerprint.
        said: a digest of all that decides where the alert goes and whether it is news.
    """

    about: str
    said: bytes


class Heard(NamedTuple):
    """A word that was written down.

    Attributes:
        since: when it was said first; a repetition does not make it younger.
        deliveries: how many runbooks it went to; 1 where it went to none.
    """

    word: Word
    since: datetime
    deliveries: int


class LastWords:
    """The last word of each alert that was heard lately; the oldest are forgotten beyond `limit`.

    One thread writes, the ledger's; any may ask.
    """

    def __init__(self, window: timedelta, *, limit: int = 50_000) -> None:
        self._window = window
        self._limit = limit
        self._last: dict[str, Heard] = {}
        self._newest = NOTHING

    @property
    def newest(self) -> int:
        """The seq of the newest alert of the inbox, as far as is known here."""
        return self._newest

    def repeats(self, word: Word, at: datetime) -> int:
        """Return how many deliveries `word` repeats at this time; 0 where the inbox has to be asked."""
        last = self._last.get(word.about)
        if last is None or last.word.said != word.said or last.since <= at - self._window:
            return 0
        return last.deliveries

    def move(self, heard: Iterable[Heard], *, before: int, newest: int) -> None:
        """Take note of what a transaction, now committed, has found or written.

        Args:
            before, newest: the seq of the inbox's newest alert when it began and now.
        """
        if before != self._newest:
            self._last.clear()
        self._newest = newest
        for each in heard:
            self._last.pop(each.word.about, None)  # the newest stands last
            self._last[each.word.about] = each
        while len(self._last) > self._limit:
            del self._last[next(iter(self._last))]
