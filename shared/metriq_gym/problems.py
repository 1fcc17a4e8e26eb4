"""Saying what is wrong with a document: JSON paths for pydantic's errors, and hints for misspelt words."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from metriq_gym.errors import Problem

if TYPE_CHECKING:
    from pydantic import ValidationError


def from_pydantic(error: ValidationError, path: str = "$") -> list[Problem]:
    """Return every error of a validation; `path` is the JSON path of the document that was validated."""
    return [Problem(path + _steps(each["loc"]), each["msg"]) for each in error.errors()]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known word that is most like `word`, to append to a message; empty when none is."""
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _steps(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
