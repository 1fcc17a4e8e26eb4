"""Mirror Circuits: random Clifford layers run forth and back, so that one bitstring is expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from metriq_gym.benchmarks.benchmark import (
    Benchmark,
    BenchmarkData,
    BenchmarkDevice,
    BenchmarkResult,
    BenchmarkScore,
    Counts,
    RunResult,
)
from metriq_gym.benchmarks.colouring import Edge
from metriq_gym.benchmarks.limits import require_operations, require_qubits
from metriq_gym.benchmarks.matchings import random_maximal_matching
from metriq_gym.benchmarks.random_cliffords import INVERSE_PAULI_MAPS, INVERSE_WORDS, ORDER, PAULIS, WORDS
from metriq_gym.benchmarks.returned import counts_of
from metriq_gym.benchmarks.statistics import binomial, parts
from metriq_gym.errors import Unsupported

THRESHOLD = exp(-1)
"""Polarisation from which a circuit shape counts as run successfully (1/e in the paper)."""
MIN_WIDTH = 2


@dataclass(frozen=True, slots=True)
class MirrorCircuitsParams:
    """Configuration of `MirrorCircuits`; no `width` means all qubits of the device."""

    width: int | None
    num_layers: int
    two_qubit_gate_prob: float
    two_qubit_gate_name: str
    shots: int
    num_circuits: int
    seed: int | None


class MirrorCircuitsData(BenchmarkData):
    """The expected bitstring of each circuit, leftmost character for the highest qubit."""

    expected_bitstrings: list[str]


@dataclass(frozen=True, slots=True)
class MirrorCircuitsResult(BenchmarkResult):
    """`polarization` is 1 without noise and 0 for uniformly random outcomes.

    The uncertainties are those of the mean over all circuits that might have been drawn. That of `polarization` is
    also given by its parts: `shot_uncertainty` of these circuits' mean, and `circuit_uncertainty` on account of the
    choice of circuits, which is None for a single one.
    """

    success_probability: BenchmarkScore
    polarization: BenchmarkScore
    binary_success: bool
    shot_uncertainty: float
    circuit_uncertainty: float | None

    def compute_score(self) -> BenchmarkScore:
        """Return `polarization`."""
        return self.polarization


class MirrorCircuits(Benchmark[MirrorCircuitsParams, MirrorCircuitsData]):
    """Randomised mirror circuits on a line of qubits.

    The paper may draw the Paulis of the second half anew (a quasi-inverse); here, as everywhere in the dataset, the
    second half is the exact inverse of the first, and only the central Pauli layer decides the expected bitstring. The
    paper's polarisation also uses outcomes near the expected one; the dataset's is that of the success probability.

    References
    ----------
    Proctor et al., "Measuring the capabilities of quantum computers", Nature Physics 18, 75 (2022),
    https://arxiv.org/abs/2008.11294
    """

    params_type = MirrorCircuitsParams
    data_type = MirrorCircuitsData

    def dispatch_handler(self, device: BenchmarkDevice) -> MirrorCircuitsData:
        """Run all circuits.

        Raises
        ------
        Unsupported
            When the device is narrower than they are, or has a single qubit.
        """
        params = self.params
        width = device.num_qubits if params.width is None else params.width
        require_qubits(device, width)
        if width < MIN_WIDTH:
            raise Unsupported(f"mirror circuits need {MIN_WIDTH} qubits and device {device.id!r} has {width}")
        require_operations(params.num_circuits * width * 4 * (params.num_layers + 1))
        rng = np.random.default_rng(self.seed)
        circuits, expected = [], []
        for _ in range(params.num_circuits):
            layers = random_layers(width, params.num_layers, params.two_qubit_gate_prob, rng)
            central = rng.integers(len(PAULIS), size=width)
            circuits.append(mirror_circuit(layers, central, params.two_qubit_gate_name))
            expected.append(expected_bitstring(layers, central, params.two_qubit_gate_name))
        device.run(circuits, params.shots)
        return MirrorCircuitsData(expected_bitstrings=expected)

    def ideal_counts(self, job_data: MirrorCircuitsData, position: int) -> dict[str, float]:
        """Return certainty of the expected bitstring."""
        return {job_data.expected_bitstrings[position]: 1.0}

    def polarizations(self, job_data: MirrorCircuitsData, result_data: Sequence[RunResult]) -> list[BenchmarkScore]:
        """Return the polarisation of each circuit by itself.

        Parameters
        ----------
        job_data
            What `dispatch_handler` returned.
        result_data
            The one run, with all circuits.
        """
        return [
            polarize(binomial(counts.get(expected, 0), sum(counts.values())), len(expected))
            for expected, counts in self._pairs(job_data, result_data)
        ]

    def poll_handler(self, job_data: MirrorCircuitsData, result_data: Sequence[RunResult]) -> MirrorCircuitsResult:
        """Pool the shots of all circuits: S = hits ÷ shots, polarisation = max(0, (S − 2⁻ʷ)/(1 − 2⁻ʷ))."""
        pairs = self._pairs(job_data, result_data)
        each = [binomial(counts.get(expected, 0), sum(counts.values())) for expected, counts in pairs]
        found = parts([[one.value for one in each]], [[one.uncertainty or 0.0 for one in each]], [True])
        hits = sum(counts.get(expected, 0) for expected, counts in pairs)
        pooled = binomial(hits, sum(sum(counts.values()) for _, counts in pairs))
        shots = pooled.uncertainty or 0.0
        success = BenchmarkScore(pooled.value, max(found.total, shots))
        width = len(job_data.expected_bitstrings[0])
        scale = 1 - 2.0**-width
        polarization = polarize(success, width)
        return MirrorCircuitsResult(
            success_probability=success,
            polarization=polarization,
            binary_success=polarization.value >= THRESHOLD,
            shot_uncertainty=shots / scale,
            circuit_uncertainty=None if found.circuits is None else found.circuits / scale,
        )

    def _pairs(self, job_data: MirrorCircuitsData, result_data: Sequence[RunResult]) -> list[tuple[str, Counts]]:
        expected = job_data.expected_bitstrings
        return list(zip(expected, counts_of(result_data, len(expected)), strict=True))


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the first half: a Pauli on every qubit, then pairs and Cliffords on the qubits left over.

    `paulis` has shape (width,) and indexes `PAULIS`; `cliffords` maps an idle qubit to an element of `WORDS`.
    """

    paulis: NDArray[np.int64]
    pairs: Sequence[Edge]
    cliffords: dict[int, int]


def random_layers(width: int, num_layers: int, probability: float, rng: np.random.Generator) -> list[Layer]:
    """Return the first half: a layer of Cliffords alone, then `num_layers` with pairs.

    Each edge of a random maximal matching of the line is kept with the given probability.

    Parameters
    ----------
    width
        Number of qubits of the line.
    num_layers
        Number of layers with pairs.
    probability
        With which an edge is kept, 0 to 1.
    rng
        Source of all that is random.
    """
    line = [(qubit, qubit + 1) for qubit in range(width - 1)]
    layers = [Layer(np.zeros(width, dtype=np.int64), (), _random_cliffords(range(width), rng))]
    for _ in range(num_layers):
        paulis = rng.integers(len(PAULIS), size=width)
        matching = random_maximal_matching(line, rng)
        kept = rng.random(len(matching)) < probability
        pairs = [pair for pair, keep in zip(matching, kept, strict=True) if keep]
        busy = {qubit for pair in pairs for qubit in pair}
        idle = [qubit for qubit in range(width) if qubit not in busy]
        layers.append(Layer(paulis, pairs, _random_cliffords(idle, rng)))
    return layers


def _random_cliffords(qubits: Sequence[int], rng: np.random.Generator) -> dict[int, int]:
    return dict(zip(qubits, rng.integers(ORDER, size=len(qubits)).tolist(), strict=True))


def mirror_circuit(layers: Sequence[Layer], central: NDArray[np.int64], gate: str) -> QuantumCircuit:
    """Return layers, central Paulis, inverse layers and measurement, with barriers that keep them apart.

    Parameters
    ----------
    layers
        The first half.
    central
        Index in `PAULIS` for each qubit, shape (width,).
    gate
        ``CZ`` or ``CNOT``.
    """
    width = len(central)
    circuit = QuantumCircuit(width, width)
    apply_pair = circuit.cz if gate == "CZ" else circuit.cx

    def apply(word: Sequence[str], qubit: int) -> None:
        for name in word:
            getattr(circuit, name)(qubit)

    def apply_paulis(paulis: NDArray[np.int64]) -> None:
        if paulis.any():
            for qubit, pauli in enumerate(paulis.tolist()):
                apply(PAULIS[pauli], qubit)
            circuit.barrier()

    def apply_cliffords(layer: Layer, words: Sequence[Sequence[str]]) -> None:
        for pair in layer.pairs:
            apply_pair(*pair)
        for qubit, clifford in layer.cliffords.items():
            apply(words[clifford], qubit)
        circuit.barrier()

    for layer in layers:
        apply_paulis(layer.paulis)
        apply_cliffords(layer, WORDS)
    apply_paulis(central)
    for layer in reversed(layers):
        apply_cliffords(layer, INVERSE_WORDS)
        apply_paulis(layer.paulis)
    circuit.measure(range(width), range(width))
    return circuit


def expected_bitstring(layers: Sequence[Layer], central: NDArray[np.int64], gate: str) -> str:
    """Return the outcome of the ideal circuit, by carrying the central Pauli through the second half.

    With C the first half and P the central layer, C†PC is again a Pauli operator, and what it does to |0…0⟩
    is to flip the qubits on which it contains X or Y. Signs do not matter, so neither do the layers' Paulis.

    Parameters
    ----------
    layers
        The first half.
    central
        Index in `PAULIS` for each qubit, shape (width,).
    gate
        ``CZ`` or ``CNOT``.
    """
    x = np.isin(central, (1, 2)).astype(np.uint8)
    z = np.isin(central, (2, 3)).astype(np.uint8)
    for layer in reversed(layers):
        if layer.pairs:
            a, b = np.array(layer.pairs).T
            if gate == "CZ":
                z[a], z[b] = z[a] ^ x[b], z[b] ^ x[a]
            else:
                x[b] ^= x[a]
                z[a] ^= z[b]
        qubits = np.fromiter(layer.cliffords.keys(), dtype=np.intp)
        maps = INVERSE_PAULI_MAPS[np.fromiter(layer.cliffords.values(), dtype=np.intp)]
        vectors = np.stack([x[qubits], z[qubits]], axis=1)
        x[qubits], z[qubits] = (np.einsum("qij,qj->iq", maps, vectors)) % 2
    return "".join(map(str, x[::-1]))


def polarize(success: BenchmarkScore, width: int) -> BenchmarkScore:
    """Rescale a success probability so that uniformly random bitstrings of `width` bits score 0.

    Parameters
    ----------
    success
        Success probability, 0 to 1, with its uncertainty.
    width
        Number of bits.
    """
    floor = 2.0**-width
    uncertainty = None if success.uncertainty is None else success.uncertainty / (1 - floor)
    return BenchmarkScore(max(0.0, (success.value - floor) / (1 - floor)), uncertainty)
