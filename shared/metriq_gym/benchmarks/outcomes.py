"""What a circuit's outcomes are without noise, for the pictures that show them beside what was counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

MAX_BITS = 16
"""Qubits up to which a circuit is simulated, and bits up to which all outcomes are listed."""
_NEVER = 1e-12


def outcome_probabilities(circuit: QuantumCircuit) -> dict[str, float] | None:
    """Return bitstring → probability for a circuit that measures at its end, or None if it is too wide.

    Qubits that no gate acts on and that are not measured count for nothing.
    """
    used = sorted(
        {circuit.find_bit(qubit).index for one in circuit.data if one.name != "barrier" for qubit in one.qubits}
    )
    if max(len(used), circuit.num_clbits) > MAX_BITS:
        return None
    place = {circuit.qubits[qubit]: index for index, qubit in enumerate(used)}
    unitary, read = QuantumCircuit(len(used)), dict[int, int]()
    for one in circuit.data:
        if one.name == "measure":
            read[circuit.find_bit(one.clbits[0]).index] = place[one.qubits[0]]
        elif one.name != "barrier":
            unitary.append(one.operation, [place[qubit] for qubit in one.qubits])
    chances = Statevector(unitary).probabilities([read[bit] for bit in range(circuit.num_clbits)])
    return {
        format(outcome, f"0{circuit.num_clbits}b"): chance
        for outcome, chance in enumerate(chances.tolist())
        if chance > _NEVER
    }


def independent(parts: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    """Return the joint probabilities of outcomes that know nothing of each other, the first part's bits rightmost."""
    if sum(len(next(iter(part))) for part in parts) > MAX_BITS:
        return None
    joint: dict[str, float] = {"": 1.0}
    for part in parts:
        joint = {
            outcome + before: chance * weight
            for (before, weight), (outcome, chance) in product(joint.items(), part.items())
        }
    return joint
