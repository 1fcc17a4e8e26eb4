"""A debug export alone gives a job's result again, bit for bit, and says where it is broken."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from metriq_gym.errors import InvalidRequest, MetriqGymError, Permanent
from metriq_gym.jobs import Job, JobState, Task, TaskState
from metriq_gym.jobs.plan import make_plan
from metriq_gym.jobs.replay import make_debug_export, replay
from metriq_gym.jobs.scoring import Share, score
from metriq_gym.messages import Compilation
from metriq_gym.packing import pack_counts, unpack_circuits
from metriq_gym.providers.provider import Device
from metriq_gym.schema_validator import validate

DEVICE = Device("local", "fake", 4, simulator=True, edges=((0, 1), (1, 2), (2, 3)))
SEED = 11

CONFIGS: dict[str, dict[str, Any]] = {
    "WIT": {"num_qubits": 7},
    "BSEQ": {},
    "QML Kernel": {"num_qubits": 3},
    "Mirror Circuits": {"width": 3, "num_circuits": 5},
    "Quantum Volume": {"num_qubits": 3, "trials": 5},
    "Bernstein-Vazirani": {"max_qubits": 4},
    "Phase Estimation": {"max_qubits": 4},
    "Hidden Shift": {"max_qubits": 4},
    "Quantum Fourier Transform": {"num_qubits": 3},
    "Linear Ramp QAOA": {"graph_type": "1D", "num_qubits": 4, "qaoa_layers": [3, 4], "trials": 2},
    "CLOPS": {"num_qubits": 3, "num_layers": 2, "num_circuits": 5},
    "EPLG": {"num_qubits_in_chain": 4, "lengths": [2, 4, 6], "num_samples": 2},
    "QAT OLE": {
        "qasm": 'OPENQASM 3.0; include "stdgates.inc"; qubit[3] q; h q[0]; cx q[0], q[1]; cz q[1], q[2];',
        "observable_qubits": [1],
        "num_initial_states": 4,
    },
}


def as_they_are(
    device: Device, circuits: Sequence[QuantumCircuit], seed: int, compilation: Compilation = "default"
) -> list[QuantumCircuit]:
    return list(circuits)


def noisy_counts(task_seed: int, bits: int, shots: int) -> dict[str, int]:
    rng = random.Random(task_seed)
    counts: dict[str, int] = {}
    for _ in range(shots):
        key = format(rng.getrandbits(bits) & rng.getrandbits(bits), f"0{bits}b")
        counts[key] = counts.get(key, 0) + 1
    return counts


@cache
def ended(name: str) -> tuple[Job, list[Task]]:
    """A job that went through dispatcher, poller and scorer, in three tasks or more where it has the circuits."""
    config, _ = validate({"benchmark_name": name, "shots": 60, **CONFIGS[name]})
    device = Device("local", "fake", 7, simulator=True) if name == "WIT" else DEVICE
    plan = make_plan(config, SEED, device, as_they_are, 2)
    tasks = []
    for number, planned in enumerate(plan.tasks):
        counts = [
            noisy_counts(planned.seed + index, circuit.num_clbits, planned.shots)
            for index, circuit in enumerate(unpack_circuits(planned.circuits))
        ]
        task = {
            "id": f"j:{number}",
            "job_id": "j",
            "provider": "local",
            "device": device.id,
            "state": TaskState.COMPLETED,
            "run": planned.run,
            "first": planned.first,
            "circuit_count": planned.circuit_count,
            "shots": planned.shots,
            "seed": planned.seed,
            "counts": pack_counts(counts),
            "execution_seconds": 0.1 * (number + 1) / 3,
        }
        tasks.append(Task.model_validate(task))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    job = Job(
        id="j",
        state=JobState.EXPORTED,
        provider="local",
        device=device.id,
        config=config,
        seed=SEED,
        app_version="1.2.3",
        data=plan.data,
        runs=plan.runs,
        created_at=now,
        updated_at=now,
        result=score(config, SEED, plan.data, plan.runs, shares(tasks)),
    )
    return job, tasks


def shares(tasks: list[Task]) -> list[Share]:
    return [Share(task.run, task.first, task.counts, task.execution_seconds) for task in tasks]


def exported(name: str = "Mirror Circuits") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(make_debug_export(*ended(name))))
    return document


@pytest.mark.parametrize("name", CONFIGS)
def test_replay_gives_the_identical_result(name: str) -> None:
    job, _ = ended(name)
    document = exported(name)
    assert document["app_version"] == "1.2.3"
    assert json.dumps(replay(document)) == json.dumps(job.result)
    assert document["result"] == job.result


@pytest.mark.parametrize("name", CONFIGS)
def test_a_tool_that_sorts_keys_and_tasks_changes_no_digit(name: str) -> None:
    document = json.loads(json.dumps(exported(name), sort_keys=True))
    document["tasks"].reverse()
    assert json.dumps(replay(document)) == json.dumps(ended(name)[0].result)


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_counts_of_one_circuit_in_several_tasks_are_added_whatever_their_order(rng: random.Random) -> None:
    document = exported("CLOPS")
    parts = []
    for task in document["tasks"]:
        halves = [{}, {}]  # type: ignore[var-annotated]
        for key, count in task["counts"][0].items():
            first = rng.randint(0, count)
            halves[0][key], halves[1][key] = first, count - first
        rest = task["counts"][1:]
        parts += [{**task, "counts": [halves[0], *rest]}, {**task, "counts": [halves[1]], "execution_seconds": 0.7}]
    rng.shuffle(parts)
    again = replay({**document, "tasks": parts})
    spent = sum(task["execution_seconds"] for task in document["tasks"]) + 0.7 * len(document["tasks"])
    layers = 5 * 2 * 60
    assert again["clops_score"] == pytest.approx(layers / spent, rel=1e-12)
    rng.shuffle(parts)
    assert replay({**document, "tasks": parts}) == again


def test_a_job_whose_counts_are_not_all_in_cannot_be_exported() -> None:
    job, tasks = ended("Mirror Circuits")
    waiting = tasks[1].model_copy(update={"state": TaskState.SUBMITTED, "counts": b""})
    with pytest.raises(Permanent, match="no counts of task j:1"):
        make_debug_export(job, [tasks[0], waiting, *tasks[2:]])
    with pytest.raises(Permanent, match="no tasks"):
        make_debug_export(job, [])


def edit(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]

    def apply(document: Any) -> None:
        for step in steps:
            document = document[step]
        document[last] = value

    return apply


BROKEN = {
    "another format": (edit("format", "7"), "$.format"),
    "no seed": (lambda document: document.pop("seed"), "$.seed"),
    "configuration out of bounds": (edit("config.width", 1), "$.config.width"),
    "unknown benchmark": (edit("config.benchmark_name", "x"), "$.config.benchmark_name"),
    "data of the wrong type": (edit("data.expected_bitstrings", 5), "$.data.expected_bitstrings"),
    "data of another job": (edit("data.expected_bitstrings", ["0"]), "$.data"),
    "a run too many": (edit("runs", [5, 1]), "$.tasks"),
    "a run of a billion circuits": (edit("runs", [10**9]), "$.tasks"),
    "a negative run": (edit("tasks.0.run", -1), "$.tasks[0].run"),
    "a task of no run": (edit("tasks.0.run", 3), "$.tasks[0].run"),
    "more circuits than the run has": (edit("tasks.2.first", 5), "$.tasks[2].counts"),
    "a task is gone": (lambda document: document["tasks"].pop(1), "$.tasks"),
    "counts are gone": (edit("tasks.0.counts.1", {}), "$.tasks"),
    "not bits": (edit("tasks.0.counts.1", {"012": 1}), "$.tasks[0].counts[1]"),
    "too many bits": (edit("tasks.0.counts.1.0000", 1), "$.tasks[0].counts[1]"),
    "less than nothing": (edit("tasks.0.counts.1.000", -1), "$.tasks[0].counts[1]"),
    "half a count": (edit("tasks.0.counts.1.000", 0.5), "$.tasks[0].counts[1]"),
    "a true count": (edit("tasks.0.counts.1.000", True), "$.tasks[0].counts[1]"),
    "an endless count": (edit("tasks.0.counts.1.000", 10**400), "$.tasks[0].counts[1]"),
    "time that is no number": (edit("tasks.0.execution_seconds", float("nan")), "$.tasks[0].execution_seconds"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_document_is_refused_naming_the_place(case: str) -> None:
    breaking, path = BROKEN[case]
    document = copy.deepcopy(exported())
    breaking(document)
    with pytest.raises(InvalidRequest) as refused:
        replay(document)
    assert refused.value.problems[0].path.startswith(path)


@pytest.mark.parametrize("document", [None, [], "x", {}, {"format": "metriq-gym debug export 1"}])
def test_something_else_altogether_is_refused(document: object) -> None:
    with pytest.raises(InvalidRequest):
        replay(document)


def test_edited_counts_give_another_result() -> None:
    document = exported()
    circuit = document["tasks"][0]["counts"][0]
    circuit[document["data"]["expected_bitstrings"][0]] = 10_000
    assert replay(document) != document["result"]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_edit_gives_a_result_or_an_error_of_ours(data: st.DataObject) -> None:
    document = copy.deepcopy(exported(data.draw(st.sampled_from(list(CONFIGS)))))
    document.pop("config" if data.draw(st.integers(0, 20)) == 0 else "none", None)
    places = [("data", key) for key in document["data"]] + [("tasks", 0), ("tasks", -1), ("runs", 0)]
    part, key = data.draw(st.sampled_from(places))
    values = (
        st.none() | st.integers(-2, 9) | st.text("01", max_size=4) | st.lists(st.text("01", max_size=4), max_size=4)
    )
    document[part][key] = data.draw(values)
    try:
        replay(document)
    except MetriqGymError:
        return
