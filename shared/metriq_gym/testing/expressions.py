"""Aggregation expressions as MongoDB evaluates them: those that the store uses, and an error for any other."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

from bson import DBRef

Document = dict[str, Any]


class _Missing:
    """The value of a field that is not there."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING = _Missing()


class NotInMemory(NotImplementedError):
    """The store asks for something that its memory has not learnt yet."""


@dataclass(frozen=True)
class Scope:
    """What names stand for while an expression is evaluated."""

    root: Document
    now: datetime
    this: Any = MISSING


def order(value: Any) -> tuple[Any, ...]:
    """Return the key by which values of all types sort, as MongoDB compares them."""
    match value:
        case _Missing():
            return (0,)
        case None:
            return (1,)
        case bool():
            return (8, value)
        case int() | float():
            return (2, value)
        case str():
            return (3, str(value))
        case Mapping():
            return (4, [(order(each)[0], name, order(each)) for name, each in value.items()])
        case DBRef():
            return order(value.as_doc())
        case bytes():
            return (6, len(value), value)
        case Sequence():
            return (5, [order(each) for each in value])
        case datetime():
            return (9, value)
    raise NotInMemory(f"comparing {type(value).__name__}")


def is_operator(value: object) -> bool:
    """Whether an object is a call of an operator and not a document."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)).startswith("$")


def field(value: Any, path: str) -> Any:
    """Return what is at a path; in a list, of each entry that has it."""
    for depth, name in enumerate(parts := path.split(".")):
        if isinstance(value, list):
            rest = ".".join(parts[depth:])
            return [found for each in value if (found := field(each, rest)) is not MISSING]
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = value[name]
    return value


def evaluate(expression: Any, scope: Scope) -> Any:
    """Return the value of an expression; `MISSING` where a field is not there."""
    if isinstance(expression, str) and expression.startswith("$"):
        return _named(expression, scope)
    if is_operator(expression):
        ((name, operand),) = expression.items()
        if name in _LAZY:
            return _LAZY[name](operand, scope)
        if name not in _OPERATORS:
            raise NotInMemory(name)
        operands = operand if isinstance(operand, list) else [operand]
        return _OPERATORS[name](*(evaluate(each, scope) for each in operands))
    if isinstance(expression, Mapping):
        values = {name: evaluate(each, scope) for name, each in expression.items()}
        return {name: value for name, value in values.items() if value is not MISSING}
    if isinstance(expression, list):
        return [None if (value := evaluate(each, scope)) is MISSING else value for each in expression]
    return expression


def _named(name: str, scope: Scope) -> Any:
    if not name.startswith("$$"):
        return field(scope.root, name[1:])
    variable, _, path = name[2:].partition(".")
    known = {"NOW": scope.now, "ROOT": scope.root, "REMOVE": MISSING, "this": scope.this}
    if variable not in known:
        raise NotInMemory(name)
    return field(known[variable], path) if path else known[variable]


def truth(value: Any) -> bool:
    """Return what a condition makes of a value: all but false, null, zero and what is missing is true."""
    return not (value is MISSING or value is None or (isinstance(value, bool | int | float) and not value))


def _cond(operand: Any, scope: Scope) -> Any:
    condition, then, other = operand.values() if isinstance(operand, Mapping) else operand
    return evaluate(then if truth(evaluate(condition, scope)) else other, scope)


def _if_null(operand: Sequence[Any], scope: Scope) -> Any:
    value: Any = MISSING
    for each in operand:
        value = evaluate(each, scope)
        if value is not None and value is not MISSING:
            break
    return value


def _map(operand: Mapping[str, Any], scope: Scope) -> Any:
    entries = evaluate(operand["input"], scope)
    if _is_null(entries):
        return None
    results = (evaluate(operand["in"], Scope(scope.root, scope.now, each)) for each in entries)
    return [None if result is MISSING else result for result in results]


def _filter(operand: Mapping[str, Any], scope: Scope) -> Any:
    entries = evaluate(operand["input"], scope)
    if _is_null(entries):
        return None
    return [each for each in entries if truth(evaluate(operand["cond"], Scope(scope.root, scope.now, each)))]


_LAZY: Mapping[str, Callable[[Any, Scope], Any]] = {
    "$literal": lambda operand, _: operand,
    "$cond": _cond,
    "$ifNull": _if_null,
    "$map": _map,
    "$filter": _filter,
    "$and": lambda operand, scope: all(truth(evaluate(each, scope)) for each in operand),
    "$or": lambda operand, scope: any(truth(evaluate(each, scope)) for each in operand),
    "$rand": lambda _, __: random.random(),  # noqa: S311  (as the server's)
}


def _is_null(*values: Any) -> bool:
    return any(value is None or value is MISSING for value in values)


def _arithmetic(step: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda *values: None if _is_null(*values) else reduce(step, values)


def _plus(a: Any, b: Any) -> Any:
    if isinstance(a, datetime):
        return a + timedelta(milliseconds=round(b))
    return b + timedelta(milliseconds=round(a)) if isinstance(b, datetime) else a + b


def _minus(a: Any, b: Any) -> Any:
    if isinstance(a, datetime):
        return round((a - b) / timedelta(milliseconds=1)) if isinstance(b, datetime) else _plus(a, -b)
    return a - b


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def chosen(*values: Any) -> Any:
        entries = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        present = [each for each in entries if not _is_null(each)]
        return choose(present, key=order) if present else None

    return chosen


def _compared(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda a, b: holds(order(a), order(b))


def _type(value: Any) -> str:
    names = {0: "missing", 1: "null", 3: "string", 4: "object", 5: "array", 6: "binData", 8: "bool", 9: "date"}
    return names.get(order(value)[0], "double" if isinstance(value, float) else "int")


def _merged(*documents: Any) -> Document:
    return reduce(lambda merged, each: merged | ({} if _is_null(each) else each), documents, {})


def _entries(document: Any) -> Any:
    return None if _is_null(document) else [{"k": name, "v": value} for name, value in document.items()]


def _concatenated(*lists: Any) -> Any:
    return None if _is_null(*lists) else [each for entries in lists for each in entries]


def _last(entries: Any) -> Any:
    return entries[-1] if not _is_null(entries) and entries else MISSING


_OPERATORS: Mapping[str, Callable[..., Any]] = {
    "$add": _arithmetic(_plus),
    "$subtract": _arithmetic(_minus),
    "$multiply": _arithmetic(operator.mul),
    "$divide": _arithmetic(operator.truediv),
    "$pow": _arithmetic(operator.pow),
    "$toLong": lambda value: None if _is_null(value) else int(value),
    "$min": _extreme(min),
    "$max": _extreme(max),
    "$eq": _compared(operator.eq),
    "$ne": _compared(operator.ne),
    "$lt": _compared(operator.lt),
    "$lte": _compared(operator.le),
    "$gt": _compared(operator.gt),
    "$gte": _compared(operator.ge),
    "$not": lambda value: not truth(value),
    "$in": lambda value, entries: order(value) in [order(each) for each in entries],
    "$type": _type,
    "$mergeObjects": _merged,
    "$objectToArray": _entries,
    "$concatArrays": _concatenated,
    "$size": len,
    "$isArray": lambda value: isinstance(value, list),
    "$last": _last,
    "$setEquals": lambda a, b: {repr(order(each)) for each in a} == {repr(order(each)) for each in b},
}
