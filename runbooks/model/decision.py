"""A person's answer at a gate, and the seal of the listener that saw it.

The listener (Slack, the command line) checks who answered, signs the decision with its own key
and sends it through Temporal.  The acting activity verifies the signature, so that a forged
update sent straight to Temporal changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Self

from runbooks.model.base import Value, as_body, canonical

SIGNED_PREFIX = b"paramedic-decision-v1\n"
"""What a signature covers begins with this, so that it is taken for nothing else."""

UNSIGNED = frozenset({"reason", "reason_salt"})
"""What a signature does not cover itself: the words of a person may have to be redacted, and their digest stays."""


class Answer(StrEnum):
    """What a person said."""

    APPROVED = "approved"
    DENIED = "denied"
    HAPPENED = "happened"  # of an action whose outcome is not known: it was done, go on
    AGAIN = "again"  # of such an action: do it once more
    STOP = "stop"  # of such an action: do nothing more


VERDICTS = frozenset({Answer.HAPPENED, Answer.AGAIN, Answer.STOP})
"""The answers to the question what became of an action; the others are answers to a plan."""


class Refusal(StrEnum):
    """Why an answer does not count, in one word: on record, and in metrics.  None is ever renamed."""

    NOT_A_MEMBER = "not_a_member"  # of the groups that may answer
    NOT_ASKED_YET = "not_asked_yet"  # only if others did not answer in time
    OWN_REQUEST = "own_request"  # they asked for the remediation themselves
    PERSON_REFUSED = "person_refused"  # a guest, a bot, a stranger
    NOT_PERMITTED = "not_permitted"  # by the policy
    NO_REASON = "no_reason"  # a no has to say why
    ANSWERED_ALREADY = "answered_already"
    CLOSED = "closed"  # people decided, it is needed no longer, or the remediation has ended
    EXPIRED = "expired"
    OUTCOME_KNOWN = "outcome_known"  # what became of the action came to light meanwhile
    OTHER_PLAN = "other_plan"  # another than the one that was shown
    OTHER_QUESTION = "other_question"
    NEVER_ASKED = "never_asked"
    FORGED = "forged"  # no trusted listener signed it, or it is not what was signed first
    NOT_JUDGED = "not_judged"  # nobody could judge it in time


class Objection(Value):
    """Why an answer does not count.

    Attributes:
        sentence: for people; it goes on after "your answer does not count:".
    """

    refusal: Refusal
    sentence: str


class Doubt(Value):
    """An action of which nobody knows whether it happened, as people are asked about it.

    Attributes:
        key: the action's key: what a person's verdict is bound to.
        part, step: where it stands in the plan.
        attempt: the last attempt that was made.
        evidence: what is known, the probe's answer included; for people.
    """

    key: str
    part: str
    step: str
    name: str
    uses: str
    attempt: int
    evidence: str


class GatedStep(Value):
    """A step that has a gate of its own, as people are asked about it right before it is done.

    Attributes:
        key: the action's key: what an approval of the step is bound to.
        step: its id in the plan.
    """

    key: str
    step: str
    name: str
    uses: str


class Principal(Value):
    """Who answered, as the listener found them at that moment.

    Attributes:
        key: one key for one person whatever the path: `slack:T0123/U0456`, `local:alice`.
        also: the other keys under which this person is known here.
        name: for people; never trusted.
        groups: the approver groups, of those that the gate named, that this person is in.
    """

    key: str
    also: tuple[str, ...] = ()
    name: str = ""
    groups: tuple[str, ...] = ()

    def is_known_as(self, key: str) -> bool:
        """Return whether `key` names this very person."""
        return key in {self.key, *self.also}


class Decision(Value):
    """One answer, bound to one gate of one remediation and to the digest of what was shown.

    Attributes:
        id: of the click or call, unique: a second delivery of it is the same decision.
        gate: the gate's id, `R-7F3K2Q/gate-1`.
        about: the key of the action that a verdict, or the approval of a single step, is about; empty
            where a plan is answered.
        reason: the person's own words; required where the answer is no.
        reason_salt, reason_digest: of the reason, once it is sealed; empty where there is none.
        via: `slack`, `cli`.
        expires_at: when the gate closes: an answer that is recorded later does not count.
    """

    id: str
    gate: str
    remediation: str
    plan_digest: str
    answer: Answer
    principal: Principal
    about: str = ""
    reason: str = ""
    reason_salt: str = ""
    reason_digest: str = ""
    via: str
    decided_at: datetime
    expires_at: datetime

    def with_sealed_reason(self, salt: str) -> Self:
        """Return the decision with its reason's digest, that is all the signature needs to know of it.

        Args:
            salt: nobody can guess it, and it is always the same for this decision.
        """
        if not self.reason:
            return self.model_copy(update={"reason_salt": "", "reason_digest": ""})
        return self.model_copy(
            update={"reason_salt": salt, "reason_digest": _salted_digest(salt, self.reason)}
        )

    def reason_is_sealed(self) -> bool:
        """Return whether the reason is the one whose digest is signed.

        Raises:
            ValueError: no bytes can hold its text.
        """
        expected = _salted_digest(self.reason_salt, self.reason) if self.reason else ""
        return self.reason_digest == expected

    def signed_bytes(self) -> bytes:
        """Return what the signature covers.

        Raises:
            ValueError: no bytes can hold its text.
        """
        return SIGNED_PREFIX + canonical(as_body(self.model_dump(mode="json", exclude=set(UNSIGNED))))


def _salted_digest(salt: str, reason: str) -> str:
    return hashlib.sha256(salt.encode() + canonical(reason)).hexdigest()


class SignedDecision(Value):
    """A decision with the listener's Ed25519 signature.

    Attributes:
        key_id: which of the listener's keys; first 16 hex digits of the public key's SHA-256.
        signature: base64.
    """

    decision: Decision
    key_id: str
    signature: str

    def signature_bytes(self) -> bytes:
        """Return the raw signature.

        Raises:
            ValueError: it is not base64.
        """
        return base64.b64decode(self.signature, validate=True)
