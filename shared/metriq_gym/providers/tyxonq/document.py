"""Reads the JSON of an answer so that one value that is no JSON, or too much of it, does not cost the rest.

Other users of the same token write into the lists as well, and services are known to write what JSON has no word for.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import Any

from pydantic_core import from_json

MAX_DEPTH = 64
"""Levels of arrays and objects that are read; null takes the place of what is below."""
_MAX_DIGITS = 400
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


async def read_document(text: str) -> Any:
    """Return what a JSON text holds; raises ``ValueError`` where it is none.

    A number that is none or endless, as ``NaN``, is null; half a character, as a lone surrogate, is replaced; control
    characters in a text are kept.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        try:
            # Beside the event loop: it takes ten times as long, and lists are long.
            return await asyncio.to_thread(_read_odd, text)
        except (ValueError, RecursionError):
            raise error from None


def _read_odd(text: str) -> Any:
    document = json.loads(_cut(text), strict=False, parse_constant=lambda _: None, parse_int=_integer)
    return _mended(document)


def _cut(text: str) -> str:
    """Put null in place of what is nested too deeply."""
    kept, depth, kept_to, cut_from = [], 0, 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                cut_from = token.start()
        elif token[0] in "]}":
            if depth == MAX_DEPTH + 1:
                kept += [text[kept_to:cut_from], "null"]
                kept_to = token.end()
            depth -= 1
    return "".join([*kept, text[kept_to:]])


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _mended(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [_mended(each) for each in value]
        case dict():
            return {_mended(name): _mended(each) for name, each in value.items()}
    return value
