"""Whose seal counts: the public keys of the listeners whose decisions may allow an action.

A listener (Slack, the command line) seals what it saw a person decide.  Whoever acts on that
decision asks here first.  What comes through Temporal may be garbage or a forgery, so verifying
answers yes or no and never raises.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from activities.lazily import lazily
from runbooks.errors import ParamedicError
from runbooks.model.base import canonical
from runbooks.model.decision import SIGNED_PREFIX, UNSIGNED, SignedDecision

if TYPE_CHECKING:
    from cryptography import exceptions
    from cryptography.hazmat.primitives.asymmetric import ed25519
else:
    exceptions = lazily("cryptography.exceptions")
    ed25519 = lazily("cryptography.hazmat.primitives.asymmetric.ed25519")

PUBLIC_KEY_LENGTH = 32  # bytes, raw


class PublicKeyWrongError(ParamedicError):
    """A configured public key is not one."""

    code = "public_key_wrong"


def key_id(public_key: bytes) -> str:
    """Return the id of a raw Ed25519 public key: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def covers(public_key: bytes, signature: str, decision: Mapping[str, Any]) -> bool:
    """Return whether this raw key signed a decision, given as a record's body holds it.  Never raises.

    The words of its reason may be redacted: the signature covers their digest.
    """
    said = {name: value for name, value in decision.items() if name not in UNSIGNED}
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(base64.b64decode(signature, validate=True), SIGNED_PREFIX + canonical(said))
    except (exceptions.InvalidSignature, ValueError, TypeError):  # of what somebody else may have written
        return False
    return True


class TrustedKeys:
    """The listeners that are believed.

    Args:
        public_keys: raw Ed25519 public keys, 32 bytes each.
    """

    def __init__(self, public_keys: Iterable[bytes]) -> None:
        self._raw = {key_id(raw): raw for raw in public_keys}

    @classmethod
    def from_texts(cls, own: Iterable[bytes], others: Iterable[str]) -> Self:
        """Return trust in `own` raw keys and in `others`, each base64 as settings hold them.

        Raises:
            PublicKeyWrongError: one of them is no such key.
        """
        return cls([*own, *map(parse_public_key, others)])

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all keys."""
        return frozenset(self._raw)

    def verify(self, signed: SignedDecision) -> bool:
        """Return whether a trusted listener signed exactly this decision.  Never raises."""
        raw = self._raw.get(signed.key_id)
        if raw is None:
            return False
        try:
            key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
            key.verify(signed.signature_bytes(), signed.decision.signed_bytes())
            return signed.decision.reason_is_sealed()
        except (
            exceptions.InvalidSignature,
            ValueError,
        ):  # ValueError: not base64, or text that no bytes can hold
            return False

    def signer_of(self, signed: SignedDecision) -> bytes | None:
        """Return the raw key of the trusted listener that signed exactly this decision; None: none did.  Never raises."""
        return self._raw[signed.key_id] if self.verify(signed) else None


def parse_public_key(text: str) -> bytes:
    """Return the raw Ed25519 key that `text` holds as base64.

    Raises:
        PublicKeyWrongError: it holds none.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PublicKeyWrongError(f"the public key {text[:12]!r}... is not base64: {error}") from error
    if len(raw) != PUBLIC_KEY_LENGTH:
        raise PublicKeyWrongError(
            f"a public key has {PUBLIC_KEY_LENGTH} bytes, this one has {len(raw)}: "
            "give the Ed25519 key itself in base64, without a header"
        )
    return raw
