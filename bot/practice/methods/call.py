"""One call of the Web API: its arguments, wherever the client put them, and how they are read.

The Python SDK sends arguments in the query string, in a form or as JSON, depending on the
method, and structures as JSON inside a string.  Here they have been merged, and each reader
says no in Slack's words.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.practice.refusals import MethodRefusedError
from bot.practice.residents import BOT_USER, Channel
from bot.practice.workspace import Workspace

PAGE_LIMIT = 100  # items a page where the client does not say
PAGE_MOST = 1000


@dataclass(frozen=True)
class Call:
    """A call of one method by the bot.

    Attributes:
        base_url: where this server is, such as `http://127.0.0.1:8701`.
    """

    workspace: Workspace
    method: str
    arguments: Mapping[str, object]
    base_url: str

    def text(self, name: str, default: str = "") -> str:
        """Return an argument as text."""
        value = self.arguments.get(name)
        return default if value is None else str(value)

    def required(self, name: str) -> str:
        """Return an argument that must be there.

        Raises:
            MethodRefusedError: `invalid_arguments`.
        """
        value = self.text(name)
        if not value:
            raise MethodRefusedError(
                "invalid_arguments", [f"missing required field: {name} [json-pointer:/{name}]"]
            )
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return an argument as a yes or no: `true`, `True`, `1` or not."""
        value = self.text(name)
        return value.lower() in {"true", "1"} if value else default

    def whole(self, name: str, default: int) -> int:
        """Return an argument as a whole number.

        Raises:
            MethodRefusedError: `invalid_arguments`.
        """
        value = self.text(name)
        try:
            return int(value) if value else default
        except ValueError:
            raise MethodRefusedError(
                "invalid_arguments", [f"must be an integer [json-pointer:/{name}]"]
            ) from None

    def structure(self, name: str, error: str = "invalid_arguments") -> Any:
        """Return an argument that is JSON inside a string, or already a structure; None if it is absent.

        Raises:
            MethodRefusedError: `error`.
        """
        value = self.arguments.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            raise MethodRefusedError(error, [f"not valid JSON [json-pointer:/{name}]"]) from None

    def channel(self) -> Channel:
        """Return the channel that the call names by its id and that the bot may see.

        Raises:
            MethodRefusedError: `channel_not_found`, for a name too: only `chat.postMessage` and
                `chat.postEphemeral` take names.
        """
        channel = self.workspace.channels.get(self.required("channel"))
        if channel is None or not channel.is_visible_to(BOT_USER):
            raise MethodRefusedError("channel_not_found")
        return channel

    def own_channel(self) -> Channel:
        """Return the channel that the call names by its id and that the bot is in.

        Raises:
            MethodRefusedError: `channel_not_found`, `not_in_channel`, `is_archived`.
        """
        return self.workspace.channel_of_bot(self.channel().id)

    def page(self, items: Sequence[object], default: int = PAGE_LIMIT) -> tuple[list[object], str]:
        """Return one page of `items`, as `limit` and `cursor` ask, and the cursor of the next.

        Raises:
            MethodRefusedError: `invalid_cursor`, `invalid_limit`.
        """
        limit = self.whole("limit", default) or default
        if not 0 < limit <= PAGE_MOST:
            raise MethodRefusedError("invalid_limit")
        start = _position(self.text("cursor"))
        following = start + limit
        return list(items[start:following]), _cursor(following) if following < len(items) else ""


Method = Callable[[Call], Mapping[str, object]]
"""What a method does: it returns its answer without `ok`, or raises `MethodRefusedError`."""


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"next:{position}".encode()).decode()


def _position(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("next:"))
    except (ValueError, binascii.Error):
        raise MethodRefusedError("invalid_cursor") from None
