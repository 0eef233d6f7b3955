"""The run form: a runbook, and what must be said to run it, as a modal.

It asks for what the runbook reads: a label with few values is chosen, another one is typed.  Who picks
another runbook gets its inputs in the same form.  What is wrong stands beside its input.

The form remembers where it was opened from, and nothing else: what it asks for comes from the
catalog each time, and who asks from the signed payload.

Pure: the same catalog, the same form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints
from slack_sdk.models.blocks import (
    Block,
    InputBlock,
    Option,
    PlainTextInputElement,
    PlainTextObject,
    SectionBlock,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from bot.run_inputs import RunInput, inputs_of
from bot.slack.block_kit import problems_of_view
from bot.slack.message import section
from bot.slack.text import clean, plain
from runbooks.model.base import Value
from runbooks.model.runbook import Runbook

RUN_VIEW = "paramedic.run"
CHOOSE = "paramedic.run.choose"
VALUE = "value"
RUNBOOK_BLOCK = "runbook"
LABEL_BLOCK = "label:"
MORE_BLOCK = "more"

LISTED = 100  # runbooks that a select can offer, Slack's limit
INPUTS = 40  # labels that a form asks for
LONGEST_VALUE = 1000  # characters of one label
LONGEST_OPTION = 75

NO_RUNBOOKS = "There are no runbooks in force yet."


class RunPlace(BaseModel):
    """What the form remembers: the channel that it was opened from; empty where it was none."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    channel: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{0,40}$")] = ""


class Filled(Value):
    """What a person has filled in.

    Attributes:
        runbook: empty where none is chosen.
        labels: those that are not empty.
        unread: lines under "more labels" that are none.
    """

    runbook: str
    labels: Mapping[str, str]
    unread: tuple[str, ...] = ()


def run_view(
    runbooks: Sequence[Runbook], chosen: str, labels: Mapping[str, str], *, channel: str = "", lead: str = ""
) -> dict[str, Any]:
    """Return the form for the runbook that is `chosen`, filled with what is known.

    Args:
        runbooks: those in force; those that fit best first, where more than a select can offer.
        chosen: a name; empty: none yet.
        labels: what is known already.
        channel: where it was opened from.
        lead: a first sentence, escaped.
    """
    runbook = next((each for each in runbooks if each.name == chosen), None)
    blocks: list[Block] = [section(lead)] if lead else []
    blocks.append(_choice(runbooks[:LISTED], runbook))
    if runbook is not None:
        blocks += _inputs(runbook, labels)
    view: dict[str, Any] = View(
        type="modal",
        callback_id=RUN_VIEW,
        title=PlainTextObject(text="Run a runbook"),
        submit=PlainTextObject(text="Run") if runbook is not None else None,
        close=PlainTextObject(text="Go back"),
        private_metadata=RunPlace(channel=channel).model_dump_json(),
        blocks=blocks,
    ).to_dict()
    problems = problems_of_view(view)
    assert not problems, f"the form breaks Slack's rules: {problems}"
    return view


def filled_in(state: Mapping[str, Any]) -> Filled:
    """Return what stands in the state of a form, whatever else does."""
    values = state.get("values")
    blocks = values if isinstance(values, Mapping) else {}
    runbook, labels = "", {}
    for block, elements in blocks.items():
        held = _held(elements)
        if block == RUNBOOK_BLOCK:
            runbook = held
        elif block.startswith(LABEL_BLOCK) and held:
            labels[block.removeprefix(LABEL_BLOCK).partition("@")[0]] = held
    more, unread = _pairs(_text_of(blocks.get(MORE_BLOCK)))
    return Filled(runbook=runbook, labels={**more, **labels}, unread=tuple(unread))


def errors_in(view: Mapping[str, Any], filled: Filled, wrong: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong by the block that it stands beside; what has no block of its own at the last one."""
    inputs = [block["block_id"] for block in view.get("blocks", ()) if block.get("type") == "input"]
    inputs = inputs or [MORE_BLOCK]
    by_label = {block.removeprefix(LABEL_BLOCK).partition("@")[0]: block for block in inputs}
    errors: dict[str, str] = {}
    for name, sentence in wrong.items():
        errors.setdefault(by_label.get(name, inputs[-1]), plain(f"{sentence}.", 300))
    if filled.unread:
        errors[inputs[-1]] = plain(f"This is not name=value: {filled.unread[0]}", 300)
    return errors


def _choice(runbooks: Sequence[Runbook], chosen: Runbook | None) -> Block:
    if not runbooks:
        return SectionBlock(text=PlainTextObject(text=NO_RUNBOOKS))
    options = {each.name: _runbook_option(each) for each in runbooks}
    select = StaticSelectElement(
        action_id=CHOOSE,
        placeholder=PlainTextObject(text="Choose a runbook"),
        options=list(options.values()),
        initial_option=options.get(chosen.name) if chosen else None,
    )
    return SectionBlock(
        block_id=RUNBOOK_BLOCK,
        text=PlainTextObject(text=(plain(chosen.summary, 300) if chosen else "") or "Which one?"),
        accessory=select,
    )


def _runbook_option(runbook: Runbook) -> Option:
    return Option(text=PlainTextObject(text=plain(runbook.name, LONGEST_OPTION)), value=runbook.name)


def _inputs(runbook: Runbook, labels: Mapping[str, str]) -> list[Block]:
    asked = inputs_of(runbook)[:INPUTS]
    blocks: list[Block] = [_input(runbook, each, labels.get(each.name, "")) for each in asked]
    known = {each.name for each in asked} | {"alertname"}
    others = "\n".join(
        f"{name}={' '.join(clean(value).split())}" for name, value in labels.items() if name not in known
    )
    more = PlainTextInputElement(
        action_id=VALUE, multiline=True, initial_value=_fitting(others) or None, max_length=3000
    )
    blocks.append(
        InputBlock(
            block_id=MORE_BLOCK,
            optional=True,
            label=PlainTextObject(text="More labels"),
            hint=PlainTextObject(text="One a line: name=value. Policies and freezes may look at them."),
            element=more,
        )
    )
    return blocks


def _input(runbook: Runbook, each: RunInput, value: str) -> Block:
    return InputBlock(
        # The runbook is part of the id: the same label of another runbook is another input.
        block_id=f"{LABEL_BLOCK}{each.name}@{runbook.name}"[:255],
        optional=not each.required,
        label=PlainTextObject(text=plain(each.name, 100)),
        hint=PlainTextObject(text=_hint(each)),
        element=_select(each, value) if each.choices else _field(value),
    )


def _hint(each: RunInput) -> str:
    if each.is_target:
        return "What it acts on."
    return (
        "A label that this runbook reads." if each.required else "A label that this runbook can do without."
    )


def _select(each: RunInput, value: str) -> StaticSelectElement:
    options = {
        choice: Option(text=PlainTextObject(text=plain(choice, LONGEST_OPTION)), value=choice[:150])
        for choice in each.choices
    }
    only = next(iter(options)) if len(options) == 1 else ""
    return StaticSelectElement(
        action_id=VALUE,
        options=list(options.values()),
        initial_option=options.get(value) or options.get(only),
    )


def _field(value: str) -> PlainTextInputElement:
    shown = plain(value, LONGEST_VALUE)
    return PlainTextInputElement(action_id=VALUE, initial_value=shown or None, max_length=LONGEST_VALUE)


def _fitting(text: str) -> str:
    """Return the whole lines of `text` that fit into one input."""
    lines: list[str] = []
    for each in clean(text).split("\n"):
        if sum(map(len, lines)) + len(lines) + len(each) <= 3000:
            lines.append(each)
    return "\n".join(lines)


def _held(elements: Any) -> str:
    """Return what the one element of a block holds: a text, or the value of an option."""
    element = next(iter(elements.values()), None) if isinstance(elements, Mapping) else None
    if not isinstance(element, Mapping):
        return ""
    option = element.get("selected_option")
    held = option.get("value") if isinstance(option, Mapping) else element.get("value")
    return " ".join(clean(held).split()) if isinstance(held, str) else ""


def _text_of(elements: Any) -> str:
    element = elements.get(VALUE) if isinstance(elements, Mapping) else None
    held = element.get("value") if isinstance(element, Mapping) else None
    return clean(held) if isinstance(held, str) else ""


def _pairs(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the labels in a text of one `name=value` a line, and the lines that are none."""
    pairs: dict[str, str] = {}
    unread = []
    for each in filter(None, map(str.strip, text.split("\n"))):
        name, equals, value = each.partition("=")
        if equals and name.strip() and value.strip():
            pairs[name.strip()] = value.strip()
        else:
            unread.append(each)
    return pairs, unread
