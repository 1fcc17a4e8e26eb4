"""What noise does to a circuit, worked out with density matrices and without any simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, SuperOp, pauli_basis


def depolarizing_channel(strength: float) -> SuperOp:
    """ρ → (1 − strength)·ρ + strength·I/4 on two qubits: with weight strength/16, each of the 16 Paulis."""
    paulis = [pauli.to_matrix() for pauli in pauli_basis(2)]
    mixed = sum(np.kron(pauli.conj(), pauli) for pauli in paulis) / 16
    return SuperOp((1 - strength) * np.eye(16) + strength * mixed)


def noisy_probabilities(circuit: QuantumCircuit, strength: float) -> Any:
    """Probability of each outcome when a depolarising error follows every two-qubit gate.

    Every qubit must be measured into the classical bit of its number. Shape (2^n,), qubit 0 the lowest bit.
    """
    error, state = depolarizing_channel(strength), DensityMatrix.from_label("0" * circuit.num_qubits)
    for instruction in circuit.data:
        if instruction.operation.name in ("barrier", "measure"):
            continue
        qubits = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        state = state.evolve(instruction.operation, qubits)
        if len(qubits) == 2:
            state = state.evolve(error, qubits)
    return state.probabilities()
