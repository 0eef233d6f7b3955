"""The sealer's process: one loop that seals, and one for each destination that publishes.

Beside everything else on one machine it comes when it is called instead, seals and publishes what
there is, and goes: `seal_once`.

It ends with `REFUSED` when the ledger does not tell what it told before.  Whoever starts it again
makes it compare everything anew, so it comes back as soon as the right ledger is there again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from activities.ledger.checkpoints import HistoryError, Look
from activities.ledger.installation import installation_id
from activities.ledger.notes import read_note
from activities.ledger.store import Ledger
from bot.only_one import only_one
from bot.running import Running, until_signal
from bot.sealer.cadence import SILENCE
from bot.sealer.destinations import Destination, FolderDestination, GitDestination, SshDestination
from bot.sealer.memory import Memory
from bot.sealer.publishing import Publisher
from bot.sealer.sealing import Sealer
from bot.sealer.state import SealerState, write_state
from bot.sealer.words import NOWHERE
from bot.settings import Settings
from runbooks.errors import LedgerError

LOOK_EVERY = 0.5  # seconds
LEDGER_WITHIN = 60.0  # seconds until a ledger that is being made is there

log = structlog.get_logger(__name__)


async def run_sealer(settings: Settings) -> None:
    """Seal and publish until SIGTERM or SIGINT.

    Raises:
        HistoryError: the ledger is not what was sealed before; nothing is signed any more.
        ParamedicError: something that it needs is missing or wrong.
    """
    folder = _folder_of(settings)
    with only_one(folder, "sealer"):
        async with until_signal() as running:
            ledger = await _open_patiently(settings.ledger)
            try:
                await _work(settings, ledger, folder, running)
            finally:
                await running.cancel()
                ledger.close()


async def seal_once(settings: Settings, *, everything: bool) -> bool:
    """Seal and publish what there is; return whether every destination has it.

    Args:
        everything: compare the whole ledger first, and not only what came since the last checkpoint.

    Raises:
        HistoryError: the ledger is not what was sealed before; nothing is signed any more.
        ParamedicError: something that it needs is missing or wrong.
    """
    folder = _folder_of(settings)
    with only_one(folder, "sealer"):
        ledger = await _open_patiently(settings.ledger)
        try:
            office = await _office(settings, ledger, folder)
            return await office.seal_once(everything=everything)
        finally:
            ledger.close()


def _folder_of(settings: Settings) -> Path:
    folder = settings.sealers_folder
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    return folder


async def _office(settings: Settings, ledger: Ledger, folder: Path) -> Office:
    memory = Memory(folder, f"paramedic/{await ledger.read(installation_id)}")
    return Office(ledger, memory, folder, list(_destinations(settings, folder)))


async def _work(settings: Settings, ledger: Ledger, folder: Path, running: Running) -> None:
    office = await _office(settings, ledger, folder)
    running.add("sealing", office.keep_sealing())
    for publisher in office.publishers:
        running.add(f"publishing to {publisher.name}", publisher.keep_publishing())
    log.info("sealing", key=office.key, destinations=[each.name for each in office.publishers])
    if not office.publishers:
        log.warning(NOWHERE)
    await running.until_told()


def _destinations(settings: Settings, folder: Path) -> Iterator[Destination]:
    if settings.checkpoint_folder is not None:
        yield FolderDestination(settings.checkpoint_folder)
    if settings.checkpoint_git is not None:
        yield GitDestination(settings.checkpoint_git, folder / "git")
    if settings.checkpoint_ssh is not None:
        yield SshDestination(settings.checkpoint_ssh)


class Office:
    """Sealing and publishing together, and what is told of both."""

    def __init__(
        self, ledger: Ledger, memory: Memory, folder: Path, destinations: Sequence[Destination]
    ) -> None:
        self._memory = memory
        self._folder = folder
        self._sealer = Sealer(ledger, memory)
        self.publishers = [Publisher(ledger, each, folder, on_change=self._tell) for each in destinations]

    @property
    def key(self) -> str:
        """The public key that others verify with, as one line of text."""
        return str(self._memory.key)

    async def seal_once(self, *, everything: bool) -> bool:
        """Seal what is new, publish what is not published yet; return whether every destination has it.

        Raises:
            HistoryError: the ledger is not what was sealed before.
            LedgerError: it cannot be read or written.
            OSError: what was signed cannot be remembered.
        """
        try:
            await self._sealer.begin(everything=everything)
            if self._is_new(await self._sealer.look()):
                seal = await self._sealer.seal()
                log.info("sealed", checkpoint=seal.number, records=seal.size)
        except HistoryError as error:
            self._tell(refused=str(error))
            raise
        published = await asyncio.gather(*(each.publish_all() for each in self.publishers))
        self._tell()
        return all(published)

    def _is_new(self, seen: Look) -> bool:
        """Return whether there is something to say: records, another key, or that there were none for long."""
        if seen.size > self._sealer.sealed or self._sealer.hands_over:
            return True
        sealed_at = self._sealed_at()
        return sealed_at is not None and datetime.now(UTC) - sealed_at >= SILENCE

    async def keep_sealing(self) -> None:
        """Seal whenever it is due.

        Raises:
            HistoryError: the ledger is not what was sealed before.
        """
        try:
            await self._sealer.begin()
            self._tell()
            while True:
                await self._seal_if_due()
                await asyncio.sleep(LOOK_EVERY)
        except HistoryError as error:
            self._tell(refused=str(error))
            raise

    async def _seal_if_due(self) -> None:
        try:
            if not self._sealer.is_due(await self._sealer.look()):
                return
            seal = await self._sealer.seal()
        except (LedgerError, OSError) as error:
            log.warning("the ledger is not sealed yet", error=str(error))
            return
        log.info("sealed", checkpoint=seal.number, records=seal.size)
        self._tell()
        for publisher in self.publishers:
            publisher.wake()

    def _sealed_at(self) -> datetime | None:
        last = self._memory.last
        note = None if last is None else read_note(last.seal.note)
        return None if note is None else note.checkpoint.at

    def _tell(self, refused: str = "") -> None:
        last = self._memory.last
        number = -1 if last is None else last.seal.number
        state = SealerState(
            refused=refused,
            number=number,
            size=0 if last is None else last.seal.size,
            sealed_at=self._sealed_at(),
            behind={each.name: max(0, number - each.published) for each in self.publishers},
        )
        try:
            write_state(self._folder, state)
        except OSError as error:
            log.warning("the sealer's state cannot be told", error=str(error))


async def _open_patiently(url: str) -> Ledger:
    """Open the ledger; at a first start the process that makes it may be slower.

    Raises:
        LedgerError: it is not there, or cannot be used.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LEDGER_WITHIN
    while True:
        try:
            return Ledger.open(url, create=False)
        except LedgerError:
            if loop.time() > deadline:
                raise
            await asyncio.sleep(LOOK_EVERY)
