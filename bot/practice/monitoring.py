"""The patient's monitoring: real Prometheus and Alertmanager where they are installed, else a stand-in.

The stand-in looks at the patient itself and posts what Alertmanager would post.  It says that it is
one: an alert that was not measured by Prometheus must not look as if it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
from jinja2 import Template

from bot.children import start_child, stop_child
from bot.ports import free_port

LOOK_EVERY = 1.0  # seconds
STOP_WITHIN = 5.0  # seconds

_PROMETHEUS = Template("""\
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
alerting:
  alertmanagers:
    - static_configs: [{targets: ["127.0.0.1:{{ alertmanager }}"]}]
scrape_configs:
  - job_name: patient
    static_configs: [{targets: ["127.0.0.1:{{ patient }}"], labels: {service: patient}}]
""")

_RULES = """\
groups:
  - name: patient
    rules:
      - alert: PatientNotAnswering
        expr: up{job="patient"} == 0
        for: 2s
        annotations: {summary: The patient has not answered for two scrapes.}
      - alert: PatientQueueFull
        expr: patient_queue_depth > 100
        annotations: {summary: "{{ $value }} jobs wait in the patient's queue."}
"""

_ALERTMANAGER = Template("""\
route: {receiver: paramedic, group_by: [alertname, service], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: paramedic
    webhook_configs:
      - url: {{ webhook }}
        send_resolved: true
        http_config: {authorization: {type: Bearer, credentials: {{ token }}}}
""")


class Monitoring(Protocol):
    """Whoever watches the patient.

    Attributes:
        description: what it is, for people.
    """

    description: str

    async def start(self) -> None:
        """Begin to watch."""

    async def stop(self) -> None:
        """Stop watching."""


def monitoring(folder: Path, *, patient: int, webhook: str, token: str) -> Monitoring:
    """Return the best monitoring that this machine has.

    Args:
        folder: where its files go.
        patient: the patient's port.
        webhook: where alerts are posted, with `token` as the bearer token.
    """
    if shutil.which("prometheus") and shutil.which("prometheus-alertmanager"):
        return RealMonitoring(folder, patient=patient, webhook=webhook, token=token)
    return StandIn(patient=patient, webhook=webhook, token=token)


class RealMonitoring:
    """Prometheus and Alertmanager as child processes on loopback."""

    description = "Prometheus and Alertmanager, the real ones"

    def __init__(self, folder: Path, *, patient: int, webhook: str, token: str) -> None:
        self._folder = folder
        self._ports = {"prometheus": free_port(), "alertmanager": free_port()}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rules.yml").write_text(_RULES)
        (folder / "prometheus.yml").write_text(
            _PROMETHEUS.render(alertmanager=self._ports["alertmanager"], patient=patient)
        )
        (folder / "alertmanager.yml").write_text(_ALERTMANAGER.render(webhook=webhook, token=token))
        self._children: list[subprocess.Popen[bytes]] = []

    async def start(self) -> None:
        """Start both and wait until they are ready."""
        self._spawn(
            "prometheus-alertmanager",
            "--config.file=alertmanager.yml",
            "--storage.path=alertmanager",
            f"--web.listen-address=127.0.0.1:{self._ports['alertmanager']}",
            "--cluster.listen-address=",
        )
        self._spawn(
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=prometheus",
            f"--web.listen-address=127.0.0.1:{self._ports['prometheus']}",
        )
        async with httpx.AsyncClient(trust_env=False) as client:
            for port in self._ports.values():
                await _ready(client, f"http://127.0.0.1:{port}/-/ready")

    async def stop(self) -> None:
        """Stop both."""
        for child in self._children:
            await asyncio.to_thread(stop_child, child, STOP_WITHIN)

    def _spawn(self, program: str, *arguments: str) -> None:
        with (self._folder / f"{program}.log").open("wb") as output:
            self._children.append(start_child([program, *arguments], output=output, cwd=self._folder))


class StandIn:
    """Looks at the patient once a second and posts the payload that Alertmanager would post."""

    description = "a stand-in that posts Alertmanager's payload (prometheus and prometheus-alertmanager are not installed)"

    def __init__(self, *, patient: int, webhook: str, token: str) -> None:
        self._patient = f"http://127.0.0.1:{patient}"
        self._webhook = webhook
        self._token = token
        self._firing: dict[str, datetime] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with httpx.AsyncClient(timeout=1.0, trust_env=False) as client:
            while True:
                for name, wrong in (await self._look(client)).items():
                    if wrong != (name in self._firing):
                        with contextlib.suppress(httpx.HTTPError):  # the next look tries again
                            answer = await client.post(
                                self._webhook, json=self._payload(name, wrong), headers=headers
                            )
                            if answer.is_success:
                                self._remember(name, wrong)
                await asyncio.sleep(LOOK_EVERY)

    async def _look(self, client: httpx.AsyncClient) -> dict[str, bool]:
        try:
            depth = (await client.get(f"{self._patient}/queue")).json()["depth"]
        except httpx.HTTPError:
            return {"PatientNotAnswering": True}
        return {"PatientNotAnswering": False, "PatientQueueFull": depth > 100}

    def _remember(self, name: str, wrong: bool) -> None:
        if wrong:
            self._firing[name] = datetime.now(UTC)
        else:
            self._firing.pop(name)

    def _payload(self, name: str, wrong: bool) -> dict[str, Any]:
        status = "firing" if wrong else "resolved"
        labels = {"alertname": name, "service": "patient"}
        now = datetime.now(UTC)
        alert = {
            "status": status,
            "labels": labels,
            "annotations": {"summary": "Seen by the demo's stand-in for Prometheus."},
            "startsAt": self._firing.get(name, now).isoformat(),
            "endsAt": "0001-01-01T00:00:00Z" if wrong else now.isoformat(),
            "generatorURL": "",
            "fingerprint": "",
        }
        return {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{name}"}}',
            "truncatedAlerts": 0,
            "status": status,
            "receiver": "paramedic",
            "groupLabels": labels,
            "commonLabels": labels,
            "commonAnnotations": {},
            "externalURL": "",
            "alerts": [alert],
        }


async def _ready(client: httpx.AsyncClient, url: str, within: float = 15.0) -> None:
    deadline = asyncio.get_running_loop().time() + within
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if (await client.get(url)).is_success:
                return
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{url} did not answer within {within:g} s")
        await asyncio.sleep(0.05)
