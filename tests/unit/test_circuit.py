"""A plain circuit as a job: read from OpenQASM 2 or 3, run at most once as any other, and kept out of the dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.benchmarks.benchmark import BenchmarkData, RunResult
from metriq_gym.benchmarks.circuit import Circuit, expectation_value
from metriq_gym.benchmarks.openqasm import MAX_BITS, read_measured_circuit
from metriq_gym.constants import CIRCUIT
from metriq_gym.errors import InvalidRequest, Permanent, Unsupported
from metriq_gym.exporters.retry import retry_export
from metriq_gym.exporters.targets import plan_pull_request
from metriq_gym.jobs import ExportState, Failure, Job, JobState
from metriq_gym.providers.provider import Device
from metriq_gym.schema_validator import validate
from metriq_gym.settings import Settings
from metriq_gym.testing import ToldProvider, always, circuits_of, memory_system
from tests.support.jobs import ended_job

BELL = (Path(__file__).parents[2] / "examples" / "bell.qasm").read_text()
BELL_3 = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;'


@pytest.mark.parametrize(
    "source",
    [
        BELL,
        BELL.replace("creg c[2];\n", ""),  # as in the sample of the vendor's page
        f"// a Bell pair\n\n{BELL}",
        BELL_3,
        BELL_3.replace("OPENQASM 3.0; ", ""),
        'OPENQASM 2.0; include "qelib1.inc"; gate b x, y { h x; cx x, y; } qreg q[2]; creg c[1]; creg d[1]; '
        "b q[0], q[1]; measure q[0] -> c[0]; measure q[1] -> d[0];",
    ],
)
def test_both_versions_are_read_with_their_measurements(source: str) -> None:
    circuit = read_measured_circuit(source, 2)
    assert (circuit.num_qubits, circuit.num_clbits) == (2, 2)
    assert [circuit.find_bit(each.qubits[0]).index for each in circuit.data if each.clbits] == [0, 1]
    assert [circuit.find_bit(each.clbits[0]).index for each in circuit.data if each.clbits] == [0, 1]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "is empty"),
        ("OPENQASM 2.0; qreg q[1]; creg c[1];", "measures nothing"),
        (BELL.replace("qelib1.inc", "/etc/passwd"), "Include"),
        (BELL.replace("qelib1.inc", "stdgates.inc"), "stdgates.inc.*is version 3.0's"),
        (BELL_3.replace("stdgates.inc", "../secret.inc"), "Include"),
        (BELL.replace("q[2]", "q[3]"), "3 qubits and the device 2"),
        (BELL.replace("c[2]", f"c[{MAX_BITS + 1}]"), "classical bits"),
        (BELL.replace("h q[0];", "if (c == 1) h q[0];"), "BranchingStatement"),
        (BELL_3.replace("h q[0];", "while (true) { h q[0]; }"), "WhileLoop"),
        (BELL_3.replace("h q[0];", "for int i in [0:9] { h q[0]; }"), "ForInLoop"),
        (BELL.replace("h q[0];", "rz(1/0) q[0];"), "cannot be converted"),
        (BELL.replace("h q[0];", "no_such_gate q[0];"), "cannot be converted"),
    ],
)
def test_what_is_no_circuit_to_run_is_refused_by_name(source: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        read_measured_circuit(source, 2)


def test_gates_of_gates_are_counted_before_they_are_written_out() -> None:
    doubling = "gate g0 a { x a; x a; } " + " ".join(f"gate g{n} a {{ g{n - 1} a; g{n - 1} a; }}" for n in range(1, 40))
    with pytest.raises(Unsupported, match="applies more than"):
        read_measured_circuit(BELL.replace("qreg", f"{doubling} qreg").replace("h q", "g39 q"), 2)


@pytest.mark.parametrize(
    ("observable", "value"), [("ZZ", 1.0), ("ZI", 0.5), ("IZ", 0.5), ("II", 1.0)]
)  # of 75 times 00 and 25 times 11
def test_expectation_values_are_of_the_bits_that_have_a_z(observable: str, value: float) -> None:
    assert expectation_value(observable, {"00": 75, "11": 25}).value == pytest.approx(value)


def test_the_leftmost_letter_is_of_the_highest_bit_as_in_the_counts() -> None:
    assert expectation_value("ZI", {"01": 10}).value == 1
    assert expectation_value("IZ", {"01": 10}).value == -1


def test_counts_are_kept_the_most_frequent_first_and_there_is_no_score() -> None:
    config, _ = validate({"benchmark_name": CIRCUIT, "qasm": BELL, "observables": ["ZZ"]})
    result = Circuit.from_config(config).poll_handler(BenchmarkData(), [RunResult([{"01": 1, "11": 5, "00": 4}])])
    record = json.loads(json.dumps(result.record()))
    assert list(record["counts"].items()) == [("11", 5), ("00", 4), ("01", 1)]
    assert (record["shots"], record["outcomes"]) == (10, 3)
    assert record["expectation_values"]["ZZ"]["value"] == pytest.approx(0.8)
    assert "score" not in record


@pytest.mark.parametrize("wrong", [{"observables": ["XX"]}, {"shots": 0}, {"qasm": ""}, {"observables": "ZZ"}])
def test_a_request_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        validate({"benchmark_name": CIRCUIT, "qasm": BELL, **wrong})


def provider(counts: dict[str, int]) -> ToldProvider:
    return ToldProvider([Device("told", "d", 5, simulator=False)], always(counts))


@pytest.mark.slow
async def test_a_circuit_goes_over_the_queue_and_its_counts_are_a_file_whatever_else_is_wanted(tmp_path: Path) -> None:
    told = provider({"00": 6, "11": 4})
    async with memory_system(tmp_path, told, export_targets="github", github_repos="o/r", github_token="t") as system:
        config = {"benchmark_name": "Circuit", "qasm": BELL, "shots": 10, "observables": ["ZZ"]}
        job = await system.run(config, "told", "d")
        assert job.state is JobState.EXPORTED
        assert {name: export.state for name, export in job.exports.items()} == {"json": ExportState.DONE}
        assert job.result is not None
        assert job.result["counts"] == {"00": 6, "11": 4}
        (sent,) = told.submissions.values()
        assert circuits_of(sent)[0].count_ops() == {"measure": 2, "h": 1, "cx": 1}
        record = json.loads((tmp_path / f"{job.id}.json").read_text())
        assert record["results"]["expectation_values"]["ZZ"]["value"] == 1
        with pytest.raises(Permanent, match="benchmarks only"):
            await retry_export(system.store, system.bus, job.id, "github")
        with pytest.raises(Permanent, match="benchmarks only"):
            plan_pull_request([job], Settings(github_repos="o/r"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"observables": ["ZZZ"]}, "3 characters"), ({"qasm": "no circuit"}, "cannot be parsed")],
)
async def test_a_circuit_that_cannot_run_is_unsupported_and_not_submitted(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    told = provider({"00": 10})
    async with memory_system(tmp_path, told, export_targets="json") as system:
        job = await system.run({"benchmark_name": "Circuit", "qasm": BELL, **changes}, "told", "d")
        assert isinstance(job.failure, Failure)
        assert job.failure.outcome == "unsupported"
        assert reason in job.failure.reason
        assert told.submissions == {}


def test_whatever_is_no_benchmark_is_not_in_the_dataset() -> None:
    def in_dataset(**changes: Any) -> bool:
        return Job.model_validate(ended_job().model_dump(by_alias=True) | changes).in_dataset

    assert in_dataset()
    assert not in_dataset(benchmark_name=CIRCUIT)
    assert not in_dataset(dry=True)
