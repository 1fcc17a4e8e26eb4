"""Splitting circuits into independent components, and joining their outcomes."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr

from metriq_gym.providers.aer.components import split
from metriq_gym.providers.aer.sampling import draw, join
from tests.support.aer_reference import exact

ANGLES = st.sampled_from([0.3, 1.1, 2.5])


@st.composite
def circuits(draw: st.DrawFn, max_qubits: int = 6) -> QuantumCircuit:
    """Random circuits with gates, resets, measurements anywhere, and gates conditioned on one classical bit."""
    qubits, clbits = draw(st.integers(1, max_qubits)), draw(st.integers(1, 4))
    circuit = QuantumCircuit(qubits, clbits)
    some_qubit, some_clbit = st.integers(0, qubits - 1), st.integers(0, clbits - 1)
    for _ in range(draw(st.integers(1, 12))):
        match draw(st.sampled_from(["rx", "h", "cx", "cry", "reset", "measure", "measure", "if", "barrier"])):
            case "rx":
                circuit.rx(draw(ANGLES), draw(some_qubit))
            case "h":
                circuit.h(draw(some_qubit))
            case "cx" if qubits > 1:
                circuit.cx(*draw(st.permutations(range(qubits)))[:2])
            case "cry" if qubits > 1:
                circuit.cry(draw(ANGLES), *draw(st.permutations(range(qubits)))[:2])
            case "reset":
                circuit.reset(draw(some_qubit))
            case "measure":
                circuit.measure(draw(some_qubit), draw(some_clbit))
            case "if":
                with circuit.if_test((circuit.clbits[draw(some_clbit)], draw(st.integers(0, 1)))):
                    circuit.rx(draw(ANGLES), draw(some_qubit))
            case "barrier":
                circuit.barrier()
    circuit.measure(draw(some_qubit), draw(some_clbit))
    return circuit


def product_distribution(circuit: QuantumCircuit) -> dict[str, float]:
    """Distribution of the whole from those of its components, each computed alone."""
    parts = [(component.positions, exact(component.circuit())) for component in split(circuit)]
    joint: dict[str, float] = {}
    for combination in product(*(distribution.items() for _, distribution in parts)):
        bits = ["0"] * circuit.num_clbits
        for (positions, _), (key, _) in zip(parts, combination, strict=True):
            for position, bit in zip(positions, reversed(key), strict=True):
                bits[position] = bit
        joint["".join(reversed(bits))] = float(np.prod([probability for _, probability in combination]))
    return joint


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(circuits())
def test_components_together_have_the_distribution_of_the_whole(circuit: QuantumCircuit) -> None:
    whole, parts = exact(circuit), product_distribution(circuit)
    assert all(abs(whole.get(key, 0) - parts.get(key, 0)) < 1e-9 for key in whole | parts)


@settings(max_examples=100, deadline=None)
@given(circuits())
def test_components_share_no_bit(circuit: QuantumCircuit) -> None:
    components = split(circuit)
    qubits = [qubit for component in components for qubit in component.qubits]
    clbits = [position for component in components for position in component.positions]
    assert len(set(qubits)) == len(qubits)
    assert len(set(clbits)) == len(clbits)


def test_disjoint_bell_pairs_are_separate_and_barriers_join_nothing() -> None:
    circuit = QuantumCircuit(6, 6)
    for a in (0, 2, 4):
        circuit.h(a)
        circuit.cx(a, a + 1)
    circuit.barrier()
    circuit.measure(range(6), range(6))
    assert [component.positions for component in split(circuit)] == [(0, 1), (2, 3), (4, 5)]


def test_qubits_that_no_outcome_depends_on_are_left_out() -> None:
    circuit = QuantumCircuit(30, 1)
    circuit.h(range(30))
    circuit.measure(7, 0)
    (component,) = split(circuit)
    assert component.qubits == (circuit.qubits[7],)


def test_two_measurements_into_one_bit_keep_their_order() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    (component,) = split(circuit)
    assert exact(component.circuit()) == pytest.approx({"0": 1.0})


def if_register(circuit: QuantumCircuit, register: ClassicalRegister) -> None:
    with circuit.if_test((register, 3)):
        circuit.x(2)


def if_expression(circuit: QuantumCircuit, register: ClassicalRegister) -> None:
    with circuit.if_test(expr.equal(register, 3)):
        circuit.x(2)


def switch(circuit: QuantumCircuit, register: ClassicalRegister) -> None:
    with circuit.switch(register) as case, case(3):
        circuit.x(2)


def outside_arguments(circuit: QuantumCircuit, register: ClassicalRegister) -> None:
    body = QuantumCircuit(1)
    body.x(0)
    circuit.if_test((register, 3), body, [2], [])


@pytest.mark.parametrize("condition", [if_register, if_expression, switch, outside_arguments])
def test_a_condition_joins_all_bits_that_it_reads(condition: Any) -> None:
    register = ClassicalRegister(2, "a")
    circuit = QuantumCircuit(QuantumRegister(3), register, ClassicalRegister(1, "b"))
    circuit.h([0, 1])
    circuit.measure([0, 1], [0, 1])
    condition(circuit, register)
    circuit.measure(2, 2)
    (component,) = split(circuit)
    assert component.positions == (0, 1, 2)
    assert register in component.registers


def test_dealt_shots_use_every_count_once_and_pair_at_random() -> None:
    rng = np.random.default_rng(5)
    left, right = (draw({"0x0": 500, "0x3": 500}, 2, 1, rng)[0] for _ in range(2))
    counts = join([((0, 2), left), ((1, 4), right)], 5, 1000)
    assert set(counts) == {"00000", "00101", "10010", "10111"}
    assert counts["00101"] + counts["10111"] == 500
    # Hypergeometric: mean 250, standard deviation 7.9.
    assert abs(counts["10111"] - 250) < 40


def test_copies_get_equal_shares_of_the_counts() -> None:
    dealt = draw({"0x0": 700, "0x1": 300}, 1, 10, np.random.default_rng(1))
    assert [len(outcomes.rows) for outcomes in dealt] == [100] * 10
    assert sum(int(outcomes.table[outcomes.rows].sum()) for outcomes in dealt) == 300
