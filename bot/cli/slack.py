"""`paramedic slack manifest`: the app as Slack wants it described."""

from __future__ import annotations

import io
from enum import StrEnum
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML

from bot.cli.exits import Exit
from bot.cli.terminal import AsJson, end_with, new_commands, show_json
from bot.slack.manifest import RequestUrlError, manifest

app = new_commands("The manifest from which Slack creates the app.")

HEADING = """\
# The Slack app of Paramedic: api.slack.com/apps, Create New App, From a manifest.
# Printed by `paramedic slack manifest`.  docs/slack.md says what each scope is for.
"""


class Mode(StrEnum):
    """How Slack calls."""

    SOCKET = "socket"
    HTTP = "http"


class Format(StrEnum):
    """Both are taken by Slack."""

    YAML = "yaml"
    JSON = "json"


@app.callback()
def _app() -> None:
    """The manifest from which Slack creates the app."""


@app.command("manifest")
def show_manifest(
    mode: Annotated[
        Mode, typer.Option(help="How Slack calls: docs/slack.md compares the two.")
    ] = Mode.SOCKET,
    url: Annotated[
        str, typer.Option(help="For the mode http: the address at which Slack reaches Paramedic.")
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="Slack takes both.")] = Format.YAML,
    as_json: AsJson = False,
) -> None:
    """Print the manifest from which Slack creates the app: paste it at api.slack.com/apps, From a manifest.

    It asks for what is used and nothing else; docs/slack.md says what each scope is for.

    Example: paramedic slack manifest --mode http --url https://bot.example.net
    """
    try:
        described = manifest(mode.value, url)
    except RequestUrlError as error:
        end_with(Exit.WRONG, str(error), "request_url_wrong")
    if as_json or form is Format.JSON:
        show_json(described)
    else:
        typer.echo(as_yaml(described))


def as_yaml(described: dict[str, Any]) -> str:
    """Return a manifest as YAML, with a comment that says where it comes from."""
    text = io.StringIO()
    text.write(HEADING)
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 110
    yaml.dump(described, text)
    return text.getvalue().rstrip()
