"""One message of the practice workspace, and the small rules about its text and blocks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.practice.residents import APP, BOT, BOT_USER, TEAM

Block = dict[str, Any]


@dataclass
class Message:
    """A message in a channel or thread, or an ephemeral one that a single person sees.

    Attributes:
        ts: its identity inside the channel, seconds since the epoch with six decimals.
        author: id of the person or of the bot's user.
        thread_ts: the thread that it belongs to; empty outside threads.
        only_for: id of the one person who sees it; empty for everybody.
    """

    channel: str
    ts: str
    author: str
    text: str = ""
    blocks: list[Block] = field(default_factory=list)
    thread_ts: str = ""
    only_for: str = ""
    edited_ts: str = ""
    reactions: dict[str, list[str]] = field(default_factory=dict)
    files: list[dict[str, object]] = field(default_factory=list)
    metadata: Mapping[str, object] | None = None

    @property
    def is_reply(self) -> bool:
        """Whether it is in a thread, and not its first message."""
        return bool(self.thread_ts) and self.thread_ts != self.ts

    def elements(self) -> Iterator[tuple[Block, Block]]:
        """Return every interactive element with its block."""
        return elements_of(self.blocks)

    def as_json(self, replies: Iterable[Message] = ()) -> dict[str, Any]:
        """Return the message as Slack shows it; `replies` are those of its thread."""
        shown: dict[str, Any] = {"type": "message", "user": self.author, "ts": self.ts, "text": self.text}
        shown["team"] = TEAM
        if self.author == BOT_USER:
            shown |= {"bot_id": BOT, "app_id": APP}
        if self.blocks:
            shown["blocks"] = self.blocks
        if self.edited_ts:
            shown["edited"] = {"user": self.author, "ts": self.edited_ts}
        if self.reactions:
            shown["reactions"] = [
                {"name": name, "users": users, "count": len(users)} for name, users in self.reactions.items()
            ]
        if self.files:
            shown["files"] = self.files
        if self.metadata:
            shown["metadata"] = self.metadata
        return shown | self._thread_json(list(replies))

    def _thread_json(self, replies: list[Message]) -> dict[str, object]:
        if self.is_reply:
            return {"thread_ts": self.thread_ts}
        if not replies:
            return {}
        return {
            "thread_ts": self.ts,
            "reply_count": len(replies),
            "reply_users": sorted({reply.author for reply in replies}),
            "latest_reply": replies[-1].ts,
        }


def elements_of(blocks: Iterable[Block]) -> Iterator[tuple[Block, Block]]:
    """Return every element that has an action id, with the block that it stands in."""
    for block in blocks:
        candidates = [*block.get("elements", ()), block.get("accessory"), block.get("element")]
        for element in candidates:
            if isinstance(element, dict) and "action_id" in element:
                yield block, element


def with_identifiers(blocks: Iterable[Mapping[str, Any]]) -> list[Block]:
    """Return a copy of `blocks` in which every block and every interactive element has an id, as Slack does."""
    completed = []
    for block in blocks:
        copy = {**block, "block_id": block.get("block_id") or _automatic_id()}
        if block["type"] == "actions":
            copy["elements"] = [_with_action_id(element) for element in block["elements"]]
        for place in ("accessory", "element"):
            if isinstance(block.get(place), Mapping) and block[place].get("type") != "image":
                copy[place] = _with_action_id(block[place])
        completed.append(copy)
    return completed


def _with_action_id(element: Mapping[str, Any]) -> Block:
    return {**element, "action_id": element.get("action_id") or _automatic_id()}


def _automatic_id() -> str:
    return secrets.token_urlsafe(4)[:5]


def with_linked_names(text: str, ids: Callable[[str], str | None]) -> str:
    """Return `text` with `@name` and `#name` made into mentions; `ids` gives the markup of a word, or None."""
    words = text.split(" ")
    return " ".join(ids(word) or word for word in words)
