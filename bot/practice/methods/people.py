"""`auth.test`, `users.*`, `usergroups.*`: who is there."""

from __future__ import annotations

from collections.abc import Mapping

from bot.practice.methods.call import Call, Method
from bot.practice.refusals import MethodRefusedError
from bot.practice.residents import BOT, BOT_USER, TEAM, TEAM_DOMAIN


def auth_test(call: Call) -> Mapping[str, object]:
    """`auth.test`."""
    return {
        "url": f"{call.base_url}/",
        "team": TEAM_DOMAIN,
        "user": call.workspace.people[BOT_USER].name,
        "team_id": TEAM,
        "user_id": BOT_USER,
        "bot_id": BOT,
        "is_enterprise_install": False,
    }


def users_info(call: Call) -> Mapping[str, object]:
    """`users.info`, by id only."""
    person = call.workspace.people.get(call.required("user"))
    if person is None:
        raise MethodRefusedError("user_not_found")
    return {"user": person.as_json()}


def users_list(call: Call) -> Mapping[str, object]:
    """`users.list`."""
    everybody = [person.as_json() for person in call.workspace.people.values()]
    members, cursor = call.page(everybody)
    return {
        "members": members,
        "cache_ts": int(call.workspace.clock()),
        "response_metadata": {"next_cursor": cursor},
    }


def users_lookup_by_email(call: Call) -> Mapping[str, object]:
    """`users.lookupByEmail`; deactivated accounts are not found, as in Slack."""
    email = call.required("email").lower()
    for person in call.workspace.people.values():
        if person.email == email and not person.deleted:
            return {"user": person.as_json()}
    raise MethodRefusedError("users_not_found")


def usergroups_list(call: Call) -> Mapping[str, object]:
    """`usergroups.list`; members only where `include_users` asks for them."""
    groups = [group.as_json() for group in call.workspace.groups.values()]
    if not call.flag("include_users"):
        for group in groups:
            del group["users"]
    return {"usergroups": groups}


def usergroups_users_list(call: Call) -> Mapping[str, object]:
    """`usergroups.users.list`."""
    return {"users": list(call.workspace.group(call.required("usergroup")).members)}


METHODS: Mapping[str, Method] = {
    "auth.test": auth_test,
    "users.info": users_info,
    "users.list": users_list,
    "users.lookupByEmail": users_lookup_by_email,
    "usergroups.list": usergroups_list,
    "usergroups.users.list": usergroups_users_list,
}
