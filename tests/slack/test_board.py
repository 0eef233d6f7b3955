"""The board: many remediations in one message, the questions first, the longest wait on top."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings

from bot.slack.board import LINES, QUESTION_TEXT, QUESTIONS, plain_board, render_board, row_of
from bot.slack.card import APPROVE, DENY, HAPPENED
from runbooks.policy.story import read_story
from tests.records import NOON, Telling
from tests.slack.foreign import ANY_TEXT, FOREIGN, hostile
from tests.slack.rig import MILD
from tests.slack.test_card import STATES, asked, buttons, first_line, words

LEAD = "*One incident*"


def row(told):
    return row_of(read_story(told.records))


def board(*told, lead=LEAD):
    return render_board(lead, [row(each) for each in told], timeline_command="paramedic timeline")


def asking(number, waited=0, **more):
    """One that asks since `waited` minutes."""
    told = Telling(f"R-{number:06}", **more).admitted().check("before", "passed").planned()
    told.now = NOON - timedelta(minutes=waited)
    return told.asked()


def gates(message):
    return [each["value"] for each in buttons(message) if each["action_id"] == APPROVE]


def test_the_longest_wait_comes_first():
    """Whoever looks at the board sees first whom nobody has answered for longest."""
    message = board(asking(1, waited=2), asking(2, waited=9), asking(3, waited=5))

    assert gates(message) == ["R-000002/gate-1", "R-000003/gate-1", "R-000001/gate-1"]
    assert first_line(message) == "▲ 3 answers are needed"


def test_each_question_says_what_where_why_who_and_until_when():
    """Whoever presses in a row has read what for."""
    shown = words(board(asking(1)))

    for answer in (
        "*ServiceErrors* on `checkout` · `R-000001`",
        "*Plan:* Restart checkout",
        "✓ Errors are above 2 %: error_ratio is 0.05",
        "`sre-oncall`",
        "|03:22 UTC>",
    ):
        assert answer in shown


def test_a_board_has_no_more_than_ten_questions_and_counts_the_others():
    """The message stays within Slack's limits; where the others are is said."""
    message = board(*(asking(n, waited=n / 60) for n in range(200)))

    assert message.problems() == []
    assert len(gates(message)) == QUESTIONS
    assert "*and 190 more wait for an answer.*" in words(message)
    assert message.blocks[3]["type"] == "actions", "the first buttons come right below the first question"


def test_what_would_interrupt_something_is_read_before_it_is_approved():
    """The same buttons as on the card; where one press approves, it says once more what."""
    interrupting, mild = buttons(board(asking(1)))[0], buttons(board(asking(1, plan=MILD)))[0]

    assert (interrupting["text"]["text"], "confirm" in interrupting) == ("Approve…", False)
    assert (mild["text"]["text"], mild["confirm"]["text"]["text"]) == (
        "Approve",
        "On checkout: Restart checkout.",
    )


def test_what_has_ended_is_counted_and_what_needs_people_is_named():
    """Two hundred endings are a line; those that did not help are listed."""
    ended = [Telling(f"R-{n:06}").admitted().ended("not_needed", "fine") for n in range(100, 130)]
    failed = [Telling(f"R-{n:06}").admitted().ended("failed", "no such process") for n in range(12)]
    message = board(*ended, *failed)

    assert message.problems() == []
    assert "*Ended:* 30 not needed, 12 failed" in words(message)
    assert "*Somebody has to look*" in words(message)
    assert words(message).count("no such process") == LINES
    assert "and 2 more" in words(message)
    assert first_line(message).startswith("✗ 42 ended")


def test_a_board_on_which_all_went_well_says_so():
    """Calm symbols where nobody is needed."""
    assert first_line(board(STATES["mitigated"][0])) == "✓ 1 ended"
    assert first_line(board(STATES["denied"][0])) == "○ 1 ended"
    assert first_line(board()) == "● Nothing yet"


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_a_row(state):
    """Whatever a remediation does, the board that it is on is one that Slack takes."""
    told, _ = STATES[state]
    message = board(told, asking(1))

    assert message.problems() == []
    assert told.remediation in words(message)
    assert plain_board([row(told), row(asking(1))]).problems() == []


def test_a_doubt_keeps_its_own_buttons():
    """What became of an action is asked on the board as on the card."""
    told = Telling().admitted().planned().intent().unknown().in_doubt()

    assert HAPPENED in {each["action_id"] for each in buttons(board(told))}


@pytest.mark.parametrize("kind", FOREIGN)
def test_any_foreign_text_makes_a_board_that_slack_takes(kind):
    """However odd the data, the board is valid, mentions nobody, and each question has its buttons."""
    rows = [
        row(hostile(FOREIGN[kind])).model_copy(update={"remediation": f"R-{n}"}, deep=True) for n in range(12)
    ]
    for number, each in enumerate(rows):
        each.buttons["block_id"] = f"gate:{number}"
    message = render_board(LEAD, rows, timeline_command="paramedic timeline")

    assert message.problems() == []
    assert len(gates(message)) == QUESTIONS
    assert "<!channel>" not in words(message)
    assert plain_board(rows).problems() == []


def test_a_long_alert_takes_no_deadline_away():
    """However much there is to say, who must answer, and by when, stands above the buttons."""
    told = asked(plan=hostile("many words " * 20, actions=6).plan)
    told.records[1].data.update(sentence="x" * 3000, name="y" * 3000)

    shown = row(told).question

    assert len(shown) <= QUESTION_TEXT
    assert "`sre-oncall` must approve by *<!date^" in shown
    assert shown.endswith("Otherwise nothing is done.")


@settings(max_examples=40)
@given(ANY_TEXT)
def test_no_text_at_all_breaks_a_board(text):
    """Property: whatever an alert says, Slack takes the board, and the question keeps its buttons."""
    message = board(hostile(text, actions=2))

    assert message.problems() == []
    assert [each["action_id"] for each in buttons(message)] == [APPROVE, DENY]
