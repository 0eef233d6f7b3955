"""The JSON Schema agrees with the reader: what is read passes, what is misspelt does not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from runbooks.language.findings import Findings
from runbooks.language.json_schema import json_schema
from runbooks.language.source import plain_value, read_yaml
from runbooks.language.words import DOCUMENT
from tests.language.declarations import VOCABULARY
from tests.language.story import QUERY, RESTART, RIGHT, changed, problems

SCHEMA = json_schema(VOCABULARY)
EXAMPLE = Path(__file__).with_name("host-disk-full.yaml").read_text(encoding="utf-8")

KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def fits(value, schema) -> bool:
    """Say whether `value` fits `schema`: as much of JSON Schema as ours uses."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        part = SCHEMA
        for name in schema["$ref"].removeprefix("#/").split("/"):
            part = part[name]
        if not fits(value, part):
            return False
    return all(
        rule(value, schema)
        for rule in (_kind_fits, _number_fits, _text_fits, _list_fits, _mapping_fits, _branches_fit)
    )


def _kind_fits(value, schema) -> bool:
    if "type" in schema:
        is_truth = isinstance(value, bool) and schema["type"] != "boolean"
        if is_truth or not isinstance(value, KINDS[schema["type"]]):
            return False
    return value == schema.get("const", value) and value in schema.get("enum", [value])


def _number_fits(value, schema) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return schema.get("minimum", value) <= value <= schema.get("maximum", value)


def _text_fits(value, schema) -> bool:
    if not isinstance(value, str):
        return True
    long_enough = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)
    return long_enough and re.search(schema.get("pattern", ""), value) is not None


def _list_fits(value, schema) -> bool:
    if not isinstance(value, list):
        return True
    long_enough = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
    contained = "contains" not in schema or any(fits(item, schema["contains"]) for item in value)
    return long_enough and contained and all(fits(item, schema.get("items", True)) for item in value)


def _mapping_fits(value, schema) -> bool:
    if not isinstance(value, dict):
        return True
    known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
    return all(name in value for name in schema.get("required", ())) and all(
        fits(item, known.get(name, rest)) for name, item in value.items()
    )


def _branches_fit(value, schema) -> bool:
    if "if" in schema and fits(value, schema["if"]) and not fits(value, schema["then"]):
        return False
    return (
        all(fits(value, each) for each in schema.get("allOf", ()))
        and ("anyOf" not in schema or any(fits(value, each) for each in schema["anyOf"]))
        and ("oneOf" not in schema or sum(fits(value, each) for each in schema["oneOf"]) == 1)
    )


def fits_text(text: str) -> bool:
    return fits(plain_value(read_yaml(text, Findings("host.yaml"))), SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(EXAMPLE, id="the example"),
        pytest.param(RIGHT, id="the shortest right runbook"),
        pytest.param(changed("[reboot]", "[reboot], wait: 90s"), id="a duration"),
        pytest.param(changed("[reboot]", "[reboot], wait: PT90S"), id="a duration as ISO 8601 writes it"),
        pytest.param(
            changed("[reboot]", '[reboot], retries: "{{ labels.tries }}"'), id="a template for a number"
        ),
        pytest.param(
            changed("[reboot]", '[reboot], signal: "{{ labels.env }}"'), id="a template for a choice"
        ),
        pytest.param(changed("[reboot]", "[reboot], signal: hangup"), id="a choice"),
        pytest.param(
            changed(RESTART, "uses: window.set\n    with: {begin: 1, end: 2, body: {a: [1]}, words: [a]}"),
            id="anything",
        ),
        pytest.param(changed(QUERY, "uses: alert.resolved"), id="an action without parameters"),
        pytest.param(changed("undo: none", "undo: {uses: chat.tell, with: {to: a}}"), id="an undo"),
        pytest.param(
            changed("[sre]", "[sre, dba], need: 2, otherwise: [ceo, within 5m, stop]"), id="a gate in turn"
        ),
        pytest.param(
            changed("undo: none", "undo: none\n    gate: {approvers: [dba]}"), id="a gate of a step"
        ),
    ],
)
def test_accepts_what_the_reader_accepts(text):
    """An editor does not underline what is right."""
    assert problems(text.replace("host-disk-full", "host")) == []
    assert fits_text(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("limits:", "limit:", id="an unknown word"),
        pytest.param("summary: Helps a host.\n", "", id="a missing word"),
        pytest.param("undo: none", "undo: no", id="an undo that is neither"),
        pytest.param("uses: ssh.run", "uses: ssh.rum", id="an unknown action"),
        pytest.param("uses: ssh.run", "uses: prometheus.query", id="an action in the wrong place"),
        pytest.param("argv: [reboot]", "argv: [reboot], hots: a", id="an unknown parameter"),
        pytest.param('host: "{{ target }}", ', "", id="a missing parameter"),
        pytest.param("    with: {to: sre}\n", "", id="a missing with"),
        pytest.param("[reboot]", "[reboot], retries: 10", id="a number out of bounds"),
        pytest.param("[reboot]", "[reboot], signal: kill", id="a choice that is none"),
        pytest.param("[reboot]", "[]", id="a list that is too short"),
        pytest.param("[reboot]", "[5]", id="a number where a text is needed"),
        pytest.param("cooldown: 30m", "cooldown: 30w", id="a duration that is none"),
        pytest.param("approvers: [sre]", "approvers: []", id="a gate that asks nobody"),
        pytest.param("approvers: [sre]", "approvers: [sre], need: 0", id="a gate that needs nobody"),
        pytest.param(
            "approvers: [sre]", "approvers: [sre], otherwise: [dba, within 5m]", id="a gate without an end"
        ),
        pytest.param(
            "result.value == 0", "result.value == 0\n    within: 5m", id="a precondition that waits"
        ),
    ],
)
def test_refuses_what_the_reader_refuses(old, new):
    """An editor underlines at once what lint would find."""
    text = changed(old, new)

    assert problems(text) != []
    assert not fits_text(text)


def test_is_json_and_explains_each_word():
    """Editors show what each word says."""
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert set(SCHEMA["properties"]) == set(DOCUMENT.words)
    assert all(each["description"] for each in SCHEMA["properties"].values())


def test_every_reference_leads_somewhere():
    """Nested parameter models are found from where they are used."""
    references = re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(SCHEMA))

    assert references
    for reference in references:
        part = SCHEMA
        for name in reference.split("/"):
            part = part[name]
        assert isinstance(part, dict)
