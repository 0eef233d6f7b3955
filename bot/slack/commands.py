"""The slash command `/runbook`: list, run, status, freeze, thaw, help.

Each word is one question to `Operations`, and its answer is one message for the person who asked.
The brake asks for nothing that one does not know at 3am: `/runbook freeze` alone stops everything.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from activities.ledger.leases import KeptTarget
from bot.operations import GateLine, OpenWindow, RunbookLine, RunRequested, Status, StatusLine
from bot.slack.message import Message, listing, say
from bot.slack.text import clean, code, line, moment, person
from runbooks.errors import ParamedicError
from runbooks.model.base import Value
from runbooks.model.freeze import Freeze, is_scope

COMMAND = "/runbook"

USAGE: Mapping[str, str] = {
    "list": "the runbooks, and how far each may go on its own",
    "run": "run a runbook: `run NAME label=value ...`",
    "status": "what is going on, and what is frozen",
    "freeze": "stop everything, at once: `freeze [runbook=NAME | target=NAME | label:NAME=VALUE] [reason]`",
    "thaw": "lift a freeze: `thaw [runbook=NAME | target=NAME | label:NAME=VALUE] [reason]`",
    "help": "this",
}

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

    async def freeze(self, scope: str, reason: str, *, actor: str, source: str) -> bool:
        """Pull the brake, and return whether that is on record already."""

    async def thaw(self, scope: str, reason: str, *, actor: str, source: str) -> bool:
        """Release the brake, and return whether it was pulled."""


class Asker(Value):
    """Who typed a command, and where.

    Attributes:
        person: their key, `slack:T0123/U0456`.
        source: for the record, `slack:C0123`.
    """

    person: str
    source: str


class Commands:
    """Answers slash commands."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._verbs: Mapping[str, Callable[[list[str], Asker], Awaitable[Message]]] = {
            "list": self._list,
            "run": self._run,
            "status": self._status,
            "freeze": self._freeze,
            "thaw": self._thaw,
            "help": self._help,
        }

    async def answer(self, text: str, asker: Asker) -> Message:
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
            return say(f"✗ {line(str(error), 1000)}")

    async def _list(self, _words: list[str], _asker: Asker) -> Message:
        runbooks = await self._operations.list_runbooks()
        if not runbooks:
            return say("There are no runbooks yet.")
        return listing(f"*{_count(len(runbooks), 'runbook')}*", [_runbook(each) for each in runbooks])

    async def _run(self, words: list[str], asker: Asker) -> Message:
        if not words:
            return say(f"Say which: `{COMMAND} run NAME label=value ...`. `{COMMAND} list` shows them all.")
        name, labels = words[0], dict(word.partition("=")[::2] for word in words[1:])
        wrong = [word for word in words[1:] if "=" not in word or word.startswith("=")]
        if wrong:
            return say(f"{code(wrong[0])} is not a label. Write labels as `name=value`.")
        asked = await self._operations.run(name, labels, actor=asker.person, source=asker.source)
        return say(
            f"✓ Asked for {code(asked.runbook)} on {code(asked.target)}. Its card appears in a moment."
        )

    async def _status(self, _words: list[str], _asker: Asker) -> Message:
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
    return f"▲ {code(each.remediation, 20)} waits for {groups} until {moment(each.expires_at)}"


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
