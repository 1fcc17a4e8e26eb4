"""Merges the equal terms of an Aer error, whose number multiplies with every composition."""

from __future__ import annotations

from collections import defaultdict

from qiskit import QuantumCircuit
from qiskit_aer.noise import QuantumError

_PAULIS = {"I": (0, 0), "id": (0, 0), "X": (1, 0), "x": (1, 0), "Y": (1, 1), "y": (1, 1), "Z": (0, 1), "z": (0, 1)}
"""Whether the operator flips the bit, and the phase; the product of two adds both modulo 2, up to a global phase."""

Letter = tuple[bool, int, int]
"""What a term does to one qubit: whether it resets it, then whether it flips the bit, and the phase."""


def merged(error: QuantumError) -> QuantumError:
    """Return the same channel with one term for every distinct product of resets and Pauli operators.

    At most 6 terms per qubit are left where relaxation is as Aer writes it for T2 ≤ T1; other terms stay as they are.
    """
    words: defaultdict[tuple[Letter, ...], float] = defaultdict(float)
    others: list[tuple[QuantumCircuit, float]] = []
    for circuit, probability in zip(error.circuits, error.probabilities, strict=True):
        word = _read(circuit)
        if word is None:
            others.append((circuit, probability))
        else:
            words[word] += probability
    return QuantumError([*((_write(word), probability) for word, probability in words.items()), *others])


def _read(circuit: QuantumCircuit) -> tuple[Letter, ...] | None:
    letters: list[Letter] = [(False, 0, 0)] * circuit.num_qubits
    for instruction in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        if instruction.name == "reset":
            letters[qubits[0]] = (True, 0, 0)
            continue
        names = reversed(instruction.params[0]) if instruction.name == "pauli" else [instruction.name]
        for qubit, name in zip(qubits, names, strict=True):
            if name not in _PAULIS:
                return None
            reset, x, z = letters[qubit]
            flip, phase = _PAULIS[name]
            # A reset leaves no phase to turn.
            letters[qubit] = (reset, x ^ flip, 0 if reset else z ^ phase)
    return tuple(letters)


def _write(word: tuple[Letter, ...]) -> QuantumCircuit:
    circuit = QuantumCircuit(len(word))
    for qubit, (reset, x, z) in enumerate(word):
        if reset:
            circuit.reset(qubit)
        if x and z:
            circuit.y(qubit)
        elif x:
            circuit.x(qubit)
        elif z:
            circuit.z(qubit)
        elif not reset:
            circuit.id(qubit)
    return circuit
