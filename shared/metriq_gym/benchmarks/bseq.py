"""BSEQ: how many qubits a device can join by pairs that violate the CHSH inequality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
import rustworkx as rx
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
from metriq_gym.benchmarks.bitstrings import bit_table
from metriq_gym.benchmarks.colouring import Edge, edge_colouring
from metriq_gym.benchmarks.limits import require_operations
from metriq_gym.benchmarks.outcomes import independent
from metriq_gym.benchmarks.returned import counts_of
from metriq_gym.benchmarks.statistics import binomial
from metriq_gym.errors import Unsupported

SIGNS = {"ZZ": 1, "ZX": -1, "XZ": 1, "XX": 1}
"""Measurement bases of (rotated qubit, its partner), and the sign of their correlation in the CHSH sum.

Behind Ry(π/4) the Bell pair has ⟨ZZ⟩ = ⟨XX⟩ = ⟨XZ⟩ = 1/√2 = −⟨ZX⟩, so that the sum is 2√2."""
ALL_PAIRS = ("00", "01", "10", "11")
CLASSICAL_LIMIT = 2
UNDECIDED = 2
"""Standard errors from the limit within which a pair may be on either side of it."""
OPERATIONS_PER_EDGE = 7


@dataclass(frozen=True, slots=True)
class BSEQParams:
    """Configuration of `BSEQ`; `max_colors` limits how many colour classes are run, the biggest first."""

    shots: int
    max_colors: int | None


class BSEQData(BenchmarkData):
    """Which pairs were measured together."""

    num_qubits: int
    colors: list[list[Edge]]
    """The edges of each colour; four circuits per colour, in the order of `SIGNS`."""


@dataclass(frozen=True, slots=True)
class BSEQResult(BenchmarkResult):
    """`largest_connected_size` in qubits, and the same as a fraction of the device's qubits.

    `undecided_pairs` are those whose CHSH value is within two standard errors of 2: another run may count them the
    other way, and then the size may be another.
    """

    largest_connected_size: int
    fraction_connected: float
    undecided_pairs: int = 0

    def compute_score(self) -> BenchmarkScore:
        """Return `largest_connected_size`."""
        return BenchmarkScore(float(self.largest_connected_size))


class BSEQ(Benchmark[BSEQParams, BSEQData]):
    """Bell-state effective qubits: the largest part of the device connected by pairs with CHSH value above 2.

    References
    ----------
    The inequality: Clauser, Horne, Shimony and Holt, Phys. Rev. Lett. 23, 880 (1969),
    https://doi.org/10.1103/PhysRevLett.23.880
    """

    params_type = BSEQParams
    data_type = BSEQData

    def dispatch_handler(self, device: BenchmarkDevice) -> BSEQData:
        """Run four circuits per colour of the device's connectivity graph, all in one go.

        Raises
        ------
        Unsupported
            When no two qubits of the device are connected, or there are too many operations.
        """
        graph = device.connectivity
        if not graph.num_edges():
            raise Unsupported(f"device {device.id!r} has no pair of connected qubits, and BSEQ needs one")
        require_operations(len(SIGNS) * OPERATIONS_PER_EDGE * graph.num_edges())
        colors = edge_colouring(graph)[: self.params.max_colors]
        num_qubits = graph.num_nodes()
        device.run([chsh_circuit(num_qubits, edges, basis) for edges in colors for basis in SIGNS], self.params.shots)
        return BSEQData(num_qubits=num_qubits, colors=colors)

    def chsh(self, job_data: BSEQData, result_data: Sequence[RunResult]) -> dict[Edge, BenchmarkScore]:
        """Return the CHSH sum of each edge that was measured, with its standard error.

        Parameters
        ----------
        job_data
            What `dispatch_handler` returned.
        result_data
            The one run: four circuits for each colour.

        Raises
        ------
        Permanent
            When counts are missing.
        """
        counts = iter(counts_of(result_data, len(SIGNS) * len(job_data.colors)))
        found: dict[Edge, BenchmarkScore] = {}
        for edges in job_data.colors:
            in_bases = [next(counts) for _ in SIGNS]
            errors = chsh_errors(in_bases)
            for edge, value, error in zip(edges, chsh_values(in_bases).tolist(), errors.tolist(), strict=True):
                found[edge] = BenchmarkScore(value, error)
        return found

    def ideal_counts(self, job_data: BSEQData, position: int) -> dict[str, float] | None:
        """Return the outcomes of all pairs of a colour, of which each is the same pair of bits with (1 + E)/2."""
        edges = job_data.colors[position // len(SIGNS)]
        correlation = [*SIGNS.values()][position % len(SIGNS)] / sqrt(2)
        pair = {bits: (1 + (correlation if bits in {"00", "11"} else -correlation)) / 4 for bits in ALL_PAIRS}
        return independent([pair] * len(edges))

    def poll_handler(self, job_data: BSEQData, result_data: Sequence[RunResult]) -> BSEQResult:
        """Return the size of the largest component of the graph of good edges."""
        good = rx.PyGraph(multigraph=False)
        good.add_nodes_from(range(job_data.num_qubits))
        found = self.chsh(job_data, result_data)
        for edge, chsh in found.items():
            if chsh.value > CLASSICAL_LIMIT:
                good.add_edge(*edge, None)
        largest = max(len(component) for component in rx.connected_components(good))
        return BSEQResult(
            largest_connected_size=largest,
            fraction_connected=largest / job_data.num_qubits,
            undecided_pairs=sum(
                abs(each.value - CLASSICAL_LIMIT) <= UNDECIDED * (each.uncertainty or 0.0) for each in found.values()
            ),
        )


def chsh_circuit(num_qubits: int, edges: Sequence[Edge], basis: str) -> QuantumCircuit:
    """Entangle and measure all `edges` at once; edge k is read into classical bits 2k and 2k + 1.

    `basis` gives one letter for the first qubit of each edge, the rotated one, and one for the second.

    Parameters
    ----------
    num_qubits
        Width of the circuit.
    edges
        Pairs of qubits of which no two share a qubit.
    basis
        Two letters of X and Z, such as ``"ZX"``.
    """
    circuit = QuantumCircuit(num_qubits, 2 * len(edges))
    for index, edge in enumerate(edges):
        circuit.h(edge[0])
        circuit.cx(*edge)
        circuit.ry(pi / 4, edge[0])
        for qubit, letter in zip(edge, basis, strict=True):
            if letter == "X":
                circuit.h(qubit)
        circuit.measure(edge, [2 * index, 2 * index + 1])
    return circuit


def chsh_values(counts: Sequence[Counts]) -> NDArray[np.float64]:
    """Return the CHSH sum of each edge, shape (edges,), from the counts in the four bases of `SIGNS`.

    Parameters
    ----------
    counts
        Four, one for each basis in the order of `SIGNS`; edge k is bits 2k and 2k + 1.
    """
    return np.array(list(SIGNS.values())) @ np.stack([_correlations(in_basis) for in_basis in counts])


def chsh_errors(counts: Sequence[Counts]) -> NDArray[np.float64]:
    """Return the standard error of each edge's CHSH sum, shape (edges,): √Σ(1 − E²)/shots over the four bases.

    As in `binomial`, it is the width of Wilson's interval, which does not vanish where all shots agree.

    Parameters
    ----------
    counts
        As for `chsh_values`.
    """
    widths = [_widths(_correlations(in_basis), sum(in_basis.values())) for in_basis in counts]
    return np.asarray(np.linalg.norm(widths, axis=0))


def _widths(correlations: NDArray[np.float64], shots: int) -> NDArray[np.float64]:
    even = np.rint((1 + correlations) / 2 * shots).astype(int).tolist()
    return np.array([2 * (binomial(each, shots).uncertainty or 0.0) for each in even])


def _correlations(counts: Counts) -> NDArray[np.float64]:
    """⟨ZZ⟩ of every two neighbouring bits."""
    bits, frequencies = bit_table(counts)
    odd = bits[:, 0::2] ^ bits[:, 1::2]
    return 1 - 2 * (frequencies @ odd)
