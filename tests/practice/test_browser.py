"""What a newcomer does with the product, in a real browser: from an alert to its timeline.

One installation and one browser for all of it; each test has an alert and a window of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import structlog.testing
from playwright.async_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from bot.http.server import HttpServer
from bot.slack.card import APPROVE
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from tests.practice.newcomer import FOREIGN_NAME, PATIENCE, PHONE, STUCK, Scene, scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

REFUSED = (
    "Your answer does not count: you may not approve new-basket-off on {}: only members of its approver groups "
    "may answer (rule approvers-answer); ask somebody of sre-oncall."
)
THUMB = 44  # pixels that a finger needs

expect.set_options(timeout=PATIENCE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with scene(tmp_path_factory.mktemp("scene") / "home") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def here(started: Scene) -> AsyncIterator[Scene]:
    """The scene; every window is closed after, and a complaint on a browser's console fails the test."""
    started.complaints.clear()
    yield started
    for context in list(started.browser.contexts):
        await context.close()
    assert started.complaints == []


async def test_a_newcomer_comes_from_an_alert_to_its_timeline(here: Scene) -> None:
    """The card asks, Approve carries it out, the thread tells it, and the command on the card tells all of it."""
    page = await here.visit("alice")
    await here.break_down("checkout")
    card = here.card(page, "checkout")
    await expect(card.get_by_role("heading")).to_have_text("▲ Approval needed on checkout")
    for said in ("12 % of all checkouts fail", "Switch the new basket off", "One person of sre-oncall must"):
        await expect(card).to_contain_text(said)

    await card.get_by_role("button", name="Approve").click()
    await expect(card.get_by_role("heading")).to_contain_text("✓ Mitigated in")
    await expect(card).to_contain_text("Approved by @alice")
    assert await card.locator(".block-actions").count() == 0
    await card.get_by_role("button", name=re.compile("repl")).click()
    thread = page.get_by_role("complementary", name="Thread")
    for said in ("@sre-oncall An answer is needed", "@alice approved", "It helped. Checkouts succeed again"):
        await expect(thread).to_contain_text(said)

    command = await card.locator("code", has_text="paramedic timeline").inner_text()
    timeline = await here.home.paramedic(*command.split()[1:])
    for said in ("Alice Ahmed", "Switch the new basket off", "mitigated"):
        assert said in timeline
    assert here.home.sink.mended["checkout"] == 1


async def test_whoever_may_not_approve_is_told_why_and_whom_to_ask_on_a_telephone(here: Scene) -> None:
    """Alone, in sight, and in words; the card stays open for others.  Everything fits, and thumbs hit the buttons."""
    page = await here.visit("mallory", PHONE)
    await here.break_down("search")
    card = here.card(page, "search")
    button = card.get_by_role("button", name="Approve")
    await expect(button).to_be_in_viewport()
    await button.tap()
    refusal = page.locator("article.private")

    await expect(refusal).to_contain_text(REFUSED.format("search"))
    await expect(refusal.get_by_text("ask somebody of sre-oncall")).to_be_in_viewport()
    await expect(card.get_by_role("button", name="Approve")).to_be_enabled()
    # Asked until it holds: a card that is drawn anew meanwhile has no height for a moment.
    await page.wait_for_function(
        "least => [...document.querySelectorAll('button')].some("
        "  each => each.textContent.startsWith('Approve') && each.getBoundingClientRect().height >= least)",
        arg=THUMB,
    )
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert here.home.sink.mended["search"] == 0
    for other in ("alice", "bob"):
        await page.get_by_role("combobox", name="Act as").select_option(other)
        await expect(page.get_by_placeholder(f"Write as {other}")).to_be_visible()
        await expect(refusal).to_have_count(0)


async def test_a_plan_is_read_and_denied_without_a_mouse(here: Scene) -> None:
    """Tab, Enter and Escape reach everything; going back approves nothing; the reason stands in the ending."""
    page = await here.visit("bob")
    await here.break_down("orders", STUCK)
    card = here.card(page, "orders")
    await card.get_by_role("button", name="Approve").wait_for()

    await page.get_by_role("heading", name="# incidents").click()  # the keyboard begins at the top
    await _tab_to(page, "Approve…", "orders")
    await page.keyboard.press("Enter")
    review = page.get_by_role("dialog", name="Read, then approve")
    await expect(review).to_contain_text("This cannot be undone on orders: Restart the workers")
    await page.keyboard.press("Escape")
    await expect(review).to_be_hidden()
    await _tab_to(page, "Deny…", "orders")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog", name="Deny").get_by_label("Why not?")).to_be_focused()
    await page.keyboard.type("The migration restarts them itself.")
    await _tab_to(page, "Deny")
    await page.keyboard.press("Enter")

    await expect(card.get_by_role("heading")).to_contain_text("Denied")
    await expect(card).to_contain_text("Denied by @bob")
    await expect(card).to_contain_text("The migration restarts them itself.")
    story = await here.home.ended("orders")
    assert story.ending is Ending.DENIED
    assert [each.accepted for each in story.gates[0].decisions] == [True]  # one answer, and no approval


async def _tab_to(page: Page, name: str, service: str = "") -> None:
    """Press Tab until the focus is on the button `name`, on the card about `service` if one is named."""
    for _ in range(120):
        await page.keyboard.press("Tab")
        found, where, visible = await page.evaluate(
            "[document.activeElement.textContent, document.activeElement.closest('article')?.textContent ?? '',"
            " document.activeElement.matches(':focus-visible')]"
        )
        if found == name and f"service={service}" in where + ("service=" if not service else ""):
            assert visible, f"the focus on {name} cannot be seen"
            return
    pytest.fail(f"Tab never comes to {name}")


FOREIGN_PAGE = """<!doctype html>
<script type="module">
const base = %(base)s, press = %(press)s;
const tries = {
  "fetch that needs no preflight": () => fetch(base + "/practice/press", {
    method: "POST", mode: "no-cors", credentials: "include", headers: {"Content-Type": "text/plain"},
    body: JSON.stringify(press)}),
  "fetch as the page does it": () => fetch(base + "/practice/press", {
    method: "POST", credentials: "include", headers: {"Content-Type": "application/json"},
    body: JSON.stringify(press)}),
  "reading": () => fetch(base + "/practice/state?as=alice", {credentials: "include"}),
  "socket": () => new Promise((open, no) => {
    const socket = new WebSocket(base.replace("http", "ws") + "/practice/changes?as=alice");
    socket.onmessage = open;
    socket.onclose = () => no("closed");
  }),
  "frame": () => new Promise((open, no) => {
    const frame = document.createElement("iframe");
    frame.onload = () => { try { frame.contentDocument.title; open() } catch (error) { no(error) } };
    frame.src = base + "/";
    document.body.append(frame);
  }),
};
const told = {};
for (const [name, attempt] of Object.entries(tries)) {
  told[name] = await attempt().then((answer) => answer?.type === "opaque" ? "opaque" : "through", () => "refused");
}
const form = document.createElement("form");  // what a plain page can send, cookies included
form.method = "post"; form.enctype = "text/plain"; form.action = base + "/practice/press";
window.told = told;
window.send = () => { document.body.append(form); form.submit(); };
</script><body>
"""


async def test_another_web_page_and_another_name_can_do_nothing(here: Scene) -> None:
    """A page that the approver happens to visit has their cookie and still cannot press, read, listen or frame."""
    mine = await here.visit("alice")
    await here.break_down("mail")
    card = here.card(mine, "mail")
    await card.get_by_role("button", name="Approve").wait_for()
    channel = (await here.home.hands.look()).channel_id("#incidents")
    given = {
        "as": "alice",
        "channel": channel,
        "ts": await card.get_attribute("data-ts"),
        "action_id": APPROVE,
    }
    base = here.home.practice.parts.base_url
    text = FOREIGN_PAGE % {"base": json.dumps(base), "press": json.dumps(given)}

    async def show(_: Request) -> HTMLResponse:
        return HTMLResponse(text)

    other = HttpServer(Starlette(routes=[Route("/", show)]), host="127.0.0.1", port=0)
    await other.start()
    page = await mine.context.new_page()  # the same browser: it has alice's cookie
    with structlog.testing.capture_logs() as door:
        try:
            await page.goto(f"http://127.0.0.1:{other.port}/")
            await page.wait_for_function("window.told")
            told = await page.evaluate("window.told")
            async with page.expect_navigation(url=f"{base}/practice/press"):
                await page.evaluate("window.send()")
            answer = await page.inner_text("body")
        finally:
            await other.stop()
        secret = urlsplit(here.home.practice.page_url).query
        rebound = await page.goto(base.replace("127.0.0.1", FOREIGN_NAME) + f"/?{secret}")

    assert set(told.values()) == {"opaque", "refused"}
    assert [name for name, what in told.items() if what == "opaque"] == ["fetch that needs no preflight"]
    assert answer.strip() == "Another web page may not use the practice workspace."
    assert rebound is not None
    assert (rebound.status, await rebound.text()) == (403, "This is the practice workspace on 127.0.0.1; it answers to no other name.\n")  # fmt: skip
    assert {"/practice/press", "/practice/changes"} <= {each["path"] for each in door if "path" in each}
    story = next(each for each in await here.home.stories() if each.target == "mail")
    assert (story.gates[0].outcome, story.gates[0].decisions) == ("", ())
    assert await here.home.records(RecordKind.DECISION_RECEIVED, story.remediation) == []
    await expect(card.get_by_role("button", name="Approve")).to_be_enabled()
    assert here.home.sink.mended["mail"] == 0
