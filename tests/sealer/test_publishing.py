"""Publishing: every checkpoint gets to every destination, in order, once; one that is away blocks no other."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from activities.ledger.anchors import read_anchors
from activities.ledger.checkpoints import Seal
from activities.ledger.store import Ledger
from bot.sealer.destinations import (
    Destination,
    FolderDestination,
    GitDestination,
    NotPublishedError,
    SshDestination,
    name_of,
    run_program,
)
from bot.sealer.memory import Memory
from bot.sealer.publishing import Publisher
from bot.sealer.sealing import Sealer
from tests.components import require
from tests.ledger.material import entry

SEALS = [Seal(number=number, size=number + 1, note=f"note {number}\n") for number in range(3)]


def git(folder: Path, *arguments: str) -> str:
    argv = [require("git"), "-C", str(folder), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """An empty repository."""
    folder = tmp_path / "remote.git"
    folder.mkdir()
    git(folder, "init", "--quiet", "--bare", "--initial-branch=checkpoints")
    return folder


async def test_a_folder_gets_one_file_a_checkpoint_and_none_is_written_over(tmp_path: Path) -> None:
    """To deliver again is harmless; another content under the same name is refused."""
    folder = FolderDestination(tmp_path)
    await folder.publish(SEALS)
    await folder.publish(SEALS)

    assert sorted(os.listdir(tmp_path)) == [name_of(seal) for seal in SEALS]  # noqa: PTH208 - one look at a folder
    assert (tmp_path / name_of(SEALS[1])).read_text() == "note 1\n"
    assert os.stat(tmp_path / name_of(SEALS[1])).st_mode & 0o222 == 0  # noqa: PTH116 - one look at one file
    with pytest.raises(NotPublishedError, match="holds another checkpoint"):
        await folder.publish([SEALS[1].model_copy(update={"note": "another\n"})])
    assert (tmp_path / name_of(SEALS[1])).read_text() == "note 1\n"


async def test_a_folder_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    """The files would end up on the disk below."""
    with pytest.raises(NotPublishedError, match="mount it"):
        await FolderDestination(tmp_path / "away").publish(SEALS)

    assert not (tmp_path / "away").exists()


async def test_a_git_repository_gets_commits_on_top_of_one_another(tmp_path: Path, remote: Path) -> None:
    """Each delivery one commit, and one that was delivered before none."""
    destination = GitDestination(str(remote), tmp_path / "clone")
    await destination.publish(SEALS[:1])
    await destination.publish(SEALS)
    await destination.publish(SEALS)

    assert git(remote, "log", "--format=%s", "checkpoints").splitlines() == [
        "Checkpoint 2: 3 records",
        "Checkpoint 0: 1 records",
    ]
    assert git(remote, "show", f"checkpoints:{name_of(SEALS[2])}") == "note 2\n"


async def test_a_git_repository_whose_history_was_rewritten_is_refused(tmp_path: Path, remote: Path) -> None:
    """Somebody went back to before what was pushed."""
    destination = GitDestination(str(remote), tmp_path / "clone")
    await destination.publish(SEALS[:1])
    before = git(remote, "rev-parse", "checkpoints").strip()
    await destination.publish(SEALS[:2])
    git(remote, "update-ref", "refs/heads/checkpoints", before)

    with pytest.raises(NotPublishedError, match="rewritten its history"):
        await destination.publish(SEALS)


async def test_a_clone_that_was_left_half_made_is_made_whole(tmp_path: Path, remote: Path) -> None:
    """The sealer was killed while it made it, or while git held its lock."""
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "--quiet", "--initial-branch=checkpoints")
    lock = clone / ".git" / "index.lock"
    lock.touch()
    os.utime(lock, (0, 0))

    await GitDestination(str(remote), clone).publish(SEALS[:1])

    assert len(git(remote, "log", "--format=%h", "checkpoints").splitlines()) == 1


async def test_a_git_repository_to_which_others_write_is_written_on(tmp_path: Path, remote: Path) -> None:
    """Another sealer's commits stay where they are."""
    one = GitDestination(str(remote), tmp_path / "one")
    other = GitDestination(str(remote), tmp_path / "other")
    await one.publish(SEALS[:1])
    await other.publish(SEALS[:2])
    await one.publish(SEALS)

    assert len(git(remote, "log", "--format=%h", "checkpoints").splitlines()) == 3


async def test_ssh_says_what_went_wrong(tmp_path: Path) -> None:
    """Nobody listens there."""
    require("ssh")

    with pytest.raises(NotPublishedError, match="ssh ended with 255"):
        await SshDestination("-F none -p 1 127.0.0.1").publish(SEALS)


class Moody(Destination):
    """Refuses as often as it is told to, and remembers what it took."""

    name = "folder"

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.taken: list[int] = []

    async def publish(self, seals: Sequence[Seal]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise NotPublishedError("away")
        self.taken += [seal.number for seal in seals]


async def test_a_destination_that_was_away_gets_everything_later(ledger: Ledger, tmp_path: Path) -> None:
    """In order, once, and after a restart only what is new; meanwhile it is told why."""
    folder = tmp_path / "sealer"
    folder.mkdir()
    sealer = Sealer(ledger, Memory(folder, "paramedic/test"))
    await sealer.begin()
    for number in range(3):
        ledger.write_now(lambda t, number=number: t.append(entry(f"record-{number}")))
        await sealer.seal()
    told: list[str] = []
    moody = Moody(refusals=2)
    publisher = Publisher(
        ledger, moody, folder, on_change=lambda: told.append(publisher.problem), pauses=(0.0,)
    )

    async with asyncio.timeout(30):
        running = asyncio.create_task(publisher.keep_publishing())
        while publisher.published < 2 or publisher.problem:  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert moody.taken == [0, 1, 2]
    assert told[0] == "away"
    assert told[-1] == ""
    again = Publisher(ledger, moody, folder, on_change=lambda: None)
    assert again.published == 2
    assert not await again.publish_some()


async def test_what_was_published_is_what_a_verifier_reads(ledger: Ledger, tmp_path: Path) -> None:
    """The files of a folder are anchors."""
    folder, out = tmp_path / "sealer", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    memory = Memory(folder, "paramedic/test")
    ledger.write_now(lambda t: t.append(entry("record")))
    await Sealer(ledger, memory).seal()
    await Publisher(ledger, FolderDestination(out), folder, on_change=lambda: None).publish_some()

    [anchor] = read_anchors(out, [memory.key])

    assert anchor.note.checkpoint.size == 1


async def test_a_program_that_does_not_end_is_killed_with_what_it_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A grandchild that keeps the pipes open keeps nobody waiting."""
    monkeypatch.setattr("bot.sealer.destinations.ANSWER_WITHIN", 0.3)

    async with asyncio.timeout(30):
        with pytest.raises(NotPublishedError, match="did not end within"):
            await run_program("sh", "-c", "sleep 600 & wait")
