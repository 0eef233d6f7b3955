"""The surface around the cards, over real sockets: words, the run form, shortcut, mention, home, files."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.operations import GateLine, StatusLine
from bot.slack import surface as surface_module
from bot.slack.home import HOME_RUN
from bot.slack.pages import FILE_BUTTON
from bot.slack.run_form import CHOOSE
from bot.slack.surface import ALERT_SHORTCUT
from runbooks.model.decision import Answer
from runbooks.model.record import Entry, RecordKind
from tests.slack.rig import Rig

pytestmark = pytest.mark.slow

ALERT = """[FIRING:1] ServiceErrors checkout (prod page)
 - alertname = ServiceErrors
 - service = checkout
 - env = prod"""


@pytest.fixture
async def rig(tmp_path):
    async with Rig.open(tmp_path) as opened:
        yield opened


def _gate_line(rig):
    """A question for alice's group, and not for mallory."""
    until = rig.now() + timedelta(minutes=15)
    return GateLine(
        remediation="R-7F3K2Q",
        runbook="service-errors",
        target="checkout",
        approvers=("sre-oncall",),
        expires_at=until,
    )


async def test_every_word_is_answered(rig):
    """Looking at a runbook, a plan, a remediation, its timeline and its reasons; each mistake names what is right."""
    said = {
        "show service-errors": "labels.service",
        "show nothing": "did you mean service-errors",
        "plan service-errors target=checkout": "The plan of `service-errors` on `checkout`",
        "plan service-errors": "needs the label service",
        "status R-7F3K2Q": "It waits for `sre-oncall`",
        "status R-NONE": "the last ones: R-7F3K2Q",
        "timeline r-7f3k2q": "Asked sre-oncall",
        "why r-7f3k2q": "because ServiceErrors fired",
        "why R-7F3K2Q twice": "Write it as: `/runbook why",
        "deny R-7F3K2Q": "Say which, and why not: `/runbook deny R-…",
        "stop R-7F3K2Q": "Say which, and why: `/runbook stop R-…",
        "sotp": "Did you mean `stop`?",
    }
    async with rig.bot().running():
        await rig.house.keep()
        for typed, answer in said.items():
            await rig.hands.command("/runbook", typed)
            await rig.overhear(answer)


async def test_a_denial_that_is_typed_is_the_button_s(rig):
    """The same click, the same signed decision, on the same card."""
    async with rig.bot().running():
        await rig.house.keep()
        await rig.see("Approval needed")
        await rig.hands.command("/runbook", "deny R-7F3K2Q not during the sale", "bob")
        await rig.see("not during the sale")

    (signed,) = rig.house.heard
    assert (signed.decision.answer, signed.decision.reason) == (Answer.DENIED, "not during the sale")
    assert signed.decision.principal.key == "slack:T0PRACTICE/U0BOB"


async def test_an_approval_that_is_typed_reads_the_plan_first(rig):
    """Whoever types has not seen the plan: it is shown, and submitting it approves exactly that one."""
    async with rig.bot().running():
        await rig.house.keep()
        await rig.see("Approval needed")
        await rig.hands.command("/runbook", "approve R-7F3K2Q")
        view = await rig.hands.wait_for_modal()
        assert rig.house.heard == []
        await rig.hands.submit(view)
        await rig.no_buttons()

    (signed,) = rig.house.heard
    assert signed.decision.plan_digest == rig.house.told.plan.digest


async def test_a_stop_goes_the_way_of_all_operations(rig):
    """Who stops, and why, is who Slack says and what they wrote."""
    async with rig.bot().running() as bot:
        await rig.hands.command("/runbook", "stop R-7F3K2Q by hand, now", "bob")
        await rig.overhear("Stopped: `R-7F3K2Q`", as_person="bob")

    assert bot.operations.asked == [
        ("stop", "R-7F3K2Q", "by hand, now", "slack:T0PRACTICE/U0BOB", "slack:C0INCIDENTS")
    ]


async def test_the_run_form_asks_says_what_is_wrong_and_runs_once(rig):
    """A runbook is chosen, its inputs appear, a mistake stands beside its input, and the run has its person."""
    async with rig.bot().running() as bot:
        await rig.hands.command("/runbook", "run")
        view = await rig.hands.wait_for_modal()
        await rig.hands.press_in_view(view, CHOOSE, chosen="service-errors")
        await rig.hands.wait_for(lambda sight: "label:service" in str(sight.modals))

        refused = await rig.hands.submit(view, {"label:service@service-errors": "checkout", "more": "env"})
        assert bot.operations.asked == []
        filled = {"label:service@service-errors": "checkout", "more": "env=prod"}
        rig.server.faults.deliver_twice()
        taken = await rig.hands.submit(view, {**filled, "runbook": {CHOOSE: "service-errors"}})
        await rig.overhear("Asked for `service-errors` on `checkout`")

    assert "env" in refused["more"]
    assert taken == {}
    run = ("run", "service-errors", {"service": "checkout", "env": "prod"})
    assert bot.operations.asked == [(*run, "slack:T0PRACTICE/U0ALICE", "slack:C0INCIDENTS")]


async def test_an_alert_that_somebody_posted_fills_the_run_form(rig):
    """Alertmanager's own message is enough: runbook and labels are there, and a person only looks."""
    async with rig.bot().running() as bot:
        ts = await rig.hands.say(ALERT, "bob")
        await rig.hands.shortcut(ALERT_SHORTCUT, ts)
        view = await rig.hands.wait_for_modal()
        await rig.hands.submit(view)
        await rig.overhear("Asked for `service-errors` on `checkout`")

    assert bot.operations.asked[0][2] == {"service": "checkout", "env": "prod"}


async def test_a_guest_runs_nothing(rig):
    """Every door asks the policy: the shortcut opens nothing, and says why to that person alone."""
    async with rig.bot().running():
        ts = await rig.hands.say(ALERT, "bob")
        await rig.hands.shortcut(ALERT_SHORTCUT, ts, "guest")
        await rig.overhear("not for you", as_person="guest")
        await rig.hands.say("<@U0PARAMEDIC> status", "guest")
        await rig.hands.open_home("guest")
        await rig.hands.wait_for(lambda sight: "not for you" in str(sight.home), as_person="guest")
        assert await rig.hands.modals("guest") == []


async def test_a_mention_is_answered_like_the_command(tmp_path):
    """By name or by slash, the same words; the answer is before one person's eyes, and a form cannot open."""
    async with Rig.open(tmp_path, "http") as rig, rig.bot().running() as bot:
        challenged = await bot.connection.hear({"type": "url_verification", "challenge": "c4ll3ng3"})
        assert "c4ll3ng3" in challenged.body  # else Slack takes no address for events
        await rig.hands.say("@paramedic status")
        await rig.overhear("Nothing is frozen.")
        await rig.hands.say("hello @paramedic", "bob")
        await rig.overhear("Did you mean", as_person="bob")
        await rig.hands.say("@paramedic run")
        await rig.overhear("A form cannot open here")


async def test_the_home_tab_shows_who_waits_for_me_and_changes_while_looked_at(rig):
    """A gate of my group stands first with a way to its card; of others', only how many."""
    async with rig.bot().running() as bot:
        await rig.house.keep()
        await rig.see("Approval needed")
        await rig.hands.open_home("alice")
        await rig.hands.open_home("mallory")
        await rig.hands.wait_for(lambda sight: "Nothing waits for you." in str(sight.home))

        bot.operations.gates = [_gate_line(rig)]
        await rig.house.close_gate("expired", "nobody answered")  # anything that is recorded
        await rig.hands.wait_for(lambda sight: "*Approval needed*" in str(sight.home))
        await rig.hands.wait_for(
            lambda sight: "1 question waits for others" in str(sight.home), as_person="mallory"
        )
        home = (await rig.hands.look()).home
        await rig.hands.press_in_view(home["id"], HOME_RUN)
        await rig.hands.wait_for_modal()


async def test_what_changes_while_a_home_tab_is_made_is_shown_by_the_next(rig):
    """It was read before the change and published after it: nobody will say so again."""
    async with rig.bot().running() as bot:
        await rig.house.keep()
        await rig.see("Approval needed")
        bot.operations.answers.clear()
        bot.operations.reading.clear()
        await rig.hands.open_home("mallory")
        await bot.operations.reading.wait()
        bot.operations.gates = [_gate_line(rig)]
        await rig.house.close_gate("expired", "nobody answered")
        await rig.no_buttons()  # by now whoever follows the ledger has heard of it
        bot.operations.answers.set()
        await rig.hands.wait_for(
            lambda sight: "1 question waits for others" in str(sight.home), as_person="mallory"
        )


@pytest.mark.parametrize("kind", [RecordKind.GATE_ESCALATED, RecordKind.DECISION])
async def test_who_is_asked_besides_sees_it_in_an_open_home_tab(rig, kind):
    """Others are asked too, or one of two has answered: that is no new question, and changes what tabs show."""
    async with rig.bot().running() as bot:
        await rig.house.keep()
        await rig.see("Approval needed")
        await rig.hands.open_home("mallory")
        await rig.hands.wait_for(
            lambda sight: "Nothing waits for you." in str(sight.home), as_person="mallory"
        )
        bot.operations.gates = [_gate_line(rig)]
        said = Entry(event_id="e1", stream="R-OTHER", kind=kind, actor="bot:worker", source="engine")
        await rig.ledger.append(said)
        await rig.hands.wait_for(
            lambda sight: "1 question waits for others" in str(sight.home), as_person="mallory"
        )


async def test_a_home_tab_finds_the_card_that_was_not_there_yet(rig):
    """No record says that a card is posted, or that Slack tells its address again."""
    async with rig.bot().running() as bot:
        await rig.house.keep()
        await rig.see("Approval needed")
        await rig.all_noted()
        line = _gate_line(rig)
        about = {"remediation": line.remediation, "runbook": line.runbook, "target": line.target}
        bot.operations.running = [StatusLine(**about, phase="unreadable", since=rig.now())]
        bot.operations.gates = [_gate_line(rig)]
        rig.server.faults.refuse("chat.getPermalink", "message_not_found")
        await rig.hands.open_home()
        await rig.hands.wait_for(lambda sight: "Open the card" in str(sight.home))


async def test_a_refusal_that_comes_too_late_for_the_form_is_told(rig, monkeypatch):
    """Slack gives a form up after three seconds; what is said beside its inputs then, nobody reads."""
    monkeypatch.setattr(surface_module, "SLACK_WAITS", 0.0)
    async with rig.bot().running():
        await rig.hands.command("/runbook", "run")
        view = await rig.hands.wait_for_modal()
        await rig.hands.press_in_view(view, CHOOSE, chosen="service-errors")
        await rig.hands.wait_for(lambda sight: "label:service" in str(sight.modals))
        await rig.hands.submit(view, {"label:service@service-errors": "checkout", "more": "env"})
        await rig.overhear("✗ This is not name=value: env")


async def test_a_timeline_is_shared_as_a_file_in_the_card_s_thread(rig):
    """Three steps, and everybody finds it where the remediation is; the file is the postmortem's page."""
    async with rig.bot().running():
        await rig.house.keep()
        card = await rig.see("Approval needed")
        await rig.hands.command("/runbook", "timeline R-7F3K2Q")
        button = await rig.hands.wait_for_button(FILE_BUTTON)
        await rig.press(button)
        reply = await rig.see_reply("timeline-R-7F3K2Q.md")
        await rig.overhear("in the thread of its card")

    assert reply["thread_ts"] == card["ts"]
    (upload,) = rig.server.workspace.uploads.values()
    assert "## What happened" in upload.content.decode()
