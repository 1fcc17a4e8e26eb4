"""The Fourier transform circuits against the matrix of the definition."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

from metriq_gym.benchmarks.fourier import (
    fourier_transform,
    inverse_fourier_transform,
    measured_inverse_fourier_transform,
)
from tests.support.devices import simulate


@pytest.mark.parametrize("num_qubits", [1, 2, 3, 5])
def test_the_circuit_is_the_discrete_fourier_transform_with_reversed_output(num_qubits: int) -> None:
    size = 2**num_qubits
    index = np.arange(size)
    transform = np.exp(2j * np.pi * np.outer(index, index) / size) / np.sqrt(size)
    unitary = Operator(fourier_transform(num_qubits).reverse_bits()).data
    reversed_input = [int(format(s, f"0{num_qubits}b")[::-1], 2) for s in range(size)]
    np.testing.assert_allclose(unitary[:, reversed_input], transform, atol=1e-12)


def test_the_inverse_undoes_it() -> None:
    both = fourier_transform(4).compose(inverse_fourier_transform(4))
    assert Operator(both).equiv(np.eye(16))


@pytest.mark.parametrize("value", range(8))
def test_measuring_on_the_way_finds_the_same_as_transforming_back(value: int) -> None:
    circuit = QuantumCircuit(3, 3)
    for qubit in range(3):
        if value >> qubit & 1:
            circuit.x(qubit)
    circuit.compose(fourier_transform(3), inplace=True)
    measured_inverse_fourier_transform(circuit, range(3))
    assert simulate([circuit], shots=50) == [{format(value, "03b"): 50}]


def test_measuring_on_the_way_needs_no_two_qubit_gates() -> None:
    circuit = QuantumCircuit(5, 5)
    measured_inverse_fourier_transform(circuit, range(5))
    assert circuit.count_ops() == {"h": 5, "measure": 5, "if_else": 4}
