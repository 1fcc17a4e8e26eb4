"""Bernstein-Vazirani: find the bits of a secret with one query of an oracle that computes its inner product."""

from __future__ import annotations

from dataclasses import dataclass

from qiskit import QuantumCircuit

from metriq_gym.benchmarks.qedc import QEDCBenchmark, input_secret, ones, widths_between

SMALLEST_WIDTH = 3


@dataclass(frozen=True, slots=True)
class BernsteinVaziraniParams:
    """Configuration of `BernsteinVazirani`."""

    shots: int
    min_qubits: int
    max_qubits: int
    skip_qubits: int
    max_circuits: int
    method: int
    input_value: int | None = None


class BernsteinVazirani(QEDCBenchmark[BernsteinVaziraniParams]):
    """Width n stands for n − 1 data qubits and an ancilla; a secret has n − 1 bits.

    Method 1 has that many qubits. Method 2 has two, and measures and resets the first once per bit.

    References
    ----------
    Lubinski et al., "Application-oriented performance benchmarks for quantum computing",
    https://arxiv.org/abs/2110.03137
    """

    params_type = BernsteinVaziraniParams

    def widths(self) -> range:
        """Return the widths, none smaller than 3."""
        lowest = max(self.params.min_qubits, SMALLEST_WIDTH)
        highest = max(self.params.max_qubits, SMALLEST_WIDTH)
        return widths_between(lowest, highest, self.params.skip_qubits)

    def secret_bits(self, width: int) -> int:
        """Return the number of data qubits."""
        return width - 1

    def fixed_secret(self, bits: int) -> str | None:
        """Return ``input_value`` as a bitstring."""
        return input_secret(self.params.input_value, bits)

    def num_qubits(self, width: int) -> int:
        """Return the width, or 2 with method 2."""
        return width if self.params.method == 1 else 2

    def operations(self, width: int) -> int:
        """Return about how many operations a circuit of this width has."""
        return 5 * width

    def circuit(self, secret: str) -> QuantumCircuit:
        """Return the circuit of the method that was asked for; classical bit i is bit i of the secret."""
        return (parallel_circuit if self.params.method == 1 else sequential_circuit)(secret)


def parallel_circuit(secret: str) -> QuantumCircuit:
    """Method 1: all data qubits at once; the last qubit is the ancilla.

    Parameters
    ----------
    secret
        Bitstring, highest bit first; it takes one qubit more than it has bits.
    """
    bits = len(secret)
    circuit = QuantumCircuit(bits + 1, bits)
    circuit.x(bits)
    circuit.h(range(bits + 1))
    circuit.barrier()
    for qubit in ones(secret):
        circuit.cx(qubit, bits)
    circuit.barrier()
    circuit.h(range(bits + 1))
    circuit.x(bits)
    circuit.barrier()
    circuit.measure(range(bits), range(bits))
    return circuit


def sequential_circuit(secret: str) -> QuantumCircuit:
    """Method 2: one data qubit, used for one bit of the secret after another.

    Parameters
    ----------
    secret
        Bitstring, highest bit first.
    """
    circuit = QuantumCircuit(2, len(secret))
    circuit.x(1)
    circuit.h(1)
    circuit.barrier()
    for position, bit in enumerate(reversed(secret)):
        if position:
            circuit.reset(0)
        if bit == "1":
            circuit.h(0)
            circuit.cx(0, 1)
            circuit.h(0)
        circuit.measure(0, position)
    return circuit
