"""What the app asks of Slack, and why: the one table of its scopes, methods, events and commands.

The manifest that creates the app is made of it, the page in the documentation is compared with it,
and the practice workspace grants these scopes and no others: a call that needs one more fails
before it reaches a real Slack.
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from bot.slack.surface import ALERT_SHORTCUT
from bot.slack.usage import COMMAND, USAGE
from runbooks.errors import ParamedicError
from runbooks.model.base import Value

Mode = Literal["socket", "http"]

NAME = "Paramedic"
DESCRIPTION = "Incident remediation that asks first."
COLOUR = "#0b6e69"
COMMAND_DESCRIPTION = "Runbooks, what is going on, and the brake"
PATH = "/slack/events"  # where `bot.http.application` listens for Slack


class RequestUrlError(ParamedicError):
    """Slack cannot post to this address, or does not need one."""

    code = "request_url_wrong"


class Scope(Value):
    """One permission.

    Attributes:
        name: Slack's.
        reason: what it is used for.
        methods: the methods of the Web API that are called and need it.
        held_by: which token carries it.
    """

    name: str
    reason: str
    methods: tuple[str, ...] = ()
    held_by: Literal["bot", "app"] = "bot"


class Event(Value):
    """One kind of event that Slack tells the app about.

    Attributes:
        name: Slack's.
        reason: what it is used for.
        scope: the permission that Slack wants for it; empty: none.
    """

    name: str
    reason: str
    scope: str = ""


class Shortcut(Value):
    """One entry in the menu of a message.

    Attributes:
        name: at most 24 characters, Slack's limit.
        description: what Slack shows where people look for shortcuts.
    """

    callback_id: str
    name: str
    description: str
    reason: str


SCOPES = (
    Scope(
        name="chat:write",
        reason="cards, their updates, threads, what only one person sees",
        methods=("chat.postMessage", "chat.update", "chat.postEphemeral"),
    ),
    Scope(name="commands", reason=f"the slash command `{COMMAND}`"),
    Scope(
        name="app_mentions:read",
        reason="being spoken to by name: the messages that mention it, and no others",
    ),
    Scope(
        name="files:write",
        reason="a timeline as a file, where somebody asks for it",
        methods=("files.getUploadURLExternal", "files.completeUploadExternal"),
    ),
    Scope(
        name="users:read",
        reason="whoever clicked: a member, not a guest, a bot or a stranger",
        methods=("users.info",),
    ),
    Scope(
        name="usergroups:read",
        reason="whether that person is in the approver group, and the mention that wakes it",
        methods=("usergroups.list", "usergroups.users.list"),
    ),
    Scope(
        name="connections:write",
        reason="on the app token: opening the socket",
        methods=("apps.connections.open",),
        held_by="app",
    ),
)

FREE_METHODS = ("auth.test", "chat.getPermalink", "views.open", "views.publish", "views.update")
"""Methods that need a token and no scope: who the bot is; links to cards; forms, the home tab."""

EVENTS = (
    Event(name="app_home_opened", reason="the home tab is made when somebody looks at it"),
    Event(
        name="app_mention",
        reason="`@Paramedic status` is answered like the slash command",
        scope="app_mentions:read",
    ),
)
"""It subscribes to no event that carries what people say to each other."""

SHORTCUTS = (
    Shortcut(
        callback_id=ALERT_SHORTCUT,
        name="Run runbook for alert",
        description="Run a runbook for the alert in this message",
        reason="an alert that somebody else posted becomes a run, without typing its labels",
    ),
)

BOT_SCOPES = frozenset(scope.name for scope in SCOPES if scope.held_by == "bot")
APP_SCOPES = frozenset(scope.name for scope in SCOPES if scope.held_by == "app")


def usage_hint() -> str:
    """Return what stands beside the slash command while somebody types it."""
    return " | ".join("run NAME label=value" if verb == "run" else verb for verb in USAGE)


def manifest(mode: Mode = "socket", url: str = "") -> dict[str, Any]:
    """Return the manifest from which Slack creates the app.

    Args:
        mode: how Slack calls.
        url: for `http`, where the bot is reached from the internet; the path may be left out.

    Raises:
        RequestUrlError: `http` without an https address, or `socket` with one.
    """
    address = {"url": request_url(url)} if mode == "http" else {}
    if mode == "socket" and url:
        raise RequestUrlError("in Socket Mode Slack needs no address: leave it out, or choose the mode http")
    command = {
        "command": COMMAND,
        "description": COMMAND_DESCRIPTION,
        "usage_hint": usage_hint(),
        "should_escape": False,
        **address,
    }
    called = {"request_url": address["url"]} if address else {}
    shortcuts = [
        {
            "name": each.name,
            "type": "message",
            "callback_id": each.callback_id,
            "description": each.description,
        }
        for each in SHORTCUTS
    ]
    return {
        "display_information": {"name": NAME, "description": DESCRIPTION, "background_color": COLOUR},
        "features": {
            "bot_user": {"display_name": NAME, "always_online": True},
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": True,
            },
            "shortcuts": shortcuts,
            "slash_commands": [command],
        },
        "oauth_config": {"scopes": {"bot": sorted(BOT_SCOPES)}},
        "settings": {
            "event_subscriptions": {**called, "bot_events": sorted(event.name for event in EVENTS)},
            "interactivity": {"is_enabled": True, **called},
            "org_deploy_enabled": False,
            "socket_mode_enabled": mode == "socket",
            "token_rotation_enabled": False,
        },
    }


def request_url(url: str) -> str:
    """Return the address that Slack posts to.

    Raises:
        RequestUrlError: it is not an https address, or one with another path.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise RequestUrlError(
            f"Slack posts to an https address that it can reach, not to {url!r}; "
            "for example https://paramedic.example.net"
        )
    if not parts.path.rstrip("/").endswith(PATH):
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}{PATH}"
    return url.rstrip("/")
