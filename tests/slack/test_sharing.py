"""Many remediations at once: one message for an incident, one for a storm, and every question findable."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.slack import boards as boards_module
from bot.slack import presenter as presenter_module
from bot.slack.board import QUESTIONS
from bot.slack.card import APPROVE
from bot.slack.seating import NEW_MESSAGES
from tests.records import ALERT, Telling
from tests.slack.rig import MILD, Rig
from tests.waiting import Waiting, as_entry

pytestmark = pytest.mark.slow

GROUP = '{}/{severity="page"}:{service="checkout"}'
PATIENCE = 60.0  # seconds; waits end as soon as what they wait for is there


@pytest.fixture
async def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(boards_module, "UPDATE_PAUSE", 0.05)
    monkeypatch.setattr(boards_module, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(presenter_module, "FIRST_PAUSE", 0.05)
    async with Rig.open(tmp_path) as opened:
        yield opened


def asking(number: int, group: str = GROUP) -> Telling:
    """A remediation of its own target that asks; the lower the number, the longer it has waited."""
    alert = ALERT.model_copy(update={"group_key": group}).model_dump(mode="json")
    told = Telling(f"R-{number:06}", plan=MILD.model_copy(update={"target": f"host-{number}"}))
    told.admitted(alert=alert).check("before", "passed").planned()
    told.now += timedelta(milliseconds=number)
    return told.asked()


async def keep(rig, *told):
    """Put their records into the ledger at once, as a storm does."""
    await rig.ledger.append(*(as_entry(record) for each in told for record in each.records))


async def close(rig, *told):
    """Close their gates."""
    for each in told:
        known = len(each.records)
        each.answered("denied", reason="not now").gate_closed("denied").ended("denied")
        await rig.ledger.append(*map(as_entry, each.records[known:]))


def gates(sight):
    return [button.value for button in sight.buttons() if button.action_id == APPROVE]


async def see_title(rig, words):
    """Wait until a message of the channel begins with these words, and return it."""

    def seen(sight):
        return next((each for each in sight.messages("#incidents") if each["text"].startswith(words)), None)

    return await rig.hands.wait_for(seen, PATIENCE)


async def test_two_hundred_alerts_of_one_service_are_one_message(rig):
    """Ten questions with their buttons, the longest wait first, right at the top; the others come up in turn."""
    told = [asking(number) for number in range(200)]
    async with rig.bot().running():
        await keep(rig, *told)
        message = await see_title(rig, "▲ 200 answers are needed")
        shown = gates(await rig.hands.look())
        await close(rig, *told[:195])
        await see_title(rig, "▲ 5 answers are needed, 195 ended")
        left = gates(await rig.hands.look())

    sight = await rig.hands.look()
    assert [each["ts"] for each in sight.messages("#incidents")] == [message["ts"]]
    assert shown == [f"R-{number:06}/gate-1" for number in range(QUESTIONS)]
    assert message["blocks"][3]["type"] == "actions"
    assert left == [f"R-{number:06}/gate-1" for number in range(195, 200)]
    assert len(sight.thread("#incidents", message["ts"])) <= 4
    assert "<!subteam^" in sight.thread("#incidents", message["ts"])[0]["text"]


async def test_a_storm_without_groups_is_a_handful_of_messages(rig):
    """A few cards, then one message for all others; no question is lost."""
    async with rig.bot().running():
        await keep(rig, *(asking(number, group="") for number in range(60)))
        await see_title(rig, f"▲ {60 - NEW_MESSAGES} answers are needed")

    sight = await rig.hands.look()
    messages = sight.messages("#incidents")
    assert len(messages) == NEW_MESSAGES + 1
    assert len(set(gates(sight))) == NEW_MESSAGES + QUESTIONS


async def test_a_press_on_a_board_is_an_answer_to_that_question(rig):
    """Each row's buttons carry their own gate; the row goes when it is answered."""
    mine = ALERT.model_copy(update={"group_key": GROUP}).model_dump(mode="json")
    told = Telling(plan=MILD).admitted(alert=mine).check("before", "passed").planned().asked()
    rig.house = Waiting(rig.ledger, told)
    async with rig.bot().running():
        await keep(rig, asking(1), asking(2))
        await see_title(rig, "▲ 2 answers are needed")
        await rig.house.keep()
        await see_title(rig, "▲ 3 answers are needed")
        button = await rig.hands.wait_for_button(APPROVE, rig.house.gate.id, PATIENCE)
        assert await rig.hands.approve(button) == "acknowledged"
        await see_title(rig, "▲ 2 answers are needed, 1 going on")

    (signed,) = rig.house.heard
    assert signed.decision.gate == rig.house.gate.id


async def test_the_next_process_goes_on_with_the_same_message(rig):
    """Who joined, what was told and what can still be joined is known after a crash."""
    told = [asking(number) for number in range(3)]
    async with rig.bot().running():
        await keep(rig, *told)
        message = await see_title(rig, "▲ 3 answers are needed")
        for each in told:  # also what the thread has been told
            await rig.noted(each.remediation)
    await close(rig, told[0])
    await keep(rig, asking(3))
    async with rig.bot().running():
        again = await see_title(rig, "▲ 3 answers are needed, 1 ended")
        await rig.hands.wait_for(
            lambda sight: "Denied by" in str(sight.thread("#incidents", again["ts"])), PATIENCE
        )

    replies = (await rig.hands.look()).thread("#incidents", message["ts"])
    said = "\n".join(each["text"] for each in replies)
    assert again["ts"] == message["ts"]
    assert [said.count(f"An answer is needed for `host-{number}`") for number in range(4)] == [1, 1, 1, 1]


async def test_a_board_that_somebody_deletes_is_posted_again(rig):
    """With all that was on it."""
    async with rig.bot().running():
        await keep(rig, asking(0), asking(1))
        message = await see_title(rig, "▲ 2 answers are needed")
        workspace = rig.server.workspace
        workspace.delete(workspace.message("C0INCIDENTS", message["ts"]))
        await keep(rig, asking(2))
        again = await see_title(rig, "▲ 3 answers are needed")

    assert again["ts"] != message["ts"]


async def test_who_comes_after_a_board_was_posted_again_joins_it_where_it_is(rig):
    """The place that the incident was first known by is no longer where its message is."""
    first, second = asking(0), asking(1)
    async with rig.bot().running():
        await keep(rig, first, second)
        message = await see_title(rig, "▲ 2 answers are needed")
        workspace = rig.server.workspace
        workspace.delete(workspace.message("C0INCIDENTS", message["ts"]))
        await close(rig, first)
        again = await see_title(rig, "▲ 1 answer is needed, 1 ended")
        await keep(rig, asking(2))
        joined = await see_title(rig, "▲ 2 answers are needed, 1 ended")

    assert joined["ts"] == again["ts"] != message["ts"]


async def test_who_joins_a_card_that_was_posted_again_joins_it_where_it_is(rig):
    """Alone it is a card; the second one makes it a board."""
    first = asking(0)
    async with rig.bot().running():
        await keep(rig, first)
        message = await rig.hands.wait_for(
            lambda sight: next(iter(sight.messages("#incidents")), None), PATIENCE
        )
        workspace = rig.server.workspace
        workspace.delete(workspace.message("C0INCIDENTS", message["ts"]))
        await close(rig, first)
        again = await rig.hands.wait_for(
            lambda sight: next(
                (each for each in sight.messages("#incidents") if each["ts"] != message["ts"]), None
            ),
            PATIENCE,
        )
        await keep(rig, asking(1))
        joined = await see_title(rig, "▲ 1 answer is needed, 1 ended")

    assert joined["ts"] == again["ts"]


@pytest.mark.parametrize("fault", [{"status": 429, "retry_after": 1}, {"status": 503}], ids=["429", "503"])
async def test_a_board_waits_for_slack_and_loses_nothing(rig, fault):
    """What is recorded while Slack wants a pause is shown after it."""
    async with rig.bot().running():
        await keep(rig, asking(0), asking(1))
        await see_title(rig, "▲ 2 answers are needed")
        await rig.hands.switch("fail", method="chat.update", times=1, **fault)
        await keep(rig, *(asking(number) for number in range(2, 6)))
        await see_title(rig, "▲ 6 answers are needed")


async def test_an_archived_channel_is_replaced_by_the_fallback(rig):
    """Cards that were there are posted anew, new ones come there as well, and whoever looks is told."""
    rig.server.workspace.add_channel("general")
    async with rig.bot(fallback="#general").running() as bot:
        await rig.house.keep()
        await rig.see_reply("An answer is needed")
        rig.server.workspace.channel("C0INCIDENTS").is_archived = True
        rig.house.told.joined()
        await rig.house.keep()
        await keep(rig, asking(7, group=""))

        def moved(sight):
            there = sight.channel_id("#general")
            return {button.value for button in sight.buttons() if button.channel == there}

        await rig.hands.wait_for(
            lambda sight: moved(sight) == {rig.house.gate.id, "R-000007/gate-1"} or None, PATIENCE
        )
        assert "is_archived of #incidents: #general is used instead" in bot.poster.note()

        rig.server.workspace.channel("C0INCIDENTS").is_archived = False
        await keep(rig, asking(8, group=""))
        await rig.hands.wait_for_button(APPROVE, "R-000008/gate-1", PATIENCE)
        assert bot.poster.note() == "as it should be"


async def test_a_question_that_no_channel_shows_is_told_to_those_who_may_answer(rig):
    """Once each; the card comes as soon as there is a channel again."""
    channel = rig.server.workspace.channel("C0INCIDENTS")
    channel.is_archived = True
    async with rig.bot().running():
        await rig.house.keep()

        def direct(sight):
            said = [each for many in sight.snapshot["messages"].values() for each in many]
            return [each["text"] for each in said if "No channel can show it" in each["text"]]

        (text,) = await rig.hands.wait_for(direct, PATIENCE)
        await rig.hands.wait_for(direct, PATIENCE, as_person="bob")
        channel.is_archived = False
        await rig.hands.wait_for_button(APPROVE, rig.house.gate.id, PATIENCE)

    assert "R-7F3K2Q" in text
    assert len(direct(await rig.hands.look())) == 1
    assert await rig.hands.look(as_person="mallory")
    assert direct(await rig.hands.look(as_person="mallory")) == []


async def test_nobody_hears_of_a_revoked_token_but_whoever_looks(rig):
    """Nothing can be said at all; readiness tells, and when it is mended all is shown."""
    rig.server.faults.refuse("chat.postMessage", "token_revoked")
    counted = []
    bot = rig.bot()
    bot.sender.tally.count = counted.append
    async with bot.running():
        await rig.house.keep()
        await rig.hands.wait_for_button(APPROVE, rig.house.gate.id, PATIENCE)

    assert counted[:2] == ["refused", "nowhere"]
    assert counted.count("done") >= 1
    assert bot.poster.note() == "as it should be"


async def test_a_card_that_breaks_the_rules_is_posted_plain(rig, monkeypatch):
    """Our own look finds it before Slack does; the buttons are the same."""
    real = presenter_module.render_card

    def broken(story, **more):
        message = real(story, **more)
        return message.model_copy(update={"blocks": (*message.blocks, {"type": "nonsense"})})

    monkeypatch.setattr(presenter_module, "render_card", broken)
    async with rig.bot().running():
        await rig.house.keep()
        button = await rig.hands.wait_for_button(APPROVE, rig.house.gate.id, PATIENCE)
        assert await rig.hands.approve(button) == "acknowledged"
        await rig.no_buttons()

    assert (await rig.house.story()).gate.outcome == "approved"
    calls = rig.server.workspace.calls
    assert next(call.error for call in calls if call.method == "chat.postMessage") == ""


async def test_two_that_come_at_the_same_moment_are_not_two_messages(rig):
    """The second waits until the first is posted, however slow Slack is."""
    rig.server.faults.slow("chat.postMessage", seconds=1.0)
    async with rig.bot().running():
        await asyncio.gather(keep(rig, asking(0)), keep(rig, asking(1)))
        await see_title(rig, "▲ 2 answers are needed")

    assert len((await rig.hands.look()).messages("#incidents")) == 1
