"""The base of all values, and the one way to turn a value into bytes that can be hashed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785
from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value.  Two with the same content are equal; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def as_body(value: Any) -> Any:
    """Return `value` with only what RFC 8785 writes the same everywhere.

    Strings, booleans, None, integers up to 2^53-1, lists and objects stay.  Other numbers become
    strings (1.0 would be written as 1, and NaN not at all), as do keys.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        return {str(key): as_body(item) for key, item in value.items()}
    return [as_body(item) for item in value]


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 bytes of `value`, which holds only what `as_body` leaves."""
    # The standard encoder writes such values byte for byte as RFC 8785 wants them, and three times as
    # fast, but for keys outside of ASCII, which it may order otherwise.  A property test compares them.
    text = _encode(value)
    return text.encode() if text.isascii() else rfc8785.dumps(value)


def digest(value: Value) -> str:
    """Return the SHA-256 of the canonical form of `value`, in hex."""
    return hashlib.sha256(canonical(as_body(value.model_dump(mode="json")))).hexdigest()
