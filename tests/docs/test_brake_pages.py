"""The files that docs/operations.md shows can be copied: they are what the product reads."""

from __future__ import annotations

from runbooks.language.inventory import parse_inventory
from runbooks.language.windows import FILE, WINDOW, parse_windows
from tests.docs.pages import named_block

PAGE = "docs/operations.md"


def test_the_example_of_windows_is_one():
    """It shows every word that a window may have."""
    text = named_block(PAGE, "windows.yaml")

    assert len(parse_windows(text, file="windows.yaml")) == 2
    assert all(f"{word}:" in text for word in (*FILE.words, *WINDOW.words))


def test_the_example_of_an_inventory_is_one():
    """Targets with labels and without, and jobs."""
    said = parse_inventory(named_block(PAGE, "inventory.yaml"), file="inventory.yaml")

    assert set(said.written.targets) == {"web-1", "web-2"}
    assert {each.label for each in said.jobs} == {"instance", "host"}
