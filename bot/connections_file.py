"""The connections file: which outside systems this installation may reach, and where."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, StreamMark
from ruamel.yaml.reader import ReaderError

from activities.connections import Connections
from bot.mistakes import explain
from runbooks.errors import ParamedicError

_NAME = re.compile(r"[\w-]{1,60}")


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
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConnectionsError(
            f"{file}: cannot be read: {error.strerror}. PARAMEDIC_CONNECTIONS names it."
        ) from None
    except UnicodeDecodeError:
        raise ConnectionsError(f"{file}: is not text in UTF-8; save it as UTF-8") from None
    content = _load(text, file)
    try:
        return Connections.model_validate({} if content is None else _plain(content))
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        problems.sort(key=lambda each: _line(content, each["loc"]))
        raise ConnectionsError("\n".join(_explain(each, content, file) for each in problems)) from None


def _load(text: str, file: Path) -> Any:
    """Return what the YAML says.  The parser's own words are left out: they repeat what stands there."""
    try:
        # The round-trip loader keeps line numbers, knows YAML 1.2, and builds no Python objects.
        return YAML(typ="rt").load(text)
    except DuplicateKeyError as error:
        sentence = "a name is written twice; keep one of them"
        raise ConnectionsError(f"{file}:{_first(error.problem_mark)}: {sentence}") from None
    except (ComposerError, ConstructorError) as error:
        sentence = "this cannot be read; put what begins with * or ! in quotes, and write no second `---`"
        raise ConnectionsError(f"{file}:{_first(error.problem_mark)}: {sentence}") from None
    except MarkedYAMLError as error:
        begin, end = _first(error.context_mark, error.problem_mark), _first(error.problem_mark)
        where = f"from line {begin} to here" if begin < end else "up to here"
        sentence = f"this is not YAML; look at quotes, brackets, colons and indentation (no tabs) {where}"
        raise ConnectionsError(f"{file}:{end}: {sentence}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConnectionsError(f"{file}:{line}: a character here is none for YAML; take it away") from None
    except RecursionError:
        raise ConnectionsError(f"{file}: is nested too deep; write it flatter") from None
    except (ValueError, KeyError):
        # ruamel hands tagged values, and what looks like a date, to Python unchecked.
        raise ConnectionsError(f"{file}: holds a value that cannot be read; put it in quotes") from None


def _first(*marks: StreamMark | None) -> int:
    """Return the line of the first of `marks` that there is; 1 without any."""
    return next((mark.line + 1 for mark in marks if mark), 1)


def _explain(problem: ErrorDetails, content: Any, file: Path) -> str:
    """Say what is wrong and where, without repeating the value: it may be a secret."""
    path, sentence = problem["loc"], explain(problem, Connections)
    if problem["type"] == "extra_forbidden" and not _NAME.fullmatch(str(path[-1])):
        # `{token:abc}` is a name without a value for YAML, and holds a secret.
        sentence = "holds a name that is none; write `name: value`, with a space after the colon"
        path = path[:-1]
    name = ".".join(str(part) for part in path if part != "[key]") or "the file"
    return f"{file}:{_line(content, path)}: {name}: {sentence}"


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
        place = getattr(content, "lc", None)
        # What was merged (`<<`) stands nowhere below its mapping.
        if place is None or key not in (place.data or ()):
            break
        line = place.data[key][0] + 1
        content = content[key]
    return line
