"""Modals and home tabs: each person has one stack of modals, at most three high, and one home tab."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.practice.messages import Block, with_identifiers
from bot.practice.refusals import MethodRefusedError
from bot.practice.residents import APP, BOT, TEAM

STACK_LIMIT = 3  # views of one stack of modals, Slack's limit


@dataclass
class View:
    """A view that a person has open.  Its id stays when it is updated, its hash does not.

    Attributes:
        person: id of the person who sees it.
        given: the view as the app sent it, with identifiers filled in.
        errors: what the app said of each input, by block id.
    """

    id: str
    person: str
    given: dict[str, Any]
    root_id: str
    previous_id: str | None = None
    hash: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def blocks(self) -> list[Block]:
        """The blocks, with identifiers."""
        blocks: list[Block] = self.given["blocks"]
        return blocks

    @property
    def is_modal(self) -> bool:
        """Whether it is a modal and not a home tab."""
        return bool(self.given["type"] == "modal")

    def replace(self, view: Mapping[str, Any]) -> None:
        """Show `view` in the place of what was there."""
        self.given = {**view, "blocks": with_identifiers(view["blocks"])}
        self.hash = f"practice.{secrets.token_hex(4)}"
        self.errors = {}

    def as_json(self, state: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the view as Slack shows it, with what was filled in so far as `state`."""
        defaults = {
            "private_metadata": "",
            "callback_id": "",
            "external_id": "",
            "title": None,
            "submit": None,
            "close": None,
            "clear_on_close": False,
            "notify_on_close": False,
        }
        return {
            **defaults,
            **self.given,
            "id": self.id,
            "team_id": TEAM,
            "hash": self.hash,
            "state": {"values": state or {}},
            "root_view_id": self.root_id,
            "previous_view_id": self.previous_id,
            "app_id": APP,
            "app_installed_team_id": TEAM,
            "bot_id": BOT,
        }


class Views:
    """All views that are open, by person."""

    def __init__(self) -> None:
        self._stacks: dict[str, list[View]] = {}
        self._homes: dict[str, View] = {}

    def stack(self, person: str) -> list[View]:
        """Return this person's modals, the topmost last."""
        return list(self._stacks.get(person, ()))

    def home(self, person: str) -> View | None:
        """Return this person's home tab, if the app has published one."""
        return self._homes.get(person)

    def find(self, view_id: str) -> View:
        """Return an open view.

        Raises:
            MethodRefusedError: `not_found`; the person may have closed it.
        """
        for view in self._all():
            if view.id == view_id:
                return view
        raise MethodRefusedError("not_found")

    def find_external(self, external_id: str) -> View:
        """Return the open view that the app gave this id of its own.

        Raises:
            MethodRefusedError: `not_found`.
        """
        for view in self._all():
            if external_id and view.given.get("external_id") == external_id:
                return view
        raise MethodRefusedError("not_found")

    def open(self, person: str, given: Mapping[str, Any]) -> View:
        """Open a modal; it takes the place of any that this person had open."""
        self._stacks[person] = []
        return self._put(person, given)

    def push(self, person: str, given: Mapping[str, Any]) -> View:
        """Put a modal on top of those that this person has open.

        Raises:
            MethodRefusedError: `not_found` without an open one, `push_limit_reached` above three.
        """
        stack = self._stacks.get(person)
        if not stack:
            raise MethodRefusedError("not_found")
        if len(stack) >= STACK_LIMIT:
            raise MethodRefusedError("push_limit_reached")
        return self._put(person, given)

    def update(self, view: View, given: Mapping[str, Any], expected_hash: str = "") -> View:
        """Show something else in an open view.

        Raises:
            MethodRefusedError: `hash_conflict` where the view has changed since `expected_hash`.
        """
        if expected_hash and expected_hash != view.hash:
            raise MethodRefusedError("hash_conflict")
        self._refuse_taken_external_id(given, but=view)
        view.replace(given)
        return view

    def publish(self, person: str, given: Mapping[str, Any], expected_hash: str = "") -> View:
        """Show this person's home tab.

        Raises:
            MethodRefusedError: `hash_conflict`.
        """
        home = self._homes.get(person)
        if home is None:
            home = self._homes[person] = _new_view(person)
        return self.update(home, given, expected_hash)

    def close(self, view: View) -> None:
        """Take the view, and those above it, off the stack."""
        stack = self._stacks.get(view.person, [])
        if view in stack:
            del stack[stack.index(view) :]

    def clear(self, person: str) -> None:
        """Close all modals of this person."""
        self._stacks.pop(person, None)

    def _all(self) -> list[View]:
        return [*(view for stack in self._stacks.values() for view in stack), *self._homes.values()]

    def _put(self, person: str, given: Mapping[str, Any]) -> View:
        self._refuse_taken_external_id(given)
        stack = self._stacks[person]
        view = _new_view(person)
        if stack:
            view.root_id, view.previous_id = stack[0].id, stack[-1].id
        view.replace(given)
        stack.append(view)
        return view

    def _refuse_taken_external_id(self, given: Mapping[str, Any], but: View | None = None) -> None:
        wanted = given.get("external_id")
        if wanted and any(view.given.get("external_id") == wanted for view in self._all() if view is not but):
            raise MethodRefusedError("duplicate_external_id")


def _new_view(person: str) -> View:
    identifier = f"V{secrets.token_hex(5).upper()}"
    return View(id=identifier, person=person, given={}, root_id=identifier)
