"""Health: is this process alive, and can it do its work right now?

Alive needs no proof but the answer.  Ready means that the ledger can be written and that Temporal
answers.  Alerts are taken in without Temporal too, so a process that is not ready for that reason
still wants them; whoever routes alerts should look at `healthz`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from temporalio.client import Client

from activities.ledger.store import Ledger
from runbooks.errors import LedgerError

CHECKED_FOR = 1.0  # seconds that a result is good for
PATIENCE = 2.5  # seconds until a check that does not answer counts as failed

Check = Callable[[], Awaitable[None]]


class NotReadyError(Exception):
    """A check found that this part cannot do its work.  The message says what is wrong."""


class Health:
    """Asks the parts, at most once a second however often it is asked."""

    def __init__(
        self,
        checks: Mapping[str, tuple[str, Check]],
        clock: Callable[[], float] = time.monotonic,
        notes: Mapping[str, Callable[[], str]] | None = None,
    ) -> None:
        """Take for each part the word that means "well", and the check, which raises otherwise.

        What `notes` say is told as well, and decides nothing: work goes on without those parts.
        """
        self._checks = checks
        self._notes = notes or {}
        self._clock = clock
        self._asking = asyncio.Lock()
        self._words: dict[str, str] = {}
        self._asked_at = float("-inf")

    async def words(self) -> tuple[bool, dict[str, str]]:
        """Return whether all is well, and for each part its word."""
        async with self._asking:
            if self._clock() - self._asked_at >= CHECKED_FOR:
                found = await asyncio.gather(*(self._ask(*each) for each in self._checks.values()))
                self._words = dict(zip(self._checks, found, strict=True))
                self._asked_at = self._clock()
        well = {name: word for name, (word, _) in self._checks.items()}
        return self._words == well, {**self._words, **{name: note() for name, note in self._notes.items()}}

    async def _ask(self, word: str, check: Check) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                await check()
        except TimeoutError:
            return f"no answer within {PATIENCE:g} s"
        except NotReadyError as error:
            return str(error)
        return word


def ledger_is_writable(ledger: Ledger) -> tuple[str, Check]:
    """Return the check that takes the ledger's write lock, and writes nothing."""

    async def check() -> None:
        try:
            await ledger.write(lambda _: None)
        except LedgerError as error:
            raise NotReadyError(str(error)) from error

    return "writable", check


def temporal_is_reachable(client: Client) -> tuple[str, Check]:
    """Return the check that asks Temporal's frontend whether it serves."""

    async def check() -> None:
        try:
            serving = await client.service_client.check_health()
        except Exception as error:  # a lazy client raises RPCError, RuntimeError and others
            raise NotReadyError(f"not reachable: {error}") from error
        if not serving:
            raise NotReadyError("reachable, but it does not serve")

    return "reachable", check
