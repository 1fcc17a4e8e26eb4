"""A form made from a benchmark's JSON Schema, and the configuration that a filled-in form means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PREFIX = "config."
_BOUNDS = (("minimum", "at least"), ("exclusiveMinimum", "more than"), ("maximum", "at most"))


@dataclass(frozen=True, slots=True)
class FormField:
    """One parameter of a benchmark."""

    name: str
    kind: str
    """``choice``, ``long`` or ``line``."""
    value: str
    help: str
    required: bool
    inputmode: str
    choices: tuple[str, ...] = ()


def fields_of(schema: Mapping[str, Any], config: Mapping[str, Any]) -> list[FormField]:
    """Return the fields of a schema, filled in from a configuration or else with the defaults."""
    required = schema.get("required", ())
    return [
        _field(name, part, config.get(name, part.get("default")), name in required)
        for name, part in schema["properties"].items()
        if name != "benchmark_name"
    ]


def config_of(schema: Mapping[str, Any], form: Mapping[str, str]) -> dict[str, Any]:
    """Return the configuration that a form means; what cannot be read stays text, for the schema to refuse."""
    config: dict[str, Any] = {"benchmark_name": schema["properties"]["benchmark_name"]["const"]}
    for name, part in schema["properties"].items():
        text = form.get(f"{_PREFIX}{name}", "").strip()
        if name != "benchmark_name" and text:
            config[name] = _value(part, text)
    return config


def _field(name: str, part: Mapping[str, Any], value: Any, required: bool) -> FormField:
    kind, choices = "line", tuple(_text(each) for each in part.get("enum", ()))
    if part.get("type") == "boolean":
        choices = ("true", "false")
    if choices:
        kind = "choice"
    elif part.get("maxLength", 0) > 1000 or part.get("type") == "object":
        kind = "long"
    numeric = part.get("type") in ("integer", "number")
    return FormField(
        name=name,
        kind=kind,
        value="" if value is None else _text(value),
        help=_help(part),
        required=required,
        inputmode="decimal" if numeric else "text",
        choices=choices,
    )


def _help(part: Mapping[str, Any]) -> str:
    said = [str(part.get("description", ""))]
    bounds = [f"{words} {part[key]:,}" for key, words in _BOUNDS if key in part]
    if part.get("type") == "array":
        bounds.append("a list: [1, 2, 3]")
    if bounds:
        said.append(f"({', '.join(bounds)})")
    return " ".join(filter(None, said))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(part: Mapping[str, Any], text: str) -> Any:
    if part.get("type") == "string":
        return text
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()  # half a character cannot be sent
    except (ValueError, RecursionError):
        return text
    return found
