"""Carrying out declared actions and measuring checks: the step from a plan to a function call.

Each declared action becomes one Temporal activity type of the same name, so that histories and
the Temporal UI say `ssh.run` and not `act`.  What is registered here only performs: every call
passes the guard (`activities.guard`), which decides and keeps the record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from temporalio import activity

from activities.actions import Action, Clients, Measurement, Registry, Scene, Teller
from activities.connections import Connections
from activities.plans import Plans
from runbooks.errors import MeasureError, NotSentError, ParamedicError, RenderError
from runbooks.language.facts import Facts
from runbooks.language.rendering import assess
from runbooks.model.action import ActionResult, Effect
from runbooks.model.plan import PlannedAction, PlannedCheck
from runbooks.model.verdict import CheckResult, Verdict
from runbooks.ports.case import ActionOrder

MEASURE_ATTEMPTS = 3  # a check that got no answer is asked again this often
MEASURE_PAUSE = 0.5  # seconds between two of them


class Performer:
    """All declared actions with what they need to act.

    Attributes:
        registry: the actions of this installation.
    """

    def __init__(self, registry: Registry, connections: Connections, teller: Teller | None = None) -> None:
        self.registry = registry
        self._connections = connections
        self._teller = teller
        self._clients = Clients()

    async def aclose(self) -> None:
        """Close the clients of outside systems."""
        await self._clients.aclose()

    def scene(self, order: ActionOrder, target: str, begun_at: datetime) -> Scene:
        """Return what the action of `order` finds when it arrives."""
        return Scene(
            remediation=order.remediation,
            target=target,
            connections=self._connections,
            clients=self._clients,
            begun_at=begun_at,
            key=order.key,
            attempt=order.attempt,
            teller=self._teller,
        )

    def activities(self, plans: Plans) -> list[Callable[..., Any]]:
        """Return one Temporal activity for each declared action that changes or tells something."""
        acting = (each for each in self.registry.values() if each.declaration.effect is not Effect.READ)
        return [self._activity(each, plans) for each in acting]

    async def perform(self, each: Action, planned: PlannedAction, scene: Scene) -> ActionResult:
        """Do what is planned, with its parameters validated once more.

        Raises:
            EffectError: says whether it was done; anything else that is raised counts as unknown.
        """
        result = await each.perform(parameters_of(each, planned), scene)
        if not isinstance(result, ActionResult):
            raise TypeError(f"{each.declaration.name} returned {type(result).__name__}, not an ActionResult")
        return result

    async def measure(self, check: PlannedCheck, facts: Facts) -> CheckResult:
        """Measure one check and judge it.  Never raises: what cannot be measured is a verdict too."""
        begun, at = time.monotonic(), datetime.now(UTC)
        scene = Scene(
            remediation="",
            target=facts.target,
            connections=self._connections,
            clients=self._clients,
            begun_at=at,
            alert_labels=facts.labels,
        )
        try:
            async with asyncio.timeout(check.timeout.total_seconds()):
                measured = await self._measure(check, scene)
            verdict = _judge(check, measured, facts)
            sentence, result, at = measured.sentence, measured.result, measured.at or at
            if verdict is Verdict.FAILED and check.expect:
                sentence = f"{sentence}; expected `{check.expect}`"
        except TimeoutError:
            verdict, sentence, result = (
                Verdict.ERROR,
                f"no answer within {check.timeout.total_seconds():g} s",
                {},
            )
        except ParamedicError as error:
            verdict, sentence, result = Verdict.ERROR, str(error), {}
        except Exception as error:  # noqa: BLE001 - a broken check must stop the remediation, not the worker
            verdict, sentence, result = Verdict.ERROR, f"{type(error).__name__}: {error}", {}
        took = round((time.monotonic() - begun) * 1000)
        return CheckResult(
            id=check.id,
            name=check.name,
            verdict=verdict,
            sentence=sentence,
            result=result,
            at=at,
            took_ms=took,
        )

    async def _measure(self, check: PlannedCheck, scene: Scene) -> Measurement:
        """Ask until there is an answer, a few times: one dropped packet is no reason to stop."""
        each = self.registry.get(check.uses)
        if each is None or each.declaration.effect is not Effect.READ:
            raise MeasureError(f"{check.uses} is not a check of this installation")
        parameters = parameters_of(each, check)
        for attempt in range(1, MEASURE_ATTEMPTS + 1):
            try:
                measured = await each.perform(parameters, scene)
            except MeasureError as error:
                if not error.retryable or attempt == MEASURE_ATTEMPTS:
                    raise
                await asyncio.sleep(MEASURE_PAUSE)
            else:
                if isinstance(measured, Measurement):
                    return measured
                raise MeasureError(f"{check.uses} measured nothing")
        raise AssertionError("the last attempt returns or raises")

    def _activity(self, each: Action, plans: Plans) -> Callable[[ActionOrder], Awaitable[ActionResult]]:
        @activity.defn(name=each.declaration.name)
        async def act(order: ActionOrder) -> ActionResult:
            plan = await plans.get(order.remediation, order.plan_digest)
            planned = await plans.action(order, each.declaration.name)
            return await self.perform(each, planned, self.scene(order, plan.target, datetime.now(UTC)))

        return act


def parameters_of(each: Action, planned: PlannedAction | PlannedCheck) -> Any:
    """Return the parameters of a planned action or check as its own model.

    Raises:
        NotSentError: they do not fit any more, for instance after an update of the action's package.
    """
    try:
        return each.declaration.parameters.model_validate(planned.arguments)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise NotSentError(f"{planned.uses} does not take these parameters: {problems}") from None


def _judge(check: PlannedCheck, measured: Measurement, facts: Facts) -> Verdict:
    """Return the verdict: only a clear yes is `PASSED`."""
    if measured.inconclusive:
        return Verdict.INCONCLUSIVE
    if check.expect is None:
        if measured.decided is None:
            raise RenderError(f"{check.uses} does not decide by itself", remedy="Add `expect:` to the check")
        return Verdict.PASSED if measured.decided else Verdict.FAILED
    return Verdict.PASSED if assess(check.expect, measured.result, facts) else Verdict.FAILED
