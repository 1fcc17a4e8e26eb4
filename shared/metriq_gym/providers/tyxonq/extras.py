"""What the service says beyond what this library computes with, in a form and size that any store takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

from pydantic import JsonValue

MAX_EXTRA = 1000
"""Characters of JSON up to which a value is kept as it is; of a longer one the beginning is kept, as text."""
_LARGEST = 2**63
"""Of a number, which is then one that every store holds; beyond it, or endless, it is kept as text."""
MAX_EXTRAS = 50
"""How many of them are kept."""


def storable(found: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return names and values as the store takes them, as many as are kept."""
    return {_name(name): _bounded(value) for name, value in islice(found.items(), MAX_EXTRAS)}


def _name(text: str) -> str:
    return "".join(char if char.isalnum() or char in "_-" else "_" for char in text)[:100]


def _bounded(value: JsonValue) -> JsonValue:
    text = json.dumps(value, ensure_ascii=False)
    plain = value is None or isinstance(value, str) or (isinstance(value, int | float) and abs(value) < _LARGEST)
    return value if plain and len(text) <= MAX_EXTRA else text[:MAX_EXTRA]
