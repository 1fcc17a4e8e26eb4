"""Estimates agree with what can be counted by hand, with Qiskit, and with what is recorded at dispatch."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from math import pi
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.random import random_circuit

from metriq_gym.errors import Unsupported
from metriq_gym.jobs.estimate import Size, estimate, size_of
from metriq_gym.jobs.plan import make_plan
from metriq_gym.messages import Compilation
from metriq_gym.providers.aer.provider import AerProvider
from metriq_gym.providers.provider import Device
from metriq_gym.schema_validator import validate

IDEAL = Device("local", "aer_simulator", 30, simulator=True)
CHAIN = Device("test", "chain", 4, simulator=True, edges=((0, 1), (1, 2), (2, 3)))


class ToChain:
    """Compiles for a chain of four qubits with CZ."""

    def __call__(
        self, device: Device, circuits: Sequence[QuantumCircuit], seed: int, compilation: Compilation = "default"
    ) -> list[QuantumCircuit]:
        compiled: list[QuantumCircuit] = transpile(
            list(circuits),
            basis_gates=["rz", "sx", "x", "cz"],
            coupling_map=[list(pair) for pair in device.edges or ()],
            initial_layout=list(range(circuits[0].num_qubits)),
            optimization_level=0,
            seed_transpiler=seed,
        )
        return compiled


def config(name: str, **params: Any) -> dict[str, Any]:
    return validate({"benchmark_name": name, **params})[0]


def test_a_circuit_is_measured_as_one_counts_it_by_hand() -> None:
    circuit = QuantumCircuit(5, 2)
    circuit.h(0)  # 1
    circuit.cx(0, 1)  # 2
    circuit.barrier()  # qubit 2 waits for it
    circuit.x(2)  # 3
    circuit.rz(pi / 4, 2)  # 4
    circuit.reset(0)  # 3
    circuit.ccx(0, 1, 2)  # 5
    circuit.delay(10, 1)  # 6
    circuit.measure([0, 1], [0, 1])  # 6 and 7
    with circuit.if_test((circuit.clbits[0], 1)):  # 7, after its measurement
        circuit.z(3)
    circuit.barrier(4)
    assert size_of(circuit) == Size(qubits=4, one_qubit_gates=4, two_qubit_gates=2, depth=7)


def test_an_empty_circuit_is_empty() -> None:
    assert size_of(QuantumCircuit(3)) == Size(0, 0, 0, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 12), st.integers(0, 1000))
def test_gates_add_up(num_qubits: int, depth: int, seed: int) -> None:
    circuit = random_circuit(num_qubits, depth, max_operands=2, measure=True, seed=seed)
    size = size_of(circuit)
    assert size.one_qubit_gates + size.two_qubit_gates + num_qubits == circuit.size()


def test_a_bell_pair_per_edge_is_counted_before_and_after_compilation() -> None:
    found = estimate(config("BSEQ", shots=100), CHAIN, ToChain())
    # Two colours (edges 0-1 and 2-3, then 1-2), each in four bases; a pair is H, CX and Ry, and each X basis an H.
    bases = [0, 1, 1, 2]
    built = [(4, 2 * (2 + extra), 2) for extra in bases] + [(2, 2 + extra, 1) for extra in bases]
    sizes = [each.built for each in found.circuits]
    assert sorted((s.qubits, s.one_qubit_gates, s.two_qubit_gates) for s in sizes) == sorted(built)
    assert [each.compiled.two_qubit_gates for each in found.circuits] == [s.two_qubit_gates for s in sizes]
    assert found.shots == 800
    assert found.built.qubits == found.compiled.qubits == 4
    assert found.built.two_qubit_gates == 4 * 2 + 4 * 1
    # H is Rz Sx Rz and CX is CZ between two of them: compilation adds only one-qubit gates.
    assert found.compiled.one_qubit_gates > found.built.one_qubit_gates
    assert found.compiled.depth > found.built.depth


def test_a_circuit_that_needs_swaps_gets_larger() -> None:
    # The line's ends share a gate in Bernstein-Vazirani: its ancilla is the last qubit.
    found = estimate(
        config("Bernstein-Vazirani", min_qubits=4, max_qubits=4, max_circuits=1, input_value=0b001),
        CHAIN,
        ToChain(),
    )
    assert found.built.two_qubit_gates == 1
    assert found.compiled.two_qubit_gates == 1 + 2 * 3  # two swaps of three gates each bring them together


def test_wit_has_the_published_number_of_gates() -> None:
    found = estimate(config("WIT", num_qubits=7, shots=8192), IDEAL, AerProvider().compiler)
    # 3 H; 3 + 3 + 3 steps of 3 Rx and 3 Rz; 3 CX, a swap, 9 × 2 Rzz of the steps and 2 of the coupling.
    assert found.built == found.compiled
    assert (found.built.qubits, found.built.one_qubit_gates, found.built.two_qubit_gates) == (7, 57, 24)
    assert (len(found.circuits), found.shots) == (1, 8192)


@pytest.mark.parametrize("name", ["Mirror Circuits", "Linear Ramp QAOA"])
def test_a_job_with_the_same_seed_records_the_estimated_two_qubit_gates(name: str) -> None:
    more = {"Linear Ramp QAOA": {"graph_type": "NL", "num_qubits": 4}}.get(name, {"width": 4})
    complete = config(name, seed=7, **more)
    found = estimate(complete, CHAIN, ToChain())
    plan = make_plan(complete, 7, CHAIN, ToChain(), 10)
    assert [each.built.two_qubit_gates for each in found.circuits] == plan.input_two_qubit_gate_counts
    assert [each.compiled.two_qubit_gates for each in found.circuits] == plan.transpiled_two_qubit_gate_counts
    assert sum(plan.runs) == len(found.circuits)
    assert found.shots == sum(task.circuit_count * task.shots for task in plan.tasks)


@pytest.mark.parametrize(
    ("name", "device", "qubits"),
    [("Quantum Fourier Transform", "aer_simulator", 24), ("QML Kernel", "fake_kolkata", 27)],
    ids=["ideal", "noisy"],
)
async def test_what_is_too_large_to_simulate_is_counted_all_the_same(name: str, device: str, qubits: int) -> None:
    provider = AerProvider(memory_bytes=2**20)
    chosen = config(name, num_qubits=qubits)
    found = estimate(chosen, await provider.device(device), provider.compiler)
    assert found.compiled.qubits == qubits
    assert found.compiled.two_qubit_gates >= found.built.two_qubit_gates > 0
    assert found.compiled.depth > 0
    assert found.misfit is not None
    assert "state vector" in found.misfit
    assert found.to_dict()["misfit"] == found.misfit
    with pytest.raises(Unsupported, match="state vector"):
        make_plan(chosen, 0, await provider.device(device), provider.compiler, 100)


def test_what_fits_has_no_such_note() -> None:
    assert estimate(config("WIT", num_qubits=7), IDEAL, AerProvider().compiler).misfit is None


def test_what_the_device_cannot_run_is_refused() -> None:
    with pytest.raises(Unsupported):
        estimate(config("QML Kernel", num_qubits=5), CHAIN, ToChain())


def test_the_work_travels_to_another_process_and_the_answer_to_json() -> None:
    work = (estimate, config("WIT"), IDEAL, AerProvider().compiler)
    function, *arguments = pickle.loads(pickle.dumps(work))
    found = pickle.loads(pickle.dumps(function(*arguments)))
    document = json.loads(json.dumps(found.to_dict()))
    assert document["circuit_count"] == 1
    assert document["shots"] == 1000
    assert document["built"]["two_qubit_gates"] == document["circuits"][0]["built"]["two_qubit_gates"]
