"""The bare program's workflow: look, act, look again.  Nothing else.

Looking is a local activity, because it is short and repeatable.  Acting is a regular one, because
a record must stand in the history before and after it; it is tried once, unless the order says that
it may be tried again: `make chaos` measures what that does.
"""

from __future__ import annotations

from datetime import timedelta

import httpx
from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

_TIMEOUT = timedelta(seconds=10)


class Order(BaseModel):
    """What a workflow is started with.  `attempts`: how often Temporal tries the action."""

    target: str
    attempts: int = 1


class Service:
    """The activities."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @activity.defn
    async def is_broken(self, order: Order) -> bool:
        """Ask the target for its state."""
        answer = await self._client.get(f"/state/{order.target}")
        return bool(answer.raise_for_status().json()["broken"])

    @activity.defn
    async def act(self, order: Order) -> None:
        """Mend the target."""
        answer = await self._client.post(f"/act/{order.target}", json={})
        answer.raise_for_status()


@workflow.defn
class Remedy:
    """One alert, one remedy."""

    @workflow.run
    async def run(self, order: Order) -> str:
        if not await self._is_broken(order):
            return "not_needed"
        retries = RetryPolicy(maximum_attempts=order.attempts)
        await workflow.execute_activity_method(
            Service.act, order, start_to_close_timeout=_TIMEOUT, retry_policy=retries
        )
        if await self._is_broken(order):
            raise ApplicationError(f"{order.target} is still broken")
        return "mitigated"

    async def _is_broken(self, order: Order) -> bool:
        return await workflow.execute_local_activity_method(
            Service.is_broken, order, start_to_close_timeout=_TIMEOUT
        )
