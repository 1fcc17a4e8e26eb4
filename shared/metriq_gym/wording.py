"""Wording for people: JSON paths of validation errors, hints for misspelt words, and time spans."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

from metriq_gym.errors import Problem

if TYPE_CHECKING:
    from pydantic import ValidationError


FEW = 20
"""Names that a message lists in full."""
MOST = 100
"""A document with so many mistakes need not list a million more, nor the store keep them."""


def first(problems: Iterable[Problem]) -> list[Problem]:
    """Return at most `MOST` problems, and if there are more, one more that says so; the rest is not even looked for."""
    found = list(islice(problems, MOST + 1))
    return found if len(found) <= MOST else [*found[:MOST], Problem("$", f"has more problems than these {MOST}")]


_WORD = 40
"""Characters that no usual word has."""


def shorten(text: str, limit: int = 300) -> str:
    """Return the two ends of a text that is too long, cut between words where they are no longer than usual."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit // 2], text[-limit // 2 :]
    shorter, _, cut = head.rpartition(" ")
    cut_off, _, rest = tail.partition(" ")
    return f"{shorter if shorter and len(cut) < _WORD else head} … {rest if rest and len(cut_off) < _WORD else tail}"


def printable(text: str, kept: str = "\n\t") -> str:
    """Keep what a stranger wrote from steering a terminal, where rejections are read."""
    return "".join(each if each.isprintable() or each in kept else ascii(each)[1:-1] for each in text)


def because(error: Exception) -> str:
    """Return what an error says, without the number and the name that the operating system's have."""
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)


def step(key: str) -> str:
    """Return the step of a JSON path to a key that may be anything."""
    return "." + printable(shorten(key), kept="")


def from_pydantic(error: ValidationError, path: str = "$") -> list[Problem]:
    """Return the first errors of a validation; `path` is the JSON path of the document that was validated."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return first(Problem(path + _steps(each["loc"]), each["msg"]) for each in found)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known word that is most like `word`, to append to a message; empty when none is."""
    folded = {each.casefold(): each for each in known}
    close = get_close_matches(word[:100].casefold(), folded, n=1)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def alternatives(word: str, known: Iterable[str], listed_by: str) -> str:
    """Return what there is in place of `word`, to append to a message.

    That is all there is; or, if there are more than `FEW`, those that are similar as suggestions, and the command that
    lists all.
    """
    names = list(known)
    if len(names) > FEW:
        close = get_close_matches(word[:100], names, n=3)
        meant = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
        return f"{meant}; `{listed_by}` lists all {len(names)}"
    return f"{did_you_mean(word, names)}; there are: {', '.join(names) or 'none'}"


def as_json(document: Any) -> str:
    """Return a document as indented JSON, with each list of numbers on a line of its own."""
    return _json(document, "\n")


def _json(value: Any, newline: str) -> str:
    inner = newline + "  "
    if isinstance(value, Mapping) and value:
        members = (f"{json.dumps(str(key), ensure_ascii=False)}: {_json(each, inner)}" for key, each in value.items())
        return "{" + inner + f",{inner}".join(members) + newline + "}"
    if isinstance(value, list | tuple) and value and not _is_numeric(value):
        return "[" + inner + f",{inner}".join(_json(each, inner) for each in value) + newline + "]"
    return json.dumps(value, ensure_ascii=False)


def _is_numeric(value: Any) -> bool:
    """Whether a value is a number, or is nothing but numbers however deep."""
    if isinstance(value, list | tuple):
        return all(map(_is_numeric, value))
    return isinstance(value, int | float)


def _steps(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)


def duration(seconds: float) -> str:
    """Return a time span in its largest sensible unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
