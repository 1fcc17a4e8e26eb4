"""Quantum Fourier Transform: there and back again with one added on the way, or only back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ldexp, pi

from qiskit import QuantumCircuit

from metriq_gym.benchmarks.fourier import (
    fourier_transform,
    inverse_fourier_transform,
    measured_inverse_fourier_transform,
)
from metriq_gym.benchmarks.qedc import QEDCBenchmark, bitstring, input_secret, ones, widths_between

OLD_MIN, OLD_MAX, OLD_STEP = 2, 6, 1
"""Defaults of the older configurations' range of widths, for those keys that one leaves out."""


@dataclass(frozen=True, slots=True)
class QuantumFourierTransformParams:
    """Configuration of `QuantumFourierTransform`.

    Older configurations give a range of widths, `min_qubits` to `max_qubits` in steps of `skip_qubits`; when one
    gives either end, `num_qubits` is ignored.
    """

    shots: int
    num_qubits: int
    max_circuits: int
    method: int = 1
    input_value: int | None = None
    use_midcircuit_measurement: bool = False
    min_qubits: int | None = None
    max_qubits: int | None = None
    skip_qubits: int | None = None


class QuantumFourierTransform(QEDCBenchmark[QuantumFourierTransformParams]):
    """Width n has n qubits and a secret s of n bits.

    Method 1 prepares s, transforms it, adds one in phase space, transforms back and expects s + 1 mod 2ⁿ. Method 2
    prepares the transform of s directly, transforms back and expects s.

    References
    ----------
    Lubinski et al., https://arxiv.org/abs/2110.03137
    """

    params_type = QuantumFourierTransformParams

    def widths(self) -> range:
        """Return the one width, or the range that an older configuration gives."""
        params = self.params
        if params.min_qubits is None and params.max_qubits is None:
            return range(params.num_qubits, params.num_qubits + 1)
        return widths_between(
            params.min_qubits or OLD_MIN, params.max_qubits or OLD_MAX, params.skip_qubits or OLD_STEP
        )

    def fixed_secret(self, bits: int) -> str | None:
        """Return ``input_value`` as a bitstring."""
        return input_secret(self.params.input_value, bits)

    def operations(self, width: int) -> int:
        """Return about how many operations a circuit of this width has."""
        return width * (width + 8)

    def circuit(self, secret: str) -> QuantumCircuit:
        """Return the circuit of the method that was asked for; qubit i carries bit i."""
        width = len(secret)
        measured = self.params.use_midcircuit_measurement
        circuit = QuantumCircuit(width, width)
        circuit.compose((round_trip if self.params.method == 1 else phase_state)(secret), inplace=True)
        circuit.barrier()
        if measured:
            measured_inverse_fourier_transform(circuit, range(width))
        else:
            circuit.compose(inverse_fourier_transform(width), inplace=True)
            circuit.barrier()
            circuit.measure(range(width), range(width))
        return circuit

    def ideal(self, secret: str) -> Mapping[str, float]:
        """Return certainty of the secret, plus one with method 1."""
        bits = len(secret)
        added = 1 if self.params.method == 1 else 0
        return {bitstring((int(secret, 2) + added) % 2**bits, bits): 1.0}


def round_trip(secret: str) -> QuantumCircuit:
    """Method 1 up to the inverse transform: prepare s, transform it, add one.

    The addition keeps compilers from cancelling the transform against its inverse.

    Parameters
    ----------
    secret
        s as a bitstring, highest bit first.
    """
    width = len(secret)
    circuit = QuantumCircuit(width)
    for qubit in ones(secret):
        circuit.x(qubit)
    circuit.barrier()
    circuit.compose(fourier_transform(width), inplace=True)
    circuit.barrier()
    for qubit in range(width):
        circuit.rz(ldexp(pi, -qubit), qubit)
    return circuit


def phase_state(secret: str) -> QuantumCircuit:
    """Method 2 up to the inverse transform: the transform of s, qubit by qubit and without two-qubit gates.

    Parameters
    ----------
    secret
        s as a bitstring, highest bit first.
    """
    circuit = QuantumCircuit(len(secret))
    circuit.h(range(len(secret)))
    value = int(secret, 2)
    for qubit in range(len(secret)):
        turn = 2 ** (qubit + 1)
        circuit.rz(2 * pi * (value % turn / turn), qubit)
    return circuit
