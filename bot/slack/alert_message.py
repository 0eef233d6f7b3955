"""An alert in a message: what another app, Alertmanager's Slack receiver above all, has posted about one.

Its labels stand there as text, in one of three ways: as Alertmanager's default templates write them
(`[FIRING:1] HostSlow web-1 (prod page)`), one a line (` - instance = web-1`), or as PromQL writes
them (`HostSlow{instance="web-1"}`).  What is found only fills a form that a person looks at; it starts
nothing.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bot.slack.text import clean
from runbooks.model.base import Value

MOST_LABELS = 50
MOST_TEXT = 20_000  # characters that are looked at
ALERTNAME = "alertname"

_TITLE = re.compile(r"\[(?:FIRING|RESOLVED)(?::\d+)?\]\s*([A-Za-z_:][\w:.-]*)")
_PAIR = re.compile(
    r"^[ \-•·>|]*([A-Za-z_]\w{0,100}) *[=:] *\"?([^\n\"]{1,300}?)\"? *$", re.ASCII | re.MULTILINE
)
_SELECTOR = re.compile(r"\b([A-Za-z_:][\w:]{0,100})?\{([^{}\n]{1,2000})\}", re.ASCII)
_IN_SELECTOR = re.compile(r"([A-Za-z_]\w{0,100})\s*=\s*\"([^\"]{0,300})\"", re.ASCII)
_LINK = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")
_MARKS = re.compile(r"[*~`]")
_NO_LABELS = frozenset(
    {"http", "https", "summary", "description", "source", "graph", "details", "labels", "annotations"}
)


class FoundAlert(Value):
    """What a message says about an alert.

    Attributes:
        name: the alert's; empty where it does not say.
        labels: without `alertname`.
    """

    name: str = ""
    labels: Mapping[str, str] = {}


def read_alert(message: Mapping[str, Any]) -> FoundAlert:
    """Return what stands in `message`, as Slack sends it with a shortcut: text, attachments, fields, blocks."""
    labels: dict[str, str] = {}
    name = ""
    for text in _texts(message):
        name = name or _name_in(text)
        for label, value in (*_in_selectors(text), *_in_lines(text)):
            if len(labels) < MOST_LABELS:
                labels.setdefault(label, value)
    name = labels.pop(ALERTNAME, "") or name
    return FoundAlert(name=name, labels=labels)


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    left = MOST_TEXT
    for text in _raw_texts(message):
        shown = _plain(text[:left])
        left -= len(shown)
        yield shown


def _raw_texts(message: Mapping[str, Any]) -> Iterator[str]:
    yield from _strings(message, "text")
    for attachment in _items(message, "attachments"):
        yield from _strings(attachment, "title", "pretext", "text", "fallback")
        for field in _items(attachment, "fields"):
            title, value = (str(field.get(key) or "") for key in ("title", "value"))
            yield f"{title} = {value}" if title and "\n" not in value else value
        yield from _in_blocks(attachment)
    yield from _in_blocks(message)


def _in_blocks(holder: Mapping[str, Any]) -> Iterator[str]:
    for block in _items(holder, "blocks"):
        texts = [block.get("text"), *_items(block, "fields"), *_items(block, "elements")]
        for text in texts:
            if isinstance(text, Mapping):
                yield from _strings(text, "text")


def _strings(holder: Mapping[str, Any], *names: str) -> Iterator[str]:
    for name in names:
        if isinstance(value := holder.get(name), str) and value:
            yield value


def _items(holder: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = holder.get(name)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _plain(text: str) -> str:
    """Return mrkdwn as what a person reads: links by their text, no marks, no entities."""
    text = _LINK.sub(lambda found: found[2] or found[1], clean(text))
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text


def _name_in(text: str) -> str:
    found = _TITLE.search(text) or next((each for each in _SELECTOR.finditer(text) if each[1]), None)
    return found[1] if found else ""


def _in_selectors(text: str) -> Iterator[tuple[str, str]]:
    for selector in _SELECTOR.finditer(text):
        yield from _IN_SELECTOR.findall(selector[2])


def _in_lines(text: str) -> Iterator[tuple[str, str]]:
    for label, value in _PAIR.findall(_MARKS.sub("", text)):
        if label.lower() not in _NO_LABELS and not value.startswith("//") and value.strip():
            yield label, value.strip()
