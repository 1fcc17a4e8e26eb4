"""Writes a compiled circuit as the OpenQASM 2.0 text that TyxonQ is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from metriq_gym.errors import Unsupported
from metriq_gym.providers.tyxonq.counts import measurement_map

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

GATES = ("h", "x", "y", "z", "s", "t", "rz", "cx", "cz")
"""The documented gates."""
PULSES = frozenset({"h", "x", "y"})
"""One-qubit gates that take a pulse; rotations about z are changes of frame on superconducting qubits."""


def to_qasm2(circuit: QuantumCircuit) -> str:
    """Return the text of a circuit of `GATES`, measurements and barriers, equal up to global phase.

    Barriers are left out, since the service knows none. The measurements come last, in ascending order of the qubits,
    into as many classical bits as there are measured qubits; `measurement_map` tells which bits of the circuit these
    are. Raises `Unsupported` for any other operation.
    """
    measured = measurement_map(circuit)
    lines = [
        "OPENQASM 2.0;",
        'include "qelib1.inc";',
        f"qreg q[{circuit.num_qubits}];",
        f"creg c[{len(measured.pairs)}];",
    ]
    for instruction in circuit.data:
        if instruction.name in GATES:
            angle = "".join(f"({_decimal(float(value))})" for value in instruction.params)
            qubits = ",".join(f"q[{circuit.find_bit(qubit).index}]" for qubit in instruction.qubits)
            lines.append(f"{instruction.name}{angle} {qubits};")
        elif instruction.name not in ("measure", "barrier"):
            raise Unsupported(f"circuit {circuit.name!r} has the operation {instruction.name}, which TyxonQ has not")
    lines += [f"measure q[{qubit}] -> c[{bit}];" for bit, (qubit, _) in enumerate(measured.pairs)]
    return "\n".join(lines) + "\n"


def _decimal(value: float) -> str:
    """Write a number so that reading it gives the same one; without exponent, which not every reader knows."""
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else f"{text}.0"
