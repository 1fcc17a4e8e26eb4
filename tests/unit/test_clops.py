"""CLOPS: layers fill the device's graph, and the rate uses the provider's seconds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import rustworkx as rx
from qiskit import QuantumCircuit

from metriq_gym.benchmarks.benchmark import RunResult
from metriq_gym.benchmarks.clops import CLOPS, CLOPSData, CLOPSParams
from metriq_gym.errors import Permanent, Unsupported
from tests.support.devices import RecordingDevice


def clops(**changes: Any) -> CLOPS:
    defaults: dict[str, Any] = {
        "num_qubits": 6,
        "num_layers": 8,
        "num_circuits": 3,
        "shots": 100,
        "seed": 12345,
        "two_qubit_gate": "cz",
        "mode": "instantiated",
        "use_session": False,
    }
    params = CLOPSParams(**defaults | changes)
    return CLOPS(params, params.seed)


def recorded(benchmark: CLOPS, graph: rx.PyGraph) -> list[QuantumCircuit]:
    device = RecordingDevice(graph.num_nodes(), graph)
    benchmark.dispatch_handler(device)
    return device.circuits


def pairs_per_layer(circuit: QuantumCircuit) -> list[list[tuple[int, ...]]]:
    layers: list[list[tuple[int, ...]]] = [[]]
    for instruction in circuit.data:
        if instruction.operation.name == "barrier":
            layers.append([])
        elif instruction.operation.num_qubits == 2:
            layers[-1].append(tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits))
    return layers[0:-1:2]


def test_every_layer_is_a_maximal_matching_of_the_devices_graph_and_they_vary() -> None:
    circuit = recorded(clops(), rx.generators.path_graph(6))[0]
    layers = pairs_per_layer(circuit)
    assert len(layers) == 8
    for layer in layers:
        busy = [qubit for pair in layer for qubit in pair]
        idle = sorted(set(range(6)) - set(busy))
        assert len(busy) == len(set(busy))
        assert all(b - a == 1 for a, b in layer)
        assert not any(b - a == 1 for a, b in pairwise(idle))
    assert len({tuple(sorted(layer)) for layer in layers}) > 1


@pytest.mark.parametrize("gate", ["cz", "cx", "ecr"])
def test_every_layer_rotates_every_qubit_and_all_qubits_are_measured(gate: str) -> None:
    for circuit in recorded(clops(two_qubit_gate=gate), rx.generators.path_graph(6)):
        counts = circuit.count_ops()
        assert counts["u"] == 6 * 8
        assert counts["measure"] == 6
        assert counts[gate] >= 2 * 8


def test_circuits_differ_in_angles_only() -> None:
    first, second, _ = recorded(clops(), rx.generators.path_graph(6))
    assert pairs_per_layer(first) == pairs_per_layer(second)
    assert [i.operation.params for i in first.data] != [i.operation.params for i in second.data]


def test_circuits_live_on_a_connected_part_of_the_device() -> None:
    graph = rx.PyGraph()
    graph.add_nodes_from(range(9))
    graph.extend_from_edge_list([(0, 1), (1, 2), *pairwise(range(3, 9))])
    circuit = recorded(clops(), graph)[0]
    used = {pair for layer in pairs_per_layer(circuit) for pair in layer}
    assert circuit.num_qubits == 6
    assert used <= set(pairwise(range(6)))


def test_the_rate_is_layers_run_per_second_on_the_device() -> None:
    result = clops().poll_handler(CLOPSData(), [RunResult([{"0" * 6: 100}] * 3, execution_seconds=1.2)])
    assert result.clops_score == pytest.approx(3 * 8 * 100 / 1.2)
    assert result.record() == {
        "clops_score": pytest.approx(2000),
        "steady_state_clops": None,
        "sampling_clops": None,
        "score": {"value": pytest.approx(2000), "uncertainty": None},
    }


def test_the_finer_rate_is_by_the_seconds_of_gates_and_shots_alone() -> None:
    run = RunResult([{"0" * 6: 100}] * 3, execution_seconds=1.2, sampling_seconds=0.1)
    result = clops().poll_handler(CLOPSData(), [run])
    assert result.clops_score == pytest.approx(2000)
    assert result.sampling_clops == pytest.approx(24_000)


@pytest.mark.parametrize("seconds", [None, 0.0])
def test_without_the_providers_time_there_is_no_score(seconds: float | None) -> None:
    with pytest.raises(Permanent, match="no execution time"):
        clops().poll_handler(CLOPSData(), [RunResult([], execution_seconds=seconds)])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mode": "twirled"}, "'twirled'"),
        ({"mode": "parameterized"}, "'parameterized'"),
        ({"use_session": True}, "no sessions"),
        ({"num_qubits": 10}, "needs 10 qubits"),
        ({"num_qubits": 7}, "no 7 connected qubits"),
    ],
)
def test_what_the_device_cannot_do_is_refused(changes: dict[str, Any], reason: str) -> None:
    graph = rx.generators.path_graph(6)
    graph.add_nodes_from(range(3))
    with pytest.raises(Unsupported, match=reason):
        recorded(clops(**changes), graph)
