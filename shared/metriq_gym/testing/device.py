"""A device for tests of a benchmark: it remembers what is to be run, and scores with the counts that a test has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import rustworkx as rx
from qiskit import QuantumCircuit

from metriq_gym.benchmarks.benchmark import Benchmark, Counts, RunResult

Runner = Callable[[Sequence[QuantumCircuit], int], Sequence[Counts]]
"""Returns the counts of each circuit for so many shots."""


@dataclass
class RecordingDevice:
    """Remembers every `run` in `runs`; every qubit pair is connected unless a `graph` says otherwise."""

    num_qubits: int
    graph: rx.PyGraph | None = None
    id: str = "recorder"

    def __post_init__(self) -> None:
        self.runs: list[tuple[list[QuantumCircuit], int]] = []

    @property
    def connectivity(self) -> rx.PyGraph:
        """The qubit pairs that share a two-qubit gate."""
        return rx.generators.complete_graph(self.num_qubits) if self.graph is None else self.graph

    def run(self, circuits: QuantumCircuit | Sequence[QuantumCircuit], shots: int) -> None:
        """Remember circuits and shots.

        Parameters
        ----------
        circuits
            One, or several.
        shots
            How often each is to be run.
        """
        self.runs.append(([circuits] if isinstance(circuits, QuantumCircuit) else list(circuits), shots))

    @property
    def circuits(self) -> list[QuantumCircuit]:
        """All circuits, in the order in which they were to be run."""
        return [circuit for circuits, _ in self.runs for circuit in circuits]

    def score_with(self, benchmark: Benchmark, runner: Runner) -> Any:
        """Dispatch `benchmark`, let `runner` produce the counts, and return the result.

        What the benchmark keeps for scoring is stored as JSON in between, as it is for a real job.

        Parameters
        ----------
        benchmark
            With its parameters and seed.
        runner
            Called once for each `run`.
        """
        self.runs = []
        data = benchmark.dispatch_handler(self)
        stored = type(data).model_validate_json(data.model_dump_json())
        return benchmark.poll_handler(stored, [RunResult(runner(circuits, shots)) for circuits, shots in self.runs])
