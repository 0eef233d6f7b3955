"""Mistakes in what people write for this installation: what is wrong, and what to write instead.

Pydantic finds them, and its sentences are for programmers.  Who reads these is on call.  None repeats
the value, because it may be a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails, to_jsonable_python

_PAGE = "docs/settings.md"
_MOST_NAMES = 8  # more than that nobody reads in a sentence

_INTEGER = "is not a whole number; write one {limits}"
_SPAN = "is not a span of time; write one such as PT45S, PT10M or PT12H"
_RANGE = "is out of range; write a value {limits}"
_MAPPING = "is not a mapping; write `name: value` lines there, or take it away"
_URL = "is not a URL; write one such as https://prometheus.example.net:9090"

_SENTENCES: Mapping[str, str] = {
    "extra_forbidden": "there is no such setting; {known}",
    "missing": f"is missing; add it as {_PAGE} shows",
    "int_parsing": _INTEGER,
    "int_parsing_size": _INTEGER,
    "int_from_float": _INTEGER,
    "int_type": _INTEGER,
    "greater_than": _RANGE,
    "greater_than_equal": _RANGE,
    "less_than": _RANGE,
    "less_than_equal": _RANGE,
    "time_delta_parsing": _SPAN,
    "time_delta_type": _SPAN,
    "literal_error": "is none of the choices; write {expected}",
    "string_too_short": f"is empty; write it as {_PAGE} shows",
    "string_type": "is not a text; write one, in quotes",
    "string_unicode": "is not text in UTF-8; write it anew",
    "invalid_key": "is not a text, as a name must be; put it in quotes",
    "tuple_type": "is not a list; write one in brackets: [one, two]",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "url_type": _URL,
    "url_parsing": _URL,
    "url_scheme": "begins wrongly; write {expected_schemes} and :// in front",
    "url_too_long": "is too long; write a URL of at most {max_length} characters",
    "value_error": "{error}",  # a validator of ours, which knows what would be right
}
"""By pydantic's type of error.  In braces: what it says about this one, the field's limits, known names."""

_BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}


def explain(
    problem: ErrorDetails, model: type[BaseModel], spell: Callable[[str], str] = "`{}`".format
) -> str:
    """Return one sentence without a full stop: what is wrong, and what to write instead.

    Args:
        model: what refused.
        spell: returns a known name as people write it.
    """
    path = problem["loc"]
    sentence = _SENTENCES.get("invalid_key" if path[-1:] == ("[key]",) else problem["type"])
    if sentence is None:
        return problem["msg"]
    owner, name = _owner(model, path), str(path[-1]) if path else ""
    field = owner.model_fields.get(name)
    said = {
        name: text.replace("'", "`") if name.startswith("expected") else text  # 'on' or 'off'
        for name, text in problem.get("ctx", {}).items()
    }
    return sentence.format(
        **said,
        limits=_limits(field.metadata if field else ()),
        known=_known(name, owner.model_fields, spell),
    )


def _owner(model: type[BaseModel], path: Iterable[int | str]) -> type[BaseModel]:
    """Return the innermost model on `path`; the last on it is a name there, known or not."""
    *above, _ = path or ("",)
    for name in above:
        field = model.model_fields.get(str(name))
        model = _model_in(field.annotation) or model if field else model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in an annotation such as `Mapping[str, Model]` or `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _limits(constraints: Iterable[Any]) -> str:
    """Return the limits as a sentence goes on with them; spans of time as ISO 8601, as people write them."""
    given = {
        bound: to_jsonable_python(getattr(each, bound))
        for each in constraints
        for bound in _BOUNDS
        if hasattr(each, bound)
    }
    if not given:
        return "in digits"
    if given.keys() == {"ge", "le"}:
        return f"from {given['ge']} to {given['le']}"
    return "of " + " and ".join(f"{_BOUNDS[bound]} {limit}" for bound, limit in given.items())


def _known(name: str, names: Iterable[str], spell: Callable[[str], str]) -> str:
    """Return the remedy for an unknown `name`: the nearest known one, or all of them, or where they stand."""
    known = list(names)
    if near := get_close_matches(name, known, n=1):
        return f"did you mean {spell(near[0])}?"
    return f"write one of {', '.join(map(spell, known))}" if len(known) <= _MOST_NAMES else f"see {_PAGE}"
