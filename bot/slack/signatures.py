"""Who may post in Slack's name: whoever signs with a secret that only Slack and we know.

Slack signs the time and the body of each request.  The comparison is the SDK's; what stands
around it is what a stranger could abuse: headers that are no time and no signature, a body that
is no text, an old request that is sent again.  A request older than the window is refused by its
time.  Inside the window a signature counts once: that of an equal request is the same, and Slack,
when it tries again, signs anew.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from pydantic import SecretStr
from slack_sdk.signature import Clock, SignatureVerifier
from starlette.datastructures import Headers

from runbooks.errors import ParamedicError

TIMESTAMP = "x-slack-request-timestamp"
SIGNATURE = "x-slack-signature"

WINDOW = 300.0  # seconds that a request may be old, or ahead of our clock; Slack's own advice
REMEMBERED = 20_000  # signatures of the window; only who knows a secret can fill this

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")


class NotFromSlackError(ParamedicError):
    """Nothing shows that this request was made by Slack, now, and for the first time.

    Attributes:
        kind: `forged`, `stale` or `replayed`.
    """

    code = "not_from_slack"

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class Signatures:
    """Verifies requests.

    Args:
        secrets: the signing secrets that count: two, while one is being replaced.
        clock: seconds since the epoch.
    """

    def __init__(self, secrets: Iterable[SecretStr], *, clock: Callable[[], float] = time.time) -> None:
        self._verifiers = [SignatureVerifier(secret.get_secret_value(), _Clock(clock)) for secret in secrets]
        self._clock = clock
        self._used: OrderedDict[str, float] = OrderedDict()  # until when each must be remembered

    def check_head(self, headers: Headers) -> None:
        """Refuse on the headers alone what cannot be Slack's, before anything of the body is read.

        Raises:
            NotFromSlackError: `forged` or `stale`.
        """
        timestamp, signature = _of(headers)
        if _TIMESTAMP.fullmatch(timestamp) is None or _SIGNATURE.fullmatch(signature) is None:
            raise NotFromSlackError("forged", "the request is not signed by Slack")
        if abs(self._clock() - int(timestamp)) > WINDOW:
            raise NotFromSlackError(
                "stale", f"the request was signed more than {WINDOW:g} s ago, or ahead of the clock here"
            )

    def check(self, headers: Headers, body: bytes) -> None:
        """Refuse what nobody signed who knows a secret, and what was here before.

        Raises:
            NotFromSlackError: `forged`, `stale` or `replayed`.
        """
        self.check_head(headers)
        timestamp, signature = _of(headers)
        if not self._is_signed(timestamp, signature, body):
            raise NotFromSlackError("forged", "the signature belongs to none of the signing secrets")
        if signature in self._used:
            raise NotFromSlackError("replayed", "this very request was here before")
        self._remember(signature, int(timestamp) + WINDOW)

    def forget(self, headers: Headers) -> None:
        """Let a request that could not be served be sent once more as it is."""
        self._used.pop(headers.get(SIGNATURE, ""), None)

    def _is_signed(self, timestamp: str, signature: str, body: bytes) -> bool:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            return False
        return any(verifier.is_valid(text, timestamp, signature) for verifier in self._verifiers)

    def _remember(self, signature: str, until: float) -> None:
        now = self._clock()
        while self._used and (len(self._used) >= REMEMBERED or next(iter(self._used.values())) < now):
            self._used.popitem(last=False)
        self._used[signature] = until


class _Clock(Clock):
    """The SDK's idea of a clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self._clock()


def _of(headers: Headers) -> tuple[str, str]:
    return headers.get(TIMESTAMP, ""), headers.get(SIGNATURE, "")
