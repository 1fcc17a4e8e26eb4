"""What a document is after an update, by operators or by a pipeline, and what a pipeline of stages makes of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from metriq_gym.testing.expressions import MISSING, Document, NotInMemory, Scope, evaluate, field, is_operator, order
from metriq_gym.testing.queries import matches, projected, put, remove

Change = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def updated(document: Document, change: Change, now: datetime, *, inserted: bool = False) -> Document:
    """Return the document after a change, which is one of operators or a pipeline."""
    if isinstance(change, Mapping):
        return _by_operators(document, change, inserted)
    for stage in change:
        ((name, operand),) = stage.items()
        match name:
            case "$set":
                document = with_fields(document, operand, now)
            case "$unset":
                document = without(document, operand)
            case "$replaceWith":
                document = {"_id": document["_id"]} | evaluate(operand, Scope(document, now))
            case _:
                raise NotInMemory(name)
    return document


def _by_operators(document: Document, change: Mapping[str, Any], inserted: bool) -> Document:
    changed = dict(document)
    for name, fields in change.items():
        for path, value in fields.items():
            match name:
                case "$set":
                    put(changed, path, value)
                case "$setOnInsert":
                    if inserted:
                        put(changed, path, value)
                case "$inc":
                    before = field(changed, path)
                    put(changed, path, value + (0 if before is MISSING else before))
                case _:
                    raise NotInMemory(name)
    return changed


def with_fields(document: Document, fields: Mapping[str, Any], now: datetime) -> Document:
    """Return the document with more fields; a document is merged into the one that is there."""
    changed = dict(document)
    scope = Scope(document, now)

    def assign(path: str, expression: Any) -> None:
        if isinstance(expression, Mapping) and expression and not is_operator(expression):
            for name, inner in expression.items():
                assign(f"{path}.{name}", inner)
        elif (value := evaluate(expression, scope)) is MISSING:
            remove(changed, path)
        else:
            put(changed, path, value)

    for path, expression in fields.items():
        assign(path, expression)
    return changed


def without(document: Document, paths: str | Sequence[str]) -> Document:
    """Return the document without some fields."""
    changed = dict(document)
    for path in [paths] if isinstance(paths, str) else paths:
        remove(changed, path)
    return changed


def aggregated(
    documents: Iterable[Document],
    stages: Sequence[Mapping[str, Any]],
    now: datetime,
    others: Callable[[str], Iterable[Document]],
) -> list[Document]:
    """Return what a pipeline makes of documents; `others` gives those of another collection."""
    found = list(documents)
    for stage in stages:
        ((name, operand),) = stage.items()
        match name:
            case "$match":
                found = [each for each in found if matches(operand, each, now)]
            case "$project":
                found = [projected(each, operand, now) for each in found]
            case "$set":
                found = [with_fields(each, operand, now) for each in found]
            case "$unset":
                found = [without(each, operand) for each in found]
            case "$sort":
                found = in_order(found, list(operand.items()))
            case "$limit":
                found = found[:operand]
            case "$group":
                found = _grouped(found, operand, now)
            case "$lookup":
                found = [_joined(each, operand, now, others) for each in found]
            case _:
                raise NotInMemory(name)
    return found


def in_order(documents: Iterable[Document], keys: Sequence[tuple[str, int]]) -> list[Document]:
    """Return documents sorted by fields, the first one first."""
    found = list(documents)
    for path, direction in reversed(keys):
        found.sort(key=lambda each: order(field(each, path)), reverse=direction < 0)
    return found


def _grouped(documents: Sequence[Document], by: Mapping[str, Any], now: datetime) -> list[Document]:
    groups: dict[str, tuple[Any, list[Document]]] = {}
    for each in documents:
        key = evaluate(by["_id"], Scope(each, now))
        groups.setdefault(repr(order(key)), (key, []))[1].append(each)
    found = []
    for key, members in groups.values():
        row: Document = {"_id": None if key is MISSING else key}
        for name, accumulated in by.items():
            if name != "_id":
                ((accumulator, expression),) = accumulated.items()
                row[name] = _accumulated(accumulator, [evaluate(expression, Scope(each, now)) for each in members])
        found.append(row)
    return found


def _accumulated(name: str, values: Sequence[Any]) -> Any:
    if name == "$sum":
        return sum(each for each in values if isinstance(each, int | float))
    if name == "$first":
        return None if values[0] is MISSING else values[0]
    if name not in {"$min", "$max"}:
        raise NotInMemory(name)
    present = [each for each in values if each is not None and each is not MISSING]
    return (min if name == "$min" else max)(present, key=order, default=None)


def _joined(
    document: Document, lookup: Mapping[str, Any], now: datetime, others: Callable[[str], Iterable[Document]]
) -> Document:
    wanted = {lookup["foreignField"]: field(document, lookup["localField"])}
    of_it = [each for each in others(lookup["from"]) if matches(wanted, each, now)]
    return {**document, lookup["as"]: aggregated(of_it, lookup.get("pipeline", []), now, others)}
