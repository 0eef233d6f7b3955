"""The pages, and what stands in them: code blocks, inline code, tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"))
)

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_FILE = re.compile(r"# (\S+\.ya?ml)\n")


@dataclass(frozen=True)
class Block:
    """One code block of a page.  `file`: the name that its first line gives it, or nothing."""

    page: str
    line: int
    language: str
    text: str

    @property
    def file(self) -> str:
        named = _FILE.match(self.text)
        return named[1] if named else ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read(page: str) -> str:
    """Return the text of a page, by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[Block]:
    """Return the code blocks of a page that are in `language`."""
    text = read(page)
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in _BLOCK.finditer(text)
        if found[1] == language
    ]


def named_block(page: str, file: str) -> str:
    """Return the YAML block of a page that begins with `# FILE`."""
    (found,) = [block for block in blocks(page, "yaml") if block.file == file]
    return found.text


def code(page: str) -> list[str]:
    """Return every line of code on a page, and every piece of inline code."""
    text = read(page)
    lines = [line for _, body in _BLOCK.findall(text) for line in body.splitlines()]
    return lines + _INLINE.findall(_BLOCK.sub("", text))


def table(page: str, heading: str) -> list[list[str]]:
    """Return the rows of the table whose first column has this heading, cell by cell."""
    lines = iter(read(page).splitlines())
    begin = next(line for line in lines if line.startswith(f"| {heading} |"))
    width = begin.count("|") - 1
    next(lines)
    rows: list[list[str]] = []
    for line in lines:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
        assert len(rows[-1]) == width, line
    return rows
