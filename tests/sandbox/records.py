"""Reads the sandbox's dataclasses from JSON, refusing unknown names and wrong types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


def updated(record: Record, changes: Mapping[str, Any]) -> Record:
    """A copy of the dataclass instance with `changes`; ValueError names the field that is wrong."""
    hints = get_type_hints(type(record))
    values = {}
    for name, value in changes.items():
        if name not in hints:
            raise ValueError(f"{name}: unknown; there are: {', '.join(hints)}")
        if not _fits(value, hints[name]):
            raise ValueError(f"{name}: {value!r} does not fit; expected {_shown(hints[name])}")
        values[name] = tuple(value) if isinstance(value, list) else value
    return replace(record, **values)  # type: ignore[type-var]


def as_json(record: Any) -> dict[str, Any]:
    """The dataclass instance as a JSON object that `updated` reads."""
    return asdict(record)


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if origin is UnionType:
        return any(_fits(value, part) for part in get_args(hint))
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(item, get_args(hint)[0]) for item in value)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)


def _shown(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) is UnionType:
        return " or ".join(map(_shown, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"a list of {_shown(get_args(hint)[0])}"
    return "null" if hint is NoneType else str(hint.__name__)
