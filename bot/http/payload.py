"""Notifications: what Alertmanager's webhook sends, payload version 4, parsed into alerts.

The body comes from outside, and most of what stands in it was chosen by whoever can set a metric
label.  So there are two ways out of here: a `Notification` whose texts can be stored, compared
and shown, or a refusal that names what is wrong.  A text that is only odd (too long, half a
surrogate pair, control characters) is mended and not refused, because behind an odd label there
is still an alert, and Alertmanager would send a refused one again for ever.

A repetition is found out before its alert is built: what decides is taken from the JSON as it came.

Everything here is pure and may run in a thread.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import rfc8785

from activities.ledger.last_words import Word
from runbooks.errors import ParamedicError
from runbooks.model.alert import Alert, AlertStatus, fingerprint_of
from runbooks.model.base import canonical

BODY_LIMIT = 16 * 1024 * 1024  # bytes; 10,000 alerts were 6.2 MB
ALERTS_LIMIT = 20_000  # alerts in one notification
LABELS_LIMIT = 1_000  # labels, or annotations, of one alert
TEXT_LIMIT = 4 * 1024  # characters of one name or value; longer ones are cut
NESTING_LIMIT = 8  # objects and arrays inside each other; version 4 itself has 4
TRUNCATED = "ParamedicNotificationTruncated"
"""The alert that stands for those which Alertmanager cut off a notification."""


class PayloadError(ParamedicError):
    """The body is not a notification of payload version 4."""

    code = "payload_wrong"


class PayloadTooLargeError(PayloadError):
    """The body holds more than is accepted at once."""

    code = "payload_too_large"


@dataclass(frozen=True, slots=True)
class Notification:
    """What one POST said.

    Attributes:
        items: the alerts as they came, unexamined; the group's status is not looked at.
        truncated: how many alerts the sender cut off.  It may never send them.
        group_key: of all of them; empty where the sender does not tell it.
    """

    items: Sequence[Any]
    truncated: int = 0
    group_key: str = ""

    def word(self, number: int, catalog: str) -> Word | None:
        """Return what is said of an alert by those who have this catalog; None where it has to be parsed first."""
        item = self.items[number]
        if not isinstance(item, dict):
            return None
        about = _fingerprint(item.get("labels"))
        if about is None:
            return None
        # What no runbook can see and nobody is told, like the generator's URL, makes no news.
        status = item.get("status")
        ends_at = item.get("endsAt") if status == "resolved" else None
        said = (catalog, status, item.get("startsAt"), ends_at, item.get("annotations"))
        return Word(about, hashlib.sha256(_encode(said).encode()).digest())

    def alert(self, number: int) -> Alert:
        """Return an alert, with its own status.

        Raises:
            PayloadError: it is none.
            PayloadTooLargeError: it has more than 1,000 labels.
        """
        return _alert(f"alerts[{number}]", self.items[number], self.group_key)


_encode = json.JSONEncoder().encode


def parse_notification(body: bytes) -> Notification:
    """Return what `body` says.

    Raises:
        PayloadError: it is not JSON, or not payload version 4.
        PayloadTooLargeError: more than 20,000 alerts.
    """
    payload = _object("the body", _decode(body))
    if payload.get("version") != "4":
        raise PayloadError("the payload's version is not \"4\"; send Alertmanager's webhook format")
    items = payload.get("alerts")
    if not isinstance(items, list):
        raise PayloadError("alerts is missing or not a list")
    if len(items) > ALERTS_LIMIT:
        raise PayloadTooLargeError(f"{len(items)} alerts at once; {ALERTS_LIMIT} is the limit")
    truncated = payload.get("truncatedAlerts", 0)
    if not isinstance(truncated, int):
        raise PayloadError("truncatedAlerts is not a number")
    group = payload.get("groupKey")
    group_key = tame(group) if isinstance(group, str) else ""
    if truncated <= 0:
        return Notification(items, group_key=group_key)
    return Notification([*items, _truncation(payload, truncated)], truncated, group_key)


def _fingerprint(labels: Any) -> str | None:
    """Return the fingerprint of labels that are kept as they came; None where they may have to be mended."""
    try:
        text = canonical(labels)
    except (rfc8785.CanonicalizationError, UnicodeError):
        return None
    if len(text) > TEXT_LIMIT or b"\\u0000" in text:
        return None
    return fingerprint_of(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as an object: Python would keep the last of two equal keys without a word."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PayloadError("a key stands twice in one object")
    return found


def _refuse_constant(word: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python takes for numbers."""
    raise PayloadError(f"not JSON: {word} is not a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _decode(body: bytes) -> Any:
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except PayloadError:
        raise
    except RecursionError:
        raise PayloadError(f"nested more than {NESTING_LIMIT} deep") from None
    except ValueError as error:  # not UTF-8, not JSON, or an integer of more than 4,300 digits
        raise PayloadError(f"not JSON: {error}") from None
    _refuse_depth(value, NESTING_LIMIT)
    return value


def _refuse_depth(value: Any, left: int) -> None:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inside:
        if type(item) is not str and isinstance(item, dict | list):  # nearly all are texts
            if left <= 1:
                raise PayloadError(f"nested more than {NESTING_LIMIT} deep")
            _refuse_depth(item, left - 1)


def _object(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PayloadError(f"{place} is not an object")
    return value


def _alert(place: str, item: Any, group_key: str) -> Alert:
    told = _object(place, item)
    status = told.get("status")
    if status not in ("firing", "resolved"):
        raise PayloadError(f'{place}.status is neither "firing" nor "resolved"')
    resolved = status == "resolved"
    generator_url = told.get("generatorURL")
    return Alert(
        status=AlertStatus(status),
        labels=_texts(f"{place}.labels", told.get("labels")),
        annotations=_texts(
            f"{place}.annotations", {} if (given := told.get("annotations")) is None else given
        ),
        starts_at=_time(told.get("startsAt")),
        # A firing alert's end is a placeholder or a guess, and differs from sender to sender.
        ends_at=_time(told.get("endsAt")) if resolved else None,
        generator_url=tame(generator_url) if isinstance(generator_url, str) else "",
        group_key=group_key,
    )


def _texts(place: str, value: Any) -> dict[str, str]:
    pairs = _object(place, value)
    if len(pairs) > LABELS_LIMIT:
        raise PayloadTooLargeError(f"{place} has {len(pairs)} names; {LABELS_LIMIT} is the limit")
    texts = {}
    for name, text in pairs.items():
        if not isinstance(text, str):
            raise PayloadError(f"{place} has a value that is not a string")
        texts[tame(name)] = tame(text)
    return texts


def tame(text: str) -> str:
    """Return `text` so that it can be stored, hashed and compared.

    Half a surrogate pair has no canonical form, so its escape is written out (`\\ud800`).  A long
    text is cut, and marked with the hash of the whole.  So two that differ stay different.
    """
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) <= TEXT_LIMIT:
        return text
    whole = hashlib.sha256(text.encode()).hexdigest()[:16]
    mark = f"… [cut: {len(text)} characters, sha256 {whole}]"
    return text[: TEXT_LIMIT - len(mark)] + mark


def _time(value: Any) -> datetime | None:
    """Return the time, UTC.  It is a hint only, so what is not a time is no reason to refuse."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        # Go's zero time, year 1, means none; near it the conversion overflows.
        return None if at.year <= 1 else at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _truncation(payload: Mapping[str, Any], truncated: int) -> dict[str, Any]:
    """Return the alert that says that others were cut off: nobody else will tell of them."""
    group = str(payload.get("groupKey", ""))
    receiver = payload.get("receiver")
    return {
        "status": AlertStatus.FIRING.value,
        "labels": {
            "alertname": TRUNCATED,
            "receiver": tame(receiver) if isinstance(receiver, str) else "",
            "group": hashlib.sha256(group.encode(errors="surrogatepass")).hexdigest()[:16],
        },
        "annotations": {
            "summary": f"{truncated} alerts were cut off this notification and may never be sent; "
            "set max_alerts of the webhook to 0",
            "group_key": tame(group),
        },
    }
