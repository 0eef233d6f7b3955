"""Meaning: that what is on record could have happened by the rules of the house.

Hashes say that a record was not changed after it was sealed.  They do not say that it is true, and
somebody who owns the bot can append what he likes.  But a lie has to fit: an action needs an intent
before it, the intent a plan that holds this very action, the plan's gate enough people who were asked,
answered in time, and did not ask for it themselves.  These rules are read from the records alone, so
anybody can apply them to an export.

The rules, each with its record:

- `action.receipt`, `action.unknown`: an intent under this key came before, unless it says that nothing
  was sent.  Under one key something is done once.
- `action.intent`: the remediation was admitted, and has not ended.  The action stands in a plan on
  record, with these arguments.  No freeze covers it, unless it only tells people.  Where the plan has a
  gate and the action is none of `otherwise`: it names approvals of this remediation and this plan that
  were accepted, by enough people of the right groups, before the gate expired, and none by the person
  who asked.  An earlier attempt under this key has ended.
- `ending`: one that says that all was done leaves no attempt open.

A value may stand there as a commitment (`{"$c": ...}`): what is redacted cannot be compared, and is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from activities.ledger.findings import TamperedError
from runbooks.model.action import Effect, Outcome
from runbooks.model.freeze import is_covered
from runbooks.model.record import RecordKind
from runbooks.model.remediation import ACTED

Content = Mapping[str, Any]
COMMITMENT = "$c"

_POSITIVE = frozenset(
    {"approved", "again"}
)  # `again`: a person's word on an action whose outcome is not known


class _BrokenRuleError(Exception):
    """A rule does not hold; the message says which."""


@dataclass
class _Case:
    """What is known of one remediation until its ending."""

    admission: Content | None = None
    plans: dict[str, Content] = field(default_factory=dict)
    gates: dict[str, Content] = field(default_factory=dict)
    decisions: dict[str, Content] = field(default_factory=dict)
    open_attempts: dict[str, int] = field(default_factory=dict)  # the attempt, by the action's key
    begun: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)


class Meaning:
    """The records that were read so far, as far as later ones must fit to them."""

    def __init__(self) -> None:
        self._cases: dict[str, _Case] = {}
        self._freezes: dict[str, int] = {}
        self._late: dict[str, bool] = {}  # keys of ended remediations whose attempts may still be heard of
        self._readers: Mapping[str, Callable[[_Case, Content], None]] = {
            RecordKind.ADMISSION.value: self._admission,
            RecordKind.PLAN.value: self._plan,
            RecordKind.GATE_ASKED.value: self._asked,
            RecordKind.DECISION.value: self._decision,
            RecordKind.ACTION_INTENT.value: self._intent,
            RecordKind.ACTION_RECEIPT.value: self._receipt,
            RecordKind.ACTION_UNKNOWN.value: self._receipt,
            RecordKind.ENDING.value: self._ending,
            RecordKind.FREEZE.value: self._freeze,
            RecordKind.THAW.value: self._thaw,
        }

    def read(self, content: Content, seq: int) -> None:
        """Read the next record of the ledger.

        Raises:
            TamperedError: it could not have happened.
        """
        reader = self._readers.get(str(content.get("kind")))
        if reader is None:
            return
        try:
            reader(self._cases.setdefault(content["stream"], _Case()), content)
        except _BrokenRuleError as broken:
            raise TamperedError(f"record {seq} cannot be: {broken}", seq) from broken
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            # The product did not write this: it knows the shape of its records.
            raise TamperedError(f"record {seq} does not hold what its kind must", seq) from error

    def _admission(self, case: _Case, content: Content) -> None:
        case.admission = content

    def _plan(self, case: _Case, content: Content) -> None:
        case.plans[content["data"]["digest"]] = content["data"]["plan"]

    def _asked(self, case: _Case, content: Content) -> None:
        case.gates[content["data"]["gate"]] = content["data"]

    def _decision(self, case: _Case, content: Content) -> None:
        if content["outcome"] != "accepted":
            return
        decision = content["data"]["decision"]
        if decision["id"] in case.decisions:
            raise _BrokenRuleError(f"the decision {decision['id']} was accepted twice")
        case.decisions[decision["id"]] = decision

    def _freeze(self, case: _Case, content: Content) -> None:  # noqa: ARG002 - one signature for all
        self._freezes[content["data"]["scope"]] = content["seq"]

    def _thaw(self, case: _Case, content: Content) -> None:  # noqa: ARG002 - one signature for all
        self._freezes.pop(content["data"]["scope"], None)

    # --- actions ---------------------------------------------------------------------------------

    def _intent(self, case: _Case, content: Content) -> None:
        data = content["data"]
        key, attempt = data["key"], data["attempt"]
        admission = case.admission
        if admission is None or admission["outcome"] != "admitted":
            raise _BrokenRuleError("nothing may be done here: it was never admitted")
        if key in case.done:
            raise _BrokenRuleError("this action was done already")
        if key in case.open_attempts:
            raise _BrokenRuleError(f"attempt {case.open_attempts[key]} at the same action has no end")
        if data["effect"] != Effect.TELL.value:
            self._check_brake(admission)
        plan = case.plans.get(data["plan_digest"])
        if plan is None:
            raise _BrokenRuleError("its plan is not on record")
        if _is_gated(plan, data):
            _check_approvals(case, content["stream"], plan, data)
        case.open_attempts[key] = attempt
        case.begun.add(key)

    def _check_brake(self, admission: Content) -> None:
        data = admission["data"]
        labels = (data.get("alert") or {}).get("labels", {})
        for scope in self._freezes:
            if is_covered(scope, data["runbook"], data["target"], labels):
                raise _BrokenRuleError(f"{scope} was frozen")

    def _receipt(self, case: _Case, content: Content) -> None:
        key, outcome = content["data"]["key"], content["outcome"]
        begun = key in case.begun or key in self._late
        if not begun and outcome != Outcome.NOT_SENT.value:
            raise _BrokenRuleError("there was no intent before it")
        if outcome == Outcome.OK.value:
            if key in case.done or self._late.get(key, False):
                raise _BrokenRuleError("this action was done already")
            if key in self._late:
                self._late[key] = True
            else:
                case.done.add(key)
        case.open_attempts.pop(key, None)

    def _ending(self, case: _Case, content: Content) -> None:
        if case.open_attempts and content["outcome"] in {ending.value for ending in ACTED}:
            raise _BrokenRuleError("an attempt has no end, so nobody can know how this ended")
        self._late.update(dict.fromkeys(case.begun - case.done, False))
        del self._cases[content["stream"]]


def _is_gated(plan: Content, intent: Content) -> bool:
    """Return whether this action of the plan needs approvals.

    Raises:
        _BrokenRuleError: the plan does not hold it.
    """
    actions = plan["actions"]
    undos = [action["undo"] for action in actions if action.get("undo")]
    if any(_is_action(each, intent) for each in (*actions, *undos)):
        return plan["gate"] is not None
    if any(_is_action(each, intent) for each in plan["otherwise"]):
        return False
    raise _BrokenRuleError(f"the plan holds no action {intent['step']} like this")


def _is_action(planned: Content, intent: Content) -> bool:
    names = planned["id"] == intent["step"] and planned["uses"] == intent["uses"]
    return names and _may_be_equal(planned["arguments"], intent["arguments"])


def _check_approvals(case: _Case, stream: str, plan: Content, intent: Content) -> None:
    gate, people = plan["gate"], set()
    for name in intent["decisions"]:
        decision = case.decisions.get(name)
        if decision is None:
            raise _BrokenRuleError(f"the decision {name} is not on record as accepted")
        person = decision["principal"]["key"]
        asked = case.gates.get(decision["gate"])
        if asked is None or decision["remediation"] != stream:
            raise _BrokenRuleError(f"the decision {name} answers another question")
        if decision["plan_digest"] != intent["plan_digest"]:
            raise _BrokenRuleError(f"the decision {name} was about another plan")
        if decision["answer"] not in _POSITIVE:
            raise _BrokenRuleError(f"the decision {name} is no approval")
        if _instant(decision["decided_at"]) >= min(
            _instant(decision["expires_at"]), _instant(asked["expires_at"])
        ):
            raise _BrokenRuleError(f"the decision {name} came too late")
        if not set(gate["approvers"]) & set(decision["principal"]["groups"]):
            raise _BrokenRuleError(f"the decision {name} came from somebody who was not asked")
        if case.admission is not None and person == case.admission["data"]["requested_by"]:
            raise _BrokenRuleError(f"{person} approved what they had asked for")
        people.add(person)
    if len(people) < gate["need"]:
        raise _BrokenRuleError(f"{gate['need']} people must approve, {len(people)} did")


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at


def _may_be_equal(one: Any, other: Any) -> bool:
    """Return whether two values are equal, as far as they can be seen."""
    if _is_commitment(one) or _is_commitment(other):
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_may_be_equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_may_be_equal, one, other))
    return bool(one == other)


def _is_commitment(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {COMMITMENT}
