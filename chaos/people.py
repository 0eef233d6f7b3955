"""Faults around people: clicks that are lost, doubled, forged, late; Slack away; the brake."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio.client import WorkflowUpdateFailedError

from bot.brake import Brake
from bot.keys import ListenerKey
from bot.practice.hands import Button, Hands, HandsError
from bot.slack.card import APPROVE, DENY
from bot.slack.interactions import REASON_BLOCK
from chaos.fault import Fault, Trial
from chaos.files import put_back, save
from chaos.house import reset_to_beginning
from runbooks.model.decision import Answer, Decision, Principal, SignedDecision
from runbooks.model.freeze import EVERYTHING
from runbooks.model.record import Record, RecordKind
from runbooks.model.remediation import workflow_id

AT_ONCE = 5  # cards that people look at
PRESSES = 20  # how often a person presses before they give up
SEEN_WITHIN = 60.0  # seconds until a card is there, or the ending of a life that was interrupted
FREEZE_AFTER = (0.0, 0.5)  # seconds after the alerts
FROZEN_FOR = 4.0  # seconds; twice what a freeze may take


def hands_of(trial: Trial) -> Hands:
    """Return people's hands."""
    assert trial.house.hands is not None
    return trial.house.hands


async def card_of(trial: Trial, number: int, action: str = APPROVE, person: str = "alice") -> Button:
    """Wait until people see the card of a target, and return one of its buttons."""
    remediation = await trial.house.stream_of(trial.target(number))
    return await hands_of(trial).wait_for_button(action, f"{remediation}/gate-1", SEEN_WITHIN, person)


async def press(trial: Trial, number: int, person: str = "alice") -> Button:
    """Approve, and again where Slack said that the app did not answer."""
    button = await card_of(trial, number, person=person)
    for _ in range(PRESSES):
        if await hands_of(trial).approve(button, person) == "acknowledged":
            break
        await asyncio.sleep(0.3)
    return button


async def deny(trial: Trial, number: int) -> None:
    """Let Bob end it, so that every alert has its outcome."""
    button = await card_of(trial, number, DENY, "bob")
    await hands_of(trial).press_button(button, "bob")
    modal = await hands_of(trial).wait_for_modal(SEEN_WITHIN, "bob")
    await hands_of(trial).submit(modal, {REASON_BLOCK: "Not today."}, "bob")


async def ended(trial: Trial, number: int) -> None:
    """Wait for the ending of a target's remediation."""
    await trial.house.seen(RecordKind.ENDING, trial.target(number), within=SEEN_WITHIN)


# --- lost on the way --------------------------------------------------------------------------------


async def kill_at_gate(trial: Trial) -> None:
    """The bot, and Temporal with it, is killed while people think; the same button works after."""
    for number in range(trial.tries):
        await trial.alert(number)
        await card_of(trial, number)
        await trial.house.kill()
        await trial.house.live()
        await press(trial, number)


async def kill_at(point: str, trial: Trial) -> None:
    """The bot dies when a click has come to this point; nobody clicks a second time.

    Each story is told to its end before the next begins: a decision that was lost is judged again, which
    comes to the point once more, and would end the next life before anybody has clicked in it.
    """
    for number in range(trial.tries):
        await trial.house.idle()
        await trial.house.kill_unless_dead()
        await trial.house.live(f"{point}:1")
        await trial.alert(number)
        button = await card_of(trial, number)
        await press_once(trial, button)
        await trial.house.died()
        await trial.house.live()


async def press_once(trial: Trial, button: Button) -> None:
    """Press until it has reached the bot, whatever came of it."""
    for _ in range(PRESSES):
        if await hands_of(trial).press_button(button) != "not_connected":
            return
        await asyncio.sleep(0.3)


async def slack_fails(status: int, trial: Trial) -> None:
    """Slack answers nothing but this status for a while; the gate waits for it."""
    assert trial.house.practice is not None
    faults = trial.house.practice.faults
    faults.fail("chat.postMessage", times=5, status=status, retry_after=1)
    await trial.alert_all()
    # A board shows ten questions, and the others as those are answered: nobody can wait for one of them alone.
    await asyncio.gather(*(press(trial, number) for number in range(trial.tries)))
    faults.clear()


async def deliver_twice(trial: Trial) -> None:
    """Slack delivers each click twice."""
    assert trial.house.practice is not None
    await trial.alert_all()
    trial.house.practice.faults.deliver_twice(trial.tries)
    await asyncio.gather(*(press(trial, number) for number in range(trial.tries)))


# --- more clicks than one ---------------------------------------------------------------------------


async def click_again(trial: Trial) -> None:
    """The button is pressed five times at once, and once more when all is over."""

    async def one(number: int) -> None:
        button = await card_of(trial, number)
        await _press_all(trial, button, ["alice"] * 5)
        await ended(trial, number)
        with contextlib.suppress(HandsError):  # the button may be gone by now
            await hands_of(trial).press_button(button)

    await _for_each(trial, one)


async def two_at_once(trial: Trial) -> None:
    """Two approvers press at the same moment."""

    async def one(number: int) -> None:
        await _press_all(trial, await card_of(trial, number), ["alice", "bob"])

    await _for_each(trial, one)


async def _for_each(trial: Trial, one: Callable[[int], Awaitable[None]]) -> None:
    """Tell of all targets, and do something with each card, a few at the same time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def in_turn(number: int) -> None:
        async with places:
            await trial.alert(number)
            await one(number)

    await asyncio.gather(*(in_turn(number) for number in range(trial.tries)))


async def _press_all(trial: Trial, button: Button, people: list[str]) -> None:
    presses = (hands_of(trial).press_button(button, who) for who in people)
    await asyncio.gather(*presses, return_exceptions=True)  # whoever comes late finds no button


# --- whoever may not --------------------------------------------------------------------------------


async def stranger(trial: Trial) -> None:
    """Somebody presses who is in no group."""
    for number in range(trial.tries):
        await trial.alert(number)
        await press(trial, number, "mallory")
        await refused(trial, number)
        await deny(trial, number)


async def self_approval(trial: Trial) -> None:
    """Alice asks for a remediation, and approves it: with the button, and with a seal that she could not have."""
    for number in range(trial.tries):
        target = trial.target(number)
        await hands_of(trial).command("/runbook", f"run {trial.fault.runbook} instance={target}", "alice")
        button = await press(trial, number)
        await refused(trial, number)
        asked = await gate_record(trial, number)
        [admission] = [
            r for r in await trial.house.records() if r.kind is RecordKind.ADMISSION and r.object == target
        ]
        own = decision(asked, "again", key=admission.data["requested_by"])
        await send(trial, number, trial.house.listener_key.sign(own))
        await hands_of(trial).press(button.channel, button.ts, APPROVE, as_person="alice")
        await deny(trial, number)
        await ended(trial, number)


async def forge(trial: Trial) -> None:
    """An approval comes straight to Temporal, with every field right but the signature."""
    forger = ListenerKey.generate()
    for number in range(trial.tries):
        await trial.alert(number)
        asked = await gate_record(trial, number)
        forged = forger.sign(decision(asked, "forged"))
        forged = forged.model_copy(update={"key_id": trial.house.listener_key.key_id})
        assert await send(trial, number, forged), "a forged approval was taken"
        await refused(trial, number)
        await deny(trial, number)


async def older_plan(trial: Trial) -> None:
    """An approval with a true seal comes for another plan than the one that is asked about."""
    for number in range(trial.tries):
        await trial.alert(number)
        asked = await gate_record(trial, number)
        older = decision(asked, "older").model_copy(update={"plan_digest": "0" * 64})
        assert await send(trial, number, trial.house.listener_key.sign(older)), "an older plan was approved"
        await deny(trial, number)


async def gate_record(trial: Trial, number: int) -> Record:
    """Return the record that people are asked about this target."""
    remediation = await trial.house.stream_of(trial.target(number))
    known = await trial.house.records()
    return next(r for r in known if r.kind is RecordKind.GATE_ASKED and r.stream == remediation)


def decision(asked: Record, name: str, key: str = "slack:T0PRACTICE/U0ALICE") -> Decision:
    """Return an approval of what was asked, as anybody could write it who reads the ledger."""
    now = datetime.now(UTC)
    return Decision(
        id=f"{asked.stream}/{name}", gate=asked.data["gate"], remediation=asked.stream,
        plan_digest=asked.data["plan_digest"], answer=Answer.APPROVED,
        principal=Principal(key=key, name="alice", groups=("sre-oncall",)), via="slack",
        decided_at=now, expires_at=now + timedelta(minutes=10),
    )  # fmt: skip


async def send(trial: Trial, number: int, signed: SignedDecision) -> str:
    """Send a decision past the listener; return the objection, empty where it counted."""
    client = await trial.house.temporal_client()
    handle = client.get_workflow_handle(workflow_id(trial.fault.runbook, trial.target(number)))
    try:
        judgement = await handle.execute_update("decide", signed, id=signed.decision.id)
    except WorkflowUpdateFailedError as error:
        return str(error.cause)
    return judgement["objection"] or ""


async def refused(trial: Trial, number: int) -> None:
    """Wait until it is on record that an answer did not count."""
    remediation = await trial.house.stream_of(trial.target(number))

    async def there() -> bool:
        known = await trial.house.records()
        said = (r for r in known if r.kind is RecordKind.DECISION and r.outcome == "refused")
        # One without a true seal stands in the system's stream: nobody knows whose it is.
        return any(r.data["decision"]["remediation"] == remediation for r in said)

    await trial.house.until(there, SEEN_WITHIN, "the refusal to be on record")


async def reset(trial: Trial) -> None:
    """After it succeeded an operator resets the workflow to its beginning: Temporal does it all again."""
    client = await trial.house.temporal_client()
    for number in range(trial.tries):
        await trial.alert(number)
        await press(trial, number)
        await ended(trial, number)
        name = workflow_id(trial.fault.runbook, trial.target(number))
        handle = client.get_workflow_handle(name)
        await handle.result()
        await reset_to_beginning(client, name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEEN_WITHIN):
                await client.get_workflow_handle(name).result()


# --- what is changed while people think -------------------------------------------------------------


async def replace_slack_tokens(trial: Trial) -> None:
    """Slack's tokens are replaced while a question is open; a restart with the new ones, and the same button works."""
    house = trial.house
    assert house.practice is not None
    for number in range(trial.tries):
        await trial.alert(number)
        await card_of(trial, number)
        house.practice.replace_tokens()
        await house.stop()
        await house.live()
        await press(trial, number)
        await ended(trial, number)


async def edit_policy_badly(trial: Trial) -> None:
    """The policy is saved broken while a question is open: the last good one decides about the click."""
    policy = trial.house.files.policy
    with put_back(policy) as good:
        for number in range(trial.tries):
            await trial.alert(number)
            await card_of(trial, number)
            save(policy, good[: len(good) // 2])
            await press(trial, number)
            await ended(trial, number)


async def move_clock_at_gate(trial: Trial) -> None:
    """The bot's clock is an hour ahead when somebody approves: too late by that clock, so it does not count.

    When the clock is right again, the question is still open, and the next approval counts.  It comes past
    Slack: a card that was drawn by the wrong clock has lost its buttons.
    """
    async with trial.house.moving_clock() as clock:
        for number in range(trial.tries):
            await trial.alert(number)
            await card_of(trial, number)
            clock.move(timedelta(hours=1))
            await press(trial, number)
            await refused(trial, number)
            clock.move(timedelta())
            right = trial.house.listener_key.sign(decision(await gate_record(trial, number), "in-time"))
            assert not await send(trial, number, right), "an approval in time does not count"
            await ended(trial, number)


# --- the brake --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def nothing_down(_: Trial) -> AsyncIterator[None]:
    """Everything works."""
    yield


@contextlib.asynccontextmanager
async def slack_down(trial: Trial) -> AsyncIterator[None]:
    """Slack answers 503 to everything."""
    assert trial.house.practice is not None
    trial.house.practice.faults.fail("*", times=1000, status=503)
    try:
        yield
    finally:
        trial.house.practice.faults.clear()


@contextlib.asynccontextmanager
async def temporal_down(trial: Trial) -> AsyncIterator[None]:
    """Temporal stands still."""
    with trial.house.temporal_stopped():
        yield


@contextlib.asynccontextmanager
async def ledger_down(trial: Trial) -> AsyncIterator[None]:
    """The ledger cannot be written."""
    with trial.house.ledger_locked():
        yield


Down = Callable[[Trial], contextlib.AbstractAsyncContextManager[None]]


async def freeze(down: Down, trial: Trial) -> None:
    """At a random moment of many runs the brake is pulled, with something else down; then it is lifted."""
    house = trial.house
    await house.calm(
        house.sender.deliveries, 0
    )  # the brake would stop what other faults have left to be done
    await house.target_has(trial.fault.name, "slow")
    await trial.alert(*range(trial.tries // 2))
    await asyncio.sleep(trial.random.uniform(*FREEZE_AFTER))
    async with down(trial):
        await Brake(None, freeze_file=house.freeze_file).freeze(
            EVERYTHING, "chaos", actor="local:chaos", source="chaos"
        )
        telling = asyncio.create_task(trial.alert(*range(trial.tries // 2, trial.tries)))
        await asyncio.sleep(FROZEN_FOR)
    await telling
    await house.settled(trial.deliveries)
    await Brake(house.ledger, freeze_file=house.freeze_file).settle()
    await Brake(house.ledger, freeze_file=house.freeze_file).thaw(
        EVERYTHING, "over", actor="local:chaos", source="chaos"
    )


def frozen(name: str, how: str, down: Down) -> Fault:
    """Return the fault of a brake that is pulled in the middle."""
    return Fault(name, how, functools.partial(freeze, down), least=0.0, short=12, long=100)


PEOPLE = (
    Fault("gate-killed", "kill -9 of bot and Temporal while people think", kill_at_gate, "ask", short=1, long=10, kills=1),
    Fault("click-killed", "kill -9: a click is durable, and not acknowledged", functools.partial(kill_at, "after_click"), "ask", short=1, long=10, kills=2),
    Fault("judgement-killed", "kill -9: a decision was counted, and the workflow does not know it", functools.partial(kill_at, "after_judgement"), "ask", short=1, long=10, kills=2),
    Fault("slack-503", "Slack answers 503 to new cards", functools.partial(slack_fails, 503), "ask", short=1, long=20),
    Fault("slack-429", "Slack answers 429 to new cards", functools.partial(slack_fails, 429), "ask", short=1, long=20),
    Fault("click-twice", "Slack delivers each click twice", deliver_twice, "ask", short=1, long=30),
    Fault("click-again", "five clicks at once, and one when all is over", click_again, "ask", short=1, long=30),
    Fault("two-at-once", "two approvers at the same moment", two_at_once, "ask", short=2, long=100),
    Fault("stranger", "a click of somebody in no group", stranger, "ask", most=0, short=1, long=10),
    Fault("self-approval", "who asked for it approves it, over two paths", self_approval, "ask", most=0, short=1, long=10),
    Fault("forged", "an approval straight to Temporal, all right but the signature", forge, "ask", most=0, short=2, long=30),
    Fault("older-plan", "an approval with a true seal, of another plan", older_plan, "ask", most=0, short=1, long=10),
    Fault("reset", "workflow reset after success", reset, "ask", short=1, long=30),
    Fault("slack-tokens-replaced", "Slack's tokens are replaced at an open gate", replace_slack_tokens, "ask", short=1, long=10),
    Fault("policy-broken", "the policy is saved broken at an open gate", edit_policy_badly, "ask", short=1, long=10),
    Fault("clock-at-gate", "the bot's clock is an hour ahead at a click", move_clock_at_gate, "ask", short=1, long=10),
    frozen("frozen-slack-down", "the same, with Slack down", slack_down),
)  # fmt: skip

BRAKES = (
    frozen("frozen", "the brake is pulled in the middle of runs", nothing_down),
    frozen("frozen-temporal-down", "the same, with Temporal standing still", temporal_down),
    frozen("frozen-ledger-down", "the same, with the ledger locked", ledger_down),
)
"""The brake where no chat is needed: in a house that has less to do."""
