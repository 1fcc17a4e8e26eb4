"""Digital twins: their noise against closed forms and an independent density matrix; where calibrations come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import exp, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SuperOp, average_gate_fidelity
from qiskit_aer.noise import depolarizing_error, thermal_relaxation_error

from metriq_gym.errors import NotFound, Permanent, Transient, Unsupported
from metriq_gym.packing import pack_circuits, unpack_circuits
from metriq_gym.providers.aer.channels import merged
from metriq_gym.providers.aer.provider import AerProvider
from metriq_gym.providers.aer.twin import GateTimes, Twin, Twins, noise_model
from metriq_gym.providers.provider import Device
from metriq_gym.providers.tyxonq.calibration import Calibration
from metriq_gym.providers.tyxonq.errors import Unreachable
from metriq_gym.providers.tyxonq.provider import TyxonQProvider
from tests.support.tyxonq import HOMEBREW, Service, ok

SHOTS = 40_000
HOMEBREW_S2 = {
    "t1_us": 84.44615173339844,
    "t2_us": 45.41538619995117,
    "single_qubit_gate_error": 0.0007843076923076923,
    "cz_gate_error": 0.009009666666666666,
    "readout_error_0": 0.016538461538461537,
    "readout_error_1": 0.04118461538461538,
}
Matrix = np.ndarray[Any, np.dtype[Any]]


async def run(circuit: QuantumCircuit, calibration: dict[str, float], tmp_path: Path, shots: int = SHOTS) -> Any:
    """Counts from the twin of a device with this calibration, by way of the store."""
    path = tmp_path / "calibrations.json"
    path.write_text(json.dumps({"mine": {"num_qubits": 13, **calibration}}))
    provider = AerProvider(twins=Twins(path))
    device = await provider.device("tyxonq:mine")
    stored = unpack_circuits(pack_circuits(provider.compiler(device, [circuit], 1)))
    return provider.simulation(device.id, stored, shots, 5).counts[0]


def within_errors(counts: dict[str, int], key: str, probability: float) -> bool:
    """Whether an outcome's frequency is within four standard errors of its probability."""
    shots = sum(counts.values())
    error = sqrt(max(probability * (1 - probability), 1 / shots) / shots)
    return abs(counts.get(key, 0) / shots - probability) < 4 * error


# Channels


@pytest.mark.parametrize(("gate", "error"), [("h", "single_qubit_gate_error"), ("cz", "cz_gate_error")])
def test_gate_has_the_average_infidelity_that_is_published(gate: str, error: str) -> None:
    model = noise_model(Calibration(**HOMEBREW_S2))
    channel = SuperOp(model._default_quantum_errors[gate])
    assert 1 - average_gate_fidelity(channel) == pytest.approx(HOMEBREW_S2[error], rel=1e-6)


def test_cx_is_a_cz_between_two_pulses() -> None:
    model = noise_model(Calibration(**HOMEBREW_S2))
    infidelity = 1 - average_gate_fidelity(SuperOp(model._default_quantum_errors["cx"]))
    # A one-qubit channel of infidelity r has, as one on two qubits, the infidelity 6r/5.
    expected = HOMEBREW_S2["cz_gate_error"] + 2 * 1.2 * HOMEBREW_S2["single_qubit_gate_error"]
    assert infidelity == pytest.approx(expected, rel=0.01)


def test_frame_changes_have_no_noise() -> None:
    noisy = set(noise_model(Calibration(**HOMEBREW_S2)).noise_instructions)
    assert noisy == {"h", "x", "y", "cx", "cz", "measure"}


@pytest.mark.parametrize(("t1", "t2"), [(84.0, 45.0), (20.0, 40.0)])
def test_merging_the_terms_of_an_error_does_not_change_it(t1: float, t2: float) -> None:
    relaxation = thermal_relaxation_error(t1, t2, 5)
    pair = relaxation.tensor(relaxation).compose(depolarizing_error(0.1, 2)).compose(relaxation, qargs=[1])
    assert np.allclose(SuperOp(merged(pair)), SuperOp(pair))
    assert len(merged(pair).circuits) <= len(pair.circuits)


def test_errors_have_few_terms() -> None:
    errors = noise_model(Calibration(**HOMEBREW_S2))._default_quantum_errors
    assert {name: len(error.circuits) for name, error in errors.items()} == {
        "h": 6,
        "x": 6,
        "y": 6,
        "cz": 36,
        "cx": 36,
    }


def test_relaxation_beyond_the_published_error_stands_alone() -> None:
    slow = GateTimes(single_qubit_gate_ns=1000)
    with_error = noise_model(Calibration(t1_us=10, t2_us=10, single_qubit_gate_error=1e-6), slow)
    without = noise_model(Calibration(t1_us=10, t2_us=10), slow)
    assert with_error == without


def test_impossible_dephasing_time_is_taken_as_twice_t1() -> None:
    assert noise_model(Calibration(t1_us=10, t2_us=90)) == noise_model(Calibration(t1_us=10, t2_us=20))


def test_error_beyond_full_depolarisation_is_full_depolarisation() -> None:
    channel = SuperOp(noise_model(Calibration(cz_gate_error=1.0))._default_quantum_errors["cz"])
    assert average_gate_fidelity(channel) == pytest.approx(1 / 4)


def test_unknown_calibration_is_ideal() -> None:
    assert noise_model(Calibration()).noise_instructions == []


# Counts


@pytest.mark.parametrize(("flip_0", "flip_1"), [(0.1, 0.0), (0.0, 0.2), (0.05, 0.3)])
async def test_readout_errors_flip_each_state_with_its_own_probability(
    flip_0: float, flip_1: float, tmp_path: Path
) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(1)
    circuit.measure([0, 1], [0, 1])
    counts = await run(circuit, {"readout_error_0": flip_0, "readout_error_1": flip_1}, tmp_path)
    for key, probability in {
        "10": (1 - flip_1) * (1 - flip_0),
        "11": (1 - flip_1) * flip_0,
        "00": flip_1 * (1 - flip_0),
        "01": flip_1 * flip_0,
    }.items():
        assert within_errors(counts, key, probability)


@pytest.mark.parametrize("pulses", [1, 2, 5])
async def test_excited_state_decays_with_t1_for_every_pulse(pulses: int, tmp_path: Path) -> None:
    circuit = QuantumCircuit(1, 1)
    for _ in range(pulses):
        circuit.x(0)
        circuit.barrier()
    circuit.measure(0, 0)
    counts = await run(circuit, {"t1_us": 50, "single_qubit_gate_ns": 20_000}, tmp_path)
    excited = 0.0
    for _ in range(pulses):
        excited = (1 - excited) * exp(-20 / 50)
    assert within_errors(counts, "1", excited)


@pytest.mark.parametrize(("t1", "t2"), [(50.0, 30.0), (1e6, 20.0), (20.0, 40.0)])
async def test_superposition_dephases_with_t2(t1: float, t2: float, tmp_path: Path) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.barrier()
    circuit.h(0)
    circuit.measure(0, 0)
    calibration = {"t1_us": t1, "t2_us": t2, "single_qubit_gate_ns": 10_000}
    counts = await run(circuit, calibration, tmp_path)
    # After the first pulse ⟨X⟩ = exp(−t/T2) and ⟨Z⟩ = 1 − exp(−t/T1); the second swaps them, ⟨Z⟩ then relaxes.
    z = 1 - (1 - exp(-10 / t2)) * exp(-10 / t1)
    assert within_errors(counts, "0", (1 + z) / 2)


async def test_bell_pair_agrees_with_a_density_matrix_worked_out_by_hand(tmp_path: Path) -> None:
    counts = await run(bell(), HOMEBREW_S2, tmp_path)
    probabilities = bell_probabilities(HOMEBREW_S2)
    assert probabilities["00"] + probabilities["11"] < 0.97
    for key, probability in probabilities.items():
        assert within_errors(counts, key, probability), key


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def bell_probabilities(calibration: dict[str, float]) -> dict[str, float]:
    """Outcomes of h(0), cx(0, 1) with Kraus operators written out, in numpy alone; keys are q1 q0."""
    identity, hadamard = np.eye(2), np.array([[1, 1], [1, -1]]) / sqrt(2)
    paulis = [identity, np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
    controlled_x = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]])  # control: the right factor

    def apply(operators: Sequence[Matrix], state: Matrix) -> Matrix:
        return np.asarray(sum(each @ state @ each.conj().T for each in operators))

    def relaxation(microseconds: float) -> list[Matrix]:
        damped = exp(-microseconds / calibration["t1_us"])
        coherence = exp(-microseconds / calibration["t2_us"]) / sqrt(damped)  # what damping alone leaves too much
        keep, flip = sqrt((1 + coherence) / 2), sqrt((1 - coherence) / 2)
        damping = [np.diag([1, sqrt(damped)]), np.array([[0, sqrt(1 - damped)], [0, 0]])]
        return [phase @ kraus for phase in (keep * identity, flip * paulis[3]) for kraus in damping]

    def fidelity(operators: Sequence[Matrix]) -> float:
        """Average gate fidelity of a channel with the identity (Nielsen 2002): (Σ|tr K|² + d) / (d² + d)."""
        d = len(operators[0])
        return float((sum(abs(np.trace(each)) ** 2 for each in operators) + d) / (d**2 + d))

    def completed(operators: list[Matrix], infidelity: float) -> list[Matrix]:
        d = len(operators[0])
        missing = fidelity(operators) - (1 - infidelity)
        p = missing / (fidelity(operators) - 1 / d)
        all_paulis = paulis if d == 2 else [np.kron(a, b) for a in paulis for b in paulis]
        weights = [1 - p + p / d**2] + [p / d**2] * (d**2 - 1)
        return [sqrt(w) * pauli @ each for w, pauli in zip(weights, all_paulis, strict=True) for each in operators]

    pulse = completed(relaxation(0.030), calibration["single_qubit_gate_error"])
    pair = [np.kron(a, b) for a in relaxation(0.060) for b in relaxation(0.060)]
    cz = completed(pair, calibration["cz_gate_error"])
    on_target = [np.kron(each, identity) for each in pulse]
    on_control = [np.kron(identity, each) for each in pulse]

    state = np.zeros((4, 4), dtype=complex)
    state[0, 0] = 1
    state = apply(on_control, apply([np.kron(identity, hadamard)], state))
    state = apply(on_target, apply(on_target, apply(cz, apply([controlled_x], state))))
    f0, f1 = calibration["readout_error_0"], calibration["readout_error_1"]
    readout = np.array([[1 - f0, f1], [f0, 1 - f1]])
    read = np.kron(readout, readout) @ np.real(np.diag(state))
    return {f"{i:02b}": float(p) for i, p in enumerate(read)}


async def test_prediction_has_the_gates_that_the_device_would_be_sent() -> None:
    provider = AerProvider()
    device = await provider.device("tyxonq:homebrew_s2")
    original = TyxonQProvider(Service(ok({"devices": [HOMEBREW]})).client())
    circuit = QuantumCircuit(3)
    circuit.rx(0.3, 0)
    circuit.ccx(0, 1, 2)
    circuit.measure_all()
    (predicted,) = provider.compiler(device, [circuit], 1)
    (sent,) = original.compiler(await original.device("homebrew_s2"), [circuit], 1)
    assert predicted == sent


async def test_same_seed_gives_the_same_prediction(tmp_path: Path) -> None:
    first, second = [await run(bell(), HOMEBREW_S2, tmp_path, shots=100) for _ in range(2)]
    assert first == second


async def test_refusals_are_those_of_the_original() -> None:
    provider = AerProvider()
    circuit = QuantumCircuit(2, 1)
    circuit.reset(0)
    circuit.measure(0, 0)
    with pytest.raises(Unsupported, match=r"tyxonq:homebrew_s2 \(13 qubits\).*reset"):
        provider.compiler(await provider.device("tyxonq:homebrew_s2"), [circuit], 1)


async def test_twin_too_big_for_memory_is_refused() -> None:
    provider = AerProvider(memory_bytes=2**10)
    wide = QuantumCircuit(13)
    wide.h(0)
    for qubit in range(12):
        wide.cx(qubit, qubit + 1)
    wide.measure_all()
    with pytest.raises(Unsupported, match=r"tyxonq:homebrew_s2.*needs 13 qubits"):
        provider.compiler(await provider.device("tyxonq:homebrew_s2"), [wide], 1)


# Where calibrations come from


async def test_shipped_twin_has_the_vendor_pages_calibration() -> None:
    device = await AerProvider().device("tyxonq:homebrew_s2")
    assert (device.provider, device.num_qubits, device.simulator, device.edges) == ("local", 13, True, None)
    assert device.metadata == {
        "noise": "digital twin",
        "twin_of": "homebrew_s2",
        "calibration_source": "snapshot",
        **HOMEBREW_S2,
        "single_qubit_gate_ns": 30.0,
        "cz_gate_ns": 60.0,
    }
    assert device in await AerProvider().devices()


async def test_live_calibration_is_preferred_to_the_shipped_one() -> None:
    row = HOMEBREW | {"T1": 12.5, "qubits": 5}
    original = TyxonQProvider(Service(ok({"devices": [row]})).client(), coupling_map=((0, 1),))
    device = await Twins(live=original.device).device("tyxonq:homebrew_s2")
    assert (device.num_qubits, device.edges, device.metadata["t1_us"]) == (5, ((0, 1),), 12.5)
    assert device.metadata["calibration_source"] == "live"
    assert "flags" not in device.metadata


async def test_operators_calibration_comes_first_and_may_set_gate_times(tmp_path: Path) -> None:
    path = tmp_path / "calibrations.json"
    path.write_text(json.dumps({"homebrew_s2": {"num_qubits": 4, "cz_gate_ns": 200, "simulator": False}}))

    async def unreachable(device_id: str) -> Device:
        raise Unreachable

    twins = Twins(path, unreachable)
    device = await twins.device("tyxonq:homebrew_s2")
    assert (device.num_qubits, device.metadata["cz_gate_ns"]) == (4, 200)
    assert [each.id for each in twins.devices()] == ["tyxonq:homebrew_s2"]
    with pytest.raises(Transient):
        await twins.device("tyxonq:homebrew_s3")


async def test_calibration_at_dispatch_is_the_one_that_is_simulated(tmp_path: Path) -> None:
    provider = AerProvider()
    flipping = Device("local", "tyxonq:homebrew_s2", 13, simulator=True, metadata={"readout_error_0": 1.0})
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    stored = unpack_circuits(pack_circuits(provider.compiler(flipping, [circuit], 1)))
    assert AerProvider().simulation("tyxonq:homebrew_s2", stored, 50, 1).counts == [{"1": 50}]


@pytest.mark.parametrize("name", ["tyxonq:other", "tyxonq:", "tyxonq:homebrew_s2?o=3", "tyxonq:/etc/passwd"])
async def test_unknown_twin_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(NotFound, match="tyxonq:homebrew_s2"):
        await AerProvider().device(name)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"d": {}}', '{"d": {"num_qubits": 2, "t1_us": -1}}', '{"d": {"num_qubits": 0}}']
)
async def test_file_without_calibrations_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "calibrations.json"
    path.write_text(text)
    with pytest.raises(Permanent, match=r"METRIQ_TWIN_CALIBRATION.*calibrations\.json"):
        await Twins(path).device("tyxonq:d")
    with pytest.raises(Permanent, match="METRIQ_TWIN_CALIBRATION"):
        Twins(tmp_path / "none.json").devices()


def test_records_device_metadata_serves_as_a_calibration() -> None:
    metadata = {"num_qubits": 13, "simulator": False, "flags": "o=3", **HOMEBREW_S2}
    assert Twin.model_validate(metadata).noise_model == noise_model(Calibration(**HOMEBREW_S2))
