"""Compiling for Aer's devices, and refusing what they cannot run."""

from __future__ import annotations

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import iSwapGate
from qiskit.quantum_info import Operator

from metriq_gym.errors import Unsupported
from metriq_gym.providers.aer import devices
from metriq_gym.providers.aer.compiler import AerCompiler
from metriq_gym.providers.provider import Device

GIB = 2**30
IDEAL = devices.describe("aer_simulator")
MANILA = devices.describe("fake_manila")
compiler = AerCompiler(2 * GIB)


def measured(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.h(range(qubits))
    circuit.measure_all()
    return circuit


def test_ideal_simulator_runs_circuits_as_they_are() -> None:
    circuit = QuantumCircuit(2)
    for gate in (circuit.h, circuit.h, circuit.t, circuit.tdg):
        gate(0)
    circuit.cx(0, 1)
    circuit.cx(0, 1)
    circuit.measure_all()
    (compiled,) = compiler(IDEAL, [circuit], seed=1)
    assert compiled == circuit


def test_ideal_simulator_gets_unknown_gates_decomposed_and_cancels_nothing() -> None:
    circuit = QuantumCircuit(2)
    circuit.append(iSwapGate(), [0, 1])
    circuit.append(iSwapGate().inverse(), [0, 1])
    (compiled,) = compiler(IDEAL, [circuit.measure_all(inplace=False)], seed=1)
    assert "iswap" not in compiled.count_ops()
    assert compiled.num_nonlocal_gates() >= 4
    compiled.remove_final_measurements()
    assert Operator(compiled).equiv(circuit)


@pytest.mark.parametrize("device", [IDEAL, MANILA])
def test_circuit_without_measurements_is_refused(device: Device) -> None:
    with pytest.raises(Unsupported, match=f"{device.id}.*'silent'.*no measurements"):
        compiler(device, [QuantumCircuit(2, 2, name="silent")], seed=1)


def test_unbound_parameter_is_refused_by_name() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("theta"), 0)
    circuit.measure_all()
    with pytest.raises(Unsupported, match="'theta' has no value"):
        compiler(IDEAL, [circuit], seed=1)


@pytest.mark.parametrize("device", [IDEAL, MANILA])
def test_gate_without_a_decomposition_is_refused_by_name(device: Device) -> None:
    circuit = QuantumCircuit(1)
    circuit.append(Gate("mystery", 1, []), [0])
    circuit.measure_all()
    with pytest.raises(Unsupported, match=f"{device.id}.*mystery"):
        compiler(device, [circuit], seed=1)


def test_while_loop_is_refused_where_the_device_has_none() -> None:
    circuit = QuantumCircuit(1, 1)
    with circuit.while_loop((circuit.clbits[0], 0)):
        circuit.h(0)
        circuit.measure(0, 0)
    with pytest.raises(Unsupported, match=r"fake_manila \(5 qubits\).*while_loop"):
        compiler(MANILA, [circuit], seed=1)


def test_more_qubits_than_a_profile_has_are_refused() -> None:
    with pytest.raises(Unsupported, match=r"fake_manila \(5 qubits\).*it has 6 qubits"):
        compiler(MANILA, [measured(6)], seed=1)


def test_circuit_that_cannot_fit_in_memory_is_refused_with_what_would() -> None:
    circuit = QuantumCircuit(30)
    for a in range(30):
        circuit.t(a)
        for b in range(a):
            circuit.cx(a, b)
    circuit.measure_all()
    with pytest.raises(Unsupported, match=r"aer_simulator.*needs 30 qubits.*16.0 GiB.*at most 27 qubits"):
        compiler(IDEAL, [circuit], seed=1)


def test_ideal_simulator_takes_wider_circuits_that_an_exact_method_fits() -> None:
    assert compiler(IDEAL, [measured(128)], seed=1)[0].num_qubits == 128


def test_profile_gets_only_operations_it_has() -> None:
    (compiled,) = compiler(MANILA, [measured(3)], seed=1)
    assert compiled.num_qubits == 5
    assert set(compiled.count_ops()) <= devices.operations("fake_manila") | {"barrier"}


def test_circuit_that_addresses_the_device_keeps_its_qubits() -> None:
    device = devices.describe("fake_sherbrooke")
    edges = [edge for edge in device.edges or () if edge[0] % 7 == 0]
    circuit = QuantumCircuit(device.num_qubits, 2 * len(edges))
    for bit, (a, b) in enumerate(edges):
        circuit.h(a)
        circuit.cx(b, a)
        circuit.measure((a, b), (2 * bit, 2 * bit + 1))
    (compiled,) = compiler(device, [circuit], seed=4)
    index = {qubit: i for i, qubit in enumerate(compiled.qubits)}
    used = {tuple(sorted(index[q] for q in i.qubits)) for i in compiled.data if len(i.qubits) == 2}
    assert used == set(edges)
    read = {index[i.qubits[0]]: compiled.find_bit(i.clbits[0]).index for i in compiled.data if i.name == "measure"}
    assert read == {qubit: 2 * bit + end for bit, edge in enumerate(edges) for end, qubit in enumerate(edge)}


def test_circuit_with_a_gate_off_the_edges_is_routed() -> None:
    circuit = QuantumCircuit(5)
    circuit.h(0)
    circuit.cx(0, 4)
    circuit.measure_all()
    (compiled,) = compiler(MANILA, [circuit], seed=1)
    index = {qubit: i for i, qubit in enumerate(compiled.qubits)}
    pairs = {tuple(sorted(index[q] for q in i.qubits)) for i in compiled.data if i.name == "cx"}
    assert pairs <= set(MANILA.edges or ())


def test_the_same_seed_compiles_the_same_circuit() -> None:
    circuit = QuantumCircuit(5)
    circuit.h(0)
    circuit.cx(0, range(1, 5))
    circuit.measure_all()
    assert compiler(MANILA, [circuit], seed=9) == compiler(MANILA, [circuit], seed=9)
