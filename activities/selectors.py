"""Which series a PromQL expression reads.

Prometheus answers with the time of the *evaluation*: a value that was scraped minutes ago looks
like one of now, and `timestamp(<expression>)` tells the truth only about a plain selector.  So
whoever wants to know how old an answer is has to ask about each selector in it.  Finding those
needs no full grammar: strings, comments, ranges and lists of labels are skipped, and a name that
is neither called nor a word of the language is a metric.

Not seen: a metric that is named like a word of the language (`offset`, `by`); quote such a name
(`{__name__="offset"}`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

_TOKEN = re.compile(
    r"""
      (?P<blank>\s+|\#[^\n]*)
    | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
    | (?P<number>(?:[0-9]|\.[0-9])[0-9A-Za-z_.]*)
    | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    | (?P<range>\[[^\]]*\])
    | (?P<operator>=~|!~|!=|==|>=|<=|[-+*/%^=<>(){},@])
    """,
    re.VERBOSE,
)
_LABEL_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = _LABEL_LISTS | {"and", "or", "unless", "atan2", "bool", "offset", "inf", "nan"}
_OF_TARGET = ("job", "instance")
_TARGET_MATCHER = re.compile(rf"(?:{'|'.join(_OF_TARGET)})\s*[=!]")


class UnreadableQueryError(ValueError):
    """The text is not PromQL as far as this module reads it."""


@dataclass(frozen=True)
class Selector:
    """One instant selector, without range, offset and @: `disk_used_ratio{instance="web-1"}`.

    Attributes:
        name: of the metric; empty where only the matchers name it.
        matchers: as they were written.
    """

    name: str
    matchers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}{{{','.join(self.matchers)}}}" if self.matchers else self.name

    @property
    def of_target(self) -> Selector:
        """`up`, narrowed to the targets that this selector names by job and instance."""
        return Selector("up", tuple(each for each in self.matchers if _TARGET_MATCHER.match(each)))

    def narrowed(self, labels: Mapping[str, str]) -> Selector:
        """Return this selector for the job and the instance in `labels`, where there are any."""
        further = tuple(f"{name}={quoted(labels[name])}" for name in _OF_TARGET if labels.get(name))
        return replace(self, matchers=self.matchers + further)


def quoted(value: str) -> str:
    """Return `value` as a PromQL string literal."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def selectors(expression: str) -> tuple[Selector, ...]:
    """Return the selectors in `expression`, each once, in their order.

    Raises:
        UnreadableQueryError: it is not PromQL.
    """
    tokens = _Tokens(expression)
    return tuple(dict.fromkeys(_find(tokens)))


def _find(tokens: _Tokens) -> Iterator[Selector]:
    while tokens.left:
        kind, text = tokens.take()
        if text == "{":
            yield Selector("", tokens.take_matchers())
        elif kind == "name":
            if tokens.next == "(":
                _skip_label_list(text, tokens)
            elif tokens.next.lower() not in {"by", "without"} and text.lower() not in _WORDS:
                yield Selector(text, tokens.take_matchers() if tokens.skip("{") else ())


def _skip_label_list(name: str, tokens: _Tokens) -> None:
    if name.lower() in _LABEL_LISTS:
        while tokens.take()[1] != ")":
            pass


class _Tokens:
    """The tokens of one expression, taken from the front."""

    def __init__(self, expression: str) -> None:
        self._tokens = list(_tokens_of(expression))[::-1]

    @property
    def left(self) -> bool:
        return bool(self._tokens)

    @property
    def next(self) -> str:
        return self._tokens[-1][1] if self._tokens else ""

    def take(self) -> tuple[str, str]:
        if not self._tokens:
            raise UnreadableQueryError("it ends too early")
        return self._tokens.pop()

    def skip(self, text: str) -> bool:
        found = self.next == text
        if found:
            self.take()
        return found

    def take_matchers(self) -> tuple[str, ...]:
        """Take what stands up to the closing brace, whose opening one is taken already."""
        matchers = [""]
        while (token := self.take())[1] != "}":
            if token[1] == ",":
                matchers.append("")
            else:
                matchers[-1] += token[1]
        return tuple(each for each in matchers if each)


def _tokens_of(expression: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(expression):
        found = _TOKEN.match(expression, position)
        if found is None:
            raise UnreadableQueryError(f"{expression[position : position + 20]!r} is not understood")
        position = found.end()
        if found.lastgroup != "blank":
            yield found.lastgroup or "", found.group()
