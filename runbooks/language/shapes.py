"""Shapes: what a parameter's declared type means for the text that stands in a runbook.

An action's parameter model says what each parameter is.  From its annotations comes a tree of
shapes: which strings are texts and how values in them are escaped, which are durations, and what
is whatever its type says (a number, a choice), for which a single `{{ expression }}` gives its value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from runbooks.model.action import Escape


@dataclass(frozen=True)
class Shape:
    """A value of any type that is no text: `{{ expression }}` gives its value as it is.

    Attributes:
        description: for people.
    """

    description: str


@dataclass(frozen=True)
class TextShape(Shape):
    """A text, and how values are escaped in it."""

    escape: Escape = Escape.PLAIN


@dataclass(frozen=True)
class DurationShape(Shape):
    """A span of time, written `90s`."""


@dataclass(frozen=True)
class ListShape(Shape):
    """A list whose items all have one shape."""

    item: Shape


@dataclass(frozen=True)
class MapShape(Shape):
    """A mapping whose values all have one shape."""

    value: Shape


@dataclass(frozen=True)
class ModelShape(Shape):
    """A mapping with known keys."""

    fields: Mapping[str, Shape] = field(default_factory=dict)


@dataclass(frozen=True)
class UnionShape(Shape):
    """One of several; which of them, the value that is written decides."""

    members: tuple[Shape, ...]

    def fitting(self, value: object) -> Shape:
        """Return the member for `value`; of two texts the one that is escaped."""
        kinds = next((kinds for kind, kinds in _WRITTEN.items() if isinstance(value, kind)), (Shape,))
        fitting = [member for member in self.members if isinstance(member, kinds)]
        marked = [
            shape for shape in fitting if isinstance(shape, TextShape) and shape.escape is not Escape.PLAIN
        ]
        return (marked or fitting or list(self.members))[0]


_WRITTEN: dict[type, tuple[type[Shape], ...]] = {
    str: (TextShape, DurationShape),
    list: (ListShape,),
    dict: (MapShape, ModelShape),
}

ANYTHING = Shape("any value")

_SIMPLE: dict[Any, Shape] = {
    str: TextShape("a text"),
    bool: Shape("true or false"),
    int: Shape("a whole number"),
    float: Shape("a number"),
    timedelta: DurationShape("a duration such as `90s`"),
    NoneType: Shape("null"),
}


@lru_cache(maxsize=1024)
def shape_of_model(model: type[BaseModel]) -> ModelShape:
    """Return the shape of a parameter model."""
    fields = {
        name: _with_escape(shape_of(info.annotation), info.metadata)
        for name, info in model.model_fields.items()
    }
    return ModelShape("a mapping of " + ", ".join(fields), fields)


def shape_of(annotation: Any) -> Shape:
    """Return the shape of a type annotation."""
    annotation = getattr(annotation, "__supertype__", annotation)  # a NewType is what it was made of
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return _with_escape(shape_of(inner), metadata)
    if get_origin(annotation) in {Union, UnionType}:
        return _shape_of_union([shape_of(member) for member in get_args(annotation)])
    if get_origin(annotation) is Literal:
        return Shape("one of " + ", ".join(map(str, get_args(annotation))))
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return _shape_of_class(annotation)
    return _shape_of_container(annotation)


def _shape_of_class(kind: type) -> Shape:
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if issubclass(kind, BaseModel):
        return shape_of_model(kind)
    if issubclass(kind, Enum):
        return Shape("one of " + ", ".join(str(member.value) for member in kind))
    return _SIMPLE[str] if issubclass(kind, str) else ANYTHING


def _shape_of_container(annotation: Any) -> Shape:
    origin, members = get_origin(annotation), get_args(annotation)
    if not isinstance(origin, type) or not members:
        return ANYTHING
    if issubclass(origin, Mapping):
        value = shape_of(members[1])
        return MapShape(f"a mapping, each value {value.description}", value)
    if issubclass(origin, Collection):
        item = shape_of(members[0])
        return ListShape(f"a list, each item {item.description}", item)
    return ANYTHING


def _shape_of_union(members: list[Shape]) -> Shape:
    flat = (
        inner for shape in members for inner in (shape.members if isinstance(shape, UnionShape) else (shape,))
    )
    some = [member for member in flat if member is not _SIMPLE[NoneType]]
    if len(some) == 1:
        return some[0]
    return UnionShape(" or ".join(member.description for member in some), tuple(some))


def _with_escape(shape: Shape, metadata: Collection[Any]) -> Shape:
    """Return `shape` as marked: a mark on a container is meant for the texts in it."""
    mark = next((mark for mark in metadata if isinstance(mark, Escape)), None)
    if mark is None:
        return shape
    if isinstance(shape, ListShape):
        return ListShape(shape.description, _with_escape(shape.item, metadata))
    if isinstance(shape, MapShape):
        return MapShape(shape.description, _with_escape(shape.value, metadata))
    if isinstance(shape, UnionShape):
        return UnionShape(
            shape.description, tuple(_with_escape(member, metadata) for member in shape.members)
        )
    return TextShape(shape.description, mark)
