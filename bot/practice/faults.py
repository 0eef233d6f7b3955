"""Faults that tests and curious people can switch on: errors, slowness, lost and doubled deliveries.

Nothing fails here unless somebody asked for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

EVERY_METHOD = "*"


@dataclass(frozen=True)
class MethodFault:
    """What happens to one call.

    Attributes:
        status: the HTTP status to answer with; 200 means that the method is carried out.
        retry_after: seconds, in the header of a 429.
        channel: the id of the only channel that it is about; empty where it is about all.
        error: answer `ok: false` with this word instead of doing anything.
        delay: seconds before anything else.
    """

    status: int = 200
    retry_after: int = 1
    error: str = ""
    delay: float = 0.0
    channel: str = ""


class Delivery(StrEnum):
    """What happens to one delivery."""

    NORMAL = "normal"
    TWICE = "twice"
    LOST = "lost"


class Faults:
    """The faults that are waiting to happen, in the order in which they were switched on.

    Attributes:
        away: the app reaches nothing while this is set.
    """

    def __init__(self) -> None:
        self.away = False
        self._methods: dict[str, deque[MethodFault]] = {}
        self._deliveries: deque[Delivery] = deque()

    def fail(
        self, method: str, *, times: int = 1, status: int = 429, retry_after: int = 1, channel: str = ""
    ) -> None:
        """Answer the next `times` calls of `method` (`*`: of any), in this channel if one is named, with this HTTP status."""
        self._add(method, times, MethodFault(status=status, retry_after=retry_after, channel=channel))

    def refuse(self, method: str, error: str, *, times: int = 1, channel: str = "") -> None:
        """Answer the next `times` calls with `ok: false` and this error."""
        self._add(method, times, MethodFault(error=error, channel=channel))

    def slow(self, method: str, *, seconds: float, times: int = 1, channel: str = "") -> None:
        """Carry out the next `times` calls, but `seconds` later."""
        self._add(method, times, MethodFault(delay=seconds, channel=channel))

    def deliver_twice(self, times: int = 1) -> None:
        """Make each of the next `times` deliveries twice."""
        self._deliveries.extend([Delivery.TWICE] * times)

    def lose(self, times: int = 1) -> None:
        """Make none of the next `times` deliveries; the person sees that the app does not answer."""
        self._deliveries.extend([Delivery.LOST] * times)

    def clear(self) -> None:
        """Switch everything off."""
        self.away = False
        self._methods.clear()
        self._deliveries.clear()

    def next_call(self, method: str, channel: str = "") -> MethodFault:
        """Return what happens to this call, in the channel with this id."""
        for name in (method, EVERY_METHOD):
            waiting = self._methods.get(name, deque())
            for fault in waiting:
                if fault.channel in {"", channel}:
                    waiting.remove(fault)
                    return fault
        return MethodFault()

    def next_delivery(self) -> Delivery:
        """Return what happens to this delivery."""
        return self._deliveries.popleft() if self._deliveries else Delivery.NORMAL

    def waiting(self) -> Mapping[str, int]:
        """Return how many faults are still to come, by method, and `deliveries`."""
        counts = {name: len(queue) for name, queue in self._methods.items() if queue}
        return {**counts, **({"deliveries": len(self._deliveries)} if self._deliveries else {})}

    def _add(self, method: str, times: int, fault: MethodFault) -> None:
        self._methods.setdefault(method, deque()).extend([fault] * times)
