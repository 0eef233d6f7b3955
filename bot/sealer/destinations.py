"""Where checkpoints go: outside the database, where its owner cannot change them.

Each destination only ever adds.  What it says of itself is a closed word (`folder`, `git`, `ssh`),
and that its notes are there or why not; whether to try again is for the publisher to decide.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from activities.ledger.checkpoints import Seal
from bot.sealer.files import create_file
from runbooks.errors import ParamedicError

ANSWER_WITHIN = 60.0  # seconds for one program
_BRANCH = "checkpoints"
_REMOTE_BRANCH = f"refs/remotes/origin/{_BRANCH}"
_PUSHED = "refs/paramedic/pushed"  # where the remote certainly was
_SAID_LIMIT = 300  # characters of what a program said that are repeated


class NotPublishedError(ParamedicError):
    """A destination did not take a checkpoint."""

    code = "not_published"


def _forget_lock(file: Path) -> None:
    """Remove what a program left that was killed: the folder is ours, and none of ours runs so long."""
    with suppress(FileNotFoundError):
        if time.time() - file.stat().st_mtime > 2 * ANSWER_WITHIN:
            file.unlink()


def name_of(seal: Seal) -> str:
    """Return the file name of a checkpoint: in the order of their numbers, with the records that it covers."""
    return f"{seal.number:08d}-{seal.size}.note"


class Destination(ABC):
    """One place that takes checkpoints."""

    name: str

    @abstractmethod
    async def publish(self, seals: Sequence[Seal]) -> None:
        """Add these checkpoints; one that is there already stays as it is.

        Raises:
            NotPublishedError: they are not all there.
        """


class FolderDestination(Destination):
    """A folder on another disk or machine, mounted here.  One file a checkpoint, never written over."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def publish(self, seals: Sequence[Seal]) -> None:
        """Write the files."""
        await asyncio.to_thread(self._write, seals)

    def _write(self, seals: Sequence[Seal]) -> None:
        # It is not made here: where a mount is missing, its files would end up on the disk below.
        if not self._folder.is_dir():
            raise NotPublishedError(f"there is no folder {self._folder}: make it, or mount it")
        try:
            for seal in seals:
                self._write_one(self._folder / name_of(seal), seal.note)
        except OSError as error:
            raise NotPublishedError(f"{self._folder} cannot be written: {error.strerror}") from error

    def _write_one(self, file: Path, note: str) -> None:
        try:
            create_file(file, note)
        except FileExistsError:
            if file.read_bytes() != note.encode():
                raise NotPublishedError(
                    f"{file} holds another checkpoint: two ledgers or two sealers write there, or it was changed"
                ) from None


class GitDestination(Destination):
    """A git repository: each checkpoint a file, each delivery a commit, pushed and never forced.

    Args:
        remote: what `git clone` understands.
        clone: the sealer's own copy of it.
    """

    name = "git"

    def __init__(self, remote: str, clone: Path) -> None:
        self._remote = remote
        self._clone = clone

    async def publish(self, seals: Sequence[Seal]) -> None:
        """Commit the files on top of what is there, and push."""
        await self._catch_up()
        for seal in seals:
            self._put(self._clone / name_of(seal), seal.note)
        await self._git("add", "--all")
        if await self._git("status", "--porcelain"):
            newest = seals[-1]
            await self._git("commit", "--quiet", "-m", f"Checkpoint {newest.number}: {newest.size} records")
        await self._git("push", "--quiet", "origin", f"HEAD:refs/heads/{_BRANCH}")
        await self._git("update-ref", _PUSHED, "HEAD")

    async def _catch_up(self) -> None:
        """Stand where the remote stands, which must have grown out of where we stood."""
        # Each of these may be the first after a crash in the middle of them, and is safe to repeat.
        self._clone.mkdir(parents=True, exist_ok=True)
        _forget_lock(self._clone / ".git" / "index.lock")
        await self._git("init", "--quiet", f"--initial-branch={_BRANCH}")
        await self._git("config", "remote.origin.url", self._remote)
        await self._git("config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
        await self._git("fetch", "--quiet", "--prune", "origin")
        there, pushed = await self._commit_of(_REMOTE_BRANCH), await self._commit_of(_PUSHED)
        if pushed and (not there or not await self._contains(there, pushed)):
            raise NotPublishedError(
                f"{self._remote} no longer holds what was pushed to it: somebody has rewritten its history"
            )
        if there:
            await self._git("reset", "--quiet", "--hard", _REMOTE_BRANCH)

    async def _commit_of(self, reference: str) -> str:
        return await self._git("for-each-ref", "--format=%(objectname)", reference)

    async def _contains(self, newer: str, older: str) -> bool:
        return await self._git("merge-base", newer, older) == older

    def _put(self, file: Path, note: str) -> None:
        try:
            if not file.exists():
                file.write_text(note, encoding="utf-8")
            elif file.read_bytes() != note.encode():
                raise NotPublishedError(f"{self._remote} holds another checkpoint as {file.name}")
        except OSError as error:
            raise NotPublishedError(f"{file} cannot be written: {error.strerror}") from error

    async def _git(self, *arguments: str) -> str:
        fixed = ("-c", "user.name=Paramedic sealer", "-c", "user.email=sealer@paramedic.invalid")
        quiet = ("-c", "commit.gpgSign=false", "-c", "core.hooksPath=/dev/null")
        return await run_program("git", "-C", str(self._clone), *fixed, *quiet, *arguments)


class SshDestination(Destination):
    """Another machine, by ssh, where a forced command appends what it reads to a file.

    Args:
        words: what stands after `ssh`: options, and the host.
    """

    name = "ssh"

    def __init__(self, words: str) -> None:
        self._words = shlex.split(words)

    async def publish(self, seals: Sequence[Seal]) -> None:
        """Send the notes on standard input; the far command's exit code 0 says that they are kept."""
        options = ("-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
        notes = "".join(f"{seal.note}\n" for seal in seals)
        await run_program("ssh", *options, *self._words, said=notes)


async def run_program(*argv: str, said: str = "") -> str:
    """Run a program, tell it `said`, and return what it says.

    Raises:
        NotPublishedError: it is missing, it failed, or it did not end in time.
    """
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        program = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise NotPublishedError(f"{argv[0]} cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            output, errors = await program.communicate(said.encode())
    except TimeoutError:
        raise NotPublishedError(f"{argv[0]} did not end within {ANSWER_WITHIN:g} s") from None
    finally:
        if program.returncode is None:
            # With all that it started: a grandchild that keeps the pipes open would be waited for, for ever.
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            await program.wait()
    if program.returncode != 0:
        told = errors.decode(errors="replace").strip()[-_SAID_LIMIT:]
        raise NotPublishedError(f"{argv[0]} ended with {program.returncode}: {told}")
    return output.decode(errors="replace").strip()
