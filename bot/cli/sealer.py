"""`paramedic sealer`: run it, let its key hand over to another, or begin anew after it was lost."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from activities.ledger.notes import PublicKey
from activities.ledger.store import Ledger
from bot.cli.exits import Exit
from bot.cli.here import SOURCE, log_quietly, who
from bot.cli.process import go_on_as
from bot.cli.terminal import (
    AsJson,
    end_with,
    new_commands,
    settings,
    show_json,
    show_line,
    waiting_for,
)
from bot.only_one import AlreadyRunningError
from bot.sealer.anew import Word, begin_anew
from bot.sealer.memory import ROTATION_FILE, public_key_in
from bot.sealer.process import seal_once
from bot.visible import visible
from runbooks.errors import RefusedError

TAKEN_UP_WITHIN = 60.0  # seconds until a sealer that runs has done it

app = new_commands("Run the sealer, which signs what the ledger is; and see to its key.")


@app.callback(invoke_without_command=True, no_args_is_help=False)
def sealer(context: typer.Context) -> None:
    """Run the sealer, which signs what the ledger is.  `paramedic up` runs one by itself."""
    if context.invoked_subcommand is None:
        go_on_as("bot.sealer")


@app.command()
def rotate(as_json: AsJson = False) -> None:
    """Let the sealer's key hand over to a new one, and destroy it.

    The old key signs one last checkpoint, which names the new one; from then on only the new one counts, and
    who steals the old one from a backup signs nothing that is believed.  Those who verify can go on with the
    key that they have, or take what `paramedic ledger keys` shows now.

    Example: paramedic sealer rotate
    """
    log_quietly(logging.WARNING)
    folder = settings().sealers_folder
    before = _key_in(folder)
    (folder / ROTATION_FILE).touch()
    try:
        asyncio.run(seal_once(settings(), everything=True))
    except AlreadyRunningError:
        _wait_for_another(folder, before)
    after = _key_in(folder)
    if after.text == before.text:
        sentence = "The sealer that runs has not done it yet: see its log. It will, as soon as it seals."
        end_with(Exit.NO, sentence, "not_handed_over")
    if as_json:
        show_json({"key": str(after), "before": str(before)})
    else:
        show_line(Text(visible(f"Handed over. The key in office is now {after}")))


@app.command("begin-anew")
def begin(
    reason: Annotated[str, typer.Option("--reason", help="What happened. It stays on record.")],
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="File with the public key that was lost, as `ledger keys` had shown it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Begin anew with a new key, after the sealer's folder was lost for good.

    Verify the ledger with the checkpoints outside first: from here on nobody is left who remembers what it
    was.  Who did this, and why, is on record, and every verification says so.

    Example: paramedic sealer begin-anew --reason "disk failed" --key sealer.pub
    """
    lost = [PublicKey.parse(line) for file in key or () for line in _lines(file)]
    word = Word(reason=reason, actor=who(), source=SOURCE)
    with closing(Ledger.open(settings().ledger, create=False)) as ledger:
        seal = asyncio.run(begin_anew(ledger, settings().sealers_folder, word, lost))
    if as_json:
        show_json({"checkpoint": seal.number, "records": seal.size})
        return
    show_line(Text(visible(f"Begun anew with checkpoint {seal.number}, over {seal.size} records.")))
    show_line("Give those who verify the new key: paramedic ledger keys")


def _key_in(folder: Path) -> PublicKey:
    key = public_key_in(folder)
    if key is None:
        raise RefusedError(
            "no_sealer", f"there is no sealer's key in {folder}: it is made when the sealer runs first"
        )
    return key


def _wait_for_another(folder: Path, before: PublicKey) -> None:
    """Wait until the sealer that runs has taken it up."""
    deadline = time.monotonic() + TAKEN_UP_WITHIN
    with waiting_for("Waiting until the sealer that runs has handed over ..."):
        while _key_in(folder).text == before.text and time.monotonic() < deadline:
            time.sleep(0.2)


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError("no_key", f"{file} cannot be read: {error}") from error
