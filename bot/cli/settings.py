"""`paramedic settings`: every setting with its value, its default and its meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import SecretStr, TypeAdapter
from pydantic.fields import FieldInfo
from rich.text import Text

from bot.cli.tables import show_table
from bot.cli.terminal import AsJson, new_commands, settings, show_json
from bot.settings import PREFIX, Settings
from bot.visible import visible

app = new_commands("All settings with their values and meanings.")

HIDDEN = "(hidden)"
_SPAN = TypeAdapter(timedelta)
_PASSWORD = re.compile(r"(://[^:/@]*):[^@]*@")


@app.callback()
def _app() -> None:
    """Settings."""


@app.command("settings")
def show_settings(as_json: AsJson = False) -> None:
    """All settings with their values and meanings.

    A setting is an environment variable.  Secrets are not shown, only whether they are set.

    Example: paramedic settings --json
    """
    rows = list(describe(settings()))
    if as_json:
        show_json(rows)
        return
    show_table(
        ("variable", "value and meaning"), [(row["variable"], _value_and_meaning(row)) for row in rows]
    )


def _value_and_meaning(row: Mapping[str, str]) -> Text:
    """The value stands out where it is not the default."""
    changed = row["value"] != row["default"]
    text = Text(visible(row["value"] or "(not set)"), style="bold green" if changed else "")
    return text.append(f"\n{row['meaning']}", style="not bold dim default")


def describe(current: Settings) -> Iterator[dict[str, str]]:
    """Yield each setting for people: variable, value, default, meaning."""
    for name, field in Settings.model_fields.items():
        value = getattr(current, name)
        yield {
            "variable": PREFIX + name.upper(),
            "value": as_text(value),
            "default": default_of(field),
            "meaning": " ".join((field.description or "").split()),
        }


def default_of(field: FieldInfo) -> str:
    """Return a setting's default as it would be written in the environment; empty for none."""
    return as_text(field.default)


def as_text(value: Any) -> str:
    """Return a setting's value as it would be written in the environment, without its secrets."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(as_text(item) for item in value)
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, timedelta):
        return str(_SPAN.dump_python(value, mode="json"))
    return _PASSWORD.sub(rf"\1:{HIDDEN}@", str(value))
