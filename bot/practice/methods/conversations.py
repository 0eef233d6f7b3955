"""`conversations.*` and `reactions.*`: channels, what was said in them, and reactions to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bot.practice.messages import Message
from bot.practice.methods.call import Call, Method
from bot.practice.refusals import MethodRefusedError
from bot.practice.residents import BOT_USER


def conversations_list(call: Call) -> Mapping[str, object]:
    """`conversations.list`: public channels unless `types` says otherwise."""
    kinds = call.text("types", "public_channel").replace(" ", "").split(",")
    found = [
        channel.as_json()
        for channel in call.workspace.channels.values()
        if channel.kind in kinds
        and channel.is_visible_to(BOT_USER)
        and not (channel.is_archived and call.flag("exclude_archived"))
    ]
    channels, cursor = call.page(found)
    return {"channels": channels, "response_metadata": {"next_cursor": cursor}}


def conversations_info(call: Call) -> Mapping[str, object]:
    """`conversations.info`."""
    return {"channel": call.channel().as_json()}


def conversations_members(call: Call) -> Mapping[str, object]:
    """`conversations.members`."""
    members, cursor = call.page(sorted(call.channel().members))
    return {"members": members, "response_metadata": {"next_cursor": cursor}}


def conversations_open(call: Call) -> Mapping[str, object]:
    """`conversations.open`: the direct conversation with one person."""
    people = [each for each in call.required("users").split(",") if each]
    if len(people) != 1:
        raise MethodRefusedError("not_enough_users" if not people else "too_many_users")
    if people[0] == BOT_USER or people[0] not in call.workspace.people:
        raise MethodRefusedError("user_not_found")
    channel = call.workspace.direct_channel(people[0])
    return {"channel": channel.as_json() if call.flag("return_im") else {"id": channel.id}}


def conversations_join(call: Call) -> Mapping[str, object]:
    """`conversations.join`: public channels only."""
    channel = call.channel()
    if channel.kind != "public_channel":
        raise MethodRefusedError("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise MethodRefusedError("is_archived")
    channel.members.add(BOT_USER)
    call.workspace.touch()
    return {"channel": channel.as_json()}


def conversations_history(call: Call) -> Mapping[str, object]:
    """`conversations.history`: the newest first, without replies in threads."""
    channel = call.own_channel()
    top = [message for message in call.workspace.messages(channel.id) if not message.is_reply]
    return _page_of_messages(call, list(reversed(_between(call, top))))


def conversations_replies(call: Call) -> Mapping[str, object]:
    """`conversations.replies`: a thread's first message and its replies, the oldest first."""
    channel = call.own_channel()
    try:
        message = call.workspace.message(channel.id, call.required("ts"))
    except MethodRefusedError:
        raise MethodRefusedError("thread_not_found") from None
    first = call.workspace.message(channel.id, message.thread_ts or message.ts)
    return _page_of_messages(call, [first, *_between(call, call.workspace.replies(first))])


def _between(call: Call, messages: Sequence[Message]) -> list[Message]:
    """Return those between `oldest` and `latest`, without the edges unless `inclusive`."""
    oldest, latest = float(call.text("oldest", "0")), float(call.text("latest", "inf"))
    edges = call.flag("inclusive")
    return [
        message
        for message in messages
        if oldest < float(message.ts) < latest or (edges and float(message.ts) in {oldest, latest})
    ]


def _page_of_messages(call: Call, messages: Sequence[Message]) -> Mapping[str, object]:
    page, cursor = call.page([message.as_json(call.workspace.replies(message)) for message in messages])
    return {
        "messages": page,
        "has_more": bool(cursor),
        "response_metadata": {"next_cursor": cursor},
    }


def reactions_add(call: Call) -> Mapping[str, object]:
    """`reactions.add`."""
    message, name = _reaction(call)
    people = message.reactions.setdefault(name, [])
    if BOT_USER in people:
        raise MethodRefusedError("already_reacted")
    people.append(BOT_USER)
    call.workspace.touch()
    return {}


def reactions_remove(call: Call) -> Mapping[str, object]:
    """`reactions.remove`."""
    message, name = _reaction(call)
    people = message.reactions.get(name, [])
    if BOT_USER not in people:
        raise MethodRefusedError("no_reaction")
    people.remove(BOT_USER)
    if not people:
        del message.reactions[name]
    call.workspace.touch()
    return {}


def _reaction(call: Call) -> tuple[Message, str]:
    name = call.required("name").strip(":")
    if not re.fullmatch(r"[a-z0-9_+'-]+", name):
        raise MethodRefusedError("invalid_name")
    channel = call.own_channel()
    return call.workspace.message(channel.id, call.required("timestamp")), name


METHODS: Mapping[str, Method] = {
    "conversations.list": conversations_list,
    "conversations.info": conversations_info,
    "conversations.members": conversations_members,
    "conversations.open": conversations_open,
    "conversations.join": conversations_join,
    "conversations.history": conversations_history,
    "conversations.replies": conversations_replies,
    "reactions.add": reactions_add,
    "reactions.remove": reactions_remove,
}
