"""Slack and an action of which nobody knows whether it happened: the card asks, three buttons answer."""

from __future__ import annotations

import pytest

from bot.slack.card import AGAIN, APPROVE, DENY, HAPPENED, STOP, plain_card
from bot.slack.progress import render_progress
from runbooks.model.decision import Answer
from runbooks.policy.gate import Question
from runbooks.policy.story import read_story
from tests.records import Telling
from tests.slack.rig import Rig
from tests.slack.test_card import buttons, card, first_line, words


def doubtful() -> Telling:
    told = Telling().admitted().check("before", "passed").planned().asked()
    told.answered("approved").gate_closed("approved")
    return told.intent().unknown().in_doubt()


def test_the_card_asks_with_what_is_known():
    """The first line says that a person must look; the evidence stands above three buttons."""
    message = card(doubtful())

    assert first_line(message) == "▲ Did it happen? A person must look at checkout: Restart checkout"
    assert [each["action_id"] for each in buttons(message)] == [HAPPENED, AGAIN, STOP]
    assert "*Did this happen? Restart checkout*\nno answer within 30 s" in words(message)
    assert "Approved by" in words(message)
    assert message.problems() == []


def test_doing_it_again_is_asked_twice():
    """Only that button can do harm, so only that one asks once more."""
    asked = {each["action_id"]: each.get("confirm") for each in buttons(card(doubtful()))}

    assert asked[HAPPENED] is None
    assert asked[STOP] is None
    assert "it happens twice" in asked[AGAIN]["text"]["text"]


def test_the_plain_card_has_the_same_three_buttons():
    """However odd the alert is, the question can be answered."""
    assert [each["action_id"] for each in buttons(plain_card(read_story(doubtful().records)))] == [
        HAPPENED,
        AGAIN,
        STOP,
    ]


@pytest.mark.parametrize(
    ("answer", "outcome", "said"),
    [
        ("happened", "happened", "“It happened”, says"),
        ("again", "again", "“Do it again”, says"),
        ("stop", "stopped", "“Stop here”, says"),
    ],
)
def test_the_answer_stays_on_the_card_and_the_buttons_go(answer, outcome, said):
    """Who said what can be read afterwards."""
    message = card(doubtful().answered(answer, reason="saw it").gate_closed(outcome))

    assert buttons(message) == []
    assert said in words(message)
    assert "saw it" in words(message)


def test_more_people_are_named_where_doing_it_again_takes_them():
    """One person may say that it happened; doing it again takes as many as the plan."""
    told = Telling().admitted().planned().intent().unknown().in_doubt(need=2)

    assert "To do it again takes 2 people." in words(card(told))


def test_the_group_is_called_once_for_the_question():
    """A card that changes wakes nobody: the thread does."""
    told = doubtful()
    before = read_story(told.records[:-1])

    [question] = render_progress(before, read_story(told.records))

    assert question.mention == ("sre-oncall",)
    assert "Nobody can know whether this happened" in question.text


def test_the_thread_tells_the_answer():
    """In the order in which things happened."""
    told = doubtful()
    before = read_story(told.records)
    told.answered("happened", reason="it is up").gate_closed("happened")

    [said] = render_progress(before, read_story(told.records))

    assert "says that it happened: it is up" in said.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("button", "answer"), [(HAPPENED, Answer.HAPPENED), (AGAIN, Answer.AGAIN), (STOP, Answer.STOP)]
)
async def test_a_press_is_a_signed_verdict_about_this_action(tmp_path, button, answer):
    """From the button over the inbox to the workflow: bound to the action's key, by whom Slack says it was."""
    async with Rig.open(tmp_path) as rig:
        house = rig.house
        house.told.answered("approved").gate_closed("approved").intent().unknown().in_doubt()
        house.gate.id = house.told.gate
        house.gate.question = Question(
            terms=house.told.plan.gate,
            plan_digest=house.told.plan.digest,
            about=house.told.key,
            in_doubt=True,
        )
        async with rig.bot().running():
            await house.keep()
            pressed = await rig.press(await rig.hands.wait_for_button(button, value=house.told.gate))
            await rig.no_buttons()

        assert pressed == "acknowledged"
        (signed,) = house.heard
        assert (signed.decision.answer, signed.decision.about) == (answer, house.told.key)
        assert signed.decision.principal.key == "slack:T0PRACTICE/U0ALICE"
        assert {APPROVE, DENY}.isdisjoint({each.action_id for each in (await rig.hands.look()).buttons()})
