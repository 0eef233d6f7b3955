"""The inputs of a runbook: what a person must say who runs it by hand.

A runbook is a function of an alert, so its inputs are the labels that it reads: those of its target,
of its templates, and of the matchers under `when`.  A matcher says more than that a label is needed: it
says which values there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import nodes

from runbooks.errors import RunbookError
from runbooks.language.expressions import parse_expression, parse_template
from runbooks.language.matching import matches
from runbooks.model.base import Value
from runbooks.model.runbook import Matcher, MatchOperator, Runbook, Step

TARGET = "target"
"""What a person may write instead of the label that the target is made of."""

LONGEST_CHOICE = 20  # alternatives of a regular expression that are offered one by one

_ALTERNATIVES = re.compile(r"[\w.:-]+(\|[\w.:-]+)*")
_IS_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


class RunInput(Value):
    """One label that a runbook reads.

    Attributes:
        choices: the values that it may have; empty where any will do.
        required: False where the runbook asks whether it is there.
        is_target: the target is this label's value.
    """

    name: str
    choices: tuple[str, ...] = ()
    required: bool = True
    is_target: bool = False


def inputs_of(runbook: Runbook) -> tuple[RunInput, ...]:
    """Return the labels that `runbook` reads, that of its target first."""
    target = label_of_target(runbook)
    read, asked = _labels_read(runbook)
    choices = {
        matcher.label: _choices(matcher) for trigger in runbook.when[:1] for matcher in trigger.matchers
    }
    names = dict.fromkeys((*([target] if target else []), *read, *choices))
    return tuple(
        RunInput(
            name=name,
            choices=choices.get(name, ()),
            required=name not in asked,
            is_target=name == target,
        )
        for name in names
        if name != "alertname"
    )


def label_of_target(runbook: Runbook) -> str:
    """Return the label whose value is the target; empty where it is made of more than that."""
    template = parse_template(runbook.target)
    found = [_label_of(each) for each in template.expressions]
    return found[0] if template.is_one_expression and found[0] else ""


def with_target(runbook: Runbook, given: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that are meant by `given`, in which `target` may stand for the target's label."""
    labels, name = dict(given), label_of_target(runbook)
    if TARGET in labels and name and name not in labels:
        labels[name] = labels.pop(TARGET)
    return labels


def mistakes_in(runbook: Runbook, labels: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with labels that a person gave for `runbook`, by label; empty where nothing is."""
    wrong = {name: f"{name} is not the name of a label" for name in labels if not _IS_LABEL.fullmatch(name)}
    for each in inputs_of(runbook):
        if each.required and not labels.get(each.name):
            wrong[each.name] = f"{runbook.name} needs the label {each.name}"
        elif each.choices and labels.get(each.name, each.choices[0]) not in each.choices:
            wrong[each.name] = f"{each.name} must be one of: {', '.join(each.choices)}"
    first = runbook.when[0] if runbook.when else None
    if first and not wrong and not matches(runbook, {"alertname": first.alert, **labels}):
        failed = next(
            (each for each in first.matchers if not _fits(runbook, each, labels)), first.matchers[0]
        )
        said = f'{failed.label}{failed.operator}"{failed.value}"'
        wrong[failed.label] = f"{runbook.name} is for alerts with {said}"
    return wrong


def _fits(runbook: Runbook, matcher: Matcher, labels: Mapping[str, str]) -> bool:
    first = runbook.when[0]
    alone = runbook.model_copy(update={"when": (first.model_copy(update={"matchers": (matcher,)}),)})
    return matches(alone, {"alertname": first.alert, **labels})


def _choices(matcher: Matcher) -> tuple[str, ...]:
    if matcher.operator is MatchOperator.EQUAL and matcher.value:
        return (matcher.value,)
    if matcher.operator is MatchOperator.REGEX and _ALTERNATIVES.fullmatch(matcher.value):
        alternatives = tuple(matcher.value.split("|"))
        return alternatives if len(alternatives) <= LONGEST_CHOICE else ()
    return ()


def _labels_read(runbook: Runbook) -> tuple[list[str], set[str]]:
    """Return the labels that the runbook reads, and those of them that it asks for before."""
    read: list[str] = []
    asked: set[str] = set()
    for expression in _expressions(runbook):
        for node in (expression, *expression.find_all(nodes.Node)):
            if name := _label_of(node):
                read.append(name)
            if isinstance(node, nodes.Test) and node.name == "defined" and (name := _label_of(node.node)):
                asked.add(name)
    return list(dict.fromkeys(read)), asked


def _label_of(node: nodes.Node) -> str:
    """Return NAME where `node` is `labels.NAME` or `labels["NAME"]`, else an empty text."""
    if not isinstance(node, nodes.Getattr | nodes.Getitem):
        return ""
    if not isinstance(node.node, nodes.Name) or node.node.name != "labels":
        return ""
    if isinstance(node, nodes.Getattr):
        return node.attr
    return str(node.arg.value) if isinstance(node.arg, nodes.Const) else ""


def _expressions(runbook: Runbook) -> Iterator[nodes.Expr]:
    yield from parse_template(runbook.target).expressions
    conditions = [runbook.gate.condition] if runbook.gate else []
    for step in _steps(runbook):
        conditions.append(step.condition)
        for text in _texts(step.arguments):
            yield from _parsed(text)
    for condition in conditions:
        if condition is not None:
            yield from parse_expression(condition).expressions


def _parsed(text: str) -> list[nodes.Expr]:
    try:
        return list(parse_template(text).expressions)
    except RunbookError:  # a text that looks like a template and is none, where the language takes texts
        return []


def _steps(runbook: Runbook) -> Iterator[Step]:
    yield from runbook.checks
    for action in runbook.actions:
        yield action
        if action.undo is not None:
            yield action.undo
    yield from runbook.verify
    yield from runbook.otherwise


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
