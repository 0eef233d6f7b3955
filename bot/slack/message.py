"""Messages: what is sent to Slack, built from its own models and looked at before it is sent.

All text of ours is mrkdwn with `verbatim`, so that Slack turns nothing into a link or a mention
that we did not write as one.  Everything foreign has passed through `bot.slack.text` by the time
it gets here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

from bot.slack.block_kit import HEADER_TEXT, SECTION_TEXT, Problem, problems_of_message
from bot.slack.text import cut, cut_plain
from runbooks.model.base import Value

FALLBACK_TEXT = 300  # characters of `text`: a notification shows fewer
TEXT_MESSAGE = 3500  # characters of a message without blocks; Slack advises less than 4,000

NO_WORDS = "–"
"""Stands where nothing is to be said: Slack refuses an empty text, and with it all the rest."""

PARAGRAPH = 2500  # characters of one section of a listing
PARAGRAPHS = 8


class Message(Value):
    """What a message says.

    Attributes:
        text: mrkdwn; with blocks it is what notifications and screen readers get.
        blocks: Block Kit, as JSON values; empty for a message of text only.
    """

    text: str
    blocks: tuple[dict[str, Any], ...] = ()

    def payload(self) -> dict[str, Any]:
        """Return the arguments of `chat.postMessage` that say it, without any preview of links."""
        said: dict[str, Any] = {"text": self.text, "unfurl_links": False, "unfurl_media": False}
        return said | {"blocks": list(self.blocks)} if self.blocks else said

    def problems(self) -> list[Problem]:
        """Return why Slack would refuse it; empty if it would not."""
        return problems_of_message(self.payload())


def compose(text: str, blocks: Sequence[Block]) -> Message:
    """Return a message of `blocks` with `text`, escaped, as its fallback.

    Raises:
        slack_sdk.errors.SlackObjectFormationError: a block breaks a rule that Slack's models know.
    """
    return Message(text=_words(text, FALLBACK_TEXT), blocks=tuple(block.to_dict() for block in blocks))


def say(text: str) -> Message:
    """Return a message of escaped mrkdwn `text` only."""
    return Message(text=_words(text, TEXT_MESSAGE))


def listing(title: str, lines: Sequence[str]) -> Message:
    """Return a message that lists escaped `lines`; what does not fit is counted, never dropped in silence."""
    paragraphs = [title]
    for number, each in enumerate(lines):
        if len(paragraphs[-1]) + len(each) < PARAGRAPH:
            paragraphs[-1] += f"\n{each}"
        elif len(paragraphs) < PARAGRAPHS:
            paragraphs.append(each)
        else:
            paragraphs.append(f"and {len(lines) - number} more")
            break
    return compose(title, [section(paragraph) for paragraph in paragraphs])


def header(text: str) -> HeaderBlock:
    """A title: plain text, one line, cut to what Slack takes."""
    return HeaderBlock(text=PlainTextObject(text=cut_plain(text, HEADER_TEXT), emoji=False))


def section(text: str) -> SectionBlock:
    """A paragraph of escaped mrkdwn, cut to what Slack takes."""
    return SectionBlock(text=markdown(text), expand=True)


def context(text: str) -> ContextBlock:
    """Small print of escaped mrkdwn."""
    return ContextBlock(elements=[markdown(text)])


def actions(block_id: str, buttons: Sequence[ButtonElement]) -> ActionsBlock:
    """A row of buttons."""
    return ActionsBlock(block_id=block_id, elements=list(buttons))


def markdown(text: str) -> MarkdownTextObject:
    """Escaped mrkdwn in which Slack looks for nothing on its own."""
    return MarkdownTextObject(text=_words(text, SECTION_TEXT - 50), verbatim=True)


def _words(text: str, limit: int) -> str:
    return cut(text, limit) if text.strip() else NO_WORDS
