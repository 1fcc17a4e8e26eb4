"""Reading a request that anyone may have published: every problem is found and named by its JSON path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from metriq_gym.bus.identity import Request
from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.messages import JobRequested
from metriq_gym.schema_validator import NAME_KEY, validate
from metriq_gym.wording import first, from_pydantic, printable, shorten, step

MAX_DEPTH = 50
_MOST_TAGS = 20
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Checked:
    """A request whose form is right; its configuration has the schema's defaults applied."""

    message: JobRequested
    config: dict[str, Any]
    warnings: list[Problem]


def read_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """Return the body of a request as an object that the store can keep; raises `InvalidRequest`."""
    size, body = len(request.delivery.body), request.body
    if size > max_bytes:
        raise InvalidRequest([Problem("$", f"is {size:,} bytes; at most {max_bytes:,} are accepted")])
    if request.problem is not None:
        raise InvalidRequest([Problem("$", f"is not JSON: {request.problem}")])
    if not isinstance(body, dict):
        raise InvalidRequest([Problem("$", "must be a JSON object")])
    if problems := first(Problem(f"${each.path}", each.message) for each in _unstorable(body)):
        raise InvalidRequest(problems)
    return body


def check(request: Request, max_bytes: int) -> Checked:
    """Parse and validate a job request; raises `InvalidRequest` with all that is wrong with it, up to a bound."""
    body = read_object(request, max_bytes)
    problems = []
    try:
        message = JobRequested.model_validate(body)
    except ValidationError as error:
        problems = from_pydantic(error)
    try:
        if "config" in body:
            config, warnings = validate(body["config"], "$.config")
    except InvalidRequest as error:
        problems = [each for each in problems if not each.path.startswith("$.config")] + list(error.problems)
    if problems:
        raise InvalidRequest(first(problems))
    return Checked(message, config, warnings)


def asked_for(request: Request) -> dict[str, Any]:
    """Return what a request that cannot be accepted asks for, as far as it can be read, for the job's document."""
    body = _object(request.body)
    config, suite = _object(body.get("config")), _object(body.get("suite"))
    found = {
        "benchmark_name": config.get(NAME_KEY),
        "provider": body.get("provider"),
        "device": body.get("device"),
        "target": body.get("device"),
        "suite_name": body.get("suite_name") or suite.get("name"),
    }
    tags = body.get("tags")
    lines: dict[str, Any] = {name: _line(text) for name, text in found.items() if isinstance(text, str)}
    if isinstance(tags, list):
        lines["tags"] = [_line(each) for each in tags[:_MOST_TAGS] if isinstance(each, str)]
    return lines


def _line(text: str) -> str:
    return printable(shorten(text, 200), kept="")


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _unstorable(value: Any, depth: int = 0) -> Iterator[Problem]:
    """Yield what JSON allows and a document in the store does not, by paths that begin at `value`."""
    if depth > MAX_DEPTH:
        yield Problem("", f"is nested deeper than {MAX_DEPTH} levels")
    elif isinstance(value, dict):
        for key, each in value.items():
            if "\0" in key:
                yield Problem(f".{shorten(repr(key))}", "is a name with a NUL character")
            elif key == "$ref":
                yield Problem(".$ref", "is a name that the store keeps for itself")
            # Only a problem needs a path: that of everything there is could take gigabytes.
            yield from (Problem(step(key) + found.path, found.message) for found in _unstorable(each, depth + 1))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from (Problem(f"[{index}]{found.path}", found.message) for found in _unstorable(each, depth + 1))
    elif isinstance(value, int) and value not in _INT64:
        yield Problem("", "is an integer of more than 64 bits")
