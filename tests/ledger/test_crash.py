"""A process that is killed at any moment loses nothing that it was told was kept."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

from activities.ledger import records
from activities.ledger.store import Ledger
from activities.ledger.verification import VerifiedState, verify

ROUNDS = 10

CHILD = """
import asyncio, sys
from activities.ledger.store import Ledger
from tests.ledger.material import entry

async def append_for_ever(ledger, name):
    number = 0
    while True:
        (kept,) = await ledger.append(entry(f"{name}/{number}", f"R-{name}"))
        print(kept.event_id, flush=True)
        number += 1

async def main(url, round_):
    ledger = Ledger.open(url)
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(append_for_ever(ledger, f"{round_}-{number}"))

asyncio.run(main(*sys.argv[1:]))
"""


def killed_at_some_moment(url: str, round_: int) -> set[str]:
    """Let a child append until it is killed, and return what it said was kept."""
    command = [sys.executable, "-c", CHILD, url, str(round_)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().rstrip("\n")]  # it is at work now
        time.sleep(random.Random(round_).uniform(0.0, 0.3))
        child.send_signal(signal.SIGKILL)
        lines = child.stdout.read().split("\n")
    return {*acknowledged, *lines[:-1]}  # the last line may be half a line


@pytest.mark.slow
def test_what_was_acknowledged_survives_being_killed(url: str) -> None:
    """Ten times in a row, on the same ledger: all acknowledged records are there, and it verifies."""
    acknowledged: set[str] = set()
    for round_ in range(ROUNDS):
        acknowledged |= killed_at_some_moment(url, round_)

    ledger = Ledger.open(url, create=False)
    report = ledger.read_now(verify)
    kept = {each.event_id for each in ledger.read_now(lambda c: records.after(c, -1, report.size))}
    ledger.close()

    assert report.state is VerifiedState.OK
    assert len(acknowledged) > 10 * ROUNDS
    assert acknowledged <= kept
