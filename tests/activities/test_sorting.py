"""What may have happened: every failure of every action that changes something, and what it is sorted as.

"Failed" and "not sent" are promises: the product acts on them.  Whatever is neither is unknown.
Each line of a table is one failure at a server that behaves exactly so.
"""

from __future__ import annotations

import asyncio
import contextlib
import xmlrpc.client
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncssh
import pytest

from activities.actions import Action, Registry
from activities.http import Request, request
from activities.ssh import Run, run
from activities.supervisor import Restart, restart
from runbooks.errors import EffectError, FailedError, NotSentError
from runbooks.model.action import Effect
from tests.activities.test_http import (
    answer_half,
    answering,
    endpoints,
    hang,
    patience_for,
    read_request,
    reset,
)
from tests.activities.test_supervisor import OK, acting, cut_off, fault, info
from tests.components import free_port

FAILED, NOT_SENT, UNKNOWN, OK_DONE = "failed", "not_sent", "unknown", "ok"


async def outcome_of(action: Action, parameters: Any, scene: Any) -> str:
    """Carry it out, and return what the guard would put on record."""
    try:
        await action.perform(parameters, scene)
    except NotSentError:
        return NOT_SENT
    except FailedError:
        return FAILED
    except EffectError:  # anything else was not foreseen, and fails the test
        return UNKNOWN
    return OK_DONE


def test_every_action_that_changes_something_has_a_table_here():
    """Whoever adds an action says what its failures mean."""
    acting_ones = {
        name
        for name, each in Registry.installed().items()
        if each.declaration.effect in {Effect.WRITE, Effect.DESTRUCTIVE}
    }

    assert acting_ones == {"http.request", "ssh.run", "supervisor.restart"}


# --- http.request -------------------------------------------------------------------------------

SEND = Request(endpoint="patient", path="/restart", body={"reason": "disk"})
NOBODY = "http://127.0.0.1:1"


async def answer_and_reset(reader: Any, writer: Any) -> None:
    """Say that all is well, and cut the connection in the middle of the body."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nha")
    await writer.drain()
    await asyncio.sleep(0)
    writer.transport.abort()


async def babble(reader: Any, writer: Any) -> None:
    """Answer with something that is no HTTP."""
    await read_request(reader)
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await writer.drain()


async def close_at_once(reader: Any, writer: Any) -> None:
    """Take the connection and nothing that comes through it."""
    writer.transport.abort()


@pytest.mark.parametrize(
    ("talk", "first", "later"),
    [
        *((answering(code), OK_DONE, OK_DONE) for code in (200, 201, 202, 204)),
        *((answering(code), FAILED, FAILED) for code in (301, 307, 308, 400, 405, 413, 415, 422)),
        *((answering(code), FAILED, UNKNOWN) for code in (401, 403, 404, 407, 408, 409, 410, 412)),
        *((answering(code), NOT_SENT, NOT_SENT) for code in (425, 429)),
        *((answering(code), UNKNOWN, UNKNOWN) for code in (302, 303, 500, 501, 502, 503, 504, 599)),
        (answering(200, b"not zipped", "Content-Encoding: gzip"), UNKNOWN, UNKNOWN),
        *((talk, UNKNOWN, UNKNOWN) for talk in (hang, reset, answer_half, answer_and_reset, babble)),
        (close_at_once, UNKNOWN, UNKNOWN),
        (NOBODY, NOT_SENT, NOT_SENT),
        ("https://127.0.0.1:1", NOT_SENT, NOT_SENT),
        ("no such endpoint", FAILED, NOT_SENT),
    ],
)
async def test_http_failures(listen, make_scene, talk, first, later):
    """A refusal is definite only of the attempt that it answers; silence, 5xx and "see elsewhere" are unknown."""
    url = talk if isinstance(talk, str) else await listen(talk)
    connections = {} if url.startswith("no such") else endpoints(url, timeout=patience_for(talk))

    outcomes = [
        await outcome_of(request, SEND, make_scene(connections, attempt=attempt)) for attempt in (1, 2)
    ]

    assert outcomes == [first, later]


# --- supervisor.restart -------------------------------------------------------------------------

PATIENT = Restart(supervisor="ward", process="patient")
NO_LIST = xmlrpc.client.dumps(([],), methodresponse=True).encode()
GARBAGE = xmlrpc.client.dumps(({"statename": "RUNNING"},), methodresponse=True).encode()
EMPTY = b"<methodResponse><params></params></methodResponse>"


def status(code: int) -> Callable[[Any], Awaitable[None]]:
    async def answer(writer: Any) -> None:
        writer.write(f"HTTP/1.1 {code} X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    return answer


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        # the first question changes nothing
        ({"getProcessInfo": cut_off}, NOT_SENT),
        ({"getProcessInfo": status(500)}, NOT_SENT),
        ({"getProcessInfo": status(401)}, FAILED),
        ({"getProcessInfo": status(404)}, FAILED),
        ({"getProcessInfo": GARBAGE}, NOT_SENT),
        ({"getProcessInfo": EMPTY}, NOT_SENT),
        ({"getProcessInfo": b"<html>"}, NOT_SENT),
        ({"getProcessInfo": fault(10, "BAD_NAME")}, FAILED),
        ({"getProcessInfo": fault(10, "BAD_NAME"), "getAllProcessInfo": cut_off}, FAILED),
        ({"getProcessInfo": fault(6, "SHUTDOWN_STATE")}, FAILED),
        # to stop
        ({"stopProcess": cut_off}, UNKNOWN),
        ({"stopProcess": status(502)}, UNKNOWN),
        ({"stopProcess": status(401)}, FAILED),
        ({"stopProcess": EMPTY}, UNKNOWN),
        ({"stopProcess": fault(30, "FAILED")}, FAILED),
        # it is stopped: nothing is "nothing was done" any more
        ({"startProcess": cut_off}, UNKNOWN),
        ({"startProcess": status(503)}, UNKNOWN),
        ({"startProcess": status(401)}, UNKNOWN),
        ({"startProcess": fault(50, "SPAWN_ERROR")}, FAILED),
        # it is started, and cannot be seen
        ({"getProcessInfo": [info(), cut_off]}, UNKNOWN),
        ({"getProcessInfo": [info(), status(401)]}, UNKNOWN),
        ({"getProcessInfo": [info(), fault(10, "BAD_NAME")]}, UNKNOWN),
        ({"getProcessInfo": [info(), GARBAGE]}, UNKNOWN),
        # it was not up, so nothing was stopped
        ({"getProcessInfo": info("STOPPED"), "startProcess": status(401)}, FAILED),
        ({"getProcessInfo": info("STOPPED"), "startProcess": cut_off}, UNKNOWN),
        ({}, OK_DONE),
    ],
)
async def test_supervisor_failures(listen, make_scene, answers, expected):
    """What fails before the first order changed nothing; what fails after the stop left something undone."""
    usual = {
        "getProcessInfo": [info(), info(pid=4723)],
        "stopProcess": OK,
        "startProcess": OK,
        "getAllProcessInfo": NO_LIST,
    }
    talk, _ = acting(**{**usual, **_fresh(answers)})
    url = await listen(talk)

    scene = make_scene({"supervisors": {"ward": {"url": f"{url}/RPC2"}}})

    assert await outcome_of(restart, PATIENT, scene) == expected


def _fresh(answers: dict[str, Any]) -> dict[str, Any]:
    """Return `answers` with lists of their own: they are used up."""
    return {name: [*each] if isinstance(each, list) else each for name, each in answers.items()}


# --- ssh.run ------------------------------------------------------------------------------------

RUN = Run(host="web", argv=["true"], timeout_s=1)
HELLO = b"paramedic-1 hello\n"
HOST_KEY, OUR_KEY, OTHER_KEY = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))


class _Server(asyncssh.SSHServer):
    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key == OUR_KEY.convert_to_public()


@contextlib.asynccontextmanager
async def ssh_server(output: bytes, code: int | None) -> AsyncIterator[int]:
    """Run a host that reads the whole request, and then answers `output`; `code` None: it cuts the connection."""

    async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
        while b"end" not in await process.stdin.readline():
            pass
        process.stdout.write(output)
        if code is None:
            await process.stdout.drain()
            process.channel.get_connection().abort()
        else:
            process.exit(code)

    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[HOST_KEY], server_factory=_Server, process_factory=handle, encoding=None
    )  # fmt: skip
    try:
        yield server.get_port()
    finally:
        server.close()
        await server.wait_closed()


def host(port: int, folder: Any, *, host_key: str = "", private_key: bytes = b"") -> dict[str, Any]:
    file = folder / "key"
    file.write_bytes(private_key or OUR_KEY.export_private_key("openssh"))
    public = host_key or HOST_KEY.export_public_key("openssh").decode().strip()
    web = {
        "address": "127.0.0.1",
        "port": port,
        "user": "ops",
        "host_key": public,
        "private_key": f"file:{file}",
    }
    return {"hosts": {"web": web}}


@pytest.mark.parametrize(
    ("output", "code", "first", "later"),
    [
        (HELLO + b"paramedic-1 done 0 1 0 0 0 0\n", 0, OK_DONE, OK_DONE),
        (HELLO + b"paramedic-1 done 3 1 0 0 0 0\n", 0, FAILED, FAILED),
        (HELLO + b"paramedic-1 done 124 1 0 0 0 0\n", 0, FAILED, FAILED),
        (HELLO + b"paramedic-1 done 0 1 9 0 0 0\nhalf", 0, UNKNOWN, UNKNOWN),
        (HELLO + b"paramedic-1 refused no room\n", 69, FAILED, NOT_SENT),
        (HELLO + b"paramedic-1 running\n", 75, UNKNOWN, UNKNOWN),
        (HELLO + b"paramedic-1 lost its process\n", 75, UNKNOWN, UNKNOWN),
        (HELLO, 0, UNKNOWN, UNKNOWN),
        (HELLO, None, UNKNOWN, UNKNOWN),
        (HELLO + b"paramedic-1 do", None, UNKNOWN, UNKNOWN),
        (b"", None, UNKNOWN, UNKNOWN),
        (b"This account is not available.\n", 1, FAILED, NOT_SENT),
    ],
)
async def test_ssh_failures_after_the_request(make_scene, tmp_path, output, code, first, later):
    """A refusal to run says nothing of the attempt before; whatever is cut off is unknown."""
    async with ssh_server(output, code) as port:
        connections = host(port, tmp_path)
        outcomes = [
            await outcome_of(run, RUN, make_scene(connections, attempt=attempt)) for attempt in (1, 2)
        ]

    assert outcomes == [first, later]


@pytest.mark.parametrize(
    "wrong",
    [
        {"host_key": OTHER_KEY.export_public_key("openssh").decode().strip()},
        {"host_key": "ssh-ed25519 this-is-no-key"},
        {"host_key": "nonsense"},
        {"private_key": OTHER_KEY.export_private_key("openssh")},
        {"private_key": b"no key at all"},
        {"private_key": OUR_KEY.export_private_key("pkcs8-pem", passphrase="secret")},
    ],
)
async def test_ssh_failures_before_the_request(make_scene, tmp_path, wrong):
    """Wrong keys, ours or theirs: no command has left."""
    async with ssh_server(HELLO, 0) as port:
        assert await outcome_of(run, RUN, make_scene(host(port, tmp_path, **wrong))) == NOT_SENT


async def test_ssh_without_a_host(make_scene, tmp_path):
    """Nobody listens; nobody is known under that name."""
    assert await outcome_of(run, RUN, make_scene(host(free_port(), tmp_path))) == NOT_SENT
    assert await outcome_of(run, RUN, make_scene()) == FAILED
    assert await outcome_of(run, RUN, make_scene(attempt=2)) == NOT_SENT
