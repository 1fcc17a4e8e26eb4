"""Whether a document is what a query asks for, and what of it is returned."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from metriq_gym.testing.expressions import MISSING, Document, NotInMemory, Scope, evaluate, field, order, truth
from metriq_gym.testing.shapes import has_shape

_TYPES = {"string": 3, "object": 4, "array": 5, "bool": 8, "date": 9}


def matches(query: Mapping[str, Any], document: Document, now: datetime) -> bool:
    """Whether a document is what a query asks for."""
    return all(_holds(name, wanted, document, now) for name, wanted in query.items())


def _holds(name: str, wanted: Any, document: Document, now: datetime) -> bool:
    match name:
        case "$expr":
            return truth(evaluate(wanted, Scope(document, now)))
        case "$and":
            return all(matches(each, document, now) for each in wanted)
        case "$or":
            return any(matches(each, document, now) for each in wanted)
        case "$nor":
            return not any(matches(each, document, now) for each in wanted)
        case "$jsonSchema":
            return has_shape(document, wanted)
        case _ if name.startswith("$"):
            raise NotInMemory(name)
    return _fits(field(document, name), wanted)


def _fits(value: Any, wanted: Any) -> bool:
    if not (isinstance(wanted, Mapping) and wanted and all(name.startswith("$") for name in wanted)):
        return _is(value, wanted)
    for name, operand in wanted.items():
        if name == "$options" and operand == "i":
            continue  # of $regex
        if name == "$regex" and "$options" in wanted:
            operand = f"(?i:{operand})"
        if name not in _TESTS:
            raise NotInMemory(name)
        if not _TESTS[name](value, operand):
            return False
    return True


def _is(value: Any, wanted: Any) -> bool:
    if wanted is None:
        return value is None or value is MISSING
    return any(order(each) == order(wanted) for each in _candidates(value))


def _candidates(value: Any) -> list[Any]:
    """A field that holds a list is asked for by the whole of it, or by any entry."""
    return [value, *value] if isinstance(value, list) else [value]


def _compared(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    # Unlike an expression a query compares with values of the same type only.
    def fits(value: Any, bound: Any) -> bool:
        key = order(bound)
        return any(order(each)[0] == key[0] and holds(order(each), key) for each in _candidates(value))

    return fits


def _matches_text(value: Any, pattern: str) -> bool:
    return any(isinstance(each, str) and re.search(pattern, each) is not None for each in _candidates(value))


_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": _is,
    "$ne": lambda value, wanted: not _is(value, wanted),
    "$all": lambda value, wanted: bool(wanted) and all(_is(value, each) for each in wanted),
    "$in": lambda value, wanted: any(_is(value, each) for each in wanted),
    "$nin": lambda value, wanted: not any(_is(value, each) for each in wanted),
    "$gt": _compared(lambda a, b: a > b),
    "$gte": _compared(lambda a, b: a >= b),
    "$lt": _compared(lambda a, b: a < b),
    "$lte": _compared(lambda a, b: a <= b),
    "$not": lambda value, wanted: not _fits(value, wanted),
    "$exists": lambda value, wanted: (value is not MISSING) == bool(wanted),
    "$type": lambda value, wanted: any(order(each)[0] == _TYPES[wanted] for each in _candidates(value)),
    "$regex": _matches_text,
}


def projected(document: Document, projection: Mapping[str, Any] | None, now: datetime) -> Document:
    """Return what a projection leaves of a document."""
    if projection is None:
        return document
    if projection and all(kept in (0, False) for kept in projection.values()):
        left = dict(document)
        for path in projection:
            remove(left, path)
        return left
    found: Document = {"_id": document["_id"]} if "_id" in document else {}
    for path, kept in projection.items():
        value = field(document, path) if kept in (1, True) else evaluate(kept, Scope(document, now))
        if value is not MISSING:
            put(found, path, value)
    return found


def put(document: Document, path: str, value: Any) -> None:
    """Set a field, with the documents that lead to it."""
    *leading, last = path.split(".")
    for name in leading:
        inner = document.get(name)
        # A copy: the document that a change is made from stays as it is.
        document[name] = dict(inner) if isinstance(inner, Mapping) else {}
        document = document[name]
    document[last] = value


def remove(document: Document, path: str) -> None:
    """Remove a field, if it is there."""
    *leading, last = path.split(".")
    for name in leading:
        if not isinstance(document.get(name), Mapping):
            return
        document[name] = dict(document[name])
        document = document[name]
    document.pop(last, None)
