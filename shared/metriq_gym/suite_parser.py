"""Suites: lists of benchmark configurations that are dispatched together, read from JSON and fully checked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metriq_gym.errors import InvalidRequest, NotFound, Problem
from metriq_gym.messages import Name
from metriq_gym.schema_validator import validate
from metriq_gym.wording import did_you_mean, first, from_pydantic, step

MAX_BENCHMARKS = 200


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class SuiteBenchmark(_Model):
    """One entry of a suite."""

    name: Name
    """Unique in its suite."""
    component: Name | None = None
    """What `select` calls it, together with the other entries of the same component; None: its own name."""
    config: dict[str, Any]
    """The benchmark's configuration; a parsed suite has the schema's defaults applied."""

    @property
    def part(self) -> str:
        """The component it is selected by."""
        return self.component or self.name


class Suite(_Model):
    """A suite's document."""

    name: Name
    version: str | None = None
    description: str | None = None
    source: str | None = None
    references: list[str] = Field(default=[], max_length=1000)
    full_suite_warning: Name | None = None
    """Why the whole suite should not be dispatched by accident; with it, `select` wants an explicit opt-in."""
    benchmarks: list[SuiteBenchmark] = Field(min_length=1, max_length=MAX_BENCHMARKS)

    @property
    def components(self) -> list[str]:
        """The components there are, in the order of the suite."""
        return list(dict.fromkeys(each.part for each in self.benchmarks))


def shipped() -> list[str]:
    """Names of the suites that come with metriq-gym."""
    folder = files("metriq_gym") / "suites"
    return sorted(each.name.removesuffix(".json") for each in folder.iterdir() if each.name.endswith(".json"))


def load_suite(path_or_name: str | Path) -> tuple[Suite, list[Problem]]:
    """Read a suite from a file, or a shipped one by its name; see `parse_suite`.

    Raises `NotFound` when there is no such file and no such suite.
    """
    path = Path(path_or_name)
    if path.is_file():
        text = path.read_text(encoding="utf-8")
    elif str(path_or_name) in shipped():
        text = (files("metriq_gym") / "suites" / f"{path_or_name}.json").read_text(encoding="utf-8")
    else:
        hint = did_you_mean(str(path_or_name), shipped())
        known = ", ".join(shipped())
        raise NotFound(f"there is no file {str(path)!r} and no suite of that name{hint}; shipped suites: {known}")
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidRequest([Problem("$", f"is not JSON: {error}")]) from None
    return parse_suite(document)


def parse_suite(document: object, path: str = "$") -> tuple[Suite, list[Problem]]:
    """Return the suite with every configuration complete, and warnings about keys that mean nothing.

    `path` is the JSON path of the suite in whatever document holds it. Raises `InvalidRequest` with everything
    that is wrong with the suite or with any configuration in it.
    """
    if not isinstance(document, Mapping):
        raise InvalidRequest([Problem(path, "must be an object")])
    suite, problems = None, []
    try:
        suite = Suite.model_validate(document)
    except ValidationError as error:
        problems = from_pydantic(error, path)
    warnings = first(_unknown_keys(document, Suite, path))
    names: dict[object, str] = {}
    configs = []
    for here, entry in _entries(document, path):
        warnings += first(_unknown_keys(entry, SuiteBenchmark, here))
        name = entry.get("name")
        if isinstance(name, str) and names.setdefault(name, here) != here:
            problems.append(Problem(f"{here}.name", f"{name!r} is the name of {names[name]} already"))
        if isinstance(entry.get("config"), Mapping):
            try:
                config, hints = validate(entry["config"], f"{here}.config")
            except InvalidRequest as error:
                problems += error.problems
            else:
                configs.append(config)
                warnings += hints
    if suite is None or problems:
        raise InvalidRequest(first(problems))
    complete = [
        each.model_copy(update={"config": config}) for each, config in zip(suite.benchmarks, configs, strict=True)
    ]
    return suite.model_copy(update={"benchmarks": complete}), first(warnings)


def select(
    suite: Suite,
    components: Sequence[str] = (),
    all: bool = False,  # noqa: A002  (what the request and the command line call it)
) -> list[SuiteBenchmark]:
    """Return the benchmarks of the named components in the suite's order, or all when none is named.

    Case does not matter in a component's name, nor whether words are joined by a space, ``-`` or ``_``. A suite with
    a `full_suite_warning` is returned as a whole only with `all`. Raises `InvalidRequest`, whose paths are those of a
    suite request.
    """
    if not components:
        if suite.full_suite_warning is None or all:
            return list(suite.benchmarks)
        choice = f"confirm with all (--all), or choose components from: {', '.join(suite.components)}"
        raise InvalidRequest([Problem("$.all", f"{suite.full_suite_warning} To dispatch it, {choice}")])
    known = [_folded(each) for each in suite.components]
    unknown = [
        Problem(
            f"$.components[{index}]",
            f"{wanted!r} is no component of {suite.name}{did_you_mean(_folded(wanted), known)}; "
            f"there are: {', '.join(suite.components)}",
        )
        for index, wanted in enumerate(components)
        if _folded(wanted) not in known
    ]
    if unknown:
        raise InvalidRequest(unknown)
    chosen = {_folded(each) for each in components}
    return [each for each in suite.benchmarks if _folded(each.part) in chosen]


def _entries(document: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield those entries of ``benchmarks`` that can be looked into, each with its JSON path."""
    entries = document.get("benchmarks")
    for position, entry in enumerate(entries[:MAX_BENCHMARKS] if isinstance(entries, list) else []):
        if isinstance(entry, Mapping):
            yield f"{path}.benchmarks[{position}]", entry


def _unknown_keys(document: Mapping[str, Any], model: type[BaseModel], path: str) -> Iterator[Problem]:
    for key in document:
        if key not in model.model_fields:
            hint = did_you_mean(key, model.model_fields)
            yield Problem(path + step(key), f"has no meaning here and is ignored{hint}")


def _folded(component: str) -> str:
    return re.sub(r"[\s_-]+", "-", component.strip()).casefold()
