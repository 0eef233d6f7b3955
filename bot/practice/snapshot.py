"""What one person sees of the workspace, as JSON: the page draws it, tests look at it."""

from __future__ import annotations

from typing import Any

from bot.practice.messages import Message
from bot.practice.parts import Parts
from bot.practice.residents import BOT_USER, TEAM, Person
from bot.practice.workspace import Workspace

SHOWN_MESSAGES = 300  # the latest of each channel, replies counted


def take_snapshot(parts: Parts, person: Person) -> dict[str, Any]:
    """Return everything that `person` sees now."""
    workspace = parts.workspace
    workspace.direct_channel(person.id)  # the conversation with the app always stands in the list
    home = workspace.views.home(person.id)
    return {
        "version": workspace.version,
        "me": person.id,
        "connected": parts.interactions.carrier.connected,
        "faults": {**parts.faults.waiting(), **({"away": 1} if parts.faults.away else {})},
        "people": [_person(workspace, each) for each in workspace.people.values()],
        "groups": [
            {"id": group.id, "handle": group.handle, "members": list(group.members)}
            for group in workspace.groups.values()
        ],
        "channels": [_channel(workspace, channel_id) for channel_id in visible_channels(workspace, person)],
        "messages": {
            channel_id: _messages(workspace, channel_id) for channel_id in visible_channels(workspace, person)
        },
        "ephemerals": [_ephemeral(message) for message in workspace.ephemerals(person.id)],
        "modals": [view.as_json() | {"errors": view.errors} for view in workspace.views.stack(person.id)],
        "home": None if home is None else home.as_json(),
        "notices": [{"id": notice.id, "text": notice.text} for notice in workspace.notices(person.id)],
        "commands": dict(workspace.commands or {}),
        "shortcuts": workspace.shortcuts,
    }


def visible_channels(workspace: Workspace, person: Person) -> list[str]:
    """Return the ids of the channels that this person may see: the direct one last."""
    seen = [channel for channel in workspace.channels.values() if channel.is_visible_to(person.id)]
    return [channel.id for channel in sorted(seen, key=lambda channel: channel.is_direct)]


def _person(workspace: Workspace, person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "name": person.name,
        "real_name": person.real_name,
        "is_bot": person.is_bot,
        "is_app": person.id == BOT_USER,
        "is_stranger": person.team_id != TEAM,
        "is_guest": person.is_guest,
        "deleted": person.deleted,
        "groups": [group.handle for group in workspace.groups_of(person)],
    }


def _channel(workspace: Workspace, channel_id: str) -> dict[str, Any]:
    channel = workspace.channels[channel_id]
    return {
        "id": channel.id,
        "name": channel.name,
        "is_direct": channel.is_direct,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "has_app": BOT_USER in channel.members,
    }


def _messages(workspace: Workspace, channel_id: str) -> list[dict[str, Any]]:
    latest = workspace.messages(channel_id)[-SHOWN_MESSAGES:]
    return [message.as_json(workspace.replies(message)) for message in latest]


def _ephemeral(message: Message) -> dict[str, Any]:
    return message.as_json() | {"channel": message.channel, "is_ephemeral": True}
