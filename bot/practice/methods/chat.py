"""`chat.*`: messages for everybody, for a thread, for one person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.practice.messages import Block, Message, with_identifiers, with_linked_names
from bot.practice.methods.call import Call, Method
from bot.practice.refusals import MethodRefusedError
from bot.practice.residents import BOT_USER
from bot.slack.block_kit import MESSAGE_TEXT, problems_of_blocks


def parse_content(call: Call) -> tuple[str, list[Block]]:
    """Return text and blocks of a message that may be sent.

    Raises:
        MethodRefusedError: `no_text`, `msg_too_long`, `invalid_blocks_format`, `invalid_blocks`.
    """
    text = call.text("text")
    blocks = call.structure("blocks", error="invalid_blocks_format")
    if not text and not blocks:
        raise MethodRefusedError("no_text")
    if len(text) > MESSAGE_TEXT:
        raise MethodRefusedError("msg_too_long")
    if problems := problems_of_blocks(blocks or []):
        raise MethodRefusedError.of_problems("invalid_blocks", problems)
    if call.flag("link_names"):
        text = with_linked_names(text, call.workspace.mention_of)
    return text, with_identifiers(blocks or [])


def post_message(call: Call) -> Mapping[str, object]:
    """`chat.postMessage`."""
    channel = call.workspace.channel_of_bot(call.required("channel"))
    message = _new_message(call, channel.id)
    call.workspace.post(message)
    return {
        "channel": channel.id,
        "ts": message.ts,
        "message": message.as_json(),
        **_warning(message),
    }


def post_ephemeral(call: Call) -> Mapping[str, object]:
    """`chat.postEphemeral`."""
    channel = call.workspace.channel_of_bot(call.required("channel"))
    person = call.workspace.person(call.required("user"))
    if person.id not in channel.members:
        raise MethodRefusedError("user_not_in_channel")
    message = _new_message(call, channel.id)
    message.only_for = person.id
    call.workspace.post(message)
    return {"message_ts": message.ts}


def update(call: Call) -> Mapping[str, object]:
    """`chat.update`: text without blocks takes the blocks away."""
    channel = call.own_channel()
    message = call.workspace.message(channel.id, call.required("ts"))
    if message.author != BOT_USER:
        raise MethodRefusedError("cant_update_message")
    text, blocks = parse_content(call)
    message.text, message.blocks = text or message.text, blocks
    # Slack shows "edited" only where the text itself is what is shown.
    message.edited_ts = "" if blocks else call.workspace.next_ts()
    if call.structure("metadata"):
        message.metadata = call.structure("metadata")
    call.workspace.touch()
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": _shown(call, message)}


def delete(call: Call) -> Mapping[str, object]:
    """`chat.delete`."""
    channel = call.channel()
    message = call.workspace.message(channel.id, call.required("ts"))
    if message.author != BOT_USER:
        raise MethodRefusedError("cant_delete_message")
    call.workspace.delete(message)
    return {"channel": channel.id, "ts": message.ts}


def get_permalink(call: Call) -> Mapping[str, object]:
    """`chat.getPermalink`: an address of the practice page, which shows the message."""
    channel = call.channel()
    message = call.workspace.message(channel.id, call.required("message_ts"))
    thread = f"&thread={message.thread_ts}" if message.is_reply else ""
    link = f"{call.base_url}/?channel={channel.id}&message={message.ts}{thread}"
    return {"channel": channel.id, "permalink": link}


def _new_message(call: Call, channel: str) -> Message:
    text, blocks = parse_content(call)
    return Message(
        channel=channel,
        ts=call.workspace.next_ts(),
        author=BOT_USER,
        text=text,
        blocks=blocks,
        thread_ts=_thread(call, channel),
        metadata=call.structure("metadata"),
    )


def _thread(call: Call, channel: str) -> str:
    """Return the first message of the thread that the call means; a reply's `ts` means its thread."""
    thread_ts = call.text("thread_ts")
    if not thread_ts:
        return ""
    try:
        parent = call.workspace.message(channel, thread_ts)
    except MethodRefusedError:
        raise MethodRefusedError("thread_not_found") from None
    return parent.thread_ts or parent.ts


def _shown(call: Call, message: Message) -> dict[str, Any]:
    return message.as_json(call.workspace.replies(message))


def _warning(message: Message) -> Mapping[str, object]:
    if message.text:
        return {}
    warning = "missing_text_in_message"
    return {"warning": warning, "response_metadata": {"warnings": [warning]}}


METHODS: Mapping[str, Method] = {
    "chat.postMessage": post_message,
    "chat.postEphemeral": post_ephemeral,
    "chat.update": update,
    "chat.delete": delete,
    "chat.getPermalink": get_permalink,
}
