"""What an app gets when a person does something: the bodies of Socket Mode envelopes.

Pure functions from the workspace's values to JSON.  The shapes follow Slack's documentation and
the recorded payloads in the tests of bolt-python.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from bot.practice.messages import Block
from bot.practice.residents import APP, BOT_USER, TEAM, TEAM_DOMAIN, Channel, Person
from bot.practice.views import View

VERIFICATION_TOKEN = "practice"  # noqa: S105  (a deprecated field that apps must ignore, not a secret)

Json = dict[str, Any]

CHOSEN_FIELDS = {
    "static_select": "selected_option",
    "overflow": "selected_option",
    "radio_buttons": "selected_option",
    "multi_static_select": "selected_options",
    "checkboxes": "selected_options",
    "users_select": "selected_user",
    "conversations_select": "selected_conversation",
    "channels_select": "selected_channel",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
}
"""Where the choice stands, by type of element; everything else has it in `value`."""


def about(person: Person) -> Json:
    """Return what every interaction says about the person and the app."""
    return {
        "user": {
            "id": person.id,
            "username": person.name,
            "name": person.name,
            "team_id": person.team_id,
        },
        "team": {"id": TEAM, "domain": TEAM_DOMAIN},
        "enterprise": None,
        "is_enterprise_install": False,
        "api_app_id": APP,
        "token": VERIFICATION_TOKEN,
    }


def channel_json(channel: Channel) -> Json:
    """Return the short form of a channel."""
    return {"id": channel.id, "name": "directmessage" if channel.is_direct else channel.name}


def element_state(element: Block, chosen: object) -> Json:
    """Return what an input holds, as it stands in `state.values`; `chosen` is plain: a text, a list, None."""
    kind = element["type"]
    name = CHOSEN_FIELDS.get(kind, "value")
    if name == "selected_option":
        return {"type": kind, name: option_of(element, chosen)}
    if name == "selected_options":
        values = chosen if isinstance(chosen, list) else []
        return {"type": kind, name: [option for each in values if (option := option_of(element, each))]}
    return {"type": kind, name: None if chosen in (None, "") else str(chosen)}


def option_of(element: Block, value: object) -> Json | None:
    """Return the element's option with this value, or None."""
    groups = [element.get("options") or (), *(g["options"] for g in element.get("option_groups") or ())]
    return next((option for group in groups for option in group if option["value"] == value), None)


def chosen_at_first(element: Block) -> object:
    """Return what an input holds before anybody touches it."""
    for name in ("initial_value", "initial_date", "initial_time", "initial_user", "initial_channel"):
        if name in element:
            return element[name]
    if "initial_option" in element:
        return element["initial_option"]["value"]
    return [option["value"] for option in element.get("initial_options", ())] or None


def action(block: Block, element: Block, chosen: object, ts: str) -> Json:
    """Return one entry of `actions`: which element, and what was chosen."""
    pressed = {
        "type": element["type"],
        "action_id": element["action_id"],
        "block_id": block["block_id"],
        "action_ts": ts,
    }
    if element["type"] == "button":
        return pressed | {
            name: element[name] for name in ("text", "value", "style", "url") if name in element
        }
    return pressed | element_state(element, chosen)


def block_actions(person: Person, pressed: Json, *, trigger_id: str) -> Json:
    """Return what all block actions have; the place (a message or a view) is added to it."""
    return {"type": "block_actions", **about(person), "trigger_id": trigger_id, "actions": [pressed]}


def message_action(person: Person, channel: Channel, message: Json, callback_id: str) -> Json:
    """Return the payload of a shortcut on a message, without trigger id and response URL."""
    return {
        "type": "message_action",
        **about(person),
        "callback_id": callback_id,
        "action_ts": message["ts"],
        "message_ts": message["ts"],
        "channel": channel_json(channel),
        "message": message,
    }


def view_submission(person: Person, view: View, state: Json, *, trigger_id: str) -> Json:
    """Return the payload of a submitted modal."""
    return {
        "type": "view_submission",
        **about(person),
        "trigger_id": trigger_id,
        "view": view.as_json(state),
        "response_urls": [],
    }


def view_closed(person: Person, view: View) -> Json:
    """Return the payload of a modal that was closed without being submitted."""
    return {"type": "view_closed", **about(person), "view": view.as_json(), "is_cleared": False}


def slash_command(person: Person, channel: Channel, command: str, text: str) -> Json:
    """Return the payload of a slash command, without trigger id and response URL."""
    return {
        "token": VERIFICATION_TOKEN,
        "team_id": person.team_id,
        "team_domain": TEAM_DOMAIN,
        "channel_id": channel.id,
        "channel_name": channel_json(channel)["name"],
        "user_id": person.id,
        "user_name": person.name,
        "command": command,
        "text": text,
        "api_app_id": APP,
        "is_enterprise_install": "false",
    }


def event(name: str, fields: Mapping[str, object], at: float) -> Json:
    """Return the payload of an event; `at` is in seconds since the epoch."""
    return {
        "token": VERIFICATION_TOKEN,
        "team_id": TEAM,
        "api_app_id": APP,
        "event": {"type": name, **fields},
        "type": "event_callback",
        "event_id": f"Ev{secrets.token_hex(5).upper()}",
        "event_time": int(at),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": TEAM,
                "user_id": BOT_USER,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
    }
