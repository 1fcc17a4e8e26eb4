"""What is CPU-bound: circuits for the toy, and its counts for us. Functions of a module travel to worker processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qiskit import QuantumCircuit, qasm2, transpile
from qiskit.transpiler.exceptions import TranspilerError

from metriq_gym.errors import Unsupported
from metriq_gym.messages import Compilation
from metriq_gym.packing import pack_counts, unpack_circuits
from metriq_gym.providers.provider import Device

GATES = ["rz", "sx", "x", "cx"]


def compiled(
    device: Device, circuits: Sequence[QuantumCircuit], seed: int, compilation: Compilation = "default"
) -> list[QuantumCircuit]:
    """Bring circuits to the toy's gates, as Qiskit does by default or by the level that is asked for."""
    for circuit in circuits:
        if circuit.num_qubits > device.num_qubits:
            raise Unsupported(f"{device.id} has {device.num_qubits} qubits, a circuit needs {circuit.num_qubits}")
    level = int(compilation) if compilation.isdigit() else 3 if compilation == "best" else None
    try:
        return transpile(list(circuits), basis_gates=GATES, optimization_level=level, seed_transpiler=seed)
    except TranspilerError as error:
        raise Unsupported(f"{device.id} cannot run this: {error}") from error


def encoded(packed: bytes) -> str:
    """Write the circuit of a task as OpenQASM 2.0 with one register of each kind."""
    (circuit,) = unpack_circuits(packed)
    flat = QuantumCircuit(circuit.num_qubits, circuit.num_clbits)
    flat.compose(circuit, inplace=True)
    return qasm2.dumps(flat)


def decoded(packed: bytes, counts: Mapping[str, int]) -> bytes:
    """Turn the toy's keys round: their first character is bit 0, Qiskit's last one is."""
    return pack_counts([{key[::-1]: count for key, count in counts.items()}])
