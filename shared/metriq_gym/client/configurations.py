"""Finding and reading a benchmark's configuration by the name that was typed."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from metriq_gym.client import tracker
from metriq_gym.constants import CIRCUIT, JobType
from metriq_gym.errors import MetriqGymError

_SUFFIX = ".example.json"


class NoConfiguration(MetriqGymError):
    """There is no such configuration, or it cannot be read."""


def examples() -> list[str]:
    """Return the names of the configurations that are shipped."""
    folder = files("metriq_gym") / "schemas" / "examples"
    return sorted(each.name for each in folder.iterdir() if each.name.endswith(_SUFFIX))


def read_configuration(name: str | Path) -> dict[str, Any]:
    """Return the JSON object in a file, or in a shipped example.

    `name` is a path, as given or relative to where the package is installed (``metriq_gym/schemas/…``), or the name of
    an example. A ``qasm_path``, relative to the configuration's file, and a ``circuit`` of the Quantum Advantage
    Tracker are replaced by the ``qasm`` that they lead to, since services open and fetch nothing that a message names.
    Raises `NoConfiguration`, or `TrackerUnavailable`.
    """
    path = _find(Path(name))
    try:
        found = json.loads(_read(path, name))
    except ValueError as error:
        raise NoConfiguration(f"{name} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise NoConfiguration(f"{name} must hold one JSON object")
    if isinstance(circuit := found.get("qasm_path"), str):
        found["qasm"] = _read(path.parent / circuit, circuit)
        del found["qasm_path"]
    if found.get("benchmark_name") == JobType.QAT_OLE and (circuit := found.get("circuit")) in tracker.FILES:
        found |= {"qasm": tracker.fetch(circuit), "observable_qubits": list(tracker.OBSERVABLE_QUBITS)}
        del found["circuit"]
    return found


def read_circuit(path: Path, shots: int, observables: list[str]) -> dict[str, Any]:
    """Return the configuration of a plain circuit whose text is in a file; raises `NoConfiguration`."""
    config = {"benchmark_name": CIRCUIT, "qasm": _read(path, path), "shots": shots}
    return config | ({"observables": observables} if observables else {})


def _read(path: Path, name: str | Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise NoConfiguration(f"cannot read {name}: {error}") from error


def _find(path: Path) -> Path:
    package = Path(str(files("metriq_gym")))
    shipped = package / "schemas" / "examples" / path.name
    for candidate in (path, package.parent / path, shipped, shipped.with_name(path.name + _SUFFIX)):
        if candidate.is_file():
            return candidate
    return path
