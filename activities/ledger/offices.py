"""Who has to sign the next checkpoint: the key in office, from the first checkpoint to the last.

A key hands over by signing a checkpoint that names its successor.  From the next one on only the
successor's signature counts, so that a key which was retired and stolen signs nothing that is believed.
A key that was lost hands over to nobody.  Then a person says on record that another one begins anew, and
whoever verifies has to be given that one: it is believed for its own sake, and the report says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from activities.ledger.findings import TamperedError
from activities.ledger.notes import KeyTextWrongError, Note, PublicKey, signer_of


class Office:
    """The key in office.

    Args:
        keys: the sealers' keys that are believed.  Without any, no signature is looked at.
    """

    def __init__(self, keys: Sequence[PublicKey] = ()) -> None:
        self.warnings: list[str] = []
        self._keys = list(keys)
        self._holder: PublicKey | None = None
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
        self._holder = signer
        if note.checkpoint.successor:
            self._hand_over(signer, note, number)
        return True

    def finish(self) -> None:
        """Say that there are no more checkpoints.

        Raises:
            TamperedError: none was signed by a key that was given.
        """
        if self._unknown:
            raise TamperedError(self._unknown)

    def _signer(self, note: Note) -> PublicKey | None:
        bound = self._holder is not None and note.checkpoint.anew is None
        return signer_of(note, [self._holder] if bound and self._holder else self._keys)

    def _hand_over(self, signer: PublicKey, note: Note, number: int) -> None:
        try:
            named = PublicKey.parse(note.checkpoint.successor)
        except KeyTextWrongError as error:
            raise TamperedError(f"checkpoint {number} hands over to something that is no key") from error
        self._retire(signer, note)
        self._holder = next((key for key in self._keys if key.raw == named.raw), named)

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
