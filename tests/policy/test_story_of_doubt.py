"""The story of an action of which nobody knew whether it happened."""

from __future__ import annotations

import pytest

from runbooks.model.action import Effect
from runbooks.model.plan import VERDICT_WITHIN
from runbooks.policy.story import StoryError, read_story
from tests.records import Telling


def doubtful() -> Telling:
    told = Telling().admitted().planned().asked().answered("approved").gate_closed("approved")
    return told.intent().unknown().in_doubt()


def test_a_question_about_an_action_stands_beside_the_plans_gate():
    """The plan's gate stays as it was answered; the open question is another one."""
    story = read_story(doubtful().records)

    assert (story.phase, story.gate.outcome) == ("asking", "approved")
    assert story.open_gate == story.verdicts[0]
    assert story.open_gate.doubt.evidence == "no answer within 30 s"


def test_answers_belong_to_the_question_they_name():
    """A verdict is told with the question it answers, and closes that one only."""
    told = (
        doubtful().answered("happened", about="k", reason="saw it").gate_closed("happened", "Alice says so")
    )
    story = read_story(told.receipt(reason="attested").records)

    assert [each.answer for each in story.verdicts[0].decisions] == ["happened"]
    assert (story.verdicts[0].outcome, story.open_gate) == ("happened", None)
    assert [each.answer for each in story.gate.decisions] == ["approved"]
    assert story.phase == "verifying"


def test_each_time_has_a_question_of_its_own():
    """What was done again may be unknown again."""
    told = doubtful().answered("again").gate_closed("again").intent(key="second").unknown(key="second")
    story = read_story(told.in_doubt(2, key="second").records)

    assert [gate.outcome for gate in story.verdicts] == ["again", ""]
    assert [gate.gate[-9:] for gate in story.gates] == ["2Q/gate-1", "verdict-1", "verdict-2"]


def test_what_was_done_again_is_no_longer_in_doubt():
    """People said what became of the first time, so only the last one counts."""
    told = doubtful().answered("again").gate_closed("again").intent(key="second")
    assert [each.key for each in read_story(told.records).unresolved] == ["second"]

    assert read_story(told.receipt(key="second").records).unresolved == ()


@pytest.mark.parametrize("outcome", ["refused", "not_sent"])
def test_a_later_attempt_that_was_not_made_says_nothing_of_the_first(outcome):
    """Unknown stays unknown."""
    told = Telling().admitted().planned().intent().unknown()
    told = told.refused() if outcome == "refused" else told.receipt("not_sent", attempt=2)

    assert read_story(told.records).actions[0].state == "unknown"


def test_nothing_is_asked_any_more_after_the_ending():
    """An ending closes every question."""
    assert read_story(doubtful().ended("failed").records).open_gate is None


def test_a_gate_that_was_never_asked_cannot_close():
    """Records of another gate mean that this is not the whole story."""
    told = doubtful()
    told.gate = "R-7F3K2Q/verdict-9"
    with pytest.raises(StoryError, match="never asked"):
        read_story(told.gate_closed("again").records)


def test_those_judge_who_may_approve_or_else_those_who_are_called():
    """The plan names who says what became of an action; without a gate and without a call, nobody."""
    plan = Telling().plan
    call = plan.actions[0].model_copy(update={"effect": Effect.TELL, "arguments": {"to": "storage"}})
    unnamed = call.model_copy(update={"arguments": {}})
    free = plan.model_copy(update={"gate": None})

    called = free.model_copy(update={"otherwise": (call, unnamed, call)}).verdict

    assert plan.verdict == plan.gate
    assert (called.approvers, called.need, called.within) == (("storage",), 1, VERDICT_WITHIN)
    assert free.model_copy(update={"otherwise": (unnamed,)}).verdict is None
