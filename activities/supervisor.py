"""supervisord: `supervisor.restart` restarts one process and knows whether it did.

XML-RPC over HTTP.  supervisord has no notion of a key, but it tells since when a process runs.
So the action remembers the process's start before it acts, and after an unknown outcome compares:
another start and running means that it was restarted.  supervisord's own restart after a crash
looks the same, and leaves the same: a process that is younger than our intent.

What the probe cannot do is fence: supervisord would still obey a late attempt that was frozen
between stop and start.  The engine waits for an attempt's own timeout before it asks.
"""

from __future__ import annotations

import asyncio
import xmlrpc.client
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.parsers.expat import ExpatError

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activities.actions import Action, Probe, ProbeAnswer, Scene, action
from activities.connections import SecretMissingError, SupervisorConnection
from activities.transport import BasicCredentials, in_words, open_client, read_at_most, was_never_sent
from runbooks.errors import EffectError, FailedError, NotSentError, UnknownOutcomeError
from runbooks.model.action import ActionClass, ActionResult, Effect

_ANSWER_WITHIN = timedelta(seconds=50)  # stop and start wait for stopwaitsecs and startsecs of the program
_CONNECT_WITHIN = timedelta(seconds=5)
_ANSWER_LIMIT = 1024 * 1024  # bytes
_UNAUTHORIZED = 401
_BAD_NAME = 10
_NOT_RUNNING = 70
_ALREADY_STARTED = 60
_ON_THE_WAY = frozenset({"STARTING", "STOPPING", "BACKOFF"})
_UP = frozenset({"RUNNING", "STARTING", "STOPPING"})


class Restart(BaseModel):
    """What is restarted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    supervisor: str = Field(description="A name under `supervisors:` in the connections file.")
    process: str = Field(
        min_length=1, max_length=256, description="The program's name, `group:name` in a group."
    )


class _Process(BaseModel):
    """What supervisord tells of a process: `start` in seconds since 1970, 0 and 0 where it never ran."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    start: int
    statename: str

    @property
    def started_at(self) -> str:
        return datetime.fromtimestamp(self.start, UTC).isoformat()


class TurnedAwayError(FailedError):
    """Whoever answered at supervisord's address did not take the call: our password, the wrong url."""


class FaultError(Exception):
    """supervisord understood, and says no."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


async def prepare(parameters: Restart, scene: Scene) -> dict[str, Any]:
    """Return the process's pid and start as they are before anything is done.

    Raises:
        EffectError: as `restart`; nothing was done in any case.
    """
    before = await _Supervisor.of(parameters, scene).info()
    return {"pid": before.pid, "start": before.start}


async def probe(parameters: Restart, scene: Scene, prepared: Mapping[str, Any]) -> ProbeAnswer:
    """Compare the process's start with the one before."""
    try:
        now = await _Supervisor.of(parameters, scene).info()
    except EffectError as error:
        return ProbeAnswer(probe=Probe.CANNOT_TELL, sentence=f"supervisord cannot be asked: {error}")
    changed = (now.pid, now.start) != (prepared.get("pid"), prepared.get("start"))
    seen = {"pid": now.pid, "started_at": now.started_at, "state": now.statename}
    if now.statename in _ON_THE_WAY:
        return ProbeAnswer(
            probe=Probe.RUNNING, sentence=f"{parameters.process} is {now.statename}", output=seen
        )
    if now.statename == "RUNNING" and changed:
        sentence = f"{parameters.process} runs since {now.started_at} as process {now.pid}"
        return ProbeAnswer(probe=Probe.APPLIED, sentence=sentence, output=seen)
    sentence = f"{parameters.process} is {now.statename}, and was not started again"
    return ProbeAnswer(probe=Probe.NOT_APPLIED, sentence=sentence, output=seen)


@action(
    "supervisor.restart",
    "Restart a process under supervisord",
    effect=Effect.DESTRUCTIVE,
    kind=ActionClass.PROBED,
    timeout=timedelta(minutes=2),
    prepare=prepare,
    probe=probe,
)
async def restart(parameters: Restart, scene: Scene) -> ActionResult:
    """Stop the process and start it; only start it where it does not run.

    Raises:
        NotSentError: supervisord was not reached.
        FailedError: it refused (unknown process, our password), or the process did not start.
        UnknownOutcomeError: it was reached, and did not answer; or it was stopped or started, and what
            it is now cannot be told.
    """
    supervisor = _Supervisor.of(parameters, scene)
    before = await supervisor.info()
    was_up = before.statename in _UP
    if was_up:
        await supervisor.stop()
    try:
        await supervisor.start()
    except (NotSentError, TurnedAwayError) as error:
        if not was_up:
            raise
        raise UnknownOutcomeError(f"{parameters.process} was stopped, and then: {error}") from error
    try:
        after = await supervisor.info()
    except EffectError as error:
        raise UnknownOutcomeError(f"{parameters.process} was started, and then: {error}") from error
    sentence = (
        f"restarted {parameters.process}: process {before.pid} is now {after.pid}"
        if was_up
        else f"started {parameters.process}, which was {before.statename}: it is now process {after.pid}"
    )
    output = {"pid_before": before.pid, "pid_after": after.pid, "started_at": after.started_at}
    return ActionResult(sentence=sentence, output=output)


class _Supervisor:
    """One process of one supervisord."""

    def __init__(self, name: str, process: str, client: httpx.AsyncClient) -> None:
        self._name = name
        self._process = process
        self._client = client

    @classmethod
    def of(cls, parameters: Restart, scene: Scene) -> _Supervisor:
        name = parameters.supervisor
        connection = scene.connections.supervisors.get(name)
        if connection is None:
            known = ", ".join(sorted(scene.connections.supervisors)) or "none"
            raise scene.refusal(f"there is no supervisor {name!r} in the connections file; known: {known}")
        client = scene.clients.get(f"supervisor/{name}", lambda: _open(connection))
        return cls(name, parameters.process, client)

    async def info(self) -> _Process:
        """Return the process as it is.  Only reads, so no error of it leaves anything unknown."""
        try:
            return _Process.model_validate(await self._call("getProcessInfo", self._process))
        except FaultError as fault:
            raise await self._failed("cannot be asked about", fault) from fault
        except ValidationError as error:
            raise NotSentError(
                f"{self._name} does not tell how {self._process} is: is it supervisord?"
            ) from error
        except UnknownOutcomeError as error:
            raise NotSentError(str(error)) from error

    async def stop(self) -> None:
        try:
            await self._call("stopProcess", self._process, True)
        except FaultError as fault:
            if fault.code != _NOT_RUNNING:  # it may have ended by itself meanwhile
                raise await self._failed("did not stop", fault) from fault

    async def start(self) -> None:
        try:
            await self._call("startProcess", self._process, True)
        except FaultError as fault:
            if fault.code != _ALREADY_STARTED:  # supervisord may have been faster
                raise await self._failed("did not start", fault) from fault

    async def _failed(self, what: str, fault: FaultError) -> FailedError:
        if fault.code != _BAD_NAME:
            return FailedError(f"{self._name} {what} {self._process}: {fault}")
        return FailedError(f"{self._name} knows no process {self._process!r}; known: {await self._known()}")

    async def _known(self) -> str:
        """Return the names that there are, as a courtesy: not to get them changes nothing."""
        try:
            processes = await self._call("getAllProcessInfo")
            return ", ".join(str(each["name"]) for each in processes) or "none"
        except (EffectError, FaultError, TypeError, LookupError):
            return "cannot be told"

    async def _call(self, method: str, *arguments: Any) -> Any:
        """Call `supervisor.<method>`.

        Raises:
            FaultError: supervisord says no.
            EffectError: sorted by what may have happened.
        """
        content = xmlrpc.client.dumps(arguments, f"supervisor.{method}").encode()
        sending = self._client.stream("POST", "RPC2", content=content, headers={"Content-Type": "text/xml"})
        try:
            async with asyncio.timeout(_ANSWER_WITHIN.total_seconds()), sending as answer:
                body, whole = await read_at_most(answer, _ANSWER_LIMIT)
        except httpx.HTTPError as error:
            lost = NotSentError if was_never_sent(error) else UnknownOutcomeError
            raise lost(f"{self._name}: {in_words(error)}") from error
        except TimeoutError as error:
            raise UnknownOutcomeError(f"{self._name}: no answer in time") from error
        except SecretMissingError as error:
            raise NotSentError(f"{self._name}: {error}") from error
        if answer.status_code == _UNAUTHORIZED:
            raise TurnedAwayError(f"{self._name} does not accept our user or password")
        if not answer.is_success or not whole:
            refused = TurnedAwayError if answer.is_client_error else UnknownOutcomeError
            raise refused(f"{self._name} answered {answer.status_code}")
        return _value_of(body, self._name)


def _value_of(body: bytes, name: str) -> Any:
    try:
        return xmlrpc.client.loads(body.decode())[0][0]
    except xmlrpc.client.Fault as fault:
        raise FaultError(fault.faultCode, fault.faultString) from fault
    except (ValueError, TypeError, LookupError, ExpatError, xmlrpc.client.Error) as error:
        raise UnknownOutcomeError(f"{name}: the answer is not XML-RPC: is the url right?") from error


def _open(connection: SupervisorConnection) -> httpx.AsyncClient:
    auth = None if connection.password is None else BasicCredentials(connection.user, connection.password)
    url = str(connection.url).removesuffix("RPC2")
    return open_client(url, timeout=_ANSWER_WITHIN, connect=_CONNECT_WITHIN, auth=auth)


ACTIONS: list[Action] = [restart]
