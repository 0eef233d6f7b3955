"""How often a method may be called: Slack's tiers, and one message a second in a channel.

Slack counts by method and by the minute, and lets short bursts pass.  Where it says no, it says
for how many seconds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

MINUTE = 60.0  # seconds

PER_MINUTE: Mapping[str, int] = {
    "apps.connections.open": 20,  # documented as one a minute, with bursts
    "chat.postMessage": 60,  # one a second for each channel
    "chat.update": 50,  # tier 3
    "chat.delete": 50,
    "chat.postEphemeral": 100,  # tier 4
    "usergroups.list": 20,  # tier 2
    "usergroups.users.list": 20,
    "users.info": 100,
    "users.list": 20,
    "users.lookupByEmail": 50,
    "views.open": 100,
    "views.push": 100,
    "views.update": 100,
    "views.publish": 100,
    "conversations.list": 20,
}
"""Calls of one minute; a method that is not here is not limited."""

BY_CHANNEL = frozenset({"chat.postMessage"})


class RateLimits:
    """Counts the calls of the last minute.

    Args:
        clock: seconds.
        enforced: whether too many are refused.
    """

    def __init__(self, clock: Callable[[], float], *, enforced: bool) -> None:
        self._clock = clock
        self._calls: dict[tuple[str, str], deque[float]] = {}
        self.enforced = enforced

    def switch(self, *, on: bool = True) -> None:
        """Enforce the limits, or do not."""
        self.enforced = on

    def pause(self, method: str, channel: str) -> int:
        """Count one call; return nought, or the seconds to wait where it is one too many."""
        limit = PER_MINUTE.get(method)
        if limit is None or not self.enforced:
            return 0
        now = self._clock()
        calls = self._calls.setdefault((method, channel if method in BY_CHANNEL else ""), deque())
        while calls and calls[0] <= now - MINUTE:
            calls.popleft()
        if len(calls) >= limit:
            return max(1, math.ceil(calls[0] + MINUTE - now))
        calls.append(now)
        return 0
