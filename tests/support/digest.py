"""A digest of circuits that stays the same wherever and whenever the same circuits are built."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import IfElseOp


def digest(circuits: Iterable[QuantumCircuit]) -> str:
    """16 hex digits over names, parameters (to 9 digits) and operands of all instructions, in order."""
    text = json.dumps([_canonical(circuit) for circuit in circuits], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _canonical(circuit: QuantumCircuit) -> list[Any]:
    qubits = {qubit: index for index, qubit in enumerate(circuit.qubits)}
    clbits = {clbit: index for index, clbit in enumerate(circuit.clbits)}
    return [
        circuit.num_qubits,
        circuit.num_clbits,
        [
            [
                instruction.operation.name,
                [_parameter(parameter) for parameter in instruction.operation.params],
                [qubits[qubit] for qubit in instruction.qubits],
                [clbits[clbit] for clbit in instruction.clbits],
                *_condition(instruction.operation, clbits),
            ]
            for instruction in circuit.data
        ],
    ]


def _condition(operation: Any, clbits: dict[Any, int]) -> list[Any]:
    if not isinstance(operation, IfElseOp):
        return []
    bit, value = operation.condition
    return [clbits[bit], int(value)]


def _parameter(parameter: Any) -> Any:
    if isinstance(parameter, QuantumCircuit):
        return _canonical(parameter)
    if isinstance(parameter, np.ndarray):
        return [_number(entry) for entry in parameter.ravel()]
    return None if parameter is None else _number(complex(parameter))


def _number(value: complex) -> str:
    # Adding 0.0 turns -0.0 into 0.0.
    return f"{round(value.real, 9) + 0.0:.9f},{round(value.imag, 9) + 0.0:.9f}"
