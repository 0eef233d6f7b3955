"""One row of a timeline: what one record says, in words for a stranger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ConfigDict

from bot.visible import as_span
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.base import Value
from runbooks.model.record import Record, RecordKind

SHORT_DIGEST = 12  # hex digits that people compare by eye


class Told(Value):
    """In JSON, spans are seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_timedelta="float")


class Row(Told):
    """One record, for people.

    Attributes:
        since: time since the first record.
        who: a person, or Paramedic itself.
        result: one word or a few; empty where the record has none.
        details: further sentences.
    """

    seq: int
    at: datetime
    since: timedelta
    who: str
    what: str
    result: str = ""
    details: tuple[str, ...] = ()


def as_time(at: datetime | None) -> str:
    """Return a time for people, to the second, in UTC; empty for None."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at is not None else ""


def as_alert(alert: Alert | None) -> str:
    """Return an alert as PromQL would select it, its name first; empty for None."""
    if alert is None:
        return ""
    labels = ", ".join(f'{name}="{value}"' for name, value in _labels_but_the_name(alert))
    return f"{alert.name}{{{labels}}}"


def as_arguments(arguments: Mapping[str, Any]) -> str:
    """Return arguments for people: `host=web-1, argv=[find, /var/log]`.  What is absent is left out."""
    given = ((name, value) for name, value in arguments.items() if value is not None)
    return ", ".join(f"{name}={_as_argument(value)}" for name, value in given)


def _as_argument(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_as_argument(item) for item in value)}]"
    return str(value)


def _labels_but_the_name(alert: Alert) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in alert.labels.items() if name != "alertname")


def row(record: Record, start: datetime) -> Row:
    """Return the row for `record` of a timeline that begins at `start`."""
    tell = _TELL.get(record.kind, _other)
    told: dict[str, Any] = {"who": _who(record.actor), **tell(record)}
    details = tuple(detail for detail in told.pop("details", ()) if detail)
    return Row(seq=record.seq, at=record.at, since=record.at - start, details=details, **told)


def _who(actor: str) -> str:
    return "Paramedic" if actor.startswith("bot:") else actor


def person(principal: Mapping[str, Any]) -> str:
    """Return a person's name with the key that identifies them."""
    name, key = principal.get("name", ""), principal["key"]
    return f"{name} ({key})" if name else key


def _sentence(record: Record) -> str:
    """What was said, with how long it took where that is known."""
    sentence, milliseconds = record.data.get("sentence", ""), record.data.get("took_ms") or 0
    took = f"(took {as_span(timedelta(milliseconds=milliseconds))})" if milliseconds else ""
    return f"{sentence} {took}".strip()


def _attempt(record: Record) -> str:
    attempt = record.data.get("attempt", 1)
    return f" (attempt {attempt})" if attempt > 1 else ""


def _admission(record: Record) -> dict[str, Any]:
    data = record.data
    alert = data.get("alert") or {}
    asker = data.get("requested_by", "")
    name = alert.get("labels", {}).get("alertname", "")
    return {
        "who": _who(asker or record.actor),
        "what": "Opened by hand" if asker else f"Opened because of alert {name}",
        "result": record.outcome,
        "details": [data.get("sentence", "")],
    }


def _joined(record: Record) -> dict[str, Any]:
    alert = record.data.get("alert") or {}
    name = alert.get("labels", {}).get("alertname", "") or "an alert"
    if record.data["status"] == AlertStatus.RESOLVED:
        return {"what": f"Was told that {name} has resolved", "result": record.data["status"]}
    return {"what": f"Took in a further notification of {name}", "result": record.data["status"]}


_ROUND_WORDS = {"before": "Checked", "again": "Checked again", "verify": "Verifying"}


def _check(record: Record) -> dict[str, Any]:
    what = f"{_ROUND_WORDS[record.data['round']]}: {record.data['name']}"
    return {"what": what, "result": record.outcome, "details": [_sentence(record)]}


def _plan(record: Record) -> dict[str, Any]:
    actions = record.data["plan"]["actions"]
    would = "Would do" if record.data.get("observe") else "Planned"
    names = ", ".join(action["name"] for action in actions) or "nothing"
    return {"what": f"{would}: {names}", "details": [f"plan {record.data['digest'][:SHORT_DIGEST]}"]}


def _gate_asked(record: Record) -> dict[str, Any]:
    data = record.data
    until = datetime.fromisoformat(data["expires_at"])
    people = "person" if data["need"] == 1 else "people"
    doubt = data.get("doubt")
    if doubt:
        return {
            "what": f"Asked {' or '.join(data['approvers'])} whether this happened: {doubt['name']}",
            "details": [
                doubt["evidence"],
                f"an answer is needed by {_time(until)}",
            ],
        }
    gated = f" whether this may be done now: {data['gated']['name']}" if data.get("gated") else ""
    until = datetime.fromisoformat(data.get("asked_until", data["expires_at"]))
    return {
        "what": f"Asked {' or '.join(data['approvers'])}{gated}",
        "details": [
            f"{data['need']} {people} must approve by {_time(until)}",
            *(_link(link) for link in data.get("otherwise", ())),
        ],
    }


def _link(link: Mapping[str, Any]) -> str:
    until = datetime.fromisoformat(link["until"])
    return f"if not, {' and '.join(link['approvers'])} too, until {_time(until)}"


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def _gate_escalated(record: Record) -> dict[str, Any]:
    until = datetime.fromisoformat(record.data["asked_until"])
    groups = " and ".join(record.data["approvers"])
    return {"what": f"Asked {groups} too", "details": [f"too few answered in time; until {_time(until)}"]}


def _decision_received(record: Record) -> dict[str, Any]:
    what = f"An answer came in: {record.data.get('answer', '')}"
    return {"what": what, "result": "not judged yet", "details": [f"via {record.data.get('via', '')}"]}


def _decision(record: Record) -> dict[str, Any]:
    decision = record.data["decision"]
    objection = record.data.get("objection") or ""
    return {
        "who": person(decision["principal"]),
        "what": _ANSWER_WORDS.get(decision["answer"], decision["answer"]),
        "result": "counted" if record.outcome == "accepted" else "did not count",
        "details": [decision.get("reason", ""), objection, f"via {decision.get('via', '')}"],
    }


_ANSWER_WORDS = {
    "approved": "Approved",
    "denied": "Said no",
    "happened": "Said that it happened",
    "again": "Said to do it again",
    "stop": "Said to stop here",
}


def _gate_closed(record: Record) -> dict[str, Any]:
    return {
        "what": "The gate closed",
        "result": record.outcome,
        "details": [record.data.get("sentence", "")],
    }


def _stop(record: Record) -> dict[str, Any]:
    return {"what": "Stopped it", "details": [record.data.get("reason", "")]}


def _intent(record: Record) -> dict[str, Any]:
    data = record.data
    asked = f"{data['uses']} {as_arguments(data.get('arguments') or {})}".strip()
    return {"what": f"Began: {data['name']}{_attempt(record)}", "details": [asked]}


def _outcome(record: Record) -> dict[str, Any]:
    data = record.data
    found = "found out that an earlier attempt had done it" if data.get("recovered") else ""
    return {
        "what": f"{_OUTCOME_WORDS.get(record.outcome, record.outcome)}: {data['name']}{_attempt(record)}",
        "result": record.outcome.replace("_", " "),
        "details": [_sentence(record), found, data.get("reason", "")],
    }


_OUTCOME_WORDS = {
    "ok": "Done",
    "failed": "Failed",
    "not_sent": "Not done",
    "unknown": "Not known whether done",
    "refused": "Not allowed",
}


def _ending(record: Record) -> dict[str, Any]:
    sentence, reason = record.data.get("sentence", ""), record.data.get("reason", "")
    return {"what": "Ended", "result": record.outcome.replace("_", " "), "details": [sentence or reason]}


def _login_issued(record: Record) -> dict[str, Any]:
    data = record.data
    until = datetime.fromisoformat(data["expires_at"]).astimezone(UTC)
    return {
        "what": f"The command line {data['label']} may speak for {data['person']}",
        "result": f"until {until:%H:%M} UTC",
        "details": [data["reason"], f"login {data['login']}, from {data['peer']}"],
    }


def _login_ended(record: Record) -> dict[str, Any]:
    data = record.data
    return {
        "what": f"The login {data['login']} speaks for {data['person']} no more",
        "result": record.outcome.replace("_", " "),
        "details": [data["reason"]],
    }


def _other(record: Record) -> dict[str, Any]:
    """A kind that a newer version wrote is shown by its name rather than left out."""
    return {"what": str(record.kind), "result": record.outcome.removeprefix("-")}


_TELL: Mapping[RecordKind, Callable[[Record], dict[str, Any]]] = {
    RecordKind.ADMISSION: _admission,
    RecordKind.ALERT_JOINED: _joined,
    RecordKind.CHECK: _check,
    RecordKind.PLAN: _plan,
    RecordKind.GATE_ASKED: _gate_asked,
    RecordKind.GATE_ESCALATED: _gate_escalated,
    RecordKind.DECISION_RECEIVED: _decision_received,
    RecordKind.DECISION: _decision,
    RecordKind.GATE_CLOSED: _gate_closed,
    RecordKind.STOP_ASKED: _stop,
    RecordKind.ACTION_INTENT: _intent,
    RecordKind.ACTION_RECEIPT: _outcome,
    RecordKind.ACTION_UNKNOWN: _outcome,
    RecordKind.ACTION_REFUSED: _outcome,
    RecordKind.ENDING: _ending,
    RecordKind.LOGIN_ISSUED: _login_issued,
    RecordKind.LOGIN_ENDED: _login_ended,
}
