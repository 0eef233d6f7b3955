"""Cards, threads and timelines of gates: who is asked now, who is next, what a single step waits for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.slack.block_kit import problems_of_message
from bot.slack.card import needs_review, plain_card
from bot.slack.progress import render_progress
from bot.timeline import timeline
from runbooks.model.action import Effect
from runbooks.model.plan import GateTerms, Link
from runbooks.policy.story import read_story
from tests.records import PLAN, RESTART, Telling
from tests.slack.foreign import FOREIGN
from tests.slack.test_card import buttons, card, first_line, words

QUARTER = timedelta(minutes=15)
DRAIN = RESTART.model_copy(
    update={"id": "drain", "name": "Drain checkout", "effect": Effect.WRITE, "undo": RESTART}
)


def in_turn(need: int = 2, groups: tuple[str, ...] = ("chiefs",)) -> Telling:
    """So many of the first must approve; after a quarter of an hour the next are asked too."""
    link = Link(approvers=groups, within=QUARTER)
    terms = GateTerms(approvers=("sre-oncall",), need=need, within=QUARTER, otherwise=(link,))
    told = (
        Telling(plan=PLAN.model_copy(update={"gate": terms})).admitted().check("before", "passed").planned()
    )
    end = (told.now + 2 * QUARTER).isoformat()
    return told.asked(
        need=need, expires_at=end, asked_until=(told.now + QUARTER).isoformat(),
        otherwise=[{"approvers": list(groups), "until": end}],
    )  # fmt: skip


def escalated(told: Telling) -> Telling:
    return told.wait(minutes=15).escalated("chiefs", until=(told.now + QUARTER).isoformat())


def before_second_step() -> Telling:
    """The first of two steps is done; the second one asks."""
    second = RESTART.model_copy(update={"gate": PLAN.gate})
    plan = PLAN.model_copy(update={"gate": None, "actions": (DRAIN, second)})
    told = Telling(plan=plan).admitted().check("before", "passed").planned()
    return told.intent().receipt().asked_about_step(2)


def news(told: Telling, records: int = 1) -> list[tuple[tuple[str, ...], str]]:
    """What the thread says of the last records."""
    before = read_story(told.records[:-records])
    return [(each.mention, each.text) for each in render_progress(before, read_story(told.records))]


def test_the_card_says_who_is_asked_now_and_who_is_next():
    """Until when, of whom, and what happens then."""
    said = words(card(in_turn()))

    assert "2 people of `sre-oncall` must approve by *" in said
    assert "|03:22 UTC>*. Otherwise `chiefs` is asked too, until <" in said
    assert "|03:37 UTC>." in said


def test_an_escalated_card_asks_all_and_wakes_only_those_who_are_new():
    """Those asked before may still answer; approvals given keep counting; the thread calls the next group."""
    told = escalated(in_turn().answered("approved"))
    message = card(told)

    assert first_line(message) == "▲ Approval needed on checkout (1 of 2 so far)"
    assert "2 people of `sre-oncall` or `chiefs` must approve by *" in words(message)
    assert "|03:37 UTC>*. Otherwise nothing is done." in words(message)
    assert len(buttons(message)) == 2
    ((mention, text),) = news(told)
    assert mention == ("chiefs",)
    assert text.startswith("Of `sre-oncall` only 1 of 2 approved in time, so you are asked too. An answer")


def test_the_thread_says_that_nobody_answered():
    """Who is called second hears why."""
    ((mention, text),) = news(escalated(in_turn(1)))

    assert mention == ("chiefs",)
    assert text.startswith("Nobody of `sre-oncall` answered in time, so you are asked too.")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (False, "○ Nobody answered by 03:37 UTC: nothing was done"),
        (True, "○ Only 1 of 2 approved by 03:37 UTC: nothing was done"),
    ],
)
def test_an_expired_gate_says_what_was_missing(given, line):
    """One yes of two is not nobody."""
    told = in_turn()
    told = (told.answered("approved") if given else told).wait(minutes=30).gate_closed("expired", "x")

    assert first_line(card(told)) == line
    assert first_line(card(told.ended("expired", "x", "expired"))) == line


def test_a_step_is_asked_about_by_its_name():
    """What was done before it stands on the card, and what happens to that if nobody answers."""
    told = before_second_step()
    said = words(card(told))

    assert first_line(card(told)) == "▲ Approval needed on checkout, before: Restart checkout"
    assert "One person of `sre-oncall` must approve *Restart checkout* by *" in said
    assert "Otherwise it stops, and what was done is undone." in said
    assert "✓ *done*" in said
    ((mention, text),) = news(told)
    assert mention == ("sre-oncall",)
    assert "An answer is needed for `checkout` before this step: Restart checkout, above" in text


def test_only_the_step_at_stake_decides_whether_it_must_be_read_first():
    """A yes to a harmless step opens no form because another step of the plan is destructive."""
    told = before_second_step()
    gate = read_story(told.records).open_gate
    harmless = gate.gated.model_copy(update={"step": "drain"})
    drain = DRAIN.model_copy(update={"undo": None})
    story = read_story(told.records)
    plan = story.plan.model_copy(update={"actions": (drain, RESTART)})
    story = story.model_copy(update={"plan": plan})

    assert needs_review(story, gate)
    assert not needs_review(story, gate.model_copy(update={"gated": harmless}))


def test_a_no_between_two_steps_says_what_became_of_the_first():
    """The ending's sentence stands on the card, because something was done."""
    told = before_second_step().answered("denied", reason="wait").gate_closed("denied", "Alice said no")
    assert first_line(card(told)) == "○ Denied by Alice: wait"

    done = "Alice said no. Done before that: Drain checkout. What was done before it is undone."
    said = words(card(told.ended("denied", done, "denied")))
    assert done in said
    assert "*Restart checkout*: Denied by <@U1>" in said
    assert timeline(told.records).ending == "Denied: a person said no, and nothing more was done."


def test_a_silence_between_two_steps_says_that_more_was_not_done():
    """Nobody reads that nothing was done where a step was."""
    told = before_second_step().wait(minutes=15).gate_closed("expired", "nobody answered")

    assert first_line(card(told)) == "○ Nobody answered by 03:22 UTC: nothing more was done"


def test_a_doubt_goes_to_the_next_as_well():
    """The question what became of an action has the same chain."""
    told = Telling().admitted().planned().intent().unknown()
    end = (told.now + 2 * QUARTER).isoformat()
    told.in_doubt(otherwise=[{"approvers": ["chiefs"], "until": end}], expires_at=end)

    assert "If nobody does, `chiefs` is asked too, until" in words(card(told))


@pytest.mark.parametrize("kind", FOREIGN)
def test_any_foreign_text_makes_a_card_that_slack_takes(kind):
    """Group names and step names come from files that people write: the card is valid whatever stands there."""
    text = FOREIGN[kind]
    plan = PLAN.model_copy(update={"actions": (RESTART.model_copy(update={"name": text}),)})
    told = Telling(plan=plan).admitted().planned()
    end = (told.now + 2 * QUARTER).isoformat()
    told.asked_about_step(
        approvers=[text or "x"] * 3, otherwise=[{"approvers": [text or "x"] * 3, "until": end}]
    )
    escalated(told.answered("approved", reason=text))

    assert problems_of_message(card(told).payload()) == []
    assert plain_card(read_story(told.records)).problems() == []
    assert all(text.strip() for _, text in news(told))


def test_the_timeline_tells_of_the_chain_and_the_step():
    """A stranger reads who was asked when, and about what."""
    rows = {row.what: row.details for row in timeline(escalated(in_turn()).records).rows}
    assert rows["Asked sre-oncall"] == (
        "2 people must approve by 03:22:00 UTC",
        "if not, chiefs too, until 03:37:00 UTC",
    )
    assert rows["Asked chiefs too"] == ("too few answered in time; until 03:37:00 UTC",)

    steps = timeline(before_second_step().records)
    assert "Asked sre-oncall whether this may be done now: Restart checkout" in [
        row.what for row in steps.rows
    ]
    assert steps.durations.to_gate == timedelta()
