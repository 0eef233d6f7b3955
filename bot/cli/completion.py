"""`paramedic completion`: the script that teaches a shell to complete commands and names."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer import completion as typers

from bot.cli.terminal import AsJson, new_commands, show_json

app = new_commands("The script that teaches a shell to complete.")

PROGRAM = "paramedic"


class Shell(StrEnum):
    """The shells that can."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.callback()
def _app() -> None:
    """Completion."""


@app.command()
def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    as_json: AsJson = False,
) -> None:
    """Print the script that teaches a shell to complete.

    Commands and options, the names of runbooks, and the ids of remediations. `paramedic --install-completion`
    puts it into your own shell's configuration; this is for a package, an image, or who wants to see it first.

    Example: paramedic completion bash > /etc/bash_completion.d/paramedic
    """
    script: str = typers.get_completion_script(  # type: ignore[attr-defined]
        prog_name=PROGRAM, complete_var=f"_{PROGRAM.upper()}_COMPLETE", shell=shell.value
    )
    if as_json:
        show_json({"shell": shell.value, "script": script})
    else:
        typer.echo(script)
