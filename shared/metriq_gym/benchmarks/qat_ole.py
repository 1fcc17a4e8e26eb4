"""QAT OLE: the operator Loschmidt echo of a circuit from the Quantum Advantage Tracker, or of any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import Collect2qBlocks, ConsolidateBlocks, Unroll3qOrMore

from metriq_gym.benchmarks.benchmark import (
    Benchmark,
    BenchmarkData,
    BenchmarkDevice,
    BenchmarkResult,
    BenchmarkScore,
    Counts,
    RunResult,
)
from metriq_gym.benchmarks.bitstrings import bit_table
from metriq_gym.benchmarks.limits import require_operations
from metriq_gym.benchmarks.openqasm import read_circuit
from metriq_gym.benchmarks.outcomes import outcome_probabilities
from metriq_gym.benchmarks.returned import counts_of
from metriq_gym.benchmarks.state_vectors import PlacedGate, basis_state, evolved
from metriq_gym.benchmarks.statistics import binomial
from metriq_gym.errors import Unsupported

MAX_REFERENCE_QUBITS = 20
MAX_REFERENCE_WORK = 10**11
"""States · gates · amplitudes up to which the reference is computed; about twenty minutes."""
NEGLIGIBLE = 1e-9
"""A reference this close to zero is no measure for anything."""


@dataclass(frozen=True, slots=True)
class QATOLEParams:
    """Configuration of `QATOLE`; `qasm` is the circuit itself, the only form that can be dispatched."""

    circuit: str | None
    qasm_path: str | None
    qasm: str | None
    observable_qubits: list[int] | None
    num_initial_states: int
    seed: int | None
    shots: int


class QATOLEData(BenchmarkData):
    """The initial states as bitstrings, leftmost character for the highest qubit.

    `noiseless_reference` is what another tool computed for them; it counts where the circuit is not at hand.
    """

    initial_states: list[str]
    noiseless_reference: FiniteFloat | None = None


@dataclass(frozen=True, slots=True)
class QATOLEResult(BenchmarkResult):
    """`noiseless_reference` is None where it would take too long to compute."""

    observable_value: BenchmarkScore
    noiseless_reference: float | None

    def compute_score(self) -> BenchmarkScore | None:
        """Return `observable_value` ÷ `noiseless_reference`, or None without a reference."""
        reference = self.noiseless_reference
        if reference is None or abs(reference) < NEGLIGIBLE:
            return None
        error = self.observable_value.uncertainty
        return BenchmarkScore(
            self.observable_value.value / reference, None if error is None else error / abs(reference)
        )


class QATOLE(Benchmark[QATOLEParams, QATOLEData]):
    """Mean over random basis states x of σ(x)·⟨x|U†·Z…Z·U|x⟩, with σ(x) = ⟨x|Z…Z|x⟩ = ±1.

    Over all x the mean is Tr(O·U†·O·U)/2ⁿ for O = Z…Z. Qubits that neither the circuit nor the observable touches stay
    in |0⟩.

    The uncertainty is the standard error over the states drawn, whose spread contains the shot noise, and no less than
    the shot noise; for a single state it is the shot noise. The reference is the exact value for the same states.

    References
    ----------
    Quantum Advantage Tracker, observable estimations, operator Loschmidt echo, https://github.com/quantum-advantage-
    tracker/quantum-advantage-tracker.github.io
    """

    params_type = QATOLEParams
    data_type = QATOLEData

    def dispatch_handler(self, device: BenchmarkDevice) -> QATOLEData:
        """Run one circuit per initial state.

        Raises
        ------
        Unsupported
            When the circuit is not in the configuration, cannot be read, or does not fit.
        """
        circuit = self._circuit(device.num_qubits)
        observable = self._observable()
        if max(observable) >= circuit.num_qubits:
            raise Unsupported(
                f"observable qubit {max(observable)} is not among the circuit's {circuit.num_qubits} qubits"
            )
        require_operations(self.params.num_initial_states * (len(circuit.data) + circuit.num_qubits))
        active = active_qubits(circuit, observable)
        states = np.zeros((self.params.num_initial_states, circuit.num_qubits), dtype=np.uint8)
        states[:, active] = random_states(len(states), len(active), self.seed)
        device.run([_prepared_and_measured(circuit, state, observable) for state in states], self.params.shots)
        return QATOLEData(initial_states=["".join(map(str, state[::-1])) for state in states])

    def poll_handler(self, job_data: QATOLEData, result_data: Sequence[RunResult]) -> QATOLEResult:
        """Average the signed parities, and compute what they would be without noise where that is feasible."""
        states, signs = self._states(job_data)
        echoes = self.echoes(job_data, result_data)
        even = [binomial(_even(counts), sum(counts.values())).uncertainty or 0.0 for counts in result_data[0].counts]
        error = 2 * sqrt(sum(each**2 for each in even)) / len(even)
        if len(echoes) > 1:
            error = max(error, float(echoes.std(ddof=1)) / sqrt(len(echoes)))
        reference = job_data.noiseless_reference
        if self.params.qasm is not None:
            expectations = self._noiseless(states)
            reference = None if expectations is None else float((signs * expectations).mean())
        return QATOLEResult(BenchmarkScore(float(echoes.mean()), error), reference)

    def ideal_counts(self, job_data: QATOLEData, position: int) -> dict[str, float] | None:
        """Return the probabilities of the observed bits, None for too many qubits to simulate."""
        states, _ = self._states(job_data)
        circuit = self._circuit(states.shape[1])
        complete = _prepared_and_measured(circuit, states[position].astype(np.uint8), self._observable())
        return outcome_probabilities(complete)

    def echoes(self, job_data: QATOLEData, result_data: Sequence[RunResult]) -> NDArray[np.float64]:
        """Return the signed parity of each initial state, shape (states,).

        Parameters
        ----------
        job_data
            What `dispatch_handler` returned.
        result_data
            The one run: a circuit for each initial state.
        """
        _, signs = self._states(job_data)
        return np.asarray(signs * np.array([_parity(counts) for counts in counts_of(result_data, len(signs))]))

    def _states(self, job_data: QATOLEData) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the initial states, shape (states, qubits), and the sign of each."""
        states = np.array([[int(bit) for bit in reversed(state)] for state in job_data.initial_states])
        return states, 1 - 2 * (states[:, self._observable()].sum(axis=1) % 2)

    def _circuit(self, max_qubits: int) -> QuantumCircuit:
        params = self.params
        if params.qasm is None:
            asked = f"circuit {params.circuit!r}" if params.circuit is not None else f"file {params.qasm_path!r}"
            raise Unsupported(
                f"{asked} is not opened or fetched by a service: give its text as 'qasm', with 'observable_qubits'"
            )
        return read_circuit(params.qasm, max_qubits)

    def _observable(self) -> list[int]:
        if not self.params.observable_qubits:
            raise Unsupported("'qasm' needs 'observable_qubits'")
        return self.params.observable_qubits

    def _noiseless(self, states: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Return ⟨Z…Z⟩ for each state, shape (states,), or None where that is too much work."""
        circuit, observable = self._circuit(states.shape[1]), self._observable()
        active = active_qubits(circuit, observable)
        if len(active) > MAX_REFERENCE_QUBITS:
            return None
        gates = fused_gates(circuit, active)
        if len(states) * len(gates) * 2 ** len(active) > MAX_REFERENCE_WORK:
            return None
        parities = np.ones(1)
        for qubit in active:
            parities = np.concatenate([parities, -parities if qubit in observable else parities])
        expectations = []
        for state in states[:, active]:
            index = int(state @ (1 << np.arange(len(active))))
            amplitudes = evolved(basis_state(len(active), index), gates)
            expectations.append(float(parities @ (amplitudes.real**2 + amplitudes.imag**2)))
        return np.array(expectations)


def random_states(num_states: int, num_qubits: int, seed: int) -> NDArray[np.uint8]:
    """Return random basis states, shape (states, qubits), as the dataset draws them for the same seed.

    One draw of Python's ``random.choice`` decides the bit of each active qubit, in ascending order, state by state.

    Parameters
    ----------
    num_states
        How many states.
    num_qubits
        How many active qubits.
    seed
        Of Python's ``random.Random``.
    """
    draw = Random(seed)  # noqa: S311  (the dataset's own draw)
    bits = [int(draw.choice("01")) for _ in range(num_states * num_qubits)]
    return np.array(bits, dtype=np.uint8).reshape(num_states, num_qubits)


def active_qubits(circuit: QuantumCircuit, observable: Sequence[int]) -> list[int]:
    """Return the qubits that a gate acts on or that are observed, sorted.

    Parameters
    ----------
    circuit
        Without measurements.
    observable
        The qubits that are observed.
    """
    used = {
        circuit.find_bit(qubit).index
        for instruction in circuit.data
        if instruction.operation.name != "barrier"
        for qubit in instruction.qubits
    }
    return sorted(used | set(observable))


def fused_gates(circuit: QuantumCircuit, qubits: Sequence[int]) -> list[PlacedGate]:
    """Return the circuit, which acts on `qubits` alone, as few unitaries on one or two of them, renumbered.

    Parameters
    ----------
    circuit
        Without measurements.
    qubits
        All that it acts on; qubit k of them is renumbered k.
    """
    number = {circuit.qubits[qubit]: index for index, qubit in enumerate(qubits)}
    compact = QuantumCircuit(len(qubits))
    for instruction in circuit.data:
        if instruction.operation.name != "barrier":
            compact.append(instruction.operation, [number[qubit] for qubit in instruction.qubits])
    passes = [Unroll3qOrMore(), Collect2qBlocks(), ConsolidateBlocks(force_consolidate=True)]
    fused = PassManager(passes).run(compact)
    return [
        (Operator(instruction.operation).data, tuple(fused.find_bit(qubit).index for qubit in instruction.qubits))
        for instruction in fused.data
    ]


def _prepared_and_measured(
    circuit: QuantumCircuit, state: NDArray[np.uint8], observable: Sequence[int]
) -> QuantumCircuit:
    complete = QuantumCircuit(circuit.num_qubits, len(observable))
    if state.any():
        complete.x(np.flatnonzero(state).tolist())
    complete.compose(circuit, inplace=True)
    complete.measure(observable, range(len(observable)))
    return complete


def _even(counts: Counts) -> int:
    """Return how many outcomes have an even number of ones."""
    return sum(occurrences for outcome, occurrences in counts.items() if outcome.count("1") % 2 == 0)


def _parity(counts: Counts) -> float:
    """Return ⟨Z…Z⟩ over all classical bits."""
    bits, frequencies = bit_table(counts)
    return float(frequencies @ (1 - 2.0 * (bits.sum(axis=1) % 2)))
