"""The slash command `/runbook`: all its words, and what each says or does.

Each word is one question to `Operations` or `Insight`.  Its answer is one message for the person who
asked, or a form that opens before them.
The brake asks for nothing that one does not know at 3am: `/runbook freeze` alone stops everything.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from activities.ledger.cards import Card
from activities.ledger.clicks import Click, Reception
from activities.ledger.leases import KeptTarget
from activities.ledger.logins import Login
from bot.explaining import Explanation
from bot.insight import Preview, is_remediation
from bot.operations import GateLine, OpenWindow, RunbookLine, RunRequested, Status, StatusLine, Stopped
from bot.run_inputs import mistakes_in, with_target
from bot.slack.headline import headline
from bot.slack.interactions import click_of_command
from bot.slack.message import Message, listing, say
from bot.slack.pages import plan_page, runbook_page, timeline_page, why_page
from bot.slack.review import review_view
from bot.slack.run_form import run_view
from bot.slack.text import clean, code, line, moment, person
from bot.timeline import Timeline
from runbooks.errors import ParamedicError
from runbooks.model.action import Declaration
from runbooks.model.base import Value
from runbooks.model.decision import Answer
from runbooks.model.freeze import Freeze, is_scope
from runbooks.model.runbook import Runbook
from runbooks.policy.story import Story

COMMAND = "/runbook"

USAGE: Mapping[str, str] = {
    "list": "the runbooks, and how far each may go on its own",
    "show": "one runbook: `show NAME`",
    "plan": "what it would do, without doing it: `plan NAME target=... label=value ...`",
    "run": "run a runbook: `run` opens a form, `run NAME target=... label=value ...` runs it at once",
    "status": "what is going on, and what is frozen; of one remediation: `status R-...`",
    "approve": "read the plan, then approve it: `approve R-...`",
    "deny": "say no: `deny R-... reason`",
    "stop": "let one remediation do nothing more: `stop R-... reason`",
    "timeline": "what one remediation saw, decided and did: `timeline R-...`",
    "why": "why something was done or not: `why R-...` or `why TARGET`",
    "freeze": "stop everything, at once: `freeze [runbook=NAME | target=NAME | label:NAME=VALUE] [reason]`",
    "thaw": "lift a freeze: `thaw [runbook=NAME | target=NAME | label:NAME=VALUE] [reason]`",
    "login": "let a command line speak for you: `login CODE`, as `paramedic login` shows it",
    "logout": "let no command line speak for you any more: `logout [L-...]`",
    "help": "this",
}

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


Receive = Callable[[Click], Awaitable[Reception]]
"""Makes a click durable, as `bot.answers.Answers.receive` does."""


class UsageError(ParamedicError):
    """A command was typed in a way that cannot be meant.  The message says what would be right."""

    code = "usage"


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

    def __init__(self, operations: Operations, insight: Insight, receive: Receive) -> None:
        self._operations = operations
        self._insight = insight
        self._receive = receive
        self._verbs: Mapping[str, Callable[[list[str], Asker], Awaitable[Message | Form]]] = {
            "list": self._list,
            "show": self._show,
            "plan": self._plan,
            "run": self._run,
            "status": self._status,
            "approve": self._approve,
            "deny": self._deny,
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
            return _usage(f"There is no {code(verb, 60)} here.{_nearest(verb, list(self._verbs))}")
        try:
            return await self._verbs[verb](words[1:], asker)
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
            raise UsageError(f"say which: {COMMAND} plan NAME target=... label=value ...")
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
        story = await self._insight.story(_id(_only(words, "approve R-...")))
        gate = story.open_gate
        if gate is None or gate.doubt is not None:
            return say(_not_asked(story))
        card = await self._insight.card(story.remediation)
        known = card if card is not None and card.ts else None
        channel, message = (known.channel, known.ts) if known else (asker.channel, NO_MESSAGE)
        view = review_view(story, gate, channel=channel, message=message)
        return Form(
            view=view,
            instead=f"type `{COMMAND} approve {story.remediation}` to read the plan, or press Approve",
        )

    async def _deny(self, words: list[str], asker: Asker) -> Message:
        if len(words) < 2:
            raise UsageError(f"say which and why not: {COMMAND} deny R-... reason")
        story = await self._insight.story(_id(words[0]))
        gate = story.open_gate
        if gate is None or gate.doubt is not None:
            return say(_not_asked(story))
        reason = " ".join(words[1:])
        click = click_of_command(
            asker.person, gate.gate, Answer.DENIED, nonce=asker.nonce, channel=asker.channel, reason=reason
        )
        await self._receive(click)
        return say(
            f"Your answer for {code(story.remediation)} is recorded. Its card says so when it counts; "
            "where it does not count, you are told."
        )

    async def _stop(self, words: list[str], asker: Asker) -> Message:
        if len(words) < 2:
            raise UsageError(f"say which and why: {COMMAND} stop R-... reason")
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
            return _one(await self._insight.story(_id(_only(words, "status R-..."))))
        status = await self._operations.status()
        frozen = [_freeze(each) for each in status.frozen]
        running = [_running(each) for each in status.running]
        waiting = [_gate(each) for each in status.gates]
        kept = [_kept(each) for each in status.kept]
        title = f"*{_count(len(running), 'remediation')} under way*" if running else "*Nothing is under way*"
        closed = [_window(each) for each in status.windows]
        if status.windows_problem:
            closed.append(
                f"■ Nobody acts, for the maintenance windows cannot be read: {line(status.windows_problem, 600)}"
            )
        return listing(title, [*running, *waiting, *kept, *closed, *(frozen or ["Nothing is frozen."])])

    async def _freeze(self, words: list[str], asker: Asker) -> Message:
        scope, reason = _scope(words)
        reason = reason or "no reason given"
        recorded = await self._operations.freeze(scope, reason, actor=asker.person, source=asker.source)
        later = "" if recorded else " The ledger does not answer: it goes on record later."
        return say(
            f"■ Frozen: {_scope_words(scope)}. Nothing acts until `{COMMAND} thaw{_again(scope)}`.{later}"
        )

    async def _thaw(self, words: list[str], asker: Asker) -> Message:
        scope, reason = _scope(words)
        pulled = await self._operations.thaw(scope, reason, actor=asker.person, source=asker.source)
        others = (await self._operations.status()).frozen
        rest = f" Still frozen: {', '.join(_scope_words(each.scope) for each in others)}." if others else ""
        what = _scope_words(scope)
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

    async def _help(self, _words: list[str], _asker: Asker) -> Message:
        return _usage("")


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
        raise UsageError(f"write it as {COMMAND} {usage}")
    return words[0]


def _id(word: str) -> str:
    """Return the id of a remediation, which people also write small, and without its beginning."""
    name = word.upper()
    return name if is_remediation(name) else f"R-{name}"


def _labels(words: list[str]) -> dict[str, str]:
    wrong = [word for word in words if "=" not in word or word.startswith("=")]
    if wrong:
        raise UsageError(f"{wrong[0]} is not a label; write labels as name=value")
    return dict(word.partition("=")[::2] for word in words)


def _point(error: ParamedicError) -> str:
    return "" if str(error).endswith((".", "!", "?", "…")) else "."


def _not_asked(story: Story) -> str:
    """Return why a plan cannot be approved or denied now."""
    gate = story.open_gate
    if gate is not None:
        return (
            f"{code(story.remediation)} asks what became of an action: look at it, then answer on its card."
        )
    return f"{code(story.remediation)} asks nobody now. {line(str(headline(story)), 300)}."


def _one(story: Story) -> Message:
    about = f"{code(story.runbook, 60)} on {code(story.target, 80)}"
    lines = [f"{about}, since {moment(story.opened_at)}"]
    if (gate := story.open_gate) is not None:
        groups = " or ".join(code(group, 60) for group in gate.approvers)
        lines.append(f"▲ It waits for {groups} until {moment(gate.expires_at)}")
    if story.ending_sentence:
        lines.append(line(story.ending_sentence, 600))
    lines.append(
        f"All of it: `{COMMAND} timeline {story.remediation}` · why: `{COMMAND} why {story.remediation}`"
    )
    return listing(f"*{code(story.remediation)}: {line(str(headline(story)), 300)}*", lines)


def _usage(problem: str) -> Message:
    lines = [f"`{COMMAND} {verb}`: {what}" for verb, what in USAGE.items()]
    return listing(problem or f"*What `{COMMAND}` can do*", lines)


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {code(near[0])}?" if near else ""


def _scope(words: list[str]) -> tuple[str, str]:
    """Return the scope and the reason; without a scope, everything is meant."""
    first = words[0] if words else ""
    if first in {"*", "all", "everything"}:
        return "*", " ".join(words[1:])
    if is_scope(first):
        return first, " ".join(words[1:])
    return "*", " ".join(words)


def _scope_words(scope: str) -> str:
    return "everything" if scope == "*" else code(scope)


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


def _running(each: StatusLine) -> str:
    about = f"{code(each.runbook, 60)} on {code(each.target, 80)}"
    return f"● {code(each.remediation, 20)} {about}: {line(str(each.phase), 30)} since {moment(each.since)}"


def _gate(each: GateLine) -> str:
    groups = " or ".join(code(group, 60) for group in each.approvers)
    missing = f"{each.need - each.given} more of " if each.need > 1 else ""
    then = f", then {' or '.join(code(group, 60) for group in each.then)} too" if each.then else ""
    return f"▲ {code(each.remediation, 20)} waits for {missing}{groups} until {moment(each.until)}{then}"


def _kept(each: KeptTarget) -> str:
    command = code(f'paramedic release {shlex.quote(each.target)} --reason "..."', 160)
    return (
        f"■ {code(each.target, 80)} is kept since {moment(each.since)}: {code(each.remediation, 20)} left an action "
        f"whose outcome is unknown. Look at it, then {command}"
    )


def _window(window: OpenWindow) -> str:
    what = f"{_scope_words(window.scope)} until {moment(window.until)}"
    return f"■ Maintenance: {what}, {code(window.name, 60)}: {line(window.reason, 200)}"


def _freeze(freeze: Freeze) -> str:
    reason = f": {line(freeze.reason, 200)}" if freeze.reason else ""
    return (
        f"■ Frozen: {_scope_words(freeze.scope)} by {person(freeze.actor)} since {moment(freeze.at)}{reason}"
    )
