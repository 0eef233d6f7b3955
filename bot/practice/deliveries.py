"""Deliveries: how what people do reaches the app, and what came of it.

There are two carriers, as in Slack: `sockets.Sockets`, which the app opens, and `posts.Posts`,
which calls the app over HTTP.  Whoever delivers does not know which one is in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class Answer(StrEnum):
    """What came of a delivery."""

    ACKNOWLEDGED = "acknowledged"
    TIMED_OUT = "timed_out"
    NOT_CONNECTED = "not_connected"
    REFUSED = "refused"  # over HTTP: the app answered, and not with 2xx


@dataclass(frozen=True)
class Acknowledgement:
    """What the app answered; `payload` is empty where it only said that it had the delivery."""

    answer: Answer
    payload: Mapping[str, Any] = field(default_factory=dict)


class Carrier(Protocol):
    """Brings what people did to the app."""

    @property
    def connected(self) -> bool:
        """Whether something can be delivered now, as far as is known."""

    async def deliver(self, kind: str, payload: Mapping[str, Any]) -> Acknowledgement:
        """Deliver one payload and wait for the app's answer.

        Args:
            kind: `slash_commands`, `interactive` or `events_api`.
            payload: what the app's listeners get as the body.
        """
