"""What was acknowledged survives: a killed process, a server that stops in the middle, a disk that is full."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from activities.ledger import records
from activities.ledger.store import Ledger
from activities.ledger.verification import VerifiedState, verify
from tests.components import leave_out
from tests.postgres import Postgres, postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = 30
STOPS = 10
WRITERS = 4
WITHIN = 60.0  # seconds; for what takes milliseconds on a quiet machine

APPENDING = """
import asyncio, sys
from activities.ledger.store import Ledger
from runbooks.errors import LedgerError
from tests.ledger.material import entry

async def keep(ledger, event, stream):
    # One that need not wait, one that waits, and then both are on the disk.
    await ledger.write(lambda t: t.append(entry(event + "/soft", stream)), durable=False)
    await ledger.append(entry(event, stream))

async def append_for_ever(ledger, name):
    number = 0
    while True:
        event = f"{name}/{number}"
        try:
            await keep(ledger, event, f"R-{name}")
        except LedgerError as error:
            print("refused", event, error, flush=True)
            await asyncio.sleep(0.02)
            continue  # the same again: it may have been kept
        print("kept", event, flush=True)
        number += 1

async def main(url, name, tasks):
    ledger = Ledger.open(url)
    async with asyncio.TaskGroup() as group:
        for number in range(int(tasks)):
            group.create_task(append_for_ever(ledger, f"{name}-{number}"))

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass
class Writer:
    """A process that appends until it is killed, and says what was kept and what was refused."""

    process: subprocess.Popen[bytes]
    log: Path

    def told(self, word: str) -> list[str]:
        """Return the events of which it said `word`; the last line may be half a line, and does not count."""
        lines = self.log.read_text().rpartition("\n")[0].splitlines()
        return [line.split(" ")[1] for line in lines if line.startswith(f"{word} ")]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def writer(url: str, folder: Path, name: str, *, tasks: int) -> Iterator[Writer]:
    """Start a writer, wait until its first record is kept, and kill it after."""
    log = folder / f"{name}.log"
    with log.open("wb") as output, (folder / f"{name}.err").open("wb") as errors:
        argv = [sys.executable, "-c", APPENDING, url, name, str(tasks)]
        started = Writer(subprocess.Popen(argv, stdout=output, stderr=errors), log)
    try:
        wait_for(lambda: bool(started.told("kept")), (folder / f"{name}.err").read_text)
        yield started
    finally:
        started.kill()


def wait_for(holds: Callable[[], bool], explain: Callable[[], str]) -> None:
    deadline = time.monotonic() + WITHIN
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {WITHIN} s: {explain()}")
        time.sleep(0.01)


def kept_in(url: str) -> Counter[str]:
    """Return the events that are recorded, in a ledger that verifies."""
    ledger = Ledger.open(url, create=False)
    try:
        report = ledger.read_now(verify)
        found = ledger.read_now(lambda c: records.after(c, -1, report.size + 1))
    finally:
        ledger.close()
    assert report.state is VerifiedState.OK, report.problem
    assert len(found) == report.size
    return Counter(each.event_id for each in found)


def test_what_was_acknowledged_survives_being_killed(url: str, tmp_path: Path) -> None:
    """Thirty times in a row, on the same ledger: all acknowledged records are there, once, and it verifies."""
    acknowledged: set[str] = set()
    moment = random.Random(7)
    for number in range(KILLS):
        with writer(url, tmp_path, f"w{number}", tasks=8) as running:
            time.sleep(moment.uniform(0.0, 0.15))  # the moment is what is tested, not waited for
        acknowledged.update(running.told("kept"))

    kept = kept_in(url)
    assert len(acknowledged) >= KILLS
    assert acknowledged <= kept.keys()
    assert set(kept.values()) == {1}


def test_what_was_acknowledged_survives_a_server_that_stops(tmp_path: Path) -> None:
    """PostgreSQL stops without a checkpoint, ten times, under four writers: nothing is lost, nothing twice.

    Who was refused appends the same event again: it may have been kept, and is not kept twice.
    """
    with postgres() as server, contextlib.ExitStack() as stack:
        url = server.database()
        Ledger.open(url).close()
        writers = [
            stack.enter_context(writer(url, tmp_path, f"w{number}", tasks=4)) for number in range(WRITERS)
        ]
        for _ in range(STOPS):
            stop_and_start(server, writers)
        for each in writers:
            each.kill()

        kept = kept_in(url)
    acknowledged = {event for each in writers for event in each.told("kept")}
    assert all(each.told("refused") for each in writers)
    assert len(acknowledged) > STOPS * WRITERS
    assert acknowledged <= kept.keys()
    assert set(kept.values()) == {1}


def stop_and_start(server: Postgres, writers: list[Writer]) -> None:
    """Stop the server in the middle of everybody's work; return when everybody is at work again."""
    server.stop_at_once()
    server.start()
    before = [len(each.told("kept")) for each in writers]

    def all_go_on() -> bool:
        return all(len(each.told("kept")) > count + 4 for each, count in zip(writers, before, strict=True))

    wait_for(all_go_on, lambda: server.log() + "".join(each.log.read_text()[-500:] for each in writers))


# --- a full disk ----------------------------------------------------------------------------------

FILLING = """
import resource, sys
from activities.ledger.store import Ledger
from runbooks.errors import LedgerError
from tests.ledger.material import entry

url, limit = sys.argv[1], int(sys.argv[2])
ledger = Ledger.open(url)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # bytes a file may have: a quota
number = 0
try:
    while number < 2000:
        ledger.write_now(lambda t: t.append(entry(f"before/{number}", data={"text": "x" * 5_000})))
        number += 1
except LedgerError as error:
    print("full", number, error, flush=True)
for turn in range(3):
    try:
        ledger.write_now(lambda t: t.append(entry(f"meanwhile/{turn}", data={"text": "x" * 50_000})))
        print("written all the same", flush=True)
    except LedgerError:
        print("refused", flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
ledger.write_now(lambda t: t.append(entry("after")))
print("goes on", flush=True)
ledger.close()
"""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """Mount a disk of 1 MiB at `folder`; what is yielded makes room on it.  Only root may, or who may become root."""
    as_root = [] if os.getuid() == 0 else ["sudo", "-n"]

    def mount(*arguments: str) -> bool:
        done = subprocess.run([*as_root, "mount", *arguments, str(folder)], capture_output=True, check=False)
        return done.returncode == 0

    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size=1m,uid={os.getuid()}", "tmpfs"):
        leave_out("a small disk cannot be mounted: let this user become root by sudo")
    try:
        yield lambda: None if mount("-o", "remount,size=16m") else pytest.fail("it cannot be made larger")
    finally:
        subprocess.run([*as_root, "umount", str(folder)], check=True)


def fill(folder: Path, make_room: Callable[[], None], *, limit: int = 0) -> str:
    """Append until there is no room, make room, append again; return what the ledger said when it was full."""
    url = f"sqlite:///{folder / 'ledger.db'}"
    argv = [sys.executable, "-c", FILLING, url, str(limit)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        full = child.stdout.readline()
        meanwhile = [child.stdout.readline() for _ in range(3)]
        make_room()
        child.stdin.write("\n")
        child.stdin.flush()
        rest = child.stdout.read()

    assert meanwhile == ["refused\n"] * 3
    assert rest == "goes on\n"
    count = int(full.split(" ")[1])
    assert count > 10
    assert kept_in(url) == Counter([*(f"before/{number}" for number in range(count)), "after"])
    return full


def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    """What was acknowledged is there, what was refused is not, and with room it goes on by itself."""
    with small_disk(tmp_path / "disk") as make_room:
        assert "make room on its disk" in fill(tmp_path / "disk", make_room)


def test_a_quota_that_is_used_up_refuses_and_recovers(tmp_path: Path) -> None:
    """The same, where the system has another word for it."""
    said = fill(tmp_path, lambda: None, limit=1_000_000)

    assert "a quota is used up" in said or "make room on its disk" in said
