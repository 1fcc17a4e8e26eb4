"""Writes the snapshots of IBM's devices that qiskit-ibm-runtime carries as the compact data that we ship.

``make profiles`` runs this. Only what a compilation target, a noise model and a device's description are made of is
kept, as `metriq_gym.providers.aer.profiles` reads it: one file per device, times in seconds, frequencies in hertz.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from qiskit.circuit import Instruction

from metriq_gym.providers.aer.profiles import FOLDER

SOURCE = "qiskit-ibm-runtime"


def backends() -> Iterator[Any]:
    """Yield the backend of every snapshot, by name."""
    from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2

    with warnings.catch_warnings(category=UserWarning, action="ignore"):
        yield from sorted(FakeProviderForBackendV2().backends(), key=lambda backend: str(backend.name))


def snapshot(backend: Any) -> dict[str, Any]:
    """Return what is shipped of a backend, ready for JSON."""
    folder = Path(backend.dirname)
    conf = json.loads((folder / backend.conf_filename).read_text(encoding="utf-8"))
    props = json.loads((folder / backend.props_filename).read_text(encoding="utf-8"))
    target = backend.target
    qubits = target.qubit_properties
    return {
        "source": f"{SOURCE} {version(SOURCE)}, Apache-2.0, (C) IBM; made by deploy/device_profiles.py",
        "snapshot_of": conf["backend_name"],
        "version": conf["backend_version"],
        "qubits": target.num_qubits,
        "basis_gates": conf["basis_gates"],
        "edges": _edges(conf, props),
        "dt": target.dt,
        "timing": {
            "granularity": target.granularity,
            "min_length": target.min_length,
            "pulse_alignment": target.pulse_alignment,
            "acquire_alignment": target.acquire_alignment,
        },
        "t1": _column([qubit.t1 for qubit in qubits]),
        "t2": _column([qubit.t2 for qubit in qubits]),
        "frequency": _column([qubit.frequency for qubit in qubits]),
        # The library keeps operations in sets, so it has no order of its own; this one is the same each time.
        "operations": [_operation(target, name) for name in sorted(target.operation_names)],
    }


def write(snapshot: dict[str, Any], path: Path) -> None:
    """Write a snapshot, one of its values per line."""
    lines = [f"{json.dumps(key)}: {_value(key, value)}" for key, value in snapshot.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _value(key: str, value: Any) -> str:
    if key == "operations":
        return "[\n" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in value) + "\n]"
    return json.dumps(value, separators=(",", ":"))


def _operation(target: Any, name: str) -> dict[str, Any]:
    operation = target.operation_from_name(name)
    found = target[name]
    shape = (
        {"shape": [operation.num_qubits, operation.num_clbits, [str(parameter) for parameter in operation.params]]}
        if type(operation) is Instruction
        else {}
    )
    if None in found:
        return {"name": name, **shape}
    places = list(found)
    return {
        "name": name,
        **shape,
        "on": [qubits[0] if len(qubits) == 1 else list(qubits) for qubits in places],
        "error": _column([found[qubits] and found[qubits].error for qubits in places]),
        "duration": _column([found[qubits] and found[qubits].duration for qubits in places]),
    }


def _column(values: Sequence[float | None]) -> list[float | None] | float | None:
    """Return the values, as one of them where all are the same."""
    return values[0] if len(set(values)) == 1 else list(values)


def _edges(conf: dict[str, Any], props: dict[str, Any]) -> list[list[int]]:
    """Coupled pairs for which the snapshot has a two-qubit gate; a pair without one was out of order that day.

    They are in the snapshot's own order, in which the weights of a native problem are drawn.
    """
    calibrated = {frozenset(gate["qubits"]) for gate in props["gates"] if len(gate["qubits"]) == 2}
    coupled = dict.fromkeys((min(pair), max(pair)) for pair in conf["coupling_map"] or ())
    return [list(pair) for pair in coupled if frozenset(pair) in calibrated]


if __name__ == "__main__":
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for backend in backends():
        write(snapshot(backend), FOLDER / f"{backend.name}.json")
