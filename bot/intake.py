"""Intake: alerts become entries of the inbox, durable before anybody is told so.

For each alert: which runbooks it is for, what they would act on, and a transaction in which all
that is new is written.  An alert whose target cannot be rendered is explained in that same
transaction, so that there is no moment at which nothing is known of it.

What was taken in is remembered, so that in a storm most repetitions need no transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from activities.ledger import inbox, remediations
from activities.ledger.blobs import Blob
from activities.ledger.inbox import Delivery, InboxEntry, Said
from activities.ledger.last_words import Heard, LastWords, Word
from activities.ledger.store import Ledger, Transaction
from bot.catalog import Catalog
from runbooks.model.alert import Alert

AT_ONCE = 500
"""How many alerts share a transaction: one of 20,000 would keep all other senders waiting."""

NO_TARGET = "target_not_rendered"
"""The reason on record where a runbook matched and it cannot be said what it would act on."""

log = structlog.get_logger(__name__)

Wake = Callable[[Sequence[InboxEntry]], None]
Withheld = Mapping[tuple[str, str], str]
"""Why some deliveries go no further than the inbox, by their addresses."""


@dataclass(frozen=True, slots=True)
class Way:
    """One alert on its way to one runbook, or to nobody.

    Attributes:
        withheld: why it goes no further than the inbox, one sentence; empty where it does.
    """

    delivery: Delivery
    withheld: str = ""


@dataclass(frozen=True, slots=True)
class Addressed:
    """One alert on all its ways.

    Attributes:
        word: what was said of it; None where that cannot be recognised when it is said again.
    """

    ways: tuple[Way, ...]
    word: Word | None = None


@dataclass(frozen=True)
class Taken:
    """What became of a notification, counted in deliveries: one alert may be for several runbooks.

    Attributes:
        accepted: new, and for a runbook.
        duplicates: said before, within the duplicate window.
        unmatched: new, and for no runbook.
    """

    accepted: int = 0
    duplicates: int = 0
    unmatched: int = 0

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            self.accepted + other.accepted,
            self.duplicates + other.duplicates,
            self.unmatched + other.unmatched,
        )

    @property
    def news(self) -> bool:
        """Whether anything was said that was not known."""
        return self.accepted + self.unmatched > 0


class Intake:
    """Takes alerts in.

    Attributes:
        catalog: the runbooks in force; replaced as a whole after a reload, its versions being kept.
        wake: is told of new entries at once, so that they need not be looked for.
    """

    def __init__(self, ledger: Ledger, catalog: Catalog, *, duplicate_window: timedelta, wake: Wake) -> None:
        self.catalog = catalog
        self.duplicate_window = duplicate_window
        self.wake = wake
        self._ledger = ledger
        self._last = LastWords(duplicate_window)

    def owner_of(self, runbook: str) -> str:
        """Return who keeps a runbook, by the catalog in force."""
        return self.catalog.owner_of(runbook)

    def repeats(self, words: Sequence[Word | None]) -> list[int]:
        """Return for each word how many deliveries it repeats; 0 where it may be news.

        It may run in a thread.  It holds only where `is_alone` says so afterwards.
        """
        at = datetime.now(UTC)
        return [0 if word is None else self._last.repeats(word, at) for word in words]

    async def is_alone(self) -> bool:
        """Return whether nobody else has written alerts into the inbox that are not known here.

        Raises:
            LedgerError: that cannot be said.
        """
        return await self._ledger.read(inbox.newest) <= self._last.newest

    def address(self, alerts: Sequence[tuple[Alert, Word | None]], sender: str) -> list[Addressed]:
        """Return where these alerts go.  Pure, and may run in a thread."""
        catalog = self.catalog
        return [Addressed(tuple(_ways(catalog, alert, sender)), word) for alert, word in alerts]

    async def take(self, addressed: Sequence[Addressed], raw: Blob | None = None) -> Taken:
        """Write what is new into the inbox; durable when this returns.

        Args:
            raw: the body that it came in.

        Raises:
            LedgerError: not all of it is; the same again is harmless.
        """
        taken = Taken()
        for begin in range(0, len(addressed), AT_ONCE):
            taken += await self._take_some(addressed[begin : begin + AT_ONCE], raw)
        return taken

    async def _take_some(self, addressed: Sequence[Addressed], raw: Blob | None) -> Taken:
        at = datetime.now(UTC)
        withheld = _withheld(addressed)
        acceptance = await self._ledger.write(
            lambda transaction: self._accept(transaction, addressed, withheld, at, raw)
        )
        entries = acceptance.entries
        for entry in entries:
            if problem := withheld.get(_address_of(entry)):
                log.warning(
                    "an alert is not acted on: it names no target", entry=entry.entry, problem=problem
                )
        self.wake([entry for entry in entries if entry.runbook and _address_of(entry) not in withheld])
        accepted = sum(1 for entry in entries if entry.runbook)
        return Taken(accepted, acceptance.duplicates, len(entries) - accepted)

    def _accept(
        self,
        transaction: Transaction,
        addressed: Sequence[Addressed],
        withheld: Withheld,
        at: datetime,
        raw: Blob | None,
    ) -> inbox.Acceptance:
        before = inbox.newest(transaction.tables)
        acceptance = inbox.accept(
            transaction,
            [way.delivery for each in addressed for way in each.ways],
            at=at,
            duplicate_window=self.duplicate_window,
            raw=raw,
        )
        heard = list(_heard(addressed, acceptance.said))
        newest = max(before, acceptance.newest)
        transaction.when_committed(lambda: self._last.move(heard, before=before, newest=newest))
        if withheld:
            stopped = [entry for entry in acceptance.entries if _address_of(entry) in withheld]
            for entry in stopped:
                remediations.explain(transaction, entry, NO_TARGET, withheld[_address_of(entry)], at=at)
            inbox.done(transaction, [entry.entry for entry in stopped], at=at)
        return acceptance


def _heard(addressed: Sequence[Addressed], said: Sequence[Said]) -> Iterator[Heard]:
    """Yield what was said of each alert, `said` being what the inbox knows of each delivery in turn."""
    answers = iter(said)
    for each in addressed:
        known = [next(answers) for _ in each.ways]
        word = each.word or Word(
            known[0].fingerprint, b""
        )  # one that nobody repeats, but the last all the same
        yield Heard(word, min(one.since for one in known), len(known))


def _ways(catalog: Catalog, alert: Alert, sender: str) -> list[Way]:
    said = alert.delivery
    matched = catalog.match(alert)
    if not matched:
        return [Way(Delivery(delivery=said, runbook="", target="", alert=alert, sender=sender))]
    return [
        Way(
            Delivery(
                delivery=said,
                runbook=match.runbook.name,
                runbook_digest=match.runbook.digest,
                target=match.target,
                alert=alert,
                sender=sender,
            ),
            withheld=f"{alert.name} for {match.runbook.name}: {match.error}" if match.error else "",
        )
        for match in matched
    ]


def _withheld(addressed: Sequence[Addressed]) -> Withheld:
    ways = (way for each in addressed for way in each.ways)
    return {_address_of(way.delivery): way.withheld for way in ways if way.withheld}


def _address_of(delivery: Delivery | InboxEntry) -> tuple[str, str]:
    return delivery.delivery, delivery.runbook
