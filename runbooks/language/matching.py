"""Matching: which runbook an alert is for, in Alertmanager's syntax and with its meaning.

A matcher names a label, one of four operators and a value: `env=~"prod|staging"`.  A regular
expression must match the whole value, a label that is missing counts as empty.  The expressions
run on RE2, as in Alertmanager: time grows with the length of the value and with nothing else,
so that no matcher and no label can stop the receiver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import re2

from runbooks.errors import RunbookError
from runbooks.language.findings import shown
from runbooks.model.runbook import Matcher, MatchOperator, Runbook, Trigger

_MATCHER = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!=|!~|=)\s*(.*?)\s*", re.ASCII | re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r"[^\s{}!=~,\\\"'`]*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}  # any other backslash stands for itself, as in `\.`
_LONGEST_PATTERN = 1000  # characters

_REGEX = frozenset({MatchOperator.REGEX, MatchOperator.NOT_REGEX})
_NEGATIVE = frozenset({MatchOperator.NOT_EQUAL, MatchOperator.NOT_REGEX})


def parse_matcher(text: str) -> Matcher:
    """Return the matcher that `text` writes.

    Raises:
        RunbookError: it writes none, or its regular expression is none; without a place.
    """
    match = _MATCHER.fullmatch(text)
    if match is None:
        raise RunbookError(
            f"{shown(text)} is not a matcher",
            remedy='Write a label, one of = != =~ !~, and a value in quotes: env=~"prod|staging"',
        )
    label, operator, value = match.groups()
    matcher = Matcher(label=label, operator=MatchOperator(operator), value=_parse_value(value))
    if matcher.operator in _REGEX:
        _compile(matcher.value)
    return matcher


def matches(runbook: Runbook, labels: Mapping[str, str]) -> bool:
    """Say whether one of the runbook's triggers fits an alert with these `labels`."""
    return any(_fits(trigger, labels) for trigger in runbook.when)


def _fits(trigger: Trigger, labels: Mapping[str, str]) -> bool:
    if labels.get("alertname", "") != trigger.alert:
        return False
    return all(_holds(matcher, labels.get(matcher.label, "")) for matcher in trigger.matchers)


def _holds(matcher: Matcher, value: str) -> bool:
    if matcher.operator not in _REGEX:
        found = value == matcher.value
    elif _is_unicode(value):
        found = _compile(matcher.value).fullmatch(value) is not None
    else:
        return False  # half a surrogate pair is no text: no expression speaks about it, nor does its opposite
    return found is not (matcher.operator in _NEGATIVE)


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parse_value(text: str) -> str:
    if quoted := _QUOTED.fullmatch(text):
        return _ESCAPED.sub(lambda escape: _ESCAPES.get(escape[1], escape[0]), quoted[1])
    if _BARE.fullmatch(text):
        return text
    raise RunbookError(
        f"the value {shown(text)} is not written as one text",
        remedy='Put it in double quotes, with \\" for a quote inside; one matcher in each item',
    )


@lru_cache(maxsize=4096)
def _compile(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    if len(pattern) > _LONGEST_PATTERN:
        raise RunbookError(
            f"a regular expression of {len(pattern)} characters is too long",
            remedy=f"Use at most {_LONGEST_PATTERN} characters, or several items under `when`",
        )
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise RunbookError(
            f"{shown(pattern)} is not a regular expression: {_reason(error)}",
            remedy="Use RE2 syntax, as in Alertmanager: no lookaround, no backreferences",
        ) from error


def _reason(error: Exception) -> str:
    reason = error.args[0]
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
