"""The document: from the text of a runbook's file to a checked `Runbook`.

All that can be found before the first alert is found here: unknown words and actions, parameters
that are missing or of the wrong type, names that an expression cannot know, values that would
stand where they cannot be escaped, and rules about the runbook as a whole (`rules`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

from runbooks.language.expressions import parse_template
from runbooks.language.findings import Findings, RunbookErrors, shown, suggestion
from runbooks.language.gates import GateReader, Members
from runbooks.language.limits import parse_at_once, parse_attempts
from runbooks.language.matching import parse_matcher
from runbooks.language.reading import Section, text_of
from runbooks.language.rules import judge
from runbooks.language.scope import Scope, inspect_expressions
from runbooks.language.source import Node, ScalarNode, plain_value, read_yaml
from runbooks.language.steps import StepReader
from runbooks.language.words import DOCUMENT, LIMITS, TRIGGER
from runbooks.model.action import Declaration
from runbooks.model.runbook import Autonomy, GateRule, Limits, Matcher, Runbook, Trigger

__all__ = ["RunbookErrors", "parse_runbook"]

T = TypeVar("T")

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST_NAME = 63  # characters; the name is a metric label and part of a workflow's id
_LONGEST_SUMMARY = 300  # characters

_TARGET = Scope("`target`", frozenset({"labels", "annotations"}))


def parse_runbook(
    text: str, *, file: str, vocabulary: Mapping[str, Declaration], members: Members | None = None
) -> Runbook:
    """Return the runbook that `text` writes.

    Args:
        text: what stands in the file.
        file: its name, for errors.
        vocabulary: the declared actions, by name.
        members: who is in which approver group, where that is known of everybody beforehand.

    Raises:
        RunbookErrors: holds everything that is wrong with it.
    """
    findings = Findings(file)
    node = read_yaml(text, findings)
    gates = GateReader(findings, members)
    runbook = _Document(Section(node, DOCUMENT, findings), vocabulary, gates).read(text)
    findings.settle()
    return runbook


class _Document:
    """Reads the sections of one runbook.  Where something is wrong it goes on with a stand-in."""

    def __init__(self, section: Section, vocabulary: Mapping[str, Declaration], gates: GateReader) -> None:
        self._section = section
        self._findings = section.findings
        self._gates = gates
        self._steps = StepReader(vocabulary, section.findings, gates)

    def read(self, text: str) -> Runbook:
        """Return the runbook; it means nothing where there are findings."""
        section, steps = self._section, self._steps
        checks = tuple(steps.read_check(item) for item in section.items("check"))  # the others may name them
        gate = self._gate()
        actions = tuple(steps.read_action(item) for item in section.items("do"))
        runbook = Runbook(
            name=self._name(),
            summary=self._summary(),
            owner=section.plain_text("owner") or "",
            digest=hashlib.sha256(text.encode()).hexdigest(),
            autonomy=self._autonomy(),
            when=tuple(self._trigger(item) for item in section.items("when")),
            target=self._target(),
            target_place=section.place_of("target"),
            limits=self._limits(),
            checks=checks,
            gate=gate,
            actions=actions,
            verify=tuple(steps.read_verification(item) for item in section.items("verify")),
            otherwise=tuple(steps.read_telling(item) for item in section.items("otherwise")),
        )
        judge(runbook, section, steps)
        return runbook

    def _name(self) -> str:
        name = self._section.text("runbook") or "unnamed"
        if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
            remedy = f"Use at most {_LONGEST_NAME} of a-z, 0-9 and single hyphens: host-disk-full"
            self._findings.add(
                f"{shown(name)} is not a runbook's name", remedy, self._section.place_of("runbook")
            )
        return name

    def _summary(self) -> str:
        summary = self._section.plain_text("summary") or ""
        if len(summary) > _LONGEST_SUMMARY or not summary.isprintable():
            remedy = f"Write one line of at most {_LONGEST_SUMMARY} characters"
            self._findings.add("the summary is no single sentence", remedy, self._section.place_of("summary"))
        return summary

    def _autonomy(self) -> Autonomy:
        word = self._section.text("autonomy")
        is_gated = "gate" in self._section or self._steps.every_change_is_gated
        if word is None:  # where nobody is asked and anything is changed, the rules want the word
            return Autonomy.GATED if is_gated else Autonomy.AUTOMATIC
        if word not in set(Autonomy):
            place = self._section.place_of("autonomy")
            self._findings.add(f"there is no autonomy {shown(word)}", suggestion(word, Autonomy), place)
            return Autonomy.OBSERVE if is_gated else Autonomy.AUTOMATIC  # both break no rule
        return Autonomy(word)

    def _target(self) -> str:
        target = self._section.text("target") or ""
        with self._findings.at(self._section.place_of("target")):
            inspect_expressions(parse_template(target), _TARGET)
        return target

    def _limits(self) -> Limits:
        node = self._section.node("limits")
        if node is None:
            return Limits()
        section = Section(node, LIMITS, self._findings)
        return Limits(
            cooldown=section.duration("cooldown") or timedelta(),
            attempts=self._limit(section, "attempts", parse_attempts),
            at_once=self._limit(section, "at_once", parse_at_once),
        )

    def _limit(self, section: Section, word: str, parse: Callable[[str], T]) -> T | None:
        node = section.node(word)
        if node is None:
            return None
        # A bare number is no limit, and quotes around it would not make it one.
        number = isinstance(node, ScalarNode) and isinstance(node.value, int | float)
        text = str(plain_value(node)) if number else section.text(word)
        if text is not None:
            with self._findings.at(section.place_of(word)):
                return parse(text)
        return None

    def _trigger(self, node: Node) -> Trigger:
        section = Section(node, TRIGGER, self._findings)
        alert = section.plain_text("alert") or ""
        matchers = (self._matcher(item) for item in section.items("matchers"))
        return Trigger(alert=alert, matchers=tuple(matcher for matcher in matchers if matcher is not None))

    def _matcher(self, node: Node) -> Matcher | None:
        text = text_of(node, "a matcher", self._findings)
        if text is None:
            return None
        with self._findings.at(node.place):
            return parse_matcher(text)
        return None

    def _gate(self) -> GateRule | None:
        node = self._section.node("gate")
        if node is None:
            return None
        return self._gates.read(node, self._section.key_place("gate"), self._steps.scope_after_checks)
