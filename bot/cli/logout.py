"""`paramedic logout`: give the login back."""

from __future__ import annotations

from bot.cli.login import log_out
from bot.cli.terminal import AsJson, new_commands

app = new_commands("Give your login back.")


@app.callback()
def _app() -> None:
    """Logout."""


@app.command()
def logout(as_json: AsJson = False) -> None:
    """Give your login back: its token is worth nothing from then on.

    Example: paramedic logout
    """
    log_out(as_json=as_json)
