"""Alerts, as Alertmanager tells them, and their way to a remediation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from runbooks.model.base import Value, canonical


class AlertStatus(StrEnum):
    """What the sender last said of the alert.  A hint: the truth is asked of Prometheus."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(Value):
    """One alert of one notification, normalised.

    Attributes:
        labels: what identifies the alert; `alertname` is one of them.
        annotations: texts for people.  They decide nothing.
        starts_at: a hint only; one continuous firing was seen with three different values.
        ends_at: None while it fires.
        generator_url: chosen by the sender: shown, never fetched.
        group_key: of the notification that it came in: alerts of one group are one incident for people.
            It is no part of the alert's identity.
    """

    status: AlertStatus
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = {}
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    generator_url: str = ""
    group_key: str = ""

    @property
    def name(self) -> str:
        """The label `alertname`, or an empty string."""
        return self.labels.get("alertname", "")

    @property
    def fingerprint(self) -> str:
        """Our own identity of the label set, 16 hex digits: senders may omit or forge theirs."""
        return fingerprint_of(canonical(dict(self.labels)))

    @property
    def delivery(self) -> str:
        """The identity of what the sender said: the same words twice have the same one."""
        said = {
            "fingerprint": self.fingerprint,
            "status": self.status.value,
            "starts_at": self.starts_at.isoformat() if self.starts_at else "",
            "ends_at": self.ends_at.isoformat() if self.ends_at else "",
        }
        return hashlib.sha256(canonical(said)).hexdigest()[:32]


def fingerprint_of(labels: bytes) -> str:
    """Return the fingerprint of a label set, given in its canonical form."""
    return hashlib.sha256(labels).hexdigest()[:16]


class Arrival(Value):
    """One entry of the inbox on its way to one remediation.

    It names the alert and does not carry it: what was received is read from the ledger's
    database, so that a message sent straight to Temporal cannot invent an alert, and the
    history stays small.

    Attributes:
        entry: the inbox entry's id, unique for (delivery, runbook, target, acceptance).
    """

    entry: str
    status: AlertStatus
