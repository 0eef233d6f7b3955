"""The status: what is going on, as somebody reads it who was just woken.

First what forbids acting, then what waits for people, then what runs by itself.  A question says
what it is about, who is asked and until when, who is asked after that, and what to type.

Pure: the same status, the same message.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable

from activities.ledger.leases import KeptTarget
from bot.open_gates import about, name_of
from bot.operations import GateLine, OpenWindow, Status, StatusLine
from bot.slack.headline import headline
from bot.slack.message import Message, listing
from bot.slack.text import code, line, moment, person
from bot.slack.usage import COMMAND
from runbooks.model.freeze import EVERYTHING, Freeze
from runbooks.policy.story import GateStory, Story

RUNNING_SHOWN = 20
"""Lines of what runs by itself; more of them is nothing that anybody reads."""


def status_page(status: Status) -> Message:
    """Return all that is going on."""
    asking = {gate.remediation for gate in status.gates}
    alone = [each for each in status.running if each.remediation not in asking]
    several = {
        name for name, number in Counter(gate.remediation for gate in status.gates).items() if number > 1
    }
    lines = [
        *map(_freeze, status.frozen),
        *_windows(status),
        *map(_kept, status.kept),
        *(_gate(each, named=each.remediation in several) for each in by_urgency(status.gates)),
        *map(_running, alone[:RUNNING_SHOWN]),
    ]
    if len(alone) > RUNNING_SHOWN:
        lines.append(f"and {len(alone) - RUNNING_SHOWN} more")
    if status.gates:
        lines.append(f"To answer: on its card, or `{COMMAND} status R-…` says what to type.")
    return listing(_title(status), [*lines, *([] if status.frozen else ["Nothing is frozen."])])


def story_page(story: Story) -> Message:
    """Return how one remediation is."""
    lines = [f"{code(story.runbook, 60)} on {code(story.target, 80)}, since {moment(story.opened_at)}"]
    several = len(story.open_gates) > 1
    lines += [f"{_asked(gate)}\n{_to_answer(story, gate, named=several)}" for gate in story.open_gates]
    if story.ending_sentence:
        lines.append(line(story.ending_sentence, 600))
    lines.append(f"All of it: {_typed('timeline', story)} · why: {_typed('why', story)}")
    return listing(f"*{code(story.remediation)}: {line(str(headline(story)), 300)}*", lines)


def which_page(story: Story, found: tuple[GateStory, ...]) -> Message:
    """Return which questions there are, where it is not clear which one is meant, or none is.

    Args:
        found: those that can be meant; empty where none of that kind is asked.
    """
    name = code(story.remediation, 20)
    shown = found or story.open_gates
    if not shown:
        return listing(f"{name} asks nobody now. {line(str(headline(story)), 300)}.", [])
    title = (
        f"*{name} asks {len(found)} questions. Which one is meant?*"
        if found
        else f"*That is not asked.* {name} asks:"
    )
    return listing(title, [f"{_asked(gate)}\n{_to_answer(story, gate, named=True)}" for gate in shown])


def by_urgency(gates: Iterable[GateLine]) -> list[GateLine]:
    """Return those first whose people have the least time."""
    return sorted(gates, key=lambda each: (each.until, each.remediation))


def whom(groups: tuple[str, ...]) -> str:
    """Return groups that are asked, escaped."""
    return " or ".join(code(group, 60) for group in groups) or "nobody"


def then_asked(groups: tuple[str, ...]) -> str:
    """Return who is asked after that, in the middle of a sentence; empty where it ends then."""
    return f", then {whom(groups)} too" if groups else ""


def scope_of(scope: str) -> str:
    """Return what a freeze is about, escaped."""
    return "everything" if scope == EVERYTHING else code(scope)


def _title(status: Status) -> str:
    running, waiting = len(status.running), len(status.gates)
    if not running:
        return "*Nothing is under way*"
    asks = f", {waiting} {'waits' if waiting == 1 else 'wait'} for an answer" if waiting else ""
    return f"*{running} {'remediation' if running == 1 else 'remediations'} under way{asks}*"


def _gate(each: GateLine, *, named: bool) -> str:
    name = f" ({code(each.gate, 20)})" if named else ""
    place = f"{code(each.runbook, 60)} on {code(each.target, 80)}"
    missing = f"{each.need - each.given} more of " if each.need > 1 else ""
    what = ""
    if each.doubt:
        what = f" *Did this happen? {line(each.doubt, 100)}*"
    elif each.step:
        what = f" Before *{line(each.step, 100)}*:"
    asked = f"{missing}{whom(each.approvers)} until {moment(each.until)}{then_asked(each.then)}"
    return f"▲ {code(each.remediation, 20)}{name} {place}.{what} It waits for {asked}"


def _asked(gate: GateStory) -> str:
    later = gate.otherwise[0].approvers if gate.otherwise else ()
    asked = f"{whom(gate.approvers)} until {moment(gate.until)}{then_asked(later)}"
    return f"▲ It waits for {asked}, about {line(about(gate), 200)}"


def _to_answer(story: Story, gate: GateStory, *, named: bool) -> str:
    name = f" {name_of(gate)}" if named else ""
    verbs = ("verdict",) if gate.doubt is not None else ("approve", "deny")
    return "\n".join(_typed(verb, story, name + _more(verb)) for verb in verbs)


def _more(verb: str) -> str:
    return {"deny": " REASON", "verdict": " happened|again|stop"}.get(verb, "")


def _typed(verb: str, story: Story, more: str = "") -> str:
    return code(f"{COMMAND} {verb} {story.remediation}{more}", 160)


def _running(each: StatusLine) -> str:
    place = f"{code(each.runbook, 60)} on {code(each.target, 80)}"
    return f"● {code(each.remediation, 20)} {place}: {line(str(each.phase), 30)} since {moment(each.since)}"


def _kept(each: KeptTarget) -> str:
    command = code(f'paramedic release {shlex.quote(each.target)} --reason "..."', 160)
    return (
        f"■ {code(each.target, 80)} is kept since {moment(each.since)}: {code(each.remediation, 20)} left an action "
        f"whose outcome is unknown. Look at it, then {command}"
    )


def _windows(status: Status) -> list[str]:
    lines = [_window(each) for each in status.windows]
    if status.windows_problem:
        problem = line(status.windows_problem, 600)
        lines.append(f"■ Nobody acts, for the maintenance windows cannot be read: {problem}")
    return lines


def _window(window: OpenWindow) -> str:
    what = f"{scope_of(window.scope)} until {moment(window.until)}"
    return f"■ Maintenance: {what}, {code(window.name, 60)}: {line(window.reason, 200)}"


def _freeze(freeze: Freeze) -> str:
    reason = f": {line(freeze.reason, 200)}" if freeze.reason else ""
    return f"■ Frozen: {scope_of(freeze.scope)} by {person(freeze.actor)} since {moment(freeze.at)}{reason}"
