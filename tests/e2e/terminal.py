"""A command line beside an installation: the product's own command as a process, with a login of its own.

alice = home.terminal("alice")
await alice.log_in("alice")
answer = await alice.run("approve", "R-7F3K2Q", "--yes")
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

from bot.practice.hands import Hands


class Terminal:
    """One command line.

    Args:
        environment: its variables; `XDG_CONFIG_HOME` says where its login is kept.
        hands: type in Slack what it asks for.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], hands: Hands) -> None:
        self._folder = folder
        self._environment = environment
        self._hands = hands

    async def run(self, *arguments: str) -> CompletedProcess[str]:
        """Run `paramedic` with these arguments; return its exit code and what it printed."""
        return await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "bot", *arguments], env=self._environment, cwd=self._folder,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    async def log_in(self, person: str) -> str:
        """Let a person of Slack log in here.  Return what the command prints."""
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "login", env=self._environment, cwd=self._folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert command.stderr is not None
        first = (await command.stderr.readline()).decode()
        assert "/runbook login " in first, first + (await command.stderr.read()).decode()
        await self._hands.command("/runbook", f"login {first.split()[-1]}", person)
        printed, complaints = await asyncio.wait_for(command.communicate(), 60)
        assert command.returncode == 0, complaints.decode()
        return printed.decode()
