"""BSEQ: every ideal pair reaches 2√2, and the score is the largest connected part."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
import pytest
import rustworkx as rx
from qiskit.quantum_info import Operator, Statevector

from metriq_gym.benchmarks.benchmark import Counts
from metriq_gym.benchmarks.bseq import BSEQ, SIGNS, BSEQParams, chsh_circuit, chsh_values
from metriq_gym.errors import Permanent, Unsupported
from tests.support.devices import IdealDevice, RecordingDevice, depolarizing
from tests.support.digest import digest


def bseq(shots: int = 1000, max_colors: int | None = None) -> BSEQ:
    return BSEQ(BSEQParams(shots=shots, max_colors=max_colors))


def test_every_ideal_pair_reaches_tsirelsons_bound_exactly() -> None:
    edges = [(3, 1), (0, 4)]
    probabilities = []
    for basis in SIGNS:
        circuit = chsh_circuit(5, edges, basis)
        circuit.remove_final_measurements()
        # Bits 2k and 2k + 1 belong to edge k, in the edge's order.
        probabilities.append(Statevector(circuit).probabilities_dict([3, 1, 0, 4]))
    np.testing.assert_allclose(chsh_values(probabilities), 2 * sqrt(2), atol=1e-12)


def test_the_sum_is_the_chsh_operators_expectation_value() -> None:
    """S = A₀(B₀ + B₁) + A₁(B₀ − B₁) up to relabelling, on the Bell state with Ry(π/4) on the first qubit."""
    x, z = np.array([[0, 1], [1, 0]]), np.diag([1, -1])
    angle = np.pi / 8
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    state = np.kron(rotation, np.eye(2)) @ (np.array([1, 0, 0, 1]) / sqrt(2))
    operator = np.kron(z, z) - np.kron(z, x) + np.kron(x, z) + np.kron(x, x)
    assert state @ operator @ state == pytest.approx(2 * sqrt(2))
    assert {basis: sign for basis, sign in SIGNS.items() if sign < 0} == {"ZX": -1}


def test_pairs_of_a_colour_are_independent_of_each_other() -> None:
    both = chsh_circuit(4, [(0, 1), (2, 3)], "XZ").remove_final_measurements(inplace=False)
    one = chsh_circuit(2, [(0, 1)], "XZ").remove_final_measurements(inplace=False)
    assert Operator(both).equiv(Operator(one).tensor(Operator(one)))


@pytest.mark.parametrize(
    "graph",
    [rx.generators.complete_graph(6), rx.generators.heavy_hex_graph(3), rx.generators.cycle_graph(5)],
    ids=["complete", "heavy-hex", "odd-cycle"],
)
def test_a_noiseless_device_is_connected_throughout(graph: rx.PyGraph) -> None:
    result = IdealDevice(graph.num_nodes(), graph).score(bseq(shots=400))
    assert result.largest_connected_size == graph.num_nodes()
    assert result.fraction_connected == 1
    assert result.compute_score().value == graph.num_nodes()


def test_uniform_counts_connect_nothing() -> None:
    result = RecordingDevice(12).score_uniform(bseq())
    assert (result.largest_connected_size, result.fraction_connected) == (1, 1 / 12)


@pytest.mark.parametrize(("strength", "size"), [(0.2, 6), (0.4, 1)])
def test_depolarising_noise_breaks_the_pairs_where_the_sum_falls_to_two(strength: float, size: int) -> None:
    """The sum is 2√2(1 − λ), which reaches 2 at λ = 0.293."""
    device = IdealDevice(6, rx.generators.path_graph(6))
    noise = depolarizing(strength, "cx")
    assert device.score(bseq(shots=4000), noise=noise).largest_connected_size == size


def test_a_bad_pair_splits_the_device() -> None:
    device = RecordingDevice(5, rx.generators.path_graph(5))
    data = bseq(shots=1).dispatch_handler(device)
    good = {(0, 1), (1, 2), (3, 4)}

    def answers(circuits: Sequence[object], shots: int) -> list[Counts]:
        counts: list[Counts] = []
        for edges in data.colors:
            for sign in SIGNS.values():
                # An even pair of bits is correlation +1, an odd one −1.
                bits = ["00" if (sign > 0) == (edge in good) else "01" for edge in reversed(edges)]
                counts.append({"".join(bits): shots})
        return counts

    result = device.score_with(bseq(shots=1), answers)
    assert result.largest_connected_size == 3
    assert result.fraction_connected == 3 / 5


def test_max_colors_limits_what_is_run_and_what_can_be_connected() -> None:
    device = IdealDevice(6, rx.generators.path_graph(6))
    assert device.score(bseq(max_colors=1)).largest_connected_size == 2
    assert len(device.circuits) == 4


def test_thirty_connected_qubits_take_29_colours_of_four_circuits() -> None:
    device = RecordingDevice(30)
    bseq().dispatch_handler(device)
    assert len(device.circuits) == 29 * 4
    assert {circuit.num_clbits for circuit in device.circuits} == {30}


def test_circuits_are_the_same_as_ever() -> None:
    device = RecordingDevice(7, rx.generators.heavy_hex_graph(3))
    bseq().dispatch_handler(device)
    assert digest(device.circuits) == "edf34f53d6a31725"


def test_a_device_without_connections_is_refused() -> None:
    with pytest.raises(Unsupported, match="no pair of connected qubits"):
        bseq().dispatch_handler(RecordingDevice(1))


def test_a_device_of_absurd_connectivity_is_refused_before_anything_is_built() -> None:
    with pytest.raises(Unsupported, match="operations in all"):
        bseq().dispatch_handler(RecordingDevice(1000))


def test_no_shots_at_all_is_an_error_and_not_a_score() -> None:
    with pytest.raises(Permanent, match="no shots"):
        RecordingDevice(2).score_with(bseq(), lambda circuits, shots: [{}] * 4)
