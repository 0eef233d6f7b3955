"""Escaping: how a value from outside is put into a parameter's text and stays a value.

The parameter's type decides, not the author of the runbook.  Each kind knows two things: where
in the text an expression may stand at all (checked when the runbook is loaded), and what to do
to the value there.  Because texts and values are kept apart until here, nothing is ever searched
for in a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn
from urllib.parse import quote, unquote

from runbooks.errors import RunbookError
from runbooks.language.findings import shown
from runbooks.model.action import Escape


class Escaping:
    """Plain text: values stand as they are.  The others differ from it."""

    def inspect(self, texts: Sequence[str]) -> None:
        """Do nothing if a value may stand between each two of `texts`.

        Raises:
            RunbookError: it may not; without a place.
        """

    def join(self, texts: Sequence[str], values: Sequence[str]) -> str:
        """Return `texts` with the escaped `values` between them.

        Raises:
            RunbookError: a value cannot be made harmless here; without a place.
        """
        return _interleave(texts, [self.escape(value) for value in values])

    def escape(self, value: str) -> str:
        """Return `value` as it may stand in the text."""
        return value


class _PromQL(Escaping):
    """A value is the content of a string literal, or a part of it, and ends where the value ends."""

    def inspect(self, texts: Sequence[str]) -> None:
        _literals(tuple(texts))

    def join(self, texts: Sequence[str], values: Sequence[str]) -> str:
        literals = _literals(tuple(texts))
        return _interleave(texts, [_in_literal(*pair) for pair in zip(values, literals, strict=True)])


class _Argument(Escaping):
    """A value never becomes an option that the author did not write."""

    def join(self, texts: Sequence[str], values: Sequence[str]) -> str:
        item = _interleave(texts, values)
        if "\0" in item:
            _refuse("an argument would hold a NUL character", "Mend the sender: no program can be given it")
        if not texts[0] and item.startswith("-"):
            _refuse(
                f"the argument would be the option {shown(item)}",
                "Write something before the value that makes it no option, as in `./{{ ... }}` or `--name={{ ... }}`",
            )
        return item


class _UrlPath(Escaping):
    """A value is one segment of the path or one value of the query, or a part of it."""

    def inspect(self, texts: Sequence[str]) -> None:
        if len(texts) > 1 and not texts[0].startswith("/"):
            _refuse(
                "a path that begins with a value", "Begin with `/`; the address is the operator's to choose"
            )

    def escape(self, value: str) -> str:
        return quote(value, safe="")

    def join(self, texts: Sequence[str], values: Sequence[str]) -> str:
        address = super().join(texts, values)
        path = address.partition("?")[0]
        if values and any(_climbs(segment) for segment in path.split("/")):
            _refuse(f"the path {shown(path)} would lead elsewhere", "A segment cannot be `.` or `..`")
        _refuse_gap(texts, values)
        return address


class _SlackText(Escaping):
    """A value is never a mention, a link, or a line of its own."""

    def escape(self, value: str) -> str:
        visible = _INVISIBLE.sub("", _SPACE.sub(" ", value))
        return visible.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_SPACE = re.compile(r"[\t-\r\x85\u2028\u2029]+")
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")

ESCAPING: dict[Escape, Escaping] = {
    Escape.PLAIN: Escaping(),
    Escape.PROMQL: _PromQL(),
    Escape.ARGUMENT: _Argument(),
    Escape.URL_PATH: _UrlPath(),
    Escape.SLACK: _SlackText(),
}


def _interleave(texts: Sequence[str], values: Sequence[str]) -> str:
    return texts[0] + "".join(value + text for value, text in zip(values, texts[1:], strict=True))


def _climbs(segment: str) -> bool:
    return any(part in {".", ".."} for part in unquote(segment).replace("\\", "/").split("/"))


def _refuse_gap(texts: Sequence[str], values: Sequence[str]) -> None:
    """Refuse a value that is empty where the path needs one: `/hosts//` is another thing than `/hosts/a`."""
    before = ""
    for text, value in zip(texts, values, strict=False):
        before += text
        if not value and "?" not in before:
            _refuse("a value in a path is empty", "Look at the label; an `if:` can leave the step out")


# PromQL: string literals are "...", '...' with escapes, or `...` without; # begins a comment.
_SIGN = re.compile(r"""\\.|["'`\n#]|[^\\"'`\n#]+|\\""", re.DOTALL)
_REGEX_OPERATOR = re.compile(r"[=!]~\s*\Z")
_REGEX_SIGNS = re.compile(r"([\\.+*?()|\[\]{}^$-])")


@dataclass(frozen=True)
class _Literal:
    """Where a value stands: in which quotes, and whether they hold a regular expression."""

    quotes: str
    is_regex: bool


def _in_literal(value: str, literal: _Literal) -> str:
    if literal.is_regex:
        value = _REGEX_SIGNS.sub(r"\\\1", value)
    value = value.replace("\\", "\\\\").replace(literal.quotes, "\\" + literal.quotes)
    return value.replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\x00")


@lru_cache(maxsize=4096)
def _literals(texts: tuple[str, ...]) -> tuple[_Literal, ...]:
    """Return the string literal around each value.

    Raises:
        RunbookError: a value stands outside of one; without a place.
    """
    reader = _PromQLReader()
    literals = []
    for text in texts[:-1]:
        reader.read(text)
        literals.append(reader.literal())
    reader.read(texts[-1])
    if literals and reader.quotes in _QUOTES:
        _refuse("a string of the query is not closed", f"Write the missing {reader.quotes}")
    return tuple(literals)


_QUOTES = frozenset("\"'`")


class _PromQLReader:
    """Follows quotes, escapes and comments through a query, text by text."""

    def __init__(self) -> None:
        self.quotes = (
            ""  # what closes the string or comment that is open; a comment is closed by its line's end
        )
        self._before = ""  # the query outside of strings so far
        self._half = False  # the text ends with a backslash that escapes what follows

    def read(self, text: str) -> None:
        """Go on to the end of `text`."""
        self._half = False
        for sign in self._signs(text):
            if self.quotes:
                self._half = sign == "\\" and self.quotes in {'"', "'"}
                self.quotes = "" if sign == self.quotes else self.quotes
            elif sign in _QUOTES:
                self.quotes = sign
            elif sign == "#":
                self.quotes = "\n"
            else:
                self._before += sign

    def literal(self) -> _Literal:
        """Return the literal in which a value would stand now."""
        if self.quotes not in {'"', "'"}:
            _refuse(
                "a value may stand only inside a quoted string of a query",
                'Write it as a label\'s value: metric{instance="{{ target }}"}',
            )
        if self._half:
            _refuse("a backslash before a value would escape its first character", "Double the backslash")
        return _Literal(self.quotes, is_regex=_REGEX_OPERATOR.search(self._before) is not None)

    def _signs(self, text: str) -> Iterator[str]:
        position = 0
        while position < len(text):
            match = _SIGN.match(text, position)
            assert match is not None  # the last alternatives of the pattern match anything
            sign = match[0]
            if len(sign) > 1 and sign[0] == "\\" and self.quotes not in {'"', "'"}:
                sign = "\\"  # outside of "..." and '...' a backslash escapes nothing
            position += len(sign)
            yield sign


def _refuse(problem: str, remedy: str) -> NoReturn:
    raise RunbookError(problem, remedy=remedy)
