"""The listener's key: what was seen at a click is sealed here, and nowhere else; and how private keys are kept.

The private key stays in one file of the data folder, readable by its owner only.  It is made at
first use.  Two processes that start at once must end up with the same key, so the file is
written under another name and then linked into place: whoever comes second takes the first one's.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

from activities.lazily import lazily
from activities.signatures import PublicKeyWrongError, TrustedKeys, key_id, parse_public_key
from runbooks.errors import ParamedicError
from runbooks.model.decision import Decision, SignedDecision

if TYPE_CHECKING:
    from cryptography import exceptions
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519
else:
    exceptions = lazily("cryptography.exceptions")
    serialization = lazily("cryptography.hazmat.primitives.serialization")
    ed25519 = lazily("cryptography.hazmat.primitives.asymmetric.ed25519")

__all__ = ["KEY_FILE", "KeyFileError", "ListenerKey", "TrustedKeys", "key_id"]

KEY_FILE = "listener.pem"
NOTE_FILE = "listener.pub"
"""Holds the public key in base64, and the SHA-256 of the file that it belongs to."""

NAME = "the listener's key"


class KeyFileError(ParamedicError):
    """The key file cannot be used."""

    code = "key_file_wrong"


class ListenerKey:
    """An Ed25519 key with which one listener seals decisions.

    Args:
        public_key: raw, 32 bytes.
        load: returns the private key; called when something is sealed for the first time.
    """

    def __init__(self, public_key: bytes, load: Callable[[], ed25519.Ed25519PrivateKey]) -> None:
        self.public_key = public_key
        self.key_id = key_id(public_key)
        self._load = cache(load)

    @classmethod
    def of(cls, private_key: ed25519.Ed25519PrivateKey) -> Self:
        """Return the listener's key that is this one."""
        return cls(private_key.public_key().public_bytes_raw(), lambda: private_key)

    @classmethod
    def generate(cls) -> Self:
        """Return a new key that is kept nowhere."""
        return cls.of(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def load_or_create(cls, folder: Path) -> Self:
        """Return the key in `folder`; make one where there is none yet.

        Raises:
            KeyFileError: it is there and cannot be used, or cannot be written.
        """
        return cls.of(private_key_in(folder / KEY_FILE, NAME))

    @classmethod
    def looked_up(cls, folder: Path) -> Self:
        """Return the key in `folder` by its public half; the private one is read when somebody answers.

        Until then neither it nor the library is in memory, which is 9 MiB.  What the key file holds is
        checked all the same: once, in a process of its own, and by its hash from then on.

        Raises:
            KeyFileError: it is there and cannot be used, or cannot be written.
        """
        path = folder / KEY_FILE
        public_key = _noted(path) or _checked_apart(path)

        def load() -> ed25519.Ed25519PrivateKey:
            private_key = private_key_in(path, NAME)
            if private_key.public_key().public_bytes_raw() != public_key:
                raise KeyFileError(f"{NAME} {path} was replaced while this process runs: start it again")
            return private_key

        return cls(public_key, load)

    @property
    def public_text(self) -> str:
        """The public key in base64, as PARAMEDIC_DECISION_KEYS of another machine takes it."""
        return base64.b64encode(self.public_key).decode()

    def sign(self, decision: Decision) -> SignedDecision:
        """Return `decision` under this key's seal."""
        decision = decision.with_sealed_reason(self._salt_for(decision))
        signature = self._load().sign(decision.signed_bytes())
        return SignedDecision(
            decision=decision, key_id=self.key_id, signature=base64.b64encode(signature).decode()
        )

    def _salt_for(self, decision: Decision) -> str:
        """Return what only this key can work out, and always the same: a decision that is sealed again is equal."""
        return self._load().sign(f"paramedic-reason-v1\n{decision.id}".encode()).hex()


def private_key_in(path: Path, what: str) -> ed25519.Ed25519PrivateKey:
    """Return the private key in the file `path`; make one where there is none yet.

    Args:
        what: the key's name in errors ("the listener's key").

    Raises:
        KeyFileError: it is there and cannot be used, or cannot be written.
    """
    try:
        if not path.exists():
            _create(path)
        return _load(path, what)
    except OSError as error:
        raise KeyFileError(f"{what} {path} cannot be used: {error.strerror}") from error


def note_public_key(path: Path) -> bytes:
    """Check the listener's key in `path`, make one where there is none, note its public half beside it and return that.

    Raises:
        KeyFileError: it is there and cannot be used, or cannot be written.
    """
    public_key = private_key_in(path, NAME).public_key().public_bytes_raw()
    line = f"{base64.b64encode(public_key).decode()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
    draft = path.with_name(f".{NOTE_FILE}.{secrets.token_hex(8)}")
    try:
        _write(draft, line.encode())
        draft.replace(path.with_name(NOTE_FILE))
    except OSError as error:
        raise KeyFileError(f"{NAME} cannot be noted beside {path}: {error.strerror}") from error
    return public_key


def _noted(path: Path) -> bytes | None:
    """Return the public key that is noted for exactly this key file; None where none is."""
    try:
        text, digest = path.with_name(NOTE_FILE).read_text(encoding="ascii").split()
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return None
        public_key = parse_public_key(text)
    except (OSError, ValueError, PublicKeyWrongError):
        return None
    _refuse_readable(path, NAME)
    return public_key


def _checked_apart(path: Path) -> bytes:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bot.keys", str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise KeyFileError(done.stderr.strip().rpartition("\n")[2])
    return parse_public_key(done.stdout.strip())


def _refuse_readable(path: Path, what: str) -> None:
    if path.stat().st_mode & 0o007:
        raise KeyFileError(
            f"everybody on this machine can read {what} {path}. "
            "Delete it, so that a new one is made, and find out who could have copied it."
        )


def _load(path: Path, what: str) -> ed25519.Ed25519PrivateKey:
    _refuse_readable(path, what)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} is not a private key in PEM: {error}. Move it away.") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise KeyFileError(f"{path} is not an Ed25519 key. Move it away, so that a new one is made.")
    return key


def _create(path: Path) -> None:
    """Write a new key to `path` in one step; leave a key alone that appeared meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        _write(draft, pem)
        _link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    _make_durable(path.parent)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _link(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return  # another process was first: its key is the key


def _make_durable(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    try:
        print(base64.b64encode(note_public_key(Path(sys.argv[1]))).decode())
    except KeyFileError as wrong:
        sys.exit(str(wrong))
