"""Snapshots of IBM's devices as data, and what Qiskit is told of them.

The files are made by ``deploy/device_profiles.py`` from those of qiskit-ibm-runtime, whose hundred megabytes nothing
here needs: a target and a noise model made from them are the same as the library's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qiskit.circuit import Operation
    from qiskit.dagcircuit import DAGCircuit
    from qiskit.transpiler import InstructionProperties, Target

FOLDER = Path(__file__).parent
PREFIX = "fake_"


@cache
def names() -> tuple[str, ...]:
    """Names of all profiles in order."""
    return tuple(sorted(path.stem for path in FOLDER.glob(f"{PREFIX}*.json")))


@cache
def load(name: str) -> dict[str, Any]:
    """Return a snapshot as it is written."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def target(name: str) -> Target:
    """Return what circuits for the device are compiled for: its operations, where they act, their errors and times."""
    from qiskit.circuit.library import get_standard_gate_name_mapping
    from qiskit.providers import QubitProperties
    from qiskit.transpiler import Target

    profile = load(name)
    count = profile["qubits"]
    qubits = zip(*(_each(profile[key], count) for key in ("t1", "t2", "frequency")), strict=True)
    made = Target(
        num_qubits=count,
        dt=profile["dt"],
        **profile["timing"],
        qubit_properties=[QubitProperties(t1=t1, t2=t2, frequency=frequency) for t1, t2, frequency in qubits],
    )
    standard = get_standard_gate_name_mapping()
    for entry in profile["operations"]:
        operation = standard.get(entry["name"]) or _other(entry)
        # IBM's devices have this gate for a quarter turn only.
        bounds = [(0.0, math.pi / 2)] if entry["name"] == "rzz" else None
        if bounds:
            _fold_rzz()
        made.add_instruction(operation, _properties(entry), name=entry["name"], angle_bounds=bounds)
    return made


def _properties(entry: dict[str, Any]) -> dict[tuple[int, ...], InstructionProperties | None] | None:
    from qiskit.transpiler import InstructionProperties

    if "on" not in entry:
        return None
    places = [(place,) if isinstance(place, int) else tuple(place) for place in entry["on"]]
    columns = zip(places, _each(entry["error"], len(places)), _each(entry["duration"], len(places)), strict=True)
    return {
        place: None if error is duration is None else InstructionProperties(error=error, duration=duration)
        for place, error, duration in columns
    }


def _each(column: Sequence[float | None] | float | None, count: int) -> Sequence[float | None]:
    """Return a column's values; a single one stands for all."""
    return column if isinstance(column, list) else [column] * count  # type: ignore[list-item]


def _other(entry: dict[str, Any]) -> Operation | type[Operation]:
    """Return an operation that is no standard gate: control flow, or one of IBM's own, of which the shape is known."""
    from qiskit.circuit import Instruction, Parameter
    from qiskit.circuit.controlflow import get_control_flow_name_mapping

    if "shape" not in entry:
        found: type[Operation] = get_control_flow_name_mapping()[entry["name"]]
        return found
    qubits, clbits, parameters = entry["shape"]
    return Instruction(entry["name"], qubits, clbits, [Parameter(parameter) for parameter in parameters])


@cache
def _fold_rzz() -> None:
    """Tell Qiskit how to write a ZZ rotation by any angle with one by at most a quarter turn."""
    from qiskit.transpiler.passes import WrapAngles

    WrapAngles.DEFAULT_REGISTRY.add_wrapper("rzz", folded)


def folded(angles: Sequence[float], qubits: Sequence[int]) -> DAGCircuit:
    """Return exp(-iθ ZZ/2) with its angle in [0, π/2].

    ZZ(θ) = ∓i (Z⊗Z) ZZ(θ ∓ π) brings the angle within a quarter turn of zero, and X on one qubit turns its sign.
    """
    from qiskit import QuantumCircuit
    from qiskit.converters import circuit_to_dag

    angle = angles[0]
    half_turns = round(angle / math.pi)
    rest = angle - half_turns * math.pi
    circuit = QuantumCircuit(2, global_phase=-half_turns * math.pi / 2)
    if half_turns % 2:
        # RZ(π) is -iZ, so two of them are -Z⊗Z.
        circuit.rz(math.pi, 0)
        circuit.rz(math.pi, 1)
        circuit.global_phase += math.pi
    if rest < 0:
        circuit.x(0)
    if not math.isclose(rest, 0, abs_tol=1e-8):
        circuit.rzz(abs(rest), 0, 1)
    if rest < 0:
        circuit.x(0)
    return circuit_to_dag(circuit)
