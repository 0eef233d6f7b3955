"""Tables for terminals of any width.  What a person may want to copy is never broken over two lines.

A word, which may be an identifier, a path or a command, stays whole: columns give way to each other
down to their longest word.  Where even that does not fit, each row is told as pairs of name and
value, a line each.  Where nobody looks, in a pipe or a file, a row is one line, however long, and
`grep` finds what belongs together.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.text import Text

from bot.cli.terminal import OUT, show_line
from bot.visible import visible

GAP = 2  # spaces between two columns
MOST_FOR_NAMES = 0.4  # of a line
UNSEEN = sys.maxsize  # characters; the width where nobody looks

Pairs = Sequence[tuple[str, object]]


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under the names of their columns; what comes from outside is made safe to show."""
    heading = [Text(name, style="dim") for name in columns]
    table = [heading, *([_text(cell) for cell in row] for row in rows)]
    by_column = list(zip(*table, strict=True))
    least = [max(map(_longest_word, column)) for column in by_column]
    left = room() - GAP * (len(columns) - 1)
    if sum(least) > left:
        _show_one_by_one(columns, table[1:])
        return
    widths = _shrunk([max(map(_width, column)) for column in by_column], least, left)
    for row in table:
        show_line(*_lines(row, widths))


def _show_one_by_one(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    for number, row in enumerate(rows):
        if number:
            show_line("")
        show_pairs([(name, cell) for name, cell in zip(columns, row, strict=True) if cell])


def show_pairs(pairs: Pairs) -> None:
    """Print names with their values; a value that is too long goes on below itself."""
    show_line(*pair_lines(pairs))


def pair_lines(pairs: Pairs, style: str = "dim") -> Iterator[Text]:
    """Yield the lines of names, in this style, with their values; names that take too much of a line stand above."""
    names = max((len(name) for name, _ in pairs), default=0)
    above = names > MOST_FOR_NAMES * room()
    indent = 0 if above else names
    for name, value in pairs:
        text, title = _text(value), Text(name, style=style)
        if above:
            yield title
        width = max(min(room() - indent - GAP, _width(text)), _longest_word(text))
        yield from _lines([Text() if above else title, text], [indent, width])


def room() -> int:
    """Return how many characters a line may have: as many as COLUMNS says, else as the terminal has."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    return OUT.width if OUT.is_terminal else UNSEEN


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(visible(cell))


def _width(text: Text) -> int:
    return max((line.cell_len for line in text.split()), default=0)


def _longest_word(text: Text) -> int:
    return max((Text(word).cell_len for word in text.plain.split()), default=0)


def _shrunk(natural: Sequence[int], least: Sequence[int], left: int) -> list[int]:
    """Return widths that fit: the widest column that still can gives way, again and again."""
    widths = list(natural)
    for _ in range(sum(natural) - left):
        can = [number for number, width in enumerate(widths) if width > least[number]]
        widths[max(can, key=lambda number: widths[number])] -= 1
    return widths


def _lines(row: Sequence[Text], widths: Sequence[int]) -> Iterator[Text]:
    """Yield the lines of one row, without spaces at their ends."""
    cells = [list(cell.wrap(OUT, max(width, 1))) for cell, width in zip(row, widths, strict=True)]
    for pieces in zip_longest(*cells, fillvalue=Text()):
        line = Text()
        for piece, width in zip(pieces, widths, strict=True):
            line.append_text(piece).append(" " * (width - piece.cell_len + GAP))
        line.rstrip()
        yield line
