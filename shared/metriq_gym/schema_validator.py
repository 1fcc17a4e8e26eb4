"""Check benchmark configurations against their JSON Schemas, apply defaults, and point at likely typos."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any

from metriq_gym import benchmarks
from metriq_gym.errors import InvalidRequest, NotFound, Problem
from metriq_gym.wording import did_you_mean, first, shorten, step

NAME_KEY = "benchmark_name"
MAX_ITEMS = 1000
"""So many entries may a list have whose schema, perhaps a third party's, sets no bound."""


def load_schema(benchmark_name: str) -> dict[str, Any]:
    """Return the JSON Schema of a benchmark; raises `NotFound` for an unknown name."""
    return benchmarks.schema(benchmark_name)


def validate(config: object, path: str = "$") -> tuple[dict[str, Any], list[Problem]]:
    """Return the configuration with defaults applied, and warnings about keys that the schema does not know.

    Those keys are left out, so that nothing is recorded as a parameter that had no effect.

    There is a warning too about a value below what the schema calls ``recommendedMinimum``, with its
    ``recommendation``: why so little proves little.

    `path` is the JSON path of the configuration in whatever document holds it. Raises `InvalidRequest`
    with every error the schema finds, up to a bound.
    """
    # jsonschema costs 0.15 s to import, which `mgym --help` must not pay.
    from jsonschema import Draft202012Validator

    if not isinstance(config, Mapping):
        raise InvalidRequest([Problem(path, "must be an object")])
    name = config.get(NAME_KEY)
    if not isinstance(name, str):
        known = ", ".join(benchmarks.names())
        raise InvalidRequest([Problem(f"{path}.{NAME_KEY}", f"is required and names one of: {known}")])
    try:
        schema = benchmarks.schema(name)
    except NotFound as error:
        raise InvalidRequest([Problem(f"{path}.{NAME_KEY}", str(error))]) from None
    if problems := first(Problem(path + each.path, each.message) for each in _too_long(config, schema)):
        raise InvalidRequest(problems)
    properties = schema["properties"]
    defaults = {key: _part(properties, key)["default"] for key in properties if "default" in _part(properties, key)}
    complete = defaults | dict(config)
    complete = {key: _whole(value, _part(properties, key)) for key, value in complete.items()}
    errors = (
        Problem(path + error.json_path.removeprefix("$"), shorten(error.message))
        for error in Draft202012Validator(schema).iter_errors(complete)
    )
    infinite = (
        Problem(path + step(key), "must be a finite number")
        for key, value in complete.items()
        if isinstance(value, float) and not isfinite(value)
    )
    if problems := [*sorted(first(errors), key=lambda problem: problem.path), *first(infinite)]:
        raise InvalidRequest(problems)
    unknown = (
        Problem(path + step(key), f"is not a parameter of {name} and is ignored{did_you_mean(key, properties)}")
        for key in config
        if key not in properties
    )
    few = (
        Problem(path + step(key), f"{value} is few: {_part(properties, key)['recommendation']}")
        for key, value in complete.items()
        if value is not None and key in properties and value < _part(properties, key).get("recommendedMinimum", value)
    )
    parameters = {key: value for key, value in complete.items() if key in properties or key == NAME_KEY}
    return parameters, first(chain(unknown, few))


def seed_of(config: Mapping[str, Any]) -> int | None:
    """Return the seed of a validated configuration, or None where it has none or the schema knows no such thing."""
    seed = config.get("seed")
    is_parameter = "seed" in benchmarks.schema(config[NAME_KEY])["properties"]
    return seed if is_parameter and isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 else None


def load_and_validate(file_path: str | Path) -> dict[str, Any]:
    """Read a configuration file, validate it and apply the schema's defaults."""
    return validate(json.loads(Path(file_path).read_text(encoding="utf-8")))[0]


def _too_long(value: Any, schema: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield lists too long to be looked at closely, by paths that begin at `value`.

    Some checks take time that grows with the square, and they are made where everything else waits.
    """
    if isinstance(value, Mapping):
        for key, each in value.items():
            found = _too_long(each, _part(schema.get("properties", {}), key))
            yield from (Problem(step(key) + problem.path, problem.message) for problem in found)
    elif isinstance(value, list):
        if "maxItems" not in schema and len(value) > MAX_ITEMS:
            yield Problem("", f"has {len(value):,} entries; at most {MAX_ITEMS:,} are accepted")
            return
        for index, each in enumerate(value[: schema.get("maxItems")]):
            found = _too_long(each, _part(schema, "items"))
            yield from (Problem(f"[{index}]{problem.path}", problem.message) for problem in found)


def _whole(value: Any, schema: Mapping[str, Any]) -> Any:
    """Turn 3.0 into 3 where an integer is due: to JSON Schema they are the same, to Python they are not.

    Of a list that is too long no more is kept than shows it: some checks take time that grows with the square.
    """
    if isinstance(value, list):
        enough = value[: schema.get("maxItems", len(value)) + 1]
        return [_whole(item, _part(schema, "items")) for item in enough]
    if schema.get("type") == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _part(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a schema in a schema; one that is missing, or only says yes or no, says nothing of what is in a value."""
    part = schema.get(key)
    return part if isinstance(part, Mapping) else {}
