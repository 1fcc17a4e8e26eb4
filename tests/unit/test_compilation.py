"""Compilation is a choice: what it means, that it is recorded, and that no level changes what a benchmark measures."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from metriq_gym.constants import JobType
from metriq_gym.jobs.plan import build, make_plan
from metriq_gym.messages import Compilation, JobRequested
from metriq_gym.providers.aer import devices
from metriq_gym.providers.aer.compiler import AerCompiler
from metriq_gym.providers.compilation import best, metadata, strategy
from metriq_gym.providers.provider import Device
from metriq_gym.providers.tyxonq.compiler import TyxonQCompiler
from metriq_gym.schema_validator import validate
from metriq_gym.settings import Settings
from tests.docs.pictures import example

LOCAL = AerCompiler(2**31)
GUADALUPE = devices.describe("fake_guadalupe")
TYXONQ = Device("tyxonq", "homebrew_s2", 13, simulator=False, metadata={"cz_gate_error": 0.01})
RING = Device("tyxonq", "ring", 13, simulator=False, edges=tuple((i, (i + 1) % 13) for i in range(13)))
WHERE: dict[str, tuple[Device, Any]] = {
    "profile": (GUADALUPE, LOCAL),
    "TyxonQ": (TYXONQ, TyxonQCompiler()),
    "TyxonQ with a coupling map": (RING, TyxonQCompiler()),
}
SMALL: dict[JobType, dict[str, Any]] = {
    JobType.BSEQ: {"max_colors": 1},
    JobType.CLOPS: {"num_qubits": 5, "num_layers": 3, "num_circuits": 1},
    JobType.QUANTUM_VOLUME: {"num_qubits": 4, "trials": 2},
    JobType.EPLG: {"num_qubits_in_chain": 4, "lengths": [2, 5], "num_samples": 1},
    JobType.MIRROR_CIRCUITS: {"num_circuits": 2},
    JobType.WIT: {"num_qubits": 7},
    JobType.LR_QAOA: {"num_qubits": 5, "qaoa_layers": [3], "trials": 1},
    JobType.QAT_OLE: {"num_initial_states": 2},
}
MAY_DISAPPEAR = {JobType.WIT: 3, JobType.QUANTUM_VOLUME: 6}
"""Two-qubit gates that a compiler may save: the swap of WIT's message, and neighbouring unitaries on the same pair."""


def built(job_type: JobType, device: Device) -> list[QuantumCircuit]:
    config, _ = validate(example(job_type) | SMALL.get(job_type, {}))
    _, runs = build(config, 5, device)
    return [circuit for circuits, _ in runs for circuit in circuits][:4]


def distribution(circuit: QuantumCircuit) -> dict[str, float]:
    """Probability of each outcome of the classical bits, computed on the qubits that something is done to."""
    gates = [each for each in circuit.data if each.name not in ("measure", "barrier")]
    measures = [each for each in circuit.data if each.name == "measure"]
    used = [qubit for qubit in circuit.qubits if any(qubit in each.qubits for each in (*gates, *measures))]
    compact = QuantumCircuit(len(used))
    for each in gates:
        compact.append(each.operation, [used.index(qubit) for qubit in each.qubits])
    measured = {circuit.find_bit(each.clbits[0]).index: used.index(each.qubits[0]) for each in measures}
    bits = sorted(measured)
    probabilities = Statevector(compact).probabilities([measured[bit] for bit in bits])
    return {format(index, f"0{len(bits)}b"): float(p) for index, p in enumerate(probabilities) if p > 1e-9}


@pytest.mark.slow
@pytest.mark.parametrize("level", ["0", "3", "best"])
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("job_type", JobType)
def test_no_level_changes_what_a_benchmark_measures(job_type: JobType, where: str, level: Compilation) -> None:
    device, compiler = WHERE[where]
    for before, after in zip(circuits := built(job_type, device), compiler(device, circuits, 5, level), strict=True):
        ideal, found = distribution(before), distribution(after)
        assert found.keys() == ideal.keys()
        np.testing.assert_allclose([found[key] for key in ideal], list(ideal.values()), atol=1e-6)
        needed = compiler(device, [before], 5, "0")[0] if where == "TyxonQ" else before
        assert after.num_nonlocal_gates() >= needed.num_nonlocal_gates() - MAY_DISAPPEAR.get(job_type, 0)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("job_type", [JobType.MIRROR_CIRCUITS, JobType.EPLG, JobType.CLOPS])
def test_layers_stay_apart_at_the_highest_level(job_type: JobType, where: str) -> None:
    device, compiler = WHERE[where]
    for before, after in zip(circuits := built(job_type, device), compiler(device, circuits, 5, "3"), strict=True):
        assert after.count_ops()["barrier"] == before.count_ops()["barrier"]
        assert all(a >= b for a, b in zip(entangling_layers(after), entangling_layers(before), strict=True))


def entangling_layers(circuit: QuantumCircuit) -> list[int]:
    """Two-qubit gates between one barrier and the next."""
    counts = [0]
    for instruction in circuit.data:
        if instruction.name == "barrier":
            counts.append(0)
        elif len(instruction.qubits) == 2:
            counts[-1] += 1
    return counts


def test_the_default_is_the_level_of_the_datasets_tool() -> None:
    wit = built(JobType.WIT, GUADALUPE)
    found = {level: LOCAL(GUADALUPE, wit, 1, level)[0].num_nonlocal_gates() for level in ("default", "1", "2")}
    assert found["default"] == found["2"] < 41
    assert found["1"] > 56


def test_the_best_of_several_seeds_is_expected_to_fail_least() -> None:
    def error_of(operation: str, qubits: tuple[int, ...]) -> float:
        return {"cz": 0.01 * (1 + qubits[0]), "measure": 0.02}.get(operation, 0.0)

    good, bad, long = QuantumCircuit(2, 1), QuantumCircuit(2, 1), QuantumCircuit(2, 1)
    good.cz(0, 1)
    bad.cz(1, 0)
    long.cz(0, 1)
    long.cz(0, 1)
    for circuit in (good, bad, long):
        circuit.measure(0, 0)
    assert best([bad, long, good], error_of) is good
    assert best([long, bad, good], lambda *_: 0.0) in (bad, good)
    assert best([bad, good], lambda *_: 1.0) is bad


def test_the_best_is_at_least_as_good_as_the_highest_level_alone() -> None:
    from metriq_gym.providers.aer.compiler import _error
    from metriq_gym.providers.compilation import _log_fidelity

    circuits = built(JobType.QUANTUM_VOLUME, GUADALUPE)
    errors = partial(_error, GUADALUPE.id)
    for one, several in zip(LOCAL(GUADALUPE, circuits, 1, "3"), LOCAL(GUADALUPE, circuits, 1, "best"), strict=True):
        assert _log_fidelity(several, errors) >= _log_fidelity(one, errors)


def test_what_was_done_is_in_the_plan_with_level_seed_and_library() -> None:
    config, _ = validate({"benchmark_name": "QML Kernel", "num_qubits": 3})
    plan = make_plan(config, 7, GUADALUPE, LOCAL, 10)
    assert plan.compiled_with == {**metadata("default", 7, compiled=True)}
    assert (plan.compiled_with["level"], plan.compiled_with["seed"]) == (2, 7)
    assert plan.compiled_with["library"].startswith("qiskit 2")
    assert make_plan(config, 7, GUADALUPE, LOCAL, 10, "best").compiled_with["candidates"] == 8
    ideal = make_plan(config, 7, devices.describe("aer_simulator"), LOCAL, 10, "3")
    assert ideal.compiled_with["level"] is None
    assert (
        ideal.tasks[0].circuits == make_plan(config, 7, devices.describe("aer_simulator"), LOCAL, 10).tasks[0].circuits
    )


@pytest.mark.parametrize("given", ["default", "best", "0", 0, 3, "3"])
def test_a_request_names_its_compilation_as_text_or_as_a_number(given: object) -> None:
    body = {"provider": "local", "device": "fake_manila", "config": {}, "compilation": given}
    assert JobRequested.model_validate(body).compilation == str(given)


@pytest.mark.parametrize("given", ["4", 4, -1, True, "fast", ""])
def test_any_other_compilation_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Compilation).validate_python(given)


def test_a_setting_decides_where_a_request_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().compilation == "default"
    monkeypatch.setenv("METRIQ_COMPILATION", "3")
    assert Settings().compilation == "3"
    assert strategy("3", 5).level == 3


def test_choices_travel_as_json() -> None:
    sent = JobRequested(provider="local", device="fake_manila", config={}, compilation="best").model_dump_json()
    assert json.loads(sent)["compilation"] == "best"
