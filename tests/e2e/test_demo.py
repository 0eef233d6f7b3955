"""The demo with a person: it goes on running after the story, and Ctrl-C ends all of it."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path

import psutil
import pytest

from bot.practice.hands import Hands
from bot.slack.card import APPROVE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds


async def read_until(demo: Process, wanted: str) -> str:
    """Return what the demo says up to the line that matches `wanted`."""
    told = ""
    async with asyncio.timeout(PATIENCE):
        while not re.search(wanted, told):
            line = await demo.stdout.readline()
            assert line, told
            told += line.decode()
    return told


@pytest.fixture
async def demo(tmp_path):
    """The demo as `make demo` starts it."""
    argv = [sys.executable, "-m", "bot", "demo", "--folder", str(tmp_path / "demo")]
    started = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=STDOUT, cwd=ROOT)
    yield started
    if started.returncode is None:
        started.send_signal(signal.SIGINT)
        await asyncio.wait_for(started.wait(), PATIENCE)


async def test_everything_still_runs_after_the_story_and_ctrl_c_leaves_nothing_behind(demo, tmp_path):
    """The card shows the ending, the page still answers, and then no process is left and the code is 0."""
    told = await read_until(demo, r"http://127\.0\.0\.1:\d+/\S*")
    async with Hands(re.search(r"http://127\.0\.0\.1:\d+/\S*", told)[0]) as hands:
        card = await hands.wait_for_button(APPROVE, timeout=PATIENCE)
        await hands.approve(card, timeout=PATIENCE)
        told += await read_until(demo, "ledger verify\n")
        family = psutil.Process(demo.pid).children(recursive=True)
        (_, second) = await hands.messages()
        await hands.command("/runbook", "status")
        assert await hands.wait_for(lambda sight: "Nothing is frozen." in str(sight.ephemerals))
    demo.send_signal(signal.SIGINT)
    async with asyncio.timeout(PATIENCE):
        rest = (await demo.communicate())[0].decode()

    assert (demo.returncode, rest.strip()) == (0, "Ending everything, in order ...")
    assert "Mitigated" in second["text"]
    assert len(family) >= 4  # supervisord, the patient, Paramedic, Temporal
    assert [each for each in family if each.is_running()] == []
    assert re.search(rf"PARAMEDIC_DATA={tmp_path}/demo/data \S+ timeline R-\w{{6}}", told)


async def test_the_lines_speak_one_time_and_tell_nothing_twice(demo):
    """Every time is UTC, a click is told by its judgement, and the first alert is no further one."""
    told = await read_until(demo, r"must approve by \S+ UTC")
    demo.send_signal(signal.SIGINT)
    await asyncio.wait_for(demo.communicate(), PATIENCE)

    asked, until = re.search(r"(\d\d:\d\d:\d\d)\.\d+ .* by (\S+) UTC", told).groups()
    minutes = [int(hour) * 60 + int(minute) for hour, minute, _ in (asked.split(":"), until.split(":"))]
    # Both are cut to the minute, and the line is written after the gate opened: a minute may begin in between.
    assert (minutes[1] - minutes[0]) % 1440 in {14, 15}
    assert "further notification" not in told
    assert "An answer came in" not in told
