"""What is CPU-bound: circuits in the device's own operations, as text, and IBM's counts back per circuit."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from metriq_gym.errors import Unsupported
from metriq_gym.messages import Compilation
from metriq_gym.packing import pack_counts, unpack_circuits
from metriq_gym.providers.compilation import CANDIDATES, best, strategy
from metriq_gym.providers.ibm.devices import IBMDevice, target
from metriq_gym.providers.provider import Device

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

REGISTER = "c"
"""All classical bits of a circuit, in one register."""


def compiled(
    device: Device, circuits: Sequence[QuantumCircuit], seed: int, compilation: Compilation = "default"
) -> list[QuantumCircuit]:
    """Compile for the device's target as it was calibrated when the device was asked for.

    Raises `Unsupported`, naming operation, qubit count and device, for a circuit that cannot run there.
    """
    from qiskit.transpiler.exceptions import TranspilerError

    assert isinstance(device, IBMDevice)  # noqa: S101  (of `IBMProvider.device`)
    chosen = strategy(compilation, seed)
    found = []
    for circuit in circuits:
        where = f"{device.id} ({device.num_qubits} qubits) cannot run circuit {circuit.name!r}"
        if problem := _problem(device, circuit):
            raise Unsupported(f"{where}: {problem}")
        try:
            candidates = [_passes(device.described, chosen.level, each).run(circuit) for each in chosen.seeds]
        except TranspilerError as error:
            raise Unsupported(f"{where}: {error}") from error
        found.append(_flat(best(candidates, partial(_error, device.described))))
    return found


def encoded(packed: bytes) -> str:
    """Return the compiled circuits of a task as text."""
    return b64encode(packed).decode()


def read(source: str) -> list[QuantumCircuit]:
    """Return the circuits of such text."""
    return unpack_circuits(b64decode(source))


def joined(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the counts of a task's circuits as one mapping, which `decoded` takes apart."""
    return {f"{n}:{key}": count for n, each in enumerate(counts) for key, count in each.items()}


def decoded(packed: bytes, counts: Mapping[str, int]) -> bytes:
    """Return the packed counts of each circuit; IBM's keys are in Qiskit's order."""
    circuits = unpack_circuits(packed)
    found: list[dict[str, int]] = [{} for _ in circuits]
    for key, count in counts.items():
        n, bits = key.split(":")
        if len(bits) != circuits[int(n)].num_clbits:
            raise ValueError(f"circuit {n} has {circuits[int(n)].num_clbits} bits, and counts of {bits!r}")
        found[int(n)][bits] = count
    if not all(found):
        raise ValueError("a circuit has no counts")
    return pack_counts(found)


def _flat(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with all its classical bits in one register, as counts need it, and without its layout."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

    flat = QuantumCircuit(
        QuantumRegister(circuit.num_qubits, "q"),
        ClassicalRegister(circuit.num_clbits, REGISTER),
        name=circuit.name,
        metadata=circuit.metadata,
    )
    flat.compose(circuit, flat.qubits, flat.clbits, inplace=True)
    return flat


def _problem(device: Device, circuit: QuantumCircuit) -> str | None:
    if circuit.num_qubits > device.num_qubits:
        return f"it has {circuit.num_qubits} qubits"
    if circuit.parameters:
        return f"parameter {circuit.parameters[0].name!r} has no value"
    if circuit.num_vars:
        return "run-time variables are not supported"
    if circuit.has_control_flow_op():
        return "control flow is not supported"
    if "measure" not in circuit.count_ops():
        return "it has no measurements"
    return None


@lru_cache(maxsize=2 * CANDIDATES)
def _passes(description: str, level: int, seed: int) -> Any:
    from qiskit.transpiler import generate_preset_pass_manager

    return generate_preset_pass_manager(level, target=target(description), seed_transpiler=seed)


def _error(description: str, operation: str, qubits: tuple[int, ...]) -> float:
    there = target(description)
    properties = (there[operation] or {}).get(qubits) if operation in there.operation_names else None
    return (properties.error or 0.0) if properties is not None else 0.0
