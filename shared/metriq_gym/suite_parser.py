"""Suites: lists of benchmark configurations that are dispatched together, read from JSON and fully checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from os.path import lexists
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metriq_gym import texts
from metriq_gym.circuit_files import NoCircuit, with_circuit
from metriq_gym.errors import InvalidRequest, MetriqGymError, NotFound, Problem
from metriq_gym.messages import Name
from metriq_gym.schema_validator import NAME_KEY, validate
from metriq_gym.texts import STANDARD_INPUT, NotText
from metriq_gym.wording import because, did_you_mean, first, from_pydantic, step

MAX_BENCHMARKS = 200


class NoSuite(NotFound, FileNotFoundError):
    """There is no such file, or it cannot be read, and no suite of that name."""


class Unselectable(MetriqGymError, ValueError):
    """Components of a suite that cannot be selected."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class BenchmarkEntry(_Model):
    """One entry of a suite."""

    name: Name
    """Unique in its suite."""
    component: Name | None = None
    """What `select` calls it, together with the other entries of the same component; None: its own name."""
    config: dict[str, Any]
    """The benchmark's configuration; a parsed suite has the schema's defaults applied."""

    @property
    def component_name(self) -> str:
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
    benchmarks: list[BenchmarkEntry] = Field(min_length=1, max_length=MAX_BENCHMARKS)

    @property
    def component_names(self) -> list[str]:
        """The components there are, in the order of the suite; case makes no difference."""
        spelled: dict[str, str] = {}
        for each in self.benchmarks:
            spelled.setdefault(each.component_name.casefold(), each.component_name)
        return list(spelled.values())

    def select_components(self, requested_components: Sequence[str]) -> list[BenchmarkEntry]:
        """Return the benchmarks of components in the suite's order; unlike `select`, only case may differ.

        Parameters
        ----------
        requested_components
            Names of components, in any order.

        Raises
        ------
        Unselectable
            For a component that the suite does not have, or that is asked for more than once.
        """
        wanted = [each.casefold() for each in requested_components]
        known = [each.casefold() for each in self.component_names]
        twice = dict.fromkeys(
            name for name, key in zip(requested_components, wanted, strict=True) if wanted.count(key) > 1
        )
        if twice:
            raise Unselectable(f"Duplicate component selection: {', '.join(twice)}")
        unknown = [name for name, key in zip(requested_components, wanted, strict=True) if key not in known]
        if unknown:
            there_are = ", ".join(self.component_names)
            raise Unselectable(f"Unknown component(s): {', '.join(unknown)}. Available components: {there_are}")
        return [each for each in self.benchmarks if each.component_name.casefold() in wanted]


def shipped() -> list[str]:
    """Names of the suites that come with metriq-gym."""
    folder = files("metriq_gym") / "suites"
    return sorted(each.name.removesuffix(".json") for each in folder.iterdir() if each.name.endswith(".json"))


def load_suite(path_or_name: str | Path) -> tuple[Suite, list[Problem]]:
    """Read a suite from a file or standard input (``-``), or a shipped one by its name; see `parse_suite`.

    A ``qasm_path`` in it, relative to the file or to the working directory, is replaced by the ``qasm`` it leads to.

    Parameters
    ----------
    path_or_name
        A path, ``-``, or a shipped suite's name.

    Raises
    ------
    NoSuite
        When there is no such file and no such suite, or the file cannot be read.
    InvalidRequest
        When it is not JSON, when a circuit's file is missing, and for what `parse_suite` finds.
    """
    source = _find(path_or_name)
    try:
        document = texts.loads(_read(source))
    except NotText as error:
        raise InvalidRequest([Problem("$", str(error))]) from None
    if isinstance(document, Mapping) and NAME_KEY in document and "benchmarks" not in document:
        raise InvalidRequest([Problem("$", "is the configuration of one benchmark, and no suite")])
    return parse_suite(_with_circuits(document, source.parent))


def parse_suite_file(path: str | Path) -> Suite:
    """Return a suite from a file, or a shipped one by its name, with its configurations as they stand there.

    For scripts written for metriq-gym. `load_suite` also checks every configuration.

    Parameters
    ----------
    path
        A path, ``-``, or a shipped suite's name.

    Raises
    ------
    NoSuite
        When there is no such file and no such suite, or the file cannot be read; it is a `FileNotFoundError` too.
    NotText
        When the file is not JSON; it is a `json.JSONDecodeError` too.
    pydantic.ValidationError
        When it is no suite.
    """
    return Suite.model_validate(texts.loads(_read(_find(path))))


def _read(path: Path) -> str:
    try:
        return texts.read(path)
    except OSError as error:
        raise NoSuite(f"cannot read the suite {str(path)!r}: {because(error)}") from error


def _find(path_or_name: str | Path) -> Path:
    path, name = Path(path_or_name), str(path_or_name).removesuffix(".json")
    if path.is_file() or str(path) == STANDARD_INPUT:
        return path
    if name in shipped():
        return Path(str(files("metriq_gym"))) / "suites" / f"{name}.json"
    if lexists(path):
        return path  # a pipe, or what reading says the fault of
    hint = did_you_mean(name, shipped())
    known = ", ".join(shipped())
    raise NoSuite(f"there is no file {str(path)!r} and no suite of that name{hint}; shipped suites: {known}")


def parse_suite(document: object, path: str = "$") -> tuple[Suite, list[Problem]]:
    """Return the suite with every configuration complete, and warnings about keys that mean nothing.

    Parameters
    ----------
    document
        A suite as JSON has it.
    path
        JSON path of the suite in whatever document holds it; problems' paths begin with it.

    Raises
    ------
    InvalidRequest
        With everything that is wrong with the suite or with any configuration in it, up to a bound.
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
        warnings += first(_unknown_keys(entry, BenchmarkEntry, here))
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
) -> list[BenchmarkEntry]:
    """Return the benchmarks of the named components in the suite's order, or all when none is named.

    Case does not matter in a component's name, nor whether words are joined by a space, ``-`` or ``_``. A suite with a
    `full_suite_warning` is returned as a whole only with `all`.

    Parameters
    ----------
    suite
        A parsed suite.
    components
        Names of components, in any order; none stands for all.
    all
        Opt in to the whole of a suite that warns of it.

    Raises
    ------
    InvalidRequest
        For an unknown component, and without the opt-in; paths are those of a suite request.
    """
    if not components:
        if suite.full_suite_warning is None or all:
            return list(suite.benchmarks)
        choice = f"confirm with all (--all), or choose components from: {', '.join(suite.component_names)}"
        raise InvalidRequest([Problem("$.all", f"{suite.full_suite_warning} To dispatch it, {choice}")])
    known = [_folded(each) for each in suite.component_names]
    unknown = [
        Problem(
            f"$.components[{index}]",
            f"{wanted!r} is no component of {suite.name}{did_you_mean(_folded(wanted), known)}; "
            f"there are: {', '.join(suite.component_names)}",
        )
        for index, wanted in enumerate(components)
        if _folded(wanted) not in known
    ]
    if unknown:
        raise InvalidRequest(unknown)
    chosen = {_folded(each) for each in components}
    return [each for each in suite.benchmarks if _folded(each.component_name) in chosen]


def _entries(document: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield those entries of ``benchmarks`` that can be looked into, each with its JSON path."""
    entries = document.get("benchmarks")
    for position, entry in enumerate(entries[:MAX_BENCHMARKS] if isinstance(entries, list) else []):
        if isinstance(entry, Mapping):
            yield f"{path}.benchmarks[{position}]", entry


def _with_circuits(document: object, folder: Path) -> object:
    """Return a suite's document with its circuits instead of their paths.

    Raises
    ------
    InvalidRequest
        With all circuits that are missing.
    """
    if not isinstance(document, dict):
        return document
    problems = []
    for here, entry in _entries(document, "$"):
        if isinstance(config := entry.get("config"), dict):
            try:
                complete = with_circuit(config, folder)
            except NoCircuit as error:
                problems.append(Problem(f"{here}.config.qasm_path", str(error)))
            else:
                config.clear()
                config |= complete
    if problems:
        raise InvalidRequest(first(problems))
    return document


def _unknown_keys(document: Mapping[str, Any], model: type[BaseModel], path: str) -> Iterator[Problem]:
    for key in document:
        if key not in model.model_fields:
            hint = did_you_mean(key, model.model_fields)
            yield Problem(path + step(key), f"has no meaning here and is ignored{hint}")


def _folded(component: str) -> str:
    return re.sub(r"[\s_-]+", "-", component.strip()).casefold()
