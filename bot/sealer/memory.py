"""What the sealer remembers by itself: its key, and the last checkpoint with the tree at that moment.

It stands in a folder of the sealer's own and not in the database, because it is what the database is
compared with.  Who owns the database can change every table; not what somebody else remembers.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from pydantic import ValidationError

from activities.ledger.checkpoints import Seal
from activities.ledger.merkle import Frontier
from activities.ledger.notes import PublicKey, Sign, read_note
from bot.keys import private_key_in
from bot.sealer.files import replace_file
from runbooks.errors import ParamedicError
from runbooks.model.base import Value

KEY_FILE = "sealer.pem"
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
        key = private_key_in(folder / KEY_FILE, "the sealer's key")
        self.sign: Sign = key.sign
        self.key = PublicKey(origin, key.public_key().public_bytes_raw())
        self._tell_key()
        self.last = self._read()

    def _tell_key(self) -> None:
        file, line = self._folder / PUBLIC_FILE, f"{self.key}\n"
        with contextlib.suppress(OSError):
            if file.read_text(encoding="utf-8") == line:
                return
        replace_file(file, line)

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
        if note is None or not self.key.signed(note):
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


def public_key_in(folder: Path) -> PublicKey | None:
    """Return the public key of the sealer whose folder this is, or None where it cannot be read.

    Raises:
        KeyTextWrongError: the file holds something else.
    """
    try:
        return PublicKey.parse((folder / PUBLIC_FILE).read_text(encoding="utf-8"))
    except OSError:
        return None
