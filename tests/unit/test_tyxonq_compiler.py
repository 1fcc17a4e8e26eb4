"""Compiling for TyxonQ, its OpenQASM text, and the way back from the device's counts."""

from __future__ import annotations

import re
from math import pi
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qasm2
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Operator, Statevector

from metriq_gym.benchmarks.wit import wit_circuit
from metriq_gym.errors import Unsupported
from metriq_gym.messages import Compilation, CompilationName
from metriq_gym.packing import pack_circuits, unpack_circuits
from metriq_gym.providers.provider import Device
from metriq_gym.providers.tyxonq.compiler import TyxonQCompiler
from metriq_gym.providers.tyxonq.counts import CountsOrder, measurement_map, to_qiskit_counts
from metriq_gym.providers.tyxonq.qasm import GATES, PULSES, to_qasm2

HOMEBREW = Device("tyxonq", "homebrew_s2", 13, simulator=False)
LINE = Device("tyxonq", "line", 6, simulator=False, edges=tuple((i, i + 1) for i in range(5)))
ALLOWED = {*GATES, "measure", "barrier"}
compile_all = TyxonQCompiler()

LIBRARY = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if isinstance(gate, Gate) and 1 <= gate.num_qubits <= 4
}


def compiled(
    circuit: QuantumCircuit, device: Device = HOMEBREW, seed: int = 1, compilation: Compilation = "1"
) -> QuantumCircuit:
    """Compile at level 1, up to which the unitary itself and the order of measurements stay."""
    (result,) = compile_all(device, [circuit], seed, compilation)
    return result


@st.composite
def circuits(draw: st.DrawFn, max_qubits: int = 6, barriers: bool = True) -> QuantumCircuit:
    """Circuits of any standard gates on any qubits, with special and generic angles, without measurements."""
    size = draw(st.integers(1, max_qubits))
    circuit = QuantumCircuit(size)
    angles = st.sampled_from([0.0, pi / 4, pi / 2, -pi / 2, pi, 2 * pi, 1e-9]) | st.floats(-10, 10)
    fitting = sorted(name for name, gate in LIBRARY.items() if gate.num_qubits <= size)
    for _ in range(draw(st.integers(0, 15))):
        if barriers and draw(st.integers(0, 5)) == 0:
            circuit.barrier()
            continue
        gate = LIBRARY[draw(st.sampled_from(fitting))]
        qubits = draw(st.permutations(range(size)))[: gate.num_qubits]
        circuit.append(type(gate)(*(draw(angles) for _ in gate.params)), qubits)
    return circuit


def measured(circuit: QuantumCircuit) -> QuantumCircuit:
    return circuit.measure_all(inplace=False)


def unmeasured(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit without its measurements and barriers, on the same qubits and with the same layout."""
    bare = circuit.copy_empty_like()
    for instruction in circuit.data:
        if instruction.name not in ("measure", "barrier"):
            bare.append(instruction)
    return bare


quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.slow
@quick
@given(circuits())
def test_compiled_circuit_is_the_same_unitary_in_the_documented_gates(circuit: QuantumCircuit) -> None:
    result = compiled(measured(circuit))
    assert set(result.count_ops()) <= ALLOWED
    assert Operator(unmeasured(result)).equiv(Operator(circuit), atol=1e-9)
    assert measurement_map(result).pairs == tuple((i, i) for i in range(circuit.num_qubits))


LEVELS = st.sampled_from(get_args(CompilationName))


@quick
@given(circuits(), st.integers(0, 2**32 - 1), LEVELS)
def test_routed_circuit_gives_the_same_outcomes_on_connected_pairs_only(
    circuit: QuantumCircuit, seed: int, level: Compilation
) -> None:
    result = compiled(measured(circuit), LINE, seed, level)
    for instruction in result.data:
        if len(instruction.qubits) == 2 and instruction.name != "barrier":
            a, b = (result.find_bit(qubit).index for qubit in instruction.qubits)
            assert abs(a - b) == 1
    assert_same_outcomes(result, circuit)


@quick
@given(circuits(), st.integers(0, 2**32 - 1), LEVELS)
def test_every_level_gives_the_same_outcomes_in_the_documented_gates(
    circuit: QuantumCircuit, seed: int, level: Compilation
) -> None:
    assert_same_outcomes(compiled(measured(circuit), HOMEBREW, seed, level), circuit)


def assert_same_outcomes(result: QuantumCircuit, circuit: QuantumCircuit) -> None:
    assert set(result.count_ops()) <= ALLOWED
    pairs = measurement_map(result).pairs
    physical = [qubit for qubit, _ in sorted(pairs, key=lambda pair: pair[1])]
    probabilities = Statevector(unmeasured(result)).probabilities(physical)
    # The compiler takes a rotation by less than about 1e-6 for none.
    np.testing.assert_allclose(probabilities, Statevector(circuit).probabilities(), atol=1e-5)


@quick
@given(circuits(max_qubits=4), st.data())
def test_text_read_back_is_the_same_circuit_with_the_same_measurements(
    circuit: QuantumCircuit, data: st.DataObject
) -> None:
    size = circuit.num_qubits
    qubits = data.draw(st.lists(st.integers(0, size - 1), min_size=1, unique=True))
    clbits = data.draw(st.permutations(range(size + 1)))[: len(qubits)]
    whole = QuantumCircuit(QuantumRegister(size, "data"), ClassicalRegister(1, "flag"), ClassicalRegister(size, "out"))
    whole.compose(circuit, range(size), inplace=True)
    whole.measure(qubits, clbits)
    (stored,) = unpack_circuits(pack_circuits([compiled(whole)]))
    text = to_qasm2(stored)
    read = qasm2.loads(text)
    assert Operator(unmeasured(read)).equiv(Operator(circuit), atol=1e-9)
    lines = re.findall(r"measure q\[(\d+)\] -> c\[(\d+)\];", text)
    assert [int(bit) for _, bit in lines] == list(range(len(qubits)))
    assert [int(qubit) for qubit, _ in lines] == sorted(qubits)
    assert f"creg c[{len(qubits)}];" in text
    assert "barrier" not in text
    assert dict(measurement_map(stored).pairs) == dict(zip(qubits, clbits, strict=True))


def test_crossed_measurements_survive_the_way_to_the_device_and_back() -> None:
    circuit = QuantumCircuit(QuantumRegister(4), ClassicalRegister(2, "a"), ClassicalRegister(2, "b"))
    circuit.x([3, 1])
    circuit.measure([3, 1, 0], [0, 3, 1])
    stored = compiled(circuit)
    # The device measures q0, q1, q3 and writes the first one leftmost.
    (outcome,) = to_qiskit_counts(measurement_map(stored), {"011": 5}, CountsOrder.MEASURED_FIRST)
    assert outcome == "1001"
    bare = unmeasured(stored)
    assert Statevector(bare).probabilities_dict([0, 1, 3]) == pytest.approx({"110": 1})


def test_text_is_what_the_vendors_page_shows() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.barrier()
    circuit.cx(0, 1)
    circuit.measure([1, 0], [1, 0])
    assert to_qasm2(compiled(circuit)) == (
        'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\nh q[0];\ncx q[0],q[1];\n'
        "measure q[0] -> c[0];\nmeasure q[1] -> c[1];\n"
    )


@given(st.floats(-1e6, 1e6) | st.sampled_from([1e-17, 5e-324, -1e22, 0.0, -0.0, 3.0]))
def test_angles_are_written_exactly_and_without_exponent(angle: float) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rz(angle, 0)
    circuit.measure(0, 0)
    text = to_qasm2(circuit)
    assert re.search(r"rz\(-?\d+\.\d+\) q\[0\];", text)
    assert qasm2.loads(text).data[0].params == [angle]


def test_text_of_a_circuit_that_was_not_compiled_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"sx"):
        to_qasm2(measured(QuantumCircuit(1).compose(LIBRARY["sx"], [0])))


def test_mirrored_halves_on_either_side_of_a_barrier_stay() -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.barrier()
    circuit.cx(0, 1)
    circuit.h(0)
    operations = compiled(measured(circuit)).count_ops()
    assert (operations["cx"], operations["h"]) == (2, 2)


def test_neighbouring_one_qubit_gates_become_at_most_five_with_two_pulses() -> None:
    circuit = QuantumCircuit(1)
    for angle in np.linspace(0.1, 3, 20):
        circuit.rx(angle, 0)
        circuit.ry(angle, 0)
    operations = compiled(measured(circuit)).count_ops()
    assert sum(operations[name] for name in PULSES & set(operations)) <= 2
    assert sum(operations.values()) <= 5 + 2  # the measurement and its barrier


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        ("h h", set()),
        ("x y z", set()),
        ("sx sx", {"x"}),
        ("sx", {"rz", "h"}),
        ("h x h", {"rz"}),
        ("h", {"h"}),
        ("y", {"y"}),
    ],
)
def test_special_rotations_take_few_pulses(gates: str, expected: set[str]) -> None:
    circuit = QuantumCircuit(1)
    for name in gates.split():
        circuit.append(LIBRARY[name], [0])
    assert set(compiled(measured(circuit)).count_ops()) - {"measure", "barrier"} == expected


@pytest.mark.parametrize(
    ("gate", "angle", "two_qubit_gates"),
    [
        ("rzz", pi / 2, 1),
        ("rzz", -pi / 2, 1),
        ("rxx", pi / 2, 1),
        ("cp", pi, 1),
        ("crz", pi, 1),
        ("rzz", pi, 0),
        ("cp", 0.0, 0),
        ("rzz", 0.3, 2),
        ("rzz", pi / 2 + 1e-9, 2),
    ],
)
def test_gate_is_written_with_as_few_two_qubit_gates_as_are_exact(
    gate: str, angle: float, two_qubit_gates: int
) -> None:
    circuit = QuantumCircuit(2)
    circuit.append(type(LIBRARY[gate])(angle), [0, 1])
    result = compiled(measured(circuit))
    assert result.num_nonlocal_gates() == two_qubit_gates
    assert Operator(unmeasured(result)).equiv(Operator(circuit), atol=1e-11)


def test_circuit_that_fits_the_coupling_map_keeps_its_qubits() -> None:
    circuit = QuantumCircuit(6)
    circuit.h(5)
    circuit.cx(5, 4)
    circuit.swap(1, 2)
    result = compiled(measured(circuit), LINE)
    assert measurement_map(result).pairs == tuple((i, i) for i in range(6))
    assert Operator(unmeasured(result)).equiv(circuit)


def test_same_seed_gives_the_same_text() -> None:
    circuit = QuantumCircuit(5)
    for a in range(5):
        for b in range(a):
            circuit.cp(0.1 * (a + b), a, b)
    texts = {to_qasm2(compiled(measured(circuit), LINE, seed=7)) for _ in range(2)}
    assert len(texts) == 1


def test_wit_measures_one_qubit_into_one_bit() -> None:
    stored = compiled(wit_circuit(7))
    assert measurement_map(stored).pairs == ((5, 0),)
    assert to_qasm2(stored).endswith("measure q[5] -> c[0];\n")
    assert stored.num_nonlocal_gates() <= 28
    p1 = Statevector(unmeasured(stored)).probabilities([5])[1]
    assert p1 == pytest.approx(0.9963, abs=1e-4)


# Refusals


def conditioned() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    return circuit


def mid_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    circuit.barrier()
    circuit.cx(1, 0)
    return circuit


def measured_twice() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 2)
    circuit.measure([0, 0], [0, 1])
    return circuit


def with_gate(gate: Gate) -> QuantumCircuit:
    circuit = QuantumCircuit(gate.num_qubits)
    circuit.append(gate, range(gate.num_qubits))
    return measured(circuit)


def prepared() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.initialize([0, 1, 1, 0], normalize=True)
    return measured(circuit)


def delayed() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.delay(100, 0)
    return measured(circuit)


@pytest.mark.parametrize(
    ("circuit", "reason"),
    [
        (wit_circuit(6), "operation reset"),
        (prepared(), "operation reset"),
        (conditioned(), "operation if_else"),
        (mid_circuit(), "operation cx on qubit 0 after its measurement"),
        (measured_twice(), "operation measure on qubit 0 after its measurement"),
        (QuantumCircuit(2, 2), "no measurements"),
        (measured(QuantumCircuit(14)), "it has 14 qubits"),
        (with_gate(Gate("mystery", 1, [])), "mystery"),
        (delayed(), "operation delay"),
        (with_gate(LIBRARY["rz"].__class__(Parameter("theta"))), "'theta' has no value"),
        (with_gate(LIBRARY["rz"].__class__(float("nan"))), "not finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_circuit_that_cannot_run_is_refused_by_operation_qubits_and_device(
    circuit: QuantumCircuit, reason: str
) -> None:
    with pytest.raises(Unsupported, match=rf"homebrew_s2 \(13 qubits\) .*{circuit.name}.*{reason}"):
        compiled(circuit)


def test_one_circuit_that_cannot_run_refuses_them_all() -> None:
    with pytest.raises(Unsupported, match="no measurements"):
        compile_all(HOMEBREW, [measured(QuantumCircuit(1)), QuantumCircuit(1, 1)], seed=1)
