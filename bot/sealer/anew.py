"""Beginning anew: the sealer's folder was lost, and with it the key and what was signed last.

The next sealer cannot know whether the ledger is still what was sealed before; only checkpoints outside
can tell.  So it refuses to go on by itself.  A person who has compared them says that it shall, and why,
and that is on record for ever: the first checkpoint of the new key names the record, and every
verification says so.  The checkpoints of the lost key stay, and verify under that key.
"""

from __future__ import annotations

from pathlib import Path

from activities.ledger.checkpoints import HistoryError, Seal, grown, seals_after
from activities.ledger.installation import installation_id
from activities.ledger.merkle import Frontier
from activities.ledger.notes import PublicKey, heirs, read_note
from activities.ledger.store import Ledger
from bot.only_one import only_one
from bot.sealer.memory import MEMORY_FILE, Memory
from bot.sealer.sealing import Sealer, roots_of
from runbooks.errors import RefusedError
from runbooks.model.base import Value
from runbooks.model.record import SYSTEM, Entry, RecordKind


class Word(Value):
    """A person's word that the sealer shall begin anew.

    Attributes:
        actor, source: who says so, and from where.
    """

    reason: str
    actor: str
    source: str


async def begin_anew(ledger: Ledger, folder: Path, word: Word, lost: list[PublicKey]) -> Seal:
    """Make a new key where the old one was lost, put that on record, and sign what the ledger is now.

    Args:
        folder: the new sealer's; made where it is missing.
        lost: the public keys that signed before, where somebody has kept them.

    Raises:
        RefusedError: nothing was lost.
        HistoryError: the ledger is not what its own checkpoints say.
        AlreadyRunningError: a sealer works on this folder.
        LedgerError: the ledger cannot be read or written.
    """
    with only_one(_made(folder), "sealer"):
        if (folder / MEMORY_FILE).exists():
            raise RefusedError("nothing_lost", f"nothing is lost: {folder} remembers the last checkpoint")
        seals = await ledger.read(lambda c: seals_after(c, -1))
        await ledger.read(lambda c: grown(c, Frontier(), roots_of(seals)))
        memory = Memory(folder, f"paramedic/{await ledger.read(installation_id)}")
        sealer = Sealer(ledger, memory)
        if await _knows_them(sealer):
            raise RefusedError("nothing_lost", "nothing is lost: the sealer knows what is sealed; start it")
        [record] = await ledger.append(_entry(memory.key, word))
        # Those that they handed over to are lost as well, and each handed over where its checkpoints say.
        notes = [note for seal in seals if (note := read_note(seal.note)) is not None]
        memory.tell_keys([*(key.retired(seals[-1].size) for key in heirs(lost, notes)), memory.key])
        return await sealer.seal_anew(seals[-1], record.seq)


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    return folder


async def _knows_them(sealer: Sealer) -> bool:
    """Return whether the sealer can go on by itself: only its memory is gone, or nothing is sealed yet."""
    try:
        await sealer.begin()
    except HistoryError:
        return False
    return True


def _entry(key: PublicKey, word: Word) -> Entry:
    return Entry(
        event_id=f"sealer/anew/{key.hash.hex()}",
        stream=SYSTEM,
        kind=RecordKind.SEALER_ANEW,
        actor=word.actor,
        source=word.source,
        object=key.name,
        data={"key": key.text, "reason": word.reason},
    )
