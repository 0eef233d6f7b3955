"""The files of a house that people edit while it works: runbooks, connections, windows, policy, a token."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

FIRST_TOKEN = "token-0"
_WINDOWS = """\
windows:
  - name: long ago
    from: 2020-01-01T00:00:00Z
    until: 2020-01-01T01:00:00Z
    reason: It is over.
"""


class Files:
    """Where they are, and how a person changes them.

    Attributes:
        runbooks: a folder; the others are files.
        token: what the bot shows to the guarded endpoint.
    """

    def __init__(self, folder: Path) -> None:
        self.runbooks = folder / "runbooks"
        self.connections = folder / "connections.yaml"
        self.windows = folder / "windows.yaml"
        self.policy = folder / "policy.cedar"
        self.token = folder / "token"

    def write(self, runbooks: Mapping[str, str], connections: Mapping[str, Any]) -> None:
        """Write all of them for the first time."""
        self.runbooks.mkdir()
        for name, text in runbooks.items():
            self.runbook(name).write_text(text, encoding="utf-8")
        self.connections.write_text(json.dumps(connections), encoding="utf-8")  # JSON is YAML
        self.windows.write_text(_WINDOWS, encoding="utf-8")
        self.policy.write_text((files("bot.policy") / "default.cedar").read_text("utf-8"), encoding="utf-8")
        self.token.write_text(f"{FIRST_TOKEN}\n", encoding="utf-8")

    def runbook(self, name: str) -> Path:
        """Return the file of a runbook."""
        return self.runbooks / f"{name}.yaml"


def save(file: Path, content: bytes) -> None:
    """Put a whole new file in the place of the old one, as most editors and every deployment do."""
    fresh = file.with_name(f".{file.name}.fresh")
    fresh.write_bytes(content)
    fresh.replace(file)


@contextlib.contextmanager
def put_back(file: Path) -> Iterator[bytes]:
    """Yield what the file holds, and put that back in the end, whatever has become of the file."""
    content = file.read_bytes()
    try:
        yield content
    finally:
        save(file, content)
