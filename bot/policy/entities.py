"""Questions as the Cedar engine reads them: a request, and the entities that it is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bot.policy.questions import ABOUT_RUNBOOKS, BRAKING, Person, Question, RunbookFacts, TargetFacts, Verb
from runbooks.model.freeze import EVERYTHING

Uid = dict[str, str]
Entity = dict[str, Any]


def as_request(person: Person, question: Question) -> tuple[dict[str, Any], list[Entity]]:
    """Return the request for `question`, and all entities that its rules may look at."""
    resource = _resource(question)
    groups = {*person.groups, *question.thawers, *(question.runbook.approvers if question.runbook else ())}
    entities = [_person(person), resource, *(_entity(_uid("Group", each)) for each in sorted(groups))]
    context = {}
    if question.verb in ABOUT_RUNBOOKS:
        target = _target(question.target or TargetFacts(name=""))
        entities.append(target)
        context = {"target": {"__entity": target["uid"]}}
    request = {
        "principal": _uid("Person", person.key),
        "action": _uid("Action", question.verb),
        "resource": resource["uid"],
        "context": context,
    }
    return request, entities


def _resource(question: Question) -> Entity:
    if question.verb is Verb.READ:
        return _entity(_uid("House", "paramedic"))
    if question.verb in BRAKING:
        return _brake(question)
    if question.verb is Verb.RELEASE:
        return _target(question.target or TargetFacts(name=""))
    return _runbook(question.runbook or RunbookFacts(name=""))


def _person(person: Person) -> Entity:
    where = {"path": person.path, "terminal": person.terminal}
    facts = {"key": person.key, **where, "guest": person.guest, "external": person.external}
    parents = [_uid("Group", each) for each in person.groups]
    return _entity(_uid("Person", person.key), facts, parents=parents)


def _runbook(runbook: RunbookFacts) -> Entity:
    facts = {"name": runbook.name, "owner": runbook.owner, "effect": str(runbook.effect)}
    return _entity(_uid("Runbook", runbook.name), {**facts, "approvers": _groups(runbook.approvers)})


def _target(target: TargetFacts) -> Entity:
    facts = {"name": target.name, "environment": target.environment}
    return {**_entity(_uid("Target", target.name), facts), "tags": dict(target.labels)}


def _brake(question: Question) -> Entity:
    label, _, value = question.scope.removeprefix("label:").partition("=")
    kind = "" if question.scope == EVERYTHING else label
    labels = {label: value} if question.scope.startswith("label:") else {}
    facts = {
        "scope": question.scope,
        "runbook": value if kind == "runbook" and not labels else "",
        "target": value if kind == "target" and not labels else "",
        "environment": TargetFacts(name="", labels=labels).environment,
        "thawers": _groups(question.thawers),
    }
    return _entity(_uid("Brake", question.scope), facts)


def _groups(names: Iterable[str]) -> list[dict[str, Uid]]:
    return [{"__entity": _uid("Group", each)} for each in names]


def _uid(kind: str, name: str) -> Uid:
    return {"type": kind, "id": name}


def _entity(uid: Uid, facts: dict[str, Any] | None = None, *, parents: Iterable[Uid] = ()) -> Entity:
    return {"uid": uid, "attrs": facts or {}, "parents": list(parents)}
