"""Steps: the items under `check`, `do`, `verify` and `otherwise`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from runbooks.language.expressions import Expression
from runbooks.language.findings import Findings, shown, suggestion
from runbooks.language.gates import GateReader
from runbooks.language.parameters import ParameterCheck
from runbooks.language.reading import Section
from runbooks.language.scope import Scope, inspect_expressions, roots_of
from runbooks.language.source import Node, ScalarNode, plain_value
from runbooks.language.words import ACTION, CHANGING, CHECK, TELLING, UNDO, VERIFY, WordList
from runbooks.model.action import Declaration, Effect
from runbooks.model.runbook import ActionStep, CheckStep, GateRule, Place, Step

_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NO_SLUG = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 120  # characters
_LONGEST_SLUG = 59  # characters, so that `_undo` still fits
_SHORTEST_PAUSE = timedelta(seconds=1)


@dataclass(frozen=True)
class _Opened:
    """A step as far as it was read: its words, its declared action, and what all steps have."""

    section: Section
    declaration: Declaration | None
    common: dict[str, Any]


class StepReader:
    """Reads the steps of one runbook.

    Attributes:
        checks: the declared actions of the checks read so far, by the checks' ids.
        effects: what the actions read so far do to the world, with what takes them back.
        ungated: what those under `do` do to the world that have no gate of their own.
        gates: the gates of single steps.
    """

    def __init__(self, vocabulary: Mapping[str, Declaration], findings: Findings, gates: GateReader) -> None:
        self._vocabulary = vocabulary
        self._findings = findings
        self._gates = gates
        self._ids: dict[str, Place] = {}
        self.checks: dict[str, Declaration | None] = {}
        self.effects: set[Effect] = set()
        self.ungated: set[Effect] = set()
        self.gates: list[GateRule] = []

    @property
    def every_change_is_gated(self) -> bool:
        """Whether each step that changes something asks for itself."""
        return bool(self.gates) and not self.ungated & CHANGING

    @property
    def scope_after_checks(self) -> Scope:
        """Return the scope of everything that is rendered when the checks have been measured."""
        roots = Scope("").roots | {"checks"}
        return Scope("this place", roots, self.checks)

    def read_check(self, node: Node) -> CheckStep:
        """Return one item of `check`."""
        opened = self._open(node, CHECK, Scope("a check's `with` and `if`"))
        self.checks[opened.common["id"]] = opened.declaration
        return CheckStep(**opened.common, expect=self._expect(opened, Scope("a check")))

    def read_verification(self, node: Node) -> CheckStep:
        """Return one item of `verify`."""
        opened = self._open(node, VERIFY, self.scope_after_checks)
        expect = self._expect(opened, self.scope_after_checks)
        within, every = opened.section.duration("within"), opened.section.duration("every")
        if every is not None and every < _SHORTEST_PAUSE:
            place = opened.section.place_of("every")
            self._findings.add("`every` is too short", "Wait at least 1s between two looks", place)
        if every is not None and within is None:
            place = opened.section.key_place("every")
            self._findings.add(
                "`every` without `within` has no effect", "Add `within: 5m`, or delete it", place
            )
        return CheckStep(**opened.common, expect=expect, within=within, every=every)

    def read_action(self, node: Node) -> ActionStep:
        """Return one item of `do`."""
        opened = self._open(node, ACTION, self.scope_after_checks)
        return ActionStep(**opened.common, gate=self._gate(opened), undo=self._undo(opened))

    def read_telling(self, node: Node) -> Step:
        """Return one item of `otherwise`."""
        return Step(**self._open(node, TELLING, self.scope_after_checks).common)

    def _gate(self, opened: _Opened) -> GateRule | None:
        """Return the step's own gate; where there is none, remember what it does without one."""
        node = opened.section.node("gate")
        if node is None:
            if opened.declaration is not None:
                self.ungated.add(opened.declaration.effect)
            return None
        gate = self._gates.read(node, opened.section.key_place("gate"), self.scope_after_checks)
        self.gates.append(gate)
        return gate

    def _undo(self, opened: _Opened) -> Step | None:
        node = opened.section.node("undo")
        if node is None:
            if opened.declaration is not None and opened.declaration.effect in CHANGING:
                remedy = "Say how to take it back, or that nothing does: `undo: none`"
                self._findings.add("an action needs `undo`", remedy, opened.section.place)
            return None
        if isinstance(node, ScalarNode) and node.value == "none":
            return None
        defaults = {
            "id": f"{opened.common['id'][:_LONGEST_SLUG]}_undo",
            "name": f"Undo: {opened.common['name']}"[:_LONGEST_NAME],
        }
        return Step(**self._open(node, UNDO, self.scope_after_checks, defaults).common)

    def _open(
        self,
        node: Node,
        words: WordList,
        scope: Scope,
        defaults: Mapping[str, str] | None = None,
    ) -> _Opened:
        """Read what all steps have."""
        section = Section(node, words, self._findings)
        declaration = self._declaration(section, words)
        name = self._name(section, declaration, defaults or {})
        arguments = section.mapping("with")
        if declaration is not None:
            self.effects.add(declaration.effect)
        if declaration is not None and arguments is not None:
            missed_at = section.key_place("with" if "with" in section else "uses")
            ParameterCheck(declaration, scope, self._findings).check(arguments, missed_at)
        common = {
            "id": self._id(section, name, (defaults or {}).get("id")),
            "name": name,
            "uses": declaration.name if declaration is not None else "",
            "arguments": plain_value(arguments) if arguments is not None else {},
            "condition": self._condition(section, scope),
            "place": section.place,
        }
        return _Opened(section, declaration, common)

    def _declaration(self, section: Section, words: WordList) -> Declaration | None:
        uses = section.text("uses")
        if uses is None:
            return None
        declaration = self._vocabulary.get(uses)
        fitting = [name for name, each in self._vocabulary.items() if each.effect in words.effects]
        if declaration is None:
            problem = f"there is no action {shown(uses)}"
            self._findings.add(problem, suggestion(uses, fitting), section.place_of("uses"))
        elif declaration.effect not in words.effects:
            problem = f"{uses} cannot stand in {words.title}: its effect is {declaration.effect}"
            remedy = f"Use one of: {', '.join(sorted(fitting))}" if fitting else "Delete the step"
            self._findings.add(problem, remedy, section.place_of("uses"))
        return declaration

    def _name(self, section: Section, declaration: Declaration | None, defaults: Mapping[str, str]) -> str:
        unnamed = declaration.summary if declaration is not None else f"step in line {section.place.line}"
        name = section.plain_text("name") or defaults.get("name", unnamed)
        if len(name) > _LONGEST_NAME or not name.isprintable():
            remedy = f"Write one line of at most {_LONGEST_NAME} characters"
            self._findings.add("a step's name is not one short line", remedy, section.place_of("name"))
        return name

    def _id(self, section: Section, name: str, default: str | None) -> str:
        place = section.key_place("id" if "id" in section else "name")
        identity = section.text("id") or default or _slug(name)
        if not _ID.fullmatch(identity):
            problem = f"{shown(identity or name)} gives no id for the step"
            self._findings.add(problem, "Add `id:` with a-z, 0-9 and _, beginning with a letter", place)
        elif identity in self._ids:
            problem = f"two steps have the id `{identity}`, the first in line {self._ids[identity].line}"
            self._findings.add(problem, "Name one of them differently, or give it an `id:`", place)
        self._ids.setdefault(identity, place)
        return identity

    def _condition(self, section: Section, scope: Scope) -> str | None:
        expression = section.expression("if")
        return self._checked(expression, scope, section.place_of("if"))

    def _expect(self, opened: _Opened, scope: Scope) -> str | None:
        expression = opened.section.expression("expect")
        place = opened.section.place_of("expect")
        if expression is not None and "result" not in roots_of(expression):
            self._findings.add(
                "`expect` does not look at what was measured", "Compare `result`: `result.value > 0.9`", place
            )
        return self._checked(expression, scope.judging(opened.declaration), place)

    def _checked(self, expression: Expression | None, scope: Scope, place: Place) -> str | None:
        if expression is None:
            return None
        with self._findings.at(place):
            inspect_expressions(expression, scope)
        return expression.source


def _slug(name: str) -> str:
    slug = _NO_SLUG.sub("_", name.lower()).strip("_")
    slug = f"step_{slug}" if slug[:1].isdigit() else slug
    return slug[:_LONGEST_SLUG].rstrip("_")
