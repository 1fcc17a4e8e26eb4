"""What a document that this version can read looks like, for the database to tell: it is asked before it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from metriq_gym.jobs.documents import Job, Task

_TYPES = {"integer": "number", "number": "number", "boolean": "bool", "null": "null", "object": "object"}
_FORMATS = {"date-time": "date", "binary": "binData"}


def shape(model: type[BaseModel]) -> dict[str, Any]:
    """Return MongoDB's JSON schema of the documents that a model reads; it may be wider than the model."""
    schema = model.model_json_schema(by_alias=True)
    return _translated(schema, schema.get("$defs", {}))


def _translated(schema: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _translated(others[schema["$ref"].rpartition("/")[2]], others)
    if "anyOf" in schema:
        return {"anyOf": [_translated(each, others) for each in schema["anyOf"]]}
    if "const" in schema:
        return {"enum": [schema["const"]]}
    if "enum" in schema:
        return {"enum": list(schema["enum"])}
    match schema.get("type"):
        case "string":
            return {"bsonType": _FORMATS.get(schema.get("format", ""), "string")}
        case "array":
            return {"bsonType": "array", "items": _translated(schema.get("items", {}), others)}
        case "object":
            return {"bsonType": "object"} | _inside(schema, others)
        case str() as name:
            return {"bsonType": _TYPES[name]}
    return {}


def _inside(schema: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    translated: dict[str, Any] = {}
    if schema.get("properties"):
        translated["properties"] = {name: _translated(each, others) for name, each in schema["properties"].items()}
    if schema.get("required"):
        translated["required"] = list(schema["required"])
    if isinstance(values := schema.get("additionalProperties"), Mapping):
        translated["additionalProperties"] = _translated(values, others)
    return translated


READABLE_JOB: dict[str, Any] = {"$jsonSchema": shape(Job)}
READABLE_TASK: dict[str, Any] = {"$jsonSchema": shape(Task)}
_DATE = {"bsonType": "date"}
_LEASE = {
    "properties": {
        "token": {"bsonType": "number", "minimum": 0},
        "owner": {"bsonType": "string"},
        **dict.fromkeys(("taken_at", "expires_at", "looked_at", "looked_before", "steady_since"), _DATE),
        "noted": {"bsonType": "object"},
    }
}
_SUITE = {
    "required": ["requests", "updated_at", "deadline_at"],
    "properties": {
        "requests": {"bsonType": "binData"},
        **dict.fromkeys(("updated_at", "deadline_at", "check_at"), _DATE),
        "checked_by": {"bsonType": "number"},
        "finished": {"enum": [True, None]},
    },
}
READABLE_LEASE: dict[str, Any] = {"$jsonSchema": _LEASE}
READABLE_SUITE: dict[str, Any] = {"$jsonSchema": _SUITE}
_LISTING = {"required": ["ids"], "properties": {"ids": {"bsonType": "binData"}, "token": {"bsonType": "number"}}}
READABLE_LISTING: dict[str, Any] = {"$jsonSchema": _LISTING}
