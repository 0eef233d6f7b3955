"""Rules about a runbook as a whole: who agrees, what is asked first, how it is known that it helped."""

from __future__ import annotations

from runbooks.language.reading import Section
from runbooks.language.steps import StepReader
from runbooks.language.words import CHANGING
from runbooks.model.action import Effect
from runbooks.model.runbook import Autonomy, Runbook


def judge(runbook: Runbook, section: Section, steps: StepReader) -> None:
    """Record which rules `runbook` breaks.

    Args:
        runbook: as it was read.
        section: the words it was read from.
        steps: what read its steps, and knows what they do to the world.
    """
    _judge_gate(runbook, section, steps)
    _judge_conditions_of_steps(runbook, section, steps)
    if steps.effects & CHANGING:
        _judge_consent(runbook, section, steps)
        _judge_evidence(section)


def _judge_gate(runbook: Runbook, section: Section, steps: StepReader) -> None:
    gate = runbook.gate
    if gate is None and runbook.autonomy is Autonomy.GATED and not steps.every_change_is_gated:
        problem = "`autonomy: gated` without a gate asks nobody"
        section.findings.add(problem, f"Say whom to ask: {_GATE}", section.place_of("autonomy"))
    elif gate is not None and gate.condition is None and runbook.autonomy is Autonomy.AUTOMATIC:
        section.findings.add(
            "`autonomy: automatic` and a gate that is always asked contradict each other",
            "Give the gate an `if:`, or delete one of the two",
            section.key_place("gate"),
        )
    elif gate is not None and gate.condition is not None and runbook.autonomy is Autonomy.GATED:
        section.findings.add(
            "the gate's `if` has no effect: without standing orders people are always asked",
            "Add `autonomy: automatic` to act without asking where it is false, or delete the `if`",
            section.key_place("gate"),
        )


_GATE = "`gate: {approvers: [sre-oncall]}`"


def _judge_conditions_of_steps(runbook: Runbook, section: Section, steps: StepReader) -> None:
    """Where nobody agrees to the plan and there are no standing orders, a step's gate is asked always."""
    if runbook.gate is not None or runbook.autonomy is Autonomy.AUTOMATIC:
        return
    for gate in steps.gates:
        if gate.condition is not None:
            section.findings.add(
                "the `if` of a step's gate has no effect: without standing orders people are always asked",
                "Add `autonomy: automatic`, or a gate for the whole runbook, or delete the `if`",
                gate.place,
            )


def _judge_consent(runbook: Runbook, section: Section, steps: StepReader) -> None:
    if runbook.gate is not None or steps.every_change_is_gated:
        return
    if "autonomy" not in section:
        problem = "the runbook does not say who agrees to its actions"
    elif runbook.autonomy is Autonomy.OBSERVE and Effect.DESTRUCTIVE in steps.effects:
        problem = "a destructive action stands in a runbook that asks nobody"
    else:
        return
    remedy = f"Say it out loud: {_GATE}, or `autonomy: automatic` to act without asking"
    section.findings.add(problem, remedy, section.key_place("do"))


def _judge_evidence(section: Section) -> None:
    if "check" not in section:
        section.findings.add(
            "a runbook that changes something needs `check`",
            "Measure whether it is needed: `check: [{uses: prometheus.query, with: {query: ...}, expect: result.value > 0.9}]`",
            section.place,
        )
    if "verify" not in section:
        section.findings.add(
            "a runbook that changes something needs `verify`",
            "Measure whether it helped: `verify: [{uses: alert.resolved, within: 10m}]`",
            section.place,
        )
