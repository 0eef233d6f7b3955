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
from bot.cli.slack import as_yaml
from bot.http.application import SLACK
from bot.practice.methods.scopes import NEEDED, NEEDED_BY_EVENTS
from bot.slack.manifest import EVENTS, FREE_METHODS, SCOPES, SHORTCUTS, RequestUrlError, manifest
from bot.slack.usage import COMMAND, USAGE
from tests.docs.pages import ROOT, named_block, read, table
from tests.slack.cases import CASES

PAGE = "docs/slack.md"
MANIFEST: dict[str, Any] = YAML(typ="safe").load(read("docs/slack-app-manifest.yaml"))

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


def test_every_method_that_is_called_is_declared_and_no_other():
    """A new call needs a look at its scope: what it needs is in the practice workspace, as Slack's reference says."""
    declared = {method for scope in SCOPES for method in scope.methods}

    assert called() == declared | set(FREE_METHODS)


def test_the_scopes_are_the_least():
    """A scope is there because a method needs it; the one for the slash command because there is one."""
    for scope in SCOPES:
        assert {NEEDED[method] for method in scope.methods} <= {scope.name}
    without = {scope.name for scope in SCOPES if not scope.methods}
    assert without == {"commands"} | {event.scope for event in EVENTS if event.scope}
    for event in EVENTS:
        assert NEEDED_BY_EVENTS.get(event.name, "") == event.scope


def test_the_file_is_what_the_command_prints():
    """Whoever copies the file gets what this version asks for."""
    assert read("docs/slack-app-manifest.yaml") == as_yaml(manifest()) + "\n"


def test_in_http_mode_slack_has_the_address_in_both_places():
    """The slash command and the buttons go to the same path, and there is no socket."""
    described = manifest("http", "https://paramedic.example.net/")
    (command,) = described["features"]["slash_commands"]

    assert command["url"] == f"https://paramedic.example.net{SLACK}"
    assert described["settings"]["interactivity"]["request_url"] == command["url"]
    assert described["settings"]["event_subscriptions"]["request_url"] == command["url"]
    assert described["settings"]["socket_mode_enabled"] is False


@pytest.mark.parametrize(
    ("mode", "url"),
    [
        ("http", ""),
        ("http", "http://plain.example"),
        ("http", "https://x.example/?a=1"),
        ("socket", "https://x.example"),
    ],
)
def test_an_address_that_slack_cannot_use_is_refused(mode, url):
    """Slack posts to https only; Socket Mode has no address."""
    with pytest.raises(RequestUrlError):
        manifest(mode, url)


def test_the_manifest_has_the_features_that_the_code_uses_and_no_others():
    """Socket Mode and interactivity on; the slash command with all its words; the events, the home tab, the shortcut."""
    (command,) = MANIFEST["features"]["slash_commands"]

    assert command["command"] == COMMAND
    assert all(re.search(rf"\b{verb}\b", command["usage_hint"]) for verb in USAGE)
    assert MANIFEST["settings"]["socket_mode_enabled"] is True
    assert set(MANIFEST["oauth_config"]["scopes"]) == {"bot"}
    assert MANIFEST["settings"]["interactivity"]["is_enabled"] is True
    events = MANIFEST["settings"]["event_subscriptions"]["bot_events"]
    assert events == sorted(event.name for event in EVENTS)
    assert MANIFEST["features"]["app_home"]["home_tab_enabled"] is True
    shortcuts = {each["callback_id"]: each for each in MANIFEST["features"]["shortcuts"]}
    assert shortcuts.keys() == {each.callback_id for each in SHORTCUTS}
    assert all(len(each["name"]) <= 24 and len(each["description"]) <= 150 for each in shortcuts.values())


def test_the_manifest_keeps_slack_limits():
    """Names and descriptions are as short as Slack wants them."""
    shown = MANIFEST["display_information"]

    assert len(shown["name"]) <= 35
    assert len(shown["description"]) <= 140
    assert re.fullmatch(r"#[0-9a-f]{6}", shown["background_color"])


def test_the_page_gives_each_scope_with_its_reason_and_methods():
    """Whoever grants a scope reads what for."""
    rows = {
        row[0].strip("`"): (row[1], set(re.findall(r"`([\w.]+)`", row[2]))) for row in table(PAGE, "scope")
    }
    _, free = rows.pop("no scope")

    assert rows == {scope.name: (scope.reason, set(scope.methods)) for scope in SCOPES}
    assert free == set(FREE_METHODS)


def test_the_page_gives_each_event_and_shortcut_with_its_reason():
    """Whoever installs the app reads what it is told, and why."""
    rows = {row[0].strip("`"): row[1] for row in table(PAGE, "it is told")}

    assert rows == {each.name: each.reason for each in (*EVENTS, *SHORTCUTS)}


def test_the_page_tells_every_case_that_is_tried():
    """The table of what was tried names each case, with the modes in which it can happen."""
    rows = [(row[0], row[1]) for row in table(PAGE, "case")]

    assert rows == [(each.name, ", ".join(each.modes)) for each in CASES]


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
