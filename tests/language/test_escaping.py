"""A value from outside stays a value: it is never query, option, path, markup or template."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.errors import RunbookError
from runbooks.language.escaping import ESCAPING
from runbooks.language.parameters import render_text
from runbooks.model.action import Escape

METACHARACTERS = list("\"'`\\;|&$<>(){}[]*?!#~=%^,:@ \t\n\r\0/.+-_")

HOSTILE = [
    *METACHARACTERS,
    *(f"web-1{sign}" for sign in METACHARACTERS),
    *(f"{sign}web-1" for sign in METACHARACTERS),
    *(sign * 3 for sign in METACHARACTERS),
    'a"} or vector(1) #',
    "a'} or vector(1) #",
    'a\\"} or vector(1) #',
    'a\\\\"} or vector(1) #',
    'a\n"} or vector(1)',
    'x"} or on() vector(1) or up{a="',
    '"} or absent(up) or up{instance="',
    ".*",
    "web-1|web-2",
    "(?i)WEB",
    "[^a]+",
    "$(touch /tmp/canary)",
    "`touch /tmp/canary`",
    "; rm -rf /",
    "--config=/tmp/evil",
    "-rf",
    "-",
    "--",
    "../../etc/passwd",
    "..",
    ".",
    "%2e%2e",
    "%2e%2e%2fadmin",
    "a/../b",
    "//evil.example",
    "http://169.254.169.254/",
    "a?b=c&d=e#f",
    "a;b",
    "\\..\\..",
    "<!channel>",
    "<!here|x>",
    "<@U0123>",
    "<https://evil.example|the runbook>",
    "&lt;!channel&gt;",
    "*bold* _it_ ~no~ `code` ```block```",
    "line\nApproved by: everybody",
    "\u202egnp.exe",
    "\u2066a\u2069",
    "\x1b[31mred",
    "{{ 7*7 }}",
    "{% for a in range(9) %}",
    "{{ labels.__class__.__mro__ }}",
    "{# gone #}",
    "é",
    "е\u0301",
    "①②⑦.⓪.⓪.①",
    "😀",
    "a" * 4_000,
    "'" * 500,
    '"' * 500,
    "\\" * 501,
]


def put(escape: Escape, template: str, value: str) -> str:
    return render_text(template, {"value": value}, escape)


# PromQL: strings, then everything else.  A reader of its own, by Go's rules, to judge the rendered query.
PROMQL = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)|(?P<comment>\#[^\n]*)|(?P<other>.)""",
    re.DOTALL,
)
GO_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'"}


def shape_of_query(query: str) -> str:
    """Return the query with the content of its strings left out."""
    return "".join(
        '""' if match["string"] else "" if match["comment"] else match["other"]
        for match in PROMQL.finditer(query)
    )


def strings_of_query(query: str) -> list[str]:
    found = [match["string"] for match in PROMQL.finditer(query) if match["string"]]
    return [
        re.sub(
            r"\\(?:x([0-9a-f]{2})|(.))",
            lambda escape: chr(int(escape[1], 16)) if escape[1] else GO_ESCAPES[escape[2]],
            text[1:-1],
        )
        for text in found
    ]


QUERIES = [
    'up{instance="{{ value }}"} == 1',
    "up{instance='{{ value }}'} == 1",
    'up{instance="a{{ value }}b",job="{{ value }}"} > 0 # "as {was" said',
    'up{a=`"raw\\`,instance="{{ value }}"}',
    'up{a="it\'s \\"",instance="{{ value }}{{ value }}"}',
    'label_replace(up, "a", "\\\\{{ value }}", "b", \'\\\'{{ value }}\')',
]


@pytest.mark.parametrize("query", QUERIES)
def test_never_changes_the_shape_of_a_query(query):
    """The query with a hostile value reads as the query with a harmless one."""
    for value in HOSTILE:
        hostile, harmless = put(Escape.PROMQL, query, value), put(Escape.PROMQL, query, "harmless")

        assert shape_of_query(hostile) == shape_of_query(harmless)
        assert strings_of_query(hostile) == [
            text.replace("harmless", value) for text in strings_of_query(harmless)
        ]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_gives_the_query_back_what_the_label_said(value):
    """Whatever the text is, the string in the query is that text."""
    for query in QUERIES[:2]:
        assert strings_of_query(put(Escape.PROMQL, query, value)) == [value]


def test_is_no_pattern_inside_a_regular_expression():
    """After =~ a value stands for itself, so that `.*` in a label is not every series."""
    for value in HOSTILE:
        (pattern,) = strings_of_query(put(Escape.PROMQL, 'up{instance=~ "{{ value }}"}', value))
        negative = put(Escape.PROMQL, "up{a=~'x',instance!~'{{ value }}'}", value)

        assert re.fullmatch(pattern, value)
        assert strings_of_query(negative) == ["x", pattern]
        assert not re.fullmatch(pattern, value + "x")


@pytest.mark.parametrize(
    "query",
    [
        "{{ value }}",
        "up == {{ value }}",
        "up{instance=`{{ value }}`}",
        'up # "{{ value }}"',
        'up{a="x"} > {{ value }}',
        'up{a="\\{{ value }}"}',
        "up{a='\\\\\\{{ value }}'}",
        'up{a="{{ value }}',
    ],
)
def test_stands_only_inside_a_string_of_a_query(query):
    """Where a value could not be escaped it cannot stand."""
    with pytest.raises(RunbookError):
        put(Escape.PROMQL, query, "harmless")


@pytest.mark.parametrize("query", ['up{a="x', "up{a='it\\"])
def test_leaves_a_query_without_values_alone(query):
    """Only where something is put in does it matter how the query is written."""
    ESCAPING[Escape.PROMQL].inspect([query])


def test_reaches_the_program_byte_for_byte_or_not_at_all():
    """An argument is the value, unless it would be an option that nobody wrote, or cannot be passed."""
    for value in HOSTILE:
        if "\0" in value:
            with pytest.raises(RunbookError, match="NUL"):
                put(Escape.ARGUMENT, "{{ value }}", value)
            continue
        if value.startswith("-"):
            with pytest.raises(RunbookError, match="would be the option"):
                put(Escape.ARGUMENT, "{{ value }}", value)
        else:
            assert put(Escape.ARGUMENT, "{{ value }}", value) == value
        assert put(Escape.ARGUMENT, "--name={{ value }}", value) == f"--name={value}"
        assert put(Escape.ARGUMENT, "./{{ value }}", value) == f"./{value}"


def test_is_no_option_when_the_first_of_two_values_is_empty():
    """What counts is what the item begins with in the end."""
    with pytest.raises(RunbookError, match="would be the option"):
        render_text("{{ a }}{{ b }}", {"a": "", "b": "-rf"}, Escape.ARGUMENT)


def test_is_one_segment_of_a_path():
    """A value neither ends its segment, nor the path, nor climbs out of it."""
    for value in HOSTILE:
        try:
            address = put(Escape.URL_PATH, "/hosts/{{ value }}/state?why={{ value }}", value)
        except RunbookError:
            assert {".", ".."} & set(re.split(r"[/\\]", unquote(value)))
            continue
        parts = urlsplit(f"http://operator.example{address}")

        assert parts.netloc == "operator.example"
        assert parts.fragment == ""
        assert [unquote(segment) for segment in parts.path.split("/")] == ["", "hosts", value, "state"]
        assert parts.query.count("&") == 0
        assert unquote(parts.query) == f"why={value}"


@pytest.mark.parametrize(
    ("template", "value", "said"),
    [
        ("/hosts/{{ value }}", "..", "the path `/hosts/..` would lead elsewhere"),
        ("/hosts/.{{ value }}", ".", "the path `/hosts/..` would lead elsewhere"),
        ("/hosts/{{ value }}", "a/../..", "the path `/hosts/a%2F..%2F..` would lead elsewhere"),
        ("/hosts/{{ value }}", "a\\..\\b", "the path `/hosts/a%5C..%5Cb` would lead elsewhere"),
        ("/hosts/{{ value }}", "", "a value in a path is empty"),
        ("/hosts/{{ value }}/a?b=c", "", "a value in a path is empty"),
    ],
)
def test_refuses_a_path_that_leads_elsewhere(template, value, said):
    """A path with a gap or a climb in it is another path."""
    with pytest.raises(RunbookError) as caught:
        put(Escape.URL_PATH, template, value)

    assert caught.value.problem == said


def test_may_be_empty_in_a_query_of_a_url():
    """`?a=` says that there is none."""
    assert put(Escape.URL_PATH, "/hosts?a={{ value }}&b=../c", "") == "/hosts?a=&b=../c"


def test_is_no_markup_in_slack():
    """No mention, no link, no line of its own, nothing that cannot be seen."""
    for value in HOSTILE:
        text = put(Escape.SLACK, "{{ value }}", value)

        assert not set("<>") & set(text)
        assert text.isprintable()
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)


def test_stays_readable_in_slack():
    """What people should see of a value, they see."""
    assert (
        put(Escape.SLACK, "{{ value }} & <b>", "a < b\tand\n\nc & d\u202e\x1b")
        == "a &lt; b and c &amp; d & <b>"
    )


def test_is_itself_where_nothing_reads_it():
    """Data for a parameter that is not parsed again stands as it is."""
    for value in HOSTILE:
        assert put(Escape.PLAIN, "a {{ value }}", value) == f"a {value}"
