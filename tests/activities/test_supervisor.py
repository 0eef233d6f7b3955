"""`supervisor.restart` against a real supervisord, and against servers that fail in the middle."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

import psutil
import pytest
import pytest_asyncio
from pydantic import ValidationError

from activities.actions import Probe
from activities.supervisor import Restart, restart
from runbooks.errors import FailedError, NotSentError, UnknownOutcomeError
from tests.activities.test_http import answer_half, answering, read_request, reset
from tests.components import SUPERVISOR_PASSWORD, SUPERVISOR_USER, free_port, supervisord, wait_until

pytestmark = pytest.mark.xdist_group("supervisor")  # one component for all of them

PATIENT = Restart(supervisor="ward", process="patient")
DAWDLER = Restart(supervisor="ward", process="dawdler")


def connections(url: str, password: str = "env:PRACTICE_PASSWORD") -> dict[str, Any]:
    return {"supervisors": {"ward": {"url": url, "user": SUPERVISOR_USER, "password": password}}}


@pytest.fixture(autouse=True)
def _password(monkeypatch):
    """The password is where its reference says."""
    monkeypatch.setenv("PRACTICE_PASSWORD", SUPERVISOR_PASSWORD)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ward(tmp_path_factory):
    """A supervisord with a patient, with a program that cannot live, and with one that takes long to start."""
    programs = {"patient": "sleep 100000", "stillborn": "sh -c 'exit 1'", "dawdler": "sleep 100000"}
    folder = tmp_path_factory.mktemp("supervisord")
    async with supervisord(folder, programs, dawdlers=("dawdler",)) as running:
        server = xmlrpc.client.ServerProxy(
            running.url.replace("//", f"//{SUPERVISOR_USER}:{SUPERVISOR_PASSWORD}@")
        )
        await wait_until(lambda: server.supervisor.getProcessInfo("patient")["statename"] == "RUNNING")
        yield running.url, server.supervisor
        server("close")()


@pytest.mark.slow
async def test_restarts_the_process_and_says_so(ward, make_scene):
    """
    The old process is gone, the new one runs, and both are named.
    """
    url, server = ward
    before = server.getProcessInfo("patient")["pid"]

    done = await restart.perform(PATIENT, make_scene(connections(url)))

    after = server.getProcessInfo("patient")
    assert after["statename"] == "RUNNING"
    assert not psutil.pid_exists(before)
    assert done.sentence == f"restarted patient: process {before} is now {after['pid']}"
    assert done.output["pid_before"] == before
    assert done.output["pid_after"] == after["pid"]


@pytest.mark.slow
async def test_starts_what_does_not_run(ward, make_scene):
    """
    A process that is stopped already is only started.
    """
    url, server = ward
    server.stopProcess("patient", True)

    done = await restart.perform(PATIENT, make_scene(connections(url)))

    assert server.getProcessInfo("patient")["statename"] == "RUNNING"
    assert done.sentence.startswith("started patient, which was STOPPED: it is now process ")


@pytest.mark.slow
async def test_a_process_that_does_not_start_is_a_failure(ward, make_scene):
    """
    Stopped and not started is done and failed; supervisord's reason is told.
    """
    url, _ = ward

    with pytest.raises(
        FailedError, match=r"ward did not start stillborn: (SPAWN_ERROR|ABNORMAL_TERMINATION)"
    ):
        await restart.perform(Restart(supervisor="ward", process="stillborn"), make_scene(connections(url)))


@pytest.mark.slow
async def test_an_unknown_process_is_named_with_the_known_ones(ward, make_scene):
    """
    A misspelt process fails, and the error says which ones there are.
    """
    url, _ = ward

    with pytest.raises(FailedError, match="knows no process 'pateint'; known: dawdler, patient, stillborn"):
        await restart.perform(Restart(supervisor="ward", process="pateint"), make_scene(connections(url)))


@pytest.mark.slow
async def test_a_wrong_password_changes_nothing(ward, make_scene, monkeypatch):
    """
    401 is a definite no, and the password stands in no error.
    """
    url, server = ward
    before = server.getProcessInfo("patient")["pid"]
    monkeypatch.setenv("PRACTICE_PASSWORD", "canary")

    with pytest.raises(FailedError, match="does not accept our user or password") as caught:
        await restart.perform(PATIENT, make_scene(connections(url)))

    assert server.getProcessInfo("patient")["pid"] == before
    assert "canary" not in str(caught.value)


@pytest.mark.slow
async def test_the_probe_sees_a_restart(ward, make_scene):
    """
    Not applied before, applied after; what was prepared tells them apart.
    """
    url, _ = ward
    scene = make_scene(connections(url))
    prepared = await restart.prepare(PATIENT, scene)

    before = await restart.probe(PATIENT, scene, prepared)
    done = await restart.perform(PATIENT, scene)
    after = await restart.probe(PATIENT, scene, prepared)

    assert before.probe is Probe.NOT_APPLIED
    assert after.probe is Probe.APPLIED
    assert after.output["pid"] == done.output["pid_after"]


@pytest.mark.slow
async def test_the_probe_sees_a_stopped_process(ward, make_scene):
    """
    Stopped and not started again is not a restart: starting it is what is left to do.
    """
    url, server = ward
    scene = make_scene(connections(url))
    prepared = await restart.prepare(DAWDLER, scene)
    server.stopProcess("dawdler", True)

    stopped = await restart.probe(DAWDLER, scene, prepared)
    server.startProcess("dawdler", False)
    starting = await restart.probe(DAWDLER, scene, prepared)

    assert stopped.probe is Probe.NOT_APPLIED
    assert starting.probe is Probe.RUNNING


def info(state: str = "RUNNING", pid: int = 4711, start: int = 1_700_000_000) -> bytes:
    told = {"name": "patient", "statename": state, "pid": pid, "start": start}
    return xmlrpc.client.dumps((told,), methodresponse=True).encode()


def fault(code: int, said: str) -> bytes:
    return xmlrpc.client.dumps(xmlrpc.client.Fault(code, said), methodresponse=True).encode()


OK = xmlrpc.client.dumps((True,), methodresponse=True).encode()


def acting(**answers: Any) -> Any:
    """A supervisord whose methods answer these bytes, or do these things."""
    calls: list[str] = []

    async def talk(reader: Any, writer: Any) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        _, method = xmlrpc.client.loads(await reader.readexactly(length))
        calls.append(method.removeprefix("supervisor."))
        answer = answers[calls[-1]]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if callable(answer):
            await answer(writer)
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer
        )
        await writer.drain()

    return talk, calls


async def cut_off(writer: Any) -> None:
    """Close the connection without an answer."""
    writer.transport.abort()


@pytest.mark.parametrize("where", ["stopProcess", "startProcess"])
async def test_no_answer_after_the_order_is_unknown(listen, make_scene, where):
    """
    A connection that is cut while it stops or starts tells nothing; the probe will.
    """
    talk, _ = acting(**({"getProcessInfo": info(), "stopProcess": OK} | {where: cut_off}))

    with pytest.raises(UnknownOutcomeError):
        await restart.perform(PATIENT, make_scene(connections(await listen(talk))))


async def test_no_answer_before_the_order_was_not_sent(listen, make_scene):
    """
    Asking how the process is changes nothing, so an error there leaves nothing unknown.
    """
    talk, calls = acting(getProcessInfo=cut_off)

    with pytest.raises(NotSentError):
        await restart.perform(PATIENT, make_scene(connections(await listen(talk))))

    assert calls == ["getProcessInfo"]


async def test_stopped_and_then_out_of_reach_is_unknown(listen, make_scene):
    """
    After the stop nothing counts as not sent any more.
    """
    talk, calls = acting(getProcessInfo=[info(), cut_off], stopProcess=OK, startProcess=OK)

    with pytest.raises(UnknownOutcomeError, match="was started, and then"):
        await restart.perform(PATIENT, make_scene(connections(await listen(talk))))

    assert calls == ["getProcessInfo", "stopProcess", "startProcess", "getProcessInfo"]


async def test_a_race_with_supervisord_itself_is_no_failure(listen, make_scene):
    """
    It ended before we stopped it, and was started before we did: the process is new, which was asked.
    """
    talk, _ = acting(
        getProcessInfo=[info(), info(pid=4723)],
        stopProcess=fault(70, "NOT_RUNNING: patient"),
        startProcess=fault(60, "ALREADY_STARTED: patient"),
    )

    done = await restart.perform(PATIENT, make_scene(connections(await listen(talk))))

    assert done.sentence == "restarted patient: process 4711 is now 4723"


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (info("RUNNING", 4711), Probe.NOT_APPLIED),
        (info("RUNNING", 4723), Probe.APPLIED),
        (info("RUNNING", 4711, 1_700_000_099), Probe.APPLIED),
        (info("STARTING", 4723), Probe.RUNNING),
        (info("STOPPING", 4711), Probe.RUNNING),
        (info("BACKOFF", 0), Probe.RUNNING),
        (info("STOPPED", 0), Probe.NOT_APPLIED),
        (info("FATAL", 0), Probe.NOT_APPLIED),
        (info("EXITED", 0), Probe.NOT_APPLIED),
        (fault(10, "BAD_NAME: patient"), Probe.CANNOT_TELL),
    ],
)
async def test_the_probe_reads_state_and_start(listen, make_scene, now, expected):
    """
    Applied only where it runs and is another process than before.
    """
    none = xmlrpc.client.dumps(([],), methodresponse=True).encode()
    talk, _ = acting(getProcessInfo=now, getAllProcessInfo=none)

    answer = await restart.probe(
        PATIENT, make_scene(connections(await listen(talk))), {"pid": 4711, "start": 1_700_000_000}
    )

    assert answer.probe is expected


@pytest.mark.parametrize(
    ("talk", "error"),
    [
        (answering(200, b"<html>"), NotSentError),
        (answering(500, b""), NotSentError),
        (answering(404, b""), FailedError),
        (reset, NotSentError),
        (answer_half, NotSentError),
        (None, NotSentError),
    ],
)
async def test_what_is_no_supervisord_was_not_asked_anything(listen, make_scene, talk, error):
    """
    Whatever goes wrong at the first question, nothing was done.
    """
    url = await listen(talk) if talk else f"http://127.0.0.1:{free_port()}"

    with pytest.raises(error):
        await restart.perform(PATIENT, make_scene(connections(url)))


async def test_an_unreachable_supervisord_cannot_tell(make_scene):
    """
    A probe that cannot ask says so.
    """
    url = f"http://127.0.0.1:{free_port()}"

    answer = await restart.probe(PATIENT, make_scene(connections(url)), {"pid": 1, "start": 1})

    assert answer.probe is Probe.CANNOT_TELL
    assert "connection refused" in answer.sentence


async def test_an_unknown_supervisor_is_named_with_the_known_ones(make_scene):
    """
    A misspelt supervisor fails and says what would be right.
    """
    with pytest.raises(FailedError, match=r"no supervisor 'word'.*known: ward"):
        await restart.perform(
            Restart(supervisor="word", process="patient"), make_scene(connections("http://127.0.0.1:1"))
        )


async def test_a_missing_password_was_not_sent(make_scene, listen):
    """
    Without its password nothing leaves.
    """
    seen: list[Any] = []

    async def talk(reader: Any, writer: Any) -> None:
        seen.append(await read_request(reader))

    url = await listen(talk)

    with pytest.raises(NotSentError, match="PARAMEDIC_NOT_THERE"):
        await restart.perform(PATIENT, make_scene(connections(url, "env:PARAMEDIC_NOT_THERE")))

    assert seen == []


def test_a_process_has_a_name():
    """
    An empty name would mean something else to supervisord.
    """
    with pytest.raises(ValidationError):
        Restart(supervisor="ward", process="")
