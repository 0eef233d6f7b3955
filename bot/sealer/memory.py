"""What the sealer remembers by itself: its key, and the last checkpoint with the tree at that moment.

It stands in a folder of the sealer's own and not in the database, because it is what the database is
compared with.  Who owns the database can change every table; not what somebody else remembers.

The key hands over to another when it is asked to: it signs a checkpoint that names the other one, and is
then destroyed.  Whoever steals it later, from a backup say, signs nothing that is believed.  As soon as
that checkpoint is remembered the other key takes its place; whatever this dies in between of is finished
at the next start.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from activities.ledger.checkpoints import Seal
from activities.ledger.merkle import Frontier
from activities.ledger.notes import KeyTextWrongError, PublicKey, Sign, heirs, read_note, signer_of
from bot.keys import private_key_in
from bot.sealer.files import replace_file, sync_folder
from runbooks.errors import ParamedicError
from runbooks.model.base import Value

KEY_FILE = "sealer.pem"
NEXT_KEY_FILE = "sealer-next.pem"
ROTATION_FILE = "rotate"
"""Somebody asks for another key."""

PUBLIC_FILE = "sealer.pub"
MEMORY_FILE = "last-checkpoint.json"


class MemoryWrongError(ParamedicError):
    """What the sealer remembers cannot be used."""

    code = "sealer_memory_wrong"


class Remembered(Value):
    """The last checkpoint that was signed here.

    Attributes:
        frontier: of the tree at that moment, hex.
    """

    seal: Seal
    frontier: str

    @property
    def tree(self) -> Frontier:
        """The tree at that moment.

        Raises:
            ValueError: what is remembered does not fit together.
        """
        return Frontier.parse(self.seal.size, bytes.fromhex(self.frontier))


class Memory:
    """The folder of one sealer.

    Args:
        folder: made where it is missing, for its owner only.

    Raises:
        MemoryWrongError: it holds something that this sealer cannot have written.
        KeyFileError: the key cannot be used.
    """

    def __init__(self, folder: Path, origin: str) -> None:
        self._folder = folder
        self._origin = origin
        self._take_key()
        if self.key.text not in {key.text for key in self.keys}:
            self.tell_keys([self.key])
        self.last = self._read()
        self._finish_handover()

    def _take_key(self) -> None:
        self.sign, self.key = self._key_in(KEY_FILE)

    def _key_in(self, name: str) -> tuple[Sign, PublicKey]:
        """Return what signs and what verifies; the key is made where it is missing."""
        key = private_key_in(self._folder / name, "the sealer's key")
        return key.sign, PublicKey(self._origin, key.public_key().public_bytes_raw())

    @property
    def keys(self) -> list[PublicKey]:
        """The keys that have signed here, the one in office last, as they are told to others."""
        try:
            return public_keys_in(self._folder)
        except KeyTextWrongError:
            return []

    def tell_keys(self, keys: Iterable[PublicKey]) -> None:
        """Let others know these keys.

        Raises:
            OSError: it cannot be written.
        """
        replace_file(self._folder / PUBLIC_FILE, "".join(f"{key}\n" for key in keys))

    @property
    def rotation_is_asked(self) -> bool:
        """Whether the next checkpoint shall hand over to another key."""
        return (self._folder / ROTATION_FILE).exists()

    def successor(self) -> PublicKey:
        """Return the key that comes after this one; it is made where there is none yet.

        Raises:
            KeyFileError: it cannot be used.
        """
        return self._key_in(NEXT_KEY_FILE)[1]

    def _finish_handover(self) -> None:
        """Let the successor take its place, if the last checkpoint hands over to one."""
        note = None if self.last is None else read_note(self.last.seal.note)
        if note is None or note.checkpoint.successor in {"", self.key.text}:
            return
        if self.successor().text != note.checkpoint.successor:
            raise self._wrong(self._folder / NEXT_KEY_FILE)
        self.tell_keys(heirs(self.keys, [note]))
        (self._folder / ROTATION_FILE).unlink(missing_ok=True)
        (self._folder / NEXT_KEY_FILE).replace(self._folder / KEY_FILE)
        sync_folder(self._folder)
        self._take_key()

    def _read(self) -> Remembered | None:
        file = self._folder / MEMORY_FILE
        try:
            remembered = Remembered.model_validate_json(file.read_bytes())
            note = read_note(remembered.seal.note)
            tree = remembered.tree
        except FileNotFoundError:
            return None
        except (OSError, ValidationError, ValueError) as error:
            raise self._wrong(file) from error
        if note is None or signer_of(note, self.keys) is None:
            raise self._wrong(file)
        if (note.checkpoint.size, note.checkpoint.root) != (tree.size, tree.root()):
            raise self._wrong(file)
        return remembered

    def _wrong(self, file: Path) -> MemoryWrongError:
        return MemoryWrongError(
            f"{file} is not what this sealer has written: compare it with the checkpoints outside the database, "
            "verify the ledger with them, and restore the sealer's folder from a backup"
        )

    def remember(self, seal: Seal, tree: Frontier) -> None:
        """Remember this as the last checkpoint, on the disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        remembered = Remembered(seal=seal, frontier=tree.encode().hex())
        replace_file(self._folder / MEMORY_FILE, json.dumps(remembered.model_dump(), indent=1) + "\n")
        self.last = remembered
        self._finish_handover()


def public_keys_in(folder: Path) -> list[PublicKey]:
    """Return the public keys of the sealer whose folder this is, the one in office last; none where they cannot be read.

    Raises:
        KeyTextWrongError: the file holds something else.
    """
    try:
        lines = (folder / PUBLIC_FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [PublicKey.parse(line) for line in lines if line.strip()]


def public_key_in(folder: Path) -> PublicKey | None:
    """Return the public key in office of the sealer whose folder this is, or None where it cannot be read.

    Raises:
        KeyTextWrongError: the file holds something else.
    """
    keys = public_keys_in(folder)
    return keys[-1] if keys else None
