"""The declared type of a parameter decides how values in it are escaped, wherever it hides the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, NewType, TypeVar

import pytest
from pydantic import BaseModel

from runbooks.language.shapes import (
    ANYTHING,
    DurationShape,
    ListShape,
    MapShape,
    ModelShape,
    Shape,
    TextShape,
    UnionShape,
    shape_of,
)
from runbooks.model.action import Argument, Effect, Escape, PromQL, SlackText

T = TypeVar("T")
Name = NewType("Name", str)


class Word(str):
    __slots__ = ()


class Inner(BaseModel):
    query: PromQL


def escapes(shape: Shape) -> set[Escape]:
    """Return the escapes of all texts in `shape`."""
    match shape:
        case TextShape():
            return {shape.escape}
        case ListShape():
            return escapes(shape.item)
        case MapShape():
            return escapes(shape.value)
        case ModelShape():
            return set().union(*map(escapes, shape.fields.values()))
        case UnionShape():
            return set().union(*map(escapes, shape.members))
        case _:
            return set()


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, {Escape.PLAIN}),
        (Word, {Escape.PLAIN}),
        (Name, {Escape.PLAIN}),
        (PromQL, {Escape.PROMQL}),
        (PromQL | None, {Escape.PROMQL}),
        (list[Argument], {Escape.ARGUMENT}),
        (tuple[Argument, ...] | None, {Escape.ARGUMENT}),
        (Sequence[Argument], {Escape.ARGUMENT}),
        (dict[str, SlackText], {Escape.SLACK}),
        (Mapping[str, list[Argument]], {Escape.ARGUMENT}),
        (Inner, {Escape.PROMQL}),
        (list[Inner], {Escape.PROMQL}),
        (Annotated[list[str], Escape.ARGUMENT], {Escape.ARGUMENT}),
        (Annotated[dict[str, str], Escape.SLACK], {Escape.SLACK}),
        (Annotated[str | list[str], Escape.SLACK], {Escape.SLACK}),
        (Annotated[Any, Escape.SLACK], {Escape.SLACK}),
        (Annotated[str, "no mark"], {Escape.PLAIN}),
        (int, set()),
        (timedelta, set()),
        (Any, set()),
        (list, set()),
        (Literal["a"], set()),
        (Effect, set()),
        (T, set()),
        (type[int], set()),
        (bytes, set()),
    ],
    ids=str,
)
def test_finds_every_mark(annotation, expected):
    """No container, union or alias hides how a text is to be escaped."""
    assert escapes(shape_of(annotation)) == expected


@pytest.mark.parametrize(
    ("annotation", "written", "kind"),
    [
        (str | list[Argument], "a", TextShape),
        (str | list[Argument], ["a"], ListShape),
        (dict[str, str] | list[str] | None, {"a": "b"}, MapShape),
        (Inner | str, {"query": "b"}, ModelShape),
        (timedelta | int, "90s", DurationShape),
        (int | float, 3, Shape),
        (list[Argument] | int, "{{ a }}", ListShape),
        (Annotated[str | int, "x"] | list[str], ["a"], ListShape),
    ],
    ids=str,
)
def test_lets_the_written_value_choose_among_types(annotation, written, kind):
    """A list is escaped as a list, a text as a text."""
    shape = shape_of(annotation)

    assert isinstance(shape, UnionShape)
    assert type(shape.fitting(written)) is kind


def test_prefers_the_text_that_is_escaped():
    """Of two texts the harmless reading is taken."""
    assert shape_of(str | Argument).fitting("a") == shape_of(Argument)


def test_describes_itself_to_people():
    """Errors say what a parameter is, in the words of runbooks."""
    assert shape_of(list[int]).description == "a list, each item a whole number"
    assert shape_of(Literal["a", "b"]).description == "one of a, b"
    assert shape_of(Effect).description == "one of read, tell, write, destructive"
    assert shape_of(timedelta | None).description == "a duration such as `90s`"
    assert shape_of(int | str).description == "a whole number or a text"
    assert shape_of(object) is ANYTHING
