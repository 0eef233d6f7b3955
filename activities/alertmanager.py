"""Alerts: `alert.resolved` asks Prometheus whether the alert is over.

"Resolved" from Alertmanager is a hint.  It never comes when the alert was silenced, and it comes
falsely when Prometheus was away.  So Prometheus is asked, and "no active alert" counts only where
Prometheus would know of one:

1. the rule exists, its last evaluation succeeded, and that was not long ago;
2. no active alert of this name agrees with our labels.  A label that only one side has does not
   tell alerts apart: Alertmanager sees external labels and relabelled ones, Prometheus does not;
3. when it was evaluated, the series that the rule reads were fresh for this job and instance.  A dead
   exporter takes its alerts with it, and that is no recovery.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field

from activities.actions import Action, Measurement, Scene, action
from activities.connections import PrometheusConnection, SecretMissingError
from activities.prometheus import Prometheus, objection_to, selectors_of
from activities.selectors import quoted
from activities.transport import BearerToken, in_words, open_client, read_at_most
from runbooks.errors import MeasureError
from runbooks.model.action import ActionClass, Effect

_RULES_LIMIT = 16 * 1024 * 1024  # bytes; the answer lists active alerts as well, and a storm has many
_ACTIVE = "firing|pending"
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Resolved(BaseModel):
    """Which alert."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alert: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Name of the alerting rule; without it, the alert that the remediation is for.",
    )


@action(
    "alert.resolved",
    "Ask Prometheus whether the alert is over",
    effect=Effect.READ,
    kind=ActionClass.IDEMPOTENT,
    timeout=timedelta(seconds=20),
    samples={"active": 0, "evaluated_s_ago": 1.5, "age_s": 1.5},
)
async def resolved(parameters: Resolved, scene: Scene) -> Measurement:
    """Decide whether no alert with the remediation's labels is firing or pending.

    Inconclusive: no such rule, not evaluated lately, its evaluation fails, the data under it is stale.

    Raises:
        MeasureError: retryable where Prometheus did not answer; not where the alert has no name.
    """
    name = parameters.alert or scene.alert_labels.get("alertname")
    if not name:
        raise MeasureError("which alert is meant cannot be told: name it (`with: {alert: ...}`)")
    prometheus = Prometheus.of(scene)
    rules = [rule for rule in await _rules(scene, name) if _agrees(rule, scene.alert_labels, name)]
    if not rules:
        return Measurement(sentence=f"Prometheus has no rule {name} for these labels", inconclusive=True)
    active, now = await _count_active(prometheus, name, _telling_labels(rules, scene.alert_labels, name))
    if active:
        return Measurement(
            sentence=f"{name} is still active", result={"active": active}, at=now, decided=False
        )
    return await _judge_silence(prometheus, name, rules, scene.alert_labels, now)


async def _judge_silence(
    prometheus: Prometheus,
    name: str,
    rules: list[Mapping[str, Any]],
    labels: Mapping[str, str],
    now: datetime,
) -> Measurement:
    """Return whether the absence of the alert means anything."""
    evaluated_at = min(datetime.fromisoformat(rule["lastEvaluation"]) for rule in rules)
    doubt = _doubt_about(rules, now - evaluated_at, prometheus.stale_after)
    if doubt:
        return Measurement(sentence=f"{name} is not active, but {doubt}", at=now, inconclusive=True)
    reads = tuple(each.narrowed(labels) for rule in rules for each in selectors_of(rule["query"]))
    # Not now: data that arrived after the evaluation was not evaluated.
    age = await prometheus.age_of(reads, evaluated_at)
    staleness = objection_to(age, prometheus.stale_after)
    return Measurement(
        sentence=f"{name} is not active, but {staleness}" if staleness else f"{name} is resolved",
        result={
            "active": 0,
            "evaluated_s_ago": round((now - evaluated_at).total_seconds(), 3),
            "age_s": None if age is None else round(age.total_seconds(), 3),
        },
        at=now,
        decided=None if staleness else True,
        inconclusive=bool(staleness),
    )


def _doubt_about(rules: list[Mapping[str, Any]], evaluated_ago: timedelta, stale_after: timedelta) -> str:
    """Return why these rules might be silent about an active alert; empty where they would tell."""
    for rule in rules:
        if rule["health"] == "unknown":
            return "its rule has not been evaluated yet"
        if rule["health"] != "ok":
            return f"its evaluation fails: {str(rule.get('lastError', ''))[:300]}"
    if evaluated_ago > stale_after:
        return f"its rule was last evaluated more than {stale_after.total_seconds():g} s ago"
    return ""


async def _count_active(prometheus: Prometheus, name: str, labels: Mapping[str, str]) -> tuple[int, datetime]:
    """Return how many alerts agree with `labels`, and Prometheus's time."""
    matchers = [f"alertname={quoted(name)}", f'alertstate=~"{_ACTIVE}"']
    matchers += [f"{label}=~{quoted(re.escape(value) + '|')}" for label, value in labels.items()]
    [sample] = await prometheus.ask(f"count(ALERTS{{{','.join(matchers)}}}) or vector(0)")
    return int(sample.value), sample.at


def _telling_labels(rules: list[Mapping[str, Any]], labels: Mapping[str, str], name: str) -> dict[str, str]:
    """Return those of `labels` that tell this alert from others of its name.

    What a rule makes of the value by a template changes with it, and what another rule than ours
    sets says nothing about us.
    """
    own = name == labels.get("alertname")
    made = {label for rule in rules for label, text in rule["labels"].items() if "{{" in text or not own} | {
        "alertname",
        "alertstate",
    }
    return {
        label: value
        for label, value in labels.items()
        if label not in made and value and _LABEL_NAME.fullmatch(label)
    }


def _agrees(rule: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    """Return whether `rule` may have made an alert with `labels`: of two with one name, one may be ours."""
    if rule["name"] != name:
        return False
    return name != labels.get("alertname") or all(
        "{{" in text or labels.get(label, text) == text for label, text in rule["labels"].items()
    )


async def _rules(scene: Scene, name: str) -> list[Mapping[str, Any]]:
    """Return Prometheus's alerting rules; newer ones leave out all that are not called `name`."""
    connection = scene.connections.prometheus
    assert connection is not None  # the caller has its client
    client = scene.clients.get("prometheus/rules", lambda: _open(connection))
    try:
        async with (
            asyncio.timeout(2 * connection.timeout.total_seconds()),
            client.stream("GET", "api/v1/rules", params={"type": "alert", "rule_name[]": name}) as answer,
        ):
            body, whole = await read_at_most(answer, _RULES_LIMIT)
    except httpx.HTTPError as error:
        raise MeasureError(f"Prometheus did not answer: {in_words(error)}", retryable=True) from error
    except TimeoutError as error:
        raise MeasureError("Prometheus did not answer in time", retryable=True) from error
    except SecretMissingError as error:
        raise MeasureError(f"Prometheus cannot be asked: {error}") from error
    if not answer.is_success:
        raise MeasureError(
            f"Prometheus answered {answer.status_code} when asked for its rules",
            retryable=answer.is_server_error,
        )
    if not whole:
        raise MeasureError("the list of Prometheus's rules and alerts is too large")
    try:
        groups = json.loads(body)["data"]["groups"]
        return [{"labels": {}, **rule} for group in groups for rule in group["rules"]]
    except (ValueError, TypeError, KeyError) as error:
        raise MeasureError("the answer is not Prometheus's: is the url right?") from error


def _open(connection: PrometheusConnection) -> httpx.AsyncClient:
    auth = None if connection.token is None else BearerToken(connection.token)
    return open_client(str(connection.url), timeout=connection.timeout, auth=auth)


ACTIONS: list[Action] = [resolved]
