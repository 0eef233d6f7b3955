"""What others may write where the bot shows it, and what must hold of all that the bot then sends.

    for text in FOREIGN.values():
        assert objections(render_card(read_story(hostile(text).records), ...)) == []

The rules are Slack's (`bot.slack.block_kit`), and those of escaping: nothing foreign mentions anybody,
links anywhere or reorders what is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from bot.slack.block_kit import problems_of_view
from bot.slack.files import TextFile
from bot.slack.message import Message
from bot.slack.review import VIEW_SIZE
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.plan import GateTerms
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from runbooks.policy.admission import ATTEMPTS_USED_UP
from tests.records import NOON, PLAN, RESTART, Telling

FOREIGN = {
    "short": "disk is full",
    "empty": "",
    "blank": " \n\t ",
    "long": "Lorem ipsum dolor & sit <amet>. " * 120,
    "one word": "x" * 4000,
    "ampersands": "&" * 1000,
    "many lines": "\n".join(f"line {number}" for number in range(400)),
    "chinese": "磁盘空间不足" * 200,
    "right to left": "القرص ممتلئ " * 100 + "\u202etxt.exe",
    "controls": "a\x00b\x07c\x1b[31mred\x7f" * 50,
    "only controls": "\x00\x1b\u202e",
    "markup": "<!channel> <@UEVIL> <https://evil.example|click> *bold* ```code``` &amp; :fire: " * 30,
    "half a mark": "<!date^1^{date}|now <!subteam^SEVIL " * 60 + "&lt",
    "combining": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢" * 100,
}
"""Foreign texts, each odd in a way of its own."""

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=700)
"""Any foreign text whatever."""

OURS = re.compile(
    r"<@[UW][A-Z0-9]+>"
    r"|<!subteam\^S[A-Z0-9]+>"
    r"|<!date\^\d+\^[^<>|^]+\|[^<>|]+>"
    r"|<https://example\.org/[^<>|\s]*\|[^<>|]*>"
)
"""Markup that the bot writes: a person, a group, a moment, a link to a card."""

EVIL = re.compile(r"<[^<>]*evil", re.IGNORECASE)
_HIDDEN = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def objections(said: Message | TextFile | Mapping[str, Any]) -> list[str]:
    """Return what is wrong with something that is handed to Slack: a message, a file, or a view."""
    if isinstance(said, TextFile):
        return list(_of_file(said))
    if isinstance(said, Message):
        payload: Mapping[str, Any] = said.payload()
        found = [str(each) for each in said.problems()] + list(_of_markup(said.text))
    else:
        payload, found = said, [str(each) for each in problems_of_view(said)]
        found += ["larger than Slack takes"] if len(json.dumps(said)) > VIEW_SIZE else []
    for text, is_markup in _texts(payload):
        found += _of_markup(text) if is_markup else _of_text(text)
    return found


def _of_file(file: TextFile) -> Iterator[str]:
    if not file.content:
        yield "a file without bytes is refused"
    if not re.fullmatch(r"[\w.-]{1,100}", file.name) or not 0 < len(file.title) <= 255:
        yield f"odd name or title: {file.name!r}, {file.title[:80]!r}"
    yield from _of_markup(file.said)
    yield from _of_text(file.title)


def _of_markup(text: str) -> Iterator[str]:
    yield from _of_text(text)
    rest = OURS.sub("", text)
    if EVIL.search(text) or "<" in rest or any(">" in each[1:] for each in rest.split("\n")):
        yield f"markup that is not ours: {rest[:200]!r}"
    if re.search(r"&(?!amp;|lt;|gt;)", rest):
        yield f"not escaped, or cut in the middle: {rest[:200]!r}"


def _of_text(text: str) -> Iterator[str]:
    if _HIDDEN.search(text):
        yield f"hidden characters: {text[:200]!r}"
    if not text.strip():
        yield "nothing to be read"


def _texts(value: Any) -> Iterator[tuple[str, bool]]:
    """Yield all that a person reads, and whether Slack looks for markup in it."""
    if isinstance(value, Mapping):
        if value.get("type") in {"plain_text", "mrkdwn"}:
            yield value["text"], value["type"] == "mrkdwn"
        else:
            for each in value.values():
                yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def hostile(text, actions=3):
    """A story in which all that can be foreign is `text`."""
    alert = Alert(
        status=AlertStatus.FIRING,
        labels={"alertname": text, "instance": text, "x" * 200: text},
        annotations={"summary": text, "description": text},
    )
    steps = tuple(
        RESTART.model_copy(
            update={"id": f"step-{n}", "name": text, "arguments": {"argv": [text, text]}, "undo": RESTART}
        )
        for n in range(actions)
    )
    terms = GateTerms(approvers=(text or "x",) * 3, need=1, within=timedelta(minutes=15))
    plan = PLAN.model_copy(update={"summary": text, "target": text, "actions": steps, "gate": terms})
    told = Telling(plan=plan)
    as_json = alert.model_dump()
    told.admitted(alert={**as_json, "status": "firing"}, target=text, requested_by=text)
    told.check("before", "passed", text, name=text).planned().asked()
    return told.answered("approved", principal={"key": text or "k", "name": text}, reason=text)


def states(text: str) -> list[Telling]:
    """Return a remediation in every state that people are shown, with `text` wherever foreign text stands."""
    doubt = {"part": "do", "step": "step-0", "name": text, "uses": "ssh.run", "attempt": 1, "evidence": text}
    group = text or "x"
    link = {"approvers": [group] * 3, "until": (NOON + timedelta(minutes=30)).isoformat()}

    def approved() -> Telling:
        return hostile(text).gate_closed("approved", text)

    def done() -> Telling:
        return approved().intent().receipt(sentence=text).verified("failed", text, name=text)

    def unknown() -> Telling:
        told = approved().intent().unknown(sentence=text)
        return told.in_doubt(doubt={**doubt, "key": told.key}, approvers=[group], otherwise=[link])

    told = [
        Telling().admitted("withheld", sentence=text, tell=[group]).ended("withheld", text, ATTEMPTS_USED_UP),
        Telling().admitted("withheld", sentence=text).ended("withheld", text, "frozen"),
        Telling().admitted().check("before", "inconclusive", text, name=text),
        Telling(plan=hostile(text).plan).admitted().planned(observe=True),
        hostile(text),
        hostile(text).escalated(group, until=link["until"]),
        Telling(plan=hostile(text).plan).admitted().planned().asked_about_step(2, otherwise=[link]),
        hostile(text).gate_closed("withdrawn", text),
        hostile(text).answered("denied", reason=text).gate_closed("denied", text).ended("denied", text),
        hostile(text).wait(minutes=15).gate_closed("expired", text).ended("expired", text),
        approved().tell(RecordKind.STOP_ASKED, actor=f"local:{text}", reason=text),
        approved().intent().intent(2),
        approved().refused(sentence=text),
        approved().intent().receipt("failed", sentence=text),
        unknown(),
        unknown().answered("happened", principal={"key": group, "name": text}, reason=text),
        done().joined(AlertStatus.RESOLVED).verified("passed", text, name=text),
    ]
    return told + [done().ended(ending, text, text) for ending in Ending]
