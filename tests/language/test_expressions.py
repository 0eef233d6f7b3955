"""Expressions look values up and compare them; what cannot be evaluated stops, and nothing grows."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.errors import RenderError, RunbookError
from runbooks.language.expressions import LONGEST_TEXT, as_text, parse_expression, parse_template
from runbooks.language.parameters import render_text
from runbooks.language.rendering import assess
from runbooks.language.scope import Scope, inspect_expressions
from tests.language.story import facts

RESULT = {
    "value": 0.5,
    "count": 3,
    "text": "a b",
    "none": None,
    "items": ["x", "y"],
    "empty": [],
    "body": {"ok": True, "items": [1, 2], "keys": "k"},
}


@pytest.mark.parametrize(
    "expression",
    [
        "result.value < 0.9",
        "result.value >= 0.5 and result.count != 4",
        "not result.body.ok == false",
        "result.body['ok']",
        "result.body.items[0] == 1 and result.body.items[-1] == 2",
        "result.body.keys == 'k'",
        "result.items == ['x', 'y']",
        "result.items | length == 2",
        "result.text | length == 3 and result.body | length == 3",
        "result.items | first == 'x' and result.items | last == 'y'",
        "result.items | join(', ') == 'x, y' and result.empty | join == ''",
        "result.text | upper == 'A B' and 'A' | lower == 'a'",
        "'  a ' | trim == result.text | replace(' b', '')",
        "labels.port | int == 9100 and labels.load | float > 0.4",
        "result.value | int == 0 and result.count | float == 3.0",
        "result.value | round == 0.0 and 1.25 | round(1) == 1.2 and result.count == 3",
        "result.count * 2 == 6 and result.count + 1 == 4 and -result.count == -3 and +result.count == 3",
        "result.count / 2 == 1.5 and result.count // 2 == 1 and result.count - 1 == 2",
        "'x' in result.items and 'z' not in result.items",
        "labels.env in ['prod', 'dev'] or false",
        "labels.absent is not defined and labels.env is defined",
        "result.body.absent.below is not defined",
        "result.none is none and result.value is not none",
        "(1 if labels.env == 'prod' else 2) == 1",
        "1 < result.count <= 3",
        "target == 'web-1' and annotations.summary == 'hot'",
        "checks.it_is_down.result.value == 0",
        "labels.items == 'many' and labels['items'] == 'many'",
        "('a', 'b') != result.items",
    ],
)
def test_evaluates_what_the_language_has(expression):
    """Each operator, filter and name means what it says."""
    labels = {"port": "9100", "load": "0.5", "items": "many"}

    assert assess(expression, RESULT, facts(labels, annotations={"summary": "hot"})) is True


def test_expects_nothing_where_the_action_decides():
    """A check without `expect` adds nothing to what its action decided."""
    assert assess(None, {}, facts()) is True


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("result.values > 1", "`result.values > 1` could not be evaluated: the result has no `values`"),
        ("labels.envv == 'a'", "`labels.envv == 'a'` could not be evaluated: the alert's labels have no `envv`"),
        ("result.body.a.b == 1", "`result.body.a.b == 1` could not be evaluated: the value has no `a`"),
        ("result.items[2] == 1", "`result.items[2] == 1` could not be evaluated: the value has no `2`"),
        ("result.items['a'] == 1", "`result.items['a'] == 1` could not be evaluated: the value has no `a`"),
        ("result.text[0] == 'a'", "`result.text[0] == 'a'` could not be evaluated: the value has no `0`"),
        ("result.nothing | length > 0", "`result.nothing | length > 0` could not be evaluated: the result has no `nothing`"),
        ("result.nothing", "`result.nothing` could not be evaluated: the result has no `nothing`"),
        ("[result.nothing] == []", "`[result.nothing] == []` could not be evaluated: the result has no `nothing`"),
        ("result.nothing not in []", "`result.nothing not in []` could not be evaluated: the result has no `nothing`"),
        ("(labels.absent | lower) is defined", "`(labels.absent | lower) is defined` could not be evaluated: the alert's labels have no `absent`"),
        ("result.none > 1", "`result.none > 1` could not be evaluated: '>' not supported between instances of 'NoneType' and 'int'"),
        ("labels.env > 1", "`labels.env > 1` could not be evaluated: '>' not supported between instances of 'str' and 'int'"),
        ("result.value / 0 > 1", "`result.value / 0 > 1` could not be evaluated: float division by zero"),
        ("labels.env | int > 1", "`labels.env | int > 1` could not be evaluated: invalid literal for int() with base 10: 'prod'"),
        ("'nan' | float > 1", "`'nan' | float > 1` could not be evaluated: neither NaN nor infinity can be compared with anything"),
        ("result.none | float > 1", "`result.none | float > 1` could not be evaluated: this filter needs a number"),
        ("true | int == 1", "`true | int == 1` could not be evaluated: this filter needs a number"),
        ("result.count | upper == ''", "`result.count | upper == ''` could not be evaluated: this filter needs a text"),
        ("result.count | length == 1", "`result.count | length == 1` could not be evaluated: only a text, a list or a mapping has a length"),
        ("result.empty | first == 1", "`result.empty | first == 1` could not be evaluated: this filter needs a list with something in it"),
        ("result.text | join == ''", "`result.text | join == ''` could not be evaluated: only a list can be joined"),
        ("result.text | replace('', 'x') == ''", "`result.text | replace('', 'x') == ''` could not be evaluated: replace needs something to replace"),
        ("result.text * 3 == ''", "`result.text * 3 == ''` could not be evaluated: only numbers can be multiplied"),
        ("3 * result.items == []", "`3 * result.items == []` could not be evaluated: only numbers can be multiplied"),
        ("result.value * true == 1", "`result.value * true == 1` could not be evaluated: only numbers can be multiplied"),
        ("result.value", "`result.value` is neither true nor false, but a number"),
        ("result.text", "`result.text` is neither true nor false, but a text"),
        ("result.none", "`result.none` is neither true nor false, but null"),
        ("result.items", "`result.items` is neither true nor false, but a list"),
        ("result.body", "`result.body` is neither true nor false, but a mapping"),
        ("result.count and result.value", "`result.count and result.value` is neither true nor false, but a number"),
    ],
)  # fmt: skip
def test_stops_at_what_cannot_be_evaluated(expression, said):
    """Neither true nor false is an error, never a no and never a yes."""
    with pytest.raises(RenderError) as caught:
        assess(expression, RESULT, facts())

    assert caught.value.problem == said
    assert caught.value.remedy


BIG = "x" * 60_000


@pytest.mark.parametrize(
    "expression",
    [
        "labels.big | replace('x', labels.big) == ''",
        "[labels.big, labels.big] | join == ''",
        "[labels.big, labels.big] | join(labels.big) == ''",
        "labels.big * 1000000 == ''",
        "labels.big | int > 1",
        "labels.digits | int > 1",
        "(1e308 * 10) | int > 1",
    ],
)
def test_stops_before_a_value_grows(expression):
    """Whatever a label holds, an expression ends at once and builds nothing large."""
    begun = time.process_time()
    with pytest.raises(RenderError):
        assess(expression, {}, facts({"big": BIG, "digits": "9" * 5_000}))

    assert time.process_time() - begun < 1  # second; a value that grows takes minutes


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{ target }}", "web-1"),
        ("a {{ target }} b {{ labels.env }} c", "a web-1 b prod c"),
        ("{{ 1 == 1 }} {{ 1 }} {{ 0.5 }}", "true 1 0.5"),
        ("{{ 'a' if labels.env == 'prod' else 'b' }}", "a"),
        ("{% raw %}{{.Names}}{% endraw %} {{ target }}", "{{.Names}} web-1"),
        ("{# said to the reader #}{{ target }}", "web-1"),
        ("ends with a line\n{{ target }}\n", "ends with a line\nweb-1\n"),
        ("{{ labels.evil }}", "{{ 7*7 }}{% raw %}"),
    ],
)
def test_renders_texts_once(template, text):
    """What comes out is text, in particular where it looks like a template."""
    names = {"target": "web-1", "labels": {"env": "prod", "evil": "{{ 7*7 }}{% raw %}"}}

    assert render_text(template, names) == text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "null cannot stand in a text"),
        ([1], "a list cannot stand in a text"),
        ({}, "a mapping cannot stand in a text"),
        ("\ud800", "a value holds half a surrogate pair"),
        ("ä" * (LONGEST_TEXT // 2 + 1), "a rendered text has 65538 bytes"),
    ],
)
def test_refuses_what_is_no_text(value, said):
    """Nothing is put into a text as Python would print it."""
    with pytest.raises(RunbookError) as caught:
        render_text("{{ target }}", {"target": value})

    assert caught.value.problem == said


def test_writes_truth_as_yaml_does():
    """`true`, not `True`."""
    assert [as_text(True), as_text(False)] == ["true", "false"]


def test_compiles_a_source_once():
    """Two runbooks that say the same share what was compiled."""
    assert parse_expression("result.value > 0.25") is parse_expression("result.value > 0.25")
    assert parse_template("on {{ target }}") is parse_template("on {{ target }}")


@pytest.mark.parametrize("attribute", ["__class__", "keys", "items", "pop", "get", "update", "title", "mro"])
def test_reaches_no_attribute_of_a_python_object(attribute):
    """Names are looked up among the alert's, and nowhere else."""
    for path in (f"labels.{attribute}", f"labels['{attribute}']", f"result.body.{attribute}"):
        with pytest.raises(RenderError, match=r"(has|have) no"):
            assess(f"{path} == 1", {"body": {}}, facts())


def test_whatever_passes_the_check_compiles():
    """The deepest expression that is let in is not too deep for Python's parser."""
    for source in (
        "not " * 38 + "true",
        "(" * 30 + "1" + ")" * 30,
        "[" * 39 + "]" * 39,
        "1" + " | int" * 38,
        "1 if true else " * 38 + "2",
        " and ".join(["true"] * 39),
        " + ".join(["1"] * 39),
        "-" * 38 + "1",
    ):
        expression = parse_expression(source)
        inspect_expressions(expression, Scope("a test"))
        expression.value({})


@pytest.mark.parametrize(
    "parse_source", [parse_expression, lambda source: parse_template("{{ " + source + " }}")]
)
def test_refuses_what_is_nested_too_deeply(parse_source):
    """Neither the parser nor the check of its result runs out of stack."""
    for source in ("(" * 1_500 + "1" + ")" * 1_500, "not " * 41 + "true", "[" * 41 + "]" * 41):
        with pytest.raises(RunbookError) as caught:
            inspect_expressions(parse_source(source), Scope("a test"))
        assert caught.value.problem == "an expression is nested too deeply"


@pytest.mark.parametrize("parse_source", [parse_expression, parse_template])
def test_refuses_what_is_too_long_to_read(parse_source):
    """A source has a limit before it is parsed."""
    with pytest.raises(RunbookError) as caught:
        parse_source("1" + " + 1" * 5_000)

    assert caught.value.problem == "a template of 20001 characters is too long"


def test_repeats_little_of_what_a_label_holds():
    """An error that is shown and recorded is short and printable, whatever the sender wrote."""
    with pytest.raises(RenderError) as caught:
        assess("labels.big | float > 1", {}, facts({"big": "\x1b[31m\u202e" + BIG}))

    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(
    names=st.dictionaries(st.sampled_from("abc"), NESTED, max_size=3),
    path=st.lists(st.sampled_from("abc"), min_size=1, max_size=4),
    brackets=st.booleans(),
)
def test_a_mere_lookup_comes_to_what_the_program_comes_to(names, path, brackets):
    """Whether a lookup goes the short way or through Jinja is nobody's business: same value, same complaint."""
    first, *rest = path
    source = first + "".join(f"['{name}']" if brackets else f".{name}" for name in rest)
    short, long = parse_expression(source), parse_expression.__wrapped__(source)
    vars(long)["_paths"] = ((),)

    def outcome(expression):
        try:
            return expression.values(names)
        except RunbookError as error:
            return str(error)

    assert outcome(short) == outcome(long)
