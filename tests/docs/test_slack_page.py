"""docs/slack.md and the manifest ask for exactly what the code uses."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from pydantic import TypeAdapter
from ruamel.yaml import YAML
from slack_sdk.web.async_client import AsyncWebClient

from activities.connections import Connections
from bot.slack.commands import COMMAND, USAGE
from tests.docs.pages import ROOT, named_block, read, table

PAGE = "docs/slack.md"
MANIFEST: dict[str, Any] = YAML(typ="safe").load(read("docs/slack-app-manifest.yaml"))

SCOPES = {
    "apps.connections.open": "connections:write",
    "auth.test": "",
    "chat.postEphemeral": "chat:write",
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "usergroups.list": "usergroups:read",
    "usergroups.users.list": "usergroups:read",
    "users.info": "users:read",
    "views.open": "",
}
"""From Slack's reference of each method."""

WRAPPERS = {
    name
    for name in dir(AsyncWebClient)
    if re.match(r"[a-z]+_", name) and name not in {"api_call", "base_url"}
}


def called() -> set[str]:
    """Return the methods of the Web API that the sources call, by wrapper or by name."""
    source = "".join(path.read_text() for path in sorted((ROOT / "bot" / "slack").glob("*.py")))
    by_name = set(re.findall(r'api_call\(\s*"([\w.]+)"', source))
    by_wrapper = {name for name in re.findall(r"client\.(\w+)\(", source) if name in WRAPPERS}
    return by_name | {_method(name) for name in by_wrapper}


def _method(wrapper: str) -> str:
    """Return the method that a wrapper of the SDK calls: `usergroups_users_list` is `usergroups.users.list`."""
    head, *rest = wrapper.split("_")
    return ".".join([head, *rest])


def test_the_table_of_this_test_has_every_method_that_is_called():
    """A new call needs a look at its scope."""
    assert called() == set(SCOPES)


def test_the_manifest_asks_for_no_scope_too_many_and_none_too_few():
    """The bot's scopes are those of the methods it calls, and the one for its slash command."""
    needed = {scope for scope in SCOPES.values() if scope and scope != "connections:write"}

    assert set(MANIFEST["oauth_config"]["scopes"]["bot"]) == needed | {"commands"}
    assert set(MANIFEST["oauth_config"]["scopes"]) == {"bot"}


def test_the_manifest_has_the_features_that_the_code_uses_and_no_others():
    """Socket Mode and interactivity on; the slash command with all its words; no events, no home tab."""
    (command,) = MANIFEST["features"]["slash_commands"]

    assert command["command"] == COMMAND
    assert all(re.search(rf"\b{verb}\b", command["usage_hint"]) for verb in USAGE)
    assert MANIFEST["settings"]["socket_mode_enabled"] is True
    assert MANIFEST["settings"]["interactivity"]["is_enabled"] is True
    assert "event_subscriptions" not in MANIFEST["settings"]
    assert MANIFEST["features"]["app_home"]["home_tab_enabled"] is False


def test_the_manifest_keeps_slack_limits():
    """Names and descriptions are as short as Slack wants them."""
    shown = MANIFEST["display_information"]

    assert len(shown["name"]) <= 35
    assert len(shown["description"]) <= 140
    assert re.fullmatch(r"#[0-9a-f]{6}", shown["background_color"])


def test_the_page_gives_each_scope_with_its_methods():
    """Whoever grants a scope reads what for."""
    rows = {row[0].strip("`"): set(re.findall(r"`([\w.]+)`", row[2])) for row in table(PAGE, "scope")}
    expected: dict[str, set[str]] = {"commands": set()}
    for method, scope in SCOPES.items():
        expected.setdefault(scope or "no scope", set()).add(method)

    assert rows == expected


def test_the_example_of_groups_is_a_connections_file():
    """It can be copied."""
    example = YAML(typ="safe").load(io.StringIO(named_block(PAGE, "connections.yaml")))
    connections = TypeAdapter(Connections).validate_python(example)

    assert connections.groups["sre-oncall"].slack == "sre-oncall"


@pytest.mark.parametrize("verb", USAGE)
def test_the_page_names_every_word_of_the_slash_command(verb):
    """`/runbook help` and the page tell the same."""
    said = read(PAGE).partition("`/runbook` answers only")[2]

    assert re.search(rf"`{verb}\b", said)
