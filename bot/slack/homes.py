"""Home tabs kept up to date, for those who look at them, and at a pace that Slack allows.

Slack says when somebody opens the tab, and never when they leave it.  So whoever has opened it counts
as looking for a while.  When something changes, their tabs are published anew: each only if it would
look different, and at most once in some seconds, however much goes on.  Who is in which group is
remembered for a minute here, for that decides only what is shown; an answer is judged by asking anew.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError, SlackClientError, SlackObjectFormationError
from slack_sdk.web.async_client import AsyncWebClient

from activities.ledger import records
from activities.ledger.store import Ledger
from bot.answers import AwayError, PersonRefusedError
from bot.insight import Insight, Overview
from bot.policy.doorkeeper import Doorkeeper, NotPermittedError
from bot.policy.questions import Question, Verb
from bot.slack.block_kit import problems_of_view
from bot.slack.home import Eyes, closed_home, home_view
from bot.slack.people import SlackPeople
from bot.slack.voice import user_of
from runbooks.errors import LedgerError
from runbooks.model.record import RecordKind

LOG = structlog.get_logger("paramedic.slack")

LOOKS_FOR = 900.0
"""Seconds for which somebody who has opened the tab counts as looking at it."""

PAUSE = 5.0
"""Seconds at least between two publications for one person."""

KNOWN_FOR = 60.0
"""Seconds for which it is remembered what a person may see."""

CARD_COMES = 120.0
"""Seconds for which it is looked again for the card of a question that has none: no record says when one is posted."""

LOOKERS = 100
"""People whose tabs are kept up to date; of more, those who came last."""

SHOWN_KINDS = frozenset(
    {
        RecordKind.ADMISSION,
        RecordKind.PLAN,
        RecordKind.GATE_ASKED,
        RecordKind.GATE_ESCALATED,
        RecordKind.DECISION,
        RecordKind.GATE_CLOSED,
        RecordKind.ACTION_INTENT,
        RecordKind.ACTION_RECEIPT,
        RecordKind.ACTION_UNKNOWN,
        RecordKind.ACTION_REFUSED,
        RecordKind.ENDING,
        RecordKind.FREEZE,
        RecordKind.THAW,
        RecordKind.LEASE_RELEASED,
    }
)

_SLACK_ERRORS = (SlackApiError, SlackClientError, aiohttp.ClientError, OSError, TimeoutError)


@dataclass
class _Looker:
    """Somebody who looks at their tab.

    Attributes:
        until, published_at, known_at: by the monotonic clock, in seconds.
        shown: what was published last, as text.
        groups: of those in `asked`, the ones that they are in.
        refusal: why they may see nothing; empty where they may.
        missed, missed_at: the remediations that ask and have no card, and since when, by the same clock.
        stale: whether something changed since what is shown, or about to be, was read.
    """

    person: str
    until: float
    published_at: float = float("-inf")
    known_at: float = float("-inf")
    shown: str = ""
    asked: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    refusal: str = ""
    missed: frozenset[str] = frozenset()
    missed_at: float = 0.0
    stale: bool = True


@dataclass
class _Links:
    """Addresses of cards.  A message's address never changes, so each is asked for once."""

    client: AsyncWebClient
    known: OrderedDict[tuple[str, str], str] = field(default_factory=OrderedDict)

    async def of(self, channel: str, ts: str) -> str:
        """Return the address of a message; empty where Slack does not tell."""
        if (channel, ts) not in self.known:
            try:
                answer = await self.client.api_call(
                    "chat.getPermalink", params={"channel": channel, "message_ts": ts}
                )
            except _SLACK_ERRORS as error:
                LOG.info("the address of a card is not known", error=str(error))
                return ""
            self.known[channel, ts] = str(answer["permalink"])
            if len(self.known) > 1000:
                self.known.popitem(last=False)
        return self.known[channel, ts]


class Homes:
    """Publishes home tabs.

    Args:
        pause: see `PAUSE`.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        ledger: Ledger,
        insight: Insight,
        people: SlackPeople,
        doorkeeper: Doorkeeper,
        *,
        pause: float = PAUSE,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._insight = insight
        self._people = people
        self._doorkeeper = doorkeeper
        self._pause = pause
        self._clock: Callable[[], float] = time.monotonic
        self._links = _Links(client)
        self._lookers: OrderedDict[str, _Looker] = OrderedDict()
        self._wake = asyncio.Event()

    def opened(self, person: str) -> None:
        """Take note that somebody looks at their tab."""
        known = self._lookers.pop(person, None)
        looker = known or _Looker(person, until=0.0)
        looker.until, looker.stale = self._clock() + LOOKS_FOR, True
        self._lookers[person] = looker
        if len(self._lookers) > LOOKERS:
            self._lookers.popitem(last=False)
        self._wake.set()

    async def run(self) -> None:
        """Keep tabs up to date until cancelled."""
        async with asyncio.TaskGroup() as together:
            together.create_task(self._watch())
            while True:
                await self._publish_all()
                await self._rest()

    async def _watch(self) -> None:
        """Notice what changes what tabs show."""
        while True:
            try:
                last = await self._ledger.read(records.size) - 1
                self._mark(self._lookers.values())  # nobody watched until now
                async for _ in self._ledger.follow(last, kinds=SHOWN_KINDS):
                    self._mark(self._lookers.values())
            except LedgerError as error:
                LOG.warning("home tabs cannot be kept up to date", error=str(error))
            await asyncio.sleep(self._pause)

    def _mark(self, lookers: Iterable[_Looker]) -> None:
        for looker in lookers:
            looker.stale = True
        self._wake.set()

    async def _rest(self) -> None:
        """Wait until there is something to publish, and somebody may be published to again."""
        self._wake.clear()
        waiting = [each.published_at + self._pause for each in self._lookers.values() if each.stale]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(waiting) - self._clock()) if waiting else None):
                await self._wake.wait()

    async def _publish_all(self) -> None:
        now = self._clock()
        for person in [each.person for each in self._lookers.values() if each.until < now]:
            del self._lookers[person]
        due = [
            each for each in self._lookers.values() if each.stale and each.published_at + self._pause <= now
        ]
        if not due:
            return
        for each in due:
            each.published_at = now
            each.stale = False  # before anything is read: what changes from here on may not be in it
        try:
            seen = await self._insight.overview()
        except LedgerError as error:
            LOG.warning("home tabs cannot be published", error=str(error))
            self._mark(due)
            return
        for each in due:
            await self._publish(each, seen)

    async def _publish(self, looker: _Looker, seen: Overview) -> None:
        try:
            await self._get_to_know(looker, seen)
            view = await self._view(looker, seen)
            shown = json.dumps(view, sort_keys=True)
            if shown == looker.shown:
                return
            await self._client.api_call(
                "views.publish", json={"user_id": user_of(looker.person), "view": view}
            )
            looker.shown = shown
        except (AwayError, *_SLACK_ERRORS) as error:
            looker.stale = True  # after the pause
            LOG.warning("a home tab cannot be published", person=looker.person, error=str(error))
        except Exception:  # one odd tab must not take all others away
            LOG.exception("a home tab cannot be published", person=looker.person)

    async def _get_to_know(self, looker: _Looker, seen: Overview) -> None:
        """Find out what this person may see, unless that is known."""
        asked = frozenset(group for gate in seen.status.gates for group in gate.approvers)
        if asked <= looker.asked and self._clock() - looker.known_at < KNOWN_FOR:
            return
        looker.refusal = ""
        try:
            await self._doorkeeper.admit(looker.person, Question(verb=Verb.READ))
            known = await self._people.know(looker.person, sorted(asked))
        except (NotPermittedError, PersonRefusedError) as error:
            looker.refusal = str(error)
        else:
            looker.groups = frozenset(known.groups)
        looker.asked, looker.known_at = asked, self._clock()

    def _wait_for_cards(self, looker: _Looker, missed: frozenset[str]) -> None:
        """Let a tab be made again, after the pause, while the card of a question may be about to come."""
        if missed != looker.missed:
            looker.missed, looker.missed_at = missed, self._clock()
        if missed and self._clock() - looker.missed_at < CARD_COMES:
            looker.stale = True

    async def _view(self, looker: _Looker, seen: Overview) -> dict[str, Any]:
        if looker.refusal:
            return closed_home(f"That is not for you: {looker.refusal}.")
        links = {
            remediation: await self._links.of(card.channel, card.ts)
            for remediation, card in seen.cards.items()
        }
        asking = {gate.remediation for gate in seen.status.gates}
        self._wait_for_cards(looker, frozenset(each for each in asking if not links.get(each)))
        try:
            view = home_view(seen, Eyes(groups=looker.groups, links=links))
            problems = [str(each) for each in problems_of_view(view)]
        except SlackObjectFormationError as error:
            problems = [str(error)]
        if not problems:
            return view
        LOG.error("a home tab breaks Slack's rules; a plain one is published", problems=problems)
        return closed_home("Something here cannot be shown. Type /runbook status instead.")
