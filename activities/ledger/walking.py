"""One walk over the whole ledger, from the first record to the last, wherever the records come from.

The tree grows with each record.  Where a checkpoint was made, its root must be the tree's, and so must
that of an anchor: a checkpoint that comes from outside the database, which its owner cannot change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from activities.ledger.absences import Absences
from activities.ledger.findings import TamperedError, Verification, VerifiedState
from activities.ledger.merkle import Frontier
from activities.ledger.notes import FIRST, Note, PublicKey, hash_of, heirs, read_note
from activities.ledger.offices import Office
from activities.ledger.streams import Content, Streams
from runbooks.model.record import RecordKind


class Anchor(NamedTuple):
    """A checkpoint from outside: its name for people, and the note."""

    name: str
    note: Note


class Walk:
    """How far a walk has come.

    Args:
        keys: the sealers' keys that are believed.  Without any, no signature is looked at.
        anchors: checkpoints from outside, their signatures verified already.
        listeners: raw keys of the listeners that are believed.  Without any: those that are on record.
    """

    def __init__(
        self,
        keys: Sequence[PublicKey] = (),
        anchors: Iterable[Anchor] = (),
        listeners: Iterable[bytes] = (),
    ) -> None:
        self.tree = Frontier()
        known = list(anchors)
        self._office = Office(heirs(keys, (anchor.note for anchor in known)))
        self._streams = Streams(listeners)
        self._absences = Absences()
        self._anchors: dict[int, list[Anchor]] = defaultdict(list)
        for anchor in known:
            self._anchors[anchor.note.checkpoint.size].append(anchor)
        self._previous = FIRST
        self._checkpoints = 0
        self._anchored = 0
        self._anchored_at = 0
        self._sealed = 0

    @property
    def previous(self) -> str:
        """The hash of the last checkpoint, or `FIRST`."""
        return self._previous

    @property
    def checkpoints(self) -> int:
        """How many checkpoints were taken."""
        return self._checkpoints

    @property
    def sealed(self) -> int:
        """How many records stand under a checkpoint that a given key signed."""
        return self._sealed

    def begin(self) -> None:
        """Compare the anchors that were made before there was any record.

        Raises:
            TamperedError: one knows of another tree.
        """
        self._compare_anchors()

    def report(self, state: VerifiedState, problem: str = "", seq: int | None = None) -> Verification:
        """Return what was found so far, with this conclusion."""
        return Verification(
            state=state,
            size=self.tree.size,
            root=self.tree.root().hex(),
            seq=seq,
            problem=problem,
            checkpoints=self._checkpoints,
            anchors=self._anchored,
            sealed=self._sealed,
            pruned=self._absences.count,
            signatures=self._streams.meaning.signatures,
            listeners=tuple(sorted(self._streams.meaning.signers)),
            warnings=tuple(self._office.warnings),
        )

    def record(self, content: Content, leaf: bytes) -> None:
        """Take the next record, whose body has this hash.

        Raises:
            TamperedError: it is not the next, cannot have happened, or is not what was sealed.
        """
        seq = self.tree.size
        if content.get("seq") != seq:
            raise TamperedError(f"record {seq} says that it is another one", seq)
        self._absences.must_be_whole(content.get("stream"), seq)
        self._streams.take(content, leaf, seq)
        self._take_word(content, seq)
        self.tree.append(leaf)
        self._compare_anchors()

    def pruned(self, stream: str, leaf: bytes) -> None:
        """Take the next record, of which there is only the hash.

        Raises:
            TamperedError: it cannot have been pruned, or is not what was sealed.
        """
        seq = self.tree.size
        self._absences.take(stream, seq)
        self._streams.skip(stream, seq)
        self.tree.append(leaf)
        self._compare_anchors()

    def _take_word(self, content: Content, seq: int) -> None:
        """Take note of what a record says about the ledger itself."""
        if content.get("kind") == RecordKind.LEDGER_PRUNED.value:
            self._absences.settle(content.get("data"), seq)
        elif content.get("kind") == RecordKind.SEALER_ANEW.value:
            data = content.get("data")
            self._office.announce(seq, str(data.get("key")) if isinstance(data, dict) else "")

    def checkpoint(self, text: str) -> Note:
        """Take the next checkpoint, made right here, and return it.

        Raises:
            TamperedError: it is none, does not follow the one before, is signed by nobody that is
                believed, or was made of other records.
        """
        number, note = self._checkpoints, read_note(text)
        if note is None:
            raise TamperedError(f"checkpoint {number} is no checkpoint")
        if note.checkpoint.previous != self._previous:
            raise TamperedError(f"checkpoint {number} does not follow the one before it")
        is_believed = self._office.take(note, number)
        if (note.checkpoint.size, note.checkpoint.root) != (self.tree.size, self.tree.root()):
            self._office.finish()  # what nobody has signed who is believed is that in the first place
            raise TamperedError(
                f"the first {self.tree.size} records are not those that checkpoint {number} was made of"
            )
        self._previous = hash_of(text)
        self._checkpoints += 1
        if is_believed:
            self._sealed = self.tree.size
        return note

    def finish(self) -> None:
        """Say that there are no more records, and judge by whom the end is sealed.

        Raises:
            TamperedError: something is missing.
            CannotTellError: the last who signed has handed over, and there is more.
        """
        self.miss_nothing()
        self.judge_last()

    def miss_nothing(self) -> None:
        """Say that there are no more records.

        Raises:
            TamperedError: an anchor knows of more, nobody that is believed has signed, or bodies are missing.
        """
        self._office.finish()
        self._absences.finish()
        for size in sorted(self._anchors):
            if size > self.tree.size:
                name = self._anchors[size][0].name
                raise TamperedError(
                    f"there were {size} records when {name} was made, there are only {self.tree.size}",
                    self.tree.size,
                )

    def judge_last(self) -> None:
        """Judge by whom the end is sealed, unless the outside knows it; after all that may be tampered with.

        Raises:
            CannotTellError: by a key that has handed over, and there is more.
        """
        if self._anchored_at < self._office.signed:
            self._office.judge_last(self.tree.size)

    def _compare_anchors(self) -> None:
        for anchor in self._anchors.get(self.tree.size, ()):
            if anchor.note.checkpoint.root != self.tree.root():
                raise TamperedError(
                    f"the first {self.tree.size} records are not those that {anchor.name} was made of"
                )
            self._anchored += 1
            self._sealed = self._anchored_at = self.tree.size
