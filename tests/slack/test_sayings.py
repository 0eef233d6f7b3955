"""Whatever others have written, Slack takes all that the bot says, and nobody is fooled by it.

The places that make something to be said, and those that hand it to Slack, are found in the code: one
that is added without being made here of odd data fails the tests below, and they say which.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from slack_sdk.models.views import View

import bot
from bot.slack.files import TextFile
from bot.slack.lines import ROOM, THREAD_MESSAGES, board_news, fitting, thread_news
from bot.slack.message import Message, compose, listing, say
from tests.slack.foreign import ANY_TEXT, FOREIGN, objections
from tests.slack.sayings import SAYINGS

HOME = Path(bot.__file__).parent
MAKERS = {
    "say": say,
    "compose": compose,
    "listing": listing,
    "Message": Message,
    "View": View,
    "TextFile": TextFile,
}
"""All that makes a message, a view or a file."""

ASKING = {"auth_test", "apps_connections_open", "users_info", "usergroups_list", "usergroups_users_list"}
"""What is only asked of Slack."""

DOORS = {
    "slack/sender.py:Sender.post": "a Message",
    "slack/sender.py:Sender.update": "a Message",
    "slack/voice.py:SlackVoice.whisper": "a Message",
    "slack/listeners.py:Listeners._reply_to_url": "a Message",
    "slack/listeners.py:Listeners.ask_for_reason": "deny_view",
    "slack/listeners.py:_object": "words of our own",
    "slack/reviewer.py:Reviewer.open": "review_view",
    "slack/reviewer.py:Reviewer.submit": "closed_view",
    "slack/responder.py:Responder.show": "the view of a Form, or run_view",
    "slack/surface.py:Surface.choose": "run_view",
    "slack/surface.py:Surface.run": "errors_in",
    "slack/homes.py:Homes._publish": "home_view or closed_home",
    "slack/homes.py:_Links.of": "nothing: it asks for an address",
    "slack/files.py:Files.share": "a TextFile",
}
"""Where something is handed to Slack, and what: each of these is made by a saying."""


@pytest.mark.parametrize("kind", FOREIGN)
async def test_slack_takes_all_that_is_said(kind):
    """In every state: within the limits, ids once, a text to fall back on, nothing foreign mentions, links or hides."""
    found = [
        f"{name}: {objection}"
        for name, saying in SAYINGS.items()
        async for said in saying(FOREIGN[kind])
        for objection in objections(said)
    ]

    assert found == []


@settings(max_examples=10)
@given(ANY_TEXT)
def test_slack_takes_it_whatever_text_there_is(text):
    """Property: no text at all breaks what is said in the channel, in threads and to one person."""

    async def said() -> list[str]:
        names = ("threads", "short_lines", "direct_words", "whispers")
        return [each for name in names async for made in SAYINGS[name](text) for each in objections(made)]

    assert asyncio.run(said()) == []


# --- nothing is said that is not tested ---------------------------------------------------------


def trees() -> Iterator[tuple[str, ast.Module]]:
    """All code of the bot that talks to the real Slack."""
    for path in sorted(HOME.rglob("*.py")):
        if "practice" not in path.parts:
            yield str(path.relative_to(HOME)), ast.parse(path.read_text())


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the function that it stands in."""

    def walk(node: ast.AST, name: str) -> Iterator[tuple[str, ast.Call]]:
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}".lstrip(".")
            elif isinstance(child, ast.Call):
                yield name, child
            yield from walk(child, inner)

    return walk(tree, "")


def made_in_the_code() -> set[tuple[str, int, int]]:
    """Every place of `bot/slack` that makes something to be said, but for the makers themselves."""
    return {
        (file, call.lineno, call.col_offset)
        for file, tree in trees()
        if file.startswith("slack/") and file != "slack/message.py"
        for _, call in calls(tree)
        if isinstance(call.func, ast.Name) and call.func.id in MAKERS
    }


def made_by_sayings() -> set[tuple[str, int, int]]:
    """The places that were passed while all that can be said was said."""
    seen: set[tuple[str, int, int]] = set()
    makers = {_code_of(each) for each in MAKERS.values()}

    def look(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code in makers:
            caller = frame.f_back
            while caller is not None and not caller.f_code.co_filename.startswith(str(HOME / "slack")):
                caller = caller.f_back
            if caller is not None:
                seen.add(_place(caller))

    async def say_all() -> None:
        for saying in SAYINGS.values():
            async for _ in saying("short"):
                pass

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        asyncio.run(say_all())
    finally:
        sys.setprofile(before)
    return seen


def _code_of(maker: Any) -> CodeType:
    code: CodeType = (maker.__init__ if isinstance(maker, type) else maker).__code__
    return code


def _place(frame: FrameType) -> tuple[str, int, int]:
    line, _, column, _ = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    return str(Path(frame.f_code.co_filename).relative_to(HOME)), line or 0, column or 0


def test_whatever_is_said_is_made_here_of_odd_data():
    """Whoever adds a message, a view or a file adds the saying that makes it."""
    untested = made_in_the_code() - made_by_sayings()

    assert sorted(f"bot/{file}:{line}" for file, line, _ in untested) == [], (
        "no saying of tests/slack/sayings.py gets there"
    )


def test_every_door_to_slack_is_known():
    """Whoever adds a call that hands something to Slack says what, and takes nothing but what sayings make."""
    found = {f"{file}:{name}" for file, tree in trees() for name, call in calls(tree) if _is_door(call)}

    assert found == set(DOORS)


def _is_door(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):  # an acknowledgement that carries something
        return call.func.id == "ack" and bool(call.keywords or call.args)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    methods = (
        "api_call",
        "send_dict",
        "chat_",
        "views_",
        "files_",
        "conversations_",
        "users_",
        "usergroups_",
    )
    return name.startswith(methods) and name not in ASKING


def test_the_makers_are_all_that_can_be_handed_over():
    """A view, a message or a file is made by a maker and by nothing else: no other name stands for one."""
    for name, maker in MAKERS.items():
        known = importlib.import_module(maker.__module__)
        assert getattr(known, name) is maker
    aliases = {
        f"{file}: {each.name} as {each.asname}"
        for file, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for each in node.names
        if each.name in MAKERS and each.asname
    }

    assert aliases == set()


# --- what does not fit into one message ---------------------------------------------------------


def words(messages: list[Message]) -> str:
    return "\n".join(each.text for each in messages)


def test_a_long_night_is_told_to_its_end():
    """What does not fit into one message of a thread goes into the next, whole and in order."""
    lines = [f"{number}: " + "x" * 600 for number in range(15)]

    messages = thread_news(lines)

    assert words(messages).split("\n") == lines
    assert 1 < len(messages) <= THREAD_MESSAGES


def test_a_very_long_night_is_counted_and_its_ending_told():
    """Nobody reads five hundred lines at once; how many are missing is said, and the last ones are there."""
    lines = [f"{number}: " + "x" * 100 for number in range(500)]

    messages = thread_news(lines)
    told = words(messages).split("\n")
    (missing,) = [line for line in told if line.startswith("and ")]

    assert len(messages) == THREAD_MESSAGES
    assert told[-1] == lines[-1]
    assert len(told) - 1 + int(missing.split()[1]) == len(lines)


def test_short_lines_that_do_not_fit_wait_for_the_next_message():
    """Each takes as many as it holds, at least one, and never cuts any."""
    long = ["x" * 1300] * 5

    assert [fitting(long), fitting(["x"] * 40), fitting(["x" * 9000]), fitting([])] == [2, 15, 1, 0]
    assert len("\n".join(long[: fitting(long)])) <= ROOM


def test_a_board_counts_the_news_that_do_not_fit():
    """What its thread is not told is counted, whoever has to be called."""
    lines = [f"{number}: " + "x" * 400 for number in range(30)]

    told = board_news("<!subteam^S1>", lines).text.split("\n")

    assert told[0] == "<!subteam^S1>"
    assert told[1:-1] == lines[: len(told) - 2]
    assert told[-1] == f"and {len(lines) - len(told) + 2} more"
