"""Gates: who must agree, as a runbook says it, of its whole plan or of one step.

    gate:
      if: labels.env == "prod"
      approvers: [sre-oncall]
      need: 2
      within: 15m
      otherwise: [incident-commanders, within 15m, stop]

`otherwise` is a chain, read from left to right: groups, and how long they have, again and again, and
at last the end.  There is one end, `stop`, because silence is never a yes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

from runbooks.language.durations import parse_duration
from runbooks.language.expressions import is_template
from runbooks.language.findings import Findings, shown
from runbooks.language.reading import Section, text_of
from runbooks.language.scope import Scope, inspect_expressions
from runbooks.language.source import ListNode, Node, ScalarNode
from runbooks.language.words import GATE
from runbooks.model.plan import GateTerms, Link
from runbooks.model.runbook import GateRule, Place

END = "stop"
"""The one end of a chain: nothing is done."""

MOST_PEOPLE = 10
"""No gate needs more: whoever writes so has another meaning of `need` in mind."""

WITHIN = "within "

_OPEN_FOR = timedelta(minutes=15)
_EXAMPLE = "`otherwise: [incident-commanders, within 15m, stop]`"

Members = Mapping[str, Collection[str]]


class GateReader:
    """Reads the gates of one runbook.

    Args:
        members: who is in which group, where a file says so of everybody; None: that is asked elsewhere,
            when it matters.
    """

    def __init__(self, findings: Findings, members: Members | None = None) -> None:
        self._findings = findings
        self._members = members

    def read(self, node: Node, place: Place, scope: Scope) -> GateRule:
        """Return the gate that `node` writes.

        Args:
            place: where the word `gate` stands.
            scope: what its `if` may name.
        """
        section = Section(node, GATE, self._findings)
        condition = section.expression("if")
        if condition is not None:
            with self._findings.at(section.place_of("if")):
                inspect_expressions(condition, scope)
        approvers = tuple(self._group(item, "an approver group") for item in section.items("approvers"))
        rule = GateRule(
            approvers=tuple(group for group in approvers if group),
            need=self._need(section),
            within=section.duration("within") or _OPEN_FOR,
            otherwise=_Chain(self._findings, set(approvers)).read(section.node("otherwise")),
            condition=condition.source if condition is not None else None,
            place=place,
        )
        self._refuse_what_nobody_can_answer(rule, section)
        return rule

    def _group(self, node: Node, name: str) -> str:
        return _group(node, name, self._findings)

    def _need(self, section: Section) -> int:
        node = section.node("need")
        if node is None:
            return 1
        number = node.value if isinstance(node, ScalarNode) else None
        if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= MOST_PEOPLE:
            return number
        problem = "`need` does not say how many people must approve"
        self._findings.add(problem, f"Write a whole number, 1 to {MOST_PEOPLE}", node.place)
        return 1

    def _refuse_what_nobody_can_answer(self, rule: GateRule, section: Section) -> None:
        if self._members is None or not rule.approvers:
            return
        terms = GateTerms(
            approvers=rule.approvers, need=rule.need, within=rule.within, otherwise=rule.otherwise
        )
        people = {person for group in terms.everybody for person in self._members.get(group, ())}
        if len(people) >= rule.need:
            return
        groups = " and ".join(map(shown, terms.everybody))
        self._findings.add(
            f"{rule.need} must approve, and {groups} have {len(people)} members in all",
            "Add members in the connections file, name further groups, or ask for fewer",
            section.place_of("need" if "need" in section else "approvers"),
        )


class _Chain:
    """Reads what stands under a gate's `otherwise`: who is asked in turn, and the end.

    Args:
        asked: the groups that are asked before.
    """

    def __init__(self, findings: Findings, asked: set[str]) -> None:
        self._findings = findings
        self._asked = asked
        self._links: list[Link] = []
        self._waiting: list[str] = []  # groups of which it is not said yet how long they are asked

    def read(self, node: Node | None) -> tuple[Link, ...]:
        """Return the links that `node` writes; none where there is none."""
        if node is None:
            return ()
        items = node.items if isinstance(node, ListNode) else (node,)
        if not items or not _is(items[-1], END):
            last = items[-1] if items else node
            said = (
                f"{shown(last.value)} is no end of a gate"
                if isinstance(last, ScalarNode)
                else "a gate has no end"
            )
            self._findings.add(said, f"End with `{END}`: nothing is done then. {_EXAMPLE}", last.place)
            return ()
        for item in items[:-1]:
            self._take(item)
        if self._waiting:
            self._findings.add(
                f"it is not said how long {shown(self._waiting[-1])} is asked",
                f"Write it after the group: {_EXAMPLE}",
                items[-1].place,
            )
        return tuple(self._links)

    def _take(self, node: Node) -> None:
        if _is(node, END):
            self._findings.add(f"nothing comes after `{END}`", "Write it once, at the end", node.place)
        elif isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value.startswith(WITHIN):
            self._take_time(node.value.removeprefix(WITHIN).strip(), node.place)
        elif group := _group(node, "a group in a gate's `otherwise`", self._findings):
            self._take_group(group, node.place)

    def _take_time(self, text: str, place: Place) -> None:
        if not self._waiting:
            problem = f"`{WITHIN}` says of nobody how long they are asked"
            self._findings.add(problem, f"Name a group before it: {_EXAMPLE}", place)
        with self._findings.at(place):
            self._links.append(Link(approvers=tuple(self._waiting), within=parse_duration(text)))
        self._waiting.clear()

    def _take_group(self, group: str, place: Place) -> None:
        if group in self._asked:
            remedy = "Name others: whoever was asked may still answer"
            self._findings.add(f"{shown(group)} is asked already", remedy, place)
        self._asked.add(group)
        self._waiting.append(group)


def _group(node: Node, name: str, findings: Findings) -> str:
    """Return a group's name; empty after a finding."""
    group = text_of(node, name, findings) or ""
    if is_template(group):
        remedy = "Write it out: no alert chooses who may answer"
        findings.add("an approver group cannot be a template", remedy, node.place)
        return ""
    return group


def _is(node: Node, word: str) -> bool:
    return isinstance(node, ScalarNode) and node.value == word
