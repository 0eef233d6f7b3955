"""Rendering: from a checked runbook and the facts of one alert to its target, checks and plan.

One pass: what a template comes to is a value and is never looked at as a template again.  A name
that is missing, an expression that cannot be evaluated, a value that cannot be made harmless
stops the rendering; no step is left out but by its own `if:`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from runbooks.errors import RenderError, RunbookError
from runbooks.language.expressions import Names, parse_expression
from runbooks.language.facts import Facts
from runbooks.language.findings import shown
from runbooks.language.parameters import render_parameters, render_text
from runbooks.model.action import Declaration
from runbooks.model.plan import GateTerms, Plan, PlannedAction, PlannedCheck
from runbooks.model.runbook import ActionStep, Autonomy, CheckStep, GateRule, Place, Runbook, Step

LONGEST_TARGET = 200  # characters: it is part of a workflow's id

S = TypeVar("S", bound=Step)
P = TypeVar("P")


def render_target(runbook: Runbook, facts: Facts) -> str:
    """Return the thing that `runbook` would act on for this alert.

    Raises:
        RenderError: a label is missing, or what comes out cannot be a target.
    """
    with _placed(runbook, "`target`", runbook.target_place):
        target = render_text(runbook.target, _names(facts, "target", "checks"))
        if not target or target != target.strip() or not target.isprintable() or len(target) > LONGEST_TARGET:
            raise RunbookError(
                f"{shown(target)} cannot be a target",
                remedy=f"It has 1 to {LONGEST_TARGET} printable characters and no space around it; look at the label",
            )
        return target


def render_checks(
    runbook: Runbook, facts: Facts, vocabulary: Mapping[str, Declaration]
) -> tuple[PlannedCheck, ...]:
    """Return the preconditions.  `facts.target` is filled; steps whose `if` is false are left out.

    Raises:
        RenderError: a template or expression cannot be evaluated for this alert.
    """
    rendering = _Rendering(runbook, vocabulary, _names(facts, "checks"))
    return rendering.steps(runbook.checks, rendering.check)


def render_plan(runbook: Runbook, facts: Facts, vocabulary: Mapping[str, Declaration]) -> Plan:
    """Return every action with every parameter, the gate, the verification and what happens otherwise.

    `facts.target` and `facts.checks` are filled.  Steps whose `if` is false are left out; the gate is
    None where there is none, or where its `if` is false and the runbook has standing orders.

    Raises:
        RenderError: a template or expression cannot be evaluated for this alert, or nothing is left to
            do, or nothing would verify it.
    """
    rendering = _Rendering(runbook, vocabulary, _names(facts))
    plan = Plan(
        runbook=runbook.name,
        runbook_digest=runbook.digest,
        summary=runbook.summary,
        target=facts.target,
        gate=rendering.gate(),
        actions=rendering.steps(runbook.actions, rendering.consented_action),
        verify=rendering.steps(runbook.verify, rendering.check),
        otherwise=rendering.steps(runbook.otherwise, rendering.action),
    )
    _refuse_empty(runbook, plan)
    return plan


def assess(expect: str | None, result: Mapping[str, Any], facts: Facts) -> bool:
    """Say whether what a check measured is what it expects.

    None expects nothing more than what the action itself decided: True.

    Raises:
        RenderError: the expression cannot be evaluated, or is neither true nor false.  The caller knows
            the step's place.
    """
    if expect is None:
        return True
    names = _names(facts) | {"result": Names("the result has", result)}
    try:
        return parse_expression(expect).is_true(names)
    except RunbookError as error:
        raise RenderError(error.problem, remedy=error.remedy) from error


class _Rendering:
    """Renders the steps of one runbook for one alert."""

    def __init__(
        self, runbook: Runbook, vocabulary: Mapping[str, Declaration], names: Mapping[str, Any]
    ) -> None:
        self._runbook = runbook
        self._vocabulary = vocabulary
        self._names = names

    def steps(self, steps: Sequence[S], render: Callable[[S], P]) -> tuple[P, ...]:
        """Return what `render` makes of each of `steps` whose `if` holds."""
        return tuple(render(step) for step in steps if self._holds(step))

    def check(self, step: CheckStep) -> PlannedCheck:
        """Return the check that `step` asks for."""
        with self._at(step):
            declaration = self._declaration(step)
            pace = {"within": step.within, "every": step.every}
            return PlannedCheck(
                id=step.id,
                name=step.name,
                uses=step.uses,
                arguments=render_parameters(declaration, step.arguments, self._names),
                expect=step.expect,
                timeout=declaration.timeout,
                **{word: span for word, span in pace.items() if span is not None},
            )

    def consented_action(self, step: ActionStep) -> PlannedAction:
        """Return the action that `step` asks for, with its own gate and with what takes it back."""
        undo = step.undo if step.undo is not None and self._holds(step.undo) else None
        more = {"gate": self._gate_of(step), "undo": self.action(undo) if undo is not None else None}
        return self.action(step).model_copy(update=more)

    def action(self, step: Step) -> PlannedAction:
        """Return the action that `step` asks for."""
        with self._at(step):
            declaration = self._declaration(step)
            return PlannedAction(
                id=step.id,
                name=step.name,
                uses=step.uses,
                effect=declaration.effect,
                kind=declaration.kind,
                arguments=render_parameters(declaration, step.arguments, self._names),
                timeout=declaration.timeout,
                attempts=declaration.attempts,
            )

    def gate(self) -> GateTerms | None:
        """Return whom to ask, or None where nobody needs to be asked."""
        rule = self._runbook.gate
        return self._terms(rule, "`gate`", always=self._asks_always) if rule is not None else None

    @property
    def _asks_always(self) -> bool:
        """Whether nothing is done unless somebody agrees, because there are no standing orders."""
        return self._runbook.autonomy is not Autonomy.AUTOMATIC

    def _gate_of(self, step: ActionStep) -> GateTerms | None:
        """Return whom to ask about this step; None where its `if` is false and somebody agreed already."""
        always = self._runbook.gate is None and self._asks_always
        subject = f"the gate of step {shown(step.name)}"
        return self._terms(step.gate, subject, always=always) if step.gate is not None else None

    def _terms(self, rule: GateRule, subject: str, *, always: bool) -> GateTerms | None:
        if rule.condition is not None:
            with _placed(self._runbook, subject, rule.place):
                holds = parse_expression(rule.condition).is_true(self._names)
            if not (holds or always):
                return None
        return GateTerms(
            approvers=rule.approvers, need=rule.need, within=rule.within, otherwise=rule.otherwise
        )

    def _holds(self, step: Step) -> bool:
        if step.condition is None:
            return True
        with self._at(step):
            return parse_expression(step.condition).is_true(self._names)

    def _declaration(self, step: Step) -> Declaration:
        declaration = self._vocabulary.get(step.uses)
        if declaration is None:
            raise RunbookError(
                f"there is no action {shown(step.uses)} any more",
                remedy="Install the package that offers it, or change the runbook",
            )
        return declaration

    def _at(self, step: Step) -> Any:
        return _placed(self._runbook, f"step {shown(step.name)}", step.place)


def _names(facts: Facts, *hidden: str) -> dict[str, Any]:
    """Return what templates see, but for what is `hidden`.  Each mapping knows what it is called, for errors."""
    checks = {
        name: Names(f"the check `{name}` has", {"result": Names(f"the result of `{name}` has", result)})
        for name, result in facts.checks.items()
    }
    names = {
        "labels": Names("the alert's labels have", facts.labels),
        "annotations": Names("the alert's annotations have", facts.annotations),
        "target": facts.target,
        "checks": Names("what was checked has", checks),
    }
    return {name: value for name, value in names.items() if name not in hidden}


@contextmanager
def _placed(runbook: Runbook, subject: str, place: Place | None) -> Iterator[None]:
    """Give a `RunbookError` raised inside its place in the runbook, as a `RenderError`."""
    try:
        yield
    except RunbookError as error:
        raise RenderError(
            f"{subject}: {error.problem}",
            remedy=error.remedy,
            file=f"{runbook.name}.yaml",
            line=place.line if place is not None else 0,
            column=place.column if place is not None else 0,
        ) from error


def _refuse_empty(runbook: Runbook, plan: Plan) -> None:
    """Refuse a plan that does nothing, or that nothing would verify although the runbook says what should."""
    for word, before, after in (
        ("do", runbook.actions, plan.actions),
        ("verify", runbook.verify, plan.verify),
    ):
        if before and not after:
            raise RenderError(
                f"every step of `{word}` is left out by its `if`",
                remedy="Add a step for alerts like this one, or narrow `when`",
                file=f"{runbook.name}.yaml",
            )
