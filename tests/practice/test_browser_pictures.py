"""The pictures of the pages: there, small, linked, and silent about the machine that took them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import pytest

from tests.docs.pages import PAGES, read
from tests.practice.pictures import LARGEST, NAMES, PICTURES

WIDEST = 1280  # pixels: a page of a forge shows no more
LINK = re.compile(r"!?\[([^\]]*)\]\((?:docs/)?pictures/([\w-]+)\.png\)")
PIXELS = {b"IHDR", b"IDAT", b"IEND", b"PLTE"}
"""Parts of a PNG that hold its pixels; what else there may be tells of programs, times and places."""


def parts(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each part of a PNG."""
    at = 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_small_and_holds_pixels_only(name: str) -> None:
    """It loads on a telephone, fits a page, and says nothing of programs, times and places."""
    png = (PICTURES / f"{name}.png").read_bytes()
    found = list(parts(png))
    width, height = struct.unpack(">II", found[0][1][:8])

    assert len(png) < LARGEST
    assert 300 < width <= WIDEST
    assert 200 < height <= WIDEST
    assert {kind for kind, _ in found} <= PIXELS


def test_every_picture_is_taken_by_the_command_and_shown_with_words() -> None:
    """None lies there that nobody can take again, none is without a page, none without what it shows in words."""
    linked = {name: words for page in PAGES for words, name in LINK.findall(read(page))}

    assert {each.stem for each in PICTURES.iterdir()} == set(NAMES)
    assert set(linked) == set(NAMES)
    assert all(words.strip() for words in linked.values())
