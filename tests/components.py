"""Real components for tests and for the demo's proof: started on free ports, awaited, stopped.

    async with prometheus(folder, scrape=["127.0.0.1:9100"], rules=RULES) as running:
        ...ask running.url...

Each is a child of the test's process and is waited for, so that nothing is left behind.  None of
them is tied to an event loop: a fixture of the whole session may hold one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from chaos.ports import lasting_port

_INSTALL = {
    "prometheus": "apt-get install prometheus",
    "prometheus-alertmanager": "apt-get install prometheus-alertmanager",
    "sshd": "apt-get install openssh-server",
    "ssh-keygen": "apt-get install openssh-client",
    "chromium": "apt-get install chromium",
    "promtool": "apt-get install prometheus",
    "amtool": "apt-get install prometheus-alertmanager",
    "supervisord": "pip install 'paramedic[demo]'",
}
_BESIDE_PYTHON = Path(sys.executable).parent
READY_WITHIN = 20.0  # seconds
STOP_WITHIN = 10.0  # seconds


def require(component: str) -> str:
    """Return the path of the program `component`; skip the test where it is missing, fail it in CI."""
    path = os.pathsep.join([str(_BESIDE_PYTHON), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = shutil.which(component, path=path)
    if found is None:
        leave_out(f"{component} is missing: {_INSTALL.get(component, 'install it')}")
    return found


def leave_out(reason: str) -> NoReturn:
    """Skip the test, whose component is missing; in CI, where nothing may be, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """Return a port on loopback that is free, and stays so while a test kills its server and starts it again."""
    return lasting_port()


async def wait_until(holds: Callable[[], bool], *, within: float = READY_WITHIN, what: str = "") -> None:
    """Return as soon as `holds()`; fail the test where it does not within the time."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within} s: {what or holds}")
        await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Component:
    """A running one."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path
    log: Path


@contextlib.asynccontextmanager
async def _running(
    argv: Sequence[str | Path], *, folder: Path, url: str, ready: Callable[[], bool]
) -> AsyncIterator[Component]:
    log = folder / f"{Path(argv[0]).name}.log"
    process = _start(argv, folder, log)
    try:
        await wait_until(
            lambda: process.poll() is not None or ready(), what=f"{argv[0]} to be ready: {log.read_text()}"
        )
        if process.poll() is not None:
            pytest.fail(f"{argv[0]} ended at once:\n{log.read_text()}")
        yield Component(url, process, folder, log)
    finally:
        await asyncio.to_thread(_stop, process)


def _start(argv: Sequence[str | Path], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write `files` (name to text) into `folder`, which is made where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(url: str) -> Callable[[], bool]:
    """Return a question: does `url` answer 200?"""

    def answers() -> bool:
        try:
            return httpx.get(url, trust_env=False, timeout=1).status_code == 200
        except httpx.HTTPError:
            return False

    return answers


def samples(prometheus_url: str, promql: str) -> list[float]:
    """Return the values that `promql` has now, one for each series."""
    asked = httpx.get(f"{prometheus_url}/api/v1/query", params={"query": promql}, trust_env=False)
    return [float(row["value"][1]) for row in asked.json()["data"]["result"]]


def _listens(port: int) -> Callable[[], bool]:
    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    return listens


_PROMETHEUS = """\
global: {{scrape_interval: {interval}, evaluation_interval: {interval}, external_labels: {{cluster: practice}}}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: node
    static_configs: [{{targets: {targets}}}]
{alerting}
"""
_ALERTING = 'alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{target}"]}}]}}]}}'


@contextlib.asynccontextmanager
async def prometheus(
    folder: Path,
    *,
    scrape: Sequence[str],
    rules: str = "groups: []",
    alertmanager: str = "",
    interval: str = "1s",
) -> AsyncIterator[Component]:
    """Run Prometheus with one job, `node`, over the targets `scrape` (`host:port`).

    `rules` is the text of a rule file, `alertmanager` the url of one.  It has the external label
    `cluster: practice`.  The first sample comes about 5 s after the start.
    """
    program = require("prometheus")
    port = free_port()
    alerting = _ALERTING.format(target=alertmanager.removeprefix("http://")) if alertmanager else ""
    targets = [str(target) for target in scrape]
    config = _PROMETHEUS.format(interval=interval, targets=targets, alerting=alerting)
    _write(folder, {"rules.yml": rules, "prometheus.yml": config})
    argv = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--rules.alert.resend-delay=2s",
        "--web.enable-lifecycle",
    ]
    url = f"http://127.0.0.1:{port}"
    async with _running(argv, folder=folder, url=url, ready=_answers(f"{url}/-/ready")) as running:
        yield running


_ALERTMANAGER = """\
route: {{receiver: paramedic, group_by: [alertname, instance], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - name: paramedic
    webhook_configs:
      - url: {webhook_url}
        http_config: {{authorization: {{type: Bearer, credentials_file: {token}}}}}
"""


@contextlib.asynccontextmanager
async def alertmanager(folder: Path, webhook_url: str, token: str) -> AsyncIterator[Component]:
    """Run Alertmanager with one receiver, which gets the bearer `token`."""
    program = require("prometheus-alertmanager")
    port = free_port()
    config = _ALERTMANAGER.format(webhook_url=webhook_url, token=folder / "token")
    _write(folder, {"token": token, "alertmanager.yml": config})
    argv = [
        program,
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    url = f"http://127.0.0.1:{port}"
    async with _running(argv, folder=folder, url=url, ready=_answers(f"{url}/-/ready")) as running:
        yield running


@dataclass(frozen=True)
class Sshd:
    """A running sshd for the user of this process, with a fresh host key and a key that it accepts."""

    port: int
    user: str
    host_key: str  # the public one, as in known_hosts
    private_key: Path
    authorized_keys: Path
    component: Component


_SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile {folder}/sshd.pid
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 200
LogLevel ERROR
"""


@contextlib.asynccontextmanager
async def sshd(folder: Path) -> AsyncIterator[Sshd]:
    """Run sshd for the user of this process."""
    program, keygen = require("sshd"), require("ssh-keygen")
    port = free_port()
    _write(folder, {"sshd_config": _SSHD.format(port=port, folder=folder)})
    await asyncio.to_thread(_make_keys, keygen, folder)
    argv = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
    address = f"127.0.0.1:{port}"
    async with _running(argv, folder=folder, url=address, ready=_listens(port)) as running:
        yield Sshd(
            port=port,
            user=_user(),
            host_key=(folder / "host_key.pub").read_text().strip(),
            private_key=folder / "key",
            authorized_keys=folder / "authorized_keys",
            component=running,
        )


def _make_keys(keygen: str, folder: Path) -> None:
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its privilege separation wants the folder
    for name in ("host_key", "key"):
        argv = [keygen, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(argv, check=True)
    (folder / "authorized_keys").write_text((folder / "key.pub").read_text())


def _user() -> str:
    return subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()


_SUPERVISORD = """\
[supervisord]
nodaemon=true
logfile={folder}/supervisord-main.log
pidfile={folder}/supervisord.pid
childlogdir={folder}
[inet_http_server]
port=127.0.0.1:{port}
username={user}
password={password}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
_PROGRAM = """\
[program:{name}]
command={command}
startsecs={startsecs}
startretries=0
autorestart=unexpected
stopwaitsecs=2
"""
SUPERVISOR_USER = "practice"
SUPERVISOR_PASSWORD = "practice-password"


@contextlib.asynccontextmanager
async def supervisord(
    folder: Path, programs: Mapping[str, str], *, dawdlers: Collection[str] = ()
) -> AsyncIterator[Component]:
    """Run supervisord with `programs` (name to command), behind SUPERVISOR_USER and SUPERVISOR_PASSWORD.

    Those of them that are `dawdlers` are starting for an hour.
    """
    program = require("supervisord")
    port = free_port()
    sections = [
        _PROGRAM.format(name=name, command=command, startsecs=3600 if name in dawdlers else 1)
        for name, command in programs.items()
    ]
    head = _SUPERVISORD.format(folder=folder, port=port, user=SUPERVISOR_USER, password=SUPERVISOR_PASSWORD)
    _write(folder, {"supervisord.conf": head + "".join(sections)})
    argv = [program, "-c", str(folder / "supervisord.conf")]
    url = f"http://127.0.0.1:{port}"
    async with _running(argv, folder=folder, url=url, ready=_listens(port)) as running:
        yield running
