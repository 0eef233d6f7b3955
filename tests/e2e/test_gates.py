"""Gates end to end, on one installation: others are asked in turn, a single step is refused, Slack hangs."""

from __future__ import annotations

import asyncio
import json

import pytest
import pytest_asyncio

from bot.cli.exits import Exit
from bot.practice.residents import TEAM
from bot.slack.card import APPROVE, DENY
from bot.slack.interactions import REASON_BLOCK
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from runbooks.policy.story import GateStory
from tests.e2e.installation import Installation, alert, installation, runbook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

IN_TURN = "{approvers: [night-shift], within: 2s, otherwise: [sre-oncall, within 15m, stop]}"
TWO_STEPS = """uses: http.request
    with: {endpoint: sink, path: "/mend/{{ target }}-drained", method: POST}
    undo: {uses: http.request, with: {endpoint: sink, path: "/mend/{{ target }}-back", method: POST}}
  - name: Restart it
    uses: http.request
    with: {endpoint: sink, path: "/mend/{{ target }}", method: POST}
    gate: {approvers: [sre-oncall], within: 15m}"""
RUNBOOKS = {
    "mend": runbook("mend", gate=True),
    "in-turn": runbook("in-turn", alert="InTurn", gate=IN_TURN),
    "two-steps": runbook("two-steps", alert="TwoSteps", action=TWO_STEPS),
}
KNOWN_WITHOUT_SLACK = {"sre-oncall": {"members": [f"slack:{TEAM}/U0ALICE"]}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory):
    """An installation with a runbook for each kind of gate; its bot has reached Slack."""
    folder = tmp_path_factory.mktemp("gates") / "home"
    async with installation(folder, runbooks=RUNBOOKS, connections={"groups": KNOWN_WITHOUT_SLACK}) as made:
        await made.hands.wait_for(lambda sight: sight.connected, 30)
        yield made


async def asked_about(home: Installation, target: str) -> GateStory:
    """Wait until people are asked about `target`; return the question."""
    found: list[GateStory] = []

    async def there() -> bool:
        found[:] = [gate for each in await home.stories() if each.target == target for gate in each.gates]
        return bool(found)

    await home.until(there, 30, f"a gate for {target}")
    return found[-1]


def remediation_of(asked: GateStory) -> str:
    return asked.gate.partition("/")[0]


async def test_the_second_who_are_asked_can_answer_after_kill_9(home):
    """The bot is killed while the next of the chain are asked; their click on the same card counts, once."""
    await home.post(alert("InTurn", service="chain"))
    await home.recorded(RecordKind.GATE_ESCALATED)
    asked = await asked_about(home, "chain")
    home.kill()
    await home.start()
    await home.hands.wait_for(lambda sight: sight.connected, 30)
    card = await home.hands.wait_for_button(APPROVE, value=asked.gate, timeout=30)
    await home.approve_until_acknowledged(card)
    story = await home.ended("chain")

    assert story.ending is Ending.MITIGATED
    assert [each.key for each in story.gate.decisions if each.accepted] == [f"slack:{TEAM}/U0ALICE"]
    assert home.sink.mended["chain"] == 1
    (escalation,) = await home.records(RecordKind.GATE_ESCALATED)
    assert (escalation.data["gate"], escalation.data["approvers"]) == (asked.gate, ["sre-oncall"])
    await home.verify()


async def test_a_step_that_is_denied_is_not_done_and_what_was_done_before_is_undone(home):
    """The first step acts on standing orders; a no at the gate of the second takes it back, and calls people."""
    await home.post(alert("TwoSteps", service="steps"))
    asked = await asked_about(home, "steps")
    done_before = dict(home.sink.mended)
    button = await home.hands.wait_for_button(DENY, value=asked.gate, timeout=30, as_person="bob")
    await home.hands.press_button(button, "bob")
    modal = await home.hands.wait_for_modal(30, "bob")
    await home.hands.submit(modal, {REASON_BLOCK: "It takes the others down."}, "bob")
    story = await home.ended("steps")
    called = await home.hands.wait_for(
        lambda sight: "Look at steps, please." in json.dumps(sight.snapshot), 30
    )

    assert asked.gated.name == "Restart it"
    assert done_before["steps-drained"] == 1
    assert story.ending is Ending.DENIED
    assert [home.sink.mended[name] for name in ("steps-drained", "steps-back", "steps")] == [1, 1, 0]
    assert called
    await home.verify()


async def test_a_login_decides_for_whoever_may_though_slack_answers_nothing(home):
    """Who may not is told whom to ask; who may approves while Slack hangs; a login taken back is nobody's."""
    alice, mallory = home.terminal("alice"), home.terminal("mallory")
    await asyncio.gather(alice.log_in("alice"), mallory.log_in("mallory"))
    (login,) = [each for each in await home.records(RecordKind.LOGIN_ISSUED) if "ALICE" in each.object]
    await home.post(alert(service="now"), alert(service="later"))
    asked, later = await asked_about(home, "now"), await asked_about(home, "later")
    refused = await mallory.run("approve", remediation_of(asked), "--yes")
    await home.hands.switch("slow", method="*", seconds=600, times=10_000)
    try:
        counted = await alice.run("approve", remediation_of(asked), "--yes")
        story = await home.ended("now")
        taken_back = await alice.run("login", "revoke", login.data["login"])
        of_nobody = await alice.run("approve", remediation_of(later), "--yes")
    finally:
        await home.hands.switch("clear")

    assert refused.returncode == Exit.NO, refused
    assert "only members of its approver groups may answer" in refused.stderr
    assert "ask somebody of sre-oncall" in refused.stderr
    assert (counted.returncode, counted.stdout) == (Exit.DONE, "Your answer counts: you approve.\n"), counted
    assert story.ending is Ending.MITIGATED
    assert [(each.key, each.accepted) for each in story.gate.decisions] == [
        (f"slack:{TEAM}/U0MALLORY", False),
        (f"slack:{TEAM}/U0ALICE", True),
    ]
    assert taken_back.returncode == Exit.DONE, taken_back
    assert of_nobody.returncode == Exit.REFUSED, of_nobody
    assert "paramedic login" in of_nobody.stderr
    assert [home.sink.mended[name] for name in ("now", "later")] == [1, 0]
    await home.verify()
