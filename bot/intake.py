"""Intake: alerts are durable before anybody is told so, and become entries of the inbox.

For each alert: which runbooks it is for, and what they would act on.  What a notification holds that
may be news is put into the tray, where it is durable, and acknowledged; from there it is taken in, in a
transaction in which all that is new is written.  An alert whose target cannot be rendered is explained
in that same transaction, so that there is no moment at which nothing is known of it.

What was taken in is remembered, so that in a storm most repetitions need no transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from activities.ledger import inbox, remediations
from activities.ledger.blobs import KEPT_LIMIT, Blob
from activities.ledger.inbox import Delivery, InboxEntry, Said
from activities.ledger.last_words import Heard, LastWords, Word
from activities.ledger.store import Ledger, Transaction
from bot.catalog import Catalog
from bot.http.payload import parse_notification
from bot.pending import Addressed, Notice, Pending, Way
from bot.tray import AT_ONCE, MEDIA, Tray
from runbooks.model.alert import Alert

NO_TARGET = "target_not_rendered"
"""The reason on record where a runbook matched and it cannot be said what it would act on."""

log = structlog.get_logger(__name__)

Wake = Callable[[Sequence[InboxEntry]], None]
Withheld = Mapping[tuple[str, str], str]
"""Why some deliveries go no further than the inbox, by their addresses."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a body says.

    Attributes:
        words: one for each alert.
        repeated: how many deliveries say nothing new.
        fresh: the alerts that may be news.
        truncated: how many alerts the sender cut off.
    """

    words: Sequence[Word | None]
    repeated: int
    fresh: Sequence[Addressed]
    truncated: int


@dataclass(frozen=True)
class Taken:
    """What became of a notification, counted in deliveries: one alert may be for several runbooks.

    Attributes:
        accepted: durable, and for a runbook; not known to be repetitions.
        duplicates: said before, within the duplicate window.
        unmatched: durable, and for no runbook.
    """

    accepted: int = 0
    duplicates: int = 0
    unmatched: int = 0


class Intake:
    """Takes alerts in.

    Attributes:
        catalog: the runbooks in force; replaced as a whole after a reload, its versions being kept.
        wake: is told of new entries at once, so that they need not be looked for.
        suppressed: is told how many deliveries turned out to be repetitions.
    """

    def __init__(
        self,
        ledger: Ledger,
        catalog: Catalog,
        *,
        duplicate_window: timedelta,
        wake: Wake,
        suppressed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.catalog = catalog
        self.duplicate_window = duplicate_window
        self.wake = wake
        self.suppressed = suppressed
        self._ledger = ledger
        self._last = LastWords(duplicate_window)
        self._pending = Pending()
        self._tray = Tray(
            ledger, self._pending, accept=self._accept, settle=self._settle, read=self._read_anew
        )

    def owner_of(self, runbook: str) -> str:
        """Return who keeps a runbook, by the catalog in force."""
        return self.catalog.owner_of(runbook)

    @property
    def round(self) -> int:
        """What `is_alone` has to know: what it was before anybody looked for repetitions."""
        return self._pending.round

    def repeats(self, words: Sequence[Word | None]) -> list[int]:
        """Return for each word how many deliveries it repeats; 0 where it may be news.

        It may run in a thread.  It holds only where `is_alone` says so afterwards, given the `round` before.
        """
        at = datetime.now(UTC)
        return [0 if word is None else self._repeats(word, at) for word in words]

    def _repeats(self, word: Word, at: datetime) -> int:
        waiting = self._pending.repeats(word, at - self.duplicate_window)
        return self._last.repeats(word, at) if waiting is None else waiting

    async def is_alone(self, since: int) -> bool:
        """Return whether nobody else has received or written alerts that were not known here in the round `since`.

        Raises:
            LedgerError: that cannot be said.
        """
        is_shared = self._tray.is_shared()
        shared, newest = await self._ledger.read(lambda tables: (is_shared(tables), inbox.newest(tables)))
        return not shared and newest <= self._last.newest and since == self.round

    def read(self, body: bytes, sender: str, *, shed: bool = True) -> Reading:
        """Return what a body says, and where its alerts go.  It may run in a thread.

        Args:
            shed: leave out what repeats the last word about its alert.

        Raises:
            PayloadError: it is no notification.
        """
        said, catalog = parse_notification(body), self.catalog
        words = [said.word(number, catalog.digest) for number in range(len(said.items))]
        repeats = self.repeats(words) if shed else [0] * len(words)
        fresh = [
            _address(catalog, said.alert(number), words[number], sender)
            for number, repeated in enumerate(repeats)
            if not repeated
        ]
        return Reading(words, sum(repeats), fresh, said.truncated)

    def _read_anew(self, body: bytes, sender: str) -> Sequence[Addressed]:
        return self.read(body, sender, shed=False).fresh

    async def take(self, addressed: Sequence[Addressed], body: bytes, sender: str) -> Taken:
        """Make what may be news durable.  It is taken in soon after; what is too much at once, before this returns.

        Args:
            body: what it came in.
            sender: who delivered it, as authenticated.

        Raises:
            LedgerError: not all of it is durable; the same again is harmless.
        """
        raw, at = Blob(MEDIA, body), datetime.now(UTC)
        if len(addressed) <= AT_ONCE and len(body) <= KEPT_LIMIT:
            await self._tray.keep(Notice(addressed, raw, at), sender)
            matched = sum(1 for each in addressed for way in each.ways if way.delivery.runbook)
            return Taken(matched, 0, sum(len(each.ways) for each in addressed) - matched)
        await self._tray.taken_in()  # what was acknowledged before comes first
        entries = duplicates = matched = 0
        for begin in range(0, len(addressed), AT_ONCE):
            some = Notice(addressed[begin : begin + AT_ONCE], raw, datetime.now(UTC))
            acceptance = await self._ledger.write(lambda t: self._accept(t, some))  # noqa: B023 - awaited here
            self._settle(some, acceptance)
            entries += len(acceptance.entries)
            duplicates += acceptance.duplicates
            matched += sum(1 for entry in acceptance.entries if entry.runbook)
        return Taken(matched, duplicates, entries - matched)

    async def run(self) -> None:
        """Take in what was acknowledged, first what an earlier process has left, until `stop`."""
        await self._tray.run()

    def stop(self) -> None:
        """Let `run` end when it has taken in what is there; what it cannot is left to the next process."""
        self._tray.stop()

    async def taken_in(self) -> None:
        """Return when all that was acknowledged until now has been taken in."""
        await self._tray.taken_in()

    def _accept(self, transaction: Transaction, notice: Notice) -> inbox.Acceptance:
        before = inbox.newest(transaction.tables)
        acceptance = inbox.accept(
            transaction,
            [way.delivery for each in notice.addressed for way in each.ways],
            at=notice.received_at,
            duplicate_window=self.duplicate_window,
            raw=notice.raw,
        )
        heard = list(_heard(notice.addressed, acceptance.said))
        newest = max(before, acceptance.newest)

        def remember() -> None:
            if before != self._last.newest:
                self._pending.doubt()
            self._last.move(heard, before=before, newest=newest)

        transaction.when_committed(remember)
        if withheld := _withheld(notice.addressed):
            stopped = [entry for entry in acceptance.entries if _address_of(entry) in withheld]
            for entry in stopped:
                sentence = withheld[_address_of(entry)]
                remediations.explain(transaction, entry, NO_TARGET, sentence, at=notice.received_at)
            inbox.done(transaction, [entry.entry for entry in stopped], at=notice.received_at)
        return acceptance

    def _settle(self, notice: Notice, acceptance: inbox.Acceptance) -> None:
        """Tell whom it concerns what became of a notification."""
        withheld = _withheld(notice.addressed)
        for entry in acceptance.entries:
            if problem := withheld.get(_address_of(entry)):
                log.warning(
                    "an alert is not acted on: it names no target", entry=entry.entry, problem=problem
                )
        self.suppressed(acceptance.duplicates)
        self.wake([e for e in acceptance.entries if e.runbook and _address_of(e) not in withheld])


def _heard(addressed: Sequence[Addressed], said: Sequence[Said]) -> Iterator[Heard]:
    """Yield what was said of each alert, `said` being what the inbox knows of each delivery in turn."""
    answers = iter(said)
    for each in addressed:
        known = [next(answers) for _ in each.ways]
        word = each.word or Word(
            known[0].fingerprint, b""
        )  # one that nobody repeats, but the last all the same
        yield Heard(word, min(one.since for one in known), len(known))


def _address(catalog: Catalog, alert: Alert, word: Word | None, sender: str) -> Addressed:
    """Return an alert with its ways.  Pure."""
    about = word.about if word is not None else alert.fingerprint
    return Addressed(tuple(_ways(catalog, alert, sender)), about, word)


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
