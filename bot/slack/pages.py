"""Pages: what is read in Slack at length, before one person's eyes: a runbook, a plan, a timeline, a why.

Pure.  Everything foreign is escaped here, once, and cut after that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import Block, ButtonElement, PlainTextObject

from bot.explaining import Explanation
from bot.insight import Preview
from bot.run_inputs import RunInput, inputs_of
from bot.slack.message import Message, actions, listing
from bot.slack.text import arguments, code, line, moment, person, span, with_people
from bot.timeline import Timeline
from bot.timeline_rows import Row
from runbooks.model.action import Declaration
from runbooks.model.plan import GateTerms, PlannedAction, PlannedCheck
from runbooks.model.runbook import ActionStep, CheckStep, GateRule, Limits, Runbook, Step, Trigger

FILE_BUTTON = "paramedic.timeline.file"


def runbook_page(runbook: Runbook, vocabulary: Mapping[str, Declaration]) -> Message:
    """Return a runbook as its author meant it: templates as they are written."""
    owner = f", kept by {line(runbook.owner, 60)}" if runbook.owner else ""
    title = f"*{code(runbook.name)}* ({line(str(runbook.autonomy), 20)}{owner}): {line(runbook.summary, 300)}"
    lines = [
        *_titled("When", [_when(trigger) for trigger in runbook.when]),
        f"*Target* {code(runbook.target, 200)}",
        *_titled("Inputs", [_input(each) for each in inputs_of(runbook)]),
        *_titled("Limits", list(_limits(runbook.limits))),
        *_titled("Check", [_check(check) for check in runbook.checks]),
        *([_gate(runbook.gate)] if runbook.gate else ["*Gate* nobody is asked"]),
        *_titled("Do", [_action(step, vocabulary) for step in runbook.actions]),
        *_titled("Verify", [_check(check) for check in runbook.verify]),
        *_titled("Otherwise", [_step(step) for step in runbook.otherwise]),
    ]
    return listing(title, lines)


def plan_page(preview: Preview) -> Message:
    """Return what would be measured and done, with every parameter filled in."""
    title = f"*The plan of {code(preview.runbook)} on {code(preview.target)}.* Nothing was measured or done."
    lines = _titled("Check", [_planned_check(check) for check in preview.checks])
    plan = preview.plan
    if plan is None:
        why = f"The rest depends on what the checks measure: {line(preview.why, 500)}."
        return listing(title, [*lines, why])
    lines += [
        _terms(plan.gate),
        *_titled("Do", [_planned_action(each) for each in plan.actions]),
        *_titled("Verify", [_planned_check(each) for each in plan.verify]),
        *_titled("Otherwise", [_used(each.name, each.uses, each.arguments) for each in plan.otherwise]),
        f"Plan {code(plan.digest[:12])}",
    ]
    return listing(title, lines)


def timeline_page(told: Timeline) -> Message:
    """Return a timeline, with a button that puts all of it as a file into the card's thread."""
    title = f"*{line(told.title, 200)}*\n{line(told.ending, 200)} {line(told.story.ending_sentence, 600)}".rstrip()
    shown = listing(title, [_row(row) for row in told.rows])
    button = ButtonElement(
        text=PlainTextObject(text="Share as a file", emoji=False),
        action_id=FILE_BUTTON,
        value=told.story.remediation,
    )
    row: Block = actions(f"file:{told.story.remediation}", [button])
    return shown.model_copy(update={"blocks": (*shown.blocks, row.to_dict())})


def why_page(explained: Explanation) -> Message:
    """Return why something was done or not."""
    return listing(
        f"*{line(explained.title, 200)}*",
        [f"• {with_people(line(each, 600))}" for each in explained.sentences],
    )


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [f"*{title}*", *(f"• {each}" for each in lines)] if lines else []


def _when(trigger: Trigger) -> str:
    matchers = ", ".join(f'{each.label}{each.operator}"{each.value}"' for each in trigger.matchers)
    return code(f"{trigger.alert}{{{matchers}}}" if matchers else trigger.alert, 300)


def _input(each: RunInput) -> str:
    about = "one of " + ", ".join(map(code, each.choices)) if each.choices else "any value"
    needed = "" if each.required else ", may be left out"
    return f"{code(each.name, 60)}: {about}{needed}"


def _limits(limits: Limits) -> Iterator[str]:
    if limits.cooldown:
        yield f"after an ending, {span(limits.cooldown)} nothing for the same target"
    if limits.attempts:
        yield f"{limits.attempts.most} attempts in {span(limits.attempts.per)}"
    if limits.at_once:
        most, label = limits.at_once.most, limits.at_once.label
        yield f"{most} at once for each {code(label, 60)}" if label else f"{most} % of all targets at once"


def _check(check: CheckStep) -> str:
    expected = f", expects {code(check.expect, 200)}" if check.expect else ""
    within = f", within {span(check.within)}" if check.within else ""
    return f"{_step(check)}{expected}{within}"


def _gate(gate: GateRule) -> str:
    condition = f", if {code(gate.condition, 200)}" if gate.condition else ""
    return f"*Gate* {_who(gate.need, gate.approvers)} within {span(gate.within)}{condition}"


def _who(need: int, approvers: Sequence[str]) -> str:
    people = "one person" if need == 1 else f"{need} people"
    return f"{people} of {' or '.join(code(each, 60) for each in approvers)} must approve"


def _terms(terms: GateTerms | None) -> str:
    if terms is None:
        return "*Gate* nobody is asked"
    return f"*Gate* {_who(terms.need, terms.approvers)} within {span(terms.within)}"


def _action(step: ActionStep, vocabulary: Mapping[str, Declaration]) -> str:
    declared = vocabulary.get(step.uses)
    nature = f" ({declared.effect}, {declared.kind})" if declared else ""
    undo = f"undo {code(step.undo.uses, 60)}" if step.undo else "no undo"
    return f"{_step(step)}{nature}, {undo}"


def _step(step: Step) -> str:
    condition = f", if {code(step.condition, 200)}" if step.condition else ""
    return f"{_used(step.name, step.uses, step.arguments)}{condition}"


def _used(name: str, uses: str, given: Mapping[str, Any]) -> str:
    exactly = " ".join(part for part in (code(uses, 80), arguments(dict(given))) if part)
    return f"{line(name, 150)}: {exactly}"


def _planned_check(check: PlannedCheck) -> str:
    expected = f", expects {code(check.expect, 200)}" if check.expect else ""
    return f"{_used(check.name, check.uses, check.arguments)}{expected}"


def _planned_action(action: PlannedAction) -> str:
    undo = f"undo {code(action.undo.uses, 60)}" if action.undo else "no undo"
    return f"{_used(action.name, action.uses, action.arguments)} ({action.effect}), {undo}"


def _row(row: Row) -> str:
    result = f": *{line(row.result, 40)}*" if row.result else ""
    details = f"\n      {line('; '.join(row.details), 400)}" if row.details else ""
    return f"{moment(row.at)} {person(row.who)} · {line(row.what, 200)}{result}{details}"
