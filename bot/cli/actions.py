"""`paramedic actions`: what runbooks can use, from the declarations themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from activities.actions import Registry
from bot.cli.tables import show_table
from bot.cli.terminal import AsJson, new_commands, show_json
from bot.visible import as_span, visible
from runbooks.model.action import Declaration, Effect

app = new_commands("The actions that runbooks can use.")

EFFECT_STYLES = {Effect.READ: "", Effect.TELL: "cyan", Effect.WRITE: "yellow", Effect.DESTRUCTIVE: "red"}


@app.callback()
def _app() -> None:
    """Actions."""


@app.command("actions")
def list_actions(as_json: AsJson = False) -> None:
    """The actions that runbooks can use.

    Each with what it does to the world, what may be done after an attempt whose outcome is unknown
    (its class), and its parameters; those in brackets may be left out. What a check measures stands in `result`.

    Example: paramedic actions
    """
    declarations = sorted(Registry.installed().vocabulary.values(), key=lambda each: each.name)
    if as_json:
        show_json([describe(each) for each in declarations])
        return
    columns = ("action", "effect", "class", "what it does, and its parameters")
    show_table(columns, [_as_row(each) for each in declarations])


def _as_row(declaration: Declaration) -> tuple[object, ...]:
    effect = Text(declaration.effect.value, style=EFFECT_STYLES[declaration.effect])
    return declaration.name, effect, declaration.kind.value, _summary(declaration)


def _summary(declaration: Declaration) -> Text:
    text = Text(visible(declaration.summary))
    fields = declaration.parameters.model_fields
    names = [name if field.is_required() else f"[{name}]" for name, field in fields.items()]
    text.append(f"\n{' '.join(names) or 'no parameters'}", style="dim")
    if declaration.samples:
        text.append(f"\nresult: {' '.join(declaration.samples)}", style="dim")
    return text


def describe(declaration: Declaration) -> Mapping[str, Any]:
    """Return a declaration as JSON values, its parameters as a JSON Schema."""
    return {
        "name": declaration.name,
        "summary": declaration.summary,
        "effect": declaration.effect.value,
        "class": declaration.kind.value,
        "timeout": as_span(declaration.timeout),
        "attempts": declaration.attempts,
        "parameters": declaration.parameters.model_json_schema(),
        "result": list(declaration.samples),
    }
