"""Which method each component is simulated by, and the bounds that the choice rests on."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import library
from qiskit.quantum_info import Operator, Statevector

from metriq_gym.errors import Unsupported
from metriq_gym.providers.aer.components import Component, split
from metriq_gym.providers.aer.line import SCHMIDT_EXPONENT, lay
from metriq_gym.providers.aer.methods import (
    Method,
    SimulationPlan,
    matrix_seconds,
    plan_ideal,
    plan_noisy,
    trajectory_seconds,
)

MIB, GIB = 2**20, 2**30


def component(circuit: QuantumCircuit) -> Component:
    (only,) = split(circuit)
    return only


def chain(qubits: int, layers: int, angle: float = 0.3) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.h(range(qubits))
    for _ in range(layers):
        for parity in (0, 1):
            for qubit in range(parity, qubits - 1, 2):
                circuit.rzz(angle, qubit, qubit + 1)
        circuit.rx(angle, range(qubits))
    circuit.measure_all()
    return circuit


def ghz(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.h(0)
    circuit.cx(0, range(1, qubits))
    circuit.measure_all()
    return circuit


def star(qubits: int, angle: float = 0.3) -> QuantumCircuit:
    """Every pair coupled: entangled too much for a line."""
    circuit = QuantumCircuit(qubits)
    circuit.h(range(qubits))
    for a in range(qubits):
        for b in range(a):
            circuit.rzz(angle, a, b)
    circuit.rx(angle, range(qubits))
    circuit.measure_all()
    return circuit


@pytest.mark.parametrize(
    ("circuit", "method"),
    [
        (chain(7, 10), Method.STATE_VECTOR),
        (ghz(10), Method.STATE_VECTOR),
        (ghz(11), Method.STABILIZER),
        (ghz(128), Method.STABILIZER),
        (star(24), Method.STATE_VECTOR),
        (chain(100, 3), Method.MATRIX_PRODUCT_STATE),
    ],
)
def test_the_cheapest_exact_method_is_chosen(circuit: QuantumCircuit, method: Method) -> None:
    assert plan_ideal(component(circuit), 2 * GIB).method == method


def test_rz_by_quarter_turns_is_clifford_and_by_other_angles_is_not() -> None:
    for angle, method in ((-3 * math.pi / 2, Method.STABILIZER), (math.pi / 4, Method.STATE_VECTOR)):
        circuit = ghz(12)
        circuit.data.insert(1, circuit.data[0].replace(operation=library.RZGate(angle)))
        assert plan_ideal(component(circuit), GIB).method == method


def test_a_gate_inside_control_flow_counts_too() -> None:
    circuit = QuantumCircuit(12, 12)
    circuit.h(0)
    circuit.cx(0, range(1, 12))
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.t(1)
    circuit.measure(range(1, 12), range(1, 12))
    assert plan_ideal(component(circuit), GIB).method == Method.STATE_VECTOR


def test_what_does_not_fit_is_refused_with_what_would() -> None:
    with pytest.raises(Unsupported, match=r"needs 40 qubits .*16,384.0 GiB.* at most 27 qubits fit in 2048 MiB"):
        plan_ideal(component(star(40)), 2 * GIB)


def test_noise_rules_out_tableaux_and_lines() -> None:
    assert plan_noisy(component(ghz(4)), GIB).method == Method.DENSITY_MATRIX
    assert plan_noisy(component(ghz(12)), GIB).method == Method.STATE_VECTOR
    with pytest.raises(Unsupported, match="needs 40 qubits"):
        plan_noisy(component(ghz(40)), GIB)


def repeated(times: int, depth: int = 12) -> QuantumCircuit:
    """Gates on each pair of neighbours in turn, so many times on the same pair before the next."""
    circuit = QuantumCircuit(10, 10)
    for layer in range(depth):
        for qubit in range(layer % 2, 9, 2):
            for _ in range(times):
                circuit.sx(qubit)
                circuit.cx(qubit, qubit + 1)
    circuit.measure(range(10), range(10))
    return circuit


def test_noisy_circuits_are_run_by_what_is_cheaper_for_so_many_shots() -> None:
    deep, shallow = component(repeated(6)), component(repeated(1))
    assert plan_noisy(deep, GIB, shots=1000).method == Method.DENSITY_MATRIX
    assert plan_noisy(deep, GIB, shots=100).method == Method.STATE_VECTOR
    assert plan_noisy(shallow, GIB, shots=1000).method == Method.STATE_VECTOR
    assert plan_noisy(deep, 2**20, shots=1000).method == Method.STATE_VECTOR, "the matrix does not fit"


def test_what_acts_on_the_same_pair_in_a_row_costs_a_density_matrix_once() -> None:
    once, often = component(repeated(1)), component(repeated(6))
    assert matrix_seconds(often) == matrix_seconds(once)
    assert trajectory_seconds(often) > 5 * trajectory_seconds(once)


def test_noisy_circuit_with_feed_forward_is_run_shot_by_shot() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    assert plan_noisy(component(circuit), GIB).method == Method.STATE_VECTOR


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([ghz, star, lambda n: chain(n, 2), lambda n: chain(n, 12)]),
    st.integers(2, 40),
    st.integers(0, 34),
    st.sampled_from([plan_ideal, plan_noisy]),
)
def test_no_plan_takes_more_than_the_memory_there_is(build: Any, qubits: int, log_memory: int, plan: Any) -> None:
    try:
        chosen: SimulationPlan = plan(component(build(qubits)), 2**log_memory)
    except Unsupported:
        assert 16 * 2**qubits > 2**log_memory
    else:
        assert 0 < chosen.memory <= 2**log_memory


GATES: dict[str, Any] = {
    "cp": library.CPhaseGate(0.7),
    "csx": library.CSXGate(),
    "cx": library.CXGate(),
    "cy": library.CYGate(),
    "cz": library.CZGate(),
    "ecr": library.ECRGate(),
    "rxx": library.RXXGate(0.7),
    "ryy": library.RYYGate(0.7),
    "rzx": library.RZXGate(0.7),
    "rzz": library.RZZGate(0.7),
    "swap": library.SwapGate(),
    "unitary": library.UnitaryGate(Operator(library.iSwapGate())),
}


@pytest.mark.parametrize("name", SCHMIDT_EXPONENT)
def test_operator_schmidt_ranks(name: str) -> None:
    matrix = Operator(GATES[name]).data.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4)
    rank = int(np.linalg.matrix_rank(matrix, tol=1e-9))
    assert rank == 2 ** SCHMIDT_EXPONENT[name]


@st.composite
def unitaries(draw: st.DrawFn) -> QuantumCircuit:
    """Random connected circuits of the gates a line knows, between any two of at most 7 qubits."""
    qubits = draw(st.integers(2, 7))
    circuit = QuantumCircuit(qubits)
    # A path first, so that there is one component; then anything.
    pairs = [(a, a + 1) for a in range(qubits - 1)]
    pairs += draw(st.lists(st.permutations(range(qubits)).map(lambda order: (order[0], order[1])), max_size=8))
    for pair in pairs:
        for qubit in pair:
            circuit.ry(draw(st.sampled_from([0.4, 1.3])), qubit)
        circuit.append(GATES[draw(st.sampled_from(sorted(GATES)))], pair)
    circuit.measure_all()
    return circuit


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(unitaries())
def test_no_bond_of_the_line_ever_needs_more_than_its_bound(circuit: QuantumCircuit) -> None:
    line = lay(component(circuit))
    assert line is not None
    laid = line.component.circuit()
    state = Statevector.from_label("0" * laid.num_qubits)
    for instruction in laid.data:
        if instruction.name == "measure":
            continue
        places = [laid.find_bit(qubit).index for qubit in instruction.qubits]
        assert max(places) - min(places) <= 1
        state = state.evolve(instruction.operation, places)
        for bond, exponent in enumerate(line.exponents, start=1):
            rank = np.linalg.matrix_rank(state.data.reshape(-1, 2**bond), tol=1e-9)
            assert rank <= 2**exponent


@settings(max_examples=50, deadline=None)
@given(unitaries())
def test_laying_along_a_line_changes_no_probability(circuit: QuantumCircuit) -> None:
    line = lay(component(circuit))
    assert line is not None
    laid = line.component.circuit()
    measured = [laid.find_bit(i.qubits[0]).index for i in laid.data if i.name == "measure"]
    before = Statevector(circuit.remove_final_measurements(inplace=False)).probabilities()
    after = Statevector(laid.remove_final_measurements(inplace=False)).probabilities(measured)
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_a_shuffled_chain_is_laid_out_without_swaps() -> None:
    order = np.random.default_rng(3).permutation(30).tolist()
    circuit = QuantumCircuit(30)
    for a, b in pairwise(order):
        circuit.rzz(0.2, a, b)
    circuit.measure_all()
    line = lay(component(circuit))
    assert line is not None
    assert line.exponents == (1,) * 29
    assert "swap" not in line.component.circuit().count_ops()


def test_three_qubit_gates_and_control_flow_are_not_laid_out() -> None:
    toffoli = QuantumCircuit(3)
    toffoli.ccx(0, 1, 2)
    toffoli.measure_all()
    assert lay(component(toffoli)) is None


def test_refusal_says_what_a_long_line_would_need() -> None:
    with pytest.raises(Unsupported, match=r"needs 100 qubits as .* or as a matrix product state \(5\.4 GiB\)"):
        plan_ideal(component(chain(100, 10)), 2 * GIB)
