"""What can go wrong between people and a gate in Slack, case by case, for both ways that Slack calls.

Each case is a short story with its asserts; it returns what came of it, in a few words.  The
tests run every case in both modes; `python -m tests.slack.table` prints the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from bot.practice.hands import Button
from bot.practice.posts import FORM
from bot.practice.workspace import ACK_PATIENCE
from bot.slack.card import APPROVE, DENY
from bot.slack.manifest import Mode
from bot.slack.receiver import DEADLINE
from runbooks.errors import LedgerError
from runbooks.model.record import RecordKind
from tests.slack.rig import SOON, Bot, Rig, app_has

Story = Callable[[Rig], Awaitable[str]]
BOTH: tuple[Mode, ...] = ("socket", "http")
PATIENCE = 30.0  # seconds; waits end as soon as what they wait for is there


@dataclass(frozen=True)
class Case:
    """One story, and the modes in which it can happen."""

    name: str
    story: Story
    modes: tuple[Mode, ...] = BOTH


CASES: list[Case] = []


def case(name: str, *modes: Mode) -> Callable[[Story], Story]:
    """Add a story to the cases."""

    def add(story: Story) -> Story:
        CASES.append(Case(name, story, modes or BOTH))
        return story

    return add


async def asked(rig: Rig) -> Button:
    """Ask, and return the button that approves."""
    await rig.house.keep()
    return await rig.hands.wait_for_button(APPROVE, value=rig.house.gate.id, timeout=PATIENCE)


async def approved(rig: Rig, times: int = 1) -> None:
    """Assert that the gate was approved, by one decision, after so many clicks on record."""
    await rig.hands.wait_for(lambda sight: not sight.buttons(), timeout=PATIENCE)
    story = await rig.house.story()
    kinds = [record.kind for record in await rig.house.stream()]
    assert story.gate.outcome == "approved"
    assert kinds.count(RecordKind.DECISION) == 1
    assert kinds.count(RecordKind.DECISION_RECEIVED) == times
    assert len(await rig.hands.messages()) == 1, "there is one card"


async def accepted(rig: Rig) -> int:
    """Return how many decisions count."""
    return sum(each.accepted for each in (await rig.house.story()).gate.decisions)


async def still_open(rig: Rig) -> None:
    assert (await rig.house.story()).gate.outcome == ""


async def turned_down(rig: Rig, button: Button) -> None:
    """Press, and assert that the app took nothing.

    Over a socket it is just silent, until Slack has waited long enough; over HTTP it says so itself, in time.
    """
    with rig.slack_waits(ACK_PATIENCE) if rig.mode == "socket" else app_has(DEADLINE):
        assert await rig.press(button) == ("timed_out" if rig.mode == "socket" else "refused")


# --- who may answer -----------------------------------------------------------------------------


@case("somebody of the group approves")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        assert await rig.press(await asked(rig)) == "acknowledged"
        await approved(rig)
    return "approved, buttons gone"


def _refused(who: str, objection: str) -> Story:
    async def story(rig: Rig) -> str:
        async with rig.bot().running():
            button = await asked(rig)
            assert await rig.press(button, who) == "acknowledged"
            await rig.overhear(objection, as_person=who)
            await still_open(rig)
            assert await rig.hands.ephemerals("alice") == []
            await rig.press(button)
            await rig.no_buttons()
        return f"told alone: {objection}"

    return story


for _who, _what, _objection in (
    ("mallory", "not in the group", "you are not in sre-oncall"),
    ("guest", "a guest", "guests may not answer"),
    ("stranger", "of another workspace", "other workspaces"),
    ("deploybot", "a bot", "bots may not answer"),
):
    case(f"somebody presses who is {_what}")(_refused(_who, _objection))


@case("somebody presses who left the group a moment ago")
async def _(rig: Rig) -> str:
    async with rig.bot().running() as bot:
        button = await asked(rig)
        assert (await bot.people.look_up("slack:T0PRACTICE/U0ALICE", ["sre-oncall"])).groups
        rig.server.workspace.set_group("sre-oncall", ["bob"])
        await rig.press(button)
        await rig.overhear("you are not in sre-oncall")
        await still_open(rig)
    return "does not count"


@case("a guest presses Deny")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        await asked(rig)
        await rig.press(await rig.hands.wait_for_button(DENY), "guest")
        await rig.overhear("guests may not answer", as_person="guest")
        assert await rig.hands.modals("guest") == []
        await still_open(rig)
    return "told at once, no form opens"


@case("somebody leaves the group while they write why not")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        await asked(rig)
        await rig.press(await rig.hands.wait_for_button(DENY), "bob")
        view = await rig.hands.wait_for_modal(as_person="bob", timeout=PATIENCE)
        rig.server.workspace.set_group("sre-oncall", ["alice"])
        await rig.hands.submit(view, {"text": "because"}, "bob")
        await rig.overhear("you are not in sre-oncall", as_person="bob")
        await still_open(rig)
    return "does not count"


# --- when answers come --------------------------------------------------------------------------


@case("the same person presses twice")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        button = await asked(rig)
        answers = await asyncio.gather(rig.press(button), rig.press(button))
        await rig.no_buttons()
        assert answers == ["acknowledged", "acknowledged"]
        assert (await rig.house.story()).gate.outcome == "approved"
        assert await accepted(rig) == 1
    return "one decision"


@case("two people approve at the same moment")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        button = await asked(rig)
        await asyncio.gather(rig.press(button, "alice"), rig.press(button, "bob"))
        await rig.no_buttons()
        assert await accepted(rig) == 1
    return "one decision, one told that it is late"


@case("one approves and one denies at the same moment")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        button = await asked(rig)
        await rig.press(await rig.hands.wait_for_button(DENY), "bob")
        view = await rig.hands.wait_for_modal(as_person="bob", timeout=PATIENCE)
        await asyncio.gather(rig.press(button), rig.hands.submit(view, {"text": "no"}, "bob"))
        await rig.no_buttons()
        story = await rig.house.story()
        assert story.gate.outcome in {"approved", "denied"}
        (counts,) = [each for each in story.gate.decisions if each.accepted]
        assert counts.answer.value == story.gate.outcome
    return "one of them, and the card says which"


@case("a press after the time to answer was over")
async def _(rig: Rig) -> str:
    async with rig.bot().running() as bot:
        await asked(rig)
        await rig.see_reply("An answer is needed")
        row = await rig.card_row()
        copy = rig.server.workspace.message(row.channel, row.ts)
        twin = await bot.connection.client.chat_postMessage(
            channel=row.channel, text=copy.text, blocks=copy.blocks
        )
        await rig.house.close_gate("expired", "nobody of sre-oncall answered in time")
        late = await rig.hands.wait_for(
            lambda sight: next((each for each in sight.buttons() if each.ts == twin["ts"]), None)
        )
        await rig.press(late)
        await rig.overhear("nobody of sre-oncall answered in time")
        await rig.no_buttons()
        assert rig.house.heard == []
    return "told, old buttons gone"


# --- deliveries ---------------------------------------------------------------------------------


@case("a press is delivered twice")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        button = await asked(rig)
        rig.server.faults.deliver_twice()
        assert await rig.press(button) == "acknowledged"
        await approved(rig)
    return "one click on record"


@case("a command is delivered twice")
async def _(rig: Rig) -> str:
    async with rig.bot().running() as bot:
        rig.server.faults.deliver_twice()
        await rig.hands.command("/runbook", "run service-errors service=checkout")
        await rig.overhear("Asked for `service-errors`")
        await rig.hands.command("/runbook", "status")
        await rig.overhear("Nothing is frozen.")
        assert len(bot.operations.asked) == 1
    return "carried out once"


@case("a press is lost on the way")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        button = await asked(rig)
        rig.server.faults.lose()
        with rig.slack_waits(0.5):
            assert await rig.press(button) == "timed_out"
        await still_open(rig)
        assert await rig.press(button) == "acknowledged"
        await approved(rig)
    return "Slack says so; the next press counts"


@case("the socket is recycled", "socket")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        button = await asked(rig)
        await rig.server.sockets.disconnect("refresh_requested")
        await rig.hands.wait_for(lambda sight: sight.connected, timeout=PATIENCE)
        await rig.press(button)
        await approved(rig)
    return "opened again; the press counts"


@case("the socket is cut", "socket")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        button = await asked(rig)
        rig.server.sockets.cut()
        await rig.hands.wait_for(lambda sight: not sight.connected, timeout=PATIENCE)
        await rig.hands.wait_for(lambda sight: sight.connected, timeout=PATIENCE)
        await rig.press(button)
        await approved(rig)
    return "opened again; the press counts"


# --- Slack refuses, is slow, is away --------------------------------------------------------------


def _posting(**fault: Any) -> Story:
    async def story(rig: Rig) -> str:
        async with rig.bot().running():
            await rig.hands.switch(method="chat.postMessage", times=2, **fault)
            await rig.press(await asked(rig))
            await approved(rig)
        return "posted after it, once"

    return story


def _updating(**fault: Any) -> Story:
    async def story(rig: Rig) -> str:
        async with rig.bot().running():
            button = await asked(rig)
            await rig.hands.switch(method="chat.update", times=2, **fault)
            await rig.press(button)
            await approved(rig)
        return "updated after it"

    return story


for _name, _fault in (
    ("429", {"do": "fail", "status": 429, "retry_after": 1}),
    ("503", {"do": "fail", "status": 503}),
    ("1.5 s late", {"do": "slow", "seconds": 1.5}),
):
    case(f"Slack answers {_name} to the posting of the card")(_posting(**_fault))
    case(f"Slack answers {_name} to its update")(_updating(**_fault))


@case("Slack takes four seconds to tell who pressed")
async def _(rig: Rig) -> str:
    async with rig.bot(hold=SOON).running():
        button = await asked(rig)
        await rig.hands.switch("slow", method="users.info", seconds=4, times=1)
        assert await rig.press(button) == "acknowledged"
        await approved(rig)
    return "acknowledged at once; counts later"


@case("Slack does not open the form")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        await asked(rig)
        await rig.hands.switch("refuse", method="views.open", error="expired_trigger_id")
        await rig.press(await rig.hands.wait_for_button(DENY))
        await rig.overhear("Please press Deny again")
        await still_open(rig)
    return "told to press again"


@case("Slack is away when the card is to be posted")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        await rig.hands.switch("away", on=True)
        await rig.house.keep()
        await asyncio.sleep(0.5)
        await rig.hands.switch("away", on=False)
        button = await rig.hands.wait_for_button(APPROVE, timeout=PATIENCE)
        await rig.hands.wait_for(lambda sight: sight.connected, timeout=PATIENCE)
        await rig.press(button)
        await approved(rig)
    return "posted when it is back"


@case("Slack is away when the decided card is to be updated")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        button = await asked(rig)
        rig.server.faults.away = True  # for the Web API; what is connected stays connected
        assert await rig.press(button) == "acknowledged"
        await rig.house.close_gate("expired", "nobody of sre-oncall answered in time")
        await asyncio.sleep(0.5)
        assert (await rig.hands.look()).buttons(), "nothing reached Slack"
        rig.server.faults.away = False
        await rig.no_buttons()
    return "updated when it is back"


# --- we are slow, away, killed --------------------------------------------------------------------


@case("Temporal is away")
async def _(rig: Rig) -> str:
    rig.house.away = True
    async with rig.bot(hold=SOON).running():
        assert await rig.press(await asked(rig)) == "acknowledged"
        await rig.overhear("recorded")
        rig.house.away = False
        await approved(rig)
    return "acknowledged; delivered when it is back"


class _Broken:
    """A ledger that refuses, or answers too late, and otherwise is the real one."""

    def __init__(self, real: Any, *, seconds: float = 0.0) -> None:
        self._real = real
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def write(self, work: Any, **more: Any) -> Any:
        if not self._seconds:
            raise LedgerError("the disk is full")
        await asyncio.sleep(self._seconds)
        return await self._real.write(work, **more)


@case("the ledger cannot be written")
async def _(rig: Rig) -> str:
    async with rig.bot().running() as bot:
        button = await asked(rig)
        real, bot.answers._ledger = bot.answers._ledger, _Broken(rig.ledger)
        await turned_down(rig, button)
        await rig.overhear("could not be recorded")
        await still_open(rig)
        bot.answers._ledger = real
        assert await rig.press(button) == "acknowledged"
        await approved(rig)
    return "not acknowledged; the next press counts"


@case("the ledger is slower than Slack's patience")
async def _(rig: Rig) -> str:
    async with rig.bot().running() as bot:
        button = await asked(rig)
        real, bot.answers._ledger = bot.answers._ledger, _Broken(rig.ledger, seconds=4)
        await turned_down(rig, button)
        bot.answers._ledger = real
        await approved(rig)
    return "not acknowledged; counts once it is durable"


@case("the bot is restarted while the gate is open")
async def _(rig: Rig) -> str:
    async with rig.bot().running():
        button = await asked(rig)
        await rig.all_noted()
    assert await rig.press(button) == "not_connected"
    async with rig.bot().running():
        assert await rig.press(button) == "acknowledged"
        await approved(rig)
    return "Slack says so; then the same card works"


@case("the bot is restarted after the press and before Temporal has it")
async def _(rig: Rig) -> str:
    rig.house.away = True
    async with rig.bot(hold=SOON).running():
        assert await rig.press(await asked(rig)) == "acknowledged"
        await rig.overhear("recorded")
        await rig.all_noted()
    rig.house.away = False
    async with rig.bot(hold=SOON).running():
        await approved(rig)
    return "delivered by the next process"


# --- requests that Slack did not make -------------------------------------------------------------


async def _post(bot: Bot, body: bytes, headers: dict[str, str]) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        given = {"content-type": FORM, **headers}
        return (await client.post(bot.url, content=body, headers=given)).status_code


@case("a press is forged", "http")
async def _(rig: Rig) -> str:
    async with rig.bot().running() as bot:
        button = await asked(rig)
        await rig.press(button, "mallory")
        await rig.overhear("you are not in", as_person="mallory")
        seen = rig.server.posts.sent[-1]
        body = seen.body.replace(b"U0MALLORY", b"U0ALICE")
        assert await _post(bot, body, {}) == 401
        assert await _post(bot, body, dict(seen.headers)) == 401
        await still_open(rig)
        assert bot.outcomes == {"accepted": 1, "forged": 2}
    return "401, counted, nothing happens"


@case("a press is replayed", "http")
async def _(rig: Rig) -> str:
    async with rig.bot().running() as bot:
        await rig.hands.command("/runbook", "freeze")
        await rig.overhear("Frozen: everything")
        seen = rig.server.posts.sent[-1]
        assert await _post(bot, seen.body, dict(seen.headers)) == 401
        old = rig.server.posts.signed(seen.body, rig.server.workspace.clock() - 301)
        assert await _post(bot, seen.body, old) == 401
        assert len(bot.operations.asked) == 1
        assert bot.outcomes == {"accepted": 1, "replayed": 1, "stale": 1}
    return "401, counted, nothing happens"


NONSENSE = (
    b"",
    b"\xff\xfe",
    b"payload=%7B",
    b"payload=%5B%5D",
    b"payload=%7B%22type%22%3A5%7D",
    b"payload=%7B%22type%22%3A%22block_actions%22%2C%22actions%22%3A%22x%22%7D",
    b"payload=%7B%22type%22%3A%22block_actions%22%2C%22team%22%3A%5B1%5D%2C%22user%22%3A7%7D",
    b"payload=%7B%22type%22%3A%22view_submission%22%2C%22view%22%3Anull%7D",
    b"payload=%7B%22event%22%3A1%2C%22authorizations%22%3A%7B%7D%7D",
    b"command=%2Frunbook",
    b"a=1",
)


@case("signed nonsense arrives", "http")
async def _(rig: Rig) -> str:
    async with rig.bot().running() as bot:
        for body in NONSENSE:
            assert await _post(bot, body, rig.server.posts.signed(body)) in {200, 400, 401, 503}, body
        assert await _post(bot, b"x" * 2_000_000, rig.server.posts.signed(b"x")) == 413
        await rig.press(await asked(rig))
        await approved(rig)
    return "never 500; the next press works"


@case("a button of somebody else's card is pressed")
async def _(rig: Rig) -> str:
    async with rig.bot().running() as bot:
        await asked(rig)
        text = {"type": "plain_text", "text": "Approve"}
        element = {"type": "button", "action_id": APPROVE, "value": "../../etc", "text": text}
        blocks = [{"type": "actions", "elements": [element]}]
        posted = await bot.connection.client.chat_postMessage(
            channel="#incidents", text="a forged card", blocks=blocks
        )
        assert await rig.hands.press("#incidents", posted["ts"], APPROVE) == "acknowledged"
        await still_open(rig)
        assert rig.house.heard == []
    return "passed over"
