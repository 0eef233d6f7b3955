"""`views.*` and `blocks.validate`: modals, home tabs, and a look at blocks without sending them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.practice.methods.call import Call, Method
from bot.practice.refusals import MethodRefusedError
from bot.practice.views import View
from bot.slack.block_kit import Problem, problems_of_blocks, problems_of_message, problems_of_view

VIEW_BYTES = 250_000


def parse_view(given: object, kind: str) -> Mapping[str, Any]:
    """Return `given` if it is a view of this kind that Slack would show.

    Raises:
        MethodRefusedError: `invalid_arguments` with JSON pointers, `view_too_large`.
    """
    if not isinstance(given, Mapping):
        raise MethodRefusedError("invalid_arguments", ["missing required field: view [json-pointer:/view]"])
    problems = [Problem(f"/view{place}", text) for place, text in problems_of_view(given)]
    if not problems and given["type"] != kind:
        problems = [Problem("/view/type", f"must be {kind}")]
    if problems:
        raise MethodRefusedError.of_problems("invalid_arguments", problems)
    if len(json.dumps(given)) > VIEW_BYTES:
        raise MethodRefusedError("view_too_large")
    return given


def open_view(call: Call) -> Mapping[str, object]:
    """`views.open`."""
    view = parse_view(call.structure("view"), "modal")
    person = call.workspace.triggers.exchange(call.required("trigger_id"))
    return _answer(call, call.workspace.views.open(person, view))


def push_view(call: Call) -> Mapping[str, object]:
    """`views.push`."""
    view = parse_view(call.structure("view"), "modal")
    person = call.workspace.triggers.exchange(call.required("trigger_id"))
    return _answer(call, call.workspace.views.push(person, view))


def update_view(call: Call) -> Mapping[str, object]:
    """`views.update`, by the view's id or the app's own id for it."""
    views = call.workspace.views
    identifier, external = call.text("view_id"), call.text("external_id")
    if not identifier and not external:
        raise MethodRefusedError(
            "invalid_arguments", ["missing required field: view_id [json-pointer:/view_id]"]
        )
    view = views.find(identifier) if identifier else views.find_external(external)
    given = parse_view(call.structure("view"), "modal" if view.is_modal else "home")
    return _answer(call, views.update(view, given, call.text("hash")))


def publish_view(call: Call) -> Mapping[str, object]:
    """`views.publish`: a person's home tab."""
    person = call.workspace.person(call.required("user_id"))
    given = parse_view(call.structure("view"), "home")
    return _answer(call, call.workspace.views.publish(person.id, given, call.text("hash")))


def validate_blocks(call: Call) -> Mapping[str, object]:
    """`blocks.validate`: exactly one of blocks, a message, a view."""
    given = [name for name in ("blocks", "message", "view") if call.arguments.get(name) is not None]
    if len(given) != 1:
        raise MethodRefusedError(
            "invalid_arguments", ["must provide exactly one of `blocks`, `view`, or `message`"]
        )
    (name,) = given
    value = call.structure(name)
    if name == "blocks":
        problems = problems_of_blocks(value, "")
    elif not isinstance(value, Mapping):
        problems = [Problem("", "must be an object")]
    else:
        problems = problems_of_message(value) if name == "message" else problems_of_view(value)
    if problems:
        raise InvalidBlocksError(f"invalid_{name}", problems)
    return {}


class InvalidBlocksError(MethodRefusedError):
    """`blocks.validate` found something; its answer lists objects where other methods list sentences."""

    def __init__(self, error: str, problems: Sequence[Problem]) -> None:
        super().__init__(error, [str(problem) for problem in problems])
        self._problems = problems

    def as_json(self) -> dict[str, object]:
        """Return the answer that the client gets."""
        errors = [
            {"code": "failed_constraint", "message": problem.text, "pointer": problem.pointer}
            for problem in self._problems
        ]
        return {"ok": False, "error": self.error, "errors": errors}


def _answer(call: Call, view: View) -> Mapping[str, object]:
    call.workspace.touch()
    return {"view": view.as_json()}


METHODS: Mapping[str, Method] = {
    "views.open": open_view,
    "views.push": push_view,
    "views.update": update_view,
    "views.publish": publish_view,
    "blocks.validate": validate_blocks,
}
