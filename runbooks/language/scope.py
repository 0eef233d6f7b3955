"""Scopes: which names an expression may use where it stands, checked before the first alert.

    labels.NAME, annotations.NAME   of the alert
    target                          the thing acted on
    checks.ID.result.NAME           what an earlier check measured
    result.NAME                     what this check measured, in `expect`

Only whole paths are values: `labels` alone is not.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from jinja2 import nodes

from runbooks.errors import RunbookError
from runbooks.language.expressions import Expression, Template
from runbooks.language.filters import FILTERS
from runbooks.language.findings import shown, suggestion
from runbooks.model.action import Declaration

_DEEPEST = 40  # nodes inside each other; Python's own parser ends at about 200 parentheses
_TESTS = frozenset({"defined", "none"})

_PLAIN = (
    nodes.Add, nodes.And, nodes.Compare, nodes.CondExpr, nodes.Const, nodes.Div, nodes.FloorDiv, nodes.List,
    nodes.Mul, nodes.Neg, nodes.Not, nodes.Operand, nodes.Or, nodes.Pos, nodes.Sub, nodes.Tuple,
)  # fmt: skip

_REFUSED = {
    nodes.Call: "a call",
    nodes.Concat: "the operator `~`",
    nodes.Dict: "a mapping",
    nodes.Mod: "the operator `%`",
    nodes.Pow: "the operator `**`",
    nodes.Slice: "a slice",
}


@dataclass(frozen=True)
class Scope:
    """The names that can be used in one place.

    Attributes:
        place: what the place is called in an error.
        roots: which first words are known here.
        checks: the declared actions of earlier checks, by the checks' ids.
        measured: the declared action whose `result` is judged here.
    """

    place: str
    roots: frozenset[str] = frozenset({"labels", "annotations", "target"})
    checks: Mapping[str, Declaration | None] = field(default_factory=dict)
    measured: Declaration | None = None

    def judging(self, declaration: Declaration | None) -> Scope:
        """Return the scope of an `expect` over what `declaration` measures."""
        return replace(self, place="`expect`", roots=self.roots | {"result"}, measured=declaration)

    def require(self, path: tuple[Any, ...]) -> None:
        """Do nothing if `path` leads to a value here.

        Raises:
            RunbookError: it does not; without a place.
        """
        root, *rest = path
        if root not in self.roots:
            self._refuse_root(root)
        match root:
            case "target":
                if rest:
                    _refuse(f"`target` has no {shown(rest[0])}", "It is a text: write `target`")
            case "checks":
                self._require_check(rest)
            case "result":
                _require_result("result", rest, self.measured)
            case _:
                if not rest:
                    _refuse(f"`{root}` is not a value", f"Name one of them: `{root}.instance`")
                if len(rest) > 1:
                    name = f"{root}.{rest[0]}"
                    _refuse(f"{shown(name)} has no {shown(rest[1])}", f"It is a text: write {shown(name)}")

    def _refuse_root(self, root: str) -> NoReturn:
        if root in _ELSEWHERE:
            _refuse(f"`{root}` is not known in {self.place}", _ELSEWHERE[root])
        _refuse(f"{shown(root)} is not defined", suggestion(root, self.roots))

    def _require_check(self, rest: list[Any]) -> None:
        if not rest:
            _refuse("`checks` is not a value", "Name one: `checks.<id>.result.<name>`")
        name, *rest = rest
        if name not in self.checks:
            _refuse(f"there is no check {shown(name)}", suggestion(str(name), self.checks))
        if not rest or rest[0] != "result":
            _refuse(
                f"`checks.{name}` is not a value", f"Name what it measured: `checks.{name}.result.<name>`"
            )
        _require_result(f"checks.{name}.result", rest[1:], self.checks[name])


_ELSEWHERE = {
    "target": "It is what is being rendered here: use the labels",
    "checks": "Checks run side by side: what they measured is known in `do`, `verify`, `otherwise` and `gate`",
    "result": "What was measured is known in `expect` only; elsewhere write `checks.<id>.result.<name>`",
}


def _require_result(prefix: str, rest: list[Any], declaration: Declaration | None) -> None:
    if declaration is None:
        return  # an unknown action is an error already
    if not rest:
        _refuse(f"`{prefix}` is not a value", f"Name what was measured: {_known(declaration)}")
    if rest[0] not in declaration.samples:
        remedy = suggestion(str(rest[0]), declaration.samples)
        _refuse(f"{declaration.name} measures no {shown(rest[0])}", remedy)


def _known(declaration: Declaration) -> str:
    return (
        ", ".join(sorted(declaration.samples))
        or f"{declaration.name} measures nothing that could be compared"
    )


def inspect_expressions(source: Expression | Template, scope: Scope) -> None:
    """Do nothing if `source` holds only what the language has, and only names that `scope` knows.

    Raises:
        RunbookError: the first thing that is wrong; without a place.
    """
    for root in source.expressions:
        _inspect(root, scope, 1)


def roots_of(expression: Expression) -> frozenset[str]:
    """Return the first words of all paths in `expression`."""
    return frozenset(name.name for root in expression.expressions for name in _names(root))


def _names(root: nodes.Expr) -> Iterator[nodes.Name]:
    if isinstance(root, nodes.Name):
        yield root
    yield from root.find_all(nodes.Name)


def _inspect(node: nodes.Node, scope: Scope, depth: int) -> None:
    if depth > _DEEPEST:
        _refuse("an expression is nested too deeply", "Write it flatter")
    match node:
        case nodes.Name() | nodes.Getattr() | nodes.Getitem():
            _inspect_path(node, scope)
            return
        case nodes.Filter():
            _inspect_filter(node)
        case nodes.Test():
            _inspect_test(node)
        case nodes.CondExpr() if node.expr2 is None:
            _refuse("a choice without `else`", "Say what it is otherwise: `a if b else c`")
        case nodes.Mul() if _has_text(node):
            _refuse("a text is multiplied", "Only numbers can be multiplied")
        case _ if not isinstance(node, _PLAIN):
            thing = next(
                (name for kind, name in _REFUSED.items() if isinstance(node, kind)), type(node).__name__
            )
            _refuse(f"{thing} is not part of the language", _ALLOWED)
    for child in node.iter_child_nodes():
        _inspect(child, scope, depth + 1)


_ALLOWED = (
    "There are: names, texts, numbers, lists, == != < <= > >= in, and or not, + - * / //, `a if b else c`, "
    "is defined, is none, and the filters " + ", ".join(FILTERS)
)


def _inspect_path(node: nodes.Expr, scope: Scope) -> None:
    path: list[Any] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        path.append(_step_of(node))
        node = node.node
    if not isinstance(node, nodes.Name):
        _refuse("only a name has something after a point or in [ ]", _ALLOWED)
    scope.require((node.name, *reversed(path)))


def _step_of(node: nodes.Getattr | nodes.Getitem) -> Any:
    """Return the name or index by which `node` goes one step down."""
    if isinstance(node, nodes.Getattr):
        step: Any = node.attr
    elif isinstance(node.arg, nodes.Const):
        step = node.arg.value
    else:
        _refuse("a name in [ ] that is computed cannot be checked", 'Write it out: labels["name"]')
    if isinstance(step, str) and step.startswith("_"):
        _refuse(f"{shown(step)} begins with an underscore", "Such names are not reachable; choose another")
    return step


def _inspect_filter(node: nodes.Filter) -> None:
    if node.name not in FILTERS:
        _refuse(f"there is no filter {shown(node.name)}", _no_filter(node.name))
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        _refuse(f"the filter `{node.name}` takes no named arguments", "Write them in order")
    try:
        inspect.signature(FILTERS[node.name]).bind(None, *node.args)
    except TypeError as error:
        _refuse(f"the filter `{node.name}` got the wrong arguments: {error}", "Write them in order")


def _no_filter(name: str) -> str:
    if name in {"default", "d"}:
        return "It would hide what is missing; write `a if a is defined else b`"
    return suggestion(name, FILTERS)


def _inspect_test(node: nodes.Test) -> None:
    if node.name not in _TESTS:
        _refuse(
            f"there is no test `is {node.name}`", "There are: is defined, is none, and both with `is not`"
        )
    if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
        _refuse(f"`is {node.name}` takes no arguments", f"Write `is {node.name}`")


def _has_text(node: nodes.Mul) -> bool:
    return any(
        isinstance(side, nodes.Const) and isinstance(side.value, str) for side in (node.left, node.right)
    )


def _refuse(problem: str, remedy: str) -> NoReturn:
    raise RunbookError(problem, remedy=remedy)
