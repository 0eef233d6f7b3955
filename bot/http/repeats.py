"""Bodies that were taken in a moment ago, so that a byte-equal repetition costs one hash.

A repetition may be shed only while it says nothing new.  When an alert fires, is resolved and
fires again, the third body can equal the first byte for byte; so whatever is told anew of an
alert makes every earlier body about that alert count as new again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class _Remembered:
    taken_at: float
    alerts: tuple[Hashable, ...]


class RepeatedBodies:
    """Which bodies were durably taken in within the duplicate window.

    Attributes:
        clock: monotonic seconds.
        limit: how many alerts, in all bodies together, are remembered at most.
    """

    def __init__(self, window: timedelta, *, clock: Callable[[], float], limit: int = 50_000) -> None:
        self._window = window.total_seconds()
        self._clock = clock
        self._limit = limit
        self._bodies: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._about: dict[Hashable, set[bytes]] = {}
        self._size = 0

    def alerts_in(self, body: bytes) -> int | None:
        """Return how many alerts the body with the hash `body` repeats; None where it is to be read."""
        remembered = self._bodies.get(body)
        if remembered is None or self._clock() - remembered.taken_at >= self._window:
            return None
        return len(remembered.alerts)

    def remember(self, body: bytes, alerts: Iterable[Hashable], *, news: bool) -> None:
        """Remember `body` as taken in.

        Args:
            body: its hash.
            alerts: what identifies each of its alerts, whatever its status.
            news: it told something that the inbox had not heard; earlier bodies about the same
                alerts are forgotten.
        """
        told = tuple(alerts)
        if news:
            for other in {other for each in told for other in self._about.get(each, ())}:
                self._forget(other)
        self._forget(body)
        self._bodies[body] = _Remembered(self._clock(), told)
        self._size += len(told) + 1
        for each in told:
            self._about.setdefault(each, set()).add(body)
        while self._size > self._limit:
            self._forget(next(iter(self._bodies)))

    def _forget(self, body: bytes) -> None:
        remembered = self._bodies.pop(body, None)
        if remembered is None:
            return
        self._size -= len(remembered.alerts) + 1
        for each in remembered.alerts:
            about = self._about.get(each, set())
            about.discard(body)
            if not about:
                self._about.pop(each, None)
