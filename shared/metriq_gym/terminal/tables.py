"""Tables: framed and as wide as the terminal, where long columns give way first; elsewhere a line a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metriq_gym.wording import printable

Row = Sequence[object]

_SHORT = 16
"""Cells up to this many characters are kept on one line as long as others can give way."""
_WIDE = 40
"""On a pipe, a longer cell does not make its column wider: what follows it in its row begins later."""
_GAP, _CLOSE, _EDGES = 3, 2, 2
"""Characters of the frame between two columns, there at least, and beside all of them."""


def show_table(console: Console, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Print a table: framed on a terminal; elsewhere a line a row, nothing cut off, columns two spaces apart.

    On a terminal no word is broken, and what is in the first column, perhaps to be copied, is in one piece. A table
    that is too wide for that is printed as a paragraph a row, a cell a line.
    """
    if console.is_terminal:
        fitting = table(console, columns, rows)
        # A line of a paragraph that is too long is left to the terminal, so that it can be copied in one piece.
        console.print(fitting, soft_wrap=isinstance(fitting, Text), highlight=False)
        return
    texts = [[as_text(each).plain for each in row] for row in rows]
    for line in _aligned([[printable(each) for each in columns], *texts]):
        console.print(Text(line), soft_wrap=True)


def fits(console: Console, columns: Sequence[str], rows: Sequence[Row]) -> bool:
    """Whether `show_table` prints a table rather than a paragraph a row."""
    return not console.is_terminal or isinstance(table(console, columns, rows), Table)


def table(console: Console, columns: Sequence[str], rows: Iterable[Row]) -> Table | Text:
    """Return a table that fits the console, as `show_table` prints it on a terminal."""
    names = [printable(each) for each in columns]
    texts = [[as_text(each) for each in row] for row in rows]
    measured = [_measured(column) for column in zip(names, *texts, strict=True)]
    roomy = sum(each.whole for each in measured) <= _room(console.width, len(measured), _GAP)
    widths = _fitting(_room(console.width, len(measured), _GAP if roomy else _CLOSE), measured)
    if widths is None:
        return _paragraphs(console, names, texts)
    framed = Table(box=SIMPLE, header_style="bold", pad_edge=False, padding=(0, 1, 0, 1 if roomy else 0))
    for name, width in zip(names, widths, strict=True):
        framed.add_column(name, width=width, overflow="fold")
    for row in texts:
        framed.add_row(*row)
    return framed


def as_text(value: object) -> Text:
    """Return a cell's text, without what would steer the terminal."""
    return value.copy() if isinstance(value, Text) else Text(printable(str(value)))


@dataclass(frozen=True, slots=True)
class _Width:
    """How wide a column is if nothing is broken, if only what is long is, and if everything is between words."""

    whole: int
    short_whole: int
    words: int


def _measured(cells: Sequence[str | Text]) -> _Width:
    lines = [line for cell in cells for line in str(cell).splitlines()] or [""]
    words = max((cell_len(word) for line in lines for word in line.split()), default=1)
    short = [cell_len(line) for line in lines if cell_len(line) <= _SHORT]
    return _Width(max(map(cell_len, lines)) or 1, max([words, *short]), words)


def _room(available: int, columns: int, gap: int) -> int:
    return available - _EDGES - gap * (columns - 1)


def _fitting(room: int, columns: Sequence[_Width]) -> list[int] | None:
    """Return widths that fit, the longest columns made narrower first; None if words would have to be broken."""
    first = [columns[0].whole]
    for least in ([each.short_whole for each in columns[1:]], [each.words for each in columns[1:]]):
        widths = [each.whole for each in columns]
        while sum(widths) > room:
            excess = [(width, at) for at, width in enumerate(widths) if width > [*first, *least][at]]
            if not excess:
                break
            widths[max(excess)[1]] -= 1
        else:
            return widths
    return None


def _paragraphs(console: Console, names: Sequence[str], rows: Sequence[Sequence[Text]]) -> Text:
    indent = max(map(cell_len, names))
    lines: list[Text] = []
    for row in rows:
        for name, cell in zip(names, row, strict=True):
            # A word that is wider than the terminal is in one piece all the same.
            width = max(console.width - indent - 2, *map(cell_len, cell.plain.split() or [""]))
            for number, part in enumerate(cell.wrap(console, width) if cell.plain else []):
                part.rstrip()
                lines.append(Text.assemble(("" if number else name).ljust(indent), "  ", part))
                if not number:
                    lines[-1].stylize("dim", 0, len(name))
        lines.append(Text())
    return Text("\n").join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [
        max((len(each) for each in column if len(each) <= _WIDE), default=0) for column in zip(*rows, strict=True)
    ]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
