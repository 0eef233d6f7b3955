"""From what was measured and done to what it means: pure rules, each with its sentence for people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from runbooks.model.action import ActionClass, Outcome, Receipt
from runbooks.model.base import canonical
from runbooks.model.plan import OutlinedAction, Part
from runbooks.model.remediation import BRAKES, STOPPED_BY_PERSON, Closing, Ending
from runbooks.model.verdict import CheckResult, Verdict, worst
from runbooks.policy.gate import GateState
from runbooks.policy.story import Story

REPEATABLE = frozenset({ActionClass.IDEMPOTENT, ActionClass.KEYED, ActionClass.PROBED})
"""The classes after whose unknown outcome the engine may ask again under the same key."""


def whole(sentence: str) -> str:
    """Return `sentence` with a full stop at its end, where it has no end of its own."""
    said = sentence.rstrip()
    return said if not said or said.endswith((".", "!", "?", "…")) else f"{said}."


def action_key(remediation: str, part: Part, step: str, plan_digest: str, iteration: int = 1) -> str:
    """Return the key of one action: the same for every attempt, across crash and reset.

    Args:
        iteration: 2 where a person said that it is to be done again.
    """
    identity = [remediation, part.value, step, plan_digest, iteration]
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


def still_unknown(earlier: Receipt, receipt: Receipt) -> Receipt:
    """Return what is known after `receipt`, which came after an attempt whose outcome was unknown.

    That a later attempt was refused, or did not reach the target, says nothing about the one before it.
    """
    nothing_new = receipt.outcome in {Outcome.REFUSED, Outcome.NOT_SENT}
    if earlier.outcome is not Outcome.UNKNOWN or not nothing_new:
        return receipt
    sentence = f"{whole(earlier.sentence)} Then it was not done: {receipt.sentence}"
    return receipt.model_copy(update={"outcome": Outcome.UNKNOWN, "sentence": sentence})


def receipt_of_verdict(receipt: Receipt, state: GateState, said: str) -> Receipt:
    """Return what is known of an action after people were asked what became of it.

    Args:
        said: how the gate closed, for people.
    """
    if state is GateState.HAPPENED:
        return receipt.model_copy(
            update={"outcome": Outcome.OK, "reason": "attested", "sentence": whole(said)}
        )
    sentence = f"{whole(receipt.sentence)} {whole(f'{said[:1].upper()}{said[1:]}')}"
    return receipt.model_copy(update={"reason": f"verdict_{state}", "sentence": sentence})


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
        ending = Ending.STOPPED if receipt.reason in BRAKES else Ending.FAILED
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


def ending_between_steps(closing: Closing, done: Sequence[str]) -> Closing:
    """Return `closing`, which came between two steps, with the names of what was done before it."""
    sentence = f"{whole(closing.sentence)} Done before that: {', '.join(done)}."
    return closing.model_copy(update={"sentence": sentence})


def ending_after_undo(closing: Closing, taken_back: Sequence[tuple[str, Receipt | None]]) -> Closing:
    """Return `closing` with what became of undoing; an undo of which nobody knows keeps the target.

    Args:
        taken_back: name and receipt of each undo; None for an action that has none.
    """
    doubtful = [name for name, receipt in taken_back if receipt and receipt.outcome is Outcome.UNKNOWN]
    if doubtful:
        sentence = f"It is not known whether this was undone: {', '.join(doubtful)}. A person must look."
        unknown = {"ending": Ending.FAILED, "reason": "undo_unknown", "keep_lease": True}
        return closing.model_copy(update={**unknown, "sentence": f"{closing.sentence} {sentence}"})
    if not taken_back or any(
        receipt is None or receipt.outcome is not Outcome.OK for _, receipt in taken_back
    ):
        return closing
    if closing.ending is Ending.UNVERIFIED:
        sentence = f"{closing.sentence} What was done is undone."
        return closing.model_copy(update={"ending": Ending.ROLLED_BACK, "sentence": sentence})
    return closing.model_copy(update={"sentence": f"{closing.sentence} What was done before it is undone."})


def ending_of_lost(story: Story) -> Closing:
    """Return the ending of a remediation whose workflow is gone: Temporal lost it, or somebody ended it there."""
    ending, reason, keep_lease = Ending.WITHHELD, "interrupted", False
    sentence = "Its workflow is gone from Temporal, before anything was done."
    if story.withheld_reason:
        reason, sentence = story.withheld_reason, story.withheld_sentence
    elif story.unresolved:
        ending, reason, keep_lease = Ending.FAILED, "lost", True
        names = ", ".join(dict.fromkeys(action.name for action in story.unresolved))
        sentence = (
            f"Its workflow is gone from Temporal, and it is not known whether this happened: {names}. "
            "A person must look."
        )
    elif story.stop is not None:
        ending, reason = Ending.STOPPED, STOPPED_BY_PERSON
        sentence = f"It was stopped by {story.stop.key}, and its workflow is gone from Temporal."
    elif (denied := next((gate for gate in story.gates if gate.outcome == "denied"), None)) is not None:
        ending, reason, sentence = Ending.DENIED, "denied", denied.sentence or sentence
    elif story.actions:
        ending = Ending.FAILED
        done = ", ".join(f"{action.name} ({action.state})" for action in story.actions)
        sentence = f"Its workflow is gone from Temporal, before it was verified that this helped: {done}."
    return Closing(
        remediation=story.remediation,
        ending=ending,
        reason=reason,
        sentence=sentence,
        keep_lease=keep_lease,
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
