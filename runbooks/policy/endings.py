"""From what was measured and done to what it means: pure rules, each with its sentence for people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from runbooks.model.action import ActionClass, Outcome, Receipt
from runbooks.model.base import canonical
from runbooks.model.plan import OutlinedAction, Part
from runbooks.model.remediation import Closing, Ending
from runbooks.model.verdict import CheckResult, Verdict, worst

REPEATABLE = frozenset({ActionClass.IDEMPOTENT, ActionClass.KEYED, ActionClass.PROBED})
"""The classes after whose unknown outcome the engine may ask again under the same key."""


def whole(sentence: str) -> str:
    """Return `sentence` with a full stop at its end, where it has no end of its own."""
    said = sentence.rstrip()
    return said if not said or said.endswith((".", "!", "?", "…")) else f"{said}."


def action_key(remediation: str, part: Part, step: str, plan_digest: str) -> str:
    """Return the key of one action: the same for every attempt, across crash and reset."""
    identity = [remediation, part.value, step, plan_digest]
    return hashlib.sha256(canonical(identity)).hexdigest()[:40]


def may_ask_again(action: OutlinedAction, receipt: Receipt, attempt: int) -> bool:
    """Return whether the engine may ask for `action` once more, under the same key.

    After a lost worker one more call than there are attempts is made, whatever the class: it only
    finds out what became of the last one, and does nothing.
    """
    if receipt.reason == "lost":
        return attempt <= action.attempts
    repeatable = receipt.outcome is Outcome.UNKNOWN and action.kind in REPEATABLE
    return (receipt.outcome is Outcome.NOT_SENT or repeatable) and attempt < action.attempts


def ending_of_checks(remediation: str, checks: Sequence[CheckResult], when: str) -> Closing | None:
    """Return the ending that these checks mean, or None if the remediation may go on.

    Args:
        when: for people, `before the gate` or `after the gate`.
    """
    verdict = worst(checks)
    if verdict is Verdict.PASSED:
        return None
    decisive = next((check for check in checks if check.verdict is verdict), None)
    seen = f"{decisive.name}: {decisive.sentence}" if decisive else "the runbook has no check"
    if verdict is Verdict.FAILED:
        return Closing(
            remediation=remediation,
            ending=Ending.NOT_NEEDED,
            reason="check_failed",
            sentence=whole(f"Nothing to do, as measured {when}. {seen}"),
        )
    return Closing(
        remediation=remediation,
        ending=Ending.WITHHELD,
        reason=f"check_{verdict}",
        sentence=whole(f"Not known well enough to act, as measured {when}. {seen}"),
    )


def ending_of_receipt(remediation: str, receipt: Receipt, name: str) -> Closing:
    """Return the ending after an action that was not ok."""
    said = whole(receipt.sentence)
    if receipt.outcome is Outcome.REFUSED:
        ending = Ending.STOPPED if receipt.reason == "frozen" else Ending.FAILED
        sentence = f"Not done: {name}. {said}"
    elif receipt.outcome is Outcome.UNKNOWN:
        ending = Ending.FAILED
        sentence = f"It is not known whether this happened: {name}. {said} A person must look."
    else:
        ending = Ending.FAILED
        sentence = f"Failed: {name}. {said}"
    return Closing(
        remediation=remediation,
        ending=ending,
        reason=receipt.reason or str(receipt.outcome),
        sentence=sentence,
        keep_lease=receipt.outcome is Outcome.UNKNOWN,
    )


def ending_of_verification(remediation: str, checks: Sequence[CheckResult]) -> Closing:
    """Return the ending after the actions: it helped, or it could not be shown to have helped."""
    verdict = worst(checks)
    decisive = next((check for check in checks if check.verdict is verdict), None)
    seen = f"{decisive.name}: {decisive.sentence}" if decisive else "the runbook verifies nothing"
    if verdict is Verdict.PASSED:
        return Closing(
            remediation=remediation,
            ending=Ending.MITIGATED,
            reason="verified",
            sentence=whole(f"It helped. {seen}"),
        )
    return Closing(
        remediation=remediation,
        ending=Ending.UNVERIFIED,
        reason=f"verify_{verdict}",
        sentence=whole(f"Done, but it could not be verified that it helped. {seen}"),
    )
