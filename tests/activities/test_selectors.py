"""Which series an expression reads."""

from __future__ import annotations

import pytest

from activities.selectors import Selector, UnreadableQueryError, quoted, selectors


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up", ["up"]),
        ('disk{instance="a", job=~"b|c"} > 0.9', ['disk{instance="a",job=~"b|c"}']),
        ("sum(rate(a[5m])) / sum(rate(b[5m]))", ["a", "b"]),
        ("sum by (job, instance) (a) * on(job) group_left(team) c", ["a", "c"]),
        ("sum(a) without (x)", ["a"]),
        ("SUM BY (x) (a)", ["a"]),
        ("a offset 1h - a", ["a"]),
        ("max_over_time(rate(a[5m])[1h:1m]) @ 1609746000", ["a"]),
        ("a @ start() and b unless c or d", ["a", "b", "c", "d"]),
        ("a > bool 1e3", ["a"]),
        ('{__name__=~"a.*", x="}"}', ['{__name__=~"a.*",x="}"}']),
        ('label_replace(a, "b", "$1", "c", "(d)")', ["a"]),
        ("histogram_quantile(0.99, sum by (le) (rate(a_bucket[5m])))", ["a_bucket"]),
        ("job:ratio:5m + a", ["job:ratio:5m", "a"]),
        ("a # b\n+ c", ["a", "c"]),
        ('a or \'b\' or "c\\"d" or `e`', ["a"]),
        ("vector(1)", []),
        ("1 + Inf - NaN", []),
        ("time()", []),
        ("a{}", ["a"]),
        ('{"http.requests", job="x"}', ['{"http.requests",job="x"}']),
        ("count_values(\"version\", a{b='c,d'})", ["a{b='c,d'}"]),
        ("-a", ["a"]),
        ("sum", ["sum"]),
    ],
)
def test_finds_each_selector_without_its_range(expression, expected):
    """
    Every metric that is read is found once; functions, words, labels and strings are not metrics.
    """
    assert [str(selector) for selector in selectors(expression)] == expected


@pytest.mark.parametrize("expression", ["a{", 'a{b="c', "a; b", "sum by (a", "a{b='\n'}", "a $b"])
def test_refuses_what_it_does_not_understand(expression):
    """
    Text that is not PromQL is an error, not an expression that reads nothing.
    """
    with pytest.raises(UnreadableQueryError):
        selectors(expression)


def test_the_target_is_what_job_and_instance_name():
    """
    `up` keeps the matchers for job and instance, and no others.
    """
    [selector] = selectors('errors{code="500", job=~"web", instance!="a,b", job_name="x"}')

    assert str(selector.of_target) == 'up{job=~"web",instance!="a,b"}'
    assert str(Selector("a").of_target) == "up"


def test_narrowing_escapes_the_labels():
    """
    A label's value stays inside its string.
    """
    narrowed = Selector("a").narrowed({"instance": 'x"} or vector(1) #\n\\', "team": "y"})

    assert str(narrowed) == r'a{instance="x\"} or vector(1) #\n\\"}'
    assert selectors(str(narrowed)) == (narrowed,)


def test_quoted_text_is_one_string():
    """
    Quotes, backslashes and newlines are escaped as PromQL wants them.
    """
    assert quoted('a"b\\c\nd') == r'"a\"b\\c\nd"'
