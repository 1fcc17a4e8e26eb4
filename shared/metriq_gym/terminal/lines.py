"""Sentences as a terminal shows them: broken between words; elsewhere as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_PIECE = re.compile(r"`[^`]*`\S*|(?<=: )mgym .*$|\S+")
"""What stays on one line where it can: a word, and a command that is to be copied."""
_LEAST = 20
"""A line gets this many characters, however narrow the terminal is."""


def tell(console: Console, text: str) -> None:
    """Print a message: on a terminal broken between words, elsewhere a line as long as it is."""
    shown = "\n".join(wrapped(text, console.width)) if console.is_terminal else text
    console.print(Text(shown), soft_wrap=True)


def wrapped(text: str, width: int) -> list[str]:
    """Break a text's lines between words; one that begins further in goes on a little further still.

    A word that is too long, such as a path, stays in one piece for copying.
    """
    return [part for line in text.split("\n") for part in _broken(line, max(width, _LEAST))]


def _broken(line: str, width: int) -> Iterator[str]:
    if cell_len(line) <= width:
        yield line
        return
    begin = line[: len(line) - len(line.lstrip())]
    at, rest = begin, begin and begin + "  "
    empty = True
    for gap, piece in _pieces(line[len(begin) :], width - len(rest)):
        if empty or cell_len(at + gap + piece) <= width:
            at += ("" if empty else gap) + piece
        else:
            yield at
            at = rest + piece
        empty = False
    yield at


def _pieces(text: str, width: int) -> Iterator[tuple[str, str]]:
    """Yield each piece with the space before it; one that no line has room for is yielded in words."""
    end = 0
    for found in _PIECE.finditer(text):
        gap = text[end : found.start()]
        end = found.end()
        if cell_len(found[0]) <= width:
            yield gap, found[0]
        else:
            words = found[0].split()
            yield gap, words[0]
            yield from ((" ", word) for word in words[1:])
