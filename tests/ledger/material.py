"""What the tests of the ledger put into it: entries, deliveries, calls, runbooks."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from activities.ledger import inbox
from activities.ledger.admission import Admission, admit
from activities.ledger.inbox import Delivery
from activities.ledger.store import Ledger
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.record import Entry, RecordKind
from runbooks.model.remediation import CallIn, Closing, Ending, Order
from runbooks.model.runbook import Autonomy, Limits, Runbook
from runbooks.policy.admission import Outside
from tests.postgres import driver_url

BOTH = pytest.mark.databases("sqlite", "postgresql")
SQLITE = pytest.mark.databases("sqlite")
POSTGRESQL = pytest.mark.databases("postgresql")

NIGHT = datetime(2026, 3, 14, 3, 7, tzinfo=UTC)
WINDOW = timedelta(minutes=10)


def entry(event_id: str, stream: str = "system", **more: Any) -> Entry:
    defaults: dict[str, Any] = {
        "kind": RecordKind.PROCESS,
        "actor": "bot:worker",
        "source": "test",
        "at": NIGHT,
        "data": {"what": "started", "pid": 4711},
    }
    return Entry(event_id=event_id, stream=stream, **{**defaults, **more})


def alert(name: str = "DiskFull", status: AlertStatus = AlertStatus.FIRING, **labels: str) -> Alert:
    return Alert(status=status, labels={"alertname": name, **labels}, starts_at=NIGHT)


def delivery(target: str = "web-1", runbook: str = "disk-full", **more: Any) -> Delivery:
    said = more.pop("alert", alert(instance=target))
    if "delivery" not in more:
        more["delivery"] = said.delivery if said else "asked-by-hand"
    defaults: dict[str, Any] = {
        "sender": "alertmanager",
        "runbook_digest": "d1" if runbook else "",
    }
    return Delivery(runbook=runbook, target=target, alert=said, **{**defaults, **more})


def received(ledger: Ledger, *deliveries: Delivery, at: datetime = NIGHT) -> list[str]:
    """Put deliveries into the inbox and return their entries' ids."""
    acceptance = ledger.write_now(lambda t: inbox.accept(t, deliveries, at=at, duplicate_window=WINDOW))
    return [each.entry for each in acceptance.entries]


def runbook(**limits: Any) -> Runbook:
    return Runbook(
        name="disk-full",
        summary="Free space on a host whose disk is nearly full.",
        digest="d1",
        autonomy=Autonomy.GATED,
        when=(),
        target="{{ labels.instance }}",
        limits=Limits(**limits),
        actions=(),
    )


def call(*entries: str, run: str = "run-1", target: str = "web-1", name: str = "disk-full") -> CallIn:
    order = Order(runbook=name, runbook_digest="d1", target=target)
    return CallIn(order=order, workflow_id=f"remediation/{name}/{target}", first_run=run, entries=entries)


def admitted(
    ledger: Ledger,
    said: CallIn,
    *,
    at: datetime = NIGHT,
    outside: Outside | None = None,
    **limits: Any,
) -> Admission:
    return ledger.write_now(lambda t: admit(t, said, runbook(**limits), at=at, outside=outside))


def closing(remediation: str, ending: Ending = Ending.MITIGATED, **more: Any) -> Closing:
    return Closing(remediation=remediation, ending=ending, reason="verified", sentence="It helped.", **more)


def tamper(url: str, *statements: str, guards: bool = False) -> None:
    """Change the database as somebody would who owns it: without the triggers."""
    if url.startswith("postgresql"):
        with psycopg.connect(driver_url(url)) as owner:
            owner.execute(f"set session_replication_role = {'origin' if guards else 'replica'}")
            for statement in statements:
                owner.execute(statement)
        return
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        if not guards:
            names = connection.execute("select name from sqlite_master where type = 'trigger'").fetchall()
            for (name,) in names:
                connection.execute(f"drop trigger {name}")
        for statement in statements:
            connection.execute(statement)
    connection.close()
