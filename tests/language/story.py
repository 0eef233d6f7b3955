"""A short, right runbook, and the facts of one alert: what the tests change one thing at a time."""

from __future__ import annotations

from typing import Any

from runbooks.language.document import RunbookErrors, parse_runbook
from runbooks.language.facts import Facts
from runbooks.model.runbook import Runbook
from tests.language.declarations import VOCABULARY

RIGHT = """\
runbook: host
summary: Helps a host.
when:
  - alert: HostDown
    matchers: ['env="prod"']
target: "{{ labels.instance }}"
limits: {cooldown: 30m}
check:
  - name: It is down
    uses: prometheus.query
    with: {query: 'up{instance="{{ target }}"}'}
    expect: result.value == 0
gate: {approvers: [sre]}
do:
  - name: Restart it
    uses: ssh.run
    with: {host: "{{ target }}", argv: [reboot]}
    undo: none
verify:
  - name: It is up
    uses: prometheus.query
    with: {query: 'up{instance="{{ target }}"}'}
    expect: result.value == 1
    within: 5m
otherwise:
  - name: Tell people
    uses: chat.tell
    with: {to: sre}
"""

QUERY = """\
uses: prometheus.query
    with: {query: 'up{instance="{{ target }}"}'}
    expect: result.value == 0"""

RESTART = """\
uses: ssh.run
    with: {host: "{{ target }}", argv: [reboot]}"""


def changed(old: str, new: str) -> str:
    """Return the right runbook with the first `old` replaced."""
    assert old in RIGHT
    return RIGHT.replace(old, new, 1)


def parse(text: str) -> Runbook:
    return parse_runbook(text, file="host.yaml", vocabulary=VOCABULARY)


def problems(text: str) -> list[str]:
    """Return what is wrong with `text`, one line each; nothing if it is right."""
    try:
        parse(text)
    except RunbookErrors as error:
        return str(error).splitlines()
    return []


def facts(labels: dict[str, str] | None = None, **more: Any) -> Facts:
    return Facts(
        labels={"alertname": "HostDown", "env": "prod", "instance": "web-1"} | (labels or {}),
        **{"target": "web-1", "checks": {"it_is_down": {"value": 0.0}}, **more},
    )
