"""TyxonQ's counts and Qiskit's."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

from metriq_gym.providers.tyxonq.counts import (
    CountsOrder,
    MeasurementMap,
    counts_of,
    measurement_map,
    to_qiskit_counts,
)
from metriq_gym.providers.tyxonq.errors import ProtocolError
from metriq_gym.providers.tyxonq.models import TaskDetail

FIRST, QISKIT = CountsOrder.MEASURED_FIRST, CountsOrder.QISKIT


def test_page_example_is_reversed_or_taken_as_it_is() -> None:
    measured = MeasurementMap(((0, 0), (1, 1)), 2)
    counts = {"00": 33, "01": 2, "10": 4, "11": 61}
    assert to_qiskit_counts(measured, counts, FIRST) == {"00": 33, "10": 2, "01": 4, "11": 61}
    assert to_qiskit_counts(measured, counts, QISKIT) == counts


def test_x_on_the_first_qubit_shows_which_order_is_which() -> None:
    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    circuit.measure(range(3), range(3))
    measured = measurement_map(circuit)
    assert to_qiskit_counts(measured, {"100": 7}, FIRST) == {"001": 7}
    assert to_qiskit_counts(measured, {"001": 7}, QISKIT) == {"001": 7}


def test_one_measured_qubit_of_many_fills_its_classical_bit() -> None:
    circuit = QuantumCircuit(7, 2)
    circuit.measure(5, 1)
    for order in CountsOrder:
        assert to_qiskit_counts(measurement_map(circuit), {"0": 3, "1": 5}, order) == {"00": 3, "10": 5}


def test_crossed_measurements_and_several_registers_come_back_under_their_own_bits() -> None:
    qubits = QuantumRegister(4)
    low, high = ClassicalRegister(2, "low"), ClassicalRegister(2, "high")
    circuit = QuantumCircuit(qubits, low, high)
    circuit.measure(qubits[3], low[0])
    circuit.measure(qubits[0], high[1])
    circuit.measure(qubits[2], low[1])
    measured = measurement_map(circuit)
    assert measured == MeasurementMap(((0, 3), (2, 1), (3, 0)), 4)
    # The device writes q0 q2 q3; Qiskit high[1] high[0] low[1] low[0].
    assert to_qiskit_counts(measured, {"100": 1, "010": 2, "001": 3}, FIRST) == {"1000": 1, "0010": 2, "0001": 3}


def test_later_measurement_into_the_same_bit_counts() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    assert measurement_map(circuit) == MeasurementMap(((1, 0),), 1)


@given(st.data())
def test_conversion_finds_every_bit_whatever_is_measured_into_what(data: st.DataObject) -> None:
    num_clbits = data.draw(st.integers(1, 8))
    clbits = data.draw(st.lists(st.integers(0, num_clbits - 1), min_size=1, unique=True))
    qubits = sorted(data.draw(st.lists(st.integers(0, 12), min_size=len(clbits), max_size=len(clbits), unique=True)))
    measured = MeasurementMap(tuple(zip(qubits, clbits, strict=True)), num_clbits)
    order = data.draw(st.sampled_from(CountsOrder))
    bits = data.draw(st.lists(st.sampled_from("01"), min_size=len(qubits), max_size=len(qubits)))
    key = "".join(bits if order is FIRST else reversed(bits))
    ((converted, occurrences),) = to_qiskit_counts(measured, {key: 9}, order).items()
    assert (len(converted), occurrences) == (num_clbits, 9)
    read = {clbit: converted[num_clbits - 1 - clbit] for clbit in range(num_clbits)}
    assert read == dict.fromkeys(range(num_clbits), "0") | dict(zip(clbits, bits, strict=True))


def test_outcomes_that_did_not_occur_are_left_out() -> None:
    assert to_qiskit_counts(MeasurementMap(((0, 0),), 1), {"0": 4, "1": 0}, FIRST) == {"0": 4}


@pytest.mark.parametrize("key", ["0", "000"])
def test_bitstrings_that_do_not_fit_the_circuit_are_refused(key: str) -> None:
    with pytest.raises(ProtocolError, match="2 measured"):
        to_qiskit_counts(MeasurementMap(((0, 0), (1, 1)), 2), {key: 1}, FIRST)


def task(result: Any) -> TaskDetail:
    return TaskDetail.model_validate({"id": "job_1", "state": "completed", "result": result})


@pytest.mark.parametrize("result", [{"00": 60, "11": 40}, {"counts": {"00": 60, "11": 40}, "seconds": 3}])
def test_counts_are_found_flat_or_nested(result: Any) -> None:
    assert counts_of(task(result), 100) == {"00": 60, "11": 40}


def test_a_whole_number_of_outcomes_may_be_written_with_a_point() -> None:
    counts = counts_of(task({"00": 60.0, "11": 40}), 100)
    assert counts == {"00": 60, "11": 40}
    assert {type(each) for each in counts.values()} == {int}


def test_fewer_outcomes_than_shots_are_accepted() -> None:
    assert counts_of(task({"1": 99}), 100) == {"1": 99}


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        {"counts": None},
        {"counts": {}},
        [],
        "00",
        5,
        {"0": -1, "1": 2},
        {"0": 1.5},
        {"0": 1e300},
        {"0": math.inf},
        {"0": "1"},
        {"0": True},
        {"0": None},
        {"0": {"1": 1}},
        {"": 1},
        {"2": 1},
        {"0x1": 1},
        {"0 1": 1},
        {"٠": 1},
        {"0": 1, "01": 1},
        {"0": 0},
        {"0": 101},
        {"0": 60, "1": 60},
        {"0": 10**30},
        {"seconds": 3},
    ],
    ids=str,
)
def test_result_that_is_no_counts_is_refused_with_the_task(result: Any) -> None:
    with pytest.raises(ProtocolError, match="job_1"):
        counts_of(task(result), 100)
