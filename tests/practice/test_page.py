"""The page in a real browser: what a person sees, does with the keyboard, and cannot be tricked with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.practice.server import PracticeServer
from tests.components import require

pytestmark = pytest.mark.slow

Json = dict[str, Any]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]


@pytest.fixture
async def page(server: PracticeServer) -> AsyncIterator[Page]:
    """The page of the workspace, as alice; a message on the browser's console fails the test."""
    chromium = require("chromium")
    said: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        shown = await browser.new_page()
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        await shown.goto(server.page_url)
        await shown.get_by_role("heading", name="# incidents").wait_for()
        yield shown
        await browser.close()
    assert said == []


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


async def test_a_person_approves_with_the_keyboard(
    page: Page, app: AsyncApp, connected: None, client: AsyncWebClient
) -> None:
    """
    The button asks once more, then the card changes in its place.
    """
    approve = {
        "type": "button",
        "action_id": "approve",
        "text": plain("Approve"),
        "style": "primary",
        "confirm": {
            "title": plain("Really?"),
            "text": plain("It interrupts."),
            "confirm": plain("Yes"),
            "deny": plain("No"),
        },
    }

    @app.action("approve")
    async def pressed(ack: Any, body: Json) -> None:
        await ack()
        await client.chat_update(
            channel=body["channel"]["id"], ts=body["container"]["message_ts"], text="approved by alice"
        )

    await client.chat_postMessage(
        channel="#incidents", text="card", blocks=[{"type": "actions", "elements": [approve]}]
    )
    await page.get_by_role("button", name="Approve").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Really?").wait_for()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")

    await page.get_by_text("approved by alice").wait_for()
    assert await page.get_by_role("button", name="Approve").count() == 0


async def test_foreign_text_stays_text(page: Page, client: AsyncWebClient) -> None:
    """
    Markup, scripts and script links in messages are shown, not obeyed.
    """
    hostile = (
        "<img src=x onerror=alert(1)> &lt;b&gt;bold&lt;/b&gt; <javascript:alert(1)|click> "
        "<https://example.org/|ok>"
    )
    await client.chat_postMessage(channel="#incidents", text=hostile)
    message = page.locator("article", has_text="bold")
    await message.wait_for()

    assert "<b>bold</b>" in await message.inner_text()
    assert await message.locator("img, b, script").count() == 0
    assert [await link.get_attribute("href") for link in await message.locator("a").all()] == [
        "https://example.org/"
    ]


MARKUP = {
    "*bold* not*bold*": "<strong>bold</strong> not*bold*",
    "_a_b_ x_y_z": "<em>a_b</em> x_y_z",
    "~old~": "<s>old</s>",
    "`*code*` &amp;": '<code class="word">*code*</code> &amp;',
    "```a\n*b*```": "<pre><code>a\n*b*</code></pre>",
    "&gt; said\nthen": "<blockquote>said</blockquote>then",
    "<@U0BOB> <!subteam^S0SREONCALL> <!here>": (
        '<span class="mention">@bob</span> <span class="mention">@sre-oncall</span> '
        '<span class="mention">@here</span>'
    ),
}


async def test_draws_mrkdwn_as_slack_does(page: Page, client: AsyncWebClient) -> None:
    """
    Each form of mrkdwn becomes the element that it stands for, and only where Slack would see it.
    """
    for text in MARKUP:
        await client.chat_postMessage(channel="#incidents", text=text)
    shown = page.locator(".message .text")
    await shown.nth(len(MARKUP) - 1).wait_for()

    assert [await each.inner_html() for each in await shown.all()] == list(MARKUP.values())


async def test_a_modal_keeps_what_was_typed_when_it_is_refused(
    page: Page, app: AsyncApp, connected: None, client: AsyncWebClient
) -> None:
    """
    An error stands beside its input, and nobody has to type a second time.
    """
    reason = {
        "type": "input",
        "block_id": "why",
        "label": plain("Why not?"),
        "element": {"type": "plain_text_input", "action_id": "reason"},
    }
    view = {
        "type": "modal",
        "callback_id": "deny",
        "title": plain("Deny"),
        "submit": plain("Deny"),
        "blocks": [reason],
    }

    @app.command("/runbook")
    async def ran(ack: Any, command: Json) -> None:
        await ack()
        await client.views_open(trigger_id=command["trigger_id"], view=view)

    @app.view("deny")
    async def submitted(ack: Any) -> None:
        await ack(response_action="errors", errors={"why": "Say more."})

    await page.get_by_label("Message", exact=True).fill("/runbook deny")
    await page.keyboard.press("Enter")
    field = page.get_by_label("Why not?")
    await field.fill("no")
    await page.keyboard.press("Enter")

    await page.get_by_text("Say more.").wait_for()
    assert await field.input_value() == "no"
    await page.keyboard.press("Escape")
    await field.wait_for(state="hidden")


async def test_another_person_sees_other_things(page: Page, client: AsyncWebClient) -> None:
    """
    Acting as somebody else shows what that person sees.
    """
    await client.chat_postEphemeral(channel="C0INCIDENTS", user="U0MALLORY", text="you are not in sre-oncall")
    await page.get_by_role("button", name="mallory in no group").click()

    await page.get_by_text("you are not in sre-oncall").wait_for()
    assert await page.get_by_text("Only visible to you").count() == 1


async def test_on_a_telephone_the_avatar_covers_nothing(page: Page, client: AsyncWebClient) -> None:
    """
    A card's first line says by its symbol how things are: it begins below the avatar.
    """
    await page.set_viewport_size({"width": 390, "height": 700})
    await client.chat_postMessage(
        channel="C0INCIDENTS", text="a card", blocks=[{"type": "header", "text": plain("▲ Approval needed")}]
    )
    await page.locator(".message .blocks").last.wait_for()

    avatar = await page.locator(".message .avatar").last.bounding_box()
    card = await page.locator(".message .blocks").last.bounding_box()

    assert avatar is not None
    assert card is not None
    assert card["y"] >= avatar["y"] + avatar["height"]


async def test_faults_are_switched_on_and_off_on_the_page(page: Page, client: AsyncWebClient) -> None:
    """
    Whoever looks at the page can make Slack refuse, sees that it will, and can mend it.
    """
    await page.get_by_role("button", name="Break Slack").click()
    await page.get_by_role("button", name="Refuse the next 3 calls").click()
    await page.get_by_text("waiting: 3 calls").wait_for()
    with pytest.raises(SlackApiError, match="ratelimited"):
        await client.auth_test()

    await page.get_by_role("button", name="Break Slack").click()
    await page.get_by_role("button", name="Mend everything").click()
    await page.get_by_text("nothing is broken").wait_for()

    assert (await client.auth_test())["ok"] is True


async def test_one_can_act_as_people_who_may_not_answer(page: Page) -> None:
    """
    A guest, somebody of another workspace and a bot are there, and each says what they are.
    """
    for name in ("guest a guest", "stranger of another workspace", "deploybot a bot"):
        await page.get_by_role("button", name=name).click()
        await page.locator("#people [aria-pressed=true]", has_text=name.split()[0]).wait_for()
