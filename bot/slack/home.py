"""The home tab: what one person should know now, from top to bottom.

Gates that wait for this person first, because they need an answer; then the brake, what is running,
what ended lately, and whether runbooks that acted have helped.  A gate leads to its card: there stands
all that must be read before it is answered, and there is one place to answer.

It is a page to glance at: each part shows a few lines and counts the rest, which `/runbook status`
tells in full, and a part with nothing to say is not there.  That nobody acts at all stands above
everything else: who approves something then waits in vain.

Pure: the same overview, the same tab.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import Block, ButtonElement, PlainTextObject, SectionBlock
from slack_sdk.models.views import View

from activities.ledger.overview import PastRemediation, Success
from bot.insight import SUCCESS_SPAN, Overview
from bot.operations import GateLine, Status, StatusLine
from bot.slack.message import actions, context, header, markdown, section
from bot.slack.status import by_urgency, scope_of, then_asked, whom
from bot.slack.text import code, cut, line, moment, person
from bot.slack.usage import COMMAND
from runbooks.model.base import Value
from runbooks.model.freeze import EVERYTHING

HOME_RUN = "paramedic.home.run"
HOME_CARD = "paramedic.home.card"

SHOWN = 5  # lines of each part
PARAGRAPH = 2900  # characters
ALL_OF_IT = f"`{COMMAND} status`"

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
    blocks: list[Block] = [*_standstill(seen.status), *_gates(seen, eyes), *_brakes(seen.status, eyes)]
    blocks += [*_running(seen, eyes), actions("home", [_run_button()])]
    blocks += [*_endings(seen, eyes), *_success(seen.success)]
    return _view(blocks)


def closed_home(sentence: str) -> dict[str, Any]:
    """Return the home tab of somebody who may not look: why, and whom to ask."""
    return _view([section(f"✗ {line(sentence, 1000) or 'That is not for you.'}")])


def _view(blocks: Sequence[Block]) -> dict[str, Any]:
    view: dict[str, Any] = View(type="home", blocks=list(blocks)).to_dict()
    return view


def _run_button() -> ButtonElement:
    return ButtonElement(
        text=PlainTextObject(text="Run a runbook…", emoji=False), action_id=HOME_RUN, value="run"
    )


def _standstill(status: Status) -> Iterator[Block]:
    """Say first of all that nobody acts, where that is so."""
    if any(each.scope == EVERYTHING for each in status.frozen):
        yield section("■ *Everything is frozen: nobody acts.*")
    elif status.windows_problem:
        yield section("■ *Nobody acts: the maintenance windows cannot be read.*")
    elif any(each.scope == EVERYTHING for each in status.windows):
        yield section("■ *Maintenance of everything: nobody acts.*")


def _gates(seen: Overview, eyes: Eyes) -> Iterator[Block]:
    mine = _mine(seen, eyes)
    others = len(seen.status.gates) - len(mine)
    yield header("Waiting for you")
    for gate in by_urgency(mine)[:SHOWN]:
        yield _with_card(_gate(gate), gate.remediation, eyes)
    said = [f"and {len(mine) - SHOWN} more: {ALL_OF_IT}"] if len(mine) > SHOWN else []
    said += ["Nothing waits for you."] if not mine else []
    said += (
        [f"{others} {'question waits' if others == 1 else 'questions wait'} for others."] if others else []
    )
    if said:
        yield section("\n".join(said))


def _mine(seen: Overview, eyes: Eyes) -> list[GateLine]:
    return [gate for gate in seen.status.gates if eyes.groups.intersection(gate.approvers)]


def _gate(gate: GateLine) -> str:
    missing = f" of {gate.need - gate.given} more" if gate.need > 1 else ""
    step = f", before: {line(gate.step, 100)}" if gate.step else ""
    what = f"Did this happen? {line(gate.doubt, 100)}" if gate.doubt else f"Approval{missing} needed{step}"
    first = f"▲ *{what}*, by *{moment(gate.until)}*{then_asked(gate.then)}"
    return f"{first}\n{_place(gate.runbook, gate.target)} · {code(gate.remediation, 20)}"


def _brakes(status: Status, eyes: Eyes) -> Iterator[Block]:
    frozen = sorted(status.frozen, key=lambda each: each.scope != EVERYTHING)
    lines = [
        f"■ Frozen: {scope_of(each.scope)} by {person(each.actor)} since {moment(each.at)}{_because(each.reason)}"
        for each in frozen
    ]
    lines += [
        f"■ Maintenance: {scope_of(each.scope)} until {moment(each.until)}{_because(each.reason)}"
        for each in status.windows
    ]
    if status.windows_problem:
        lines.append(f"■ The maintenance windows{_because(status.windows_problem)}")
    lines += [
        f"■ {code(each.target, 80)} is kept until somebody gives it back: nobody knows what "
        f"{_name(each.remediation, eyes)} did to it"
        for each in status.kept
    ]
    if lines:
        yield header("The brake")
        yield _lines(lines, len(lines))


def _because(reason: str) -> str:
    return f": {line(reason, 100)}" if reason.strip() else ""


def _running(seen: Overview, eyes: Eyes) -> Iterator[Block]:
    """What runs by itself, or waits for others: what waits for this person stands above."""
    mine = {gate.remediation for gate in _mine(seen, eyes)}
    asking = {gate.remediation: gate for gate in seen.status.gates}
    running = [each for each in seen.status.running if each.remediation not in mine]
    yield header("Running now")
    if running:
        shown = [_line_of(each, asking.get(each.remediation), eyes) for each in running[:SHOWN]]
        yield _lines(shown, len(running))
        return
    rest = "" if _is_braked(seen.status) else " Nothing is frozen."
    yield section(f"{'Nothing else' if mine else 'Nothing'} is under way.{rest}")


def _is_braked(status: Status) -> bool:
    return bool(status.frozen or status.windows or status.windows_problem or status.kept)


def _line_of(each: StatusLine, gate: GateLine | None, eyes: Eyes) -> str:
    about = f"{_name(each.remediation, eyes)} {_place(each.runbook, each.target)}"
    if gate is not None:
        return f"● {about}: waits for {whom(gate.approvers)} until {moment(gate.until)}"
    return f"● {about}: {line(str(each.phase), 30)} since {moment(each.since)}"


def _endings(seen: Overview, eyes: Eyes) -> Iterator[Block]:
    if seen.endings:
        yield header("Ended lately")
        yield _lines([_ending(each, eyes) for each in seen.endings[:SHOWN]], min(SHOWN, len(seen.endings)))


def _ending(each: PastRemediation, eyes: Eyes) -> str:
    word = str(each.ending or "")
    at = f", {moment(each.ended_at, with_date=True)}" if each.ended_at else ""
    ended = line(word.replace("_", " "), 30)
    return f"{_MARKS.get(word, '○')} {_name(each.id, eyes)} {_place(each.runbook, each.target)}: {ended}{at}"


def _success(tallies: Sequence[Success]) -> Iterator[Block]:
    if not tallies:
        return
    yield header("Did it help?")
    lines = [
        f"{code(each.runbook, 60)}: {each.helped} of {each.acted} ({round(100 * each.helped / each.acted)} %)"
        for each in sorted(tallies, key=_helpfulness)[:SHOWN]
    ]
    yield _lines(lines, len(tallies), where="")
    order = ", the fewest first" if len(tallies) > SHOWN else ""
    yield context(
        f"Of those that acted in the last {SUCCESS_SPAN.days} days: how many were verified to help{order}."
    )


def _helpfulness(each: Success) -> tuple[float, int]:
    return each.helped / each.acted, -each.acted


def _place(runbook: str, target: str) -> str:
    return f"{code(runbook, 60)} on {code(target, 80)}"


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


def _lines(lines: Sequence[str], total: int, *, where: str = f": {ALL_OF_IT}") -> Block:
    """Return the first of `lines`, as many as fit, and how many of the `total` are not shown, and where they are."""
    shown, size = [], 0
    for each in lines[:SHOWN]:
        size += len(each) + 1
        if size > PARAGRAPH - 60:
            break
        shown.append(each)
    if total > len(shown):
        shown.append(f"and {total - len(shown)} more{where}")
    return section("\n".join(shown))
