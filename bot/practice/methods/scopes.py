"""Which permission each method needs, from Slack's reference of each method.

This is Slack's side of it; what the bot asks for is declared in `bot.slack.manifest`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bot.practice.refusals import MethodRefusedError

NEEDED: Mapping[str, str] = {
    "apps.connections.open": "connections:write",
    "chat.delete": "chat:write",
    "chat.postEphemeral": "chat:write",
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "channels:history",
    "conversations.info": "channels:read",
    "conversations.join": "channels:join",
    "conversations.list": "channels:read",
    "conversations.members": "channels:read",
    "conversations.open": "im:write",
    "conversations.replies": "channels:history",
    "files.completeUploadExternal": "files:write",
    "files.getUploadURLExternal": "files:write",
    "reactions.add": "reactions:write",
    "reactions.remove": "reactions:write",
    "usergroups.list": "usergroups:read",
    "usergroups.users.list": "usergroups:read",
    "users.info": "users:read",
    "users.list": "users:read",
    "users.lookupByEmail": "users:read.email",
}
"""Every other method needs a token and no scope."""

NEEDED_BY_EVENTS: Mapping[str, str] = {
    "app_mention": "app_mentions:read",
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "message.im": "im:history",
}
"""Every other event needs a subscription and no scope."""

EVERY_SCOPE = frozenset(NEEDED.values()) | frozenset(NEEDED_BY_EVENTS.values()) | {"commands"}


class MissingScopeError(MethodRefusedError):
    """The token lacks the method's scope; the answer says which, as Slack's does."""

    def __init__(self, needed: str, provided: Iterable[str]) -> None:
        super().__init__("missing_scope")
        self._needed = needed
        self._provided = sorted(provided)

    def as_json(self) -> dict[str, object]:
        """Return the answer that the client gets."""
        return {**super().as_json(), "needed": self._needed, "provided": ",".join(self._provided)}


def heard_with(events: frozenset[str], granted: frozenset[str]) -> frozenset[str]:
    """Return those of the subscribed `events` that reach an app with these scopes."""
    needed = NEEDED_BY_EVENTS.get
    return frozenset(event for event in events if needed(event) is None or needed(event) in granted)


def check_scope(method: str, granted: frozenset[str]) -> None:
    """Refuse a method whose scope was not granted.

    Raises:
        MissingScopeError: it was not.
    """
    needed = NEEDED.get(method)
    if needed is not None and needed not in granted:
        raise MissingScopeError(needed, granted)
