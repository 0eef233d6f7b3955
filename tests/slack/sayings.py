"""Everything that the bot says in Slack, made of whatever others may have written.

    for saying in SAYINGS.values():
        async for said in saying("<!channel>"):
            assert objections(said) == []

Each saying makes one kind of messages, views or files as the product does, in all their states.
`test_sayings.py` finds all places in `bot/slack` that make one, and fails where none of these gets there.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, cast
from unittest import mock

from activities.ledger.cards import Card
from activities.ledger.clicks import Click, Reception
from activities.ledger.logins import Login
from bot.answers import AwayError, PersonRefusedError, late_answer
from bot.explaining import Explanation, explain_story
from bot.insight import Preview
from bot.operations import RunbookLine, RunRequested, Status, Stopped
from bot.slack import surface as surface_module
from bot.slack.board import plain_board, render_board, row_of
from bot.slack.card import plain_card, render_card
from bot.slack.commands import Asker, Commands
from bot.slack.files import TextFile
from bot.slack.home import Eyes, closed_home, home_view
from bot.slack.lines import (
    board_news,
    call,
    fitting,
    question_without_channel,
    short_line,
    system_line,
    thread_news,
    together,
)
from bot.slack.listeners import deny_view
from bot.slack.message import Message
from bot.slack.pages import plan_page, runbook_page, timeline_page, why_page
from bot.slack.progress import Progress, render_progress
from bot.slack.responder import Responder
from bot.slack.review import closed_view, review_view
from bot.slack.run_form import run_view
from bot.slack.seating import lead_of
from bot.slack.sender import SlackRefusedError
from bot.slack.surface import Surface
from bot.slack.text import code, cut
from bot.slack.usage import USAGE
from bot.slack.voice import SlackVoice
from bot.timeline import Timeline, timeline
from runbooks.errors import ParamedicError
from runbooks.language.escaping import ESCAPING
from runbooks.model.action import Escape
from runbooks.model.base import Value
from runbooks.model.decision import Answer
from runbooks.model.record import Record, RecordKind
from runbooks.model.runbook import Autonomy, Runbook
from runbooks.policy.story import Story, read_story
from tests.language.declarations import VOCABULARY
from tests.records import NOON, PLAN, Telling
from tests.slack.foreign import hostile, objections, states
from tests.slack.test_home_and_forms import book, overview

Said = Message | TextFile | Mapping[str, Any]
Saying = Callable[[str], AsyncIterator[Said]]
SAYINGS: dict[str, Saying] = {}

PERSON = "slack:T1/U1"
GROUP = "<!subteam^S1>"
ADDRESS = "https://example.org/archives/C1/p1"


def saying(make: Callable[[str], Iterator[Said]]) -> Callable[[str], Iterator[Said]]:
    """Add what is made at once."""

    async def made(text: str) -> AsyncIterator[Said]:
        for each in make(text):
            yield each

    SAYINGS[make.__name__] = made
    return make


def conversation(make: Saying) -> Saying:
    """Add what is made in a conversation."""
    SAYINGS[make.__name__] = make
    return make


@functools.lru_cache(maxsize=4)
def nights(text: str) -> list[Telling]:
    return states(text)


@functools.lru_cache(maxsize=4)
def stories(text: str) -> list[Story]:
    return [read_story(told.records) for told in nights(text)]


# --- remediations -------------------------------------------------------------------------------


@saying
def cards(text: str) -> Iterator[Said]:
    """A card in every state, in full and plain."""
    for story in stories(text):
        yield render_card(story, timeline_command="paramedic timeline")
        yield plain_card(story)


@saying
def boards(text: str) -> Iterator[Said]:
    """All states in one message; and so many questions that most are only counted."""
    rows = [row_of(story) for story in stories(text)]
    many = [row_of(read_story(hostile(text).records)) for _ in range(12)]
    for number, row in enumerate([*rows, *many]):
        if row.buttons:
            row.buttons["block_id"] = f"gate:{number}"
    alert = hostile(text).records[0].data["alert"]
    group = read_story(hostile(text).records).alert
    assert group is not None, alert
    named = group.model_copy(update={"group_key": f"{{}}:{{alertname={text}}}"})
    for shown, lead in ((rows, lead_of([named, named])), (many, lead_of([None])), ([], lead_of([]))):
        yield render_board(lead, shown, timeline_command="paramedic timeline")
        yield plain_board(shown)


@saying
def threads(text: str) -> Iterator[Said]:
    """What a thread hears, record by record and all at once, of a card and of a board."""
    for told in nights(text):
        news = list(_progress(told))
        yield from (call(GROUP, each.text) for each in news)
        yield from thread_news([each.text for each in news] * 10)
        yield board_news(f"{GROUP} {code(text, 60)}", [f"{code(text, 60)} {each.text}" for each in news])


def _progress(told: Telling) -> Iterator[Progress]:
    known = [None, *(read_story(told.records[:number]) for number in range(1, len(told.records) + 1))]
    for before, after in itertools.pairwise(known):
        assert after is not None
        yield from render_progress(before, after)


@saying
def short_lines(text: str) -> Iterator[Said]:
    """What has no card: endings before there was a plan, the brake, alerts without a target."""
    lines = [short_line(story) for story in stories(text) if story.ending]
    lines += [system_line(record) for record in _of_the_system(text)]
    while lines:
        number = fitting(lines)
        yield together(lines[:number])
        lines = lines[number:]


def _of_the_system(text: str) -> Iterator[Record]:
    told = Telling()
    for kind in (RecordKind.FREEZE, RecordKind.THAW):
        told.tell(kind, actor=f"local:{text}", scope=f"target={text}", reason=text)
    told.tell(RecordKind.FREEZE, actor=PERSON, scope="*", reason=text)
    told.tell(RecordKind.ALERT_EXPLAINED, sentence=text)
    yield from told.records


@saying
def direct_words(text: str) -> Iterator[Said]:
    """A question that no channel shows, to each who may answer it; and a call for people by a runbook."""
    for story in stories(text):
        if story.open_gate is not None:
            yield question_without_channel(story, story.open_gate, text)
    written = cut(ESCAPING[Escape.SLACK].escape(text), 1900)  # longer ones are refused before
    for who in (GROUP, code(text, 60)):
        yield call(who, f"It did not help: {written}", "R-7F3K2Q")
        yield call(who, written)


@saying
def forms(text: str) -> Iterator[Said]:
    """What opens before a person: the plan to be read, why not, and the run form; and what says that it is late."""
    for story in stories(text):
        if story.open_gate is not None:
            yield review_view(story, story.open_gate, channel="C1", message="1.1")
    yield review_view(*_odd(text), channel="C1", message="1.1")
    yield closed_view(late_answer(text))
    yield closed_view(text)
    yield deny_view(_click(text))
    labels = {"service": text, "env": text, text: text, **{f"label_{n}": text for n in range(60)}}
    runbook = _book(text)
    for chosen in ("", runbook.name):
        yield run_view([runbook], chosen, labels, channel="C1", lead=code(text))
    yield run_view([], "", labels)


def _odd(text: str) -> tuple[Story, Any]:
    """A plan that is too long to be read in full."""
    story = read_story(hostile(text, actions=120).records)
    return story, story.open_gate


# --- one person's view --------------------------------------------------------------------------


@saying
def home_tabs(text: str) -> Iterator[Said]:
    """With nothing, something and much in it; and for somebody who may not look."""
    for many, links in itertools.product((0, 1, 40), ({}, {"R-7F3K2Q": ADDRESS})):
        yield home_view(overview(text, many), Eyes(groups=frozenset({"sre-oncall"}), links=links))
    yield closed_home(text)
    yield closed_home(f"That is not for you: {text}.")


@saying
def pages(text: str) -> Iterator[Said]:
    """A runbook, a plan, a timeline, a why."""
    yield runbook_page(_book(text), VOCABULARY)
    for preview in _previews(text):
        yield plan_page(preview)
    for told in nights(text):
        yield timeline_page(timeline(told.records))
        yield why_page(explain_story(read_story(told.records)))


@functools.lru_cache(maxsize=1)
def _known() -> Runbook:
    return book(matchers="'env=~\"prod|staging\"'")


def _book(text: str) -> Runbook:
    known = _known()
    when = tuple(each.model_copy(update={"alert": text}) for each in known.when)
    return known.model_copy(update={"summary": text, "owner": text, "target": text, "when": when})


@functools.lru_cache(maxsize=4)
def _previews(text: str) -> list[Preview]:
    plan = PLAN.model_copy(update={"summary": text, "actions": hostile(text).plan.actions * 20})
    about: dict[str, Any] = {"runbook": text, "target": text}
    return [
        Preview(**about, checks=PLAN.verify * 50, plan=plan),
        Preview(**about, checks=(), plan=None, why=text),
    ]


# --- conversations ------------------------------------------------------------------------------


class Slack:
    """A web client that keeps what it is handed."""

    def __init__(self, *refused: str) -> None:
        self.said: list[Said] = []
        self.refused = refused
        self.proxy = None

    async def api_call(self, method: str, *, json: Mapping[str, Any] | None = None, **_: Any) -> Any:
        given = json or {}
        if method in self.refused:
            raise TimeoutError(method)
        if method in {"chat.postMessage", "chat.postEphemeral"}:
            self.said.append(Message(text=given["text"], blocks=tuple(given.get("blocks", ()))))
        return {}

    async def views_open(self, *, view: Mapping[str, Any], **_: Any) -> None:
        if "views.open" in self.refused:
            raise TimeoutError
        self.said.append(view)

    async def views_update(self, *, view: Mapping[str, Any], **_: Any) -> None:
        self.said.append(view)


@functools.lru_cache(maxsize=4)
def _short_timeline(text: str) -> Timeline:
    return timeline(hostile(text, actions=1).records)


class Everything(Value):
    """Whoever the bot asks, answering with `text` wherever something foreign stands.

    Attributes:
        wrong: every request is refused.
        empty: there is nothing.
    """

    text: str
    wrong: bool = False
    empty: bool = False

    @property
    def vocabulary(self) -> Any:
        return VOCABULARY

    @property
    def runbooks(self) -> list[Runbook]:
        return [] if self.empty else [_book(self.text)]

    def _objection(self) -> None:
        if self.wrong:
            raise ParamedicError(self.text)

    def runbook(self, _name: str) -> Runbook:
        self._objection()
        return _book(self.text)

    def plan(self, _name: str, _given: Any) -> Preview:
        return _previews(self.text)[0]

    async def list_runbooks(self) -> list[RunbookLine]:
        autonomy = (None, Autonomy.GATED)
        lines = [RunbookLine(name=self.text, autonomy=each, error=self.text) for each in autonomy]
        lines += [RunbookLine(name=self.text, autonomy=Autonomy.GATED, summary=self.text)] * 30
        return [] if self.empty else lines

    async def run(self, _name: str, _labels: Any, **_: Any) -> RunRequested:
        self._objection()
        return RunRequested(entry="e", runbook=self.text, target=self.text)

    async def status(self) -> Status:
        return overview(self.text, 0 if self.empty else 12).status

    async def stop(self, remediation: str, _reason: str, **_: Any) -> Stopped:
        return Stopped(remediation=remediation, runbook=self.text, target=self.text)

    async def freeze(self, *_: Any, **__: Any) -> bool:
        return not self.empty

    async def thaw(self, *_: Any, **__: Any) -> bool:
        return not self.empty

    async def log_in(self, _code: str, **_: Any) -> Login:
        times = {"opened_at": NOON, "expires_at": NOON + timedelta(hours=12)}
        return Login(id="L-7F3K2Q", person=PERSON, label=self.text, peer=self.text, **times)

    async def log_out(self, _login: str, **_: Any) -> list[Login]:
        return [] if self.empty else [await self.log_in("")]

    async def story(self, remediation: str) -> Story:
        number = int(remediation.removeprefix("R-")) if remediation.removeprefix("R-").isdigit() else 4
        return stories(self.text)[number]

    async def timeline(self, _remediation: str) -> Timeline:
        self._objection()
        return _short_timeline(self.text)

    async def explain(self, _what: str) -> Explanation:
        return Explanation(title=self.text, sentences=(self.text,) * 60)

    async def card(self, _remediation: str) -> Card | None:
        return None if self.empty else Card(remediation="R-1", channel="C1", ts="1.1", seq=1, state="card")

    async def receive(self, _click: Click) -> Reception:
        return Reception.RECORDED

    async def turn_away(self, *_: Any) -> str | None:
        return self.text if self.wrong else None

    async def admit(self, *_: Any, **__: Any) -> None:
        """As the doorkeeper lets somebody in."""


class Closed(Everything):
    """A door that lets nobody in."""

    async def admit(self, *_: Any, **__: Any) -> None:
        raise AwayError(self.text) if self.empty else PersonRefusedError(self.text)


ASKER = Asker(person=PERSON, source="slack:C1", channel="C1", nonce="1")
WORDS = (
    *USAGE,
    "",
    'an "open quotation mark',
    "what is this",
    "show x",
    "plan x service=y",
    "run x",
    "run x service=y env=prod target=z",
    "status R-4",
    "approve R-4",
    *(f"{verb} R-{number} reason" for verb in ("deny", "verdict") for number in (2, 4, 14)),
    "approve R-14",
    "help freeze",
    "deny R-4 gate-1",
    "verdict R-14 happened",
    "stop R-4 reason",
    "timeline R-4",
    "why R-4",
    "freeze target=x",
    "thaw target=x reason",
    "login K7QF-M2XR",
    "logout L-1",
)


@conversation
async def commands(text: str) -> AsyncIterator[Said]:
    """Every word, with everything there, with nothing there, and refused; and mistakes in what was typed."""
    each = [f"status R-{number}" for number in range(len(stories(text)))]
    odd = [f'{verb} "{text[:300]}" {text[:300]}' for verb in (*USAGE, "")]
    known = [
        (Everything(text=text), (*WORDS, *each, *odd)),
        (Everything(text=text, empty=True), WORDS),
        (Everything(text=text, wrong=True), WORDS),
    ]
    for one, typed in known:
        every = cast("Any", one)
        for words in typed:
            answer = await Commands(every, every, every).answer(words, ASKER)
            yield answer if isinstance(answer, Message) else answer.view


@conversation
async def answers_to_words(text: str) -> AsyncIterator[Said]:
    """Who may not look, where a form cannot open, and an answer that breaks the rules."""
    for known in (Closed(text=text), Closed(text=text, empty=True), Everything(text=text)):
        for refused, trigger in ((), ""), ((), "t"), (("views.open",), "t"):
            slack = Slack(*refused)
            every = cast("Any", known)
            responder = Responder(cast("Any", slack), every, Commands(every, every, every))
            for words in ("help", "run", "approve R-4"):
                answered = await responder.answer(words, ASKER, trigger)
                if answered is not None:
                    yield answered
            for each in slack.said:
                yield each
    broken = cast("Any", _Broken(text))
    yield cast(
        "Message",
        await Responder(cast("Any", Slack()), cast("Any", Everything(text=text)), broken).answer("x", ASKER),
    )


class _Broken:
    """Commands whose answer breaks a rule."""

    def __init__(self, text: str) -> None:
        self.message = together([code(text)]).model_copy(update={"blocks": ({"type": "nonsense"},)})

    async def answer(self, *_: Any) -> Message:
        return self.message


@conversation
async def whispers(text: str) -> AsyncIterator[Said]:
    """What only one person sees: why an answer does not count, in a channel and where that fails."""
    for refused in ((), ("chat.postEphemeral",)):
        slack = Slack(*refused)
        voice = SlackVoice(cast("Any", slack), cast("Any", None))
        for said in (text, f"Your answer does not count: {text}.", late_answer(text)):
            await voice.tell(_click(text), said)
        assert len(slack.said) == 3
        for each in slack.said:
            yield each


@conversation
async def run_forms(text: str) -> AsyncIterator[Said]:
    """The run form as a button and a message open it, its answer, and what is said where it cannot be had."""
    known = [Everything(text=text), Everything(text=text, empty=True), Everything(text=text, wrong=True)]
    for refused, every in itertools.product(((), ("views.open",)), [*known, Closed(text=text)]):
        surface, slack = _surface(every, *refused)
        for message in ({}, {"text": f"[FIRING:1] ServiceErrors {text}\n - service = {text}"}):
            await surface.run_for_alert(_ack, {**_BODY, "message": message})
        await surface.choose(_ack, _submitted(text, "x"))
        for runbook in ("", "service-errors"):
            await surface.run(_ack, _submitted(text, runbook))
        with mock.patch.object(surface_module, "SLACK_WAITS", -1.0):  # the form is given up by then
            await surface.run(_ack, _submitted(text, "no such runbook"))
        for each in slack.said:
            yield each


@conversation
async def files(text: str) -> AsyncIterator[Said]:
    """A timeline as a file, what is said of it, and why there is none."""
    tries = [(Everything(text=text), word) for word in ("", "is_archived", "invalid_auth")]
    for every, word in [*tries, (Everything(text=text, wrong=True), ""), (Closed(text=text), "")]:
        surface, slack = _surface(every)
        shared = Files(word)
        surface._files = cast("Any", shared)
        await surface.share_timeline(_ack, _pressed())
        for each in (*shared.said, *slack.said):
            yield each


def _surface(every: Everything, *refused: str) -> tuple[Surface, Slack]:
    slack, anything = cast("Any", Slack(*refused)), cast("Any", every)
    voice = SlackVoice(slack, cast("Any", None))
    responder = Responder(slack, anything, Commands(anything, anything, anything))
    return Surface(slack, responder, anything, anything, voice, cast("Any", None)), slack


class Files:
    """Shares files, or is refused with a word."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.said: list[TextFile] = []

    async def share(self, file: TextFile, _place: Any) -> None:
        self.said.append(file)
        if self.word:
            raise SlackRefusedError("files.completeUploadExternal", self.word)


_BODY: Mapping[str, Any] = {
    "user": {"id": "U1", "team_id": "T1"},
    "team": {"id": "T1"},
    "channel": {"id": "C1"},
    "trigger_id": "t",
}


async def _ack(*, errors: Mapping[str, str] | None = None, **_: Any) -> None:
    """As Slack's acknowledgement, which may carry what stands beside the inputs of a form."""
    for sentence in (errors or {}).values():
        shown = {"type": "section", "text": {"type": "plain_text", "text": sentence}}
        assert objections({"type": "home", "blocks": [shown]}) == []
        assert len(sentence) <= 300


def _pressed() -> dict[str, Any]:
    container = {"channel_id": "C1", "message_ts": "1.1"}
    return {**_BODY, "container": container, "actions": [{"action_ts": "1.0", "value": "R-7F3K2Q"}]}


def _submitted(text: str, runbook: str) -> dict[str, Any]:
    values = {
        "runbook": {"c": {"selected_option": {"value": runbook}}},
        "label:service@x": {"value": {"value": text or "checkout"}},
        "label:env@x": {"value": {"value": "prod"}},
    }
    view = {
        "id": f"V{runbook}",
        "hash": "h",
        "private_metadata": '{"channel": "C1"}',
        "state": {"values": values},
    }
    return {**_BODY, "view": view}


def _click(text: str) -> Click:
    return Click(
        id="slack-1",
        gate="R-7F3K2Q/gate-1",
        answer=Answer.DENIED,
        person=PERSON,
        reason=text,
        via="slack",
        place={"channel": "C1", "message": "1.1"},
        at=NOON,
    )
