"""A real PostgreSQL for tests: made in a folder of its own, started on a free port, stopped and started again.

    with postgres() as server:
        url = server.database("ledger")     # empty
        ledger = Ledger.open(url)

Debian keeps its programs beside the PATH, and it refuses to run as root: then it runs as `nobody`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.components import free_port, leave_out

OWNER, PASSWORD = "paramedic", "s3cret-of-the-owner"
_NOBODY = 65534
_READY_WITHIN = 30.0  # seconds
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "shared_buffers=32MB",
    "max_connections=60",
    "lc_messages=C",
)


def find_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest there are, or None."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    on_path = shutil.which("initdb")
    if versions:
        return versions[-1].parent
    return Path(on_path).resolve().parent if on_path else None


def programs() -> Path:
    """Return the folder of PostgreSQL's programs; skip the test where there is none, fail it in CI."""
    found = find_programs()
    if found is None:
        leave_out("PostgreSQL is missing: apt-get install postgresql")
    return found


class Postgres:
    """A server, which can be stopped in the middle of everything and started again."""

    def __init__(self, folder: Path, *, fsync: bool) -> None:
        self.port = free_port()
        self._folder = folder
        self._programs = programs()
        self._settings = (
            *_SETTINGS,
            f"unix_socket_directories={folder}",
            f"fsync={'on' if fsync else 'off'}",
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0

    def make(self) -> None:
        """Make an empty cluster, with one user who may do everything."""
        if os.getuid() == 0:
            os.chown(self._folder, _NOBODY, _NOBODY)
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(
            "initdb", "-D", str(self._data), "-U", OWNER, "-A", "scram-sha-256", f"--pwfile={secret}",
            "-E", "UTF8", "--locale=C", "--no-instructions", "--no-sync",
        )  # fmt: skip

    def start(self) -> None:
        """Start it, and wait until it answers.  After a hard stop it may refuse for a moment."""
        deadline = time.monotonic() + _READY_WITHIN
        while not self._answers():
            if self._process is None or self._process.poll() is not None:
                self._process = self._launch()
            if time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL does not start:\n{self.log()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it in order, as soon as those who are connected are cut off."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)

    def stop_when_all_have_gone(self) -> None:
        """Let it take nobody any more, and stop when those who are connected have gone."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def stop_at_once(self) -> None:
        """Stop it as `pg_ctl stop -m immediate` does: without a checkpoint, as a crash would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop all its processes while the block runs, as a machine does that is out of memory: no line breaks."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        stopped = [parent, *parent.children(recursive=True)]  # the parent first: it makes no others then
        for process in stopped:
            process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def database(self, name: str = "", *, template: str = "template0") -> str:
        """Make a database, and return its URL."""
        self._made += 1
        name = name or f"ledger_{self._made}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name} template {template}")
        return self.url(name)

    def url(self, database: str, *, user: str = OWNER, password: str = PASSWORD) -> str:
        """Return the URL of a database for the ledger."""
        return f"postgresql+psycopg://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def log(self) -> str:
        """Return the end of what it logged."""
        return (self._folder / "log").read_text(errors="replace")[-4000:]

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _address(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={OWNER} password={PASSWORD} dbname={database}"

    def _answers(self) -> bool:
        asked = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def _launch(self) -> subprocess.Popen[bytes]:
        argv = [self._programs / "postgres", "-D", str(self._data), "-p", str(self.port)]
        for setting in self._settings:
            argv += ["-c", setting]
        with (self._folder / "log").open("ab") as output:
            return subprocess.Popen(
                argv, cwd=self._folder, stdout=output, stderr=output, stdin=subprocess.DEVNULL, **_as_nobody()
            )

    def _run(self, program: str, *arguments: str) -> None:
        argv = [self._programs / program, *arguments]
        done = subprocess.run(
            argv, cwd=self._folder, capture_output=True, text=True, check=False, **_as_nobody()
        )
        if done.returncode != 0:
            pytest.fail(f"{program} failed:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def postgres(*, fsync: bool = True) -> Iterator[Postgres]:
    """Run a PostgreSQL while the block runs; its data is gone after.

    `fsync`: whether commits wait for the disk; tests of what a query says need not.
    """
    programs()
    # Not in pytest's own folder: that is its user's alone.
    folder = Path(tempfile.mkdtemp(prefix="paramedic-postgres-"))
    server = Postgres(folder, fsync=fsync)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def driver_url(url: str) -> str:
    """Return the ledger's URL as PostgreSQL's own programs and its driver take it."""
    return url.replace("postgresql+psycopg://", "postgresql://")


def _as_nobody() -> dict[str, object]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
