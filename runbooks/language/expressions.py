"""Expressions and templates: Jinja2, and of Jinja2 only what a runbook needs.

A template is text with expressions in `{{ }}`; statements (`{% for %}`, `{% set %}` ...) are not
part of the language, nor are calls: what is left ends soon, cannot grow its result, and can be
checked before the first alert.  Each kind of node is allowed by name, because Jinja's sandbox
alone stops neither nested loops nor `'%999999999d'`.

Values are data.  They are looked up in mappings and lists and nowhere else (no attribute of a
Python object can be reached), and what they hold is never evaluated.  There is no `default`
filter: it would hide a label that is missing because its name is misspelt.  Where a value may
be missing, the author says so: `labels.env == "prod" if labels.env is defined else false`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, NoReturn

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runbooks.errors import RunbookError
from runbooks.language.filters import FILTERS
from runbooks.language.findings import legible, shown

LONGEST_SOURCE = 16 * 1024  # characters of one template or expression
LONGEST_TEXT = 64 * 1024  # bytes of one rendered text

_MARKS = ("{{", "{%", "{#")
_VALUE: Final = "value"  # the variable that a compiled template leaves its values in


class Names(dict[str, Any]):
    """Names that expressions can look up.

    Attributes:
        subject: how a sentence about them begins: "the alert's labels have".
    """

    def __init__(self, subject: str, names: Mapping[str, Any]) -> None:
        super().__init__(names)
        self.subject = subject


class _Code(CodeGenerator):
    """Every name that is looked up must be there, except where `is defined` asks whether it is.

    Left alone, a missing value is an error only when it is used: `labels.a not in []` would be true.
    """

    _asking = False

    def visit_Test(self, node: nodes.Test, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Write a test."""
        before, self._asking = self._asking, node.name == "defined"
        super().visit_Test(node, frame)
        self._asking = before

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Write a lookup by a name."""
        self._write_lookup(super().visit_Getattr, node, frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Write a lookup by a name or index in brackets."""
        self._write_lookup(super().visit_Getitem, node, frame)

    def _write_lookup(self, write: Callable[..., None], node: nodes.Expr, frame: Frame) -> None:
        self.write("(" if self._asking else "environment.require(")
        write(node, frame)
        self.write(")")


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 without anything to call or reach but what is handed in."""

    code_generator_class = _Code
    intercepted_binops = frozenset({"*"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, optimized=False, keep_trailing_newline=True, cache_size=0)
        self.globals.clear()
        self.filters = {name: _strict(function) for name, function in FILTERS.items()}
        self.tests = {"defined": _is_defined, "none": _is_none}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return the item `attribute` of a mapping."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item of a mapping or a list, or an undefined value."""
        if isinstance(obj, Undefined):
            return obj  # so that the error names the first thing that is missing
        if isinstance(obj, Mapping) and argument in obj:
            return obj[argument]
        if isinstance(obj, list) and type(argument) is int and -len(obj) <= argument < len(obj):
            return obj[argument]
        subject = obj.subject if isinstance(obj, Names) else "the value has"
        return StrictUndefined(hint=f"{subject} no {shown(argument)}")

    def require(self, value: Any) -> Any:
        """Return `value`; an undefined one raises and says what is missing."""
        return _settled(value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply numbers.  A text times a number would be a text of any size."""
        if not (_is_number(left) and _is_number(right)):
            raise TypeError("only numbers can be multiplied")
        return super().call_binop(context, operator, left, right)


def _is_defined(value: Any) -> bool:
    return not isinstance(value, Undefined)


def _is_none(value: Any) -> bool:
    return value is None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` so that a value that is missing is an error before it is looked at."""

    def strict(*arguments: Any) -> Any:
        return function(*(_settled(argument) for argument in arguments))

    return strict


def _settled(value: Any) -> Any:
    if isinstance(value, Undefined):
        str(value)  # raises, and says what is missing
    if isinstance(value, list | tuple):
        return [_settled(item) for item in value]
    return value


_ENVIRONMENT = _Environment()


class _Compiled:
    """Expressions, compiled together when they are first needed."""

    def __init__(self, source: str, expressions: Sequence[nodes.Expr]) -> None:
        self.source = source
        self.expressions = tuple(expressions)

    @cached_property
    def _program(self) -> Any:
        values = nodes.Tuple(list(self.expressions), "load", lineno=1)
        store = nodes.Assign(nodes.Name(_VALUE, "store", lineno=1), values, lineno=1)
        program = nodes.Template([store], lineno=1)
        program.set_environment(_ENVIRONMENT)
        return _ENVIRONMENT.from_string(program)

    @cached_property
    def _paths(self) -> Sequence[tuple[str, ...]]:
        return tuple(_path_of(each) for each in self.expressions)

    def values(self, names: Mapping[str, Any]) -> list[Any]:
        """Return what each expression comes to.

        Nearly all of them are mere lookups, for which a whole program would be set up.

        Raises:
            RunbookError: one cannot be evaluated; without a place.
        """
        found = [_look_up(names, path) for path in self._paths]
        if _NOTHING not in found:
            return found
        try:
            context = self._program.new_context(dict(names))
            deque(self._program.root_render_func(context), maxlen=0)
            return [_settled(value) for value in context.vars[_VALUE]]
        except UndefinedError as error:
            raise RunbookError(
                f"{shown(self.source)} could not be evaluated: {error.message}",
                remedy="Ask `is defined` first, or mend what should have sent it",
            ) from error
        except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise RunbookError(
                f"{shown(self.source)} could not be evaluated: {legible(str(error))}",
                remedy="Labels and annotations are text (`| float` makes a number); ask `is not none` where a value may be null",
            ) from error


_NOTHING: Final = object()


def _path_of(expression: nodes.Node) -> tuple[str, ...]:
    """Return the names that a mere lookup goes through, as in `labels.instance`; none where it is more than that."""
    match expression:
        case nodes.Name(name=name):
            return (name,)
        case nodes.Getattr(node=node, attr=name) | nodes.Getitem(node=node, arg=nodes.Const(value=str(name))):
            before = _path_of(node)
            return (*before, name) if before else ()
        case _:
            return ()


def _look_up(names: Mapping[str, Any], path: Sequence[str]) -> Any:
    """Return the text, number or truth value at the end of `path`; `_NOTHING` where the program must say what it is."""
    value: Any = names
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return _NOTHING
        value = value[name]
    return value if isinstance(value, str | int | float) else _NOTHING


class Expression(_Compiled):
    """A bare expression, as under `if:` and `expect:`."""

    def value(self, names: Mapping[str, Any]) -> Any:
        """Return what the expression comes to.

        Raises:
            RunbookError: it cannot be evaluated; without a place.
        """
        return self.values(names)[0]

    def is_true(self, names: Mapping[str, Any]) -> bool:
        """Return the expression's truth value.

        Raises:
            RunbookError: it cannot be evaluated, or comes to something else; without a place.
        """
        value = self.value(names)
        if isinstance(value, bool):
            return value
        raise RunbookError(
            f"{shown(self.source)} is neither true nor false, but {_kind(value)}",
            remedy="Compare it with something: ==, !=, <, >, in, is defined",
        )


class Template(_Compiled):
    """Text with expressions in it.

    Attributes:
        texts: what stands before, between and after the expressions: one more than there are of them.
    """

    def __init__(self, source: str, texts: Sequence[str], expressions: Sequence[nodes.Expr]) -> None:
        super().__init__(source, expressions)
        self.texts = tuple(texts)

    @property
    def is_one_expression(self) -> bool:
        """Whether it is one expression with no text around it, whose value has a type of its own."""
        return len(self.expressions) == 1 and not any(self.texts)


def is_template(text: str) -> bool:
    """Say whether `text` holds anything that is not plain text."""
    return any(mark in text for mark in _MARKS)


@lru_cache(maxsize=4096)
def parse_expression(source: str) -> Expression:
    """Return the bare expression that `source` writes.

    Raises:
        RunbookError: it is none; without a place.
    """
    _refuse_long(source)
    try:
        parser = Parser(_ENVIRONMENT, source, state="variable")
        root = parser.parse_expression()
        if not parser.stream.eos:
            _refuse(f"there is more after the expression: {shown(parser.stream.current.value)}", _ONE)
    except TemplateSyntaxError as error:
        _refuse(f"{shown(source)} is not an expression: {_reason(error)}", _ONE)
    except RecursionError:
        _refuse("an expression is nested too deeply", "Write it flatter")
    return Expression(source, [root])


@lru_cache(maxsize=4096)
def parse_template(source: str) -> Template:
    """Return the template that `source` writes.

    Raises:
        RunbookError: it is none, or holds a statement; without a place.
    """
    _refuse_long(source)
    texts, expressions = [""], []
    for piece in _pieces(source):
        if isinstance(piece, nodes.TemplateData):
            texts[-1] += piece.data
        else:
            expressions.append(piece)
            texts.append("")
    return Template(source, texts, expressions)


_ONE = 'Write one expression without braces, as in `result.value > 0.9` or `labels.env == "prod"`'
_BRACES = "Write text with expressions in it, as in `disk of {{ labels.instance }}`"


def _pieces(source: str) -> Iterator[nodes.Expr]:
    try:
        body = _ENVIRONMENT.parse(source).body
    except TemplateSyntaxError as error:
        _refuse(f"{shown(source)} is not a template: {_reason(error)}", _BRACES)
    except RecursionError:
        _refuse("an expression is nested too deeply", "Write it flatter")
    for node in body:
        if not isinstance(node, nodes.Output):
            _refuse(
                "a statement, `{% … %}`, is not part of the language",
                "Only `{{ }}` can stand in a text; a choice is written `{{ a if b else c }}`, or as `if:` of a step",
            )
        yield from node.nodes


def _reason(error: TemplateSyntaxError) -> str:
    sentence = (error.message or "").rstrip(".")
    return f"{sentence[:1].lower()}{sentence[1:]}"


def _refuse_long(source: str) -> None:
    if len(source) > LONGEST_SOURCE:
        _refuse(f"a template of {len(source)} characters is too long", f"Use at most {LONGEST_SOURCE}")


def _refuse(problem: str, remedy: str) -> NoReturn:
    raise RunbookError(problem, remedy=remedy)


def as_text(value: Any) -> str:
    """Return `value` as it stands in a text.

    Raises:
        RunbookError: it is a list, a mapping, null or half a character; without a place.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        _refuse(f"{_kind(value)} cannot stand in a text", "Name one value in it, or use `| join(', ')`")
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse("a value holds half a surrogate pair", "Mend the sender: this is not Unicode text")
    return value


def within_limit(text: str) -> str:
    """Return `text` if it is not too long.

    Raises:
        RunbookError: it is; without a place.
    """
    if (size := len(text.encode())) > LONGEST_TEXT:
        _refuse(f"a rendered text has {size} bytes", f"At most {LONGEST_TEXT} are allowed; interpolate less")
    return text


@dataclass(frozen=True)
class _Kind:
    types: tuple[type, ...]
    name: str


_KINDS = (
    _Kind((type(None),), "null"),
    _Kind((bool,), "true or false"),
    _Kind((int, float), "a number"),
    _Kind((str,), "a text"),
    _Kind((list, tuple), "a list"),
)


def _kind(value: Any) -> str:
    return next((kind.name for kind in _KINDS if isinstance(value, kind.types)), "a mapping")
