"""The JSON Schema of the language, with which editors complete and check runbooks.

Made from the same tables and parameter models as the reader.  It says less than the reader knows
(nothing about expressions, or about the runbook as a whole), but never refuses what that accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbooks.language.durations import DURATION_PATTERN
from runbooks.language.gates import END, MOST_PEOPLE
from runbooks.language.limits import AT_ONCE_PATTERN, ATTEMPTS_PATTERN
from runbooks.language.words import (
    ACTION,
    CHECK,
    DOCUMENT,
    GATE,
    LIMITS,
    TELLING,
    TRIGGER,
    UNDO,
    VERIFY,
    WordList,
)
from runbooks.model.action import Declaration
from runbooks.model.runbook import Autonomy

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_DURATION: Schema = {"type": "string", "minLength": 2, "pattern": f"^{DURATION_PATTERN}$"}
_TEMPLATE: Schema = {"type": "string", "pattern": r"\{\{"}

_TYPES: dict[str, Schema] = {
    "autonomy": {"enum": [autonomy.value for autonomy in Autonomy]},
    "runbook": {"type": "string", "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 63},
    "id": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"},
    "within": _DURATION,
    "every": _DURATION,
    "cooldown": _DURATION,
    "attempts": {"type": "string", "pattern": f"^(?:{ATTEMPTS_PATTERN})$"},
    "at_once": {"type": "string", "pattern": f"^(?:{AT_ONCE_PATTERN})$"},
    "need": {"type": "integer", "minimum": 1, "maximum": MOST_PEOPLE},
    "approvers": {"type": "array", "items": _TEXT, "minItems": 1},
    "matchers": {"type": "array", "items": _TEXT, "minItems": 1},
    "with": {"type": "object"},
}


def json_schema(vocabulary: Mapping[str, Declaration]) -> Schema:
    """Return the JSON Schema (draft 2020-12) of a runbook that may use the actions in `vocabulary`."""
    document = _mapping(
        DOCUMENT,
        {
            "when": _list(_mapping(TRIGGER)),
            "limits": _mapping(LIMITS),
            "check": _list({"$ref": "#/$defs/check"}),
            "gate": {"$ref": "#/$defs/gate"},
            "do": _list({"$ref": "#/$defs/action"}),
            "verify": _list({"$ref": "#/$defs/verification"}),
            "otherwise": _list({"$ref": "#/$defs/telling"}),
        },
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Paramedic runbook",
        **document,
        "$defs": _steps(vocabulary)
        | {_definition(name): _parameters(each) for name, each in vocabulary.items()},
    }


_CHAIN: Schema = {
    "anyOf": [{"const": END}, {"type": "array", "items": _TEXT, "minItems": 1, "contains": {"const": END}}]
}


def _steps(vocabulary: Mapping[str, Declaration]) -> Schema:
    undo = {"anyOf": [{"const": "none"}, {"$ref": "#/$defs/undo"}]}
    return {
        "gate": _mapping(GATE, {"otherwise": _CHAIN}),
        "check": _step(CHECK, vocabulary),
        "verification": _step(VERIFY, vocabulary),
        "action": _step(ACTION, vocabulary, {"undo": undo, "gate": {"$ref": "#/$defs/gate"}}),
        "undo": _step(UNDO, vocabulary),
        "telling": _step(TELLING, vocabulary),
    }


def _step(
    words: WordList, vocabulary: Mapping[str, Declaration], types: Mapping[str, Schema] | None = None
) -> Schema:
    actions = [vocabulary[name] for name in sorted(vocabulary) if vocabulary[name].effect in words.effects]
    uses: Schema = {"oneOf": [{"const": each.name, "description": each.summary} for each in actions]}
    step = _mapping(words, {"uses": uses, **(types or {})})
    return step | {"allOf": [_where_used(each) for each in actions]}


def _where_used(declaration: Declaration) -> Schema:
    """Return the condition that ties `with` to the action that `uses` names."""
    return {
        "if": {"properties": {"uses": {"const": declaration.name}}, "required": ["uses"]},
        "then": {
            "properties": {"with": {"$ref": f"#/$defs/{_definition(declaration.name)}"}},
            **_needs_with(declaration),
        },
    }


def _needs_with(declaration: Declaration) -> Schema:
    needed = any(field.is_required() for field in declaration.parameters.model_fields.values())
    return {"required": ["with"]} if needed else {}


def _definition(action: str) -> str:
    return f"with.{action}"


def _parameters(declaration: Declaration) -> Schema:
    here = f"#/$defs/{_definition(declaration.name)}/$defs/{{model}}"
    schema = declaration.parameters.model_json_schema(ref_template=here)
    return _with_templates(schema) | {"additionalProperties": False}


def _with_templates(schema: Schema) -> Schema:
    """Return `schema` so that wherever it wants a value, a template may stand as well."""
    changed = dict(schema)
    for word in ("properties", "$defs"):
        if word in schema:
            changed[word] = {name: _or_template(each) for name, each in schema[word].items()}
    for word in ("items", "additionalProperties"):
        if word in schema:
            changed[word] = _or_template(schema[word])
    for word in ("anyOf", "prefixItems"):
        if word in schema:
            changed[word] = [_or_template(each) for each in schema[word]]
    return changed


def _or_template(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema  # true or false: anything, or nothing
    if schema.get("type") in {"object", "array", "null"} or "anyOf" in schema:
        return _with_templates(schema)
    about = {word: each for word, each in schema.items() if word in _ABOUT}
    rest = {word: each for word, each in schema.items() if word not in _ABOUT}
    if rest in ({}, {"type": "string"}):
        return schema  # takes any text already
    spans = [_DURATION] if rest.get("format") == "duration" else []
    return about | {"anyOf": [rest, *spans, _TEMPLATE]}


_ABOUT = frozenset({"title", "description", "default"})


def _mapping(words: WordList, types: Mapping[str, Schema] | None = None) -> Schema:
    kinds = _TYPES | dict(types or {})
    return {
        "type": "object",
        "properties": {
            word: {"description": says, **kinds.get(word, _TEXT)} for word, says in words.words.items()
        },
        "required": list(words.required),
        "additionalProperties": False,
    }


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}
