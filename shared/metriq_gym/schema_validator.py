"""Check benchmark configurations against their JSON Schemas, apply defaults, and point at likely typos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, create_model

from metriq_gym import benchmarks, texts
from metriq_gym.constants import SCHEMA_MAPPING, JobType
from metriq_gym.errors import InvalidRequest, NotFound, Problem
from metriq_gym.wording import did_you_mean, first, shorten, step

NAME_KEY = "benchmark_name"
MAX_ITEMS = 1000
"""So many entries may a list have whose schema, perhaps a third party's, sets no bound."""


DEFAULT_SCHEMA_DIR = Path(__file__).parent / "schemas"
_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
}


def load_json_file(file_path: str | Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Parameters
    ----------
    file_path
        Path of a file in UTF-8.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    NotText
        When it is not JSON; it is a `json.JSONDecodeError` too.
    """
    found: dict[str, Any] = texts.loads(texts.read(file_path))
    return found


def load_schema(benchmark_name: str, schema_dir: str | Path = DEFAULT_SCHEMA_DIR) -> dict[str, Any]:
    """Return the JSON Schema of a benchmark.

    Parameters
    ----------
    benchmark_name
        A `JobType`, or the name of a benchmark that is installed.
    schema_dir
        Folder with schemas to use in place of those that are shipped, each called as in `SCHEMA_MAPPING`.

    Raises
    ------
    NotFound
        For an unknown name; it is a `ValueError` too.
    FileNotFoundError
        When `schema_dir` has no schema of it.
    """
    known = benchmark_name in set(JobType)
    return (
        load_json_file(Path(schema_dir) / SCHEMA_MAPPING[JobType(benchmark_name)])
        if known
        else benchmarks.schema(benchmark_name)
    )


def validate(config: object, path: str = "$") -> tuple[dict[str, Any], list[Problem]]:
    """Return the configuration with defaults applied, and warnings about keys that the schema does not know.

    Those keys are left out, so that nothing is recorded as a parameter that had no effect.

    There is a warning too about a value below what the schema calls ``recommendedMinimum``, with its
    ``recommendation``: why so little proves little.

    Parameters
    ----------
    config
        The configuration, ``benchmark_name`` among its keys.
    path
        JSON path of the configuration in whatever document holds it; problems' paths begin with it.

    Raises
    ------
    InvalidRequest
        With every error that the schema finds, up to a bound.
    """
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
    return _checked(config, schema, path)


def _checked(config: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[Problem]]:
    # jsonschema costs 0.15 s to import, which `mgym --help` must not pay.
    from jsonschema import Draft202012Validator

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
    name = config[NAME_KEY]
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
    """Return the seed of a validated configuration, or None where it has none or the schema knows no such thing.

    Parameters
    ----------
    config
        A validated configuration.
    """
    seed = config.get("seed")
    is_parameter = "seed" in benchmarks.schema(config[NAME_KEY])["properties"]
    return seed if is_parameter and isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 else None


def load_and_validate(file_path: str | Path, schema_dir: str | Path = DEFAULT_SCHEMA_DIR) -> BaseModel:
    """Read a configuration file and return it as a model; see `validate_and_create_model`.

    Parameters
    ----------
    file_path
        Path of a configuration.
    schema_dir
        As for `load_schema`.

    Raises
    ------
    FileNotFoundError
        When there is no such file, or `schema_dir` has no schema of the benchmark.
    NotText
        When the file is not JSON.
    InvalidRequest
        With every error that the schema finds.
    """
    return validate_and_create_model(load_json_file(file_path), schema_dir)


def validate_and_create_model(params: Mapping[str, Any], schema_dir: str | Path = DEFAULT_SCHEMA_DIR) -> BaseModel:
    """Return a configuration as a model with an attribute for each parameter of its benchmark.

    Parameters
    ----------
    params
        The configuration, ``benchmark_name`` among its keys.
    schema_dir
        As for `load_schema`.

    Returns
    -------
    BaseModel
        With the schema's defaults; a parameter without one that is not given is None.

    Raises
    ------
    InvalidRequest
        For a missing or unknown ``benchmark_name``, and with every error that the schema finds; then it is a
        ``jsonschema.ValidationError`` too.
    FileNotFoundError
        When `schema_dir` has no schema of the benchmark.
    """
    if not isinstance(params, Mapping):
        raise InvalidRequest([Problem("$", "must be an object")])
    name = params.get(NAME_KEY)
    if not isinstance(name, str):
        raise InvalidRequest([Problem(f"$.{NAME_KEY}", "is required and names a benchmark")])
    schema = load_schema(name, schema_dir)
    try:
        complete, _ = _checked(params, schema, "$")
    except InvalidRequest as error:
        raise invalid_parameters()(error.problems) from None
    return create_pydantic_model(schema).model_validate(complete)


def create_pydantic_model(schema: Mapping[str, Any]) -> type[BaseModel]:
    """Return a model with a field for each property of a JSON Schema.

    It knows types, defaults and what is required; the schema itself says more, and `validate` checks it.

    Parameters
    ----------
    schema
        A JSON Schema of an object, with ``properties``.
    """
    required = schema.get("required", ())
    fields: dict[str, Any] = {}
    for name, each in schema["properties"].items():
        kind: Any = _TYPES.get(each.get("type"), Any)
        if name in required and "default" not in each:
            fields[name] = (kind, Field(description=each.get("description")))
        else:
            fields[name] = (kind | None, Field(default=each.get("default"), description=each.get("description")))
    return create_model(str(schema.get("title", "Parameters")), **fields)


@cache
def invalid_parameters() -> type[InvalidRequest]:
    """Return the class of what `validate_and_create_model` raises, made when it is first needed, as its base is."""
    from jsonschema import ValidationError

    class InvalidParameters(InvalidRequest, ValidationError):  # type: ignore[misc]
        """Parameters that their schema refuses.

        Parameters
        ----------
        problems
            All that is wrong.
        """

        def __init__(self, problems: Sequence[Problem]) -> None:
            ValidationError.__init__(self, "; ".join(map(str, problems)))
            InvalidRequest.__init__(self, problems)

    return InvalidParameters


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
