"""Hosts by ssh: `ssh.run` runs one command, at most once for each key.

Two facts shape this module.  ssh joins the items of a command with spaces and the far shell
parses them again, so a list of arguments protects nothing: here they travel as data, on standard
input, to a wrapper (`ssh_wrapper.sh`) that is the only thing the far shell ever parses.  And a
command outlives the connection that started it, so a second attempt would be a second run: the
wrapper gives each key one run, and every later attempt its result.

What the far host needs: a POSIX sh, and setsid, timeout and mkfifo, as every Linux has.  The
user's login shell must understand single quotes as sh does; csh does not.

Trusted is the pinned host key and nothing else: no known_hosts, no configuration file, no agent.
Every attempt makes its own connection.  One that was kept might be dead without our knowing, and
a command lost in it would have an unknown outcome instead of a certain one.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from activities.actions import Action, Scene, action
from activities.connections import HostConnection, SecretMissingError, reveal
from activities.lazily import lazily
from runbooks.errors import FailedError, NotSentError, UnknownOutcomeError
from runbooks.model.action import ActionClass, ActionResult, Argument, Effect

if TYPE_CHECKING:
    import asyncssh
else:
    asyncssh = lazily("asyncssh")

_WRAPPER = files("activities").joinpath("ssh_wrapper.sh").read_text(encoding="utf-8")
_COMMAND = f"exec sh -c {shlex.quote(_WRAPPER)} paramedic"
_PROTOCOL = "paramedic-1"
_CONNECT_WITHIN = 10  # seconds
_ANSWER_WITHIN = 20  # seconds beyond the command's limit: its killing, the wrapper's patience, the way
_STREAM_LIMIT = 14 * 1024  # characters of output, and of errors, on record
_HEAD = 8192  # bytes that the wrapper keeps of each beginning and each end
_STOPPED = (124, 137)  # exit codes of timeout: by TERM, by KILL
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def _can_be_passed(text: str) -> str:
    if "\0" in text:
        raise ValueError("an argument cannot hold a NUL byte: no program could receive it")
    text.encode()  # half a surrogate pair: a ValueError as well
    return text


class Run(BaseModel):
    """What is run, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(description="A name under `hosts:` in the connections file.")
    argv: list[Annotated[Argument, AfterValidator(_can_be_passed)]] = Field(
        min_length=1, max_length=256, description="The program and its arguments.  No shell reads them."
    )
    timeout_s: int = Field(default=60, ge=1, le=540, description="Seconds until the host itself stops it.")


@action(
    "ssh.run",
    "Run a command on a host, once",
    effect=Effect.DESTRUCTIVE,
    kind=ActionClass.KEYED,
    timeout=timedelta(minutes=10),
)
async def run(parameters: Run, scene: Scene) -> ActionResult:
    """Run `argv` on `host`, or return what an earlier attempt under the same key came to.

    Raises:
        NotSentError: no connection, wrong host key, key not accepted.
        FailedError: the exit code is not 0, the time was over, the host cannot run it once;
            the host is unknown here.
        UnknownOutcomeError: begun, and its end is not known: it runs on, or it is lost (the host
            was restarted, its process was killed).
    """
    connection = scene.connections.hosts.get(parameters.host)
    if connection is None:
        known = ", ".join(sorted(scene.connections.hosts)) or "none"
        raise scene.refusal(f"there is no host {parameters.host!r} in the connections file; known: {known}")
    client = await _connect(parameters.host, connection)
    try:
        answer = await _ask(client, _request(parameters, connection, scene.key), parameters)
    finally:
        client.abort()  # all has been said, or nothing more will be
    return _judge(answer, parameters, scene)


async def _connect(host: str, connection: HostConnection) -> asyncssh.SSHClientConnection:
    try:
        private_key = asyncssh.import_private_key(reveal(connection.private_key) + "\n")
        return await asyncssh.connect(
            connection.address,
            connection.port,
            username=connection.user,
            client_keys=[private_key],
            known_hosts=asyncssh.import_known_hosts(f"* {connection.host_key}\n"),
            config=None,
            agent_path=None,
            preferred_auth="publickey",
            connect_timeout=_CONNECT_WITHIN,
            login_timeout=_CONNECT_WITHIN,
            keepalive_interval=5,
            keepalive_count_max=3,
        )
    except asyncssh.KeyImportError as error:
        raise NotSentError(f"{host}: the private key cannot be read: OpenSSH format is needed") from error
    except asyncssh.HostKeyNotVerifiable as error:
        raise NotSentError(f"{host}: its host key is not the pinned one; nothing was sent") from error
    except asyncssh.PermissionDenied as error:
        raise NotSentError(f"{host}: our key is not accepted for this user") from error
    except (OSError, asyncssh.Error, TimeoutError) as error:
        raise NotSentError(f"{host}: no connection: {_reason(error)}") from error
    except SecretMissingError as error:
        raise NotSentError(f"{host}: {error}") from error
    except ValueError as error:  # what asyncssh says of a host key, or a private one, that is none
        raise NotSentError(f"{host}: its keys in the connections file cannot be used: {error}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__


@dataclass(frozen=True)
class _Answer:
    """What came back.  `exit_status` is None where the connection ended first."""

    output: bytes
    errors: bytes
    exit_status: int | None


async def _ask(client: asyncssh.SSHClientConnection, request: bytes, parameters: Run) -> _Answer:
    """Start the wrapper and give it the request.  Until it has read all of it, it does nothing."""
    try:
        async with asyncio.timeout(_CONNECT_WITHIN):
            process = await client.create_process(_COMMAND, encoding=None)
    except (OSError, asyncssh.Error, TimeoutError) as error:
        raise NotSentError(f"{parameters.host}: no session: {_reason(error)}") from error
    try:
        async with asyncio.timeout(parameters.timeout_s + _ANSWER_WITHIN):
            output, errors = await process.communicate(request)
    except (OSError, asyncssh.Error, TimeoutError) as error:
        raise UnknownOutcomeError(f"{parameters.host}: {_reason(error)}; the command may run on") from error
    return _Answer(output, errors, process.exit_status)


def _request(parameters: Run, connection: HostConnection, key: str) -> bytes:
    head = [_PROTOCOL, key, connection.state_directory, str(parameters.timeout_s), str(len(parameters.argv))]
    return b"".join(_line(value) for value in [*head, *parameters.argv, "end"])


def _line(value: str) -> bytes:
    """Return `value` as one line that `printf %b` turns back into the same bytes."""
    return b"".join(_ESCAPED[byte] for byte in value.encode()) + b"\n"


_ESCAPED = [
    bytes([byte]) if 0x20 <= byte < 0x7F and byte != ord("\\") else b"\\0%03o" % byte for byte in range(256)
]


def _judge(answer: _Answer, parameters: Run, scene: Scene) -> ActionResult:
    """Return the result of a command that succeeded; raise what anything else means."""
    hello, final, rest = _lines_of(answer.output)
    if final[:1] == ["done"]:
        return _judge_done([int(number) for number in final[1:]], rest, parameters)
    why = " ".join(final[1:])
    if final[:1] == ["refused"]:
        raise scene.refusal(f"{parameters.host}: not run: {why}")
    if final[:1] == ["running"]:
        raise UnknownOutcomeError(f"{parameters.host}: running: {why}")
    if final[:1] == ["lost"]:
        raise UnknownOutcomeError(f"{parameters.host}: lost: {why}")
    if not hello and answer.exit_status is not None:
        # The wrapper greets before it touches anything: it never ran.
        said = _last_line(_text(answer.errors))
        raise scene.refusal(f"{parameters.host} does not run our commands: {said}")
    raise UnknownOutcomeError(f"{parameters.host}: the connection was lost; the command may run on")


def _lines_of(output: bytes) -> tuple[bool, list[str], bytes]:
    """Return whether the wrapper greeted, the words of its last line, and the bytes after that.

    A login script may print something first.
    """
    marker = f"{_PROTOCOL} ".encode()
    hello = output.find(marker + b"hello\n")
    if hello < 0:
        return False, [], b""
    line, newline, rest = output[hello:].partition(b"\n")[2].partition(b"\n")
    if not newline or not line.startswith(marker):
        return True, [], b""
    return True, line[len(marker) :].decode(errors="replace").split(), rest


def _judge_done(numbers: Sequence[int], rest: bytes, parameters: Run) -> ActionResult:
    code, new, *sizes = numbers
    if len(rest) < sum(sizes):
        raise UnknownOutcomeError(f"{parameters.host}: the connection was lost while the result was sent")
    out_head, out_tail, err_head, err_tail = _cut(rest, sizes)
    errors = _joined(err_head, err_tail)
    program = parameters.argv[0]
    if code in _STOPPED:
        raise FailedError(
            f"{program} on {parameters.host} was stopped after {parameters.timeout_s} s (code {code})"
        )
    if code != 0:
        raise FailedError(f"{program} on {parameters.host} ended with code {code}: {_last_line(errors)}")
    return ActionResult(
        sentence=f"ran {program} on {parameters.host}{'' if new else ' (in an earlier attempt)'}",
        output={
            "exit_code": code,
            "stdout": _joined(out_head, out_tail),
            "stderr": errors,
            "ran_in_this_attempt": bool(new),
        },
    )


def _cut(rest: bytes, sizes: Sequence[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    return pieces


def _joined(head: bytes, tail: bytes) -> str:
    """Return the text of both; a full tail means that something between them may be missing."""
    between = b"\n[...]\n" if len(tail) == _HEAD else b""
    text = _text(head + between + tail)
    if len(text) <= _STREAM_LIMIT:
        return text
    half = _STREAM_LIMIT // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"


def _text(raw: bytes) -> str:
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", raw.decode(errors="replace"))


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


ACTIONS: list[Action] = [run]
