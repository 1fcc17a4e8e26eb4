"""Whether a document has a shape: as much of MongoDB's JSON schema as the store asks with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metriq_gym.testing.expressions import Document, NotInMemory, order

_TYPES = {"null": 1, "number": 2, "string": 3, "object": 4, "array": 5, "binData": 6, "bool": 8, "date": 9}
_KNOWN = {"bsonType", "enum", "anyOf", "properties", "required", "items", "additionalProperties", "minimum"}


def has_shape(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value, a document's or the document itself, is what a schema describes."""
    if unknown := schema.keys() - _KNOWN:
        raise NotInMemory(f"$jsonSchema: {', '.join(sorted(unknown))}")
    if "bsonType" in schema and order(value)[0] != _TYPES[schema["bsonType"]]:
        return False
    if "minimum" in schema and not value >= schema["minimum"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "anyOf" in schema and not any(has_shape(value, each) for each in schema["anyOf"]):
        return False
    if isinstance(value, Mapping):
        return _has_fields(dict(value), schema)
    items = schema.get("items", {})
    return not (items and isinstance(value, list)) or all(has_shape(each, items) for each in value)


def _has_fields(document: Document, schema: Mapping[str, Any]) -> bool:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    return set(schema.get("required", ())) <= document.keys() and all(
        has_shape(value, known.get(name, others)) for name, value in document.items() if known.get(name, others)
    )
