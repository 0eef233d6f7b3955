"""What people type at a gate, and what they read first: the help, the status, which question is meant."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, cast

import pytest

from bot.operations import GateLine, Status, StatusLine
from bot.slack.commands import Asker, Commands, Form
from bot.slack.message import Message
from bot.slack.status import RUNNING_SHOWN, status_page, story_page
from bot.slack.usage import _SAID_FOR, USAGE, help_about, help_page, nearest, unknown
from runbooks.model.decision import Answer
from runbooks.model.freeze import Freeze
from runbooks.policy.story import read_story
from tests.records import NOON, Telling
from tests.slack.test_card import FOREIGN

PHONE_LINES = 24  # that a telephone shows at once, under the message that was typed
PHONE_WIDTH = 44  # characters of a line there
ASKER = Asker(person="slack:T1/U1", source="slack:C1", channel="C1", nonce="7")


class Desk:
    """Answers that were taken in, about one story; nobody is turned away but with `refusal`."""

    def __init__(self, told: Telling, refusal: str | None = None) -> None:
        self.told = told
        self.refusal = refusal
        self.taken: list[Any] = []

    async def story(self, remediation: str) -> Any:
        assert remediation == self.told.remediation
        return read_story(self.told.records)

    async def card(self, remediation: str) -> None:
        return None

    async def receive(self, click: Any) -> None:
        self.taken.append((click.gate, click.answer, click.reason))

    async def turn_away(self, click: Any, story: Any, gate: Any) -> str | None:
        assert (click.gate, click.person) == (gate.gate, ASKER.person)
        return self.refusal

    async def type(self, text: str) -> Message | Form:
        desk = cast("Any", self)
        return await Commands(desk, desk, desk).answer(text, ASKER)

    async def read(self, text: str) -> str:
        """Return what is said, all of it."""
        return said(await self.type(text))


def said(answer: Message | Form) -> str:
    assert isinstance(answer, Message), answer
    assert answer.problems() == []
    return "\n".join(block["text"]["text"] for block in answer.blocks) or answer.text


def two_questions() -> Telling:
    """A remediation that asks about its plan and about one step of it."""
    return Telling().admitted().check("before", "passed").planned().asked().asked_about_step()


def in_doubt() -> Telling:
    return Telling().admitted().planned().intent().unknown().in_doubt()


# --- which question -----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["approve R-7F3K2Q", "deny R-7F3K2Q not now"])
async def test_several_questions_are_listed_and_none_is_answered(verb):
    """Nothing is guessed: each is told with what it is about, whom it asks, and what to type."""
    desk = Desk(two_questions())

    told = await desk.read(verb)

    assert "asks 2 questions. Which one is meant?" in told
    assert re.search(r"waits for `sre-oncall` until \S+ UTC>, about the plan\n", told)
    assert re.search(r"waits for `sre-oncall` until \S+ UTC>, about the step “Restart checkout”\n", told)
    for typed in ("approve R-7F3K2Q gate-1", "deny R-7F3K2Q step-1 REASON"):
        assert f"`/runbook {typed}`" in told
    assert desk.taken == []


@pytest.mark.parametrize("typed", ["R-7F3K2Q step-1", "r-7f3k2q STEP-1", "R-7F3K2Q/step-1", "7f3k2q/step-1"])
async def test_a_question_is_answered_by_its_name(typed):
    """However it is written; the words after it are the reason."""
    desk = Desk(two_questions())

    shown = await desk.type(f"approve {typed}")
    await desk.read(f"deny {typed} step-2 looks wrong")

    assert isinstance(shown, Form)
    assert '"gate":"R-7F3K2Q/step-1"' in shown.view["private_metadata"].replace(" ", "")
    assert desk.taken == [("R-7F3K2Q/step-1", Answer.DENIED, "step-2 looks wrong")]


async def test_where_one_question_is_open_its_name_need_not_be_said():
    """The plan's approval is meant, not what became of an action."""
    desk = Desk(Telling().admitted().planned().asked())

    assert isinstance(await desk.type("approve R-7F3K2Q"), Form)
    await desk.read("deny R-7F3K2Q not during the sale")

    assert desk.taken == [("R-7F3K2Q/gate-1", Answer.DENIED, "not during the sale")]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("deny R-7F3K2Q step-9 not now", "*That is not asked.* `R-7F3K2Q` asks:"),
        ("deny R-7F3K2Q gate-1", "✗ Say why not: `/runbook deny R-7F3K2Q gate-1 REASON`"),
        ("approve R-7F3K2Q gate-1 please", "✗ Write it as: `/runbook approve R-… [GATE]`"),
        ("approve", "✗ Write it as: `/runbook approve R-… [GATE]`"),
        ("verdict R-7F3K2Q happened", "*That is not asked.* `R-7F3K2Q` asks:"),
        ("verdict R-7F3K2Q", "✗ Write it as: `/runbook verdict R-… [GATE] happened|again|stop`"),
    ],
)
async def test_what_is_not_asked_is_answered_with_what_is(typed, answer):
    """A slip of the thumb answers no other question; it is told what would be right."""
    desk = Desk(Telling().admitted().planned().asked())

    assert answer in await desk.read(typed)
    assert desk.taken == []


async def test_what_became_of_an_action_is_answered_in_words_too():
    """Where no card is, as in a channel that is gone, the words are all there is."""
    desk = Desk(in_doubt())

    pointed = await desk.read("approve R-7F3K2Q")
    wrong = await desk.read("verdict R-7F3K2Q perhaps")
    await desk.read("verdict R-7F3K2Q Happened it is up since 03:12")

    assert "what became of “Restart checkout”" in pointed
    assert "`/runbook verdict R-7F3K2Q verdict-1 happened|again|stop`" in pointed
    assert "✗ Write it as: `/runbook verdict R-… [GATE] happened|again|stop`" in wrong
    assert desk.taken == [("R-7F3K2Q/verdict-1", Answer.HAPPENED, "it is up since 03:12")]


async def test_nothing_asked_says_how_it_is():
    """Whoever comes late reads what came of it."""
    desk = Desk(Telling().admitted().planned().asked().gate_closed("expired").ended("expired"))

    assert "`R-7F3K2Q` asks nobody now. ○ Nobody answered" in await desk.read("approve R-7F3K2Q")


async def test_who_may_not_approve_is_told_instead_of_shown_the_plan():
    """A form that cannot be submitted is not opened; foreign words in the refusal are harmless."""
    desk = Desk(Telling().admitted().planned().asked(), "Your answer does not count: ask <!channel>.")

    assert await desk.read("approve R-7F3K2Q") == "✗ Your answer does not count: ask &lt;!channel&gt;."


# --- the status ---------------------------------------------------------------------------------


def gate(remediation: str = "R-7F3K2Q", **more: Any) -> GateLine:
    place = {"remediation": remediation, "runbook": "heal", "target": "web-1", "gate": "gate-1"}
    return GateLine(**{**place, "approvers": ("sre-oncall",), "expires_at": NOON, **more})


def status(*gates: GateLine, running: int = 0, **more: Any) -> Status:
    asking = dict.fromkeys(each.remediation for each in gates)
    alone = (f"R-{number}" for number in range(running))
    lines = [
        StatusLine(remediation=name, runbook="heal", target="web-1", phase="acting", since=NOON)
        for name in (*asking, *alone)
    ]
    return Status(**{"frozen": (), "running": tuple(lines), "gates": gates, **more})


def test_a_question_in_the_status_says_before_which_step_and_who_is_next():
    """Step, who is asked and until when, who after that: once, not again among what runs."""
    asked = gate(step="Drop the table", need=3, given=1, asked_until=NOON, then=("chiefs",))

    told = said(status_page(status(asked)))

    assert "*1 remediation under way, 1 waits for an answer*" in told
    assert (
        "▲ `R-7F3K2Q` `heal` on `web-1`. Before *Drop the table*: It waits for 2 more of `sre-oncall`" in told
    )
    assert ", then `chiefs` too" in told
    assert told.count("R-7F3K2Q") == 1
    assert "`/runbook status R-…` says what to type" in told


def test_what_needs_people_comes_before_what_runs_and_most_urgent_first():
    """The brake, then questions by the time that is left, then the rest, counted."""
    frozen = Freeze(scope="*", actor="slack:T1/U1", reason="", at=NOON)
    late = gate("R-LATE", expires_at=NOON + timedelta(hours=1), doubt="Restart it")
    told = said(status_page(status(late, gate("R-SOON"), running=RUNNING_SHOWN + 3, frozen=(frozen,))))

    order = [told.index(word) for word in ("Frozen: everything", "R-SOON", "R-LATE", "R-0")]
    assert order == sorted(order)
    assert "*Did this happen? Restart it*" in told
    assert "and 3 more" in told


def test_gates_of_one_remediation_are_told_apart_by_their_names():
    """Where there is one, its name is only one more word to read."""
    both = said(status_page(status(gate(), gate(gate="step-2", step="Drop it"))))

    assert "`R-7F3K2Q` (`gate-1`)" in both
    assert "`R-7F3K2Q` (`step-2`)" in both
    assert "gate-1" not in said(status_page(status(gate())))


def test_the_status_of_one_says_what_to_type():
    """Who was told of it in a direct message needs nothing else; names only where they are needed."""
    one = said(story_page(read_story(Telling().admitted().planned().asked().records)))
    two = said(story_page(read_story(two_questions().records)))

    assert "`/runbook approve R-7F3K2Q`\n`/runbook deny R-7F3K2Q REASON`" in one
    assert "`/runbook approve R-7F3K2Q gate-1`" in two
    assert "`/runbook approve R-7F3K2Q step-1`" in two


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_slack_takes_any_status(text):
    """However odd what is going on, it is told."""
    odd = gate(runbook=text, target=text, step=text, then=(text,), approvers=(text,))

    assert status_page(status(*[odd] * 60, gate(doubt=text), running=60)).problems() == []


# --- the help -----------------------------------------------------------------------------------


def test_all_words_fit_on_a_telephone():
    """One line a word, grouped; what is needed at 3am first."""
    lines = said(help_page()).split("\n")

    assert len(lines) <= PHONE_LINES
    assert [line for line in lines if len(line) > PHONE_WIDTH] == []
    shown = [found[1] for line in lines if (found := re.match(r"`(\w+)", line))]
    assert shown == list(USAGE)


@pytest.mark.parametrize("verb", USAGE)
def test_each_word_has_its_details(verb):
    """How it is written, what it does, and how it looks when somebody types it."""
    told = said(help_about(verb.upper()))

    assert told.startswith(f"*`/runbook {verb}")
    assert USAGE[verb].more in told
    assert f"/runbook {verb} {USAGE[verb].example}".rstrip() in told


def test_a_command_has_help_for_every_word_it_knows():
    """No word without help, no help without a word."""
    nothing = cast("Any", None)

    assert Commands(nothing, nothing, nothing)._verbs.keys() == USAGE.keys()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("aprove", "approve"),
        ("abort", "stop"),
        ("unfreze", "thaw"),
        ("cancle", "stop"),
        ("sotp", "stop"),
        ("lst", "list"),
    ],
)
def test_a_word_that_is_not_known_is_answered_with_the_one_that_was_meant(typed, meant):
    """Slips of the thumb, and what other tools call it; two lines, not the whole help."""
    assert f"Did you mean `{meant}`?" in said(unknown(typed))


def test_what_nobody_can_guess_is_not_guessed():
    """It leads to the help; and what people say instead always leads to a word that there is."""
    assert "Did you mean" not in said(unknown("xyzzy<!channel>"))
    assert "`/runbook help`" in said(help_about("xyzzy"))
    assert {nearest(word) for word in _SAID_FOR} <= USAGE.keys()
    assert not _SAID_FOR.keys() & USAGE.keys()
