"""The board: one message for many remediations, kept up to date in its place.

Alerts that belong together are one incident, and in a storm everything comes at once.  A card for
each would push the oldest question out of sight and wake people two hundred times.  So several
remediations share one message: first the questions that wait for people, the longest wait first,
each with its own buttons; then what is going on; then what came of the others, counted, those in
full that people must look at.

However many there are, the message fits Slack's limits, and whatever is not shown is counted.
Questions beyond the first ten come up as those above them are answered.

Pure: the same rows, the same board.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from slack_sdk.models.blocks import Block, DividerBlock

from bot.slack.card import question
from bot.slack.headline import ASKING, HELPED, NOTHING_DONE, PEOPLE_NEEDED, WORKING, headline, target
from bot.slack.message import Message, context, header, section
from bot.slack.text import code, cut, escape, line
from runbooks.model.base import Value
from runbooks.model.remediation import Ending
from runbooks.policy.story import Story

QUESTIONS = 10  # open gates shown with their buttons
LINES = 10  # remediations shown in one line each, in each part
LAST_ENDED = 5  # of those that nobody must look at
QUESTION_TEXT = 900  # characters of one question

_HELPED = frozenset({Ending.MITIGATED})


class Row(Value):
    """One remediation on a board.

    Attributes:
        line: how it is, escaped.
        question, buttons: escaped, and a Block Kit block; only where people are asked.
        asked_at: when the question was put, or the remediation was opened.
        ending: empty while it goes on.
    """

    remediation: str
    state: Literal["asking", "working", "ended"]
    symbol: str
    line: str
    question: str = ""
    buttons: dict[str, Any] = {}
    asked_at: datetime
    ending: str = ""


def row_of(story: Story) -> Row:
    """Return the row for where `story` is.

    Raises:
        slack_sdk.errors.SlackObjectFormationError: Slack's models object to its buttons.
    """
    first = headline(story)
    about = f"{code(target(story), 80)} · {code(story.runbook, 60)} · {code(story.remediation, 20)}"
    told = f"{line(str(first), 160)} ({about})"
    gate = story.open_gate
    if gate is None:
        ending = story.ending.value if story.ending else ""
        return Row(
            remediation=story.remediation,
            state="ended" if ending else "working",
            symbol=first.symbol,
            line=told,
            asked_at=story.opened_at,
            ending=ending,
        )
    words, buttons = question(story, gate, QUESTION_TEXT)
    return Row(
        remediation=story.remediation,
        state="asking",
        symbol=ASKING,
        line=told,
        question=words,
        buttons=buttons.to_dict(),
        asked_at=gate.opens_at,
    )


def render_board(lead: str, rows: Sequence[Row], *, timeline_command: str) -> Message:
    """Return the board.

    Args:
        lead: escaped mrkdwn: why these are together.
        rows: in any order.
        timeline_command: the command that shows one of them in full, without the id.
    """
    asking = _asking(rows)
    working = [row for row in rows if row.state == "working"]
    ended = [row for row in rows if row.state == "ended"]
    title = _title(len(asking), len(working), ended)
    blocks: list[dict[str, Any]] = [header(title).to_dict(), section(lead).to_dict()]
    for number, row in enumerate(asking[:QUESTIONS]):
        blocks += [DividerBlock().to_dict()] if number else []
        blocks += [section(row.question).to_dict(), row.buttons]
    below: list[Block] = [*_unshown(asking), *_listed("*Going on*", working), *_endings(ended)]
    blocks += [each.to_dict() for each in below]
    blocks.append(context(f"All of one: `{escape(timeline_command)} R-…`").to_dict())
    return Message(text=f"{title} · {cut(lead, 120)}", blocks=tuple(blocks))


def plain_board(rows: Sequence[Row]) -> Message:
    """Return the least that a board can be: which remediations ask, and the same buttons."""
    asking = _asking(rows)
    ended = [row for row in rows if row.state == "ended"]
    title = _title(len(asking), len(rows) - len(asking) - len(ended), ended)
    blocks = [header(title).to_dict()]
    for row in asking[:QUESTIONS]:
        blocks += [section(code(row.remediation)).to_dict(), row.buttons]
    blocks += [each.to_dict() for each in _unshown(asking)]
    return Message(text=title, blocks=tuple(blocks))


def _asking(rows: Sequence[Row]) -> list[Row]:
    """Return those that wait for an answer, the longest wait first."""
    return sorted(
        (row for row in rows if row.state == "asking"), key=lambda row: (row.asked_at, row.remediation)
    )


def _title(asking: int, working: int, ended: Sequence[Row]) -> str:
    answers = "1 answer is needed" if asking == 1 else f"{asking} answers are needed"
    parts = [answers if asking else "", f"{working} going on" if working else ""]
    parts.append(f"{len(ended)} ended" if ended else "")
    return f"{_symbol(asking, working, ended)} {', '.join(part for part in parts if part) or 'Nothing yet'}"


def _symbol(asking: int, working: int, ended: Sequence[Row]) -> str:
    if asking:
        return ASKING
    if any(row.symbol == PEOPLE_NEEDED for row in ended):
        return PEOPLE_NEEDED
    if working or not ended:
        return WORKING
    return HELPED if any(row.ending in _HELPED for row in ended) else NOTHING_DONE


def _unshown(asking: Sequence[Row]) -> Iterator[Block]:
    left = len(asking) - QUESTIONS
    if left > 0:
        yield section(
            f"*and {left} more wait for an answer.* They come up here as those above are answered; "
            "`/runbook status` lists them all."
        )


def _listed(lead: str, rows: Sequence[Row]) -> Iterator[Block]:
    if rows:
        newest = [row.line for row in rows[-LINES:]]
        more = [f"and {len(rows) - LINES} more"] if len(rows) > LINES else []
        yield section("\n".join([lead, *newest, *more]))


def _endings(ended: Sequence[Row]) -> Iterator[Block]:
    yield from _listed("*Somebody has to look*", [row for row in ended if row.symbol == PEOPLE_NEEDED])
    counted = Counter(row.ending for row in ended)
    if counted:
        words = (f"{number} {ending.replace('_', ' ')}" for ending, number in counted.most_common())
        last = [row.line for row in ended if row.symbol != PEOPLE_NEEDED][-LAST_ENDED:]
        yield section("\n".join([f"*Ended:* {', '.join(words)}", *last]))
