"""The slash command `/runbook`: all its words, and what each says or does.

Each word is one question to `Operations` or `Insight`.  Its answer is one message for the person who
asked, or a form that opens before them.
The brake asks for nothing that one does not know at 3am: `/runbook freeze` alone stops everything.
"""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from activities.ledger.cards import Card
from activities.ledger.clicks import Click, Reception
from activities.ledger.logins import Login
from bot.explaining import Explanation
from bot.insight import Preview, is_remediation
from bot.open_gates import is_name, meant, split_name
from bot.operations import RunbookLine, RunRequested, Status, Stopped
from bot.run_inputs import mistakes_in, with_target
from bot.slack.interactions import click_of_command
from bot.slack.message import Message, listing, say
from bot.slack.pages import plan_page, runbook_page, timeline_page, why_page
from bot.slack.review import review_view
from bot.slack.run_form import run_view
from bot.slack.status import scope_of, status_page, story_page, which_page
from bot.slack.text import clean, code, line, moment
from bot.slack.usage import COMMAND, USAGE, help_about, help_page, unknown
from bot.timeline import Timeline
from runbooks.errors import ParamedicError
from runbooks.model.action import Declaration
from runbooks.model.base import Value
from runbooks.model.decision import VERDICTS, Answer
from runbooks.model.freeze import is_scope
from runbooks.model.runbook import Runbook
from runbooks.policy.story import GateStory, Story

NO_MESSAGE = "0.0"
"""Where no message was pressed: there is none with this timestamp."""

_TYPOGRAPHIC = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"})
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


class Operations(Protocol):
    """What people may ask of the product, as `bot.operations.Operations` answers it."""

    async def list_runbooks(self) -> list[RunbookLine]:
        """Return all runbooks, and the files that were refused."""

    async def run(self, name: str, labels: Mapping[str, str], *, actor: str, source: str) -> RunRequested:
        """Ask for a run; a ParamedicError says why not."""

    async def status(self) -> Status:
        """Return what is going on."""

    async def stop(self, remediation: str, reason: str, *, actor: str, source: str) -> Stopped:
        """Let one remediation do nothing more."""

    async def freeze(self, scope: str, reason: str, *, actor: str, source: str) -> bool:
        """Pull the brake, and return whether that is on record already."""

    async def thaw(self, scope: str, reason: str, *, actor: str, source: str) -> bool:
        """Release the brake, and return whether it was pulled."""

    async def log_in(self, code: str, *, actor: str, source: str) -> Login:
        """Let the command line that shows this code speak for `actor`."""

    async def log_out(self, login: str, *, actor: str, source: str) -> list[Login]:
        """End one login of `actor`, or with an empty name all, and return them."""


class Insight(Protocol):
    """What people may look at, as `bot.insight.Insight` answers it."""

    @property
    def vocabulary(self) -> Mapping[str, Declaration]:
        """The actions that runbooks can use."""

    @property
    def runbooks(self) -> list[Runbook]:
        """The runbooks in force, by name."""

    def runbook(self, name: str) -> Runbook:
        """Return a runbook in force; a ParamedicError has the nearest."""

    def plan(self, name: str, given: Mapping[str, str]) -> Preview:
        """Return what it would do."""

    async def story(self, remediation: str) -> Story:
        """Return a remediation so far."""

    async def timeline(self, remediation: str) -> Timeline:
        """Return everything about a remediation."""

    async def explain(self, what: str) -> Explanation:
        """Return why something was done or not."""

    async def card(self, remediation: str) -> Card | None:
        """Return where its card is."""


class Answers(Protocol):
    """The way of people's answers, as `bot.answers.Answers` goes it."""

    async def receive(self, click: Click) -> Reception:
        """Make a click durable."""

    async def turn_away(self, click: Click, story: Story, gate: GateStory) -> str | None:
        """Return what to tell somebody whose answer would not count, before they give it."""


class UsageError(ParamedicError):
    """A command was typed in a way that cannot be meant.

    Attributes:
        problem: what is wrong or missing.
        right: what would be right, to be typed after the command.
    """

    code = "usage"

    def __init__(self, problem: str, right: str) -> None:
        super().__init__(f"{problem}: {COMMAND} {right}")
        self.problem = problem
        self.right = right


class Asker(Value):
    """Who typed a command, and where.

    Attributes:
        person: their key, `slack:T0123/U0456`.
        source: for the record, `slack:C0123`.
        channel: its id.
        nonce: of this very command, the same however often Slack delivers it.
    """

    person: str
    source: str
    channel: str = ""
    nonce: str = ""


class Form(Value):
    """An answer that is a form: it opens before the person.

    Attributes:
        instead: what is said where no form can open.
    """

    view: dict[str, Any]
    instead: str


class Commands:
    """Answers slash commands."""

    def __init__(self, operations: Operations, insight: Insight, answers: Answers) -> None:
        self._operations = operations
        self._insight = insight
        self._answers = answers
        self._verbs: Mapping[str, Callable[[list[str], Asker], Awaitable[Message | Form]]] = {
            "list": self._list,
            "show": self._show,
            "plan": self._plan,
            "run": self._run,
            "status": self._status,
            "approve": self._approve,
            "deny": self._deny,
            "verdict": self._verdict,
            "stop": self._stop,
            "timeline": self._timeline,
            "why": self._why,
            "freeze": self._freeze,
            "thaw": self._thaw,
            "login": self._login,
            "logout": self._logout,
            "help": self._help,
        }

    async def answer(self, text: str, asker: Asker) -> Message | Form:
        """Return the answer to `/runbook TEXT`; a mistake gets one as well, with what would be right."""
        try:
            words = split(text)
        except ValueError:
            return say("A quotation mark is open. Close it, or leave it out.")
        verb = words[0].lower() if words else "help"
        if verb not in self._verbs:
            return unknown(verb)
        try:
            return await self._verbs[verb](words[1:], asker)
        except UsageError as error:
            return say(f"✗ {line(error.problem, 300)}: {code(f'{COMMAND} {error.right}', 300)}")
        except ParamedicError as error:
            return say(f"✗ {line(str(error), 1000)}{_point(error)}")

    async def _list(self, _words: list[str], _asker: Asker) -> Message:
        runbooks = await self._operations.list_runbooks()
        if not runbooks:
            return say("There are no runbooks yet.")
        return listing(f"*{_count(len(runbooks), 'runbook')}*", [_runbook(each) for each in runbooks])

    async def _show(self, words: list[str], _asker: Asker) -> Message:
        name = _only(words, "show NAME")
        return runbook_page(self._insight.runbook(name), self._insight.vocabulary)

    async def _plan(self, words: list[str], _asker: Asker) -> Message:
        if not words:
            raise _wrong_use("plan")
        return plan_page(self._insight.plan(words[0], _labels(words[1:])))

    async def _run(self, words: list[str], asker: Asker) -> Message | Form:
        """Run it at once where everything is said; else ask for the rest."""
        if not words:
            return self._run_form("", {}, asker)
        runbook = self._insight.runbook(words[0])
        name, labels = runbook.name, with_target(runbook, _labels(words[1:]))
        if mistakes_in(runbook, labels):
            return self._run_form(name, labels, asker)
        asked = await self._operations.run(name, labels, actor=asker.person, source=asker.source)
        return say(
            f"✓ Asked for {code(asked.runbook)} on {code(asked.target)}. Its card appears in a moment."
        )

    def _run_form(self, name: str, labels: Mapping[str, str], asker: Asker) -> Form:
        view = run_view(self._insight.runbooks, name, labels, channel=asker.channel)
        said = (
            f"say all that it needs: {COMMAND} run NAME target=... label=value ..., see {COMMAND} show NAME"
        )
        return Form(view=view, instead=said)

    async def _approve(self, words: list[str], asker: Asker) -> Message | Form:
        """Whoever types has not seen the plan, so it is shown first; to submit that is the approval."""
        if not words:
            raise _wrong_use("approve")
        story, gates, rest = await self._question(words)
        if rest:
            raise _wrong_use("approve")
        if len(gates) != 1:
            return which_page(story, gates)
        refusal = await self._answers.turn_away(_typed(asker, gates[0], Answer.APPROVED), story, gates[0])
        if refusal is not None:
            return say(f"✗ {line(refusal, 1000)}")
        card = await self._insight.card(story.remediation)
        known = card if card is not None and card.ts else None
        channel, message = (known.channel, known.ts) if known else (asker.channel, NO_MESSAGE)
        view = review_view(story, gates[0], channel=channel, message=message)
        return Form(
            view=view,
            instead=f"type `{COMMAND} approve {story.remediation}` to read the plan, or press Approve",
        )

    async def _deny(self, words: list[str], asker: Asker) -> Message:
        if len(words) < 2:
            raise UsageError("Say which, and why not", f"deny {USAGE['deny'].form}")
        story, gates, rest = await self._question(words)
        if len(gates) != 1:
            return which_page(story, gates)
        if not rest:
            raise UsageError("Say why not", f"deny {' '.join(words)} REASON")
        return await self._take_in(asker, gates[0], Answer.DENIED, " ".join(rest))

    async def _verdict(self, words: list[str], asker: Asker) -> Message:
        if len(words) < 2:
            raise _wrong_use("verdict")
        story, gates, rest = await self._question(words, doubt=True)
        if len(gates) != 1:
            return which_page(story, gates)
        said = rest[0].lower() if rest else ""
        if said not in VERDICTS:
            raise _wrong_use("verdict")
        return await self._take_in(asker, gates[0], Answer(said), " ".join(rest[1:]))

    async def _question(
        self, words: list[str], *, doubt: bool = False
    ) -> tuple[Story, tuple[GateStory, ...], list[str]]:
        """Return the remediation that is named, its questions that can be meant, and the words that are left."""
        remediation, gate = split_name(words[0])
        rest = words[1:]
        if not gate and rest and is_name(rest[0]):
            gate, rest = rest[0], rest[1:]
        story = await self._insight.story(_id(remediation))
        return story, meant(story, gate, doubt=doubt), rest

    async def _take_in(self, asker: Asker, gate: GateStory, answer: Answer, reason: str) -> Message:
        click = _typed(asker, gate, answer, reason)
        await self._answers.receive(click)
        return say(
            f"Your answer for {code(click.remediation)} is recorded. Its card says so when it counts; "
            "where it does not count, you are told."
        )

    async def _stop(self, words: list[str], asker: Asker) -> Message:
        if len(words) < 2:
            raise UsageError("Say which, and why", f"stop {USAGE['stop'].form}")
        reason = " ".join(words[1:])
        stopped = await self._operations.stop(_id(words[0]), reason, actor=asker.person, source=asker.source)
        about = f"{code(stopped.remediation)}, {code(stopped.runbook)} on {code(stopped.target)}"
        return say(f"■ Stopped: {about}. It ends before its next action; what is done is not undone.")

    async def _timeline(self, words: list[str], _asker: Asker) -> Message:
        return timeline_page(await self._insight.timeline(_id(_only(words, "timeline R-..."))))

    async def _why(self, words: list[str], _asker: Asker) -> Message:
        what = _only(words, "why R-... or why TARGET")
        name = what.upper() if is_remediation(what.upper()) else what
        return why_page(await self._insight.explain(name))

    async def _status(self, words: list[str], _asker: Asker) -> Message:
        if words:
            return story_page(await self._insight.story(_id(_only(words, "status R-..."))))
        return status_page(await self._operations.status())

    async def _freeze(self, words: list[str], asker: Asker) -> Message:
        scope, reason = _scope(words)
        reason = reason or "no reason given"
        recorded = await self._operations.freeze(scope, reason, actor=asker.person, source=asker.source)
        later = "" if recorded else " The ledger does not answer: it goes on record later."
        return say(f"■ Frozen: {scope_of(scope)}. Nothing acts until `{COMMAND} thaw{_again(scope)}`.{later}")

    async def _thaw(self, words: list[str], asker: Asker) -> Message:
        scope, reason = _scope(words)
        pulled = await self._operations.thaw(scope, reason, actor=asker.person, source=asker.source)
        others = (await self._operations.status()).frozen
        rest = f" Still frozen: {', '.join(scope_of(each.scope) for each in others)}." if others else ""
        what = scope_of(scope)
        return say(f"□ Thawed: {what}.{rest}" if pulled else f"There is no freeze of {what}.{rest}")

    async def _login(self, words: list[str], asker: Asker) -> Message:
        if not words:
            return say(f"Type the code that `paramedic login` shows: `{COMMAND} login K7QF-M2XR`.")
        login = await self._operations.log_in("".join(words), actor=asker.person, source=asker.source)
        where = f"{code(login.label, 80)} from {code(login.peer, 60)}"
        return say(
            f"✓ The command line {where} speaks for you until {moment(login.expires_at)}. "
            f"Is that not yours? Take it back at once: `{COMMAND} logout {login.id}`"
        )

    async def _logout(self, words: list[str], asker: Asker) -> Message:
        name = words[0] if words else ""
        ended = await self._operations.log_out(name, actor=asker.person, source=asker.source)
        if not ended:
            return say(
                f"{code(name, 20)} does not speak for you." if name else "No command line speaks for you."
            )
        return say(f"✓ Ended: {', '.join(code(each.id, 20) for each in ended)}. It speaks for nobody now.")

    async def _help(self, words: list[str], _asker: Asker) -> Message:
        return help_about(words[0]) if words else help_page()


def split(text: str) -> list[str]:
    """Return the words of a command as a person typed them on a telephone.

    Raises:
        ValueError: a quotation mark is open.
    """
    text = clean(text).translate(_TYPOGRAPHIC)
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    # An apostrophe is part of a word (`don't`), so only double quotation marks quote.
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.quotes, lexer.escape = True, "", '"', ""
    return list(lexer)


def _only(words: list[str], usage: str) -> str:
    """Return the one word that a command takes."""
    if len(words) != 1:
        raise UsageError("Write it as", usage)
    return words[0]


def _wrong_use(verb: str) -> UsageError:
    return UsageError("Write it as", f"{verb} {USAGE[verb].form}")


def _typed(asker: Asker, gate: GateStory, answer: Answer, reason: str = "") -> Click:
    return click_of_command(
        asker.person, gate.gate, answer, nonce=asker.nonce, channel=asker.channel, reason=reason
    )


def _id(word: str) -> str:
    """Return the id of a remediation, which people also write small, and without its beginning."""
    name = word.upper()
    return name if is_remediation(name) else f"R-{name}"


def _labels(words: list[str]) -> dict[str, str]:
    wrong = [word for word in words if "=" not in word or word.startswith("=")]
    if wrong:
        raise UsageError(f"{wrong[0]} is not a label. Write labels as name=value", "run NAME name=value")
    return dict(word.partition("=")[::2] for word in words)


def _point(error: ParamedicError) -> str:
    return "" if str(error).endswith((".", "!", "?", "…")) else "."


def _scope(words: list[str]) -> tuple[str, str]:
    """Return the scope and the reason; without a scope, everything is meant."""
    first = words[0] if words else ""
    if first in {"*", "all", "everything"}:
        return "*", " ".join(words[1:])
    if is_scope(first):
        return first, " ".join(words[1:])
    return "*", " ".join(words)


def _again(scope: str) -> str:
    return "" if scope == "*" else f" {line(scope, 120)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _runbook(runbook: RunbookLine) -> str:
    if runbook.error and runbook.autonomy is None:
        return f"✗ {code(runbook.name)} cannot be used: {line(runbook.error, 300)}"
    if runbook.error:
        return f"✗ {code(runbook.name)} stays as it was, its file is wrong: {line(runbook.error, 300)}"
    return f"{code(runbook.name)} ({line(str(runbook.autonomy), 20)}): {line(runbook.summary, 200)}"
