"""People and a real bolt app over Socket Mode: presses, modals, commands, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.practice.hands import Hands, HandsError, NotSeenError
from bot.practice.server import PracticeServer
from bot.practice.vouchers import ResponseUrls, Triggers
from bot.practice.workspace import Workspace
from runbooks.errors import ParamedicError

pytestmark = pytest.mark.slow

Json = dict[str, Any]
CARD: list[Json] = [
    {
        "type": "actions",
        "block_id": "gate:1",
        "elements": [
            {
                "type": "button",
                "action_id": "approve",
                "text": {"type": "plain_text", "text": "Go"},
                "value": "G1",
            },
        ],
    }
]
REASON: Json = {
    "type": "input",
    "block_id": "why",
    "label": {"type": "plain_text", "text": "Why?"},
    "element": {"type": "plain_text_input", "action_id": "reason", "min_length": 3},
}


def modal(*blocks: Json, **more: Any) -> Json:
    title = {"type": "plain_text", "text": "Deny"}
    return {
        "type": "modal",
        "callback_id": "deny",
        "title": title,
        "submit": title,
        "blocks": list(blocks or (REASON,)),
        **more,
    }


async def post_card(client: AsyncWebClient) -> str:
    return str((await client.chat_postMessage(channel="#incidents", text="card", blocks=CARD))["ts"])


class Presses(list[Json]):
    """The bodies of all presses that the app got; `two` is set when there are two."""

    def __init__(self) -> None:
        super().__init__()
        self.two = asyncio.Event()

    def attach(self, app: AsyncApp) -> None:
        @app.action("approve")
        async def pressed(ack: Any, body: Json) -> None:
            self.append(body)
            if len(self) == 2:
                self.two.set()
            await ack()


@pytest.fixture
def presses(app: AsyncApp) -> Presses:
    presses = Presses()
    presses.attach(app)
    return presses


@pytest.fixture
async def opened(app: AsyncApp, client: AsyncWebClient) -> None:
    """A press opens a modal."""

    @app.action("approve")
    async def pressed(ack: Any, body: Json) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=modal())


async def test_a_press_says_who_where_and_what(
    presses: Presses, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    The app learns the person, the message and the button's value from the payload.
    """
    ts = await post_card(client)

    assert await hands.press("#incidents", ts, "approve", as_person="mallory") == "acknowledged"
    (body,) = presses
    assert body["user"] == {
        "id": "U0MALLORY",
        "username": "mallory",
        "name": "mallory",
        "team_id": "T0PRACTICE",
    }
    assert body["container"] == {
        "type": "message",
        "message_ts": ts,
        "channel_id": "C0INCIDENTS",
        "is_ephemeral": False,
    }
    assert (body["actions"][0]["action_id"], body["actions"][0]["value"]) == ("approve", "G1")
    assert body["message"]["blocks"] == CARD


async def test_a_modal_keeps_open_until_its_inputs_are_right(
    opened: None, app: AsyncApp, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    Slack refuses an empty and a short input, the app refuses a bad one, and a good one closes the modal.
    """
    held: list[str] = []

    @app.view("deny")
    async def submitted(ack: Any, view: Json) -> None:
        held.append(view["state"]["values"]["why"]["reason"]["value"])
        if held[-1] == "bad":
            await ack(response_action="errors", errors={"why": "too short"})
        else:
            await ack()

    await hands.press("#incidents", await post_card(client), "approve")
    view = await hands.wait_for_modal()

    assert await hands.submit(view) == {"why": "Please complete this required field."}
    assert await hands.submit(view, {"reason": "no"}) == {"why": "Please write at least 3 characters."}
    assert await hands.submit(view, {"reason": "bad"}) == {"why": "too short"}
    assert (await hands.modals())[0]["id"] == view
    assert await hands.modals(as_person="bob") == []
    assert await hands.submit(view, {"why": "because"}) == {}
    assert await hands.modals() == []
    assert held == ["bad", "because"]


async def test_an_acknowledgement_may_update_push_and_clear(
    opened: None, app: AsyncApp, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    The three other answers to a submission do to the stack of modals what Slack does.
    """
    answers = [{"response_action": "update"}, {"response_action": "push"}, {"response_action": "clear"}]

    @app.view("deny")
    async def submitted(ack: Any) -> None:
        answer = answers.pop(0)
        await ack(**answer, **({} if answer["response_action"] == "clear" else {"view": modal()}))

    await hands.press("#incidents", await post_card(client), "approve")
    first = await hands.wait_for_modal()
    await hands.submit(first, {"why": "abc"})
    updated = [view["id"] for view in await hands.modals()]
    await hands.submit(first, {"why": "abc"})
    pushed = await hands.modals()
    await hands.submit(pushed[-1]["id"], {"why": "abc"})

    assert updated == [first]
    assert [view["previous_view_id"] for view in pushed] == [None, first]
    assert await hands.modals() == []


async def test_an_answer_that_cannot_be_shown_is_told(
    opened: None, app: AsyncApp, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    Errors for a block that does not exist leave the modal open, and the person is told.
    """

    @app.view("deny")
    async def submitted(ack: Any) -> None:
        await ack(response_action="errors", errors={"nowhere": "bad"})

    await hands.press("#incidents", await post_card(client), "approve")
    view = await hands.wait_for_modal()
    await hands.submit(view, {"why": "abc"})

    assert (await hands.modals())[0]["id"] == view
    assert "cannot be shown" in (await hands.look()).notices[0]


async def test_closing_a_modal_is_told_where_asked(
    app: AsyncApp, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    An app that asks for it learns that a person closed its modal.
    """
    closed: asyncio.Queue[Json] = asyncio.Queue()

    @app.action("approve")
    async def pressed(ack: Any, body: Json) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=modal(notify_on_close=True))

    @app.view_closed("deny")
    async def view_closed(ack: Any, body: Json) -> None:
        await ack()
        closed.put_nowait(body)

    await hands.press("#incidents", await post_card(client), "approve")
    view = await hands.wait_for_modal()
    await hands.close_view(view)

    assert (await closed.get())["view"]["id"] == view
    assert await hands.modals() == []


async def test_a_trigger_opens_one_modal(
    presses: Presses, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    A trigger id works once.
    """
    await hands.press("#incidents", await post_card(client), "approve")
    trigger = presses[0]["trigger_id"]
    await client.views_open(trigger_id=trigger, view=modal())

    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        await client.views_open(trigger_id=trigger, view=modal())


async def test_a_command_is_answered_to_one_person_or_to_all(
    app: AsyncApp, connected: None, hands: Hands
) -> None:
    """
    What a command answers is seen by the person alone, unless it says `in_channel`.
    """
    commands: list[Json] = []

    @app.command("/runbook")
    async def ran(ack: Any, respond: Any, command: Json) -> None:
        commands.append(command)
        await ack(f"private {command['text']}")
        await respond("public", response_type="in_channel")

    assert await hands.command("/runbook", "list all", as_person="bob") == "acknowledged"
    assert (commands[0]["command"], commands[0]["text"], commands[0]["user_id"]) == (
        "/runbook",
        "list all",
        "U0BOB",
    )
    assert [each["text"] for each in await hands.ephemerals("bob")] == ["private list all"]
    assert await hands.ephemerals("alice") == []
    assert [each["text"] for each in await hands.messages()] == ["public"]


async def test_an_unknown_command_reaches_no_app(connected: None, hands: Hands) -> None:
    """
    A command that the workspace does not have is refused by the workspace.
    """
    assert await hands.command("/nonsense") == "unknown"
    assert (await hands.look()).notices == ["/nonsense is not a valid command."]


async def test_a_response_url_lasts_five_uses(
    presses: Presses, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    A response URL replaces the card once, speaks to the person, and ends after the fifth use.
    """
    ts = await post_card(client)
    await hands.press("#incidents", ts, "approve")
    url = presses[0]["response_url"]
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.post(url, json={"replace_original": True, "text": "replaced"})
        answers = [await http.post(url, json={"text": str(count)}) for count in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404]
    assert answers[-1].json()["error"] == "used_url"
    assert [each["text"] for each in await hands.messages()] == ["replaced"]
    assert [each["text"] for each in await hands.ephemerals()] == ["0", "1", "2", "3"]


async def test_an_ephemeral_is_seen_by_one_person(
    presses: Presses, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    An ephemeral message is for one person; its buttons work, and its press carries no message.
    """
    sent = await client.chat_postEphemeral(channel="C0INCIDENTS", user="U0BOB", text="psst", blocks=CARD)
    await hands.press("#incidents", sent["message_ts"], "approve", as_person="bob")

    assert [each["text"] for each in await hands.ephemerals("bob")] == ["psst"]
    assert await hands.ephemerals("alice") == []
    assert presses[0]["container"]["is_ephemeral"] is True
    assert "message" not in presses[0]
    with pytest.raises(HandsError, match="message_not_found"):
        await hands.press("#incidents", sent["message_ts"], "approve", as_person="alice")


async def test_a_mention_becomes_an_event(app: AsyncApp, connected: None, hands: Hands) -> None:
    """
    Whoever mentions the bot wakes it; what people type is escaped.
    """
    events: asyncio.Queue[Json] = asyncio.Queue()

    @app.event("app_mention")
    async def mentioned(event: Json) -> None:
        events.put_nowait(event)

    await hands.say("@paramedic a < b", as_person="bob")

    assert (await events.get())["text"] == "<@U0PARAMEDIC> a &lt; b"


# --- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [0.5])
async def test_silence_is_told_to_the_person(
    app: AsyncApp, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    An app that acknowledges too late may have acted; the person sees that it timed out.
    """
    acted = asyncio.Event()

    @app.action("approve")
    async def pressed(ack: Any) -> None:
        acted.set()
        await asyncio.Event().wait()

    assert await hands.press("#incidents", await post_card(client), "approve") == "timed_out"
    async with asyncio.timeout(30):
        await acted.wait()
    assert "operation timed out" in (await hands.look()).notices[0]


async def test_without_an_app_nothing_is_delivered(client: AsyncWebClient, hands: Hands) -> None:
    """
    A press while the app is away is lost, and the person is told at once.
    """
    assert await hands.press("#incidents", await post_card(client), "approve") == "not_connected"
    assert "not connected" in (await hands.look()).notices[0]


async def test_one_press_delivered_twice_runs_twice(
    presses: Presses, connected: None, client: AsyncWebClient, server: PracticeServer, hands: Hands
) -> None:
    """
    Nothing in bolt or Slack takes a doubled delivery out; the product has to.
    """
    server.faults.deliver_twice()
    await hands.press("#incidents", await post_card(client), "approve")
    await presses.two.wait()

    assert presses[0]["trigger_id"] == presses[1]["trigger_id"]


@pytest.mark.parametrize("patience", [0.5])
async def test_a_lost_envelope_reaches_nobody(
    presses: Presses, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    A lost envelope looks like silence to the person, and the app never hears of it.
    """
    await hands.switch("lose")

    assert await hands.press("#incidents", await post_card(client), "approve") == "timed_out"
    assert presses == []


async def test_the_app_comes_back_when_it_is_asked_to(
    presses: Presses, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    After `disconnect` the client opens another connection, and presses work again.
    """
    await hands.switch("disconnect", reason="refresh_requested")
    await hands.wait_for(lambda sight: sight.connected)

    assert await hands.press("#incidents", await post_card(client), "approve") == "acknowledged"


@pytest.mark.parametrize("ping_interval", [1.0])
async def test_the_app_comes_back_after_a_dead_connection(
    presses: Presses, connected: None, client: AsyncWebClient, hands: Hands
) -> None:
    """
    A connection that is cut without a word is replaced by the client.
    """
    await hands.switch("cut")
    await hands.wait_for(lambda sight: not sight.connected)
    await hands.wait_for(lambda sight: sight.connected, timeout=20)

    assert await hands.press("#incidents", await post_card(client), "approve") == "acknowledged"


async def test_waiting_for_what_never_comes_ends(hands: Hands) -> None:
    """
    wait_for gives up after its time and says whose eyes saw nothing.
    """
    with pytest.raises(NotSeenError, match="bob"):
        await hands.wait_for(lambda sight: sight.modals, timeout=0.05, as_person="bob")


# --- time ---------------------------------------------------------------------------------------


class Clock:
    """A clock that a test puts forward."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def refusal_of(deed: Any, *given: Any) -> str:
    with pytest.raises(ParamedicError) as refused:
        deed(*given)
    return str(refused.value)


def test_a_trigger_lasts_three_seconds() -> None:
    """
    A trigger id works just before its third second is over, and not after.
    """
    clock = Clock()
    triggers = Triggers(clock)
    early, late = triggers.issue("U0ALICE"), triggers.issue("U0ALICE")
    clock.now += 2.9
    assert triggers.exchange(early) == "U0ALICE"
    clock.now += 0.1

    assert refusal_of(triggers.exchange, late) == "expired_trigger_id"


def test_a_response_url_lasts_half_an_hour() -> None:
    """
    A response URL ends after thirty minutes, however little it was used.
    """
    clock = Clock()
    urls = ResponseUrls(clock)
    secret = urls.issue("U0ALICE", "C0INCIDENTS")
    clock.now += 30 * 60

    assert refusal_of(urls.use, secret) == "expired_url"


def test_two_messages_of_the_same_moment_have_two_names() -> None:
    """
    Timestamps are the identity of messages, so they never repeat.
    """
    workspace = Workspace(clock=Clock())

    assert workspace.next_ts() < workspace.next_ts()
