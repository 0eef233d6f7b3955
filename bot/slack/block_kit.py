"""Block Kit: what Slack refuses, found before it is sent.

Slack publishes no complete machine-readable rules, and its answer to a wrong card is a refusal:
an approval that nobody ever sees.  So every message and view passes this gate before it is sent,
and the practice workspace refuses with the same rules.

A rule is a function of a value and its place (a JSON pointer) that yields problems.  Small rules
make larger ones: `text` and `list_of` make a section, sections make a message.  Blocks that the
product does not use are unknown here and therefore refused: stricter than Slack, never laxer.

Source: docs.slack.dev, Block Kit reference; the wording of the problems follows Slack's answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
MESSAGE_TEXT = 40_000  # characters; Slack advises 4,000
SECTION_TEXT = 3000
FIELD_TEXT = 2000
HEADER_TEXT = 150
BUTTON_TEXT = 75
BUTTON_VALUE = 2000
MODAL_TITLE = 24
PRIVATE_METADATA = 3000
IDENTIFIER = 255


class Problem(NamedTuple):
    """One reason for a refusal: where (a JSON pointer), and what, in Slack's words."""

    pointer: str
    text: str

    def __str__(self) -> str:
        return f"{self.text} [json-pointer:{self.pointer}]"


Rule = Callable[[object, str], Iterator[Problem]]


def problems_of_message(payload: Mapping[str, object]) -> list[Problem]:
    """Return what is wrong with `text` and `blocks` of a message; empty if nothing is.

    One rule is ours alone: blocks need a `text`, because it is all that a notification shows.
    """
    text, blocks = payload.get("text"), payload.get("blocks")
    found: list[Problem] = []
    if not isinstance(text, str) or not text.strip():
        found.append(Problem("/text", "missing required field: text, the fallback that notifications show"))
    elif len(text) > MESSAGE_TEXT:
        found.append(Problem("/text", f"must be less than {MESSAGE_TEXT + 1} characters"))
    return found if blocks is None else [*found, *problems_of_blocks(blocks)]


def problems_of_blocks(blocks: object, pointer: str = "/blocks") -> list[Problem]:
    """Return what is wrong with the blocks of a message, as Slack sees it."""
    return list(_MESSAGE_BLOCKS(blocks, pointer))


def problems_of_view(view: Mapping[str, object]) -> list[Problem]:
    """Return what is wrong with a modal or a home view; pointers begin at the view."""
    return list(_VIEW(view, ""))


# --- rules for plain values ---------------------------------------------------------------------


def string(most: int, *, least: int = 1) -> Rule:
    """A string of `least` to `most` characters."""

    def rule(value: object, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield Problem(pointer, "must be a string")
        elif len(value) > most:
            yield Problem(pointer, f"must be less than {most + 1} characters")
        elif len(value) < least:
            yield Problem(pointer, f"must be more than {least - 1} characters")

    return rule


def word(*allowed: str) -> Rule:
    """One of a few words."""

    def rule(value: object, pointer: str) -> Iterator[Problem]:
        if value not in allowed:
            yield Problem(pointer, f"must be one of the allowed values: {', '.join(allowed)}")

    return rule


def pattern(expression: str, what: str) -> Rule:
    """A string that matches `expression` from beginning to end."""

    def rule(value: object, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, str) or not re.fullmatch(expression, value):
            yield Problem(pointer, f"invalid {what}")

    return rule


def whole(least: int, most: int) -> Rule:
    """A whole number from `least` to `most`."""

    def rule(value: object, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            yield Problem(pointer, f"must be a whole number from {least} to {most}")

    return rule


def flag(value: object, pointer: str) -> Iterator[Problem]:
    """True or false."""
    if not isinstance(value, bool):
        yield Problem(pointer, "must be a boolean")


# --- rules made of rules ------------------------------------------------------------------------


def list_of(item: Rule, most: int, *, least: int = 1) -> Rule:
    """A list of `least` to `most` items, each under the rule `item`."""

    def rule(value: object, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            yield Problem(pointer, "must be an array")
            return
        if len(value) > most:
            yield Problem(pointer, f"no more than {most} items allowed")
        if len(value) < least:
            yield Problem(pointer, f"no fewer than {least} items allowed")
        for index, each in enumerate(value):
            yield from item(each, f"{pointer}/{index}")

    return rule


def record(required: Mapping[str, Rule], optional: Mapping[str, Rule] | None = None) -> Rule:
    """An object with these properties and no others."""
    rules = {**required, **(optional or {})}

    def rule(value: object, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield Problem(pointer, "must be an object")
            return
        for name in required:
            if value.get(name) is None:
                yield Problem(pointer, f"missing required field: {name}")
        for name, each in value.items():
            if name not in rules:
                yield Problem(pointer, f"invalid additional property: {name}")
            elif each is not None:
                yield from rules[name](each, f"{pointer}/{name}")

    return rule


def typed(kinds: Mapping[str, Rule]) -> Rule:
    """An object whose `type` chooses its rule."""

    def rule(value: object, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield Problem(pointer, "must be an object")
            return
        kind = value.get("type")
        if not isinstance(kind, str) or kind not in kinds:
            yield Problem(f"{pointer}/type", f"unsupported type: {kind}")
            return
        yield from kinds[kind](value, pointer)

    return rule


def both(first: Rule, second: Rule) -> Rule:
    """Two rules for the same value."""

    def rule(value: object, pointer: str) -> Iterator[Problem]:
        yield from first(value, pointer)
        yield from second(value, pointer)

    return rule


def one_of_fields(*names: str) -> Rule:
    """An object that has at least one of these properties."""

    def rule(value: object, pointer: str) -> Iterator[Problem]:
        if isinstance(value, Mapping) and all(value.get(name) is None for name in names):
            yield Problem(pointer, f"missing required field: {' or '.join(names)}")

    return rule


def unique(name: str) -> Rule:
    """A list whose items do not share the value of the property `name`."""

    def rule(value: object, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, Sequence):
            return
        seen: set[str] = set()
        for index, each in enumerate(value):
            identifier = each.get(name) if isinstance(each, Mapping) else None
            if isinstance(identifier, str) and identifier in seen:
                yield Problem(f"{pointer}/{index}/{name}", f'{name} "{identifier}" already exists')
            elif isinstance(identifier, str):
                seen.add(identifier)

    return rule


# --- composition objects ------------------------------------------------------------------------


def _of_type(
    kind: str, required: Mapping[str, Rule] | None = None, optional: Mapping[str, Rule] | None = None
) -> Rule:
    return record({"type": word(kind), **(required or {})}, optional)


def plain(most: int) -> Rule:
    """A plain text object.  Markup has no meaning in it."""
    return _of_type("plain_text", {"text": string(most)}, {"emoji": flag})


def text(most: int) -> Rule:
    """A text object, plain or mrkdwn."""
    mrkdwn = _of_type("mrkdwn", {"text": string(most)}, {"verbatim": flag})
    return typed({"plain_text": plain(most), "mrkdwn": mrkdwn})


_URL = both(string(3000), pattern(r"https?://\S+", "url"))
_CONFIRM = record(
    {"title": plain(100), "text": text(300), "confirm": plain(30), "deny": plain(30)},
    {"style": word("primary", "danger")},
)


def _option(label: Rule, *, url: bool = False) -> Rule:
    extra: dict[str, Rule] = {"url": _URL} if url else {}
    return record({"text": label, "value": string(150)}, {"description": text(75), **extra})


# --- elements -----------------------------------------------------------------------------------

_ACTION: Mapping[str, Rule] = {"action_id": string(IDENTIFIER), "confirm": _CONFIRM}
_FOCUS: Mapping[str, Rule] = {"action_id": string(IDENTIFIER), "focus_on_load": flag}
_PLACEHOLDER: Mapping[str, Rule] = {"placeholder": plain(150)}

_BUTTON = _of_type(
    "button",
    {"text": plain(BUTTON_TEXT)},
    {
        **_ACTION,
        "value": string(BUTTON_VALUE),
        "url": _URL,
        "style": word("primary", "danger"),
        "accessibility_label": string(75),
    },
)
_IMAGE_ELEMENT = _of_type("image", {"image_url": _URL, "alt_text": string(2000)})


def _select(kind: str, *, many: bool = False) -> Rule:
    option = _option(plain(75))
    chosen: dict[str, Rule] = (
        {"initial_options": list_of(option, 100), "max_selected_items": whole(1, 100)}
        if many
        else {"initial_option": option}
    )
    group = record({"label": plain(75), "options": list_of(option, 100)})
    choices: dict[str, Rule] = {"options": list_of(option, 100), "option_groups": list_of(group, 100)}
    rule = _of_type(kind, {}, {**_ACTION, **_FOCUS, **_PLACEHOLDER, **choices, **chosen})
    return both(rule, one_of_fields("options", "option_groups"))


def _picker(kind: str, **initial: Rule) -> Rule:
    return _of_type(kind, {}, {**_ACTION, **_FOCUS, **_PLACEHOLDER, **initial})


_BOX_OPTION = _option(text(75))
_SELECTS: Mapping[str, Rule] = {
    "static_select": _select("static_select"),
    "multi_static_select": _select("multi_static_select", many=True),
    "users_select": _picker("users_select", initial_user=string(IDENTIFIER)),
    "conversations_select": _picker("conversations_select", initial_conversation=string(IDENTIFIER)),
    "channels_select": _picker("channels_select", initial_channel=string(IDENTIFIER)),
    "datepicker": _picker("datepicker", initial_date=pattern(r"\d{4}-\d\d-\d\d", "date")),
    "timepicker": _picker("timepicker", initial_time=pattern(r"\d\d:\d\d", "time")),
    "checkboxes": _of_type(
        "checkboxes",
        {"options": list_of(_BOX_OPTION, 10)},
        {**_ACTION, **_FOCUS, "initial_options": list_of(_BOX_OPTION, 10)},
    ),
    "radio_buttons": _of_type(
        "radio_buttons",
        {"options": list_of(_BOX_OPTION, 10)},
        {**_ACTION, **_FOCUS, "initial_option": _BOX_OPTION},
    ),
}
_PRESSED: Mapping[str, Rule] = {
    **_SELECTS,
    "button": _BUTTON,
    "overflow": _of_type("overflow", {"options": list_of(_option(plain(75), url=True), 5)}, _ACTION),
}
_DISPATCH = record(
    {"trigger_actions_on": list_of(word("on_enter_pressed", "on_character_entered"), 2)},
)
_TEXT_INPUT: Mapping[str, Rule] = {
    **_FOCUS,
    **_PLACEHOLDER,
    "initial_value": string(3000, least=0),
    "dispatch_action_config": _DISPATCH,
}
_FILLED: Mapping[str, Rule] = {
    **_SELECTS,
    "plain_text_input": _of_type(
        "plain_text_input",
        {},
        {**_TEXT_INPUT, "multiline": flag, "min_length": whole(0, 3000), "max_length": whole(1, 3000)},
    ),
    "number_input": _of_type(
        "number_input",
        {"is_decimal_allowed": flag},
        {**_TEXT_INPUT, "min_value": string(50), "max_value": string(50)},
    ),
    "email_text_input": _of_type("email_text_input", {}, _TEXT_INPUT),
    "url_text_input": _of_type("url_text_input", {}, _TEXT_INPUT),
}

# --- blocks -------------------------------------------------------------------------------------


def _block(
    kind: str, required: Mapping[str, Rule] | None = None, optional: Mapping[str, Rule] | None = None
) -> Rule:
    return _of_type(kind, required, {"block_id": string(IDENTIFIER), **(optional or {})})


_EVERYWHERE: Mapping[str, Rule] = {
    "section": both(
        _block(
            "section",
            {},
            {
                "text": text(SECTION_TEXT),
                "fields": list_of(text(FIELD_TEXT), 10),
                "accessory": typed({**_PRESSED, "image": _IMAGE_ELEMENT}),
                "expand": flag,
            },
        ),
        one_of_fields("text", "fields"),
    ),
    "header": _block("header", {"text": plain(HEADER_TEXT)}),
    "divider": _block("divider"),
    "context": _block(
        "context",
        {
            "elements": list_of(
                typed(
                    {"plain_text": plain(SECTION_TEXT), "mrkdwn": text(SECTION_TEXT), "image": _IMAGE_ELEMENT}
                ),
                10,
            )
        },
    ),
    "actions": _block("actions", {"elements": both(list_of(typed(_PRESSED), 25), unique("action_id"))}),
    "image": _block("image", {"image_url": _URL, "alt_text": string(2000)}, {"title": plain(2000)}),
    "input": _block(
        "input",
        {"label": plain(2000), "element": typed(_FILLED)},
        {"hint": plain(2000), "optional": flag, "dispatch_action": flag},
    ),
}
_IN_MESSAGES: Mapping[str, Rule] = {**_EVERYWHERE, "markdown": _block("markdown", {"text": string(12_000)})}

_MESSAGE_BLOCKS = both(list_of(typed(_IN_MESSAGES), MESSAGE_BLOCKS, least=0), unique("block_id"))
_VIEW_BLOCKS = both(list_of(typed(_EVERYWHERE), VIEW_BLOCKS, least=0), unique("block_id"))

# --- views --------------------------------------------------------------------------------------

_OF_ALL_VIEWS: Mapping[str, Rule] = {
    "private_metadata": string(PRIVATE_METADATA, least=0),
    "callback_id": string(IDENTIFIER, least=0),
    "external_id": string(IDENTIFIER, least=0),
}


def _inputs_need_submit(view: object, pointer: str) -> Iterator[Problem]:
    if not isinstance(view, Mapping) or view.get("submit") is not None:
        return
    blocks = view.get("blocks")
    if isinstance(blocks, Sequence) and any(
        isinstance(block, Mapping) and block.get("type") == "input" for block in blocks
    ):
        yield Problem(pointer, "missing required field: submit, because the view has an input block")


_MODAL = both(
    _of_type(
        "modal",
        {"title": plain(MODAL_TITLE), "blocks": _VIEW_BLOCKS},
        {
            **_OF_ALL_VIEWS,
            "submit": plain(MODAL_TITLE),
            "close": plain(MODAL_TITLE),
            "clear_on_close": flag,
            "notify_on_close": flag,
        },
    ),
    _inputs_need_submit,
)
_VIEW = typed({"modal": _MODAL, "home": _of_type("home", {"blocks": _VIEW_BLOCKS}, _OF_ALL_VIEWS)})
