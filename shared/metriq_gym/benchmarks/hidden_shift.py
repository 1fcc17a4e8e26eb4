"""Hidden Shift: find by how much one bent function is shifted against another with one query of each."""

from __future__ import annotations

from dataclasses import dataclass

from qiskit import QuantumCircuit

from metriq_gym.benchmarks.qedc import QEDCBenchmark, input_secret, ones, widths_between


@dataclass(frozen=True, slots=True)
class HiddenShiftParams:
    """Configuration of `HiddenShift`; there is one method, 1."""

    shots: int
    min_qubits: int
    max_qubits: int
    skip_qubits: int
    max_circuits: int
    method: int = 1
    input_value: int | None = None


class HiddenShift(QEDCBenchmark[HiddenShiftParams]):
    """Width n has n qubits and a shift of n bits; n is even.

    The function is f(x) = x₀x₁ ⊕ x₂x₃ ⊕ …, of the Maiorana–McFarland class and its own dual.

    References
    ----------
    Lubinski et al., https://arxiv.org/abs/2110.03137; Rötteler, "Quantum algorithms for highly non-linear Boolean
    functions", SODA 2010, https://arxiv.org/abs/0811.3208
    """

    params_type = HiddenShiftParams

    def widths(self) -> range:
        """Return the even widths: an odd minimum and an odd step are raised by one."""
        smallest = self.params.min_qubits + self.params.min_qubits % 2
        step = self.params.skip_qubits + self.params.skip_qubits % 2
        return widths_between(smallest, self.params.max_qubits, step)

    def fixed_secret(self, bits: int) -> str | None:
        """Return ``input_value`` as a bitstring."""
        return input_secret(self.params.input_value, bits)

    def operations(self, width: int) -> int:
        """Return about how many operations a circuit of this width has."""
        return 6 * width

    def circuit(self, secret: str) -> QuantumCircuit:
        """Return the circuit; qubit i carries bit i of the shift."""
        return hidden_shift_circuit(secret)


def hidden_shift_circuit(shift: str) -> QuantumCircuit:
    """Query f(x ⊕ shift) and then f between layers of Hadamards, and measure.

    Parameters
    ----------
    shift
        Bitstring of even length, highest bit first.
    """
    width = len(shift)
    circuit = QuantumCircuit(width, width)

    def query() -> None:
        for qubit in range(0, width, 2):
            circuit.cz(qubit, qubit + 1)

    def shift_input() -> None:
        for qubit in ones(shift):
            circuit.x(qubit)

    circuit.h(range(width))
    circuit.barrier()
    shift_input()
    query()
    shift_input()
    circuit.barrier()
    circuit.h(range(width))
    circuit.barrier()
    query()
    circuit.barrier()
    circuit.h(range(width))
    circuit.barrier()
    circuit.measure(range(width), range(width))
    return circuit
