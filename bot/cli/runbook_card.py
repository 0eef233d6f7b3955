"""A runbook, or the plan that follows from it, as a card that reads from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.text import Text

from bot.cli.actions import EFFECT_STYLES
from bot.cli.tables import pair_lines
from bot.timeline_rows import as_arguments
from bot.visible import as_span, visible
from runbooks.model.action import Declaration
from runbooks.model.plan import GateTerms, Plan, PlannedAction, PlannedCheck
from runbooks.model.runbook import ActionStep, Autonomy, CheckStep, GateRule, Limits, Runbook, Step, Trigger

Line = tuple[str, Text]

AUTONOMY_WORDS = {
    Autonomy.OBSERVE: "observe: says what it would do",
    Autonomy.GATED: "gated: asks before it acts",
    Autonomy.AUTOMATIC: "automatic: acts on standing orders",
}


def runbook_card(runbook: Runbook, vocabulary: Mapping[str, Declaration]) -> Text:
    """Return a runbook as its author meant it: templates as they are written."""
    lines = [("when", _when(trigger)) for trigger in runbook.when]
    lines.append(("target", _text(runbook.target)))
    lines += [("limits", _text(limit)) for limit in _limits(runbook.limits)]
    lines += [("check", _check(check)) for check in runbook.checks]
    lines += [("gate", _gate(runbook.gate))] if runbook.gate else []
    lines += [("do", _action(action, vocabulary)) for action in runbook.actions]
    lines += [("verify", _check(check)) for check in runbook.verify]
    lines += [("otherwise", _step(step)) for step in runbook.otherwise]
    about = [("autonomy", _text(AUTONOMY_WORDS[runbook.autonomy])), ("version", _text(runbook.digest[:12]))]
    about += [("owner", _text(runbook.owner))] if runbook.owner else []
    return _card(runbook.name, runbook.summary, [*about, *lines])


def plan_card(plan: Plan, checks: Sequence[PlannedCheck]) -> Text:
    """Return what would be measured and done, with every parameter filled in."""
    lines = [("target", _text(plan.target))]
    lines += [("check", _planned_check(check)) for check in checks]
    lines.append(("gate", _terms(plan.gate)))
    lines += [("do", _planned_action(action)) for action in plan.actions]
    lines += [("verify", _planned_check(check)) for check in plan.verify]
    lines += [("otherwise", _details(each.name, _used(each.uses, each.arguments))) for each in plan.otherwise]
    lines += [("digest", _text(plan.digest)), ("version", _text(plan.runbook_digest[:12]))]
    return _card(f"The plan of {plan.runbook}", plan.summary, lines)


def _card(title: str, summary: str, lines: Sequence[Line]) -> Text:
    pairs: list[Line] = []
    before = ""
    for word, text in lines:
        pairs.append((word if word != before else "", text))
        before = word
    heading = [Text(visible(title), style="bold"), _text(summary), Text("")]
    return Text("\n").join([*heading, *pair_lines(pairs, "cyan")])


def _text(text: object) -> Text:
    return Text(visible(text))


def _details(name: str, *details: str) -> Text:
    """Return a name with its details, one a line; empty ones are left out."""
    text = _text(name)
    for detail in details:
        if detail:
            text.append("\n" + visible(detail), style="dim")
    return text


def _when(trigger: Trigger) -> Text:
    matchers = ", ".join(f'{each.label}{each.operator}"{each.value}"' for each in trigger.matchers)
    return _text(f"{trigger.alert}{{{matchers}}}" if matchers else trigger.alert)


def _limits(limits: Limits) -> Iterator[str]:
    if limits.cooldown:
        yield f"cooldown {as_span(limits.cooldown)}"
    if limits.attempts:
        yield f"{limits.attempts.most} attempts per {as_span(limits.attempts.per)}"
    if limits.at_once:
        most, label = limits.at_once.most, limits.at_once.label
        yield f"{most} at once per {label}" if label else f"{most}% of targets at once"


def _used(uses: str, arguments: Mapping[str, Any]) -> str:
    return f"{uses} {as_arguments(arguments)}".strip()


def _condition(step: Step | GateRule) -> str:
    return f"if {step.condition}" if step.condition else ""


def _patience(within: timedelta | None, every: timedelta | None) -> str:
    return (
        f"within {as_span(within)}, looking every {as_span(every or timedelta(seconds=2))}" if within else ""
    )


def _check(check: CheckStep) -> Text:
    expected = f"expect {check.expect}" if check.expect else ""
    return _details(
        check.name,
        _used(check.uses, check.arguments),
        expected,
        _condition(check),
        _patience(check.within, check.every),
    )


def _gate(gate: GateRule) -> Text:
    return _details(_who_must_agree(gate), _then(gate), _condition(gate))


def _terms(gate: GateTerms | None) -> Text:
    if gate is None:
        return _text("nobody is asked")
    return _details(_who_must_agree(gate), _then(gate))


def _who_must_agree(gate: GateRule | GateTerms) -> str:
    return f"{gate.need} of {' or '.join(gate.approvers)} must approve within {as_span(gate.within)}"


def _then(gate: GateRule | GateTerms) -> str:
    """Return who is asked in turn when they do not; empty where nobody is."""
    links = [f"{' or '.join(link.approvers)} too, within {as_span(link.within)}" for link in gate.otherwise]
    return f"otherwise {', then '.join(links)}, then stop" if links else ""


def _own_gate(gate: GateRule | GateTerms | None) -> str:
    """Return the gate of a single step; empty where it has none."""
    if gate is None:
        return ""
    condition = _condition(gate) if isinstance(gate, GateRule) else ""
    parts = (f"gate: {_who_must_agree(gate)}", _then(gate), condition)
    return ", ".join(part for part in parts if part)


def _action(action: ActionStep, vocabulary: Mapping[str, Declaration]) -> Text:
    declared = vocabulary.get(action.uses)
    undo = f"undo: {_used(action.undo.uses, action.undo.arguments)}" if action.undo else "undo: none"
    used = _used(action.uses, action.arguments)
    text = _details(action.name, used, _condition(action), _own_gate(action.gate), undo)
    if declared is not None:
        nature = f"\n{declared.effect.value}, {declared.kind.value}"
        text.append(nature, style=EFFECT_STYLES[declared.effect] or "dim")
    return text


def _step(step: Step) -> Text:
    return _details(step.name, _used(step.uses, step.arguments), _condition(step))


def _planned_check(check: PlannedCheck) -> Text:
    expected = f"expect {check.expect}" if check.expect else ""
    patience = _patience(check.within, check.every)
    return _details(check.name, _used(check.uses, check.arguments), expected, patience)


def _planned_action(action: PlannedAction) -> Text:
    undo = f"undo: {_used(action.undo.uses, action.undo.arguments)}" if action.undo else "undo: none"
    text = _details(action.name, _used(action.uses, action.arguments), _own_gate(action.gate), undo)
    nature = f"\n{action.effect.value}, {action.kind.value}"
    return text.append(nature, style=EFFECT_STYLES[action.effect] or "dim")
