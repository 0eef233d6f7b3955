"""Anchors: checkpoints that were kept outside the database, as its verifier gets to see them.

Everything before the newest anchor is safe even if database and key are lost; nothing after it is.  An
anchor counts only under a signature of a key that is believed, for else anybody could make the records
look wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from activities.ledger.findings import CannotTellError
from activities.ledger.notes import PublicKey, heirs, read_notes, signer_of
from activities.ledger.walking import Anchor


def read_anchors(place: Path, keys: Sequence[PublicKey]) -> list[Anchor]:
    """Return the checkpoints in a file, or in all files of a folder whose names begin with no dot.

    Keys that others of these checkpoints hand over to are believed as well.

    Raises:
        CannotTellError: there is none, one cannot be read, or is signed by nobody that is believed.
    """
    anchors = [anchor for file in _files(place) for anchor in _read(file)]
    if not anchors:
        raise CannotTellError(f"there is no checkpoint in {place}")
    known = heirs(keys, (anchor.note for anchor in anchors))
    for anchor in anchors:
        if signer_of(anchor.note, known) is None:
            raise CannotTellError(
                f"{anchor.name} holds a checkpoint that is not signed by a key that was given"
            )
    return anchors


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    return sorted(each for each in place.iterdir() if each.is_file() and not each.name.startswith("."))


def _read(file: Path) -> Iterator[Anchor]:
    try:
        notes = read_notes(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CannotTellError(f"{file} cannot be read: {error}") from error
    if notes is None:
        raise CannotTellError(f"{file} holds something that is no checkpoint")
    yield from (Anchor(file.name, note) for note in notes)
