"""The Web API with the SDK's own client: where its arguments stand is part of the contract."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.practice.server import PracticeServer
from bot.practice.workspace import Person

Json = dict[str, Any]
GO: Json = {
    "type": "actions",
    "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Go"}, "value": "1"}],
}
HOME: Json = {"type": "home", "blocks": [{"type": "divider"}]}
MODAL: Json = {"type": "modal", "title": {"type": "plain_text", "text": "Deny"}, "blocks": []}


async def error_of(call: Any) -> str:
    with pytest.raises(SlackApiError) as refused:
        await call
    return str(refused.value.response["error"])


async def test_says_who_the_bot_is(client: AsyncWebClient) -> None:
    """
    auth.test names the team, the bot's user and the bot, as bolt needs them.
    """
    answer = await client.auth_test()

    assert (answer["team_id"], answer["user_id"], answer["bot_id"]) == (
        "T0PRACTICE",
        "U0PARAMEDIC",
        "B0PARAMEDIC",
    )


async def test_posts_updates_and_deletes_a_message(client: AsyncWebClient) -> None:
    """
    A message goes through its life under one `ts`; text without blocks takes the blocks away.
    """
    posted = await client.chat_postMessage(channel="#incidents", text="a & b <c>", blocks=[GO])
    channel, ts = posted["channel"], posted["ts"]
    await client.chat_update(channel=channel, ts=ts, text="done")
    (message,) = (await client.conversations_history(channel=channel))["messages"]
    await client.chat_delete(channel=channel, ts=ts)

    assert (message["text"], "blocks" in message) == ("done", False)
    assert (await client.conversations_history(channel=channel))["messages"] == []


async def test_gives_every_block_and_element_an_id(client: AsyncWebClient) -> None:
    """
    Blocks and elements without ids get some, and an update keeps those that are given.
    """
    posted = await client.chat_postMessage(
        channel="#incidents", text="a", blocks=[GO, {**GO, "block_id": "x"}]
    )
    automatic, given = posted["message"]["blocks"]

    assert automatic["block_id"]
    assert automatic["elements"][0]["action_id"]
    assert given["block_id"] == "x"


async def test_keeps_threads_apart(client: AsyncWebClient) -> None:
    """
    Replies stand in their thread and not in the channel, and the parent counts them.
    """
    parent = await client.chat_postMessage(channel="#incidents", text="parent")
    channel, ts = parent["channel"], parent["ts"]
    for text in ("first", "second"):
        await client.chat_postMessage(channel=channel, text=text, thread_ts=ts)
    replies = (await client.conversations_replies(channel=channel, ts=ts))["messages"]
    (top,) = (await client.conversations_history(channel=channel))["messages"]

    assert [each["text"] for each in replies] == ["parent", "first", "second"]
    assert top["reply_count"] == 2


async def test_pages_long_lists(client: AsyncWebClient) -> None:
    """
    A list longer than the limit comes in pages, each item once.
    """
    first = await client.users_list(limit=4)
    rest = await client.users_list(limit=4, cursor=first["response_metadata"]["next_cursor"])
    names = [each["name"] for page in (first, rest) for each in page["members"]]

    assert names == ["alice", "bob", "mallory", "guest", "stranger", "deploybot", "paramedic"]
    assert rest["response_metadata"]["next_cursor"] == ""


async def test_knows_people_and_groups(client: AsyncWebClient, server: PracticeServer) -> None:
    """
    People are found by id and address, and a group's members follow the workspace at once.
    """
    (group,) = (await client.usergroups_list(include_users=True))["usergroups"]
    by_email = await client.users_lookupByEmail(email="alice@practice.invalid")
    server.workspace.set_group("sre-oncall", ["bob"])

    assert (group["handle"], group["users"]) == ("sre-oncall", ["U0ALICE", "U0BOB"])
    assert by_email["user"]["id"] == "U0ALICE"
    assert (await client.usergroups_users_list(usergroup=group["id"]))["users"] == ["U0BOB"]
    assert "users" not in (await client.usergroups_list())["usergroups"][0]


async def test_shows_guests_strangers_and_the_deactivated(
    client: AsyncWebClient, server: PracticeServer
) -> None:
    """
    users.info says of a person what an approval must know.
    """
    server.workspace.set_person(Person("U0GUEST", "guest", "Guest", is_guest=True, team_id="T0OTHER"))
    server.workspace.deactivate("bob")
    guest = (await client.users_info(user="U0GUEST"))["user"]

    assert (guest["is_restricted"], guest["team_id"], guest["is_stranger"]) == (True, "T0OTHER", True)
    assert (await client.users_info(user="U0BOB"))["user"]["deleted"] is True


async def test_reads_channels(client: AsyncWebClient, server: PracticeServer) -> None:
    """
    Channels are listed, described, joined; a direct conversation opens by a person's id.
    """
    lobby = server.workspace.add_channel("lobby", with_bot=False)
    names = [each["name"] for each in (await client.conversations_list())["channels"]]
    await client.conversations_join(channel=lobby.id)
    direct = (await client.conversations_open(users=["U0ALICE"]))["channel"]["id"]

    assert names == ["incidents", "lobby"]
    assert (await client.conversations_info(channel=lobby.id))["channel"]["is_member"] is True
    assert "U0ALICE" in (await client.conversations_members(channel="C0INCIDENTS"))["members"]
    assert (await client.conversations_info(channel=direct))["channel"]["is_im"] is True


async def test_reacts_once(client: AsyncWebClient) -> None:
    """
    A reaction is added once, shown, and taken back once.
    """
    posted = await client.chat_postMessage(channel="#incidents", text="a")
    where = {"channel": posted["channel"], "timestamp": posted["ts"], "name": "eyes"}
    await client.reactions_add(**where)
    again = await error_of(client.reactions_add(**where))
    (shown,) = (await client.conversations_history(channel=posted["channel"]))["messages"]
    await client.reactions_remove(**where)

    assert again == "already_reacted"
    assert shown["reactions"] == [{"name": "eyes", "users": ["U0PARAMEDIC"], "count": 1}]
    assert await error_of(client.reactions_remove(**where)) == "no_reaction"


async def test_uploads_a_file_in_three_steps(client: AsyncWebClient, server: PracticeServer) -> None:
    """
    files_upload_v2 works, and the file stands in the thread.
    """
    parent = await client.chat_postMessage(channel="#incidents", text="a")
    await client.files_upload_v2(
        content="hello", filename="timeline.txt", channel="C0INCIDENTS", thread_ts=parent["ts"]
    )
    *_, reply = (await client.conversations_replies(channel="C0INCIDENTS", ts=parent["ts"]))["messages"]

    assert reply["files"][0]["name"] == "timeline.txt"
    assert server.workspace.uploads[reply["files"][0]["id"]].content == b"hello"


async def test_links_names_only_where_asked(client: AsyncWebClient) -> None:
    """
    `@alice` in a text pings nobody unless `link_names` says so.
    """
    plain = await client.chat_postMessage(channel="#incidents", text="@alice, see #incidents")
    linked = await client.chat_postMessage(
        channel="#incidents", text="@alice, see #incidents, @sre-oncall", link_names=True
    )

    assert plain["message"]["text"] == "@alice, see #incidents"
    assert linked["message"]["text"] == "<@U0ALICE>, see <#C0INCIDENTS|incidents>, <!subteam^S0SREONCALL>"


async def test_publishes_a_home_tab(client: AsyncWebClient) -> None:
    """
    A home tab keeps its id, and an outdated hash does not overwrite it.
    """
    first = (await client.views_publish(user_id="U0ALICE", view=HOME))["view"]
    second = (await client.views_publish(user_id="U0ALICE", view=HOME, hash=first["hash"]))["view"]
    late = client.views_publish(user_id="U0ALICE", view=HOME, hash=first["hash"])

    assert first["id"] == second["id"]
    assert await error_of(late) == "hash_conflict"


async def test_links_to_a_message(client: AsyncWebClient, server: PracticeServer) -> None:
    """
    A permalink leads to the page of this workspace.
    """
    posted = await client.chat_postMessage(channel="#incidents", text="a")
    link = await client.chat_getPermalink(channel=posted["channel"], message_ts=posted["ts"])

    assert link["permalink"].startswith(server.base_url.removesuffix("api/"))
    assert posted["ts"] in link["permalink"]


async def test_validates_without_sending(client: AsyncWebClient) -> None:
    """
    blocks.validate answers with pointers, and posts nothing.
    """
    await client.blocks_validate(blocks=[{"type": "divider"}])
    with pytest.raises(SlackApiError) as refused:
        await client.blocks_validate(blocks=[{"type": "divider"}, {"type": "carpet"}])

    assert refused.value.response["error"] == "invalid_blocks"
    assert refused.value.response["errors"][0]["pointer"] == "/1/type"
    assert await error_of(client.blocks_validate()) == "invalid_arguments"


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "error"), [("", "not_authed"), ("xoxb-other", "invalid_auth"), (None, "not_allowed_token_type")]
)
async def test_wants_the_bot_token(server: PracticeServer, token: str | None, error: str) -> None:
    """
    The Web API takes the bot token, and neither another nor the app token.
    """
    client = AsyncWebClient(token=server.app_token if token is None else token, base_url=server.base_url)

    assert await error_of(client.auth_test()) == error


async def test_tokens_that_were_replaced_are_refused(server: PracticeServer) -> None:
    """
    From that moment on only the new ones are taken.
    """
    before = AsyncWebClient(token=server.bot_token, base_url=server.base_url)

    server.replace_tokens()

    now = AsyncWebClient(token=server.bot_token, base_url=server.base_url)
    assert await error_of(before.auth_test()) == "invalid_auth"
    assert (await now.auth_test())["ok"]
    assert (await now.apps_connections_open(app_token=server.app_token))["ok"]


async def test_opens_sockets_for_the_app_token_only(client: AsyncWebClient, server: PracticeServer) -> None:
    """
    The bot token opens no socket; the app token does.
    """
    opened = await client.apps_connections_open(app_token=server.app_token)

    assert opened["url"].startswith("ws://127.0.0.1:")
    assert (
        await error_of(client.apps_connections_open(app_token=server.bot_token)) == "not_allowed_token_type"
    )


async def test_points_at_what_is_wrong_with_blocks(client: AsyncWebClient) -> None:
    """
    A refused card comes back with a pointer into its JSON, and nothing is posted.
    """
    wrong = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]
    with pytest.raises(SlackApiError) as refused:
        await client.chat_postMessage(channel="#incidents", text="a", blocks=wrong)

    assert refused.value.response["error"] == "invalid_blocks"
    assert refused.value.response["response_metadata"]["messages"] == [
        "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    ]
    assert (await client.conversations_history(channel="C0INCIDENTS"))["messages"] == []


async def test_refuses_what_slack_refuses(client: AsyncWebClient, server: PracticeServer) -> None:
    """
    Each impossible call gets Slack's own word for it.
    """
    workspace = server.workspace
    lobby = workspace.add_channel("lobby", with_bot=False)
    secret = workspace.add_channel("secret", is_private=True, with_bot=False)
    old = workspace.add_channel("old")
    old.is_archived = True
    posted = await client.chat_postMessage(channel="#incidents", text="a")
    channel, ts = posted["channel"], posted["ts"]
    theirs = await server.parts.interactions.say(workspace.person("alice"), channel, "mine")

    assert await error_of(client.chat_postMessage(channel="#nowhere", text="a")) == "channel_not_found"
    assert await error_of(client.chat_postMessage(channel=secret.id, text="a")) == "channel_not_found"
    assert await error_of(client.chat_postMessage(channel=lobby.id, text="a")) == "not_in_channel"
    assert await error_of(client.chat_postMessage(channel=old.id, text="a")) == "is_archived"
    assert await error_of(client.api_call("chat.postMessage", json={"channel": channel})) == "no_text"
    assert await error_of(client.chat_postMessage(channel=channel, text="x" * 40_001)) == "msg_too_long"
    assert (
        await error_of(client.chat_postMessage(channel=channel, text="a", blocks="["))
        == "invalid_blocks_format"
    )
    assert (
        await error_of(client.chat_postMessage(channel=channel, text="a", thread_ts="1.0"))
        == "thread_not_found"
    )
    assert await error_of(client.chat_update(channel="#incidents", ts=ts, text="b")) == "channel_not_found"
    assert await error_of(client.chat_update(channel=channel, ts="1.0", text="b")) == "message_not_found"
    assert (
        await error_of(client.chat_update(channel=channel, ts=theirs.ts, text="b")) == "cant_update_message"
    )
    assert await error_of(client.chat_delete(channel=channel, ts=theirs.ts)) == "cant_delete_message"
    assert (
        await error_of(client.chat_postEphemeral(channel=channel, user="U0X", text="a")) == "user_not_found"
    )
    assert await error_of(client.users_info(user="alice")) == "user_not_found"
    assert await error_of(client.users_lookupByEmail(email="a@b.invalid")) == "users_not_found"
    assert await error_of(client.usergroups_users_list(usergroup="S0X")) == "no_such_subteam"
    assert await error_of(client.views_open(trigger_id="1.2.3", view=MODAL)) == "invalid_trigger_id"
    assert await error_of(client.views_update(view_id="V0X", view=MODAL)) == "not_found"
    assert await error_of(client.api_call("calls.add")) == "unknown_method"


async def test_points_at_what_is_wrong_with_a_view(client: AsyncWebClient) -> None:
    """
    A wrong modal is refused before its trigger id is looked at, with pointers that begin at the view.
    """
    wrong = {**MODAL, "title": {"type": "plain_text", "text": "x" * 25}}
    with pytest.raises(SlackApiError) as refused:
        await client.views_open(trigger_id="1.2.3", view=wrong)

    assert refused.value.response["error"] == "invalid_arguments"
    assert "[json-pointer:/view/title/text]" in refused.value.response["response_metadata"]["messages"][0]


async def test_takes_arguments_from_query_form_and_json(server: PracticeServer) -> None:
    """
    The three places in which clients put arguments count alike.
    """
    client = AsyncWebClient(token=server.bot_token, base_url=server.base_url)
    await client.api_call("chat.postMessage", params={"channel": "#incidents", "text": "query"})
    await client.api_call("chat.postMessage", data={"channel": "#incidents", "text": "form"})
    await client.api_call("chat.postMessage", json={"channel": "#incidents", "text": "json"})

    assert [each.text for each in server.workspace.messages("C0INCIDENTS")] == ["query", "form", "json"]


async def test_keeps_a_list_of_calls_without_tokens(client: AsyncWebClient, server: PracticeServer) -> None:
    """
    Tests can look at what was called; no token stands there.
    """
    await client.chat_postMessage(channel="#incidents", text="a")
    await error_of(client.users_info(user="U0X"))

    assert [(call.method, call.error) for call in server.workspace.calls] == [
        ("chat.postMessage", ""),
        ("users.info", "user_not_found"),
    ]
    assert server.bot_token not in repr(server.workspace.calls)


# --- faults -------------------------------------------------------------------------------------


async def test_fails_as_often_as_told(client: AsyncWebClient, server: PracticeServer) -> None:
    """
    A 429 comes with Retry-After, a 5xx as such, and then the method works again.
    """
    server.faults.fail("auth.test", status=429, retry_after=7)
    server.faults.fail("auth.test", status=503)
    server.faults.refuse("auth.test", "fatal_error")
    with pytest.raises(SlackApiError) as limited:
        await client.auth_test()
    with pytest.raises(SlackApiError) as broken:
        await client.auth_test()

    assert (limited.value.response.status_code, limited.value.response.headers["Retry-After"]) == (429, "7")
    assert broken.value.response.status_code == 503
    assert await error_of(client.auth_test()) == "fatal_error"
    assert (await client.auth_test())["ok"] is True
    assert server.faults.waiting() == {}


async def test_is_slow_when_told(client: AsyncWebClient, server: PracticeServer) -> None:
    """
    A slow method outlasts a client's patience, and is carried out all the same.
    """
    server.faults.slow("chat.postMessage", seconds=0.3)
    client.timeout = 0.1  # type: ignore[assignment]  # aiohttp takes fractions
    with pytest.raises(TimeoutError):
        await client.chat_postMessage(channel="#incidents", text="late")


async def test_a_fault_of_one_channel_is_no_other_channels(
    client: AsyncWebClient, server: PracticeServer
) -> None:
    """
    However the channel is called: by its id, by its name, with a number sign.
    """
    server.workspace.add_channel("general")
    server.faults.fail("chat.postMessage", times=2, channel="C0INCIDENTS")
    await client.chat_postMessage(channel="#general", text="goes through")

    for name in ("#incidents", "C0INCIDENTS"):
        assert await error_of(client.chat_postMessage(channel=name, text="held up")) == "ratelimited"
    await client.chat_postMessage(channel="incidents", text="goes through")


async def test_a_channel_has_one_limit_by_whatever_name(
    client: AsyncWebClient, server: PracticeServer
) -> None:
    """
    Sixty messages a minute in a channel are sixty, and another channel's are not among them.
    """
    server.workspace.add_channel("general")
    server.parts.rate_limits.switch(on=True)
    channel = server.workspace.channel("#incidents").id
    for _ in range(59):
        server.parts.rate_limits.pause("chat.postMessage", channel)
    await client.chat_postMessage(channel="#incidents", text="the sixtieth")

    assert await error_of(client.chat_postMessage(channel=channel, text="one more")) == "ratelimited"
    await client.chat_postMessage(channel="#general", text="goes through")
