"""Short-lived permissions that Slack hands to an app with every interaction.

A *trigger id* opens or pushes one modal, once, within three seconds.  A *response URL* posts up
to five messages within thirty minutes.  Tests give their own clock.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from bot.practice.refusals import MethodRefusedError

TRIGGER_LIFETIME = 3.0  # seconds
RESPONSE_URL_LIFETIME = 30 * 60.0  # seconds
RESPONSE_URL_USES = 5

Clock = Callable[[], float]
"""Seconds since the epoch."""


@dataclass
class Trigger:
    """Who may be shown a modal, until when, and whether that was done."""

    person: str
    expires_at: float
    exchanged: bool = False


class Triggers:
    """All trigger ids that were given out.

    Attributes:
        lifetime: seconds for which one can be used; tests of slow machines lengthen it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.lifetime = TRIGGER_LIFETIME
        self._issued: dict[str, Trigger] = {}

    def issue(self, person: str) -> str:
        """Return a new trigger id for an interaction of this person."""
        identifier = f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        self._issued[identifier] = Trigger(person, self._clock() + self.lifetime)
        return identifier

    def exchange(self, identifier: str) -> str:
        """Use up a trigger id and return the person it is for.

        Raises:
            MethodRefusedError: `invalid_trigger_id`, `expired_trigger_id` or `exchanged_trigger_id`.
        """
        trigger = self._issued.get(identifier)
        if trigger is None:
            raise MethodRefusedError("invalid_trigger_id")
        if trigger.exchanged:
            raise MethodRefusedError("exchanged_trigger_id")
        if self._clock() >= trigger.expires_at:
            raise MethodRefusedError("expired_trigger_id")
        trigger.exchanged = True
        return trigger.person


@dataclass
class ResponseAddress:
    """Where a response URL leads.

    Attributes:
        ts: the message that was pressed; empty for a slash command.
        only_for: whose ephemeral message it was; empty if everybody saw it.
    """

    person: str
    channel: str
    expires_at: float
    ts: str = ""
    thread_ts: str = ""
    only_for: str = ""
    uses_left: int = RESPONSE_URL_USES


class ResponseUrls:
    """All response URLs that were given out, by their secret path."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issued: dict[str, ResponseAddress] = {}

    def issue(
        self, person: str, channel: str, *, ts: str = "", thread_ts: str = "", only_for: str = ""
    ) -> str:
        """Return the secret part of a new response URL."""
        secret = secrets.token_urlsafe(18)
        expires_at = self._clock() + RESPONSE_URL_LIFETIME
        self._issued[secret] = ResponseAddress(person, channel, expires_at, ts, thread_ts, only_for)
        return secret

    def use(self, secret: str) -> ResponseAddress:
        """Take one use off the URL and return where it leads.

        Raises:
            MethodRefusedError: `expired_url` or `used_url`.
        """
        address = self._issued.get(secret)
        if address is None or self._clock() >= address.expires_at:
            raise MethodRefusedError("expired_url")
        if address.uses_left == 0:
            raise MethodRefusedError("used_url")
        address.uses_left -= 1
        return address
