"""The histories of remediations, recorded: what a worker of the next version must be able to go on with.

    python -m tests.engine.recording            # all, into tests/engine/histories/
    python -m tests.engine.recording gated      # only these

A remediation that waits at a gate outlives a deploy only if the new engine, replaying its history,
decides what the old one decided.  `test_replay.py` replays every file here with the engine as it is.
One that fails says: this change strands what is under way.  Either make the change in another way
(`workflow.patched`), or, as long as nothing was ever released, record anew with the command above and
say so in the commit.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHandle, WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from runbooks.engine.remediation import Remediation
from runbooks.model.action import ActionClass, Effect, Outcome
from runbooks.model.decision import Answer
from runbooks.model.plan import GateTerms
from runbooks.model.verdict import Verdict
from tests.engine import house as engine_house
from tests.engine.house import House, action, answer, arrival, plan

HISTORIES = Path(__file__).parent / "histories"

_OF_THE_MACHINE = frozenset({"identity", "binaryChecksum", "buildId"})
"""Names in a history whose values say where it was recorded, and nothing about what happened."""

Scene = Callable[[WorkflowEnvironment], Awaitable[WorkflowHistory]]


async def automatic(env: WorkflowEnvironment) -> WorkflowHistory:
    """Standing orders: two actions, the first of which needs two attempts, and two looks until it helped."""
    house = House(env.client, plan(action("first"), action("second")))
    house.actions.receipts["first"] = [Outcome.NOT_SENT, Outcome.OK]
    house.case.verifications = [Verdict.FAILED, Verdict.PASSED]
    return await played(env, house)


async def gated(env: WorkflowEnvironment) -> WorkflowHistory:
    """A question, an answer that does not count, an approval, a second look, an action."""
    house = House(env.client, plan(gate=True))
    return await played(env, house, (Answer.DENIED, {"reason": ""}), (Answer.APPROVED, {}), questions=1)


async def denied(env: WorkflowEnvironment) -> WorkflowHistory:
    """A question, and no."""
    return await played(env, House(env.client, plan(gate=True)), (Answer.DENIED, {}))


async def expired(env: WorkflowEnvironment) -> WorkflowHistory:
    """A question that nobody answers."""
    return await played(env, House(env.client, plan(gate=True)))


async def step_gate(env: WorkflowEnvironment) -> WorkflowHistory:
    """A step with a gate of its own, after one without."""
    terms = GateTerms(approvers=("oncall",), need=1, within=plan(gate=True).gate.within)  # type: ignore[union-attr]
    second = action("second").model_copy(update={"gate": terms})
    return await played(env, House(env.client, plan(action("first"), second)), (Answer.APPROVED, {}))


async def unknown_and_again(env: WorkflowEnvironment) -> WorkflowHistory:
    """An action of which nobody knows, and a person who has it done again."""
    opaque = action(kind=ActionClass.OPAQUE, attempts=1)
    call_people = action("escalate").model_copy(update={"effect": Effect.TELL, "arguments": {"to": "oncall"}})
    house = House(env.client, plan(opaque, otherwise=(call_people,)))
    house.actions.receipts["restart"] = [f"{Outcome.UNKNOWN}:needs_person", Outcome.OK]
    return await played(env, house, (Answer.AGAIN, {}))


async def not_helped_and_undone(env: WorkflowEnvironment) -> WorkflowHistory:
    """It did not help; both actions are undone, and people are called."""
    undone = (action("a", undo=action("undo_a")), action("b", undo=action("undo_b")))
    wanted = plan(*undone, otherwise=(action("escalate"),))
    look = wanted.verify[0].model_copy(update={"within": timedelta(seconds=6)})
    house = House(env.client, wanted.model_copy(update={"verify": (look,)}))
    house.case.verifications = [Verdict.FAILED] * 1000
    return await played(env, house)


async def joined_and_continued(env: WorkflowEnvironment) -> WorkflowHistory:
    """One alert joins, and one comes at the very end, and gets a run of its own."""
    house = House(env.client, plan())
    house.case.verifying.clear()
    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            await house.case.looked.wait()
            await run.signal(Remediation.arrive, arrival("e2"))
            await house.case.joins.get()
            await run.signal(Remediation.arrive_all, (arrival("e3"), arrival("e4")))
            house.case.verifying.set()
            await run.result()
        return await recorded(env, run)


SCENES: Mapping[str, Scene] = {
    scene.__name__: scene
    for scene in (
        automatic,
        gated,
        denied,
        expired,
        step_gate,
        unknown_and_again,
        not_helped_and_undone,
        joined_and_continued,
    )
}


async def played(
    env: WorkflowEnvironment, house: House, *says: tuple[Answer, Mapping[str, Any]], questions: int = 0
) -> WorkflowHistory:
    """Let people answer each question in turn, or all of them the first ones, and return the history."""
    async with house.running() as run:
        with env.auto_time_skipping_disabled():
            request = None
            for number, (word, changes) in enumerate(says):
                if request is None or not 0 < questions <= number:
                    request = await house.case.asked.get()
                about = {"about": request.doubt.key} if request.doubt else {}
                signed = answer(request, says=word, id=f"click-{number}", **{**about, **changes})
                await run.execute_update(Remediation.decide, signed, id=signed.decision.id)
        await run.result()
        return await recorded(env, run)


async def recorded(env: WorkflowEnvironment, run: WorkflowHandle) -> WorkflowHistory:
    """Return the history of the first run."""
    return await env.client.get_workflow_handle(run.id, run_id=run.first_execution_run_id).fetch_history()


def text_of(history: WorkflowHistory) -> str:
    """Return a history as it is kept: without what the machine adds that made it."""
    return json.dumps(_without_machine(json.loads(history.to_json())), indent=1, sort_keys=True) + "\n"


def _without_machine(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _without_machine(each) for name, each in value.items()}
        return {name: "recorded" if name in _OF_THE_MACHINE else each for name, each in kept.items()}
    if isinstance(value, list):
        return [_without_machine(each) for each in value]
    return value


async def record(names: list[str]) -> None:
    """Record these scenes."""
    HISTORIES.mkdir(exist_ok=True)
    program = str(Path(sys.executable).parent / "temporal-test-server")
    for name in names:
        async with engine_house.test_server(program) as env:
            history = await SCENES[name](env)
        (HISTORIES / f"{name}.json").write_text(text_of(history), encoding="utf-8")
        print(f"{name}: {len(history.events)} events")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:] or list(SCENES)))
