"""Sealing: when a checkpoint is due, and what has to be true before one is signed.

The ledger must have grown out of what was sealed last: every body since then has its hash, the head
knows the tree that follows, and the checkpoints in the database are those that were signed here.  If
not, nothing is signed any more, and that is said aloud: a signature under another history would make
it true.

A checkpoint is first written to the database, with a commit that waits for the disk.  That makes
every record before it durable too, so that no power cut can take away what was signed.  Then the
sealer remembers it, and only then it is published.  Whatever it dies in between of is taken up again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from activities.ledger.checkpoints import (
    HistoryError,
    Look,
    Seal,
    grown,
    keep,
    look,
    seal_at,
    seals_after,
)
from activities.ledger.merkle import Frontier
from activities.ledger.notes import FIRST, Checkpoint, hash_of, read_note, write_note
from activities.ledger.store import Ledger
from bot.sealer.cadence import SILENCE, Cadence
from bot.sealer.memory import Memory, Remembered


class Sealer:
    """Signs what the ledger is.

    Args:
        monotonic: seconds that only grow; what is due is judged by them.
    """

    def __init__(
        self, ledger: Ledger, memory: Memory, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self._memory = memory
        self._cadence = Cadence()
        self._monotonic = monotonic
        self._sealed_at = -SILENCE.total_seconds()

    @property
    def sealed(self) -> int:
        """How many records the last checkpoint covers."""
        last = self._memory.last
        return 0 if last is None else last.seal.size

    async def begin(self, *, everything: bool = True) -> None:
        """Compare the ledger with what was sealed before.

        Args:
            everything: all of it, and not only that it goes on from where the last checkpoint was.

        Raises:
            HistoryError: it is another one.
            LedgerError: it cannot be read.
        """
        last = self._memory.last
        start = Frontier() if last is None else last.tree
        number = -1 if last is None else last.seal.number
        adopted = await self._ledger.read(lambda c: seals_after(c, number))
        roots = {start.size: start.root()} | self._adopt(last, adopted)
        await self._check_memory()
        since = Frontier() if everything else start
        await self._ledger.read(lambda c: grown(c, since, roots))
        if adopted:
            newest = adopted[-1]
            tree = await self._ledger.read(lambda c: grown(c, start, {}, until=newest.size))
            self._memory.remember(newest, tree)

    def _adopt(self, last: Remembered | None, seals: list[Seal]) -> dict[int, bytes]:
        """Return the roots of checkpoints that were signed here, right before the sealer died."""
        roots, previous = {}, FIRST if last is None else hash_of(last.seal.note)
        for seal in seals:
            note = read_note(seal.note)
            if note is None or not self._memory.key.signed(note) or note.checkpoint.previous != previous:
                raise HistoryError(
                    f"checkpoint {seal.number} of the database is not known to this sealer: restore the sealer's "
                    "folder from a backup, or verify the ledger with the checkpoints outside"
                )
            roots[note.checkpoint.size] = note.checkpoint.root
            previous = hash_of(seal.note)
        return roots

    async def look(self) -> Look:
        """Return how far the ledger is.

        Raises:
            HistoryError: it is shorter than it was.
            LedgerError: it cannot be read.
        """
        seen = await self._ledger.read(look)
        last = self._memory.last
        if last is not None and seen.size < last.seal.size:
            raise HistoryError(
                f"the ledger had {last.seal.size} records when it was last sealed, and has {seen.size} now"
            )
        return seen

    def is_due(self, seen: Look) -> bool:
        """Return whether it is time for a checkpoint."""
        waited = timedelta(seconds=self._monotonic() - self._sealed_at)
        return self._cadence.is_due(seen, self.sealed, waited)

    async def seal(self) -> Seal:
        """Sign what the ledger is now, keep that in its database, and remember it.

        Raises:
            HistoryError: it is not what it was.
            LedgerError: it cannot be read or written.
            OSError: what was signed cannot be remembered.
        """
        last = self._memory.last
        await self._check_memory()
        start = Frontier() if last is None else last.tree
        tree = await self._ledger.read(lambda c: grown(c, start, {}))
        seal = self._signed(tree, last)
        await self._ledger.write(lambda t: keep(t, seal))
        self._memory.remember(seal, tree)
        self._sealed_at = self._monotonic()
        return seal

    async def _check_memory(self) -> None:
        """Refuse a database whose checkpoints are not those that are remembered."""
        last = self._memory.last
        if last is None:
            return
        kept = await self._ledger.read(lambda c: seal_at(c, last.seal.number))
        if kept != last.seal:
            raise HistoryError(f"checkpoint {last.seal.number} is not in the database as it was signed")

    def _signed(self, tree: Frontier, last: Remembered | None) -> Seal:
        checkpoint = Checkpoint(
            origin=self._memory.key.name,
            size=tree.size,
            root=tree.root(),
            at=datetime.now(UTC),
            previous=FIRST if last is None else hash_of(last.seal.note),
        )
        note = write_note(checkpoint, self._memory.key, self._memory.sign)
        return Seal(number=0 if last is None else last.seal.number + 1, size=tree.size, note=note)
