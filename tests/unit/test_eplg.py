"""EPLG: circuits of the protocol, process fidelities as injected, and their combination along the chain."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import rustworkx as rx
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, process_fidelity

from metriq_gym.benchmarks.benchmark import BenchmarkScore, Counts, RunResult
from metriq_gym.benchmarks.eplg import EPLG, EPLGData, EPLGParams, error_per_layered_gate
from metriq_gym.errors import Permanent, Unsupported
from tests.support.devices import RecordingDevice, depolarizing, simulate
from tests.support.noise import depolarizing_channel

STRENGTH = 0.03
FIDELITY = 1 - 15 / 16 * STRENGTH


def eplg(**changes: Any) -> EPLG:
    defaults: dict[str, Any] = {
        "num_qubits_in_chain": 4,
        "lengths": [2, 1, 3],
        "num_samples": 2,
        "shots": 1000,
        "seed": 12345,
        "two_qubit_gate": "cz",
        "one_qubit_basis_gates": ["rz", "rx", "x"],
        "decompose_clifford_ops": False,
        "constrain_rb_offset_b": False,
    }
    params = EPLGParams(**defaults | changes)
    return EPLG(params, params.seed)


def line(num_qubits: int) -> RecordingDevice:
    return RecordingDevice(num_qubits, rx.generators.path_graph(num_qubits))


def reference(benchmark: EPLG, chain: list[int]) -> Any:
    """Their experiment. It is imported here and not by every worker, which takes a second."""
    from qiskit_experiments.library.randomized_benchmarking import LayerFidelity

    pairs = list(pairwise(chain))
    return LayerFidelity(
        chain,
        [pairs[::2], pairs[1::2]],
        benchmark.params.lengths,
        num_samples=benchmark.params.num_samples,
        seed=benchmark.params.seed,
        two_qubit_gate=benchmark.params.two_qubit_gate,
        one_qubit_basis_gates=benchmark.params.one_qubit_basis_gates,
    )


def random_part(circuit: QuantumCircuit) -> list[set[Any]]:
    """What is between barriers, before the gates that undo it all."""
    parts: list[set[Any]] = [set()]
    per_qubit: dict[int, list[Any]] = {}
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        if instruction.operation.name == "barrier":
            parts[-1] = {(qubit, *gates) for qubit, gates in per_qubit.items()}
            parts.append(set())
            per_qubit = {}
        else:
            angles = tuple(round(float(angle), 9) for angle in instruction.operation.params)
            per_qubit.setdefault(qubits[0], []).append((instruction.operation.name, angles, qubits))
    return parts[:-2]


@pytest.mark.slow
@pytest.mark.parametrize("gate", ["cz", "cx", "ecr"])
@pytest.mark.parametrize("num_qubits", [4, 5])
def test_circuits_are_those_of_qiskit_experiments(gate: str, num_qubits: int) -> None:
    from qiskit_experiments.library.randomized_benchmarking.clifford_utils import _decompose_clifford_ops

    benchmark, device = eplg(two_qubit_gate=gate, num_qubits_in_chain=num_qubits), RecordingDevice(num_qubits)
    data = benchmark.dispatch_handler(device)
    theirs = [_decompose_clifford_ops(circuit) for circuit in reference(benchmark, data.qubit_chain).circuits()]
    for mine, other in zip(device.circuits, theirs, strict=True):
        random_layers = random_part(mine)
        assert random_layers
        assert random_layers == random_part(other)[: len(random_layers)]
        bare = mine.remove_final_measurements(inplace=False)
        assert Operator(bare).equiv(np.eye(2**num_qubits))


@pytest.mark.parametrize(
    ("gate", "basis"), [("iswap", ["u"]), ("cy", ["rz", "sx"]), ("dcx", ["h", "s"]), ("cz", ["r"])]
)
def test_other_clifford_gates_and_bases_are_undone_too(gate: str, basis: list[str]) -> None:
    device = RecordingDevice(4)
    eplg(two_qubit_gate=gate, one_qubit_basis_gates=basis, lengths=[3, 4, 5]).dispatch_handler(device)
    for circuit in device.circuits:
        assert set(circuit.count_ops()) <= {gate, *basis, "barrier", "measure"}
        assert Operator(circuit.remove_final_measurements(inplace=False)).equiv(np.eye(16))


def test_undoing_a_pair_takes_three_two_qubit_gates_at_most() -> None:
    device = line(20)
    eplg(num_qubits_in_chain=20, lengths=[5, 6, 7], num_samples=5).dispatch_handler(device)
    for circuit, (layer, length) in zip(
        device.circuits, [(layer, length) for layer in (10, 9) for length in (5, 6, 7)] * 5, strict=True
    ):
        assert length * layer < circuit.count_ops()["cz"] <= (length + 3) * layer


def test_the_chain_follows_the_devices_edges_and_stays_on_its_qubits() -> None:
    graph = rx.generators.heavy_hex_graph(5)
    device = RecordingDevice(graph.num_nodes(), graph)
    data = eplg(num_qubits_in_chain=20).dispatch_handler(device)
    for circuit in device.circuits:
        for instruction in circuit.data:
            qubits = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
            if instruction.operation.name == "cz":
                assert graph.has_edge(*qubits)
            if instruction.operation.name == "measure":
                assert data.qubit_chain[circuit.find_bit(instruction.clbits[0]).index] == qubits[0]


def runs(benchmark: EPLG, num_qubits: int, strength: float) -> tuple[EPLGData, list[RunResult]]:
    device = line(num_qubits)
    data = benchmark.dispatch_handler(device)
    noise = depolarizing(strength, "cz") if strength else None
    return data, [
        RunResult(simulate(circuits, shots, noise, seed)) for seed, (circuits, shots) in enumerate(device.runs)
    ]


def test_noiseless_chains_have_no_error() -> None:
    data, results = runs(benchmark := eplg(num_qubits_in_chain=10, lengths=[2, 4, 8, 16]), 10, 0)
    result = benchmark.poll_handler(data, results)
    assert result.chain_lengths == [4, 6, 8, 10]
    assert result.chain_eplgs == pytest.approx([0, 0, 0, 0], abs=1e-6)
    assert result.eplg_10 == result.chain_eplgs[-1]
    assert result.eplg_20 is result.eplg_50 is result.eplg_100 is None
    assert "score" not in result.record()


@pytest.fixture(scope="module")
def noisy() -> tuple[EPLG, EPLGData, list[RunResult]]:
    """Six qubits, where every two-qubit gate depolarises its pair."""
    benchmark = eplg(num_qubits_in_chain=6, lengths=[1, 4, 10, 20, 40, 80], num_samples=4, shots=1000)
    return (benchmark, *runs(benchmark, 6, STRENGTH))


@pytest.mark.slow
def test_the_injected_error_per_layered_gate_is_recovered_within_its_error_bar(
    noisy: tuple[EPLG, EPLGData, list[RunResult]],
) -> None:
    benchmark, data, results = noisy
    closed_form = process_fidelity(depolarizing_channel(STRENGTH))
    assert closed_form == pytest.approx(FIDELITY)
    fidelities = benchmark.process_fidelities(results)
    for fidelity, exact in zip(fidelities, [1, *[closed_form] * 5, 1], strict=True):
        assert fidelity.uncertainty is not None
        assert abs(fidelity.value - exact) < 3 * fidelity.uncertainty + 1e-9
    measured = error_per_layered_gate(fidelities, 6)
    assert measured.uncertainty is not None
    assert abs(measured.value - (1 - closed_form)) < 3 * measured.uncertainty
    assert measured.uncertainty < 0.1 * measured.value
    assert benchmark.poll_handler(data, results).chain_eplgs[-1] == measured.value


@pytest.mark.slow
def test_process_fidelities_agree_with_the_analysis_of_qiskit_experiments(
    noisy: tuple[EPLG, EPLGData, list[RunResult]],
) -> None:
    from qiskit_experiments.framework import ExperimentData

    benchmark, data, results = noisy
    experiment = reference(benchmark, data.qubit_chain)
    experiment.analysis.set_options(plot=False)
    for analysis in experiment.analysis.component_analysis():
        for part in analysis.component_analysis():
            part.set_options(plot=False)
    experiment_data = ExperimentData(experiment=experiment)
    counts = [counts for run in results for counts in run.counts]
    for circuit, own in zip(experiment.circuits(), counts, strict=True):
        experiment_data.add_data(
            {"counts": reordered(own, circuit, data.qubit_chain), "metadata": circuit.metadata, "shots": 1000}
        )
    experiment.analysis.run(experiment_data).block_for_results()
    table = experiment_data.analysis_results("ProcessFidelity", dataframe=True)
    theirs = {tuple(qubits): value.nominal_value for qubits, value in zip(table.qubits, table.value, strict=True)}
    for pair, fidelity in zip(pairwise(data.qubit_chain), benchmark.process_fidelities(results)[1:-1], strict=True):
        assert fidelity.uncertainty is not None
        assert theirs[pair] == pytest.approx(fidelity.value, abs=1.5 * fidelity.uncertainty)


def reordered(counts: Counts, circuit: QuantumCircuit, chain: list[int]) -> dict[str, int]:
    """Counts with chain position i in bit i as counts of Qiskit Experiments' circuit."""
    bit = {
        circuit.find_bit(i.qubits[0]).index: circuit.find_bit(i.clbits[0]).index
        for i in circuit.data
        if i.operation.name == "measure"
    }
    out = {}
    for key, occurrences in counts.items():
        characters = ["0"] * circuit.num_clbits
        for position, qubit in enumerate(chain):
            characters[-1 - bit[qubit]] = key[-1 - position]
        out["".join(characters)] = occurrences
    return out


@pytest.mark.slow
def test_error_bars_cover_the_injected_error_two_times_in_three() -> None:
    benchmark, rng, covered = eplg(lengths=[1, 4, 10, 20, 40, 80], num_samples=3), np.random.default_rng(2), 0
    survival = 0.73 * (1 - STRENGTH) ** np.array([1, 4, 10, 20, 40, 80] * 2) + 0.25
    perfect = BenchmarkScore(1.0, 0.0)
    for _ in range(200):
        results = [
            RunResult([pair_counts(n, layer=k // 6) for k, n in enumerate(alive)])
            for alive in rng.binomial(1000, survival, size=(3, 12)).tolist()
        ]
        pair = benchmark.process_fidelities(results)[2]
        measured = error_per_layered_gate([perfect, perfect, pair, perfect, perfect], 4)
        covered += abs(measured.value - (1 - FIDELITY ** (1 / 3))) <= (measured.uncertainty or 0)
    assert 0.58 <= covered / 200 <= 0.78


def pair_counts(alive: int, layer: int) -> Counts:
    """Counts of four qubits whose pairs in a layer survive or are lost together."""
    return {"0000": alive, "0101" if layer == 0 else "0010": 1000 - alive}


def test_scatter_between_circuits_makes_the_error_bar_longer() -> None:
    benchmark = eplg(lengths=[1, 5, 20], num_samples=4)
    survival = 0.75 * 0.97 ** np.array([1, 5, 20] * 2) + 0.25

    def error(spread: float) -> float:
        results = []
        for sign in (1, -1, 1, -1):
            alive = (1000 * survival * (1 + sign * spread)).astype(int).tolist()
            results.append(RunResult([pair_counts(n, layer=k // 3) for k, n in enumerate(alive)]))
        return benchmark.process_fidelities(results)[1].uncertainty or 0

    assert error(0.1) > 2 * error(0.0)


def test_uniform_counts_are_not_mistaken_for_a_perfect_chain() -> None:
    result = line(4).score_uniform(eplg(lengths=[1, 2, 4, 8]))
    assert result.chain_eplgs[-1] > 0.9


@pytest.mark.parametrize("lengths", [[2, 30], [2, 10, 30]])
def test_a_constrained_offset_steadies_short_decays(lengths: list[int]) -> None:
    data, results = runs(benchmark := eplg(lengths=lengths, constrain_rb_offset_b=True, num_samples=4), 4, STRENGTH)
    assert benchmark.poll_handler(data, results).chain_eplgs == pytest.approx([1 - FIDELITY], rel=0.2)


def scores(*values: float) -> list[BenchmarkScore]:
    return [BenchmarkScore(value, 0.0) for value in values]


def test_the_whole_chain_multiplies_all_pairs_and_both_ends() -> None:
    fidelities = scores(0.99, 0.9, 0.8, 0.7, 0.98)
    assert error_per_layered_gate(fidelities, 4).value == pytest.approx(1 - (0.99 * 0.9 * 0.8 * 0.7 * 0.98) ** (1 / 3))


def test_the_best_sub_chain_counts_half_of_the_pairs_it_cuts() -> None:
    fidelities = scores(1.0, 0.5, 0.9, 0.9, 0.9, 0.81, 0.5)
    assert error_per_layered_gate(fidelities, 4).value == pytest.approx(1 - (0.5**0.5 * 0.9**3 * 0.81**0.5) ** (1 / 3))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_qubits_in_chain": 9}, "needs 9 qubits"),
        ({"lengths": [5]}, "fewer than 2 lengths"),
        ({"two_qubit_gate": "swap"}, "does not generate"),
        ({"two_qubit_gate": "rzz"}, "not a Clifford gate"),
        ({"two_qubit_gate": "ch"}, "not a Clifford gate"),
        ({"two_qubit_gate": "x"}, "not the name of a 2-qubit gate"),
        ({"one_qubit_basis_gates": ["x", "z"]}, "do not generate all one-qubit"),
        ({"one_qubit_basis_gates": ["cx"]}, "not the name of a 1-qubit gate"),
        ({"one_qubit_basis_gates": ["measure"]}, "not the name of a 1-qubit gate"),
    ],
)
def test_what_cannot_be_benchmarked_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        eplg(**changes).dispatch_handler(line(8))


def test_no_path_no_benchmark() -> None:
    with pytest.raises(Unsupported, match="no simple path of 4 qubits"):
        eplg().dispatch_handler(RecordingDevice(9, rx.generators.star_graph(9)))


def test_no_shots_at_all_is_an_error_and_not_a_score() -> None:
    with pytest.raises(Permanent, match="no shots"):
        eplg().poll_handler(EPLGData(qubit_chain=[0, 1, 2, 3]), [RunResult([{}] * 6)] * 2)
