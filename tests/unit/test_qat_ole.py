"""QAT OLE: the estimator against exact traces, and no circuit from outside the request."""

from __future__ import annotations

import json
from importlib.resources import files
from math import cos
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.random import random_circuit
from qiskit.qasm3 import dumps
from qiskit.quantum_info import Operator

from metriq_gym.benchmarks import qat_ole
from metriq_gym.benchmarks.benchmark import RunResult
from metriq_gym.benchmarks.openqasm import read_circuit
from metriq_gym.benchmarks.qat_ole import QATOLE, QATOLEData, QATOLEParams
from metriq_gym.errors import InvalidRequest, Permanent, Unsupported
from metriq_gym.schema_validator import validate
from tests.support.devices import IdealDevice, RecordingDevice, depolarizing

HEADER = 'OPENQASM 3.0; include "stdgates.inc"; '
EXAMPLE = json.loads((files("metriq_gym") / "schemas/examples/qat_ole.example.json").read_text())


def ole(seed: int = 42, **changes: Any) -> QATOLE:
    defaults: dict[str, Any] = {
        "circuit": None,
        "qasm_path": None,
        "qasm": EXAMPLE["qasm"],
        "observable_qubits": [0, 1, 2],
        "num_initial_states": 10,
        "seed": None,
        "shots": 1000,
    }
    return QATOLE(QATOLEParams(**defaults | changes), seed)


def exact_echoes(source: str, observable: list[int]) -> Any:
    """σ(x)·⟨x|U†·O·U|x⟩ for every x, shape (2ⁿ,), with dense matrices."""
    unitary = Operator(read_circuit(source, 20)).data
    index = np.arange(len(unitary))
    parity = (-1.0) ** sum(index >> qubit & 1 for qubit in observable)
    return parity * np.real(np.diag(unitary.conj().T @ np.diag(parity) @ unitary))


def random_source(seed: int) -> str:
    return str(dumps(random_circuit(4, 6, max_operands=3, seed=seed).decompose(reps=4)))


def test_noiseless_score_is_one() -> None:
    result = IdealDevice(6).score(ole(shots=10_000))
    assert result.noiseless_reference == pytest.approx(result.observable_value.value, abs=0.01)
    score = result.compute_score()
    assert score.value == pytest.approx(1, abs=0.01)
    assert abs(score.value - 1) < 3 * score.uncertainty


def test_a_single_rotation_echoes_with_its_cosine_for_every_state() -> None:
    benchmark = ole(qasm=HEADER + "qubit[3] q; rx(0.7) q[1]; h q[2];", observable_qubits=[1])
    result = IdealDevice(3).score(benchmark)
    assert result.noiseless_reference == pytest.approx(cos(0.7))
    assert result.observable_value.value == pytest.approx(cos(0.7), abs=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_reference_is_the_exact_value_for_the_states_drawn(seed: int) -> None:
    source, observable = random_source(seed), [0, 2]
    benchmark = ole(qasm=source, observable_qubits=observable, num_initial_states=6)
    device = RecordingDevice(4)
    data = benchmark.dispatch_handler(device)
    exact = exact_echoes(source, observable)[[int(state, 2) for state in data.initial_states]].mean()
    result = device.score_uniform(benchmark)
    assert result.noiseless_reference == pytest.approx(exact, abs=1e-9)


def test_the_mean_over_all_states_is_the_trace() -> None:
    source, observable = random_source(1), [1, 3]
    unitary = Operator(read_circuit(source, 4)).data
    parity = np.diag((-1.0) ** sum(np.arange(16) >> qubit & 1 for qubit in observable))
    trace = np.trace(parity @ unitary.conj().T @ parity @ unitary).real / 16
    data = QATOLEData(initial_states=[f"{x:04b}" for x in range(16)])
    benchmark = ole(qasm=source, observable_qubits=observable)
    result = benchmark.poll_handler(data, [RunResult([{"00": 1}] * 16)])
    assert result.noiseless_reference == pytest.approx(trace, abs=1e-9)


def test_uniform_counts_have_no_echo() -> None:
    result = RecordingDevice(6).score_uniform(ole(shots=5000))
    assert abs(result.observable_value.value) < 3 * result.observable_value.uncertainty + 0.02
    assert abs(result.compute_score().value) < 0.05


def test_noise_damps_the_echo() -> None:
    result = IdealDevice(6).score(ole(), noise=depolarizing(0.02, "cz"))
    assert 0.3 < result.compute_score().value < 0.9


def test_the_error_bar_covers_the_mean_over_all_states_two_times_in_three(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(QATOLE, "_noiseless", lambda self, states: None)
    observable, rng, covered = [0, 2], np.random.default_rng(3), 0
    exact = exact_echoes(random_source(2), observable)
    benchmark = ole(qasm=random_source(2), observable_qubits=observable)
    for _ in range(200):
        states = rng.integers(16, size=20)
        signs = (-1) ** sum(states >> qubit & 1 for qubit in observable)
        even = rng.binomial(1000, (1 + signs * exact[states]) / 2).tolist()
        data = QATOLEData(initial_states=[f"{x:04b}" for x in states])
        counts = [{"11": n, "01": 1000 - n} for n in even]
        value = benchmark.poll_handler(data, [RunResult(counts)]).observable_value
        covered += abs(value.value - float(exact.mean())) <= (value.uncertainty or 0)
    assert exact.std() > 0.05
    assert 0.58 <= covered / 200 <= 0.78


def test_a_single_state_has_the_error_of_its_shots() -> None:
    result = ole(num_initial_states=1).poll_handler(
        QATOLEData(initial_states=["000000"]), [RunResult([{"000": 900, "001": 100}])]
    )
    assert result.observable_value.value == pytest.approx(0.8)
    assert result.observable_value.uncertainty == pytest.approx((1 - 0.8**2) ** 0.5 / 1000**0.5, rel=1e-3)


def test_states_are_random_on_active_qubits_and_zero_elsewhere() -> None:
    source = HEADER + "qubit[40] q; rx(0.3) q[5]; cz q[5], q[30]; barrier q;"
    device = RecordingDevice(40)
    data = ole(qasm=source, observable_qubits=[2, 5], num_initial_states=50).dispatch_handler(device)
    ones = {39 - place for state in data.initial_states for place, bit in enumerate(state) if bit == "1"}
    assert ones == {2, 5, 30}
    assert {circuit.num_clbits for circuit in device.circuits} == {2}


def test_idle_qubits_do_not_count_towards_the_limit_of_the_reference() -> None:
    source = HEADER + "qubit[40] q; rx(0.3) q[5]; cz q[5], q[30];"
    benchmark = ole(qasm=source, observable_qubits=[5])
    assert RecordingDevice(40).score_uniform(benchmark).noiseless_reference == pytest.approx(cos(0.3))


def test_wide_circuits_have_no_reference_and_no_score() -> None:
    result = RecordingDevice(21).score_uniform(ole(qasm=HEADER + "qubit[21] q; h q;"))
    assert result.noiseless_reference is None
    assert result.compute_score() is None
    assert "score" not in result.record()


def test_a_reference_that_would_take_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qat_ole, "MAX_REFERENCE_WORK", 10)
    assert RecordingDevice(6).score_uniform(ole()).noiseless_reference is None


def test_an_echo_that_vanishes_without_noise_is_no_measure() -> None:
    result = RecordingDevice(1).score_uniform(ole(qasm=HEADER + "qubit q; h q;", observable_qubits=[0]))
    assert result.noiseless_reference == pytest.approx(0)
    assert result.compute_score() is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"qasm": None, "circuit": "49Q_L3"}, "circuit '49Q_L3' is not opened or fetched by a service"),
        ({"qasm": None, "qasm_path": "/etc/passwd"}, "file '/etc/passwd' is not opened"),
        ({"observable_qubits": None}, "needs 'observable_qubits'"),
        ({"observable_qubits": [6]}, "observable qubit 6 is not among the circuit's 6 qubits"),
        ({"qasm": HEADER + "qubit[9] q; h q;"}, "has 9 qubits and the device 6"),
    ],
)
def test_what_cannot_be_run_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        ole(**changes).dispatch_handler(RecordingDevice(6))


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"qasm": "x", "circuit": "49Q_L3", "observable_qubits": [0]},
        {"qasm": "x", "qasm_path": "y", "observable_qubits": [0]},
        {"qasm": "x"},
        {"qasm_path": "x"},
        {"circuit": "50Q_L3"},
        {"qasm": "x" * 1_000_001, "observable_qubits": [0]},
        {"qasm": "x", "observable_qubits": [1, 1]},
        {"qasm": "x", "observable_qubits": []},
    ],
)
def test_a_configuration_gives_the_circuit_in_exactly_one_way(source: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        validate({"benchmark_name": "QAT OLE"} | source)


def test_no_shots_at_all_is_an_error_and_not_a_score() -> None:
    with pytest.raises(Permanent, match="no shots"):
        ole().poll_handler(QATOLEData(initial_states=["000000"]), [RunResult([{}])])
