"""The home tab: what one person should know now, from top to bottom.

Gates that wait for this person first, because they need an answer; then the brake, what is running,
what ended lately, and whether runbooks that acted have helped.  A gate leads to its card: there stands
all that must be read before it is answered, and there is one place to answer.

Pure: the same overview, the same tab.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import Block, ButtonElement, PlainTextObject, SectionBlock
from slack_sdk.models.views import View

from activities.ledger.overview import PastRemediation, Success
from bot.insight import SUCCESS_SPAN, Overview
from bot.operations import GateLine, StatusLine
from bot.slack.message import actions, context, header, markdown, section
from bot.slack.text import code, cut, line, moment, person
from runbooks.model.base import Value
from runbooks.model.freeze import EVERYTHING

HOME_RUN = "paramedic.home.run"
HOME_CARD = "paramedic.home.card"

SHOWN = 10  # lines of each section
PARAGRAPH = 2900  # characters

_MARKS = {"mitigated": "✓", "failed": "✗", "unverified": "✗", "rolled_back": "✗"}


class Eyes(Value):
    """Whose eyes the tab is for.

    Attributes:
        groups: of those that are asked at open gates, the ones that this person is in.
        links: the address of the card of each remediation whose card has one.
    """

    groups: frozenset[str] = frozenset()
    links: Mapping[str, str] = {}


def home_view(seen: Overview, eyes: Eyes) -> dict[str, Any]:
    """Return the home tab of a person."""
    blocks: list[Block] = [*_gates(seen, eyes), *_brakes(seen), *_running(seen, eyes)]
    blocks += [*_endings(seen, eyes), *_success(seen.success)]
    return _view(blocks)


def closed_home(sentence: str) -> dict[str, Any]:
    """Return the home tab of somebody who may not look: why, and whom to ask."""
    return _view([section(f"✗ {line(sentence, 1000) or 'That is not for you.'}")], can_run=False)


def _view(blocks: Sequence[Block], *, can_run: bool = True) -> dict[str, Any]:
    run = ButtonElement(
        text=PlainTextObject(text="Run a runbook…", emoji=False), action_id=HOME_RUN, value="run"
    )
    top = [actions("home", [run])] if can_run else []
    view: dict[str, Any] = View(type="home", blocks=[*top, *blocks]).to_dict()
    return view


def _gates(seen: Overview, eyes: Eyes) -> Iterator[Block]:
    mine = [gate for gate in seen.status.gates if eyes.groups.intersection(gate.approvers)]
    others = len(seen.status.gates) - len(mine)
    yield header("Waiting for you")
    for gate in sorted(mine, key=lambda each: each.expires_at)[:SHOWN]:
        yield _with_card(_gate(gate), gate.remediation, eyes)
    said = [f"and {len(mine) - SHOWN} more: `/runbook status`"] if len(mine) > SHOWN else []
    said += ["Nothing waits for you."] if not mine else []
    said += (
        [f"{others} {'question waits' if others == 1 else 'questions wait'} for others."] if others else []
    )
    if said:
        yield section("\n".join(said))


def _gate(gate: GateLine) -> str:
    what = f"Did this happen? {line(gate.doubt, 150)}" if gate.doubt else "Approval needed"
    about = f"{code(gate.runbook, 60)} on {code(gate.target, 80)}"
    return f"▲ *{what}*: {about}, by *{moment(gate.expires_at)}* ({code(gate.remediation, 20)})"


def _brakes(seen: Overview) -> Iterator[Block]:
    status = seen.status
    lines = [
        f"■ Frozen: {_scope(each.scope)} by {person(each.actor)} since {moment(each.at)}: {line(each.reason, 150)}"
        for each in status.frozen[:SHOWN]
    ]
    lines += [
        f"■ Maintenance: {_scope(each.scope)} until {moment(each.until)}: {line(each.reason, 150)}"
        for each in status.windows[:SHOWN]
    ]
    if status.windows_problem:
        lines.append(f"■ Nobody acts: {line(status.windows_problem, 300)}")
    lines += [
        f"■ {code(each.target, 80)} is kept: nobody knows what {code(each.remediation, 20)} did to it"
        for each in status.kept[:SHOWN]
    ]
    total = len(status.frozen) + len(status.windows) + len(status.kept) + bool(status.windows_problem)
    yield header("The brake")
    yield _lines(lines, "Nothing is frozen.", total)


def _running(seen: Overview, eyes: Eyes) -> Iterator[Block]:
    yield header("Running now")
    running = seen.status.running
    shown = [_line_of(each, eyes) for each in running[:SHOWN]]
    yield _lines(shown, "Nothing is under way.", len(running))


def _line_of(each: StatusLine, eyes: Eyes) -> str:
    about = f"{code(each.runbook, 60)} on {code(each.target, 80)}"
    return (
        f"● {_name(each.remediation, eyes)} {about}: {line(str(each.phase), 30)} since {moment(each.since)}"
    )


def _endings(seen: Overview, eyes: Eyes) -> Iterator[Block]:
    yield header("Ended lately")
    shown = [_ending(each, eyes) for each in seen.endings[:SHOWN]]
    yield _lines(shown, "Nothing has ended yet.", len(seen.endings))


def _ending(each: PastRemediation, eyes: Eyes) -> str:
    word = str(each.ending or "")
    at = f", {moment(each.ended_at, with_date=True)}" if each.ended_at else ""
    about = f"{code(each.runbook, 60)} on {code(each.target, 80)}"
    return f"{_MARKS.get(word, '○')} {_name(each.id, eyes)} {about}: {line(word.replace('_', ' '), 30)}{at}"


def _success(tallies: Sequence[Success]) -> Iterator[Block]:
    yield header("Did it help?")
    lines = [
        f"{code(each.runbook, 60)}: {each.helped} of {each.acted} ({round(100 * each.helped / each.acted)} %)"
        for each in tallies[:SHOWN]
    ]
    yield _lines(lines, "Nothing has acted yet.", len(tallies))
    yield context(
        f"Of those that acted in the last {SUCCESS_SPAN.days} days: how many were verified to help."
    )


def _scope(scope: str) -> str:
    return "everything" if scope == EVERYTHING else code(scope, 100)


def _name(remediation: str, eyes: Eyes) -> str:
    link = eyes.links.get(remediation)
    return f"<{link}|{line(remediation, 20)}>" if link else code(remediation, 20)


def _with_card(text: str, remediation: str, eyes: Eyes) -> Block:
    link = eyes.links.get(remediation)
    if not link:
        return section(f"{text}\nIt has no card: `/runbook approve {line(remediation, 20)}` shows it.")
    button = ButtonElement(
        text=PlainTextObject(text="Open the card", emoji=False),
        action_id=HOME_CARD,
        url=link,
        accessibility_label=cut(f"Open the card of {remediation}", 75),
    )
    return SectionBlock(text=markdown(text), accessory=button)


def _lines(lines: Sequence[str], nothing: str, total: int) -> Block:
    """Return the first of `lines`, as many as fit, and how many of the `total` are not shown."""
    shown, size = [], 0
    for each in lines[:SHOWN]:
        size += len(each) + 1
        if size > PARAGRAPH - 40:
            break
        shown.append(each)
    if total > len(shown):
        shown.append(f"and {total - len(shown)} more")
    return section("\n".join(shown) or nothing)
