"""Phase Estimation: read the phase of a one-qubit rotation into a register of counting qubits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import pi, sin

from qiskit import QuantumCircuit

from metriq_gym.benchmarks.fourier import inverse_fourier_transform, measured_inverse_fourier_transform
from metriq_gym.benchmarks.qedc import RESCALED_BITS, QEDCBenchmark, bitstring, widths_between
from metriq_gym.errors import Unsupported

FINEST = 2**60
"""An ``init_phase`` is rounded to a multiple of 1/FINEST turns, finer than any gate's angle."""


@dataclass(frozen=True, slots=True)
class PhaseEstimationParams:
    """Configuration of `PhaseEstimation`; there is one method, 1, and `init_phase` is in turns, from 0 to 1."""

    shots: int
    min_qubits: int
    max_qubits: int
    skip_qubits: int
    max_circuits: int
    method: int = 1
    init_phase: float | None = None
    use_midcircuit_measurement: bool = False


class PhaseEstimation(QEDCBenchmark[PhaseEstimationParams]):
    """Width n has n − 1 counting qubits and one state qubit; a secret s of n − 1 bits is the phase s/2^(n−1).

    An ``init_phase`` is the phase at every width, whether or not the counting qubits can hold it: where they cannot,
    the ideal outcome is the known distribution around it.

    References
    ----------
    Lubinski et al., https://arxiv.org/abs/2110.03137
    """

    params_type = PhaseEstimationParams

    def widths(self) -> range:
        """Return the widths."""
        return widths_between(self.params.min_qubits, self.params.max_qubits, self.params.skip_qubits)

    def secret_bits(self, width: int) -> int:
        """Return the number of counting qubits."""
        return width - 1

    def fixed_secret(self, bits: int) -> str | None:
        """Return the outcome nearest to ``init_phase``.

        Raises
        ------
        Unsupported
            When the phase's ideal distribution has too many outcomes at this width.
        """
        if self._init_phase is None:
            return None
        numerator = self._init_phase * 2**bits
        if bits > RESCALED_BITS and numerator.denominator > 1:
            raise Unsupported(
                f"init_phase {self.params.init_phase} is no multiple of 2^-{bits}, and at a width of {bits + 1} "
                f"its ideal distribution has more than 2^{RESCALED_BITS} outcomes"
            )
        return bitstring(round(numerator) % 2**bits, bits)

    def operations(self, width: int) -> int:
        """Return about how many operations a circuit of this width has."""
        return width * (width + 8) // 2

    def circuit(self, secret: str) -> QuantumCircuit:
        """Return the circuit; counting qubit i yields bit i of the phase's numerator."""
        measured = self.params.use_midcircuit_measurement
        return phase_estimation_circuit(len(secret), self._phase(secret), measured)

    def ideal(self, secret: str) -> Mapping[str, float]:
        """Return the distribution that a perfect device measures."""
        return phase_distribution(len(secret), self._phase(secret))

    def _phase(self, secret: str) -> Fraction:
        return Fraction(int(secret, 2), 2 ** len(secret)) if self._init_phase is None else self._init_phase

    @property
    def _init_phase(self) -> Fraction | None:
        phase = self.params.init_phase
        return None if phase is None else Fraction(round(Fraction(phase) * FINEST), FINEST)


def phase_estimation_circuit(bits: int, phase: Fraction, measured: bool = False) -> QuantumCircuit:
    """Estimate `phase`, in turns, with `bits` counting qubits; the last qubit is the state qubit.

    With `measured` the inverse Fourier transform is done by measurement and feed-forward.

    Parameters
    ----------
    bits
        Number of counting qubits.
    phase
        In turns, 0 to 1.
    measured
        Whether the inverse transform is done by measurement.
    """
    counting = range(bits)
    circuit = QuantumCircuit(bits + 1, bits)
    circuit.h(counting)
    circuit.x(bits)
    circuit.barrier()
    for qubit in counting:
        # Reduced to one turn exactly, before it becomes a float.
        turns = phase * 2 ** (bits - 1 - qubit) % 1
        circuit.cp(2 * pi * float(turns), qubit, bits)
    circuit.barrier()
    if measured:
        measured_inverse_fourier_transform(circuit, counting)
    else:
        circuit.compose(inverse_fourier_transform(bits), counting, inplace=True)
        circuit.barrier()
        circuit.measure(counting, counting)
    return circuit


def phase_distribution(bits: int, phase: Fraction) -> dict[str, float]:
    """Return what a perfect device measures: with N = 2^bits, p(k) = |Σ_x exp(2πi·x(phase − k/N))|² / N².

    The sum is sin²(πNδ) / sin²(πδ) with δ = phase − k/N .

    Parameters
    ----------
    bits
        Number of counting qubits.
    phase
        In turns, 0 to 1.

    References
    ----------
    Nielsen and Chuang, "Quantum Computation and Quantum Information", equation 5.26.
    """
    outcomes = 2**bits
    numerator = phase * outcomes
    if numerator.denominator == 1:
        return {bitstring(int(numerator) % outcomes, bits): 1.0}
    top = _sine(numerator)
    return {bitstring(k, bits): (top / (outcomes * _sine(phase - Fraction(k, outcomes)))) ** 2 for k in range(outcomes)}


def _sine(half_turns: Fraction) -> float:
    """±sin(π·half_turns), accurate near whole numbers too."""
    return sin(pi * float(half_turns - round(half_turns)))
