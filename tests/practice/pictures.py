"""The pictures of the pages: `python -m tests.practice.pictures` takes all of them again.

They are taken of a whole installation in a real browser, one story after another, and cut to what
they show.  Nothing of the machine is in them: addresses stand nowhere on a card, and the clock is UTC.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import FloatRect, Locator, Page, expect

from tests.docs.pages import ROOT
from tests.practice.newcomer import PATIENCE, PHONE, STUCK, Scene, scene

PICTURES = ROOT / "docs" / "pictures"
LARGEST = 120_000  # bytes of one picture
DESK = (1010, 860)  # one column of the page, and no more
TWO_COLUMNS = (1280, 720)

Story = Callable[[Scene, Path], Awaitable[None]]


async def ask(here: Scene, folder: Path) -> None:
    """An alert comes, and people are asked: on a desk, on a telephone, and somebody who may not answer."""
    desk, phone, mallory = (
        await here.visit("alice", DESK),
        await here.visit("alice", PHONE),
        await here.visit("mallory", DESK),
    )
    await here.break_down("checkout")
    for page in (desk, phone, mallory):
        await here.card(page, "checkout").get_by_role("button", name="Approve").wait_for()
    await _cut(desk, folder / "open-card.png", here.card(desk, "checkout"))
    await _settle(phone)
    await phone.screenshot(path=folder / "phone.png")

    await here.card(mallory, "checkout").get_by_role("button", name="Approve").click()
    refusal = mallory.locator("article.private", has_text="ask somebody of")
    await refusal.wait_for()
    await _cut(mallory, folder / "refused.png", here.card(mallory, "checkout"), refusal)


async def decide(here: Scene, folder: Path) -> None:
    """Somebody approves; the card and its thread say what came of it."""
    page = await here.visit("alice", DESK)
    card = here.card(page, "checkout")
    await card.get_by_role("button", name="Approve").click()
    await expect(card.get_by_role("heading")).to_contain_text("Mitigated", timeout=PATIENCE)
    await _cut(page, folder / "decided-card.png", card)

    await page.set_viewport_size({"width": TWO_COLUMNS[0], "height": TWO_COLUMNS[1]})
    await card.locator(".replies").click()
    replies = page.locator("#replies article")
    await replies.last.get_by_text("It helped.").wait_for()
    await replies.last.scroll_into_view_if_needed()
    await _cut(page, folder / "thread.png", replies.nth(1), replies.last)


async def review(here: Scene, folder: Path) -> None:
    """What interrupts something is read in full before it is approved; Deny asks why."""
    page = await here.visit("bob", DESK)
    await here.break_down("orders", STUCK)
    card = here.card(page, "orders")
    await card.get_by_role("button", name="Approve").click()
    form = page.get_by_role("dialog", name="Read, then approve")
    await form.wait_for()
    await _cut(page, folder / "review.png", form)
    await page.keyboard.press("Escape")
    await card.get_by_role("button", name="Deny").click()
    form = page.get_by_role("dialog", name="Deny")
    await form.get_by_label("Why not?").fill("The migration restarts them itself, at 03:30.")
    await _cut(page, folder / "deny.png", form)
    await page.keyboard.press("Escape")
    await expect(form).to_be_hidden()


async def board(here: Scene, folder: Path) -> None:
    """Alerts of one group share a message, and the home tab of somebody who may answer leads to it."""
    page = await here.visit("alice", DESK)
    await here.break_down_together("invoices", "mails", "refunds")
    shown = page.locator("#messages article", has_text="One incident").last
    await expect(shown.get_by_role("button", name="Approve")).to_have_count(3, timeout=PATIENCE)
    await _cut(page, folder / "board.png", shown)

    await page.get_by_role("button", name="Paramedic home").click()
    home = page.locator("#messages .home")
    await home.get_by_text("invoices").first.wait_for()
    await _cut(page, folder / "home.png", home)


async def run_by_hand(here: Scene, folder: Path) -> None:
    """The form in which a runbook is asked for."""
    page = await here.visit("bob", DESK)
    await page.get_by_label("Message", exact=True).fill("/runbook run new-basket-off")
    await page.keyboard.press("Enter")
    form = page.get_by_role("dialog")
    await form.get_by_label(re.compile("service")).fill("checkout")
    await _cut(page, folder / "run.png", form)


STORIES: tuple[Story, ...] = (ask, decide, review, board, run_by_hand)
NAMES = ("open-card", "phone", "refused", "decided-card", "thread", "review", "deny", "board", "home", "run")


async def _settle(page: Page) -> None:
    """Nothing is pointed at, no message has the focus, and every letter is drawn."""
    await page.mouse.move(0, 0)
    await page.evaluate("document.activeElement.closest('article') && document.activeElement.blur()")
    await page.evaluate("document.fonts.ready")


async def _cut(page: Page, file: Path, *shown: Locator) -> None:
    """Take a picture of what is shown, from the first to the last, and of nothing else."""
    await _settle(page)
    boxes = [box for each in shown if (box := await each.bounding_box()) is not None]
    assert len(boxes) == len(shown), file.name
    left, top = min(each["x"] for each in boxes), min(each["y"] for each in boxes)
    right = max(each["x"] + each["width"] for each in boxes)
    bottom = max(each["y"] + each["height"] for each in boxes)
    clip: FloatRect = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    await page.screenshot(path=file, clip=clip)


async def take(folder: Path) -> None:
    """Take all pictures into `folder`."""
    with tempfile.TemporaryDirectory() as home:
        async with scene(Path(home) / "home") as here:
            for story in STORIES:
                await story(here, folder)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES))
