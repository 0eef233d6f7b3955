"""A newcomer's scene: a whole installation, and its page open in a real browser.

    async with scene(folder) as here:
        page = await here.visit("alice")
        await here.break_down("checkout")
        await here.card(page, "checkout").get_by_role("button", name="Approve").click()

Checkouts fail and somebody may switch the new basket off (one press approves); or the workers are
stuck, and a restart interrupts people, so it must be read first.  `python -m tests.practice.pictures`
takes its pictures here too.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

from tests.components import require
from tests.e2e.installation import Installation, alert, installation, notification

FOREIGN_NAME = "evil.example"
"""A name that leads to 127.0.0.1 in this browser, as DNS rebinding makes one do."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--no-proxy-server",
    f"--host-resolver-rules=MAP {FOREIGN_NAME} 127.0.0.1",
)
DESK = (1180, 860)
PHONE = (390, 844)
PATIENCE = 30_000  # milliseconds that the browser waits for what it is told to find

FAILING = "CheckoutFailing"
STUCK = "WorkersStuck"
_SAID = {
    FAILING: "12 % of all checkouts fail since the new basket was switched on.",
    STUCK: "No order has been worked off for ten minutes.",
}

BASKET_OFF = """
runbook: new-basket-off
summary: Switch the new basket off, which is why checkouts fail.
owner: shop
when: [{alert: CheckoutFailing}]
target: "{{ labels.service }}"
limits: {cooldown: 0s}
check:
  - name: Checkouts fail
    uses: http.check
    with: {endpoint: shop, path: "/state/{{ target }}"}
    expect: result.json.broken
gate: {approvers: [sre-oncall], within: 15m}
do:
  - name: Switch the new basket off
    uses: http.request
    with: {endpoint: shop, path: "/mend/{{ target }}", method: POST}
    undo: none
verify:
  - name: Checkouts succeed again
    uses: http.check
    with: {endpoint: shop, path: "/state/{{ target }}"}
    expect: not result.json.broken
    within: 30s
otherwise:
  - name: Call people
    uses: slack.escalate
    with: {to: sre-oncall}
"""

RESTART_WORKERS = """
runbook: restart-workers
summary: Restart the workers, which are stuck.
owner: shop
when: [{alert: WorkersStuck}]
target: "{{ labels.service }}"
limits: {cooldown: 0s}
check:
  - name: Orders wait and none is worked off
    uses: http.check
    with: {endpoint: shop, path: "/state/{{ target }}"}
    expect: result.json.broken
gate: {approvers: [sre-oncall], within: 15m}
do:
  - name: Restart the workers
    uses: supervisor.restart
    with: {supervisor: shop, process: workers}
    undo: none
verify:
  - name: Orders are worked off again
    uses: http.check
    with: {endpoint: shop, path: "/state/{{ target }}"}
    expect: not result.json.broken
    within: 2m
otherwise:
  - name: Call people
    uses: slack.escalate
    with: {to: sre-oncall}
"""


@dataclass
class Scene:
    """An installation with its people, and the browsers that look at it.

    Attributes:
        complaints: what the browsers' consoles said; a test ends with none.
    """

    home: Installation
    browser: Browser
    complaints: list[str] = field(default_factory=list)

    async def open(self, size: tuple[int, int] = DESK) -> BrowserContext:
        """Open a browser of its own, with no cookies yet.  Its clock and language are nobody's in particular."""
        width, height = size
        context = await self.browser.new_context(
            viewport={"width": width, "height": height},
            has_touch=size == PHONE,
            locale="en-GB",
            timezone_id="UTC",
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE)
        return context

    async def visit(self, person: str, size: tuple[int, int] = DESK) -> Page:
        """Open the page, as `person`.  They are chosen as people do it there."""
        page = await (await self.open(size)).new_page()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(self.home.practice.page_url)
        await page.get_by_role("heading", name="# incidents").wait_for()
        if size == PHONE:
            await page.get_by_role("combobox", name="Act as").select_option(person)
        else:
            await page.get_by_role("button", name=f"{person} ").click()
        await expect(page.get_by_placeholder(f"Write as {person}")).to_be_visible(timeout=PATIENCE)
        return page

    async def break_down(self, service: str, name: str = FAILING) -> None:
        """Let an alert about `service` arrive as Alertmanager sends it."""
        assert (await self.home.post(_arriving(name, service))).status_code == 200

    async def break_down_together(self, *services: str) -> None:
        """Let one notification about all of them arrive: the workers of each are stuck."""
        told = notification(*(_arriving(STUCK, each) for each in services))
        told["groupKey"] = f'{{}}:{{alertname="{STUCK}"}}'
        answer = await self.home.client.post("/alerts/alertmanager", json=told)
        assert answer.status_code == 200

    @staticmethod
    def card(page: Page, service: str) -> Locator:
        """Return the card about `service` in the channel."""
        return page.locator("#messages article", has_text=f"service={service}")


def _arriving(name: str, service: str) -> dict[str, Any]:
    return {**alert(name, service=service, env="prod"), "annotations": {"summary": _SAID[name]}}


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Start the installation and the browser; stop both after."""
    chromium = require("chromium")
    runbooks = {"new-basket-off": BASKET_OFF, "restart-workers": RESTART_WORKERS}
    async with contextlib.AsyncExitStack() as stack:
        home = await stack.enter_async_context(installation(folder, runbooks=runbooks, start=False))
        # Nobody restarts anything here: what the supervisor is for is only planned, read and refused.
        home.connect(
            endpoints={"shop": {"url": home.sink.url}}, supervisors={"shop": {"url": "http://127.0.0.1:9"}}
        )
        await home.start()
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        stack.push_async_callback(browser.close)
        yield Scene(home, browser)
