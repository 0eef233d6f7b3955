"""Matching has Alertmanager's syntax and meaning, on RE2."""

from __future__ import annotations

import time

import pytest

from runbooks.errors import RunbookError
from runbooks.language.matching import matches, parse_matcher
from runbooks.model.runbook import Matcher, MatchOperator, Trigger
from tests.language.story import RIGHT, parse


@pytest.mark.parametrize(
    ("text", "label", "operator", "value"),
    [
        ('env="prod"', "env", "=", "prod"),
        ('env!="prod"', "env", "!=", "prod"),
        ('env=~"prod|staging"', "env", "=~", "prod|staging"),
        ('env!~"prod|staging"', "env", "!~", "prod|staging"),
        ("env=prod", "env", "=", "prod"),
        ("env=", "env", "=", ""),
        ('  env  =  "prod"  ', "env", "=", "prod"),
        (r'path="a\"b\\c\nd"', "path", "=", 'a"b\\c\nd'),
        (r'host=~"web\.[0-9]+"', "host", "=~", r"web\.[0-9]+"),
        ('team="ä b"', "team", "=", "ä b"),
    ],
)
def test_reads_alertmanagers_syntax(text, label, operator, value):
    """Label, operator, value; quotes with escapes, or a bare word."""
    assert parse_matcher(text) == Matcher(label=label, operator=MatchOperator(operator), value=value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "`` is not a matcher"),
        ("env", "`env` is not a matcher"),
        ("1env=a", "`1env=a` is not a matcher"),
        ('{env="a"}', '`{env="a"}` is not a matcher'),
        ('env="a', 'the value `"a` is not written as one text'),
        ('env="a"b"', 'the value `"a"b"` is not written as one text'),
        ("env=a b", "the value `a b` is not written as one text"),
        ("env==a", "the value `=a` is not written as one text"),
        ('env=~"("', "`(` is not a regular expression: missing ): ("),
        (r'env=~"(a)\\1"', r"`(a)\1` is not a regular expression: invalid escape sequence: \1"),
        ('env=~"' + "a" * 1001 + '"', "a regular expression of 1001 characters is too long"),
        ('env=~"\ud800"', "`\\ud800` is not a regular expression: utf-8"),
    ],
)
def test_refuses_what_is_no_matcher(text, said):
    """A matcher that would silently match nothing is refused when it is loaded."""
    with pytest.raises(RunbookError) as caught:
        parse_matcher(text)

    assert caught.value.problem == said
    assert caught.value.remedy


def runbook_for(*triggers: tuple[str, list[str]]):
    when = tuple(
        Trigger(alert=alert, matchers=tuple(parse_matcher(each) for each in texts))
        for alert, texts in triggers
    )
    return parse(RIGHT).model_copy(update={"when": when})


@pytest.mark.parametrize(
    ("matcher", "labels", "expected"),
    [
        pytest.param('env="prod"', {"env": "prod"}, True, id="equal"),
        pytest.param('env="prod"', {"env": "prod2"}, False, id="not equal"),
        pytest.param('env="prod"', {}, False, id="a missing label is not equal to a word"),
        pytest.param('env=""', {}, True, id="a missing label is empty"),
        pytest.param('env!="prod"', {}, True, id="a missing label is different from a word"),
        pytest.param('env!="prod"', {"env": "prod"}, False, id="different fails where it is equal"),
        pytest.param('env=~"prod|dev"', {"env": "dev"}, True, id="one of two"),
        pytest.param('env=~"prod"', {"env": "production"}, False, id="the whole value must match"),
        pytest.param('env=~"prod"', {"env": "prod\n"}, False, id="a newline at the end counts"),
        pytest.param('env=~"a.b"', {"env": "a\nb"}, False, id="a dot is no newline"),
        pytest.param('env=~".*"', {}, True, id="a missing label matches what matches nothing"),
        pytest.param('env=~".+"', {}, False, id="a missing label has no characters"),
        pytest.param('env!~"prod|dev"', {"env": "test"}, True, id="none of two"),
        pytest.param('env!~"prod|dev"', {"env": "dev"}, False, id="none of two fails for one of them"),
        pytest.param('env=~".*"', {"env": "\ud800"}, False, id="half a character matches no expression"),
        pytest.param('env!~"a"', {"env": "\ud800"}, False, id="nor its opposite"),
    ],
)
def test_means_what_alertmanager_means(matcher, labels, expected):
    """The same matcher picks the same alerts here and there."""
    assert matches(runbook_for(("HostDown", [matcher])), {"alertname": "HostDown", **labels}) is expected


def test_needs_the_name_and_every_matcher_of_one_trigger():
    """Within a trigger all must hold; of several triggers one is enough."""
    runbook = runbook_for(("HostDown", ['env="prod"', 'team="a"']), ("HostSlow", []))

    assert matches(runbook, {"alertname": "HostDown", "env": "prod", "team": "a"})
    assert not matches(runbook, {"alertname": "HostDown", "env": "prod"})
    assert not matches(runbook, {"alertname": "HostDown", "team": "a"})
    assert matches(runbook, {"alertname": "HostSlow"})
    assert not matches(runbook, {"alertname": "hostslow"})
    assert not matches(runbook, {})


SLOW_ELSEWHERE = [
    "^(a+)+$", r"^(\w+\s?)*$", "(a|aa)+", "(a|a?)+", "(.*a){20}", "(x+x+)+y", "([a-zA-Z]+)*", "(a*)*b", "(.*)*=.*",
    r"(\d+)*\.", "a?" * 30 + "a" * 30, r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(.+)+@(.+)+\.(.+)+", "((a{1,9}){1,9}){1,9}",
]  # fmt: skip


@pytest.mark.parametrize("pattern", SLOW_ELSEWHERE)
def test_matches_in_linear_time(pattern):
    """No expression that loads can stop the receiver, whatever value a sender chooses."""
    runbook = runbook_for(("HostDown", [f'host=~"{pattern}"'.replace("\\", "\\\\")]))
    for value in ("a" * 4096 + "!", "x" * 4096, "1" * 4096, "a b " * 1024, "a@" * 2048):
        begun = time.process_time()
        matches(runbook, {"alertname": "HostDown", "host": value})
        assert time.process_time() - begun < 1  # second; elsewhere it takes years
