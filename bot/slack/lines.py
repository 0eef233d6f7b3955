"""Lines: what is said beside cards, in the channel, in threads and to one person.

Each function takes what is to be told, and returns messages that fit.  What does not fit into one goes
into the next; what would be too much to read is counted, never dropped in silence.

Pure: the same stories, the same words.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.slack.headline import PEOPLE_NEEDED, headline
from bot.slack.message import TEXT_MESSAGE, Message, say
from bot.slack.status import scope_of
from bot.slack.text import code, cut, line, moment, person
from bot.slack.usage import COMMAND
from runbooks.model.record import Record, RecordKind
from runbooks.policy.admission import ATTEMPTS_USED_UP
from runbooks.policy.story import GateStory, Story

LINES_TOGETHER = 15  # in one message
ROOM = TEXT_MESSAGE - 100  # characters of lines in one message; the rest is for what is said of the others
MENTIONS = 1500  # characters of mentions in one message
THREAD_MESSAGES = 4  # that tell a thread at once what happened; of more, the first and the last ones


def short_line(story: Story) -> str:
    """Return, escaped, what is said of a remediation that ended before there was a plan."""
    about = f"{code(story.runbook, 60)} on {code(story.target, 80)}, {code(story.remediation, 20)}"
    if story.ending_reason == ATTEMPTS_USED_UP:  # whoever is called needs the whole pattern
        return f"{PEOPLE_NEEDED} *Somebody has to look.* {line(story.ending_sentence, 900)} ({about})"
    words = line(str(headline(story)), 160)
    why = line(story.ending_sentence, 200)
    known = why and why.split(": ", 1)[-1] not in words
    return f"{words}{f'. {why}' if known else ''} ({about})"


def system_line(record: Record) -> str:
    """Return, escaped, what is said of the brake, and of an alert that nobody acts on."""
    if record.kind is RecordKind.ALERT_EXPLAINED:
        return f"▲ *An alert is not acted on:* {line(str(record.data.get('sentence', '')), 400)}"
    what = scope_of(str(record.data.get("scope", "")))
    reason = line(str(record.data.get("reason", "")), 300)
    said = f": {reason}" if reason else "."
    if record.kind is RecordKind.FREEZE:
        return f"■ *Frozen*: {what}, by {person(record.actor)}{said}"
    return f"□ *Thawed*: {what}, by {person(record.actor)}{said}"


def fitting(lines: Sequence[str]) -> int:
    """Return how many of `lines`, from the first, go into one message; at least one."""
    size = 0
    for number, each in enumerate(lines[:LINES_TOGETHER]):
        size += len(each) + 1
        if number and size > ROOM:
            return number
    return min(len(lines), LINES_TOGETHER)


def together(lines: Sequence[str]) -> Message:
    """Return escaped `lines` as one message."""
    return say("\n".join(lines))


def call(who: str, text: str, remediation: str = "") -> Message:
    """Return what wakes people: their mention, and the escaped `text`."""
    about = f" ({code(remediation, 20)})" if remediation else ""
    who = cut(who, MENTIONS)
    return say(f"{who} {cut(text, ROOM - len(who))}{about}")


def question_without_channel(story: Story, gate: GateStory, trouble: str) -> Message:
    """Return what each of those who may answer is told of a question that no channel shows."""
    return say(
        f"{line(str(headline(story)), 160)}: {code(story.runbook, 60)}, until {moment(gate.expires_at)}. "
        f"No channel can show it: {line(trouble, 300)}. "
        f"To see and to answer it: {code(f'{COMMAND} status {story.remediation}')}, "
        "or the command line."
    )


def thread_news(lines: Sequence[str]) -> list[Message]:
    """Return what a card's thread is told of escaped `lines`, in as many messages as it takes."""
    parts: list[Sequence[str]] = []
    while lines:
        number = fitting(lines)
        parts.append(lines[:number])
        lines = lines[number:]
    if len(parts) > THREAD_MESSAGES:
        last = 1 - THREAD_MESSAGES
        left = sum(map(len, parts[1:last]))
        parts = [[*parts[0][:-1], f"and {left + 1} more, all of them in the timeline"], *parts[last:]]
    return [together(part) for part in parts]


def board_news(who: str, lines: Sequence[str]) -> Message:
    """Return what a board's thread is told: as many escaped `lines` as fit, and how many do not."""
    who = cut(who, MENTIONS)
    room = ROOM - len(who)
    shown: list[str] = []
    for each in lines[:LINES_TOGETHER]:
        if shown and sum(map(len, shown)) + len(shown) + len(each) > room:
            break
        shown.append(cut(each, room))
    more = [f"and {len(lines) - len(shown)} more"] if len(lines) > len(shown) else []
    return together([*([who] if who else []), *shown, *more])
