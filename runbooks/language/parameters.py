"""Parameters: what stands under `with:`, against the model that its action declares.

Twice: when the runbook is loaded, for all that is written out, and when it is rendered for an
alert, for everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from runbooks.errors import RunbookError
from runbooks.language.durations import parse_duration
from runbooks.language.escaping import ESCAPING
from runbooks.language.expressions import as_text, is_template, parse_template, within_limit
from runbooks.language.findings import Findings, legible, shown, suggestion
from runbooks.language.scope import Scope, inspect_expressions
from runbooks.language.shapes import (
    ANYTHING,
    DurationShape,
    ListShape,
    MapShape,
    ModelShape,
    Shape,
    TextShape,
    UnionShape,
    shape_of_model,
)
from runbooks.language.source import ListNode, MapNode, Node, ScalarNode, plain_value
from runbooks.model.action import Declaration, Escape
from runbooks.model.runbook import Place

Path = tuple[str | int, ...]


def render_parameters(
    declaration: Declaration, arguments: Mapping[str, Any], names: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `arguments` with every template rendered, validated, as JSON values.

    Raises:
        RunbookError: a template cannot be rendered, or the result is not what the action accepts;
            without a place.
    """
    rendered = _map_texts(
        dict(arguments),
        shape_of_model(declaration.parameters),
        lambda source, shape: _render(source, shape, names),
    )
    try:
        return declaration.parameters.model_validate(rendered).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        problem, remedy = _explain(declaration, first)
        raise RunbookError(problem, remedy=remedy) from None  # pydantic's own text repeats the values


def render_text(source: str, names: Mapping[str, Any], escape: Escape = Escape.PLAIN) -> str:
    """Return the text that the template `source` comes to.

    Raises:
        RunbookError: it cannot be rendered; without a place.
    """
    if not is_template(source):
        return source
    template = parse_template(source)
    values = [as_text(value) for value in template.values(names)]
    return within_limit(ESCAPING[escape].join(template.texts, values))


def _map_texts(value: Any, shape: Shape, change: Callable[[str, Shape], Any]) -> Any:
    """Return `value` with each text in it replaced by what `change` makes of it and its shape."""
    if isinstance(shape, UnionShape):
        shape = shape.fitting(value)
    if isinstance(value, dict):
        return {key: _map_texts(item, _shape_below(shape, key), change) for key, item in value.items()}
    if isinstance(value, list):
        return [_map_texts(item, _shape_below(shape, 0), change) for item in value]
    return change(value, shape) if isinstance(value, str) else value


def _render(source: str, shape: Shape, names: Mapping[str, Any]) -> Any:
    if isinstance(shape, TextShape):
        return render_text(source, names, shape.escape)
    if isinstance(shape, DurationShape):
        return _as_duration(render_text(source, names))
    if is_template(source) and parse_template(source).is_one_expression:
        (value,) = parse_template(source).values(names)
        if isinstance(value, list | dict) and shape is not ANYTHING:
            _refuse_whole(shape)
        return within_limit(as_text(value)) if isinstance(value, str) else value
    return render_text(source, names)


def _refuse_whole(shape: Shape) -> NoReturn:
    """Refuse a list or mapping that comes from one expression: its items would not be escaped."""
    raise RunbookError(
        "a list or mapping cannot come from one template",
        remedy=f"Write its items out, each with a template of its own; here stands {shape.description}",
    )


def _as_written(text: str, shape: Shape) -> Any:
    """Return `text` as rendering would hand it over if there were nothing to render."""
    return _as_duration(text) if isinstance(shape, DurationShape) else text


def _as_duration(text: str) -> Any:
    try:
        return parse_duration(text)
    except RunbookError:
        return text  # the model may know another way to write it, and says so if not


def _shape_below(shape: Shape, key: str | int) -> Shape:
    match shape:
        case ModelShape():
            return shape.fields.get(str(key), ANYTHING)
        case MapShape():
            return shape.value
        case ListShape():
            return shape.item
        case _:
            return ANYTHING


class ParameterCheck:
    """Checks one step's `with:` when its runbook is loaded."""

    def __init__(self, declaration: Declaration, scope: Scope, findings: Findings) -> None:
        self._declaration = declaration
        self._scope = scope
        self._findings = findings
        self._places: dict[Path, Place] = {}
        self._templates: set[Path] = set()

    def check(self, node: MapNode, step: Place) -> None:
        """Record what is wrong with the parameters in `node`; `step` is where a missing one is missed."""
        shape = shape_of_model(self._declaration.parameters)
        self._refuse_unknown(node, shape)
        self._places[()] = step
        for name, value in node.entries.items():
            self._visit(value, shape.fields.get(name, ANYTHING), (name,))
        known = {name: value for name, value in plain_value(node).items() if name in shape.fields}
        self._validate(_map_texts(known, shape, _as_written))

    def _refuse_unknown(self, node: MapNode, shape: ModelShape) -> None:
        for name, place in node.keys.items():
            if name not in shape.fields:
                problem = f"{self._declaration.name} has no parameter {shown(name)}"
                self._findings.add(problem, suggestion(name, shape.fields), place)

    def _visit(self, node: Node, shape: Shape, path: Path) -> None:
        self._places[path] = node.place
        if isinstance(shape, UnionShape):
            shape = shape.fitting(plain_value(node))
        if isinstance(node, ScalarNode):
            self._visit_scalar(node, shape, path)
            return
        for key, child in _children(node):
            self._visit(child, _shape_below(shape, key), (*path, key))
        if isinstance(node, MapNode):
            self._refuse_template_keys(node)

    def _visit_scalar(self, node: ScalarNode, shape: Shape, path: Path) -> None:
        if not isinstance(node.value, str) or not is_template(node.value):
            return
        self._templates.add(path)
        with self._findings.at(node.place):
            if isinstance(shape, ListShape | MapShape | ModelShape):
                _refuse_whole(shape)
            template = parse_template(node.value)
            inspect_expressions(template, self._scope)
            if isinstance(shape, TextShape):
                ESCAPING[shape.escape].inspect(template.texts)

    def _refuse_template_keys(self, node: MapNode) -> None:
        for key, place in node.keys.items():
            if is_template(key):
                self._findings.add("a key cannot be a template", "Write the key out", place)

    def _validate(self, arguments: Any) -> None:
        try:
            self._declaration.parameters.model_validate(arguments)
        except ValidationError as error:
            complaints = error.errors(include_url=False, include_input=False)
            certain = [complaint for complaint in complaints if not self._is_open(complaint)]
            for complaint in _one_for_each_place(certain, self._place_of):
                self._findings.add(*_explain(self._declaration, complaint), self._place_of(complaint))

    def _is_open(self, complaint: ErrorDetails) -> bool:
        """Say whether only rendering can tell: it is about a template, or about what holds one."""
        location = complaint["loc"]
        if any(location[: len(path)] == path for path in self._templates):
            return True
        holds_one = any(path[: len(location)] == location for path in self._templates)
        return holds_one and not complaint["type"].endswith(_STRUCTURAL)

    def _place_of(self, complaint: ErrorDetails) -> Place:
        location = complaint["loc"]
        while location not in self._places:
            location = location[:-1]
        return self._places[location]


_STRUCTURAL = ("_type", "missing", "too_short", "too_long")


def _one_for_each_place(
    complaints: Sequence[ErrorDetails], place_of: Callable[[ErrorDetails], Place]
) -> list[ErrorDetails]:
    """Return the first of those that have the same place, but all of what is missing.

    Pydantic complains once for each member of a union.
    """
    kept: list[ErrorDetails] = []
    taken: set[tuple[int, int]] = set()
    for complaint in complaints:
        place = place_of(complaint)
        if complaint["type"] == "missing" or (place.line, place.column) not in taken:
            kept.append(complaint)
        taken.add((place.line, place.column))
    return kept


def _children(node: ListNode | MapNode) -> Iterator[tuple[str | int, Node]]:
    yield from node.entries.items() if isinstance(node, MapNode) else enumerate(node.items)


def _explain(declaration: Declaration, complaint: ErrorDetails) -> tuple[str, str]:
    """Return problem and remedy for one complaint of pydantic's."""
    name, shape = _blamed(declaration, complaint["loc"])
    if complaint["type"] == "missing":
        return (
            f"{declaration.name} needs the parameter `{name}`",
            f"Write `{name}:` under `with`: {shape.description}",
        )
    sentence = legible(complaint["msg"].removeprefix("Value error, ").rstrip("."))
    sentence = f"{sentence[:1].lower()}{sentence[1:]}"
    if not name:
        return f"{declaration.name} cannot take these parameters together: {sentence}", "Change one of them"
    remedy = f"It is {shape.description}" + (
        "; put it in quotes" if complaint["type"] == "string_type" else ""
    )
    return f"the parameter `{name}` of {declaration.name} is wrong: {sentence}", remedy


def _blamed(declaration: Declaration, location: Path) -> tuple[str, Shape]:
    """Return name and shape of what a complaint is about; pydantic adds the members of a union to its location."""
    shape: Shape = shape_of_model(declaration.parameters)
    name: list[str] = []
    for part in location:
        if not isinstance(shape, ModelShape | MapShape | ListShape):
            break
        shape = _shape_below(shape, part)
        name.append(f"[{part}]" if isinstance(part, int) else f".{part}")
    return "".join(name).removeprefix("."), shape
