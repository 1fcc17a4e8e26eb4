"""Counts from Aer: exact distributions by every method, in Qiskit's bit order, reproducible."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.library import quantum_volume
from qiskit.quantum_info import Statevector, random_clifford

from metriq_gym.errors import NotFound, Unsupported
from metriq_gym.providers.aer import devices, methods
from metriq_gym.providers.aer.compiler import AerCompiler
from metriq_gym.providers.aer.simulation import AerSimulation
from tests.support.aer_reference import exact, plausible

GIB = 2**30
IDEAL = "aer_simulator"
simulate = AerSimulation(GIB, threads=1)


def random_circuit(qubits: int, seed: int) -> QuantumCircuit:
    circuit = quantum_volume(qubits, seed=seed).decompose()
    circuit.measure_all()
    return circuit


def feed_forward() -> QuantumCircuit:
    """Teleport Ry(0.8) from qubit 0 to qubit 2 and read it; then reset qubit 0, spin it and read it again."""
    circuit = QuantumCircuit(3, 4)
    circuit.ry(0.8, 0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.cx(0, 1)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    with circuit.if_test((circuit.clbits[1], 1)):
        circuit.x(2)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.z(2)
    circuit.measure(2, 2)
    circuit.reset(0)
    circuit.ry(1.9, 0)
    circuit.measure(0, 3)
    return circuit


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_state_vector_samples_have_the_exact_distribution(seed: int) -> None:
    circuit = random_circuit(5, seed)
    (counts,) = simulate(IDEAL, [circuit], 20_000, seed).counts
    assert plausible(counts, exact(circuit))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stabilizer_samples_have_the_exact_distribution(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "STABILIZER_FROM", 1)
    circuit = random_clifford(6, seed=seed).to_circuit()
    circuit.measure_all()
    (counts,) = simulate(IDEAL, [circuit], 5_000, seed).counts
    assert plausible(counts, exact(circuit))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_matrix_product_state_samples_have_the_exact_distribution(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "STATE_VECTOR_TO", 0)
    monkeypatch.setattr(methods, "state_vector_bytes", lambda qubits: 16 * 2 ** (qubits + 20))
    circuit = random_circuit(5, seed)
    (counts,) = simulate(IDEAL, [circuit], 5_000, seed).counts
    assert plausible(counts, exact(circuit))


@pytest.mark.slow
def test_matrix_product_state_of_a_chain_measured_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "STATE_VECTOR_TO", 10)
    circuit = QuantumCircuit(16)
    circuit.h(range(16))
    for angle in (0.5, 0.9):
        for qubit in range(15):
            circuit.rzz(angle, qubit, qubit + 1)
        circuit.rx(0.7, range(16))
    probabilities = Statevector(circuit).probabilities_dict([0, 9, 3, 11, 15])
    circuit.add_register(ClassicalRegister(5))
    circuit.measure([0, 9, 3, 11, 15], range(5))
    (counts,) = simulate(IDEAL, [circuit], 5_000, 3).counts
    assert plausible(counts, probabilities)


@pytest.mark.parametrize("clifford", [False, True])
def test_feed_forward_and_reset_have_the_exact_distribution(clifford: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = feed_forward()
    if clifford:
        monkeypatch.setattr(methods, "STABILIZER_FROM", 1)
        circuit.data = [instruction for instruction in circuit.data if instruction.name != "ry"]
    (counts,) = simulate(IDEAL, [circuit], 5_000, 3).counts
    assert plausible(counts, exact(circuit))


@pytest.mark.slow
@pytest.mark.parametrize("measure_first", [False, True])
@pytest.mark.parametrize("qubits", [3, 5])
def test_noisy_samples_have_the_exact_distribution_of_the_noise_model(qubits: int, measure_first: bool) -> None:
    device = devices.describe("fake_manila")
    circuit = QuantumCircuit(5, qubits + 1)
    if measure_first:
        # Something happens after a measurement: trajectories instead of a density matrix.
        circuit.measure(0, qubits)
        circuit.reset(0)
    circuit.h(0)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
        circuit.sx(qubit)
    circuit.measure(range(qubits), range(qubits))
    (compiled,) = AerCompiler(GIB)(device, [circuit], seed=1)
    (counts,) = simulate(device.id, [compiled], 4_000, 3).counts
    assert plausible(counts, exact(compiled, devices.noise_model(device.id)))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["density_matrix", "statevector"])
def test_either_method_has_the_same_distribution_of_a_noisy_circuit(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is chosen by cost changes no distribution: both are held against the one matrix, the trajectories too."""
    monkeypatch.setattr(methods, "DENSITY_MATRIX_TO", 0)
    monkeypatch.setattr(methods, "_MATRIX_SECONDS", 0.0 if method == "density_matrix" else math.inf)
    circuit = QuantumCircuit(5, 5)
    for layer in range(4):
        for qubit in range(layer % 2, 4, 2):
            circuit.sx(qubit)
            circuit.cx(qubit, qubit + 1)
            circuit.rz(0.7, qubit + 1)
            circuit.cx(qubit, qubit + 1)
    circuit.measure(range(5), range(5))
    (compiled,) = AerCompiler(GIB)(devices.describe("fake_manila"), [circuit], seed=1)
    used = set()
    run = AerSimulation._run

    def noted(*args: Any, **more: Any) -> Any:
        used.add(more["method"])
        return run(*args, **more)

    monkeypatch.setattr(AerSimulation, "_run", noted)
    (counts,) = simulate("fake_manila", [compiled], 4_000, 3).counts
    assert used == {method}
    assert plausible(counts, exact(compiled, devices.noise_model("fake_manila")))


def test_readout_errors_of_a_profile_show_in_an_empty_circuit() -> None:
    circuit = QuantumCircuit(5)
    circuit.measure_all()
    (counts,) = simulate("fake_manila", [circuit], 10_000, 1).counts
    flipped = [sum(n for key, n in counts.items() if key[4 - qubit] == "1") / 10_000 for qubit in range(5)]
    noise = devices.noise_model("fake_manila")
    for qubit, rate in enumerate(flipped):
        expected = noise._local_readout_errors[(qubit,)].probabilities[0][1]
        assert abs(rate - expected) < 5 * math.sqrt(expected / 10_000)


def test_leftmost_bit_is_the_highest_over_all_registers() -> None:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "low"), ClassicalRegister(3, "high"))
    circuit.x(0)
    circuit.measure(0, 4)
    circuit.measure(1, 1)
    circuit.measure(2, 0)
    assert simulate(IDEAL, [circuit], 10, 1).counts == [{"10000": 10}]


def test_equal_circuits_are_sampled_independently() -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    runs = [counts.get("11", 0) for counts in simulate(IDEAL, [circuit] * 400, 100, 1).counts]
    variance = sum((ones - 50) ** 2 for ones in runs) / 400
    # Binomial variance 25; the sample variance of 400 has a relative standard deviation of 7 %.
    assert 25 * 0.7 < variance < 25 * 1.3


def test_equal_components_of_one_circuit_are_uncorrelated() -> None:
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.measure_all()
    (counts,) = simulate(IDEAL, [circuit], 20_000, 5).counts
    assert plausible(counts, {"00": 0.25, "01": 0.25, "10": 0.25, "11": 0.25})


def test_another_seed_gives_other_counts() -> None:
    circuit = random_circuit(5, 1)
    assert simulate(IDEAL, [circuit], 1000, 1).counts != simulate(IDEAL, [circuit], 1000, 2).counts


@pytest.mark.slow
def test_the_same_arguments_give_the_same_counts_in_another_process() -> None:
    program = (
        "import json\n"
        "from qiskit import QuantumCircuit\n"
        "from metriq_gym.providers.aer.simulation import AerSimulation\n"
        "wide = QuantumCircuit(40)\n"
        "wide.h(range(40))\n"
        "wide.cx(range(0, 38), range(1, 39))\n"
        "small = QuantumCircuit(3)\n"
        "small.h([0, 1])\n"
        "small.ry(0.3, 2)\n"
        "circuits = [wide.measure_all(inplace=False), small.measure_all(inplace=False)] * 2\n"
        "ideal = AerSimulation(2**30, 1)('aer_simulator', circuits, 50, 11).counts\n"
        "print(json.dumps(ideal, sort_keys=True))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": str(hash_seed)},
        ).stdout
        for hash_seed in (1, 2)
    ]
    assert runs[0] == runs[1]
    assert len(json.loads(runs[0])) == 4


def test_noisy_counts_do_not_depend_on_the_number_of_threads() -> None:
    circuit = feed_forward()
    (compiled,) = AerCompiler(GIB)(devices.describe("fake_manila"), [circuit], seed=1)
    one, two = (AerSimulation(GIB, threads)("fake_manila", [compiled], 500, 4).counts for threads in (1, 2))
    assert one == two


def test_simulation_refuses_what_does_not_fit_in_memory() -> None:
    small = AerSimulation(2**10, threads=1)
    with pytest.raises(Unsupported, match="at most 6 qubits fit"):
        small(IDEAL, [random_circuit(7, 1)], 10, 1)
    assert sum(simulate(IDEAL, [random_circuit(6, 1)], 10, 1).counts[0].values()) == 10


def test_simulation_of_an_unknown_device_is_refused() -> None:
    with pytest.raises(NotFound):
        simulate("fake_nothing", [random_circuit(2, 1)], 10, 1)


@pytest.mark.slow
def test_bell_pairs_on_thirty_qubits_take_the_memory_of_pairs() -> None:
    """The published BSEQ example: 29 colours × 4 bases, each circuit 15 independent pairs, 1000 shots."""
    circuits = []
    for colour in range(29):
        for basis in ("ZZ", "ZX", "XZ", "XX"):
            circuit = QuantumCircuit(30, 30)
            for pair in range(15):
                a, b = (colour + 2 * pair) % 30, (colour + 2 * pair + 1) % 30
                circuit.h(a)
                circuit.cx(a, b)
                circuit.ry(math.pi / 4, a)
                for qubit, axis in zip((a, b), basis, strict=True):
                    if axis == "X":
                        circuit.h(qubit)
                circuit.measure((a, b), (2 * pair, 2 * pair + 1))
            circuits.append(circuit)
    execution = AerSimulation(2**20, threads=1)(IDEAL, circuits, 1000, 1)
    # All that the run took, and of it what Aer counts for gates and shots.
    assert execution.seconds > (execution.sampling_seconds or 0) > 0
    # ⟨ZZ⟩ of every pair of the first circuit is cos(π/4).
    for pair in range(15):
        parity = Counter[int]()
        for key, n in execution.counts[0].items():
            bits = key[::-1][2 * pair : 2 * pair + 2]
            parity[bits.count("1") % 2] += n
        assert abs((parity[0] - parity[1]) / 1000 - math.cos(math.pi / 4)) < 5 * math.sqrt(0.5 / 1000)
