"""What the app asks of Slack, and why: the one table of its scopes, methods and commands.

The manifest that creates the app is made of it, the page in the documentation is compared with it,
and the practice workspace grants these scopes and no others: a call that needs one more fails
before it reaches a real Slack.
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from bot.slack.commands import COMMAND, USAGE
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


SCOPES = (
    Scope(
        name="chat:write",
        reason="cards, their updates, threads, what only one person sees",
        methods=("chat.postMessage", "chat.update", "chat.postEphemeral"),
    ),
    Scope(name="commands", reason=f"the slash command `{COMMAND}`"),
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

FREE_METHODS = ("auth.test", "views.open")
"""Methods that need a token and no scope: who the bot is; the form that asks why not."""

EVENTS: tuple[str, ...] = ()
"""Events that the app subscribes to: none.  It reads no messages."""

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
    interactivity = {"is_enabled": True} | ({"request_url": address["url"]} if address else {})
    return {
        "display_information": {"name": NAME, "description": DESCRIPTION, "background_color": COLOUR},
        "features": {
            "bot_user": {"display_name": NAME, "always_online": True},
            "app_home": {
                "home_tab_enabled": False,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": True,
            },
            "slash_commands": [command],
        },
        "oauth_config": {"scopes": {"bot": sorted(BOT_SCOPES)}},
        "settings": {
            "interactivity": interactivity,
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
