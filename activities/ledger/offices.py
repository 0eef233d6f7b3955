"""Who has to sign the next checkpoint: the key in office, from the first checkpoint to the last.

A key hands over by signing a checkpoint that names its successor.  From the next one on only the
successor's signature counts, so that a key which was retired and stolen signs nothing that is believed.
Where the end of a key's time was given, it hands over right there and to a key that was given, or not at all:
else a thief would begin a history of his own, and hand over to himself.
A key that was lost hands over to nobody.  Then a person says on record that another one begins anew, and
whoever verifies has to be given that one: it is believed for its own sake, and the report says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from activities.ledger.findings import CannotTellError, TamperedError
from activities.ledger.notes import KeyTextWrongError, Note, PublicKey, handover_problem, signer_of

RETIRED = "the last checkpoint is signed by a key that has handed over, and whoever has stolen it since can have made it"
REMEDY = "compare with checkpoints outside (`--anchors`)"
HEIR = (
    "the last checkpoint is signed by a key that was not given, which the one before it names: "
    "`paramedic ledger keys` shows them all"
)


class Office:
    """The key in office.

    Args:
        keys: the sealers' keys that are believed.  Without any, no signature is looked at.
    """

    def __init__(self, keys: Sequence[PublicKey] = ()) -> None:
        self.warnings: list[str] = []
        self._keys = list(keys)
        self._holder: PublicKey | None = None
        self._last: PublicKey | None = None
        self._signed = 0
        self._unknown = ""
        self._announced: dict[int, str] = {}

    def announce(self, seq: int, key: str) -> None:
        """Take note that a person said, in record `seq`, that this key begins anew."""
        self._announced[seq] = key

    def take(self, note: Note, number: int) -> bool:
        """Take the next checkpoint.  Return whether it is signed by a key that is believed.

        Raises:
            TamperedError: somebody else should have signed it.
        """
        if not self._keys:
            return False
        signer = self._signer(note)
        if signer is None:
            problem = f"checkpoint {number} is not signed by a key that was given"
            if self._holder is not None:
                raise TamperedError(problem)
            self._unknown = (
                self._unknown or problem
            )  # unless a key that was given says that this one was lost
            return False
        if note.checkpoint.anew is not None:
            self._begin_anew(signer, note, number)
        elif self._unknown:
            raise TamperedError(self._unknown)
        self._unknown = ""
        self._holder = self._last = signer
        self._signed = note.checkpoint.size
        if note.checkpoint.successor:
            self._hand_over(signer, note, number)
        return True

    def finish(self) -> None:
        """Say that there are no more checkpoints.

        Raises:
            TamperedError: none was signed by a key that was given, or the last ones were not.
        """
        if self._unknown:
            raise TamperedError(self._unknown)

    @property
    def signed(self) -> int:
        """How many records the last checkpoint covers that a key signed that is believed."""
        return self._signed

    def judge_last(self, size: int) -> None:
        """Warn where all rests on a key that has handed over, or that nobody has given.

        Args:
            size: how many records there are.

        Raises:
            CannotTellError: there are records from after that key's time, and no other has signed any.
        """
        if self._last is None:
            return
        if self._last.until is not None and size > self._last.until:
            raise CannotTellError(
                f"{RETIRED}; its successor has sealed none of the records after it: is the sealer running? "
                f"Wait for its next checkpoint, or {REMEDY}"
            )
        if self._last.until is not None:
            self.warnings.append(f"{RETIRED}: {REMEDY}")
        elif all(key.raw != self._last.raw for key in self._keys):
            self.warnings.append(HEIR)

    def _signer(self, note: Note) -> PublicKey | None:
        bound = self._holder is not None and note.checkpoint.anew is None
        return signer_of(note, [self._holder] if bound and self._holder else self._keys)

    def _hand_over(self, signer: PublicKey, note: Note, number: int) -> None:
        try:
            named = PublicKey.parse(note.checkpoint.successor)
        except KeyTextWrongError as error:
            raise TamperedError(f"checkpoint {number} hands over to something that is no key") from error
        problem = handover_problem(signer, note, self._keys)
        self._retire(signer, note)
        self._last = signer.retired(note.checkpoint.size)
        self._holder = next((key for key in self._keys if key.raw == named.raw), named)
        if problem:  # unless a key that was given says that its successor was lost
            self._holder, self._unknown = None, f"checkpoint {number} {problem}"

    def _begin_anew(self, signer: PublicKey, note: Note, number: int) -> None:
        seq = note.checkpoint.anew
        if seq is None or self._announced.get(seq) != signer.text:
            raise TamperedError(f"checkpoint {number} begins anew under a key that no record announces")
        if self._holder is not None:
            self._retire(self._holder, note)
        self.warnings.append(
            f"the sealer lost its key and began anew with checkpoint {number}: record {seq} says who did it and why"
            + ("; the signatures before it were not verified" if self._unknown else "")
        )

    def _retire(self, key: PublicKey, note: Note) -> None:
        retired = key.retired(note.checkpoint.size)
        self._keys = [retired if each.raw == key.raw else each for each in self._keys]
