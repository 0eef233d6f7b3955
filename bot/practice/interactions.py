"""What people do: press, choose, submit, close, type.  Each becomes a delivery to the app.

The person always sees something: the app's answer, or a notice that it did not answer in time.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from bot.practice import payloads
from bot.practice.deliveries import Acknowledgement, Answer, Carrier
from bot.practice.messages import Block, Message, elements_of, with_linked_names
from bot.practice.methods.views import parse_view
from bot.practice.payloads import Json
from bot.practice.refusals import MethodRefusedError
from bot.practice.residents import BOT_USER, Channel, Person
from bot.practice.responses import respond
from bot.practice.views import View
from bot.practice.vouchers import ResponseAddress
from bot.practice.workspace import Workspace

log = structlog.get_logger(__name__)

REQUIRED = "Please complete this required field."


@dataclass(frozen=True)
class Press:
    """A press of one element, in a message (`channel` and `ts`) or in a view (`view_id`).

    Attributes:
        block_id: tells two elements with the same `action_id` apart; empty: the first is meant.
        chosen: the value of what was chosen, for elements that offer a choice.
        inputs: what the inputs of the message or view hold, by block id or action id.
    """

    action_id: str
    channel: str = ""
    ts: str = ""
    view_id: str = ""
    block_id: str = ""
    chosen: object = None
    inputs: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Submission:
    """What came of submitting a modal; `errors` by block id."""

    answer: Answer | None = None
    errors: Mapping[str, str] = field(default_factory=dict)


class Interactions:
    """People's side of the workspace.

    Args:
        base_url: where this server is; response URLs lead there.

    Attributes:
        carrier: what brings it to the app; it may be exchanged.
    """

    def __init__(self, workspace: Workspace, carrier: Carrier, *, base_url: str) -> None:
        self._workspace = workspace
        self.carrier = carrier
        self._base_url = base_url

    # --- pressing -------------------------------------------------------------------------------

    async def press(self, person: Person, press: Press) -> Answer:
        """Press an element and wait for the app's acknowledgement.

        Raises:
            MethodRefusedError: `message_not_found`, `not_found`, `element_not_found`.
        """
        place = self._view_place(person, press) if press.view_id else self._message_place(person, press)
        acknowledgement = await self.carrier.deliver("interactive", place)
        self._explain(person, acknowledgement, "The button")
        return acknowledgement.answer

    def _message_place(self, person: Person, press: Press) -> Json:
        channel = self._visible_channel(person, press.channel)
        message = self._seen(person, channel, press.ts)
        container: Json = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": channel.id,
            "is_ephemeral": bool(message.only_for),
        }
        if message.thread_ts:
            container["thread_ts"] = message.thread_ts
        place = self._block_actions(person, message.blocks, press)
        place |= {"container": container, "channel": payloads.channel_json(channel)}
        if not message.only_for:  # Slack does not send the message along where only one person sees it
            place["message"] = message.as_json(self._workspace.replies(message))
        place["state"] = {"values": state_of(message.blocks, press.inputs)}
        place["response_url"] = self._response_url(
            "actions",
            self._workspace.response_urls.issue(
                person.id,
                channel.id,
                ts=message.ts,
                thread_ts=message.thread_ts,
                only_for=message.only_for,
            ),
        )
        return place

    def _view_place(self, person: Person, press: Press) -> Json:
        view = self._own_view(person, press.view_id)
        place = self._block_actions(person, view.blocks, press)
        state = state_of(view.blocks, press.inputs)
        block, element = _find(view.blocks, press)
        if press.chosen is not None:  # the state is the one after the choice
            state.setdefault(block["block_id"], {})[element["action_id"]] = payloads.element_state(
                element, press.chosen
            )
        return place | {"container": {"type": "view", "view_id": view.id}, "view": view.as_json(state)}

    def _block_actions(self, person: Person, blocks: Sequence[Block], press: Press) -> Json:
        block, element = _find(blocks, press)
        pressed = payloads.action(block, element, press.chosen, self._workspace.next_ts())
        return payloads.block_actions(person, pressed, trigger_id=self._workspace.triggers.issue(person.id))

    # --- modals ---------------------------------------------------------------------------------

    async def submit(self, person: Person, view_id: str, inputs: Mapping[str, object]) -> Submission:
        """Submit a modal.  Slack itself refuses empty required inputs; the rest is the app's to judge.

        Raises:
            MethodRefusedError: `not_found` where this person has no such view open.
        """
        view = self._own_view(person, view_id)
        state = state_of(view.blocks, inputs)
        view.errors = incomplete(view.blocks, state)
        self._workspace.touch()
        if view.errors:
            return Submission(errors=view.errors)
        trigger_id = self._workspace.triggers.issue(person.id)
        payload = payloads.view_submission(person, view, state, trigger_id=trigger_id)
        acknowledgement = await self.carrier.deliver("interactive", payload)
        if acknowledgement.answer is Answer.ACKNOWLEDGED:
            self._react(person, view, acknowledgement.payload)
        self._explain(person, acknowledgement, "The form")
        return Submission(acknowledgement.answer, view.errors)

    async def close(self, person: Person, view_id: str) -> None:
        """Close a modal without submitting it; the app is told if it asked to be.

        Raises:
            MethodRefusedError: `not_found`.
        """
        view = self._own_view(person, view_id)
        self._workspace.views.close(view)
        self._workspace.touch()
        if view.given.get("notify_on_close"):
            await self.carrier.deliver("interactive", payloads.view_closed(person, view))

    def _react(self, person: Person, view: View, payload: Mapping[str, Any]) -> None:
        """Do with the modal what the acknowledgement says."""
        views = self._workspace.views
        try:
            match payload.get("response_action"):
                case None:
                    views.close(view)
                case "clear":
                    views.clear(person.id)
                case "errors":
                    view.errors = _known_errors(view, payload.get("errors"))
                case "update":
                    views.update(view, parse_view(payload.get("view"), "modal"))
                case "push":
                    views.push(person.id, parse_view(payload.get("view"), "modal"))
                case other:
                    self._notify_of_nonsense(person, f"no such response_action: {other}")
        except MethodRefusedError as refusal:
            self._notify_of_nonsense(person, str(refusal))
        self._workspace.touch()

    # --- typing ---------------------------------------------------------------------------------

    async def command(self, person: Person, channel_reference: str, line: str) -> Answer | None:
        """Type a slash command.  None: the workspace does not know it.

        Raises:
            MethodRefusedError: `channel_not_found`.
        """
        channel = self._visible_channel(person, channel_reference)
        name, _, text = line.strip().partition(" ")
        if self._workspace.commands is not None and name not in self._workspace.commands:
            self._workspace.notify(person.id, f"{name} is not a valid command.")
            return None
        secret = self._workspace.response_urls.issue(person.id, channel.id)
        payload = payloads.slash_command(person, channel, name, text.strip())
        payload |= {
            "trigger_id": self._workspace.triggers.issue(person.id),
            "response_url": self._response_url("commands", secret),
        }
        acknowledgement = await self.carrier.deliver("slash_commands", payload)
        self._show_answer(person, channel, acknowledgement.payload)
        self._explain(person, acknowledgement, name)
        return acknowledgement.answer

    async def shortcut(self, person: Person, callback_id: str, channel_reference: str, ts: str) -> Answer:
        """Choose a shortcut from the menu of a message.

        Raises:
            MethodRefusedError: `channel_not_found`, `message_not_found`, `shortcut_not_found`.
        """
        if callback_id not in self._workspace.shortcuts:
            raise MethodRefusedError("shortcut_not_found")
        channel = self._visible_channel(person, channel_reference)
        message = self._workspace.message(channel.id, ts)
        shown = message.as_json(self._workspace.replies(message))
        secret = self._workspace.response_urls.issue(person.id, channel.id)
        payload = payloads.message_action(person, channel, shown, callback_id)
        payload |= {
            "trigger_id": self._workspace.triggers.issue(person.id),
            "response_url": self._response_url("actions", secret),
        }
        acknowledgement = await self.carrier.deliver("interactive", payload)
        self._explain(person, acknowledgement, self._workspace.shortcuts[callback_id])
        return acknowledgement.answer

    async def say(self, person: Person, channel_reference: str, text: str, *, thread_ts: str = "") -> Message:
        """Post a message as a person, and tell the app if it subscribes to that.

        Raises:
            MethodRefusedError: `channel_not_found`, `not_in_channel`, `message_not_found`.
        """
        channel = self._visible_channel(person, channel_reference)
        if person.id not in channel.members:
            raise MethodRefusedError("not_in_channel")
        if thread_ts:
            self._workspace.message(channel.id, thread_ts)
        written = with_linked_names(html.escape(text, quote=False), self._workspace.mention_of)
        message = Message(channel.id, self._workspace.next_ts(), person.id, written, thread_ts=thread_ts)
        self._workspace.post(message)
        await self._tell_of(message, channel)
        return message

    async def open_home(self, person: Person) -> None:
        """Look at the app's home tab."""
        channel = self._workspace.direct_channel(person.id)
        fields: Json = {"user": person.id, "channel": channel.id, "tab": "home"}
        if (home := self._workspace.views.home(person.id)) is not None:
            fields["view"] = home.as_json()
        await self._send_event("app_home_opened", "app_home_opened", fields)

    async def _tell_of(self, message: Message, channel: Channel) -> None:
        fields: Json = {
            "user": message.author,
            "text": message.text,
            "ts": message.ts,
            "channel": channel.id,
            "event_ts": message.ts,
        }
        if message.thread_ts:
            fields["thread_ts"] = message.thread_ts
        if f"<@{BOT_USER}>" in message.text and not channel.is_direct:
            await self._send_event("app_mention", "app_mention", fields)
        kind = {"im": "im", "public_channel": "channel", "private_channel": "group"}[channel.kind]
        subscription = {"im": "message.im", "channel": "message.channels", "group": "message.groups"}[kind]
        if BOT_USER in channel.members:
            await self._send_event(subscription, "message", {**fields, "channel_type": kind})

    async def _send_event(self, subscription: str, name: str, fields: Json) -> None:
        if subscription in self._workspace.events:
            payload = payloads.event(name, fields, self._workspace.clock())
            await self.carrier.deliver("events_api", payload)

    # --- what the person sees -------------------------------------------------------------------

    def _show_answer(self, person: Person, channel: Channel, payload: Mapping[str, Any]) -> None:
        """Show the message that an acknowledgement of a slash command may carry."""
        if not payload:
            return
        address = ResponseAddress(person.id, channel.id, expires_at=self._workspace.clock())
        try:
            respond(self._workspace, address, payload)
        except MethodRefusedError as refusal:
            self._notify_of_nonsense(person, str(refusal))

    def _notify_of_nonsense(self, person: Person, problem: str) -> None:
        log.error("acknowledgement_refused", problem=problem)
        self._workspace.notify(person.id, f"The app gave an answer that cannot be shown: {problem}.")

    def _explain(self, person: Person, acknowledgement: Acknowledgement, what: str) -> None:
        patience = f"{self._workspace.patience:g} s"
        reason = {
            Answer.TIMED_OUT: f"operation timed out, the app did not answer within {patience}",
            Answer.NOT_CONNECTED: "dispatch failed, the app is not connected",
            Answer.REFUSED: "dispatch failed, the app answered with an error",
        }.get(acknowledgement.answer)
        if reason is not None:
            self._workspace.notify(person.id, f"{what} did not work: {reason}.")

    def _response_url(self, kind: str, secret: str) -> str:
        return f"{self._base_url}/{kind}/{secret}"

    def _visible_channel(self, person: Person, reference: str) -> Channel:
        channel = self._workspace.channel(reference)
        if not channel.is_visible_to(person.id):
            raise MethodRefusedError("channel_not_found")
        return channel

    def _seen(self, person: Person, channel: Channel, ts: str) -> Message:
        for message in self._workspace.ephemerals(person.id):
            if (message.channel, message.ts) == (channel.id, ts):
                return message
        return self._workspace.message(channel.id, ts)

    def _own_view(self, person: Person, view_id: str) -> View:
        view = self._workspace.views.find(view_id)
        if view.person != person.id:
            raise MethodRefusedError("not_found")
        return view


def _find(blocks: Sequence[Block], press: Press) -> tuple[Block, Block]:
    for block, element in elements_of(blocks):
        if element["action_id"] == press.action_id and press.block_id in {"", block["block_id"]}:
            return block, element
    raise MethodRefusedError("element_not_found", [f"there is no element {press.action_id}"])


def state_of(blocks: Sequence[Block], inputs: Mapping[str, object]) -> dict[str, dict[str, Json]]:
    """Return `state.values`: what each input holds, by block id and action id.

    `inputs` gives plain values by block id or by action id; what it does not name keeps what it had at first.
    """
    state: dict[str, dict[str, Json]] = {}
    for block, element in elements_of(blocks):
        if element["type"] in {"button", "overflow"}:
            continue
        block_id, action_id = block["block_id"], element["action_id"]
        chosen = inputs.get(block_id, inputs.get(action_id, payloads.chosen_at_first(element)))
        if isinstance(chosen, Mapping):
            chosen = chosen.get(action_id)
        state.setdefault(block_id, {})[action_id] = payloads.element_state(element, chosen)
    return state


def incomplete(blocks: Sequence[Block], state: Mapping[str, Mapping[str, Json]]) -> dict[str, str]:
    """Return what Slack itself finds missing, by block id."""
    found: dict[str, str] = {}
    for block in blocks:
        if block["type"] != "input":
            continue
        element = block["element"]
        held = state[block["block_id"]][element["action_id"]]
        value = next((held[name] for name in held if name != "type"), None)
        if not value and not block.get("optional"):
            found[block["block_id"]] = REQUIRED
        elif isinstance(value, str) and (text := _wrong_length(element, value)):
            found[block["block_id"]] = text
    return found


def _wrong_length(element: Block, value: str) -> str:
    if len(value) < element.get("min_length", 0):
        return f"Please write at least {element['min_length']} characters."
    if len(value) > element.get("max_length", 3000):
        return f"Please write at most {element.get('max_length', 3000)} characters."
    return ""


def _known_errors(view: View, errors: object) -> dict[str, str]:
    """Return the errors of an acknowledgement, if each belongs to an input block of the view.

    Raises:
        MethodRefusedError: otherwise; Slack then shows that something is wrong with the app.
    """
    inputs = {block["block_id"] for block in view.blocks if block["type"] == "input"}
    if not isinstance(errors, Mapping) or not errors or not set(errors) <= inputs:
        raise MethodRefusedError("invalid_arguments", ["errors must name input blocks of the view"])
    return {str(block_id): str(text) for block_id, text in errors.items()}
