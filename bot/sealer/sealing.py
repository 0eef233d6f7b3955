"""Sealing: when a checkpoint is due, and what has to be true before one is signed.

The ledger must have grown out of what was sealed last: every body since then has its hash, the head
knows the tree that follows, and the checkpoints in the database are those that were signed here.  If
not, nothing is signed any more, and that is said aloud: a signature under another history would make
it true.

A checkpoint is first written to the database, with a commit that waits for the disk.  That makes
every record before it durable too, so that no power cut can take away what was signed.  Then the
sealer remembers it, and only then it is published.  Whatever it dies in between of is taken up again.

A checkpoint may hand over to another key (`memory`), or begin anew under a key that nobody handed over to,
after the one that signed before was lost, and a person has put on record that it was.
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
from activities.ledger.notes import FIRST, Checkpoint, hash_of, read_note, signer_of, write_note
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

    @property
    def hands_over(self) -> bool:
        """Whether the next checkpoint hands over to another key, so that it is wanted without any new record."""
        return self._memory.rotation_is_asked

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
        keys = self._memory.keys
        for seal in seals:
            note = read_note(seal.note)
            signer = None if note is None else signer_of(note, keys)
            if note is None or signer is None or note.checkpoint.previous != previous:
                raise _unknown(seal)
            if seal is seals[-1] and self._memory.key.text not in {signer.text, note.checkpoint.successor}:
                raise _unknown(seal)  # another key is in office: this one would sign out of turn
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
        if self.hands_over:
            return True
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
        before = None if last is None else last.seal
        successor = self._memory.successor().text if self.hands_over else ""
        return await self._keep(self._signed(tree, before, successor=successor), tree)

    async def seal_anew(self, before: Seal | None, record: int) -> Seal:
        """Sign what the ledger is now, after checkpoints that this sealer does not know.

        Args:
            before: the last of them.
            record: the seq of the record in which a person says why.

        Raises:
            HistoryError: the ledger is not what these checkpoints say.
            LedgerError: it cannot be read or written.
            OSError: what was signed cannot be remembered.
        """
        roots = await self._ledger.read(lambda c: roots_of(seals_after(c, -1)))
        tree = await self._ledger.read(lambda c: grown(c, Frontier(), roots))
        return await self._keep(self._signed(tree, before, anew=record), tree)

    async def _keep(self, seal: Seal, tree: Frontier) -> Seal:
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

    def _signed(
        self, tree: Frontier, before: Seal | None, *, successor: str = "", anew: int | None = None
    ) -> Seal:
        checkpoint = Checkpoint(
            origin=self._memory.key.name,
            size=tree.size,
            root=tree.root(),
            at=datetime.now(UTC),
            previous=FIRST if before is None else hash_of(before.note),
            successor=successor,
            anew=anew,
        )
        note = write_note(checkpoint, self._memory.key, self._memory.sign)
        return Seal(number=0 if before is None else before.number + 1, size=tree.size, note=note)


def roots_of(seals: list[Seal]) -> dict[int, bytes]:
    """Return the roots that these checkpoints know, by number of records, whoever has signed them.

    Raises:
        HistoryError: one is none, or does not follow the one before it.
    """
    roots, previous = {}, FIRST
    for seal in seals:
        note = read_note(seal.note)
        if note is None or note.checkpoint.previous != previous:
            raise HistoryError(f"checkpoint {seal.number} does not follow the one before it")
        roots[note.checkpoint.size] = note.checkpoint.root
        previous = hash_of(seal.note)
    return roots


def _unknown(seal: Seal) -> HistoryError:
    return HistoryError(
        f"checkpoint {seal.number} of the database is not known to this sealer: restore the sealer's "
        "folder from a backup, or verify the ledger with the checkpoints outside; "
        "if the folder is lost for good, `paramedic sealer begin-anew`"
    )
