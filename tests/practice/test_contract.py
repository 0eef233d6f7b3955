"""Every method that the bot calls, with the SDK's own client: taken, and refused in four ways.

A method that is missing in these tables fails the first test, so a new call is tried out here
before it meets a real Slack.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.practice.methods.scopes import NEEDED
from bot.practice.server import PracticeServer
from bot.practice.workspace import Upload, Workspace
from bot.slack.manifest import APP_SCOPES, BOT_SCOPES, FREE_METHODS, SCOPES

METHODS = sorted({method for scope in SCOPES for method in scope.methods} | set(FREE_METHODS))
VIEW = {
    "type": "modal",
    "title": {"type": "plain_text", "text": "Deny"},
    "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "Why?"}}],
}
HOME = {"type": "home", "blocks": VIEW["blocks"]}
CHANNEL, GROUP = "C0INCIDENTS", "S0SREONCALL"

GOOD: Mapping[str, Mapping[str, Any]] = {
    "apps.connections.open": {},
    "auth.test": {},
    "chat.getPermalink": {"channel": CHANNEL},
    "chat.postEphemeral": {"channel": CHANNEL, "user": "U0ALICE", "text": "hello"},
    "chat.postMessage": {"channel": "#incidents", "text": "hello"},
    "chat.update": {"channel": CHANNEL, "text": "hello again"},
    "files.completeUploadExternal": {"files": [{"id": "F0NEW", "title": "Timeline"}], "channel_id": CHANNEL},
    "files.getUploadURLExternal": {"filename": "timeline.md", "length": 5},
    "usergroups.list": {"include_disabled": False},
    "usergroups.users.list": {"usergroup": GROUP},
    "users.info": {"user": "U0ALICE"},
    "views.open": {"view": VIEW},
    "views.publish": {"user_id": "U0ALICE", "view": HOME},
    "views.update": {"view": VIEW},
}
"""Arguments that are right; what only exists at the time of the call is added by `good`."""

BAD: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "chat.getPermalink": ({"channel": CHANNEL, "message_ts": "1.000000"}, "message_not_found"),
    "chat.postEphemeral": ({"channel": CHANNEL, "user": "U0NOBODY", "text": "hello"}, "user_not_found"),
    "chat.postMessage": (
        {"channel": "#incidents", "text": "x", "blocks": [{"type": "sektion"}]},
        "invalid_blocks",
    ),
    "chat.update": ({"channel": CHANNEL, "ts": "1.000000", "text": "hello"}, "message_not_found"),
    "files.completeUploadExternal": ({"files": [{"id": "F0NONE"}], "channel_id": CHANNEL}, "file_not_found"),
    "files.getUploadURLExternal": ({"filename": "timeline.md", "length": 0}, "invalid_arguments"),
    "usergroups.users.list": ({"usergroup": "S0NOBODY"}, "no_such_subteam"),
    "users.info": ({"user": "alice"}, "user_not_found"),
    "views.open": ({"trigger_id": "1.2.3", "view": VIEW}, "invalid_trigger_id"),
    "views.publish": ({"user_id": "U0ALICE", "view": VIEW}, "invalid_arguments"),
    "views.update": ({"view_id": "V0NONE", "view": VIEW}, "not_found"),
}
"""Arguments that are wrong, and Slack's word for it.  The other methods have none that could be."""

WITHOUT_ARGUMENTS = {"apps.connections.open", "auth.test", "usergroups.list"}


@pytest.fixture
async def workspace() -> AsyncIterator[PracticeServer]:
    """A workspace in which the app is installed as its manifest says."""
    async with PracticeServer(Workspace()) as running:
        yield running


async def good(server: PracticeServer, method: str) -> dict[str, Any]:
    """Return arguments that are right now."""
    arguments = dict(GOOD[method])
    if method == "chat.update":
        bot = AsyncWebClient(token=server.bot_token, base_url=server.base_url)
        arguments["ts"] = (await bot.chat_postMessage(channel="#incidents", text="hello"))["ts"]
    if method == "chat.getPermalink":
        bot = AsyncWebClient(token=server.bot_token, base_url=server.base_url)
        arguments["message_ts"] = (await bot.chat_postMessage(channel="#incidents", text="hello"))["ts"]
    if method == "views.update":
        arguments["view_id"] = server.workspace.views.open("U0ALICE", VIEW).id
    if method == "files.completeUploadExternal":
        server.workspace.uploads["F0NEW"] = Upload("F0NEW", "timeline.md", 5, content=b"hello")
    if method == "views.open":
        arguments["trigger_id"] = server.workspace.triggers.issue("U0ALICE")
    return arguments


async def call(server: PracticeServer, method: str, arguments: Mapping[str, Any], token: str = "") -> Any:
    """Call a method by the SDK's wrapper, which chooses how arguments travel, as the bot's calls do."""
    right = server.app_token if method == "apps.connections.open" else server.bot_token
    client = AsyncWebClient(token=token or right, base_url=server.base_url)
    given = dict(arguments)
    if method == "apps.connections.open":
        given["app_token"] = token or right
    return await getattr(client, method.replace(".", "_"))(**given)


async def refusal(server: PracticeServer, method: str, arguments: Mapping[str, Any], token: str = "") -> Any:
    """Return the response of a call that Slack refuses."""
    with pytest.raises(SlackApiError) as refused:
        await call(server, method, arguments, token)
    return refused.value.response


def test_every_method_of_the_manifest_is_tried() -> None:
    """
    The tables of this file name exactly the methods that the manifest declares.
    """
    assert sorted(GOOD) == METHODS
    assert set(BAD) | WITHOUT_ARGUMENTS == set(METHODS)


def test_the_manifest_names_the_scope_that_slack_wants() -> None:
    """
    Each declared method stands under the scope of Slack's own reference.
    """
    declared = {method: scope.name for scope in SCOPES for method in scope.methods}

    assert declared == {method: NEEDED[method] for method in METHODS if method in NEEDED}
    assert not set(FREE_METHODS) & set(NEEDED)


@pytest.mark.parametrize("method", METHODS)
async def test_a_good_call_is_taken(workspace: PracticeServer, method: str) -> None:
    """
    With the manifest's scopes and no more, every call of the bot is carried out.
    """
    assert (await call(workspace, method, await good(workspace, method)))["ok"] is True


@pytest.mark.parametrize("method", [method for method in METHODS if method in NEEDED])
async def test_a_missing_scope_is_named(method: str) -> None:
    """
    Without its scope, a call is refused with `missing_scope`, and the answer says which one.
    """
    needed = NEEDED[method]
    server = PracticeServer(Workspace(), scopes=BOT_SCOPES - {needed}, app_scopes=APP_SCOPES - {needed})
    async with server:
        answer = await refusal(server, method, {"ts": "1.0"} | GOOD[method])

    assert (answer["error"], answer["needed"]) == ("missing_scope", needed)
    assert needed not in answer["provided"].split(",")


@pytest.mark.parametrize("token", ["xoxb-invalid", "wrong kind"])
@pytest.mark.parametrize("method", METHODS)
async def test_a_wrong_token_is_refused(workspace: PracticeServer, method: str, token: str) -> None:
    """
    A token that nobody issued is `invalid_auth`; the bot's where the app's is wanted, or the reverse, is not allowed.
    """
    other = workspace.bot_token if method == "apps.connections.open" else workspace.app_token
    wrong = other if token == "wrong kind" else token
    answer = await refusal(workspace, method, await good(workspace, method), wrong)

    assert answer["error"] == ("invalid_auth" if wrong == token else "not_allowed_token_type")


@pytest.mark.parametrize("method", BAD)
async def test_bad_arguments_are_refused_in_slacks_words(workspace: PracticeServer, method: str) -> None:
    """
    What is wrong with the arguments is said with the word that Slack uses.
    """
    arguments, word = BAD[method]

    assert (await refusal(workspace, method, arguments))["error"] == word


@pytest.mark.parametrize("method", METHODS)
async def test_too_many_calls_get_a_pause(workspace: PracticeServer, method: str) -> None:
    """
    A call too many gets 429, `ratelimited`, and a Retry-After.
    """
    arguments = await good(workspace, method)
    workspace.faults.fail(method, status=429, retry_after=7)
    answer = await refusal(workspace, method, arguments)

    assert (answer.status_code, answer["error"]) == (429, "ratelimited")
    assert answer.headers["Retry-After"] == "7"


async def test_limits_are_enforced_where_they_are_switched_on(workspace: PracticeServer) -> None:
    """
    The twenty-first listing of user groups within a minute is one too many.
    """
    workspace.parts.rate_limits.switch(on=True)
    for _ in range(20):
        await call(workspace, "usergroups.list", {})
    answer = await refusal(workspace, "usergroups.list", {})

    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
