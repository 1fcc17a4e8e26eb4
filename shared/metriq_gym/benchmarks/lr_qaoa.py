"""Linear Ramp QAOA: weighted Max-Cut by QAOA with fixed, linearly ramped angles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, pairwise
from math import inf, sqrt
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from scipy.special import stdtr

from metriq_gym.benchmarks.benchmark import (
    Benchmark,
    BenchmarkData,
    BenchmarkDevice,
    BenchmarkResult,
    BenchmarkScore,
    RunResult,
)
from metriq_gym.benchmarks.bitstrings import bit_table
from metriq_gym.benchmarks.colouring import Edge, edge_colouring
from metriq_gym.benchmarks.limits import require_operations, require_qubits
from metriq_gym.benchmarks.maxcut import WeightedGraph
from metriq_gym.benchmarks.outcomes import MAX_BITS, outcome_probabilities
from metriq_gym.benchmarks.returned import counts_of
from metriq_gym.benchmarks.statistics import tail
from metriq_gym.benchmarks.subgraphs import connected_subgraph, simple_edges
from metriq_gym.errors import Unsupported

MAX_RANDOM_BITS = 10**10
"""Bits that scoring draws: about a minute."""
NETWORK_GATES_PER_EDGE = 4
WEIGHTS = (0.1, 0.2, 0.3, 0.5, 1.0)
FEW_SHOTS = 100
"""Of all trials together."""
STAR_DEVICE = "aer_simulator"
"""The ideal simulator has no layout of its own; its native problem is a star, as in the dataset."""


@dataclass(frozen=True, slots=True)
class LinearRampQAOAParams:
    """Configuration of `LinearRampQAOA`."""

    graph_type: str
    num_qubits: int
    qaoa_layers: list[int]
    delta_beta: float
    delta_gamma: float
    shots: int
    trials: int
    num_random_trials: int
    confidence_level: float
    seed: int


class LinearRampQAOAData(BenchmarkData):
    """The edges of the native layout; None where the parameters alone say which edges there are."""

    native_edges: list[Edge] | None = None
    draw: Literal["choice", "integers"] = "integers"
    """How the weights are drawn. Jobs that do not say were dispatched when there was no choice."""


@dataclass(frozen=True, slots=True)
class LinearRampQAOAResult(BenchmarkResult):
    """Lists have one entry per entry of `qaoa_layers`.

    `score_uncertainty` is that of the shots and of the random guesses; None where each circuit has one shot.
    """

    approx_ratio: list[float]
    random_approx_ratio: float
    confidence_pass: list[bool]
    effective_approx_ratio: list[float]
    score_uncertainty: float | None = None

    def compute_score(self) -> BenchmarkScore:
        """Return the mean of `effective_approx_ratio`."""
        return BenchmarkScore(float(np.mean(self.effective_approx_ratio)), self.score_uncertainty)


class LinearRampQAOA(Benchmark[LinearRampQAOAParams, LinearRampQAOAData]):
    """How much better than random guessing a device's QAOA samples are.

    One problem is drawn per job; a trial runs the circuit of every depth once. The approximation ratio r is the mean
    cut ÷ the best cut known, over all shots; the effective one is max(0, (r − r_random)/(1 − r_random)).

    The weights are those of the dataset for the same seed: successive draws of Python's ``random.choice`` from
    `WEIGHTS` after ``random.seed(seed)``, one for each edge in order. That order is (i, i + 1) on a chain, all i < j by
    i on the complete graph, and the device's own on its native layout, which on the ideal simulator is a star. The
    native layout of fewer qubits than the device has is a connected part of it, which the dataset does not know.

    `confidence_pass` is a one-sided Student test of the hypothesis that the T trials are drawn from the same
    distribution as the R random ones: with s the standard deviation of the latter, t = (r − r_random)/(s·√(1/T + 1/R))
    with R − 1 degrees of freedom; passed when p < 1 − confidence_level. The paper asks for three standard deviations
    instead. Below `FEW_SHOTS` shots a mean is not normally distributed; then the exact test must be passed too that a
    guess, of known mean, has so good a ratio, see `tail`.

    References
    ----------
    Montañez-Barrera et al., https://arxiv.org/abs/2502.06471
    """

    params_type = LinearRampQAOAParams
    data_type = LinearRampQAOAData

    def dispatch_handler(self, device: BenchmarkDevice) -> LinearRampQAOAData:
        """Run all depths, trial after trial.

        Raises
        ------
        Unsupported
            When the device has too few qubits, when its native layout has no edge, and for more work than is
            accepted.
        """
        params = self.params
        require_qubits(device, params.num_qubits)
        n, data = params.num_qubits, LinearRampQAOAData(draw="choice")
        num_edges = n - 1 if params.graph_type == "1D" else n * (n - 1) // 2
        if params.graph_type == "NL":
            data = LinearRampQAOAData(native_edges=native_edges(device, n), draw="choice")
            num_edges = len(data.native_edges or ())
        network = params.graph_type == "FC" and not _all_to_all(device)
        per_layer = n + num_edges * (NETWORK_GATES_PER_EDGE if network else 1)
        require_operations(params.trials * sum(params.qaoa_layers) * per_layer)
        if params.num_random_trials * params.shots * n > MAX_RANDOM_BITS:
            raise Unsupported(
                f"num_random_trials · shots · num_qubits is more than {MAX_RANDOM_BITS:.0e} random bits to compare with"
            )
        problem = self.problem(data)
        circuits = [
            qaoa_circuit(problem, self.betas(depth), self.gammas(depth), swap_network=network)
            for depth in params.qaoa_layers
        ]
        device.run(circuits * params.trials, params.shots)
        return data

    def poll_handler(self, job_data: LinearRampQAOAData, result_data: Sequence[RunResult]) -> LinearRampQAOAResult:
        """Compare the cuts that were sampled with the best one and with random ones."""
        params, problem = self.params, self.problem(job_data)
        returned = counts_of(result_data, params.trials * len(params.qaoa_layers))
        best, means, variances = problem.optimum(self._rng("heuristic")), [], []
        for counts in returned:
            sides, frequencies = bit_table(counts)
            cuts = problem.cuts(sides)
            best = max(best, float(cuts.max()))
            means.append(mean := float(cuts @ frequencies))
            shots = sum(counts.values())
            variances.append(float((cuts - mean) ** 2 @ frequencies) / (shots - 1) if shots > 1 else inf)
        rng = self._rng("random guesses")
        guessed = np.array([problem.random_cuts(params.shots, rng) for _ in range(params.num_random_trials)])
        best = max(best, float(guessed[:, 1].max()))
        guesses = guessed[:, 0] / best
        by_depth = np.array(means).reshape(params.trials, len(params.qaoa_layers)) / best
        ratios = by_depth.mean(axis=0).tolist()
        random_ratio = float(guesses.mean())
        level = 1 - params.confidence_level
        shots, guessing = params.trials * params.shots, float(problem.weights.sum()) / 2 / best

        def few_shots_p_value(ratio: float) -> float:
            return tail(ratio, shots, guessing) if shots < FEW_SHOTS else 0.0

        return LinearRampQAOAResult(
            approx_ratio=ratios,
            random_approx_ratio=random_ratio,
            confidence_pass=[
                max(p_value_over_random(r, guesses, params.trials), few_shots_p_value(r)) < level for r in ratios
            ],
            effective_approx_ratio=[effective_ratio(r, random_ratio) for r in ratios],
            score_uncertainty=_score_uncertainty(np.array(variances) / best**2, float(np.mean(ratios)), guesses),
        )

    def ideal_counts(self, job_data: LinearRampQAOAData, position: int) -> dict[str, float] | None:
        """Return the probabilities of the circuit's cuts, None for too many qubits to simulate."""
        if self.params.num_qubits > MAX_BITS:
            return None
        depth = self.params.qaoa_layers[position % len(self.params.qaoa_layers)]
        problem = self.problem(job_data)
        return outcome_probabilities(qaoa_circuit(problem, self.betas(depth), self.gammas(depth), swap_network=False))

    def cut_means(self, job_data: LinearRampQAOAData, result_data: Sequence[RunResult]) -> NDArray[np.float64]:
        """Return the mean cut of each circuit, shape (trials, depths).

        Parameters
        ----------
        job_data
            What `dispatch_handler` returned.
        result_data
            The one run: trial after trial, a circuit for each depth.
        """
        problem, means = self.problem(job_data), []
        for counts in result_data[0].counts:
            sides, frequencies = bit_table(counts)
            means.append(float(problem.cuts(sides) @ frequencies))
        return np.array(means).reshape(self.params.trials, len(self.params.qaoa_layers))

    def problem(self, data: LinearRampQAOAData) -> WeightedGraph:
        """Return the job's Max-Cut problem: its edges, with weights drawn from `WEIGHTS`.

        Parameters
        ----------
        data
            What `dispatch_handler` returned.
        """
        n = self.params.num_qubits
        edges = data.native_edges
        if edges is None:
            edges = list(pairwise(range(n)) if self.params.graph_type == "1D" else combinations(range(n), 2))
        if data.draw == "integers":
            drawn = self._rng("weights").integers(len(WEIGHTS), size=len(edges))
            return WeightedGraph(n, edges, np.array(WEIGHTS)[drawn])
        draw = Random(self.seed)  # noqa: S311  (the dataset's own draw)
        return WeightedGraph(n, edges, np.array([draw.choice(WEIGHTS) for _ in edges]))

    def betas(self, depth: int) -> list[float]:
        """Mixer angles, falling from delta_beta to delta_beta ÷ depth, radians.

        Parameters
        ----------
        depth
            Number of layers.
        """
        return [self.params.delta_beta * (depth - layer) / depth for layer in range(depth)]

    def gammas(self, depth: int) -> list[float]:
        """Cost angles, rising from delta_gamma ÷ depth to delta_gamma, radians.

        Parameters
        ----------
        depth
            Number of layers.
        """
        return [self.params.delta_gamma * (layer + 1) / depth for layer in range(depth)]

    def _rng(self, purpose: Literal["weights", "heuristic", "random guesses"]) -> np.random.Generator:
        return np.random.default_rng([self.seed, *purpose.encode()])


def native_edges(device: BenchmarkDevice, num_qubits: int) -> list[Edge]:
    """Return the edges of the device's native problem, in the order in which their weights are drawn.

    Parameters
    ----------
    device
        What the problem is to run on.
    num_qubits
        Number of nodes, at most the device's qubits.

    Raises
    ------
    Unsupported
        When the device connects none of its qubits.
    """
    if device.id == STAR_DEVICE:
        return [(0, node) for node in range(1, num_qubits)]
    if num_qubits == device.num_qubits:
        pairs = ((min(pair), max(pair)) for pair in device.connectivity.edge_list())
        edges = list(dict.fromkeys(pair for pair in pairs if pair[0] != pair[1]))
        if not edges:
            raise Unsupported(
                f"device {device.id!r} connects none of its qubits, so its native layout poses no problem"
            )
        return edges
    return connected_subgraph(device, num_qubits)[1]


def qaoa_circuit(
    problem: WeightedGraph, betas: Sequence[float], gammas: Sequence[float], *, swap_network: bool
) -> QuantumCircuit:
    """Return ∏ₖ exp(iβₖ ΣXᵢ)·exp(−iγₖ Σwᵢⱼ ZᵢZⱼ) on |+…+⟩, node i measured into classical bit i.

    The swap network needs only neighbours on a line. It moves the nodes about, and the measurement undoes
    that: a qubit is measured into the bit of the node it holds at the end.

    Parameters
    ----------
    problem
        Nodes, edges and weights.
    betas
        βₖ in radians, one for each layer.
    gammas
        γₖ in radians, one for each layer.
    swap_network
        Whether all pairs are to meet on a line, for a complete graph only.
    """
    n = problem.num_nodes
    weights = dict(zip(problem.edges, problem.weights.tolist(), strict=True))
    matchings = [] if swap_network else edge_colouring(problem.graph)
    circuit = QuantumCircuit(n, n)
    circuit.h(range(n))
    node_at = list(range(n))
    for beta, gamma in zip(betas, gammas, strict=True):
        if swap_network:
            _append_network(circuit, weights, gamma, node_at)
        for edge in chain.from_iterable(matchings):
            circuit.rzz(2 * gamma * weights[edge], *edge)
        circuit.rx(-2 * beta, range(n))
    circuit.measure(range(n), node_at)
    return circuit


def _append_network(circuit: QuantumCircuit, weights: Mapping[Edge, float], gamma: float, node_at: list[int]) -> None:
    """Let every two nodes meet once, and update `node_at`.

    n rounds of exchanging neighbours at alternating places make all pairs meet (Kivlichan et al., PRL 120,
    110501). The first round need not exchange, which amounts to starting from another order, and neither
    need the last. Phase and exchange together take three CX.
    """
    n = len(node_at)
    for step in range(n):
        for low in range(step % 2, n - 1, 2):
            high = low + 1
            pair = (min(node_at[low], node_at[high]), max(node_at[low], node_at[high]))
            angle = 2 * gamma * weights[pair]
            if step in (0, n - 1):
                circuit.rzz(angle, low, high)
                continue
            circuit.cx(low, high)
            circuit.rz(angle, high)
            circuit.cx(high, low)
            circuit.cx(low, high)
            node_at[low], node_at[high] = node_at[high], node_at[low]


def _all_to_all(device: BenchmarkDevice) -> bool:
    n = device.num_qubits
    return len(simple_edges(device.connectivity)) == n * (n - 1) // 2


def p_value_over_random(ratio: float, guesses: NDArray[np.float64], trials: int) -> float:
    """Probability that `trials` more random guesses have a mean of at least `ratio` (one-sided t test).

    Parameters
    ----------
    ratio
        Mean approximation ratio of the trials.
    guesses
        Approximation ratios of random guesses, shape (guesses,).
    trials
        How many trials the mean is over.
    """
    excess = ratio - guesses.mean()
    error = guesses.std(ddof=1) * sqrt(1 / trials + 1 / len(guesses))
    if error == 0:
        # Guesses that all agree say nothing of how guesses differ: as many more would be as good one time in so many.
        return 1 / (1 + len(guesses)) if excess > 0 else 1.0
    return float(stdtr(len(guesses) - 1, -excess / error))


def _score_uncertainty(variances: NDArray[np.float64], ratio: float, guesses: NDArray[np.float64]) -> float | None:
    """Uncertainty of the mean effective ratio: of the ratios, given each circuit's variance, and of the guesses."""
    if not np.isfinite(variances).all():
        return None
    room = 1 - float(guesses.mean())
    if room <= 0:
        return 0.0
    of_ratio = float(np.sqrt(variances.sum())) / len(variances) / room
    of_guesses = float(guesses.std(ddof=1)) / sqrt(len(guesses)) * (1 - ratio) / room**2
    return float(np.hypot(of_ratio, of_guesses))


def effective_ratio(ratio: float, random_ratio: float) -> float:
    """Rescale an approximation ratio so that random guessing scores 0 and the optimum 1.

    Parameters
    ----------
    ratio
        Approximation ratio.
    random_ratio
        Approximation ratio of random guessing.
    """
    return max(0.0, (ratio - random_ratio) / (1 - random_ratio)) if random_ratio < 1 else 0.0
