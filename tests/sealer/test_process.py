"""The sealer as a process: one at a time, killed at any moment, and with an exit code of its own where it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from activities.ledger.anchors import read_anchors
from activities.ledger.checkpoints import seals_after
from activities.ledger.findings import VerifiedState
from activities.ledger.store import Ledger
from activities.ledger.verification import verify
from bot.sealer.child import SealerOnCall, environment_of
from bot.sealer.memory import public_key_in
from bot.sealer.state import read_state
from bot.sealer.words import REFUSED
from bot.settings import Settings
from runbooks.model.record import RecordKind
from tests.components import Sshd, require, sshd, wait_until
from tests.ledger.material import entry, tamper

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WITHIN = 60.0  # seconds; on a slow machine it takes many until a process of Python has begun


def settings_of(tmp_path: Path, **more: str) -> Settings:
    return Settings.from_env({"PARAMEDIC_DATA": str(tmp_path / "data"), **more})


@contextlib.asynccontextmanager
async def sealing(settings: Settings) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run the sealer; kill it where it still runs at the end."""
    process = subprocess.Popen(  # noqa: ASYNC220 - it starts in a millisecond
        [sys.executable, "-m", "bot.sealer"], env=environment_of(settings)
    )
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


def end(ledger: Ledger, number: int) -> None:
    """Let a remediation end, which is urgent."""
    stream = f"R-{number:06d}"
    ledger.write_now(
        lambda t: t.append(
            entry(f"{stream}/ending", stream, kind=RecordKind.ENDING, outcome="withheld", data={"count": 1})
        )
    )


def sizes(ledger: Ledger) -> list[int]:
    return [seal.size for seal in ledger.read_now(lambda c: seals_after(c, -1))]


def wrapped(server: Sshd, folder: Path) -> str:
    """Let the host append what it reads and nothing else; return what stands after `ssh`."""
    log, config, known = folder / "appended", folder / "ssh_config", folder / "known"
    public = server.authorized_keys.read_text().strip()
    server.authorized_keys.write_text(f'command="cat >> {log}",restrict {public}\n')
    known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    config.write_text(
        f"Host archive\n HostName 127.0.0.1\n Port {server.port}\n User {server.user}\n"
        f" IdentityFile {server.private_key}\n UserKnownHostsFile {known}\n StrictHostKeyChecking yes\n"
    )
    return f"-F {config} archive"


async def test_every_ending_is_sealed_and_published_however_often_the_sealer_is_killed(
    tmp_path: Path,
) -> None:
    """Five times, each right after an ending: the chain has no gap, and a folder, a repository and a far machine have it."""
    out, remote, far = tmp_path / "out", tmp_path / "remote.git", tmp_path / "far"
    out.mkdir()
    far.mkdir()
    subprocess.run([require("git"), "init", "--quiet", "--bare", str(remote)], check=True)  # noqa: ASYNC221 - the same
    async with sshd(far) as server:
        settings = settings_of(
            tmp_path,
            PARAMEDIC_CHECKPOINT_FOLDER=str(out),
            PARAMEDIC_CHECKPOINT_GIT=str(remote),
            PARAMEDIC_CHECKPOINT_SSH=wrapped(server, far),
        )
        ledger = Ledger.open(settings.ledger)
        for number in range(5):
            async with sealing(settings):
                end(ledger, number)
                await wait_until(
                    lambda wanted=number + 1: wanted in sizes(ledger), within=WITHIN, what="it is sealed"
                )
        async with sealing(settings):
            folder = settings.sealers_folder

            def all_published() -> bool:
                state = read_state(folder)
                return state is not None and len(state.behind) == 3 and not any(state.behind.values())

            await wait_until(all_published, within=WITHIN, what="everything is published")
    key = public_key_in(settings.sealers_folder)
    assert key is not None
    anchors = [*read_anchors(out, [key]), *read_anchors(far / "appended", [key])]
    report = ledger.read_now(lambda c: verify(c, [key], anchors))
    ledger.close()

    assert (report.state, report.problem, report.sealed) == (VerifiedState.OK, "", 5)
    assert {anchor.note.checkpoint.size for anchor in anchors} == {1, 2, 3, 4, 5}


async def test_a_ledger_that_went_back_ends_the_sealer_with_its_own_code(tmp_path: Path) -> None:
    """And the reason stands where the metrics read it; nothing more is signed."""
    settings = settings_of(tmp_path)
    ledger = Ledger.open(settings.ledger)
    async with sealing(settings) as process:
        end(ledger, 1)
        end(ledger, 2)
        await wait_until(lambda: 2 in sizes(ledger), within=WITHIN, what="it is sealed")
        before = sizes(ledger)
        ledger.close()
        tamper(settings.ledger, "delete from record", "update head set n = 0, frontier = x''")
        code = await asyncio.to_thread(process.wait, WITHIN)
    state = read_state(settings.sealers_folder)
    ledger = Ledger.open(settings.ledger)
    after = sizes(ledger)
    ledger.close()

    assert code == REFUSED
    assert state is not None
    assert "had 2 records when it was last sealed, and has 0 now" in state.refused
    assert after == before


async def test_a_second_sealer_is_refused(tmp_path: Path) -> None:
    """Two that sign would tell two stories."""
    settings = settings_of(tmp_path)
    Ledger.open(settings.ledger).close()
    async with sealing(settings):
        await wait_until(
            lambda: read_state(settings.sealers_folder) is not None, within=WITHIN, what="the first one runs"
        )
        async with sealing(settings) as second:
            assert await asyncio.to_thread(second.wait, WITHIN) == 2


class Clock:
    """Seconds that pass while a test waits, and not else."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def wait_until(self, holds: Callable[[], bool], *, what: str, step: float = 1.0) -> None:
        """Wait until it holds; each look takes `step` seconds."""

        def look() -> bool:
            self.now += step
            return holds()

        await wait_until(look, within=WITHIN, what=what)


@contextlib.asynccontextmanager
async def on_call(ledger: Ledger, settings: Settings, clock: Clock) -> AsyncIterator[None]:
    """Run what calls the sealer."""
    sealer = SealerOnCall(ledger, settings, monotonic=clock, look_every=0.01)
    calling = asyncio.create_task(sealer.supervise())
    try:
        yield
    finally:
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await sealer.stop()


async def test_on_call_it_comes_when_a_checkpoint_is_due_and_brings_what_a_destination_missed(
    tmp_path: Path,
) -> None:
    """At the start, for an ending, and again soon after where a destination did not take it."""
    out, clock = tmp_path / "out", Clock()
    settings = settings_of(tmp_path, PARAMEDIC_CHECKPOINT_FOLDER=str(out))
    ledger = Ledger.open(settings.ledger)
    end(ledger, 1)

    def behind() -> int | None:
        state = read_state(settings.sealers_folder)
        return None if state is None else state.behind.get("folder")

    def published() -> set[str]:
        return {file.name for file in out.glob("*.note")}

    first, second, third = "00000000-1.note", "00000001-2.note", "00000002-3.note"
    async with on_call(ledger, settings, clock):
        await clock.wait_until(lambda: behind() == 1, what="the first is sealed")
        out.mkdir()
        end(ledger, 2)
        await clock.wait_until(lambda: published() == {first, second}, what="both are out")
        end(ledger, 3)
        await clock.wait_until(lambda: published() == {first, second, third}, what="so is the third")
    ledger.close()


async def test_on_call_it_refuses_a_ledger_that_went_back_and_is_called_again(tmp_path: Path) -> None:
    """Nothing is signed, the reason stands where the metrics read it, and it goes on once the ledger is right again."""
    settings, clock = settings_of(tmp_path), Clock()
    ledger = Ledger.open(settings.ledger)
    end(ledger, 1)
    end(ledger, 2)

    def refused() -> str:
        state = read_state(settings.sealers_folder)
        return "" if state is None else state.refused

    async with on_call(ledger, settings, clock):
        await clock.wait_until(lambda: sizes(ledger) == [2], what="it is sealed")
        tamper(settings.ledger, "update record set seq = 7 where seq = 1")
        await clock.wait_until(lambda: "record 1 is missing" in refused(), what="it refuses", step=3600)
        tamper(settings.ledger, "update record set seq = 1 where seq = 7")
        await clock.wait_until(lambda: not refused(), what="it goes on")
    ledger.close()


async def test_on_call_one_that_hangs_is_killed_and_called_again(tmp_path: Path) -> None:
    """And one that cannot be started ends nothing but its own call."""
    ledger, called = Ledger.open(settings_of(tmp_path).ledger), tmp_path / "called"
    end(ledger, 1)
    clock = Clock()
    for command in (
        ("sh", "-c", f"echo once >> {called}; exec sleep 600", "-"),
        (str(tmp_path / "missing"),),
    ):
        sealer = SealerOnCall(
            ledger, settings_of(tmp_path), monotonic=clock, look_every=0.01, within=0.2, command=command
        )
        calling = asyncio.create_task(sealer.supervise())
        if called.exists():
            await clock.wait_until(lambda: clock.now > 10_000, what="some calls", step=100)
        else:
            await clock.wait_until(
                lambda: called.exists() and called.read_text().count("once") > 1, what="it is called again"
            )
        assert not calling.done()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await sealer.stop()
    ledger.close()


def test_the_child_gets_no_secret(tmp_path: Path) -> None:
    """Of the settings only those that a sealer needs."""
    settings = settings_of(
        tmp_path, PARAMEDIC_SLACK_BOT_TOKEN="xoxb-secret", PARAMEDIC_WEBHOOK_TOKENS="also-secret"
    )

    given = {name: text for name, text in environment_of(settings).items() if name.startswith("PARAMEDIC_")}

    assert given == {"PARAMEDIC_DATA": str(tmp_path / "data"), "PARAMEDIC_LOG_FORMAT": "json"}
