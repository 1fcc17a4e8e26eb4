"""The quantum Fourier transform without its final swaps, its inverse, and the inverse by measurement."""

from __future__ import annotations

from collections.abc import Sequence
from math import ldexp, pi

from qiskit import QuantumCircuit

# Angles are made with ldexp, which ends in 0 where a power of two would overflow.


def fourier_transform(num_qubits: int) -> QuantumCircuit:
    """Return the circuit that takes |s⟩ to the state whose qubit j is |0⟩ + exp(2πi·s/2^(j+1))|1⟩.

    That is the Fourier transform with the qubits of its output in reverse order (Nielsen and Chuang, section 5.1).
    """
    return inverse_fourier_transform(num_qubits).inverse()


def inverse_fourier_transform(num_qubits: int) -> QuantumCircuit:
    """Return the inverse of `fourier_transform`.

    With QED-C's barriers after the rotations of each qubit (Lubinski et al., arXiv:2110.03137): compilers merge no
    gates of neighbouring qubits.
    """
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.h(qubit)
        for later in range(qubit + 1, num_qubits):
            circuit.cp(-ldexp(pi, qubit - later), qubit, later)
        circuit.barrier()
    return circuit


def measured_inverse_fourier_transform(circuit: QuantumCircuit, qubits: Sequence[int]) -> None:
    """Append the inverse of `fourier_transform` and a measurement of qubit j of `qubits` into classical bit j.

    Each qubit is measured as soon as it is known, and the rotations it controls are applied to the others by
    feed-forward, without two-qubit gates (Griffiths and Niu, Phys. Rev. Lett. 76, 3228 (1996)).
    """
    for position, qubit in enumerate(qubits):
        circuit.h(qubit)
        circuit.measure(qubit, position)
        later = qubits[position + 1 :]
        if later:
            with circuit.if_test((circuit.clbits[position], 1)):
                for distance, other in enumerate(later, start=1):
                    circuit.p(-ldexp(pi, -distance), other)
