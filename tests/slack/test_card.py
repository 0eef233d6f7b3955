"""The card: one clear first line for each state, buttons only while they mean something."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from bot.slack.block_kit import problems_of_message
from bot.slack.card import ACTIONS_ABOVE, APPROVE, DENY, plain_card, render_card
from bot.slack.progress import render_progress
from runbooks.model.action import Effect
from runbooks.model.alert import Alert, AlertStatus
from runbooks.policy.story import read_story
from tests.records import PLAN, RESTART, Telling, a_good_night
from tests.slack.foreign import ANY_TEXT, FOREIGN, hostile


def card(told, **more):
    """The card of a story at its last record, and its words."""
    facts = {"timeline_command": "paramedic timeline"}
    return render_card(read_story(told.records), **(facts | more))


def words(message):
    """All that a person reads on it, from top to bottom."""
    return "\n".join(_texts(message.blocks))


def _texts(value, *kinds):
    if isinstance(value, dict):
        if value.get("type") in (kinds or ("plain_text", "mrkdwn")):
            return [value["text"]]
        return [text for item in value.values() for text in _texts(item, *kinds)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item, *kinds)]
    return []


def first_line(message):
    return message.blocks[0]["text"]["text"]


def buttons(message):
    return [e for block in message.blocks if block["type"] == "actions" for e in block["elements"]]


def asked(**changes):
    """A story that waits for people."""
    return Telling(**changes).admitted().check("before", "passed").planned().asked()


def approved():
    return asked().wait(seconds=95).answered("approved", reason="known leak").gate_closed("approved")


STATES = {
    "checking": (Telling().admitted(), "● Checking checkout"),
    "observing": (
        Telling().admitted().check("before", "passed").planned(observe=True),
        "● Only observing checkout: this is what I would do",
    ),
    "asking": (asked(), "▲ Approval needed on checkout"),
    "approved": (approved(), "● Approved by Alice: about to act on checkout"),
    "acting": (approved().intent(), "● Acting on checkout: step 1 of 1, Restart checkout"),
    "trying again": (
        approved().intent().intent(2),
        "● Acting on checkout: step 1 of 1, Restart checkout (attempt 2)",
    ),
    "verifying": (approved().intent().receipt(), "● Acted on checkout: looking whether it helped"),
    "mitigated": (a_good_night(), "✓ Mitigated in 2 min 39 s"),
    "not needed": (
        Telling().admitted().check("before", "failed").ended("not_needed", "Nothing to do. It is fine."),
        "○ Not needed: nothing was done",
    ),
    "withheld": (
        Telling().admitted("withheld").ended("withheld", "frozen by alice: database migration"),
        "○ Withheld: frozen by alice: database migration",
    ),
    "denied": (
        asked()
        .answered("denied", reason="not during the sale")
        .gate_closed("denied")
        .ended("denied", "Alice said no: not during the sale"),
        "○ Denied by Alice: not during the sale",
    ),
    "denied, a moment before its ending": (
        asked().answered("denied", reason="not now").gate_closed("denied"),
        "○ Denied by Alice: not now",
    ),
    "expired": (
        asked().wait(minutes=15).gate_closed("expired").ended("expired", "nobody answered"),
        "○ Nobody answered by 03:22 UTC: nothing was done",
    ),
    "unverified": (
        approved()
        .intent()
        .receipt()
        .verified("failed")
        .ended("unverified", "Done, but. error_ratio is 0.05"),
        "✗ Unverified: it was done, and nothing shows that it helped",
    ),
    "failed": (
        approved().intent().receipt("failed").ended("failed", "Failed: Restart checkout. no such process"),
        "✗ Failed: Restart checkout. no such process",
    ),
    "rolled back": (
        approved().intent().receipt().ended("rolled_back", "It did not help."),
        "✗ Rolled back: it did not help and was undone",
    ),
    "stopped": (
        approved().refused().ended("stopped", "Not done: Restart checkout. a freeze is in force"),
        "○ Stopped: Not done: Restart checkout. a freeze is in force",
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_the_first_line_says_how_it_is(state):
    """Each state and each ending has one clear first line, and Slack takes the card."""
    told, line = STATES[state]
    message = card(told)

    assert first_line(message) == line
    assert message.problems() == []
    assert message.text.startswith(line.split(":")[0])


@pytest.mark.parametrize("state", STATES)
def test_buttons_stand_there_only_while_people_are_asked(state):
    """Buttons vanish when the gate closes, on the full card and on the plain one."""
    told, _ = STATES[state]
    expected = [APPROVE, DENY] if state == "asking" else []

    assert [button["action_id"] for button in buttons(card(told))] == expected
    assert [button["action_id"] for button in buttons(plain_card(read_story(told.records)))] == expected


def test_a_button_carries_the_gate_and_nothing_else():
    """Nothing that comes back from Slack can choose what is done."""
    told = asked()
    assert {button["value"] for button in buttons(card(told))} == {told.gate}


def test_an_interruption_says_that_it_has_to_be_read_first():
    """A thumb in the dark does not restart production; what only changes something is one press."""
    mild = PLAN.model_copy(update={"actions": (RESTART.model_copy(update={"effect": Effect.WRITE}),)})

    assert [each["text"]["text"] for each in buttons(card(asked()))] == ["Approve…", "Deny…"]
    assert [each["text"]["text"] for each in buttons(card(asked(plan=mild)))] == ["Approve", "Deny…"]


def test_the_buttons_go_when_the_gate_closes_on_record():
    """By the record and not by the card's own clock: one that was wrong for a moment would take them for ever."""
    assert buttons(card(asked().wait(seconds=3600))) != []
    assert buttons(card(asked().wait(seconds=3600).gate_closed("expired"))) == []


def test_the_card_answers_the_questions_of_3am():
    """What, where, why, what will be done, how to undo it, when it worked, who may answer, until when."""
    shown = words(card(asked()))

    for answer in (
        "*ServiceErrors* on `checkout`",
        ">5 % of requests to checkout fail",
        "Errors are above 2 %: error_ratio is 0.05",
        "*1. Restart checkout*\n`supervisor.restart` `supervisor=web-1 process=checkout`",
        "It interrupts or removes something. Undo: none.",
        "Errors are below 1 % (within 5 min)",
        "One person of `sre-oncall` must approve by *<!date^",
        "|03:22 UTC>*. Otherwise nothing is done.",
        "`paramedic timeline R-7F3K2Q`",
    ):
        assert answer in shown


def test_what_was_done_stands_beside_what_was_planned():
    """After acting, each step tells its result, and the verification its measurement."""
    shown = words(card(a_good_night()))

    assert "✓ *done*: restarted checkout: process 4711 is now 4723" in shown
    assert "✓ Errors are below 1 %: error_ratio is 0.002" in shown
    assert "Approved by <@U1> at" in shown
    assert "known leak, restart is safe" in shown


def test_the_asker_is_named_as_one_who_may_not_approve():
    """Four eyes: the card says whose approval would not count."""
    told = Telling().admitted(requested_by="slack:T1/U5").check("before", "passed").planned().asked()
    assert "<@U5> asked for this and may not approve it." in words(card(told))


def test_a_second_approval_is_asked_for():
    """Where two must approve, the card says who did so far."""
    told = Telling().admitted().planned()
    told.asked().records[-1].data.update(need=2)
    told.answered("approved")

    message = card(told)
    assert first_line(message) == "▲ Approval needed on checkout (1 of 2 so far)"
    assert len(buttons(message)) == 2


@pytest.mark.parametrize("kind", FOREIGN)
def test_any_foreign_text_makes_a_card_that_slack_takes(kind):
    """However odd the data, the card is valid, mentions nobody, and its buttons come before the details."""
    message = card(hostile(FOREIGN[kind]))
    marked_up = "\n".join(_texts(message.blocks, "mrkdwn"))

    assert problems_of_message(message.payload()) == []
    assert plain_card(read_story(hostile(FOREIGN[kind]).records)).problems() == []
    assert len(buttons(message)) == 2
    assert "<!channel>" not in marked_up + message.text
    assert "<https" not in marked_up + message.text
    assert not {"\x00", "\x1b", "\u202e"} & set(words(message))


@pytest.mark.parametrize("kind", ["long", "many lines", "chinese", "markup"])
def test_a_long_alert_moves_no_button(kind):
    """The words above the buttons are as many lines, however long the alert is."""

    def above(message):
        texts = []
        for block in message.blocks:
            if block["type"] == "actions":
                return texts
            texts.extend(_texts(block))
        raise AssertionError("no buttons")

    def story(text):
        alert = Alert(
            status=AlertStatus.FIRING,
            labels={"alertname": "A"},
            annotations={"summary": text, "description": text},
        )
        return (
            Telling()
            .admitted(alert=alert.model_dump(mode="json"))
            .check("before", "passed")
            .planned()
            .asked()
        )

    short, long = above(card(story("x"))), above(card(story(FOREIGN[kind])))
    assert "\n".join(long).count("\n") == "\n".join(short).count("\n")
    assert sum(map(len, long)) - sum(map(len, short)) < 250


def test_a_long_plan_is_told_to_its_end():
    """Steps that do not fit above the buttons stand below them; none is left out in silence."""
    steps = tuple(RESTART.model_copy(update={"id": f"s{n}", "name": f"Step {n}"}) for n in range(1, 31))
    told = asked(plan=PLAN.model_copy(update={"actions": steps}))
    message = card(told)
    shown = words(message)

    assert message.problems() == []
    assert f"*{ACTIONS_ABOVE}. Step {ACTIONS_ABOVE}*" in shown
    assert "*20. Step 20*" in shown
    assert "and 10 more actions, all of them in the timeline" in shown


@settings(max_examples=60)
@given(ANY_TEXT)
def test_no_text_at_all_breaks_a_card(text):
    """Property: whatever an alert says, Slack takes the card, and the thread's messages end somewhere."""
    told = hostile(text, actions=2)
    message = card(told)

    assert message.problems() == []
    assert len(buttons(message)) == 2
    assert all(each.text.strip() for each in render_progress(None, read_story(told.records)))


def test_the_thread_tells_each_thing_once():
    """Read record by record, the thread says what it says when read at once, and calls the group once."""
    records = a_good_night().records
    said, before = [], None
    for number in range(1, len(records) + 1):
        after = read_story(records[:number])
        said.extend(render_progress(before, after))
        before = after

    assert [each.mention for each in said if each.mention] == [("sre-oncall",)]
    assert [each.text.split(":")[0] for each in said[1:]] == [
        "<@U1> approved",
        "▸ Restart checkout",
        "✓ Restart checkout",
        "○ Not yet",
        "The alert was reported as resolved.",
        "✓ Errors are below 1 %",
        "*✓ Mitigated in 2 min 39 s*\nit helped",
    ]
    assert render_progress(before, before) == []
