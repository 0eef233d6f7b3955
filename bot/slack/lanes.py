"""Lanes: what Slack limits together waits together, and nothing else does.

Slack allows so many messages a minute in each channel, and so many calls of each other method in the
whole workspace; its 429 means that one channel, or that one method.  So there is a lane for each of
them, with its own allowance and its own pause: a channel that has had enough holds up no other.

In a lane the most urgent goes first, and what is equally urgent in the order in which it came.  What
shares a place (a channel for what is posted, a message for what changes it) is never overtaken by
something later of that place while it is under way; what does not may be under way at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Urgency(IntEnum):
    """Who goes first."""

    GATE = 0  # people are asked, or must not press a button any more
    CARD = 1
    PROGRESS = 2
    LINE = 3  # what nobody waits for


@dataclass(frozen=True)
class Limit:
    """How much Slack takes in one lane.

    Attributes:
        per_second: calls in the long run.
        burst: calls that may go out at once after a quiet time.
        at_once: calls that may be under way at the same time, each of another place.
    """

    per_second: float
    burst: int
    at_once: int = 1


@dataclass(order=True)
class Job:
    """One call that is to be made.

    Attributes:
        number: in the order in which they came.
        place: what must see its calls in order.
        keeps_order: whether something later of its place may not overtake it by being more urgent.
        tries: how often it was made, as far as Slack's pauses do not excuse it.
        maybe_sent: one of those may have been carried out.
    """

    urgency: Urgency
    number: int
    method: str = field(compare=False)
    place: str = field(compare=False)
    keeps_order: bool = field(compare=False)
    call: Callable[[], Awaitable[Any]] = field(compare=False)
    answer: asyncio.Future[Any] = field(compare=False)
    tries: int = field(default=0, compare=False)
    maybe_sent: bool = field(default=False, compare=False)


class Lane:
    """The calls that share one limit.

    Args:
        carry_out: makes one call and never raises; what must be made again it adds again.
    """

    def __init__(self, limit: Limit, carry_out: Callable[[Lane, Job], Awaitable[None]]) -> None:
        self._limit = limit
        self._carry_out = carry_out
        self._allowance = float(limit.burst)
        self._counted_at = 0.0
        self._quiet_until = 0.0
        self._waiting: list[Job] = []
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    def add(self, job: Job) -> None:
        """Let a job wait for its turn."""
        if job.keeps_order:
            self._keep_order(job)
        self._waiting.append(job)
        self._changed.set()
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())

    def rest(self, seconds: float) -> None:
        """Make no call for so long."""
        self._quiet_until = max(self._quiet_until, asyncio.get_running_loop().time() + seconds)

    def take_over(self, other: Lane) -> None:
        """Let wait here what waits in another lane, which turned out to be this one; its pause holds here too."""
        self._quiet_until = max(self._quiet_until, other._quiet_until)
        waiting, other._waiting = other._waiting, []
        for job in waiting:
            self.add(job)

    @property
    def is_idle(self) -> bool:
        """Whether it knows nothing that would be missed: no job, no pause, a full allowance."""
        pause = self._pause(asyncio.get_running_loop().time())
        return not (self._waiting or self._under_way or pause > 0 or self._allowance < self._limit.burst)

    def _keep_order(self, job: Job) -> None:
        """Let what came first of its place be as urgent as what came later, so that it goes first."""
        for other in self._waiting:
            if other.place == job.place:
                first = min(other, job, key=lambda each: each.number)
                first.urgency = min(other.urgency, job.urgency)

    async def _work(self) -> None:
        while self._waiting:
            self._changed.clear()
            pause = self._pause(asyncio.get_running_loop().time())
            if pause > 0:
                await asyncio.sleep(pause)  # who goes first is chosen after it: somebody urgent may have come
            elif (job := self._next()) is not None:
                self._begin(job)
            elif self._waiting:
                await self._changed.wait()

    def _pause(self, now: float) -> float:
        """Return the seconds until the next call is allowed, as far as is known now."""
        earned = (now - self._counted_at) * self._limit.per_second
        self._allowance = min(self._limit.burst, self._allowance + earned)
        self._counted_at = now
        missing = max(0.0, 1 - self._allowance) / self._limit.per_second
        return max(missing, self._quiet_until - now)

    def _next(self) -> Job | None:
        """Take the job whose turn it is; None where what waits must wait for what is under way."""
        self._waiting = [job for job in self._waiting if not job.answer.cancelled()]
        if len(self._under_way) >= self._limit.at_once:
            return None
        free = [job for job in self._waiting if job.place not in self._under_way]
        if not free:
            return None
        job = min(free)
        self._waiting.remove(job)
        return job

    def _begin(self, job: Job) -> None:
        self._allowance -= 1
        self._under_way[job.place] = asyncio.create_task(self._finish(job))

    async def _finish(self, job: Job) -> None:
        try:
            await self._carry_out(self, job)
        finally:
            del self._under_way[job.place]
            self._changed.set()
