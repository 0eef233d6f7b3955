"""What Slack shows of the ledger: one card for each remediation, whatever breaks."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from activities.ledger import cards, freezes
from activities.ledger.cards import Card
from bot.intake import NO_TARGET
from bot.slack import presenter as presenter_module
from bot.slack.card import APPROVE
from bot.slack.message import say
from bot.slack.sender import Sender, SlackAwayError, SlackRefusedError, Urgency
from runbooks.errors import FailedError
from runbooks.model.record import SYSTEM, Entry, RecordKind
from tests.records import Telling, a_good_night
from tests.slack.rig import Rig
from tests.waiting import Waiting, as_entry

pytestmark = pytest.mark.slow


@pytest.fixture
async def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(presenter_module, "LINE_PAUSE", 0.05)
    monkeypatch.setattr(presenter_module, "FIRST_PAUSE", 0.05)
    async with Rig.open(tmp_path) as opened:
        yield opened


async def keep(rig, told):
    """Put another remediation's records into the ledger."""
    rig.house.told.now = max(rig.house.told.now, told.now)
    await Waiting(rig.ledger, told).keep()


def calls(rig, method):
    return [call for call in rig.server.workspace.calls if call.method == method]


async def test_records_that_come_together_are_one_call(rig):
    """A whole remediation that is on record already is one card and few thread messages."""
    async with rig.bot().running():
        await keep(rig, a_good_night())
        await rig.see_reply("✓ Mitigated")

    assert len(await rig.hands.messages()) == 1
    assert len(calls(rig, "chat.postMessage")) <= 3
    assert calls(rig, "chat.update") == []


async def test_a_card_waits_for_the_question_that_follows_its_plan(rig):
    """In a storm a card without its question would stand in line, and hold the question up."""
    asking = Waiting(rig.ledger, Telling("R-SECOND").admitted().check("before", "passed").planned())
    async with rig.bot().running():
        await asking.keep()
        await rig.house.keep()  # another, which is shown meanwhile
        await rig.hands.wait_for_button(APPROVE)
        before = str(await rig.hands.messages())
        asking.told.asked()
        await asking.keep()
        await rig.hands.wait_for(lambda sight: "R-SECOND" in str(sight.snapshot) or None)

    assert "R-SECOND" not in before
    assert calls(rig, "chat.update") == []


async def test_a_card_is_never_posted_again_after_a_crash(rig):
    """The next process updates the card that its row names, and tells the thread only what is new."""
    async with rig.bot().running():
        await rig.house.keep()
        await rig.see_reply("An answer is needed")
        await rig.all_noted()

    rig.house.told.wait(seconds=5).answered("denied", reason="no").gate_closed("denied").ended("denied")
    await rig.house.keep()
    async with rig.bot().running():
        await rig.see_reply("Denied by Alice")

    (card,) = await rig.hands.messages()
    replies = [each["text"] for each in await rig.hands.thread("#incidents", card["ts"])]
    assert sum("An answer is needed" in text for text in replies) == 1


async def test_a_crash_before_the_thread_was_told_makes_up_for_it(rig):
    """A card whose row stands, and whose thread was not told, is told the rest, and not posted twice."""
    client = rig.bot().connection.client
    await rig.house.keep()
    posted = await client.chat_postMessage(channel="#incidents", text="the card, as it was when it crashed")
    row = Card(remediation="R-7F3K2Q", channel=posted["channel"], ts=posted["ts"], seq=-1, state="card")
    await rig.ledger.write(lambda transaction: cards.keep(transaction, row))

    async with rig.bot().running():
        await rig.see_reply("An answer is needed")
        button = await rig.hands.wait_for_button(APPROVE)

    assert button.ts == posted["ts"]
    assert len(await rig.hands.messages()) == 1


async def test_a_deleted_card_is_posted_again(rig):
    """Whoever deletes the card does not take the question away."""
    async with rig.bot().running():
        await rig.house.keep()
        await rig.see_reply("An answer is needed")
        row = await rig.card_row()
        workspace = rig.server.workspace
        workspace.delete(workspace.message(row.channel, row.ts))

        rig.house.told.joined()
        await rig.house.keep()
        button = await rig.hands.wait_for_button(APPROVE)

    assert button.ts != row.ts


@pytest.mark.parametrize("word", ["channel_not_found", "is_archived", "not_in_channel"])
async def test_a_channel_that_is_gone_is_tried_again(rig, word):
    """The gate stays, and so does the desk: when the channel is back, the card is there."""
    rig.server.faults.refuse("chat.postMessage", word, times=2)
    async with rig.bot().running():
        await rig.house.keep()
        await rig.hands.wait_for_button(APPROVE)


async def test_a_card_that_slack_refuses_becomes_a_plain_one(rig):
    """An approval is never lost because something about a card was odd."""
    rig.server.faults.refuse("chat.postMessage", "invalid_blocks")
    async with rig.bot().running():
        await rig.house.keep()
        await rig.hands.wait_for_button(APPROVE)
    (card,) = await rig.hands.messages()
    assert "Errors are above" not in str(card["blocks"])


async def test_slacks_pause_holds_and_no_button_stays_alive(rig):
    """Inside Retry-After there is no call at all; after it, the buttons of a closed gate go."""
    async with rig.bot().running():
        await rig.house.keep()
        await rig.see_reply("An answer is needed")
        rig.server.faults.fail("chat.update", status=429, retry_after=1)
        loop = asyncio.get_running_loop()
        started = loop.time()
        await rig.house.close_gate("expired", "nobody answered in time")
        await rig.no_buttons()

    assert loop.time() - started >= 1.0
    assert [call.error for call in calls(rig, "chat.update")][-1] == ""


async def test_a_slack_that_fails_is_asked_again(rig):
    """5xx answers are tried again, then the desk itself tries again."""
    rig.server.faults.fail("chat.postMessage", status=503, times=2)
    async with rig.bot().running():
        await rig.house.keep()
        await rig.hands.wait_for_button(APPROVE, timeout=15)


async def test_what_was_withheld_is_a_line_and_no_card(rig, monkeypatch):
    """What ended before there was a plan is one short line; lines that come together share a message."""
    monkeypatch.setattr(
        presenter_module, "LINE_PAUSE", 2.0
    )  # also if the disk is slow, they do come together
    withheld = [
        Telling(f"R-AAAAA{number}", first_seq=0)
        .admitted("withheld", reason="frozen", sentence="x")
        .ended("withheld", "frozen by alice: migration", "frozen")
        for number in range(3)
    ]
    async with rig.bot().running():
        await rig.ledger.append(*(as_entry(record) for told in withheld for record in told.records))
        message = await rig.see("R-AAAAA2")

    assert message["text"].count("○ Withheld: frozen by alice: migration") == 3
    assert not message.get("blocks")


async def test_an_echo_in_the_cooldown_says_nothing(rig):
    """A target that is in its cooldown was on a card a moment ago."""
    async with rig.bot().running():
        quiet = Telling("R-QQQQQQ").admitted("withheld").ended("withheld", "cooling down", "cooldown")
        await keep(rig, quiet)
        await keep(rig, Telling("R-LLLLLL").admitted().check("before", "failed").ended("not_needed", "fine"))
        await rig.see("R-LLLLLL")

    assert "R-QQQQQQ" not in str(await rig.hands.messages())


async def test_attempts_that_are_used_up_call_people_once_with_the_pattern(rig):
    """Whoever must look is mentioned and reads what was tried; the echo of a repeated alert is silent."""
    pattern = "It was tried 3 times (R-1 at 01:07 UTC: mitigated; R-2 at 02:07 UTC: unverified). " + "x" * 300
    used_up = {"reason": "attempts_used_up", "sentence": pattern}
    async with rig.bot().running():
        told = Telling("R-TTTTTT").admitted("withheld", **used_up, tell=["sre-oncall"], said_before="")
        await keep(rig, told.ended("withheld", pattern, "attempts_used_up"))
        echo = Telling("R-EEEEEE").admitted("withheld", **used_up, tell=[], said_before="R-TTTTTT")
        await keep(rig, echo.ended("withheld", pattern, "attempts_used_up"))
        await keep(rig, Telling("R-LLLLLL").admitted().check("before", "failed").ended("not_needed", "fine"))
        message = await rig.see("R-TTTTTT")
        await rig.see("R-LLLLLL")

    assert "<!subteam^" in message["text"]
    assert f"✗ *Somebody has to look.* {pattern}" in message["text"]
    assert "R-EEEEEE" not in str(await rig.hands.messages())


async def test_old_news_are_no_news(rig):
    """What ended long before Slack was switched on is not told any more."""
    await keep(rig, a_good_night())
    rig.house.told.wait(hours=2)
    rig.house.told.records.clear()
    fresh = Telling("R-FFFFFF")
    fresh.now = rig.house.now()
    async with rig.bot().running():
        await keep(rig, fresh.admitted().check("before", "passed").planned().asked())
        await rig.see("R-FFFFFF")

    assert "R-7F3K2Q" not in str(await rig.hands.messages())


async def test_the_brake_is_told_to_all(rig):
    """A freeze and its thaw are a line in the channel, with who and why."""
    async with rig.bot().running():
        for change in (freezes.freeze, freezes.thaw):
            await rig.ledger.write(
                lambda t, change=change: change(
                    t, "*", actor="slack:T0PRACTICE/U0BOB", source="slack", reason="<!here> db", at=rig.now()
                )
            )
        await rig.see("■ *Frozen*: everything, by <@U0BOB>: &lt;!here&gt; db")
        await rig.see("□ *Thawed*: everything, by <@U0BOB>")


async def test_an_alert_that_names_no_target_is_told(rig):
    """A runbook was written for it, nothing is done, and only Slack reaches who can mend that."""
    told = {"delivery": "d", "sentence": "HostSlow for host-slow: no label instance", "remediation": ""}
    async with rig.bot().running():
        for reason in ("resolved", NO_TARGET):
            data = {**told, "entry": reason, "reason": reason}
            said = {
                "kind": RecordKind.ALERT_EXPLAINED,
                "actor": "bot:worker",
                "source": "test",
                "at": rig.now(),
            }
            await rig.ledger.append(Entry(event_id=f"explained/{reason}", stream=SYSTEM, data=data, **said))
        await rig.see("▲ *An alert is not acted on:* HostSlow for host-slow: no label instance")

    assert len(await rig.hands.messages()) == 1


async def test_checks_that_take_long_are_shown(rig, monkeypatch):
    """A card says that checks are under way only when they are not over at once."""
    monkeypatch.setattr(presenter_module, "PATIENCE", timedelta(milliseconds=100))
    rig.house.told.records.clear()
    rig.house.told.admitted().wait(seconds=1)
    async with rig.bot().running():
        await rig.house.keep()
        await rig.see("● Checking checkout")


async def test_people_are_called_in_the_thread_and_in_the_channel(rig):
    """Escalation names the group, in the card's thread, and the channel sees it too."""
    async with rig.bot().running() as bot:
        await rig.house.keep()
        await rig.see_reply("An answer is needed")
        where = await bot.teller.tell(
            to="sre-oncall", text="Please look at &lt;it&gt;", remediation="R-7F3K2Q"
        )
        said = await rig.see_reply("Please look at &lt;it&gt;")

    assert where == f"slack:C0INCIDENTS/{said['ts']}"
    assert said["text"] == "<!subteam^S0SREONCALL> Please look at &lt;it&gt; (`R-7F3K2Q`)"


async def test_people_are_called_without_a_card(rig):
    """Where there is no card, the channel is told; where Slack says no, the action has failed."""
    async with rig.bot().running() as bot:
        await bot.teller.tell(to="nobody-knows", text="help", remediation="R-NOCARD")
        await rig.see("`nobody-knows` help (`R-NOCARD`)")
        rig.server.faults.refuse("chat.postMessage", "channel_not_found")
        with pytest.raises(FailedError, match="channel_not_found"):
            await bot.teller.tell(to="sre-oncall", text="help", remediation="R-NOCARD")


async def test_the_most_urgent_goes_first(rig):
    """After a pause, a question to people overtakes progress that was there before it."""
    async with rig.bot().running() as bot:
        rig.server.faults.fail("chat.postMessage", status=429, retry_after=1)
        paused = asyncio.Event()
        bot.sender.tally.count = lambda outcome: paused.set() if outcome == "paused" else None
        post = bot.sender.post
        progress = [
            asyncio.create_task(post("#incidents", say(f"progress {n}"), urgency=Urgency.PROGRESS))
            for n in range(3)
        ]
        await paused.wait()
        gate = asyncio.create_task(post("#incidents", say("question"), urgency=Urgency.GATE))
        await asyncio.gather(gate, *progress)

    assert (await rig.hands.messages())[0]["text"] == "question"


async def test_the_sender_keeps_slacks_rate(rig):
    """After a burst, calls go out no faster than allowed."""
    bot = rig.bot()
    async with bot.running():
        sender = Sender(bot.connection.sender_client, per_second=20, burst=2)
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.gather(
            *(sender.post("#incidents", say(f"{n}"), urgency=Urgency.LINE) for n in range(8))
        )
    assert loop.time() - started >= 6 / 20 * 0.9


async def test_the_sender_says_whether_it_may_have_been_said(rig, monkeypatch):
    """A refusal, and no proper answer, are different things to whoever acts on them."""
    monkeypatch.setattr("bot.slack.sender.FIRST_PAUSE", 0.01)
    async with rig.bot().running() as bot:
        rig.server.faults.refuse("chat.postMessage", "restricted_action")
        with pytest.raises(SlackRefusedError) as refused:
            await bot.sender.post("#incidents", say("x"), urgency=Urgency.LINE)
        rig.server.faults.fail("chat.postMessage", status=500, times=4)
        with pytest.raises(SlackAwayError) as away:
            await bot.sender.post("#incidents", say("x"), urgency=Urgency.LINE)

    assert refused.value.word == "restricted_action"
    assert away.value.maybe_sent
