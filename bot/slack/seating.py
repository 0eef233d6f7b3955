"""Seating: which message of the channel shows a remediation, alone or with others.

    alerts of one group         one message for the incident, as Alertmanager has put them together
    a storm                     one message for all that comes while it lasts
    anything else               a message of its own

A message with one remediation is a card; as soon as a second one sits there it is a board
(`bot.slack.board`).  A group that holds everything (no `group_by`) says nothing about what belongs
together, so it is no incident.

A storm is more than a few new messages within a minute, whatever they are about: beyond that, nobody
reads each of them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.slack.sender import Posted
from bot.slack.text import code
from runbooks.errors import ParamedicError
from runbooks.model.alert import Alert

NEW_MESSAGES = 4
"""New messages within `MINUTE` that are still read one by one; what comes beyond them shares one."""

MINUTE = timedelta(minutes=1)

STORM_LASTS = timedelta(minutes=5)
"""How long after the last one that came in a storm's message takes in another."""

INCIDENT_LASTS = timedelta(hours=1)
"""The same for the message of a group of alerts: what comes later is another incident."""

SEATS = 300
"""Remediations that share one message at most."""

TRIES = 3
"""How often the first of a message may fail to post it before one of those who wait may try."""

STORM = "storm"
_UNGROUPED = ":{}"


class SpotGivenUpError(ParamedicError):
    """Whoever was to post the message does not; those who wait for it take a seat anew."""

    code = "spot_given_up"

    def __init__(self) -> None:
        super().__init__("the message that it was to share was not posted; it is seated anew")


@dataclass
class Spot:
    """One message of the channel, posted or about to be.

    Attributes:
        keys: what it is known by; empty: nobody can join.
        lasts: how long after `last_at` others may join.
        failures: how often it could not be posted.
        posted: where it is; fails with `SpotGivenUpError` where it will not be posted.
    """

    keys: set[str]
    lasts: timedelta
    last_at: datetime
    taken: int = 1
    failures: int = 0
    posted: asyncio.Future[Posted] = field(default_factory=asyncio.Future)

    def takes_in(self, now: datetime) -> bool:
        """Return whether another remediation may join."""
        return now - self.last_at <= self.lasts and self.taken < SEATS


class Seating:
    """Says which message a new remediation belongs to.

    Args:
        clock: the time of day.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._spots: dict[str, Spot] = {}
        self._begun: deque[tuple[datetime, Spot]] = deque()

    def restore(self, known: Iterable[tuple[str, Posted]]) -> None:
        """Take over from an earlier process which messages others could still join."""
        for key, place in known:
            lasts = STORM_LASTS if key == STORM else INCIDENT_LASTS
            spot = Spot({key}, lasts, self._clock())
            spot.posted.set_result(place)
            self._spots[key] = spot

    def seat(self, alert: Alert | None) -> tuple[Spot, bool]:
        """Return the message for a new remediation, and whether the caller is the first there and must post it."""
        now, group = self._clock(), group_key(alert)
        if group and (spot := self._joined(group, now)):
            return spot, False
        storm = self._is_storm(now)
        if storm and (spot := self._joined(STORM, now)):
            self._name(spot, group)
            return spot, False
        spot = Spot(set(), STORM_LASTS if storm else INCIDENT_LASTS, now)
        self._name(spot, group)
        self._name(spot, STORM if storm else "")
        self._begun.append((now, spot))
        return spot, True

    def failed(self, spot: Spot) -> None:
        """Note that a message could not be posted; after a few times one that others wait for is given up."""
        spot.failures += 1
        if spot.keys and spot.failures >= TRIES:
            self.give_up(spot)

    def give_up(self, spot: Spot) -> None:
        """Let nobody join, or wait for, a message that is not going to be posted."""
        self._spots = {key: known for key, known in self._spots.items() if known is not spot}
        self._begun = deque(begun for begun in self._begun if begun[1] is not spot)
        spot.posted.set_exception(SpotGivenUpError())
        spot.posted.exception()  # often nobody waits, and asyncio would complain

    def _joined(self, key: str, now: datetime) -> Spot | None:
        spot = self._spots.get(key)
        if spot is None or not spot.takes_in(now):
            return None
        spot.last_at = now
        spot.taken += 1
        return spot

    def _name(self, spot: Spot, key: str) -> None:
        if key:
            spot.keys.add(key)
            self._spots[key] = spot

    def _is_storm(self, now: datetime) -> bool:
        while self._begun and now - self._begun[0][0] > MINUTE:
            self._begun.popleft()
        return len(self._begun) >= NEW_MESSAGES


def group_key(alert: Alert | None) -> str:
    """Return the key of the alert's incident, of bounded length; empty where it belongs to none."""
    if alert is None or not alert.group_key or alert.group_key.endswith(_UNGROUPED):
        return ""
    return "group " + hashlib.sha256(alert.group_key.encode(errors="surrogatepass")).hexdigest()[:32]


def lead_of(alerts: Iterable[Alert | None]) -> str:
    """Return, escaped, why remediations of these alerts share a message."""
    groups = {alert.group_key if group_key(alert) and alert else "" for alert in alerts}
    if len(groups) == 1 and (only := groups.pop()):
        labels = only.rpartition(":{")[2].removesuffix("}") or only
        return f"*One incident*, alerts of the group {code(labels, 200)}"
    return "*Much at once.* What came within a short time shares this message; each is asked, done and recorded on its own."
