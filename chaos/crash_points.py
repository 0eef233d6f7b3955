"""Named points at which a process under test kills itself.

The product has no hooks.  These are Temporal interceptors, one on each side of the guard, and
wrappers around the few public methods through which alerts, clicks and receipts become durable.
`install` puts them in place, in a process that does nothing else than be tested.

    before_inbox      an alert was read and is not durable
    before_answer     it is durable, and its sender was not answered
    taking_in         the sender was answered; records and entries are written and not committed
    after_examine     admitted, measured, planned; Temporal does not know it yet
    after_gate        people are about to be asked: the gate is on record
    before_intent     an action was ordered, and the guard was not asked
    after_intent      the intent is durable, nothing was done
    after_effect      it was done, and the guard does not know it
    during_receipt    its receipt is on the way to the disk
    after_receipt     it is durable, and Temporal does not know it
    after_verify      the ending is on record, and Temporal does not know it
    after_click       a click is durable, and was not acknowledged
    after_judgement   a decision was counted, and the workflow does not know it
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker

import activities.spool
import bot.worker
from activities import guard
from activities.ledger import inbox
from bot.answers import Answers
from bot.intake import Intake
from runbooks.ports.case import ActionOrder

T = TypeVar("T")

AFTER_CASE = {
    "examine": "after_examine",
    "open_gate": "after_gate",
    "verify": "after_verify",
    "judge_decision": "after_judgement",
}
"""Activities of the case, and the point at which they have returned and nobody knows."""

ACTION_POINTS = ("before_intent", "after_intent", "after_effect", "during_receipt", "after_receipt")
POINTS = (
    *("before_inbox", "before_answer", "taking_in", "after_examine", "after_gate"),
    *ACTION_POINTS,
    *("after_verify", "after_click", "after_judgement"),
)


class Fuse:
    """Kills the process when it comes to a point for the n-th time; `after_effect:2`."""

    def __init__(self, text: str) -> None:
        self._point, _, left = text.partition(":")
        self._left = int(left or 1)
        if self._point not in POINTS:
            raise ValueError(f"there is no point {self._point!r}; there are: {', '.join(POINTS)}")

    def reach(self, point: str) -> None:
        """Say that the process is at `point` now; it may not return from here."""
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def install(text: str) -> None:
    """Put the fuse `text` into this process."""
    fuse = Fuse(text)
    bot.worker.Worker = functools.partial(_worker, fuse)  # type: ignore[assignment, misc]
    Intake.take = _around(Intake.take, fuse, before="before_inbox", after="before_answer")  # type: ignore[method-assign]
    inbox.accept = _then(inbox.accept, fuse, "taking_in")
    Answers.receive = _around(Answers.receive, fuse, after="after_click")  # type: ignore[method-assign]
    guard.write_late = _in_the_middle(activities.spool.write_late, fuse, "during_receipt")


def _worker(fuse: Fuse, *arguments: Any, interceptors: list[Interceptor], **more: Any) -> Worker:
    """Return a worker whose guard stands between two interceptors of ours."""
    return Worker(
        *arguments,
        interceptors=[_Beside(fuse, "before_intent", "after_receipt"), *interceptors, _Beside(fuse, "after_intent", "after_effect")],
        **more,
    )  # fmt: skip


class _Beside(Interceptor):
    def __init__(self, fuse: Fuse, before: str, after: str) -> None:
        self._points = (fuse, before, after)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the name is Temporal's
        return _Inbound(next, *self._points)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, fuse: Fuse, before: str, after: str) -> None:  # noqa: A002 - the name is Temporal's
        super().__init__(next)
        self._fuse, self._before, self._after = fuse, before, after

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the name is Temporal's
        order = input.args[0]
        if not isinstance(order, ActionOrder):
            found = await self.next.execute_activity(input)
            if self._after == "after_receipt":  # the outer one: else it would be counted twice
                self._fuse.reach(AFTER_CASE.get(activity.info().activity_type, ""))
            return found
        if order.attempt > 1:  # what was hurt once may recover
            return await self.next.execute_activity(input)
        self._fuse.reach(self._before)
        receipt = await self.next.execute_activity(input)
        self._fuse.reach(self._after)
        return receipt


def _then(function: Callable[..., T], fuse: Fuse, point: str) -> Callable[..., T]:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> T:
        found = function(*arguments, **named)
        fuse.reach(point)
        return found

    return wrapped


def _around(
    method: Callable[..., Awaitable[Any]], fuse: Fuse, *, before: str = "", after: str = ""
) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(method)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        fuse.reach(before)
        found = await method(*arguments, **named)
        fuse.reach(after)
        return found

    return wrapped


def _in_the_middle(
    write: Callable[..., Awaitable[Any]], fuse: Fuse, point: str
) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(write)
    async def wrapped(*arguments: Any) -> Any:
        writing = asyncio.ensure_future(write(*arguments))
        await asyncio.sleep(0)  # now the ledger's thread is at work
        fuse.reach(point)
        return await writing

    return wrapped
