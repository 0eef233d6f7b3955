"""From YAML text to nodes that know where they stand.

Only the part of YAML 1.2 that a runbook needs, or another file that people review: mappings, lists
and scalars.  Anchors, aliases, tags, merge keys, duplicate keys and several documents are refused,
because each of them can make a file say something else than what a reviewer reads (or grow without
end when it is loaded).

A plain scalar is a number, `true`, `false` or `null` only where it looks like one in JSON.
Everything else is text, also what YAML 1.1 read as something else: `NO`, `0123`, `12:30:45`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from runbooks.language.findings import Findings, shown
from runbooks.model.runbook import Place

MOST_BYTES = 256 * 1024
MOST_LINES = 4000
LONGEST_LINE = 4096  # characters
DEEPEST = 20  # mappings and lists inside each other
MOST_NODES = 2000  # a runbook of 100 lines has about 250

_NESTED = f"this is nested more than {DEEPEST} deep"

# Seen here and not only while composing: the scanner would first look 1024 brackets ahead, in 0.2 s.
_TOO_DEEP = re.compile(rf"(?:[\[{{][ \t]*){{{DEEPEST}}}[\[{{]")

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,15})?(?:[eE][-+]?[0-9]{1,2})?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}

START = Place(line=1, column=1)


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A text, number, truth value or null."""

    place: Place
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping.

    Attributes:
        keys: where each key stands.
    """

    place: Place
    entries: dict[str, Node]
    keys: dict[str, Place]


Node = ScalarNode | ListNode | MapNode


def plain_value(node: Node) -> Any:
    """Return `node` without places: dict, list and scalars."""
    if isinstance(node, MapNode):
        return {key: plain_value(value) for key, value in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain_value(item) for item in node.items]
    return node.value


def read_yaml(text: str, findings: Findings, *, times: int = 1) -> Node:
    """Return the one document in `text`.

    Args:
        times: how many times the size of a runbook it may have.

    Raises:
        RunbookErrors: it is not YAML, or uses what is refused here.
    """
    _refuse_oversize(text, findings, times)
    findings.settle()
    node = _Composer(text, findings, times * MOST_NODES).document()
    findings.settle()
    return node


def _refuse_oversize(text: str, findings: Findings, times: int) -> None:
    remedy, most = _too_long(findings), times * MOST_BYTES
    if (size := len(text.encode(errors="replace"))) > most:
        findings.add(f"the file has {size} bytes; at most {most} are read", remedy, START)
        return
    lines, most = text.splitlines(), times * MOST_LINES
    if len(lines) > most:
        findings.add(f"the file has {len(lines)} lines; at most {most} are read", remedy, START)
    for number, line in enumerate(lines, start=1):
        if len(line) > LONGEST_LINE:
            problem = f"the line has {len(line)} characters; at most {LONGEST_LINE} are read"
            findings.add(problem, remedy, Place(line=number, column=LONGEST_LINE + 1))
        elif deep := _TOO_DEEP.search(line):
            findings.add(_NESTED, "Write it flatter", Place(line=number, column=deep.end()))


def _too_long(findings: Findings) -> str:
    return f"{findings.what.capitalize()} is short; split it or look for what was pasted into it"


class _Abandon(Exception):  # noqa: N818 - not an error: the finding is recorded, the rest cannot be read
    """Stop reading: what follows would make no sense, or take too long."""


class _Composer:
    """Builds nodes from ruamel's events, so that refusal needs no more than what was read so far."""

    def __init__(self, text: str, findings: Findings, most_nodes: int) -> None:
        self._findings = findings
        self._most_nodes = most_nodes
        self._events = self._watched(text)
        self._depth = 0
        self._nodes = 0

    def document(self) -> Node:
        """Return the document.  Where there is a finding, what is returned means nothing."""
        try:
            return self._document()
        except _Abandon:
            return ScalarNode(START, None)

    def _document(self) -> Node:
        event = self._after(StreamStartEvent)
        if isinstance(event, StreamEndEvent):
            self._abandon("the file is empty", f"Begin with {self._findings.first}", event)
        if event.version or event.tags:
            problem = f"a YAML directive is not allowed in {self._findings.what}"
            self._findings.add(problem, "Delete the line that begins with %", START)
        node = self._node(next(self._events))
        event = self._after(DocumentEndEvent)
        if isinstance(event, DocumentStartEvent):
            self._refuse("a second document", "Write one runbook in each file; delete `---`", event)
        return node

    def _after(self, kind: type[Event]) -> Any:
        assert isinstance(next(self._events), kind)
        return next(self._events)

    def _node(self, event: Any) -> Node:
        self._admit(event)
        place = _place(event.start_mark)
        if isinstance(event, AliasEvent):
            self._refuse("an alias", "Write the value out where it is needed", event)
            return ScalarNode(place, None)
        if isinstance(event, ScalarEvent):
            return ScalarNode(place, self._scalar(event))
        self._depth += 1
        if self._depth > DEEPEST:
            self._abandon(_NESTED, "Write it flatter", event)
        node = self._list(place) if isinstance(event, SequenceStartEvent) else self._mapping(place)
        self._depth -= 1
        return node

    def _admit(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > self._most_nodes:
            self._abandon(
                f"the file has more than {self._most_nodes} values",
                _too_long(self._findings),
                event,
            )
        if not isinstance(event, AliasEvent) and event.anchor is not None:
            self._refuse("an anchor", "Delete it and write the value out where it is needed", event)
        if getattr(event, "tag", None) is not None:
            self._refuse("a tag", "Delete it; quotes make a text", event)

    def _scalar(self, event: Any) -> str | int | float | bool | None:
        text: str = event.value
        if any("\ud800" <= sign <= "\udfff" for sign in text):
            self._refuse("half a surrogate pair", "Write the character itself", event)
        return _resolve(text) if event.style is None else text

    def _list(self, place: Place) -> ListNode:
        items = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event))
        return ListNode(place, tuple(items))

    def _mapping(self, place: Place) -> MapNode:
        entries: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event)
            if key in keys:
                problem = f"{shown(key)} is written twice, first in line {keys[key].line}"
                self._findings.add(problem, "Keep one of them", _place(event.start_mark))
            keys[key] = _place(event.start_mark)
            value = self._node(next(self._events))
            nothing = isinstance(value, ScalarNode) and value.value is None
            entries[key] = ScalarNode(keys[key], None) if nothing else value  # it stands nowhere itself
        return MapNode(place, entries, keys)

    def _key(self, event: Any) -> str:
        if isinstance(event, MappingStartEvent) and event.flow_style:
            self._abandon(
                "a template without quotes around it is not text",
                'Put it in quotes: "{{ labels.instance }}"',
                event,
            )
        if not isinstance(event, ScalarEvent):
            self._abandon("a key that is not text", "Write a word and a colon", event)
        self._admit(event)
        if event.style is None and event.value == "<<":
            self._refuse("a merge key", "Write out what it would merge", event)
        return str(event.value)

    def _refuse(self, thing: str, remedy: str, event: Any) -> None:
        self._findings.add(
            f"{thing} is not allowed in {self._findings.what}", remedy, _place(event.start_mark)
        )

    def _abandon(self, problem: str, remedy: str, event: Any) -> None:
        self._findings.add(problem, remedy, _place(event.start_mark))
        raise _Abandon

    def _watched(self, text: str) -> Iterator[Any]:
        """Yield the events of `text`; a syntax error becomes a finding."""
        try:
            yield from YAML(typ="safe", pure=True).parse(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._not_yaml(str(error.problem), _place(mark))
        except YAMLError as error:  # the reader's, for a character that YAML does not allow
            self._not_yaml(str(error).partition("\n")[0], _place_of(text, getattr(error, "position", 0)))
        except ValueError as error:  # ruamel hands numbers in escapes and directives to Python unchecked
            self._not_yaml(str(error).partition(";")[0], START)

    def _not_yaml(self, problem: str, place: Place) -> None:
        tab = "'\\t'" in problem
        remedy = "Indent with spaces" if tab else "Look at the quotes, colons and indentation up to here"
        self._findings.add(f"this is not YAML: {problem}", remedy, place)
        raise _Abandon


def _place(mark: Any) -> Place:
    return Place(line=mark.line + 1, column=mark.column + 1)


def _place_of(text: str, position: int) -> Place:
    before = text[:position]
    return Place(line=before.count("\n") + 1, column=position - (before.rfind("\n") + 1) + 1)


def _resolve(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
