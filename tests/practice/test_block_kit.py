"""The gate before every send: what Slack refuses, refused here first."""

from __future__ import annotations

from typing import Any

import pytest

from bot.slack.block_kit import problems_of_blocks, problems_of_message, problems_of_view

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def button(**more: Any) -> Json:
    return {"type": "button", "action_id": "go", "text": plain("Go"), **more}


def option(text: str = "One", value: str = "1") -> Json:
    return {"text": plain(text), "value": value}


def actions(*elements: Json, **more: Any) -> Json:
    return {"type": "actions", "elements": list(elements), **more}


def section(**more: Any) -> Json:
    return {"type": "section", **more}


def select(**more: Any) -> Json:
    return {"type": "static_select", "action_id": "pick", "options": [option()], **more}


def field(**more: Any) -> Json:
    element = {"type": "plain_text_input", "action_id": "reason"}
    return {"type": "input", "label": plain("Why?"), "element": element, **more}


def modal(*blocks: Json, **more: Any) -> Json:
    return {"type": "modal", "title": plain("Deny"), "submit": plain("Deny"), "blocks": list(blocks), **more}


def confirm(**more: Any) -> Json:
    return {
        "title": plain("Sure?"),
        "text": plain("Really"),
        "confirm": plain("Yes"),
        "deny": plain("No"),
        **more,
    }


DIVIDER: Json = {"type": "divider"}

REFUSED_BLOCKS: dict[str, tuple[list[Any], str]] = {
    "51 blocks": ([DIVIDER] * 51, "/blocks"),
    "not a block": (["divider"], "/blocks/0"),
    "block without type": ([{"text": plain("a")}], "/blocks/0/type"),
    "unknown block": ([{"type": "carpet"}], "/blocks/0/type"),
    "unknown property of a block": ([{**DIVIDER, "colour": "red"}], "/blocks/0"),
    "unknown property of a button": ([actions(button(colour="red"))], "/blocks/0/elements/0"),
    "unknown property of a text": ([section(text={**plain("a"), "size": 3})], "/blocks/0/text"),
    "block_id of 256": ([{**DIVIDER, "block_id": "x" * 256}], "/blocks/0/block_id"),
    "empty block_id": ([{**DIVIDER, "block_id": ""}], "/blocks/0/block_id"),
    "duplicate block_id": ([{**DIVIDER, "block_id": "x"}] * 2, "/blocks/1/block_id"),
    "section without text and fields": ([section()], "/blocks/0"),
    "empty section text": ([section(text=mrkdwn(""))], "/blocks/0/text/text"),
    "section text of 3,001": ([section(text=mrkdwn("x" * 3001))], "/blocks/0/text/text"),
    "section text that is a string": ([section(text="hello")], "/blocks/0/text"),
    "text of unknown type": ([section(text={"type": "html", "text": "a"})], "/blocks/0/text/type"),
    "verbatim in plain text": ([section(text={**plain("a"), "verbatim": True})], "/blocks/0/text"),
    "emoji in mrkdwn": ([section(text={**mrkdwn("a"), "emoji": True})], "/blocks/0/text"),
    "no fields": ([section(text=plain("a"), fields=[])], "/blocks/0/fields"),
    "11 fields": ([section(fields=[plain("a")] * 11)], "/blocks/0/fields"),
    "field of 2,001": ([section(fields=[plain("x" * 2001)])], "/blocks/0/fields/0/text"),
    "text input as accessory": (
        [section(text=plain("a"), accessory={"type": "plain_text_input", "action_id": "a"})],
        "/blocks/0/accessory/type",
    ),
    "header of 151": ([{"type": "header", "text": plain("x" * 151)}], "/blocks/0/text/text"),
    "mrkdwn in a header": ([{"type": "header", "text": mrkdwn("a")}], "/blocks/0/text/type"),
    "header without text": ([{"type": "header"}], "/blocks/0"),
    "empty context": ([{"type": "context", "elements": []}], "/blocks/0/elements"),
    "context of 11": ([{"type": "context", "elements": [mrkdwn("a")] * 11}], "/blocks/0/elements"),
    "button in a context": ([{"type": "context", "elements": [button()]}], "/blocks/0/elements/0/type"),
    "empty actions": ([actions()], "/blocks/0/elements"),
    "26 actions": ([actions(*(button(action_id=str(n)) for n in range(26)))], "/blocks/0/elements"),
    "duplicate action_id": ([actions(button(), button())], "/blocks/0/elements/1/action_id"),
    "action_id of 256": ([actions(button(action_id="x" * 256))], "/blocks/0/elements/0/action_id"),
    "mrkdwn in a button": ([actions(button(text=mrkdwn("a")))], "/blocks/0/elements/0/text/type"),
    "button without text": ([actions({"type": "button", "action_id": "a"})], "/blocks/0/elements/0"),
    "button text of 76": ([actions(button(text=plain("x" * 76)))], "/blocks/0/elements/0/text/text"),
    "button value of 2,001": ([actions(button(value="x" * 2001))], "/blocks/0/elements/0/value"),
    "button value that is a number": ([actions(button(value=7))], "/blocks/0/elements/0/value"),
    "button of unknown style": ([actions(button(style="green"))], "/blocks/0/elements/0/style"),
    "button that leads nowhere": ([actions(button(url="here"))], "/blocks/0/elements/0/url"),
    "confirm without text": (
        [actions(button(confirm=confirm(text=None)))],
        "/blocks/0/elements/0/confirm",
    ),
    "confirm title of 101": (
        [actions(button(confirm=confirm(title=plain("x" * 101))))],
        "/blocks/0/elements/0/confirm/title/text",
    ),
    "confirm button of 31": (
        [actions(button(confirm=confirm(confirm=plain("x" * 31))))],
        "/blocks/0/elements/0/confirm/confirm/text",
    ),
    "select without options": ([actions(select(options=None))], "/blocks/0/elements/0"),
    "empty options": ([actions(select(options=[]))], "/blocks/0/elements/0/options"),
    "101 options": ([actions(select(options=[option()] * 101))], "/blocks/0/elements/0/options"),
    "option text of 76": (
        [actions(select(options=[option(text="x" * 76)]))],
        "/blocks/0/elements/0/options/0/text/text",
    ),
    "option value of 151": (
        [actions(select(options=[option(value="x" * 151)]))],
        "/blocks/0/elements/0/options/0/value",
    ),
    "placeholder of 151": (
        [actions(select(placeholder=plain("x" * 151)))],
        "/blocks/0/elements/0/placeholder/text",
    ),
    "6 overflow options": (
        [actions({"type": "overflow", "action_id": "a", "options": [option()] * 6})],
        "/blocks/0/elements/0/options",
    ),
    "11 radio options": (
        [actions({"type": "radio_buttons", "action_id": "a", "options": [option()] * 11})],
        "/blocks/0/elements/0/options",
    ),
    "11 checkboxes": (
        [actions({"type": "checkboxes", "action_id": "a", "options": [option()] * 11})],
        "/blocks/0/elements/0/options",
    ),
    "date that is none": (
        [actions({"type": "datepicker", "action_id": "a", "initial_date": "tomorrow"})],
        "/blocks/0/elements/0/initial_date",
    ),
    "image without alt_text": ([{"type": "image", "image_url": "https://example.org/a.png"}], "/blocks/0"),
    "image without address": ([{"type": "image", "alt_text": "a"}], "/blocks/0"),
    "input without label": ([{k: v for k, v in field().items() if k != "label"}], "/blocks/0"),
    "mrkdwn in a label": ([field(label=mrkdwn("a"))], "/blocks/0/label/type"),
    "button as input": ([field(element=button())], "/blocks/0/element/type"),
    "markdown of 12,001": ([{"type": "markdown", "text": "x" * 12_001}], "/blocks/0/text"),
}

REFUSED_VIEWS: dict[str, tuple[Json, str]] = {
    "view of unknown type": (modal(type="window"), "/type"),
    "modal without title": (modal(title=None), ""),
    "modal title of 25": (modal(title=plain("x" * 25)), "/title/text"),
    "mrkdwn in a modal title": (modal(title=mrkdwn("a")), "/title/type"),
    "submit of 25": (modal(submit=plain("x" * 25)), "/submit/text"),
    "close of 25": (modal(close=plain("x" * 25)), "/close/text"),
    "input without submit": (modal(field(), submit=None), ""),
    "private_metadata of 3,001": (modal(private_metadata="x" * 3001), "/private_metadata"),
    "callback_id of 256": (modal(callback_id="x" * 256), "/callback_id"),
    "101 blocks": (modal(*([DIVIDER] * 101)), "/blocks"),
    "modal without blocks": ({k: v for k, v in modal().items() if k != "blocks"}, ""),
    "markdown in a modal": (modal({"type": "markdown", "text": "a"}), "/blocks/0/type"),
    "unknown property of a view": (modal(submit_disabled=True), ""),
    "home with a title": ({"type": "home", "title": plain("a"), "blocks": []}, ""),
}


@pytest.mark.parametrize(("blocks", "pointer"), REFUSED_BLOCKS.values(), ids=REFUSED_BLOCKS)
def test_refuses_blocks_that_slack_refuses(blocks: list[Any], pointer: str) -> None:
    """
    Each wrong block has exactly one problem, and it points at the place that is wrong.
    """
    assert [problem.pointer for problem in problems_of_blocks(blocks)] == [pointer]


@pytest.mark.parametrize(("view", "pointer"), REFUSED_VIEWS.values(), ids=REFUSED_VIEWS)
def test_refuses_views_that_slack_refuses(view: Json, pointer: str) -> None:
    """
    Each wrong view has exactly one problem, and it points at the place that is wrong.
    """
    assert [problem.pointer for problem in problems_of_view(view)] == [pointer]


ACCEPTED = [
    [],
    [DIVIDER] * 50,
    [section(text=mrkdwn("x" * 3000)), section(fields=[mrkdwn("x" * 2000)] * 10)],
    [section(text=plain("a"), accessory=button(style="danger", confirm=confirm(style="danger")))],
    [
        section(
            text=plain("a"),
            accessory={"type": "image", "image_url": "https://example.org/a", "alt_text": "a"},
        )
    ],
    [
        {"type": "header", "text": {**plain("x" * 150), "emoji": False}},
        {"type": "context", "elements": [mrkdwn("a")]},
    ],
    [actions(button(value="x" * 2000, url="https://example.org/"), select(placeholder=plain("Which?")))],
    [actions(button(), block_id="one"), actions(button(), block_id="two")],
    [field(optional=True, hint=plain("a")), {"type": "markdown", "text": "**bold**"}],
    [{"type": "section", "block_id": None, "text": {**mrkdwn("a"), "verbatim": True}}],
]


@pytest.mark.parametrize("blocks", ACCEPTED)
def test_accepts_what_is_right_up_to_the_limit(blocks: list[Any]) -> None:
    """
    The gate lets a right card pass, with every text as long as it may be.
    """
    assert problems_of_blocks(blocks) == []


@pytest.mark.parametrize(
    "view",
    [
        modal(field(), private_metadata="", callback_id="deny", notify_on_close=True),
        modal(section(text=plain("a")), submit=None),
        modal(title=plain("x" * 24)),
        {"type": "home", "blocks": [section(text=plain("a"))]},
    ],
)
def test_accepts_right_views(view: Json) -> None:
    """
    The gate lets modals and home tabs pass that Slack would show.
    """
    assert problems_of_view(view) == []


@pytest.mark.parametrize("message", [{"blocks": [DIVIDER]}, {"text": " ", "blocks": [DIVIDER]}, {}])
def test_wants_a_text_that_notifications_can_show(message: Json) -> None:
    """
    A message without a fallback text is refused by us: a phone would show an empty notification.
    """
    assert [problem.pointer for problem in problems_of_message(message)] == ["/text"]


def test_finds_a_text_that_is_too_long() -> None:
    """
    Slack takes 40,000 characters and no more.
    """
    assert problems_of_message({"text": "x" * 40_000}) == []
    assert [str(problem) for problem in problems_of_message({"text": "x" * 40_001})] == [
        "must be less than 40001 characters [json-pointer:/text]"
    ]


def test_names_all_problems_at_once() -> None:
    """
    Whoever mends a card learns everything that is wrong with it in one go.
    """
    blocks = [section(), {"type": "header", "text": plain("")}, actions()]

    assert [problem.pointer for problem in problems_of_blocks(blocks)] == [
        "/blocks/0",
        "/blocks/1/text/text",
        "/blocks/2/elements",
    ]
