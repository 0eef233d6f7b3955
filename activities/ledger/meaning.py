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
  record, with these arguments.  No freeze covers it and nobody has stopped it, unless it only tells people.  Where the plan has a
  gate and the action is none of `otherwise`: it names approvals of this remediation and this plan that
  were accepted, by enough people of the right groups, before the gate expired, and none by the person
  who asked.  So it is with the gate that the action has of its own, and with doing it again.  An earlier
  attempt under this key has ended.
- `gate.escalated`: a gate goes along its chain link by link.  A group counts from there on.
- `decision`: one that was accepted, is once, under the seal of a listener whose key is on record before it.
  Where it came through a login of a command line, that speaks for this person, under whichever of their
  keys, had not expired, and had not been ended when the answer came in, by the order of the records.
- `ending`: one that says that all was done leaves no attempt open.
- `ledger.pruned`: of each remediation whose records stand elsewhere now, all do.  They cannot be judged.

A value may stand there as a commitment (`{"$c": ...}`): what is redacted cannot be compared, and is not.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from activities.ledger.findings import TamperedError
from activities.signatures import covers, key_id
from runbooks.model.action import Effect, Outcome
from runbooks.model.freeze import is_covered
from runbooks.model.record import RecordKind
from runbooks.model.remediation import ACTED

Content = Mapping[str, Any]
COMMITMENT = "$c"


class _BrokenRuleError(Exception):
    """A rule does not hold; the message says which."""


@dataclass
class _Case:
    """What is known of one remediation until its ending."""

    admission: Content | None = None
    plans: dict[str, Content] = field(default_factory=dict)
    gates: dict[str, Content] = field(default_factory=dict)
    links: dict[str, int] = field(default_factory=dict)  # how far each gate went on along its chain
    decisions: dict[str, Content] = field(default_factory=dict)
    in_time: dict[str, bool] = field(
        default_factory=dict
    )  # of each answer: whether its login had not been ended
    links_asked: dict[str, int] = field(default_factory=dict)  # and how far it was when each decision came
    open_attempts: dict[str, int] = field(default_factory=dict)  # the attempt, by the action's key
    stopped: bool = False  # by a person
    begun: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)


class Meaning:
    """The records that were read so far, as far as later ones must fit to them.

    Args:
        listeners: raw keys of the listeners that are believed.  Without any: those that are on record.
    """

    def __init__(self, listeners: Iterable[bytes] = ()) -> None:
        self.signatures = 0
        self.signers: set[str] = set()
        self._listeners = {key_id(key): key for key in listeners}
        self._only_given = bool(self._listeners)
        self._pruned: set[str] = set()
        self._logins: dict[str, Content] = {}
        self._ended_logins: set[str] = set()
        self._read = 0  # records, as long as none is missing from the first one on
        self._cases: dict[str, _Case] = {}
        self._freezes: dict[str, int] = {}
        self._late: dict[str, bool] = {}  # keys of ended remediations whose attempts may still be heard of
        self._readers: Mapping[str, Callable[[_Case, Content], None]] = {
            RecordKind.ADMISSION.value: self._admission,
            RecordKind.PLAN.value: self._plan,
            RecordKind.GATE_ASKED.value: self._asked,
            RecordKind.GATE_ESCALATED.value: self._escalated,
            RecordKind.DECISION_RECEIVED.value: self._received,
            RecordKind.DECISION.value: self._decision,
            RecordKind.ACTION_INTENT.value: self._intent,
            RecordKind.ACTION_RECEIPT.value: self._receipt,
            RecordKind.ACTION_UNKNOWN.value: self._receipt,
            RecordKind.ENDING.value: self._ending,
            RecordKind.STOP_ASKED.value: self._stop,
            RecordKind.FREEZE.value: self._freeze,
            RecordKind.THAW.value: self._thaw,
            RecordKind.LISTENER_KEY.value: self._listener_key,
            RecordKind.LOGIN_ISSUED.value: self._login,
            RecordKind.LOGIN_ENDED.value: self._login_ended,
        }

    def skip(self, stream: str) -> None:
        """Take note that the next record, one of a remediation, is not to be read here: it was pruned."""
        self._read += 1
        self._pruned.add(stream)

    def read(self, content: Content, seq: int) -> None:
        """Read the next record of the ledger.

        Raises:
            TamperedError: it could not have happened.
        """
        self._read += self._read == seq
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

    def _escalated(self, case: _Case, content: Content) -> None:
        gate, link = content["data"]["gate"], content["data"]["link"]
        if link != case.links.get(gate, 0) + 1:
            raise _BrokenRuleError(f"{gate} went on to link {link} out of turn")
        case.links[gate] = link

    def _received(self, case: _Case, content: Content) -> None:
        """Keep whether an answer's login still counted: which came first does not hang on anybody's clock."""
        path, _, name = content["data"]["via"].partition(":")
        if path == "cli" and name:
            case.in_time.setdefault(content["data"]["id"], name not in self._ended_logins)

    def _decision(self, case: _Case, content: Content) -> None:
        if content["outcome"] != "accepted":
            return
        decision = content["data"]["decision"]
        if decision["id"] in case.decisions:
            raise _BrokenRuleError(f"the decision {decision['id']} was accepted twice")
        self._check_seal(content["data"])
        self._check_login(case, decision, is_whole=self._read == content["seq"] + 1)
        case.decisions[decision["id"]] = decision
        case.links_asked[decision["id"]] = case.links.get(decision["gate"], 0)

    def _check_seal(self, data: Content) -> None:
        name = data["key_id"]
        key = self._listeners.get(name)
        if key is None:
            raise _BrokenRuleError(f"it is under the seal of {name}, which is no listener that is believed")
        if not covers(key, data["signature"], data["decision"]):
            raise _BrokenRuleError(f"the listener {name} has not signed this decision")
        self.signatures += 1
        self.signers.add(name)

    def _check_login(self, case: _Case, decision: Content, *, is_whole: bool) -> None:
        """Check whom a command line speaks for.  Where only some records are at hand, its login may be elsewhere."""
        path, _, name = decision["via"].partition(":")
        if path != "cli" or not name:
            return
        login = self._logins.get(name)
        if login is None:
            if is_whole:
                raise _BrokenRuleError(f"the login {name}, through which the answer came, is not on record")
            return
        principal = decision["principal"]
        if login["person"] not in {principal["key"], *principal.get("also", ())}:
            raise _BrokenRuleError(f"the login {name} speaks for {login['person']}, who is somebody else")
        if _instant(decision["decided_at"]) >= _instant(login["expires_at"]):
            raise _BrokenRuleError(f"the login {name} had expired before the answer came through it")
        if name in self._ended_logins and not case.in_time.get(decision["id"], not is_whole):
            raise _BrokenRuleError(f"the login {name} had been ended before the answer came through it")

    def _login(self, case: _Case, content: Content) -> None:  # noqa: ARG002 - one signature for all
        self._logins[content["data"]["login"]] = content["data"]

    def _login_ended(self, case: _Case, content: Content) -> None:  # noqa: ARG002 - one signature for all
        self._ended_logins.add(content["data"]["login"])

    def _listener_key(self, case: _Case, content: Content) -> None:  # noqa: ARG002 - one signature for all
        key = base64.b64decode(content["data"]["key"], validate=True)
        if key_id(key) != content["data"]["key_id"]:
            raise _BrokenRuleError("the key has another id")
        if not self._only_given:
            self._listeners[key_id(key)] = key

    def _stop(self, case: _Case, content: Content) -> None:  # noqa: ARG002 - one signature for all
        case.stopped = True

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
            if case.stopped:
                raise _BrokenRuleError("a person had stopped it")
        plan = case.plans.get(data["plan_digest"])
        if plan is None:
            raise _BrokenRuleError("its plan is not on record")
        planned = _planned_and_gated(plan, data)
        if planned is not None:
            _Consent(case, content["stream"], data).check(plan["gate"], planned.get("gate"))
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
        pruned = key.partition("/")[0] in self._pruned  # late, of an action whose intent is not here any more
        begun = key in case.begun or key in self._late or pruned
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


def _planned_and_gated(plan: Content, intent: Content) -> Content | None:
    """Return the action of the plan; None where it is one of `otherwise`, which needs nobody's consent.

    Raises:
        _BrokenRuleError: the plan does not hold it.
    """
    actions = plan["actions"]
    undos = [action["undo"] for action in actions if action.get("undo")]
    for each in (*actions, *undos):
        if _is_action(each, intent):
            return each  # type: ignore[no-any-return]
    if any(_is_action(each, intent) for each in plan["otherwise"]):
        return None
    raise _BrokenRuleError(f"the plan holds no action {intent['step']} like this")


def _is_action(planned: Content, intent: Content) -> bool:
    names = planned["id"] == intent["step"] and planned["uses"] == intent["uses"]
    return names and _may_be_equal(planned["arguments"], intent["arguments"])


@dataclass
class _Consent:
    """The answers that an intent names, by what people were asked: the plan, this step, or what became of it."""

    case: _Case
    stream: str
    intent: Content
    people: dict[str, set[str]] = field(
        default_factory=lambda: {"plan": set(), "step": set(), "doubt": set()}
    )

    def check(self, of_plan: Content | None, of_step: Content | None) -> None:
        """Check each answer, and that there are enough for each gate before the action.

        Args:
            of_plan, of_step: the gates as the plan has them.
        """
        gates = {"plan": of_plan, "step": of_step, "doubt": of_step or of_plan}
        for name in self.intent["decisions"]:
            self._take(name, gates)
        for kind in ("plan", "step"):
            self._require(kind, gates[kind])
        if self.intent.get("iteration", 1) > 1:
            self._require("doubt", gates["doubt"] or {"need": 1})

    def _require(self, kind: str, gate: Content | None) -> None:
        if gate is not None and len(self.people[kind]) < gate["need"]:
            raise _BrokenRuleError(f"{gate['need']} people must approve, {len(self.people[kind])} did")

    def _take(self, name: str, gates: Mapping[str, Content | None]) -> None:
        decision = self.case.decisions.get(name)
        if decision is None:
            raise _BrokenRuleError(f"the decision {name} is not on record as accepted")
        asked = self.case.gates.get(decision["gate"])
        if asked is None or decision["remediation"] != self.stream:
            raise _BrokenRuleError(f"the decision {name} answers another question")
        if decision["plan_digest"] != self.intent["plan_digest"]:
            raise _BrokenRuleError(f"the decision {name} was about another plan")
        kind, about = _subject_of(asked)
        if decision["answer"] != ("again" if kind == "doubt" else "approved"):
            raise _BrokenRuleError(f"the decision {name} is no approval")
        if decision.get("about", "") != about.get("key", "") or about.get("step") not in {
            None,
            self.intent["step"],
        }:
            raise _BrokenRuleError(f"the decision {name} was about another action")
        times = decision["expires_at"], asked["expires_at"]
        if _instant(decision["decided_at"]) >= min(map(_instant, times)):
            raise _BrokenRuleError(f"the decision {name} came too late")
        self._check_person(decision, gates[kind] or asked)
        self.people[kind].add(decision["principal"]["key"])

    def _check_person(self, decision: Content, gate: Content) -> None:
        """Check that this person was asked by then, and has not asked for it themselves."""
        principal, links = decision["principal"], self.case.links_asked[decision["id"]]
        later = [group for link in gate.get("otherwise", ())[:links] for group in link["approvers"]]
        if not {*gate["approvers"], *later} & set(principal["groups"]):
            raise _BrokenRuleError(f"the decision {decision['id']} came from somebody who was not asked")
        admission = self.case.admission
        asker = admission["data"]["requested_by"] if admission is not None else ""
        if asker and asker in {principal["key"], *principal.get("also", ())}:
            raise _BrokenRuleError(f"{principal['key']} approved what they had asked for")


def _subject_of(asked: Content) -> tuple[str, Content]:
    """Return what people were asked about: the plan, a single step, or an action in doubt."""
    for kind, word in (("doubt", "doubt"), ("step", "gated")):
        if asked.get(word):
            return kind, asked[word]
    return "plan", {}


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
