"""Messages that an app sends as an answer to an interaction: by response URL, or inside an ack."""

from __future__ import annotations

from collections.abc import Mapping

from bot.practice.messages import Message
from bot.practice.methods.call import Call
from bot.practice.methods.chat import parse_content
from bot.practice.refusals import MethodRefusedError
from bot.practice.residents import BOT_USER
from bot.practice.vouchers import ResponseAddress
from bot.practice.workspace import Workspace


def respond(workspace: Workspace, address: ResponseAddress, body: Mapping[str, object]) -> None:
    """Post, replace or delete what `body` asks for.  Only the person sees it unless it says `in_channel`.

    Raises:
        MethodRefusedError: `no_text`, `invalid_blocks`, `message_not_found` and their like.
    """
    call = Call(workspace, "response_url", body, base_url="")
    if call.flag("delete_original"):
        workspace.delete(_original(workspace, address))
    elif call.flag("replace_original"):
        _replace(_original(workspace, address), call)
        workspace.touch()
    else:
        workspace.post(_new_message(address, call))


def _original(workspace: Workspace, address: ResponseAddress) -> Message:
    if not address.ts:
        raise MethodRefusedError("message_not_found")
    if address.only_for:
        return workspace.ephemeral(address.only_for, address.ts)
    return workspace.message(address.channel, address.ts)


def _replace(message: Message, call: Call) -> None:
    message.text, message.blocks = parse_content(call)


def _new_message(address: ResponseAddress, call: Call) -> Message:
    text, blocks = parse_content(call)
    in_channel = call.text("response_type") == "in_channel"
    return Message(
        channel=address.channel,
        ts=call.workspace.next_ts(),
        author=BOT_USER,
        text=text,
        blocks=blocks,
        thread_ts=call.text("thread_ts") or ("" if in_channel else address.thread_ts),
        only_for="" if in_channel else address.person,
    )
