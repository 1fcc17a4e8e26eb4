"""CLOPS: circuit layer operations per second, from the time that the provider reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import pi
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from metriq_gym.benchmarks.benchmark import (
    Benchmark,
    BenchmarkData,
    BenchmarkDevice,
    BenchmarkResult,
    BenchmarkScore,
    RunResult,
)
from metriq_gym.benchmarks.colouring import Edge
from metriq_gym.benchmarks.limits import require_operations, require_qubits
from metriq_gym.benchmarks.matchings import random_maximal_matching
from metriq_gym.benchmarks.outcomes import MAX_BITS, outcome_probabilities
from metriq_gym.benchmarks.returned import counts_of
from metriq_gym.benchmarks.subgraphs import connected_subgraph
from metriq_gym.errors import Permanent, Unsupported


@dataclass(frozen=True, slots=True)
class CLOPSParams:
    """Configuration of `CLOPS`."""

    num_qubits: int
    num_layers: int
    num_circuits: int
    shots: int
    seed: int
    two_qubit_gate: str
    mode: str
    use_session: bool


class CLOPSData(BenchmarkData):
    """The pairs that the circuits' gates may act on; None for jobs that were dispatched before that was kept."""

    edges: list[Edge] | None = None


@dataclass(frozen=True, slots=True)
class CLOPSResult(BenchmarkResult):
    """Layers per second; the steady state is None because no provider here reports execution spans.

    `sampling_clops` is by the seconds of gates and shots alone, None where the provider does not tell them apart.
    """

    clops_score: float
    steady_state_clops: float | None = None
    sampling_clops: float | None = None

    def compute_score(self) -> BenchmarkScore:
        """Return `clops_score`."""
        return BenchmarkScore(self.clops_score)


class CLOPS(Benchmark[CLOPSParams, CLOPSData]):
    """Throughput of circuits that differ in their one-qubit angles only.

    The paper times Quantum Volume circuits whose parameters follow from the results before, including their compilation
    and the data's way; the dataset counts layers of native gates (CLOPS_h of IBM's device benchmarking) and the seconds
    of the job as the provider reports them: circuits · layers · shots ÷ seconds. On a simulator that is the whole run,
    with what it takes to hand circuits over and to get ready.

    References
    ----------
    Wack et al., "Quality, speed, and scale: three key attributes to measure the performance of near-term quantum
    computers", https://arxiv.org/abs/2110.14108
    """

    params_type = CLOPSParams
    data_type = CLOPSData

    def dispatch_handler(self, device: BenchmarkDevice) -> CLOPSData:
        """Run all circuits at once.

        Raises
        ------
        Unsupported
            For modes and sessions that need IBM's sampler, and when the device cannot run the circuits.
        """
        params = self.params
        if params.mode != "instantiated":
            raise Unsupported(f"mode {params.mode!r} needs a sampler that binds parameters on the device")
        if params.use_session:
            raise Unsupported(f"device {device.id!r} has no sessions; set use_session to false")
        require_qubits(device, params.num_qubits)
        require_operations(params.num_circuits * params.num_layers * (3 * params.num_qubits // 2 + 2))
        _, edges = connected_subgraph(device, params.num_qubits)
        device.run(list(self._circuits(edges)), params.shots)
        return CLOPSData(edges=edges)

    def ideal_counts(self, job_data: CLOPSData, position: int) -> dict[str, float] | None:
        """Return the probabilities of the circuit's outcomes, None for too many qubits to simulate."""
        if job_data.edges is None or self.params.num_qubits > MAX_BITS:
            return None
        return outcome_probabilities(next(islice(self._circuits(job_data.edges), position, None)))

    def poll_handler(self, job_data: CLOPSData, result_data: Sequence[RunResult]) -> CLOPSResult:
        """Divide the layers run by the seconds.

        Raises
        ------
        Permanent
            When the provider reported no time, or counts are missing.
        """
        if not (seconds := result_data[0].execution_seconds if result_data else None):
            raise Permanent("the device returned no execution time, so there is no rate to compute")
        counts_of(result_data, self.params.num_circuits)
        params = self.params
        layers = params.num_circuits * params.num_layers * params.shots
        sampling = result_data[0].sampling_seconds
        return CLOPSResult(clops_score=layers / seconds, sampling_clops=layers / sampling if sampling else None)

    def _circuits(self, edges: Sequence[Edge]) -> Iterator[QuantumCircuit]:
        """Layers of two-qubit gates on a random maximal matching, barrier, random rotations, barrier."""
        params = self.params
        rng = np.random.default_rng(self.seed)
        layers = [random_maximal_matching(edges, rng) for _ in range(params.num_layers)]
        qubits = range(params.num_qubits)
        for _ in range(params.num_circuits):
            circuit = QuantumCircuit(params.num_qubits, params.num_qubits)
            apply_pair: Any = getattr(circuit, params.two_qubit_gate)
            angles = rng.uniform(0, 2 * pi, size=(params.num_layers, params.num_qubits, 3)).tolist()
            for matching, rotations in zip(layers, angles, strict=True):
                for pair in matching:
                    apply_pair(*pair)
                circuit.barrier()
                for qubit, rotation in zip(qubits, rotations, strict=True):
                    circuit.u(*rotation, qubit)
                circuit.barrier()
            circuit.measure(qubits, qubits)
            yield circuit
