"""EPLG: error per layered gate of a chain of qubits, by simultaneous direct randomised benchmarking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, CircuitInstruction

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
from metriq_gym.benchmarks.decay import fit_decay
from metriq_gym.benchmarks.direct_rb import GENERATORS, GateSet
from metriq_gym.benchmarks.limits import require_operations, require_qubits
from metriq_gym.benchmarks.random_cliffords import ORDER
from metriq_gym.benchmarks.returned import counts_of_runs
from metriq_gym.benchmarks.subgraphs import random_path
from metriq_gym.errors import Unsupported

MIN_LENGTHS = 2
SHORTEST_CHAIN = 4
OFFSET_MARGIN = 0.05
MAX_RELATIVE_ERROR = 0.5
MAX_ERROR = 0.01
REPORTED = (10, 20, 50, 100)


@dataclass(frozen=True, slots=True)
class EPLGParams:
    """Configuration of `EPLG`."""

    num_qubits_in_chain: int
    lengths: list[int]
    num_samples: int
    shots: int
    seed: int
    two_qubit_gate: str
    one_qubit_basis_gates: list[str]
    decompose_clifford_ops: bool
    constrain_rb_offset_b: bool


class EPLGData(BenchmarkData):
    """The device's qubits in the order of the chain."""

    qubit_chain: list[int]


@dataclass(frozen=True, slots=True)
class EPLGResult(BenchmarkResult):
    """Error per layered gate of the best sub-chain of each length; lower is better, and there is no score.

    `undetermined_lengths` are those chain lengths at which the fits do not determine the value: its uncertainty exceeds
    half of it, and 0.01. The values `eplg_…`, which the dataset ranks, are None there.
    """

    chain_lengths: list[int]
    chain_eplgs: list[float]
    chain_eplg_uncertainties: list[float]
    undetermined_lengths: list[int]
    eplg_10: float | None
    eplg_20: float | None
    eplg_50: float | None
    eplg_100: float | None


class EPLG(Benchmark[EPLGParams, EPLGData]):
    """Layer fidelity of a random chain.

    The chain's edges form two layers of disjoint pairs. Each is benchmarked by itself, all pairs at once: `length`
    times a random one-qubit Clifford on every qubit and the two-qubit gate on every pair, then what undoes it all. A
    pair's probability to return to 00 decays as a·αᵐ + b, and its process fidelity is (1 + 15·α)/16; for the qubit at
    either end of the chain, in the layer that leaves it alone, (1 + 3·α)/4.

    The chain is the dataset's for the same seed and connectivity graph wherever its search finds one, see
    `random_path`. The circuits are those of Qiskit Experiments' `LayerFidelity` for the same seed, written in gates of
    the basis from the start, so that `decompose_clifford_ops` makes no difference. A test compares the fits with its
    analysis too. Circuits are on the device's own qubits and must not be moved to others.

    With `constrain_rb_offset_b`, b lies within 0.05 of 2⁻ⁿ; with only two lengths it is 2⁻ⁿ. Otherwise it is expected
    there, which counts as much as one more length, see `fit_decay`.

    References
    ----------
    McKay et al., "Benchmarking quantum processor performance at scale", https://arxiv.org/abs/2311.05933
    """

    params_type = EPLGParams
    data_type = EPLGData

    def dispatch_handler(self, device: BenchmarkDevice) -> EPLGData:
        """Run one batch of circuits per sample: per layer, all lengths.

        Raises
        ------
        Unsupported
            When the device has no such chain, the gates do not make all Clifford gates, or there are too few
            lengths.
        """
        params = self.params
        require_qubits(device, params.num_qubits_in_chain)
        if len(params.lengths) < MIN_LENGTHS:
            raise Unsupported(f"a decay cannot be fitted to fewer than {MIN_LENGTHS} lengths")
        per_layer = 3 * params.num_qubits_in_chain // 2 + 2
        require_operations(2 * params.num_samples * sum(params.lengths) * per_layer)
        gates = GateSet(params.two_qubit_gate, params.one_qubit_basis_gates)
        chain = random_path(device, params.num_qubits_in_chain, self.seed)
        sequences = LayerSequences(chain, device.num_qubits, gates, np.random.default_rng(self.seed))
        for _ in range(params.num_samples):
            circuits = [sequences.draw(layer, length) for layer in (0, 1) for length in sorted(params.lengths)]
            device.run(circuits, params.shots)
        return EPLGData(qubit_chain=chain)

    def ideal_counts(self, job_data: EPLGData, position: int) -> dict[str, float]:
        """Return the one outcome of any sequence: it undoes itself."""
        return {"0" * len(job_data.qubit_chain): 1.0}

    def poll_handler(self, job_data: EPLGData, result_data: Sequence[RunResult]) -> EPLGResult:
        """Fit all decays and combine their process fidelities."""
        by_length = self.by_length(job_data, result_data)
        determined = {length: each.value for length, each in by_length.items() if is_determined(each)}
        return EPLGResult(
            [*by_length],
            [each.value for each in by_length.values()],
            [each.uncertainty or 0.0 for each in by_length.values()],
            [length for length in by_length if length not in determined],
            *(determined.get(length) for length in REPORTED),
        )

    def by_length(self, job_data: EPLGData, result_data: Sequence[RunResult]) -> dict[int, BenchmarkScore]:
        """Return the error per layered gate of the best sub-chain of each length.

        Parameters
        ----------
        job_data
            What `dispatch_handler` returned.
        result_data
            A run for each sample.
        """
        fidelities = self.process_fidelities(result_data)
        lengths = range(SHORTEST_CHAIN, len(job_data.qubit_chain) + 1, 2)
        return {length: error_per_layered_gate(fidelities, length) for length in lengths}

    def process_fidelities(self, result_data: Sequence[RunResult]) -> list[BenchmarkScore]:
        """Return the process fidelity of the first qubit, each pair in the order of the chain, and the last.

        The last qubit and the first are those of the layer in which they have no partner.

        Parameters
        ----------
        result_data
            A run for each sample, with the circuits of both layers and, in each, of all lengths in ascending order.
        """
        params = self.params
        lengths = np.array(sorted(params.lengths), dtype=np.float64)
        # Axes: sample, layer, length, segment of the chain.
        samples = counts_of_runs(result_data, params.num_samples, 2 * len(lengths))
        survival = np.array([[_survival(counts) for counts in sample] for sample in samples])
        survival = survival.reshape(len(samples), 2, len(lengths), -1)
        shots = sum(samples[0][0].values())
        margin = OFFSET_MARGIN if params.constrain_rb_offset_b else 1.0
        if len(lengths) == MIN_LENGTHS:
            margin = 0.0
        last = survival.shape[-1] - 1
        out = []
        for segment in range(last + 1):
            # Segment k + 1 is pair k, which is in layer k mod 2, and so on to both sides.
            layer = (segment - 1) % 2
            num_qubits = 1 if segment in (0, last) else 2
            decay = fit_decay(lengths, survival[:, layer, :, segment], shots, 2.0**-num_qubits, margin)
            weight = 1 - 4.0**-num_qubits
            out.append(BenchmarkScore(1 - weight * (1 - decay.alpha), weight * decay.error))
        return out


def is_determined(eplg: BenchmarkScore) -> bool:
    """Whether a value says more than its uncertainty.

    Parameters
    ----------
    eplg
        The error per layered gate, with its uncertainty.
    """
    return (eplg.uncertainty or 0.0) <= max(MAX_RELATIVE_ERROR * eplg.value, MAX_ERROR)


def _survival(counts: Counts) -> NDArray[np.float64]:
    """Return how often the first qubit, each pair, and the last qubit were all 0; shape (qubits + 1,)."""
    bits, frequencies = bit_table(counts)
    lost = np.column_stack([bits[:, :1], bits[:, :-1] | bits[:, 1:], bits[:, -1:]])
    return np.asarray(1 - frequencies @ lost)


def error_per_layered_gate(fidelities: Sequence[BenchmarkScore], length: int) -> BenchmarkScore:
    """Return 1 − LF^(1/(length − 1)) of the sub-chain of `length` qubits with the highest layer fidelity LF.

    LF is the product over the sub-chain's pairs and over its two end qubits, in the layers that leave them alone. In
    the middle of the chain such a qubit has a partner, and half of the pair's error counts: the root of its process
    fidelity.

    Parameters
    ----------
    fidelities
        Those of `EPLG.process_fidelities`, one more than the chain has qubits.
    length
        Number of qubits of the sub-chain, at least 2.
    """
    values = np.array([fidelity.value for fidelity in fidelities])
    errors = np.array([fidelity.uncertainty for fidelity in fidelities])
    last = len(values) - 1
    candidates = []
    for start in range(last - length + 1):
        powers = np.zeros(last + 1)
        powers[start : start + length + 1] = 1
        powers[start] = 1 if start == 0 else 1 / 2
        powers[start + length] = 1 if start + length == last else 1 / 2
        logarithm = float(powers @ np.log(values))
        candidates.append((logarithm, float(np.linalg.norm(powers * errors / values))))
    logarithm, error = max(candidates)
    per_gate = float(np.exp(logarithm / (length - 1)))
    return BenchmarkScore(1 - per_gate, per_gate * error / (length - 1))


class LayerSequences:
    """Draws direct randomised benchmarking circuits on the two layers of a chain of qubits.

    Qubit `chain[i]` is measured into classical bit i. The circuits are as wide as the device, which tells compilers
    that they address its qubits.

    Parameters
    ----------
    chain
        The device's qubits in the order of the chain.
    num_qubits
        How many qubits the device has.
    gates
        What sequences are made of.
    rng
        Source of the random gates.
    """

    def __init__(self, chain: Sequence[int], num_qubits: int, gates: GateSet, rng: np.random.Generator) -> None:
        self._gates = gates
        self._rng = rng
        self._empty = QuantumCircuit(num_qubits, len(chain))
        self._qubits = [self._empty.qubits[qubit] for qubit in chain]
        self._barrier = CircuitInstruction(Barrier(len(chain)), self._qubits)
        self._elements = [
            [[CircuitInstruction(gate, (qubit,)) for gate in element] for element in gates.elements]
            for qubit in self._qubits
        ]
        self._entanglers = [
            CircuitInstruction(gates.entangler, self._qubits[low : low + 2]) for low in range(len(chain) - 1)
        ]

    def draw(self, layer: int, length: int) -> QuantumCircuit:
        """Return a random sequence on the pairs (layer, layer + 1), (layer + 2, layer + 3), … of the chain.

        Parameters
        ----------
        layer
            0 or 1: whether pairs begin at the first or the second qubit.
        length
            Number of random layers before what undoes them.
        """
        n = len(self._qubits)
        low = np.arange(layer, n - 1, 2)
        idle = np.setdiff1d(np.arange(n), [low, low + 1])
        # Qiskit Experiments draws for each pair's second qubit first, and for idle qubits last.
        order = np.concatenate([np.column_stack([low + 1, low]).ravel(), idle])
        elements = np.empty((length, n), dtype=np.int64)
        elements[:, order] = self._rng.integers(ORDER, size=(length, n))
        circuit = self._empty.copy_empty_like()
        pairs, ones = np.tile(GENERATORS, (len(low), 1)), np.tile(GENERATORS[[0, 2]], (len(idle), 1))
        # The checks of QuantumCircuit.append would take most of the time.
        append = circuit._append
        for row in elements:
            for position, element in enumerate(row.tolist()):
                for instruction in self._elements[position][element]:
                    append(instruction)
            append(self._barrier)
            for position in low.tolist():
                append(self._entanglers[position])
            append(self._barrier)
            pairs = np.take_along_axis(self._gates.layer[row[low], row[low + 1]], pairs, axis=1)
            ones = np.take_along_axis(self._gates.one_qubit[row[idle]], ones, axis=1)
        for position, (layers, last) in zip(low.tolist(), self._gates.undo_two(pairs), strict=True):
            for pair in layers:
                self._append_pair(circuit, position, pair)
                append(self._entanglers[position])
            self._append_pair(circuit, position, last)
        for position, element in zip(idle.tolist(), self._gates.undo_one(ones).tolist(), strict=True):
            for instruction in self._elements[position][element]:
                append(instruction)
        append(self._barrier)
        circuit.measure(self._qubits, range(n))
        return circuit

    def _append_pair(self, circuit: QuantumCircuit, position: int, pair: tuple[int, int]) -> None:
        for offset, element in enumerate(pair):
            for instruction in self._elements[position + offset][element]:
                circuit._append(instruction)
