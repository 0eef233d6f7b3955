"""What people are told whose answer changes nothing: late, early, stale, doubled, withdrawn; and that it is on record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from runbooks.model.decision import Answer
from runbooks.model.plan import Link
from tests.ledgers import new_ledger
from tests.records import PLAN, Telling
from tests.test_answers import Scene

QUARTER = PLAN.gate.within
IN_TURN = PLAN.gate.model_copy(update={"otherwise": (Link(approvers=("chiefs",), within=QUARTER),)})
UNSURE = "Your answer does not count: "
LATE = "This question was closed at 03:07 UTC: "

Happening = Callable[[Scene], Awaitable[dict[str, object]]]


@pytest.fixture
def scene(tmp_path):
    ledger = new_ledger(tmp_path / "ledger.db")
    told = (
        Telling(plan=PLAN.model_copy(update={"gate": IN_TURN})).admitted().check("before", "passed").planned()
    )
    end = told.now + 2 * QUARTER
    told.asked(
        need=2, expires_at=end.isoformat(), asked_until=(told.now + QUARTER).isoformat(),
        otherwise=[{"approvers": ["chiefs"], "until": end.isoformat()}],
    )  # fmt: skip
    made = Scene(ledger, told=told, need=2)
    made.people.groups |= {"slack:T1/U7": ("chiefs",), "slack:T1/U8": ("sales",)}
    made.people.refused["slack:T1/U9"] = "guests may not answer"
    yield made
    ledger.close()


def closed_as(outcome: str, sentence: str) -> Happening:
    async def happen(scene: Scene) -> dict[str, object]:
        await scene.house.close_gate(outcome, sentence)
        return {}

    return happen


def nothing(**click: object) -> Happening:
    async def happen(_scene: Scene) -> dict[str, object]:
        return click

    return happen


async def approved_before(scene: Scene) -> dict[str, object]:
    await scene.answers.receive(scene.house.click())
    await scene.until_done()
    return {"nonce": "2"}


async def ended(scene: Scene) -> dict[str, object]:
    await scene.house.close_gate("approved", "approved by Bob")
    await scene.house.end("mitigated")
    return {}


async def replaced(scene: Scene) -> dict[str, object]:
    return {"gate": f"{scene.house.told.remediation}/gate-0"}


TOLD: dict[str, tuple[Happening, str]] = {
    "late, after the others approved": (
        closed_as("approved", "approved by Bob"),
        f"{LATE}approved by Bob. Your answer changes nothing.",
    ),
    "late, after a no": (
        closed_as("denied", "Bob said no"),
        f"{LATE}Bob said no. Your answer changes nothing.",
    ),
    "late, after the time was over": (
        closed_as("expired", "nobody of sre-oncall answered in time"),
        f"{LATE}nobody of sre-oncall answered in time. Your answer changes nothing.",
    ),
    "the question was withdrawn": (
        closed_as("withdrawn", "Nothing to do, as measured while waiting at the gate. It is up."),
        f"{LATE}Nothing to do, as measured while waiting at the gate. It is up. Your answer changes nothing.",
    ),
    "it has ended": (
        ended,
        f"{LATE}approved by Bob. Your answer changes nothing.",
    ),
    "another question by now": (
        replaced,
        "This question is not asked any more. Your answer changes nothing.",
    ),
    "the plan that was shown is not the plan any more": (
        nothing(shown="0" * 64),
        f"{UNSURE}the plan has changed since this was shown.",
    ),
    "said already": (
        approved_before,
        "You have answered already, and it counts once. 1 more must approve.",
    ),
    "not yet their turn": (
        nothing(who="U7"),
        f"{UNSURE}you are asked only when sre-oncall did not answer in time.",
    ),
    "of no group that is ever asked": (
        nothing(who="U8"),
        f"{UNSURE}you are not in sre-oncall.",
    ),
    "a guest": (
        nothing(who="U9"),
        f"{UNSURE}guests may not answer; ask somebody of sre-oncall.",
    ),
    "a no without a reason": (
        nothing(answer=Answer.DENIED),
        f"{UNSURE}please say why not.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("occasion", TOLD)
async def test_says_why_an_answer_changes_nothing_and_keeps_that_on_record(scene, occasion):
    """Everybody who answers hears what became of it, alone, and nobody tries in secret."""
    happen, sentence = TOLD[occasion]
    async with scene.running():
        facts = await happen(scene)
        await scene.answers.receive(scene.house.click(**facts))
        person, said = await scene.heard()
        await scene.until_done()

    assert said == sentence
    assert [who for who, _ in await scene.refusals()] == [person]
