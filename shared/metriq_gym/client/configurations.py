"""Finding and reading a benchmark's configuration by the name that was typed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from metriq_gym import texts
from metriq_gym.circuit_files import NoCircuit, with_circuit
from metriq_gym.client import tracker
from metriq_gym.constants import CIRCUIT, JobType
from metriq_gym.errors import MetriqGymError
from metriq_gym.schema_validator import NAME_KEY
from metriq_gym.texts import NotText
from metriq_gym.wording import because

_SUFFIX = ".example.json"


class NoConfiguration(MetriqGymError):
    """There is no such configuration, or it cannot be read."""


def examples() -> list[str]:
    """Return the names of the configurations that are shipped."""
    folder = files("metriq_gym") / "schemas" / "examples"
    return sorted(each.name for each in folder.iterdir() if each.name.endswith(_SUFFIX))


def read_configuration(name: str | Path) -> dict[str, Any]:
    """Return the JSON object in a file, in standard input (``-``), or in a shipped example.

    `name` is a path, as given or relative to where the package is installed (``metriq_gym/schemas/…``), or the name of
    an example. A ``qasm_path``, relative to the configuration's file or to the working directory, and a ``circuit`` of
    the Quantum Advantage Tracker are replaced by the ``qasm`` that they lead to, since services open and fetch nothing
    that a message names.
    Raises `NoConfiguration`, or `TrackerUnavailable`.
    """
    path = Path(name) if str(name) == texts.STANDARD_INPUT else _find(Path(name))
    called = "standard input" if str(name) == texts.STANDARD_INPUT else str(name)
    try:
        found = texts.loads(texts.read(path))
    except NotText as error:
        raise NoConfiguration(f"{called} {error}") from error
    except (OSError, ValueError) as error:
        raise NoConfiguration(f"cannot read {called}: {because(error)}") from error
    if not isinstance(found, dict):
        raise NoConfiguration(f"{called} must hold one JSON object")
    if "benchmarks" in found and NAME_KEY not in found:
        raise NoConfiguration(f"{called} is a suite: `mgym suite dispatch` takes it")
    try:
        found = with_circuit(found, path.parent)
    except NoCircuit as error:
        raise NoConfiguration(str(error)) from error
    if found.get("benchmark_name") == JobType.QAT_OLE and (circuit := found.get("circuit")) in tracker.FILES:
        found |= {"qasm": tracker.fetch(circuit), "observable_qubits": list(tracker.OBSERVABLE_QUBITS)}
        del found["circuit"]
    return found


def read_circuit(path: Path, shots: int, observables: list[str]) -> dict[str, Any]:
    """Return the configuration of a plain circuit whose text is in a file; raises `NoConfiguration`."""
    try:
        config: dict[str, Any] = {"benchmark_name": CIRCUIT, "qasm": texts.read(path), "shots": shots}
    except (OSError, ValueError) as error:
        raise NoConfiguration(f"cannot read {path}: {because(error)}") from error
    return config | ({"observables": observables} if observables else {})


def _find(path: Path) -> Path:
    package = Path(str(files("metriq_gym")))
    shipped = package / "schemas" / "examples" / path.name
    for candidate in (path, package.parent / path, shipped, shipped.with_name(path.name + _SUFFIX)):
        if candidate.is_file():
            return candidate
    return path
