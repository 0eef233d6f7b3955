"""The tray: notifications that were acknowledged and wait, for a moment, to be taken in.

Whoever sends an alert waits for one small row to be on the disk, and for nothing else: the entries of
the inbox, the records and the search for repetitions follow in the next transaction.  That one need
not wait for the disk.  If it is lost with the machine's power, the row is there again, and nothing was
begun that would have survived it: an intent takes along to the disk all that was written before.

They are taken in as they came, one after the other, several at a time.  One that cannot be taken in, by
a fault of ours, is kept, told in the log and tried again; the others go before it meanwhile.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from activities.ledger import notifications
from activities.ledger.blobs import Blob
from activities.ledger.inbox import Acceptance
from activities.ledger.notifications import Kept, Waiting
from activities.ledger.store import Ledger, Query, Transaction
from bot.pending import Addressed, Notice, Pending
from runbooks.errors import LedgerError, LedgerRefusedError

MEDIA = "application/json"

AT_ONCE = 500
"""How many alerts share a transaction: one of 20,000 would keep all other senders waiting."""

LOOKED_AT = 200  # notifications at one look
LOOK_EVERY = 2.0  # seconds between two looks for what somebody else has left
HOLD = timedelta(seconds=10)  # how long a notification is its receiver's; after a crash it waits so long
RETRY = 1.0  # seconds until the ledger is asked again that refused
ASIDE = 30.0  # seconds until a notification is tried again that could not be taken in

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Look:
    """What one transaction has found.

    Attributes:
        taken: what is taken in now.
        waiting: the ids of those that were there when it began; all of them where it is `complete`.
        unknown: the place of one that has to be read first; None where there is none.
        more: whether something was left for the next.
    """

    taken: Sequence[tuple[str, Notice, Acceptance]]
    waiting: frozenset[str]
    complete: bool
    unknown: int | None
    more: bool


class Tray:
    """Keeps notifications durable, and takes them in from `run` on.

    Args:
        pending: what waits, of which it keeps the books.
        accept: takes one in, within a transaction.
        settle: is told what became of it, once that is committed.
        read: returns what a body says that an earlier process has kept; runs in a thread.
    """

    def __init__(
        self,
        ledger: Ledger,
        pending: Pending,
        *,
        accept: Callable[[Transaction, Notice], Acceptance],
        settle: Callable[[Notice, Acceptance], None],
        read: Callable[[bytes, str], Sequence[Addressed]],
    ) -> None:
        self._ledger = ledger
        self._accept = accept
        self._settle = settle
        self._read = read
        self._me = secrets.token_hex(8)
        self._pending = pending
        self._began = datetime.now(UTC)
        self._trying = ""
        self._one_by_one = False
        self._stopping = asyncio.Event()
        self._news = asyncio.Event()
        self._moved = asyncio.Condition()

    async def keep(self, notice: Notice, sender: str) -> None:
        """Make a notification durable.

        Raises:
            LedgerError: it is not, or nobody can say so; to keep it again is harmless.
        """
        if not self._pending.has_room:
            async with self._moved:
                await self._moved.wait_for(lambda: self._pending.has_room)
        kept = Kept(secrets.token_hex(12), self._me, sender, notice.received_at, notice.raw.value)
        number = self._pending.put(kept.id, notice)
        try:
            await self._ledger.write_beside(lambda tables: notifications.keep(tables, kept))
        except BaseException:  # the deadline of its sender, too
            # Perhaps it is there all the same: the next look finds out.
            self._pending.hear(notice, number, durable=False)
            raise
        self._pending.hear(notice, number, durable=True)
        self._news.set()

    async def taken_in(self) -> None:
        """Return when all that is kept now has been taken in, but for what cannot be."""
        ids = self._pending.ids
        async with self._moved:
            await self._moved.wait_for(lambda: self._pending.has_none_of(ids))

    def is_shared(self) -> Query[bool]:
        """Return the question whether something waits that this process has not received, and can take in."""
        aside = self._pending.aside
        return lambda tables: not aside.issuperset(notifications.of_others(tables, self._me, len(aside) + 1))

    async def run(self) -> None:
        """Take in until `stop`, first what an earlier process has left; then what was acknowledged until then."""
        old = self._began  # at first, from others, whatever its age
        while True:
            stopping = self._stopping.is_set()
            self._news.clear()
            try:
                while await self._take_in(old):
                    pass
            except Exception as error:  # noqa: BLE001 - alerts wait: it is tried for as long as the process lives
                log.warning(
                    "what was acknowledged cannot be taken in yet", error=f"{type(error).__name__}: {error}"
                )
                refused = True
            else:
                refused = False
            if stopping:
                break
            if refused:
                await self._wait_for(self._stopping, RETRY)
            else:
                await self._wait_for(self._news, LOOK_EVERY)
                old = datetime.now(UTC) - HOLD
        self._stopping.clear()

    def stop(self) -> None:
        """Let `run` end when it has taken in what is there; what it cannot is left to the next process."""
        self._stopping.set()
        self._news.set()

    @staticmethod
    async def _wait_for(event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    async def _take_in(self, old: datetime) -> bool:
        """Take in what waits; what was received before `old` is everybody's.  Return whether there may be more.

        Raises:
            LedgerError: not now.
        """
        if not self._pending and not await self._ledger.read(self._waiting(old, 1)):
            return False
        self._pending.take_up(asyncio.get_running_loop().time())
        try:
            return await self._take_some(old)
        finally:
            async with self._moved:
                self._moved.notify_all()

    async def _take_some(self, old: datetime) -> bool:
        known, self._trying = self._pending.ids, ""
        try:
            look = await self._ledger.write(lambda transaction: self._look(transaction, old), durable=False)
        except Exception as error:  # whatever it is, one notification must not keep the others waiting
            is_its_fault = isinstance(error, LedgerRefusedError) or not isinstance(error, LedgerError)
            if not (is_its_fault and self._trying):
                raise
            if self._one_by_one:
                log.exception("a notification cannot be taken in; it is kept", notification=self._trying)
                self._put_aside(self._trying)
            self._one_by_one = True  # to learn which it is
            return True
        self._one_by_one = False
        for name, notice, acceptance in look.taken:
            self._pending.drop(name)
            self._settle(notice, acceptance)
        if look.complete:
            for name in known:
                if name not in look.waiting:  # it never got there, or somebody else has taken it in
                    self._pending.drop(name)
        if look.unknown is not None:
            await self._read_again(look.unknown)
        return look.more or look.unknown is not None

    def _look(self, transaction: Transaction, old: datetime) -> _Look:
        """Take in what fits into one transaction."""
        aside = self._pending.aside
        limit = LOOKED_AT + len(aside)
        rows = self._waiting(old, limit)(transaction.tables)
        taken: list[tuple[str, Notice, Acceptance]] = []
        seqs: list[int] = []
        unknown, more, alerts = None, len(rows) == limit, 0
        for row in rows:
            if row.id in aside:
                continue
            notice = self._pending.get(row.id)
            if notice is None:
                unknown = row.seq  # what follows must not overtake it
                break
            alerts += len(notice.addressed)
            if taken and (alerts > AT_ONCE or self._one_by_one):
                more = True
                break
            self._trying = row.id
            taken.append((row.id, notice, self._accept(transaction, notice)))
            seqs.append(row.seq)
        notifications.forget(transaction, seqs)
        return _Look(taken, frozenset(row.id for row in rows), len(rows) < limit, unknown, more)

    def _waiting(self, old: datetime, limit: int) -> Query[Sequence[Waiting]]:
        ahead = datetime.now(UTC) + HOLD
        return lambda tables: notifications.waiting(tables, self._me, old=old, ahead=ahead, limit=limit)

    async def _read_again(self, seq: int) -> None:
        """Read what an earlier process, or another one, has kept and not taken in."""
        kept = await self._ledger.read(lambda tables: notifications.find(tables, seq))
        if kept is None:
            return
        try:
            addressed = await asyncio.to_thread(self._read, kept.body, kept.sender)
        except Exception:  # as above
            log.exception("a notification cannot be read; it is kept", notification=kept.id)
            self._put_aside(kept.id)
        else:
            self._pending.put(kept.id, Notice(addressed, Blob(MEDIA, kept.body), kept.received_at))

    def _put_aside(self, name: str) -> None:
        self._pending.put_aside(name, asyncio.get_running_loop().time() + ASIDE)
