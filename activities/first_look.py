"""The first look at what is wrong: it begins while the admission is still being written.

To look changes nothing, so it may also turn out to have been in vain: where the commit fails.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from runbooks.language.facts import Facts
from runbooks.model.plan import PlannedCheck
from runbooks.model.verdict import CheckResult

Looked = tuple[Sequence[PlannedCheck], Sequence[CheckResult]]
"""Checks, and what was measured of each."""


class FirstLook:
    """One measurement, for one alert.

    Args:
        look: begins it.
    """

    def __init__(self, look: Callable[[Facts], Coroutine[Any, Any, Looked]]) -> None:
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._facts: Facts | None = None
        self._task: asyncio.Task[Looked] | None = None
        self._is_over = False

    def begin_soon(self, facts: Facts) -> None:
        """Let it begin.  From any thread, and more than once: a transaction may be repeated."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            self._loop.call_soon_threadsafe(self._begin_unless_over, facts)

    async def at(self, facts: Facts) -> Looked:
        """Return what is seen; it begins here where it has not begun with these very facts.

        Raises:
            RenderError: a check cannot be rendered for this alert.
        """
        return await self._begin(facts)

    def end(self) -> None:
        """Look no longer, nor begin: whoever is cancelled does not wait for the writer, who may let it begin later."""
        self._is_over = True
        self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _begin_unless_over(self, facts: Facts) -> None:
        if not self._is_over:
            self._begin(facts)

    def _begin(self, facts: Facts) -> asyncio.Task[Looked]:
        if self._task is None or facts != self._facts:
            self._cancel()
            self._facts = facts
            self._task = asyncio.create_task(self._look(facts))
            self._task.add_done_callback(_hear_out)
        return self._task


def _hear_out(task: asyncio.Task[Looked]) -> None:
    """Let a look have failed of which nobody wants to know any more."""
    if not task.cancelled():
        task.exception()
