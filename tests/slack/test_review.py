"""The review: a plan that interrupts something is read in full before it is approved."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from bot.practice.hands import HandsError
from bot.slack import review as review_module
from bot.slack.block_kit import problems_of_view
from bot.slack.card import APPROVE
from bot.slack.interactions import ReviewPlace
from bot.slack.review import STEPS_TOLD, closed_view, review_view
from runbooks.model.action import Effect
from runbooks.model.decision import Answer
from runbooks.model.record import RecordKind
from runbooks.policy.story import read_story
from tests.records import PLAN, RESTART
from tests.slack.foreign import ANY_TEXT, FOREIGN, hostile
from tests.slack.rig import Rig
from tests.slack.test_card import asked


def view_of(told):
    story = read_story(told.records)
    return review_view(story, story.open_gate, channel="C1", message="1.1")


def words(view):
    return "\n".join(_texts(view["blocks"]))


def _texts(value):
    if isinstance(value, dict):
        if value.get("type") in ("plain_text", "mrkdwn"):
            return [value["text"]]
        return [text for item in value.values() for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def test_what_cannot_be_undone_comes_first():
    """Whoever reads only one line reads that one."""
    shown = words(view_of(asked()))

    assert shown.startswith("*This cannot be undone* on `checkout`: Restart checkout")


def test_the_plan_stands_there_in_full():
    """Target, parameters, evidence with numbers, what success looks like, who, until when, which plan."""
    shown = words(view_of(asked()))

    for answer in (
        "*ServiceErrors* on `checkout`",
        "✓ Errors are above 2 %: error_ratio is 0.05",
        "`supervisor.restart` `supervisor=web-1 process=checkout`",
        "Undo: none.",
        "Errors are below 1 % (within 5 min)",
        "`sre-oncall`",
        f"`{PLAN.digest[:12]}`",
    ):
        assert answer in shown


def test_what_can_be_taken_back_is_told_apart():
    """The undo stands beside what it takes back; one that itself interrupts is a reason to read."""
    undone = RESTART.model_copy(update={"undo": RESTART.model_copy(update={"id": "u", "name": "Start it"})})
    mild = RESTART.model_copy(update={"effect": Effect.WRITE, "undo": RESTART})

    can = words(view_of(asked(plan=PLAN.model_copy(update={"actions": (undone,)}))))
    only_back = words(view_of(asked(plan=PLAN.model_copy(update={"actions": (mild,)}))))

    assert "can be taken back: Restart checkout" in can
    assert "cannot be undone" not in can
    assert "*Taking this back* on `checkout` *interrupts" in only_back


def test_it_remembers_the_gate_the_card_and_the_plan_and_nothing_else():
    """Nothing that comes back from Slack can choose what is done."""
    told = asked()
    known = json.loads(view_of(told)["private_metadata"])

    assert known == {"gate": told.gate, "channel": "C1", "message": "1.1", "plan": PLAN.digest}
    assert set(known) == set(ReviewPlace.model_fields)


def test_a_plan_of_many_steps_says_how_many_do_not_fit():
    """Nothing is left out in silence."""
    steps = tuple(
        RESTART.model_copy(update={"id": f"s{n}", "name": f"Step {n}"}) for n in range(1, STEPS_TOLD + 11)
    )
    view = view_of(asked(plan=PLAN.model_copy(update={"actions": steps})))

    assert problems_of_view(view) == []
    assert f"*{STEPS_TOLD}. Step {STEPS_TOLD}*" in words(view)
    assert "*and 10 more steps, which do not fit here.*" in words(view)
    assert f"and {STEPS_TOLD - 10} more" in words(view).split("\n", 1)[0]


@pytest.mark.parametrize("kind", FOREIGN)
def test_any_foreign_text_makes_a_form_that_slack_takes(kind):
    """However odd the data, the plan can be read and approved, and nobody is mentioned."""
    view = view_of(hostile(FOREIGN[kind], actions=STEPS_TOLD + 1))

    assert problems_of_view(view) == []
    assert len(json.dumps(view)) < 250_000
    assert "<!channel>" not in words(view)
    assert problems_of_view(closed_view(FOREIGN[kind])) == []


@settings(max_examples=30)
@given(ANY_TEXT)
def test_no_text_at_all_breaks_a_form(text):
    """Property: whatever an alert says, Slack takes the form."""
    assert problems_of_view(view_of(hostile(text, actions=2))) == []
    assert problems_of_view(closed_view(text)) == []


def test_a_form_that_breaks_the_rules_becomes_a_plain_one(monkeypatch):
    """The plan can be approved all the same; its steps are named."""
    monkeypatch.setattr(review_module, "in_full", lambda *_, **__: [review_module.section("x")] * 120)

    view = view_of(asked())

    assert problems_of_view(view) == []
    assert view["submit"]["text"] == "Approve"
    assert "*Plan*: Restart checkout" in words(view)


# --- with Slack ---------------------------------------------------------------------------------


@pytest.fixture
async def rig(tmp_path):
    async with Rig.open(tmp_path, told=asked()) as opened:
        yield opened


async def opened(rig, who="alice"):
    """Press Approve, and return the modal that opens."""
    button = await rig.hands.wait_for_button(APPROVE, timeout=30, as_person=who)
    assert button.opens
    assert await rig.press(button, who) == "acknowledged"
    return await rig.hands.wait_for_modal(30, who)


@pytest.mark.slow
async def test_the_press_approves_nothing_and_the_form_does(rig):
    """One signed decision, bound to the plan that was shown, when the form is submitted and not before."""
    async with rig.bot().running():
        await rig.house.keep()
        view = await opened(rig)
        before = [record.kind for record in await rig.house.stream()]
        assert await rig.hands.submit(view) == {}
        await rig.no_buttons()

    assert RecordKind.DECISION_RECEIVED not in before
    (signed,) = rig.house.heard
    assert (signed.decision.answer, signed.decision.plan_digest) == (Answer.APPROVED, PLAN.digest)
    assert signed.decision.principal.key == "slack:T0PRACTICE/U0ALICE"
    assert (await rig.house.story()).gate.outcome == "approved"
    assert (await rig.hands.look()).modals == []


@pytest.mark.slow
async def test_who_may_not_approve_is_told_at_the_press_and_reads_nothing_in_vain(rig):
    """Why not and whom to ask, alone and at once; it is on record, and no form opens."""
    async with rig.bot().running():
        await rig.house.keep()
        await rig.press(await rig.hands.wait_for_button(APPROVE, timeout=30, as_person="mallory"), "mallory")
        await rig.overhear("Your answer does not count: you are not in sre-oncall.", as_person="mallory")
        await rig.hands.command("/runbook", "approve R-7F3K2Q", "mallory")
        await rig.overhear("✗ Your answer does not count: you are not in sre-oncall.", as_person="mallory")

    assert await rig.hands.modals("mallory") == await rig.hands.ephemerals("alice") == []
    pressed, typed = (await rig.house.story()).gate.decisions
    assert (pressed.accepted, pressed.objection) == (False, "you are not in sre-oncall")
    assert (typed.accepted, typed.objection) == (False, "you are not in sre-oncall")
    assert rig.house.heard == []


@pytest.mark.slow
async def test_who_left_the_group_while_reading_is_out(rig):
    """What was found when the form opened binds nobody: the answer itself is judged anew."""
    async with rig.bot().running():
        await rig.house.keep()
        view = await opened(rig)
        rig.server.workspace.set_group("sre-oncall", ["bob"])
        await rig.hands.submit(view)
        await rig.overhear("you are not in sre-oncall")

    assert (await rig.house.story()).gate.outcome == ""


@pytest.mark.slow
async def test_a_button_that_looks_harmless_opens_the_plan_all_the_same(rig):
    """Whether a plan must be read is looked up, whatever the card said: anybody with the token could post one."""
    async with rig.bot().running() as bot:
        await rig.house.keep()
        await rig.hands.wait_for_button(APPROVE, timeout=30)
        text = {"type": "plain_text", "text": "Approve the cake"}
        element = {"type": "button", "action_id": APPROVE, "value": rig.house.gate.id, "text": text}
        lie = await bot.connection.client.chat_postMessage(
            channel="#incidents", text="cake", blocks=[{"type": "actions", "elements": [element]}]
        )
        assert await rig.hands.press("#incidents", lie["ts"], APPROVE) == "acknowledged"
        await rig.hands.wait_for_modal(30)
        (modal,) = (await rig.hands.look()).modals

    assert "This cannot be undone" in str(modal)
    assert rig.house.heard == []


@pytest.mark.slow
async def test_a_form_that_is_submitted_too_late_says_so(rig):
    """The question was closed while it was being read: the form tells it, and the answer is on record."""
    async with rig.bot().running():
        await rig.house.keep()
        view = await opened(rig)
        await rig.house.close_gate("expired", "nobody of sre-oncall answered in time")
        await rig.hands.submit(view)
        (modal,) = (await rig.hands.look()).modals
        await rig.overhear("nobody of sre-oncall answered in time")

    assert "nobody of sre-oncall answered in time. Your answer changes nothing." in str(modal)
    assert "submit" not in modal or not modal["submit"]
    assert rig.house.heard == []


@pytest.mark.slow
async def test_a_form_about_another_plan_does_not_count(rig):
    """The decision is bound to what was shown: a form that was made for another plan approves nothing."""
    async with rig.bot().running() as bot:
        await rig.house.keep()
        view = await opened(rig)
        shown = rig.server.workspace.views.find(view)
        forged = json.loads(shown.given["private_metadata"]) | {"plan": "ab" * 32}
        shown.given["private_metadata"] = json.dumps(forged)
        await rig.hands.submit(view)
        await rig.overhear("does not count")

    assert bot.answers is not None
    assert (await rig.house.story()).gate.outcome == ""


@pytest.mark.slow
async def test_slack_that_does_not_open_the_plan_is_told(rig):
    """Nothing is approved; the person knows what to do."""
    async with rig.bot().running():
        await rig.house.keep()
        button = await rig.hands.wait_for_button(APPROVE, timeout=30)
        rig.server.faults.refuse("views.open", "expired_trigger_id")
        await rig.press(button)
        await rig.overhear("Please press Approve again")
        with pytest.raises(HandsError):
            await rig.hands.submit("V0")

    assert rig.house.heard == []
