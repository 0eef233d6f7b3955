"""The connections file: which outside systems this installation may reach, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from activities.connections import Connections
from runbooks.errors import ParamedicError


class ConnectionsError(ParamedicError):
    """The connections file cannot be used."""

    code = "connections_wrong"


def read_connections(file: Path | None) -> Connections:
    """Return what `file` names; without a file, no connections at all.

    Raises:
        ConnectionsError: with the file, line and what is wrong, for every problem at once.
    """
    if file is None:
        return Connections()
    try:
        # The round-trip loader keeps line numbers, knows YAML 1.2, and builds no Python objects.
        content = YAML(typ="rt").load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConnectionsError(
            f"{file}: cannot be read: {error.strerror}. PARAMEDIC_CONNECTIONS names it."
        ) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConnectionsError(f"{file}:{line}: this is not YAML: {error.problem}.") from None
    except YAMLError as error:
        raise ConnectionsError(f"{file}: this is not YAML: {error}.") from None
    try:
        return Connections.model_validate(_plain(content) or {})
    except ValidationError as error:
        problems = [
            f"{file}:{_line(content, each['loc'])}: {'.'.join(map(str, each['loc']))}: {each['msg']}."
            for each in error.errors(include_input=False, include_url=False)
        ]
        raise ConnectionsError("\n".join(problems)) from None


def _plain(value: Any) -> Any:
    """Return ruamel's containers as plain ones."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _line(content: Any, path: Sequence[Any]) -> int:
    """Return the line of the innermost thing on `path` that stands in the file; the first is 1."""
    line = 1
    for key in path:
        if not isinstance(content, Mapping) or key not in content:
            break
        line = content.lc.key(key)[0] + 1  # type: ignore[attr-defined]
        content = content[key]
    return line
