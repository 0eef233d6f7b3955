"""People and the bot, over real sockets against the practice workspace."""

from __future__ import annotations

import asyncio

import pytest

from activities.ledger.leases import KeptTarget
from bot.slack.card import APPROVE, DENY
from runbooks.errors import LedgerError
from runbooks.model.record import RecordKind
from tests.records import NOON, Telling
from tests.slack.rig import Rig

pytestmark = pytest.mark.slow


@pytest.fixture
async def rig(tmp_path):
    async with Rig.open(tmp_path) as opened:
        yield opened


async def test_an_approval_goes_all_the_way(rig):
    """
    A card appears, its group is called, one press decides, the buttons go, the thread says who.
    """
    async with rig.bot().running():
        await rig.house.keep()
        button = await rig.hands.wait_for_button(APPROVE, value=rig.house.gate.id)
        await rig.see_reply("<!subteam^S0SREONCALL>")

        answer = await rig.press(button)

        await rig.no_buttons()
        await rig.see_reply("<@U0ALICE> approved")
    assert answer == "acknowledged"
    (signed,) = rig.house.heard
    assert signed.decision.principal.key == "slack:T0PRACTICE/U0ALICE"
    assert signed.decision.principal.groups == ("sre-oncall",)


async def test_a_denial_asks_why(rig):
    """
    Deny opens a form; without a reason it stays open; with one the card says who and why.
    """
    async with rig.bot().running():
        await rig.house.keep()
        await rig.press(await rig.hands.wait_for_button(DENY), "bob")
        view = await rig.hands.wait_for_modal(as_person="bob")

        refused = await rig.hands.submit(view, {"text": "   "}, "bob")
        taken = await rig.hands.submit(view, {"text": "not during <the> sale"}, "bob")

        await rig.no_buttons()
        card = await rig.see("Denied by Bob Berger: not during <the> sale")
    assert "say why" in refused["reason"]
    assert taken == {}
    assert "not during &lt;the&gt; sale" in str(card)
    assert rig.house.heard[0].decision.reason == "not during <the> sale"


@pytest.mark.parametrize(
    ("who", "objection"),
    [
        ("mallory", "you are not in sre-oncall"),
        ("guest", "guests may not answer"),
        ("stranger", "other workspaces"),
    ],
)
async def test_who_may_not_answer_is_told_alone(rig, who, objection):
    """
    A wrong person's press changes nothing, is on record, and only that person hears of it.
    """
    async with rig.bot().running():
        await rig.house.keep()
        await rig.press(await rig.hands.wait_for_button(APPROVE, as_person=who), who)

        await rig.overhear(objection, as_person=who)

    story = await rig.house.story()
    assert story.gate.outcome == ""
    assert [(each.accepted, objection in each.objection) for each in story.gate.decisions] == [(False, True)]
    assert await rig.hands.ephemerals("alice") == []


async def test_whoever_left_the_group_a_moment_ago_is_out(rig):
    """
    Membership is looked up at the click, not remembered from the last one.
    """
    async with rig.bot().running() as bot:
        await rig.house.keep()
        button = await rig.hands.wait_for_button(APPROVE)
        assert (await bot.people.look_up("slack:T0PRACTICE/U0ALICE", ["sre-oncall"])).groups
        rig.server.workspace.set_group("sre-oncall", ["bob"])

        await rig.press(button)
        await rig.overhear("you are not in sre-oncall")

    assert (await rig.house.story()).gate.outcome == ""


async def test_a_press_that_is_delivered_twice_counts_once(rig):
    """
    Two deliveries of one envelope are one click on record.
    """
    async with rig.bot().running():
        await rig.house.keep()
        button = await rig.hands.wait_for_button(APPROVE)
        rig.server.faults.deliver_twice()
        await rig.press(button)
        await rig.no_buttons()

    kinds = [record.kind for record in await rig.house.stream()]
    assert kinds.count(RecordKind.DECISION_RECEIVED) == 1


async def test_a_late_press_takes_the_old_buttons_away(rig):
    """
    A card that was posted twice keeps live buttons; the first press on them is answered and they go.
    """
    async with rig.bot().running() as bot:
        await rig.house.keep()
        await rig.see_reply("An answer is needed")
        row = await rig.card_row()
        copy = rig.server.workspace.message(row.channel, row.ts)
        twin = await bot.connection.client.chat_postMessage(
            channel=row.channel, text=copy.text, blocks=copy.blocks
        )
        await rig.house.close_gate("expired", "nobody of sre-oncall answered in time")
        button = await rig.hands.wait_for(
            lambda sight: next((b for b in sight.buttons() if b.ts == twin["ts"]), None)
        )

        await rig.press(button)

        await rig.overhear("nobody of sre-oncall answered in time")
        await rig.no_buttons()
    assert rig.house.heard == []


async def test_an_answer_outlives_a_restart_of_the_bot(rig):
    """
    A press that was acknowledged while Temporal was away is delivered by the next process, and the
    card is updated in its place: there is one card.
    """
    rig.house.away = True
    async with rig.bot().running():
        await rig.house.keep()
        assert await rig.press(await rig.hands.wait_for_button(APPROVE)) == "acknowledged"
        await rig.overhear("recorded")
        await rig.all_noted()

    rig.house.away = False
    rig.house.told.wait(seconds=30)
    async with rig.bot().running():
        await rig.no_buttons()

    assert len(await rig.hands.messages()) == 1
    assert (await rig.house.story()).gate.outcome == "approved"


async def test_an_answer_that_cannot_be_kept_is_not_acknowledged(rig):
    """
    Where the ledger cannot be written, Slack itself shows that something is wrong, and so do we.
    """
    async with rig.bot().running() as bot:
        await rig.house.keep()
        button = await rig.hands.wait_for_button(APPROVE)
        bot.answers._ledger = ClosedLedger()
        with rig.slack_waits(0.5):
            answer = await rig.press(button)
        await rig.overhear("could not be recorded")

    assert answer == "timed_out"
    assert rig.house.heard == []


class ClosedLedger:
    """A ledger that cannot be written, nor read."""

    async def write(self, work):
        raise LedgerError("the disk is full")

    async def read(self, work):
        raise LedgerError("the disk is full")


async def test_a_malformed_interaction_is_passed_over(rig):
    """
    Whatever Slack, or somebody with our token, sends: no trace is logged and the next press works.
    """
    async with rig.bot().running() as bot:
        await rig.house.keep()
        posted = await bot.connection.client.chat_postMessage(
            channel="#incidents",
            text="a forged card",
            blocks=[
                {
                    "type": "actions",
                    "elements": [
                        {
                            "type": "button",
                            "action_id": APPROVE,
                            "value": "../../etc",
                            "text": {"type": "plain_text", "text": "Approve"},
                        }
                    ],
                }
            ],
        )
        answer = await rig.hands.press("#incidents", posted["ts"], APPROVE)
        await rig.press(await rig.hands.wait_for_button(APPROVE, value=rig.house.gate.id))
        async with asyncio.timeout(30):
            await rig.house.answered.wait()

    assert answer == "acknowledged"
    assert len(rig.house.heard) == 1


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("", "`stop R-… REASON`"),
        ("help deny", "The reason is shown in the channel"),
        ("lst", "Did you mean `list`?"),
        ("list", "Restart &lt;it&gt; &amp; hope."),
        ("run service-erors", "did you mean service-errors"),
        ("run service-errors service", "is not a label"),
        ('run service-errors "service=check', "quotation mark"),
        ("status", "Nothing is frozen."),
        ("thaw runbook=x", "There is no freeze of `runbook=x`"),
    ],
)
async def test_commands_are_answered_to_the_one_who_typed(rig, typed, answer):
    """
    Every command, mistakes included, gets an answer that only the asker sees.
    """
    async with rig.bot().running():
        await rig.hands.command("/runbook", typed)
        await rig.overhear(answer)
    assert await rig.hands.messages() == []


async def test_only_the_named_group_lifts_a_freeze(rig):
    """
    Everybody may freeze; to thaw one must be in the group that the settings name.
    """
    async with rig.bot(thaw_group="sre-oncall").running() as bot:
        await rig.hands.command("/runbook", "freeze label:team=payments careful", "mallory")
        await rig.overhear("Frozen: `label:team=payments`", as_person="mallory")
        await rig.hands.command("/runbook", "thaw label:team=payments", "mallory")
        await rig.overhear("ask somebody of sre-oncall", as_person="mallory")
        assert [freeze.scope for freeze in bot.operations.frozen] == ["label:team=payments"]

        await rig.hands.command("/runbook", "thaw label:team=payments", "alice")
        await rig.overhear("Thawed: `label:team=payments`", as_person="alice")

    assert bot.operations.frozen == []


async def test_the_brake_takes_everything_and_a_reason(rig):
    """
    `/runbook freeze` alone stops everything; who did it is who Slack says it was.
    """
    async with rig.bot().running() as bot:
        await rig.hands.command("/runbook", "freeze don’t touch anything", "bob")
        await rig.overhear("Frozen: everything", as_person="bob")
        await rig.hands.command("/runbook", "run service-errors service=“check out” env=prod")
        await rig.overhear("Asked for `service-errors` on `check out`")

    freeze, run = bot.operations.asked
    assert freeze == ("freeze", "*", "don't touch anything", "slack:T0PRACTICE/U0BOB", "slack:C0INCIDENTS")
    assert run[2] == {"service": "check out", "env": "prod"}


async def test_the_status_names_targets_that_wait_for_a_person(rig):
    """
    With the command that gives one back.
    """
    kept = KeptTarget(target="web-1", remediation="R-7F3K2Q", runbook="reboot", since=NOON, fencing=1)
    async with rig.bot().running() as bot:
        bot.operations.kept = [kept]
        await rig.hands.command("/runbook", "status")
        await rig.overhear('`paramedic release web-1 --reason "..."`')


async def test_guests_command_nothing(rig):
    """
    A guest can neither freeze nor look.
    """
    async with rig.bot().running() as bot:
        await rig.hands.command("/runbook", "freeze", "guest")
        await rig.overhear("not for you", as_person="guest")

    assert bot.operations.asked == []


async def test_a_proxy_of_the_environment_is_not_used_for_this_machine(rig, monkeypatch):
    """
    With HTTPS_PROXY set, as on many laptops, the practice workspace still works.
    """
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with rig.bot().running():
        await rig.house.keep()
        await rig.press(await rig.hands.wait_for_button(APPROVE))
        await rig.no_buttons()
        await rig.hands.command("/runbook", "status")
        await rig.overhear("Nothing is frozen.")


async def test_the_socket_is_opened_again_after_a_cut(rig):
    """
    Slack recycles connections; presses work afterwards.
    """
    async with rig.bot().running():
        await rig.house.keep()
        button = await rig.hands.wait_for_button(APPROVE)
        await rig.server.sockets.disconnect()
        await rig.hands.wait_for(lambda sight: sight.connected)
        await rig.press(button)
        await rig.no_buttons()


async def test_a_plain_story_without_a_gate_shows_no_buttons(tmp_path):
    """
    What standing orders do is shown on a card like any other, and nobody is asked.
    """
    told = Telling()
    told = Telling(plan=told.plan.model_copy(update={"gate": None})).admitted().check("before", "passed")
    async with Rig.open(tmp_path) as rig, rig.bot().running():
        rig.house.told = told.planned().intent()
        rig.house.kept = 0
        await rig.house.keep()
        await rig.see("Acting on checkout: step 1 of 1, Restart checkout")
        assert (await rig.hands.look()).buttons() == []
