"""Configurations of the device benchmarks: defaults, bounds, and that whatever is let through is run or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rustworkx as rx
from hypothesis import given, settings
from hypothesis import strategies as st

from metriq_gym import benchmarks
from metriq_gym.benchmarks.benchmark import RunResult
from metriq_gym.constants import SCHEMA_MAPPING, JobType
from metriq_gym.errors import InvalidRequest, Unsupported
from metriq_gym.schema_validator import load_json_file, validate
from tests.support.devices import RecordingDevice, uniform_counts
from tests.support.digest import digest
from tests.support.work import at_most

QASM = 'OPENQASM 3; include "stdgates.inc"; qubit[3] q; h q[0]; cx q[0], q[1]; rx(0.3) q[2];'
REQUIRED: dict[JobType, dict[str, Any]] = {
    JobType.MIRROR_CIRCUITS: {},
    JobType.QUANTUM_VOLUME: {"num_qubits": 3},
    JobType.EPLG: {"num_qubits_in_chain": 4},
    JobType.CLOPS: {},
    JobType.LR_QAOA: {"graph_type": "1D", "num_qubits": 4},
    JobType.QAT_OLE: {"qasm": QASM, "observable_qubits": [0]},
}
DEFAULTS: dict[JobType, dict[str, Any]] = {
    JobType.MIRROR_CIRCUITS: {
        "num_layers": 3,
        "two_qubit_gate_prob": 0.5,
        "two_qubit_gate_name": "CNOT",
        "shots": 1000,
        "num_circuits": 10,
    },
    JobType.QUANTUM_VOLUME: {"shots": 1000, "trials": 100, "confidence_level": 0.95},
    JobType.EPLG: {
        "lengths": [2, 4, 8, 16],
        "num_samples": 3,
        "shots": 100,
        "seed": 12345,
        "two_qubit_gate": "cz",
        "one_qubit_basis_gates": ["rz", "rx", "x"],
        "decompose_clifford_ops": False,
        "constrain_rb_offset_b": False,
    },
    JobType.CLOPS: {
        "num_qubits": 10,
        "num_layers": 100,
        "num_circuits": 100,
        "shots": 1000,
        "seed": 12345,
        "two_qubit_gate": "cz",
        "mode": "instantiated",
        "use_session": False,
    },
    JobType.LR_QAOA: {
        "qaoa_layers": [3, 5, 7, 10, 15, 20],
        "delta_beta": 0.3,
        "delta_gamma": 0.3,
        "shots": 1000,
        "trials": 3,
        "num_random_trials": 25,
        "confidence_level": 0.995,
        "seed": 123,
    },
    JobType.QAT_OLE: {"num_initial_states": 10, "shots": 1000},
}
SEED = 3


def example(name: JobType) -> dict[str, Any]:
    file = SCHEMA_MAPPING[name].replace(".schema.", ".example.")
    return validate(load_json_file(Path(str(files("metriq_gym") / "schemas" / "examples" / file))))[0]


def minimal(name: JobType, **more: Any) -> dict[str, Any]:
    return {"benchmark_name": name.value, **REQUIRED[name], **more}


@pytest.mark.parametrize("name", REQUIRED)
def test_the_example_is_valid_without_warnings_and_small(name: JobType) -> None:
    config = example(name)
    assert validate(config)[1] == []
    device = RecordingDevice(10)
    benchmarks.load(name).from_config(config).dispatch_handler(device)
    assert max(circuit.num_qubits for circuit in device.circuits) <= 10


@pytest.mark.parametrize("name", REQUIRED)
def test_defaults_are_applied(name: JobType) -> None:
    assert validate(minimal(name)) == (minimal(name) | DEFAULTS[name], [])


@pytest.mark.parametrize("name", REQUIRED)
def test_every_parameter_is_described_bounded_and_known_to_the_benchmark(name: JobType) -> None:
    schema = benchmarks.schema(name)
    assert schema["$id"] == f"metriq-gym/{SCHEMA_MAPPING[name]}"
    assert schema["properties"]["benchmark_name"]["const"] == name
    fields = benchmarks.load(name).params_type.__dataclass_fields__  # type: ignore[attr-defined]
    assert set(fields) == set(schema["properties"]) - {"benchmark_name"}
    for key, prop in schema["properties"].items():
        assert prop["description"], key
        if prop.get("type") in ("integer", "number"):
            assert {"minimum", "maximum"} <= set(prop), key
        if prop.get("type") == "array":
            assert {"minItems", "maxItems"} <= set(prop), key


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        *((name, "shots", shots) for name in REQUIRED for shots in (0, 1_000_001, 1.5, "10", True, None)),
        *((name, "seed", seed) for name in REQUIRED if name != JobType.QUANTUM_VOLUME for seed in (-1, 2**63, 0.5)),
        (JobType.MIRROR_CIRCUITS, "width", 1),
        (JobType.MIRROR_CIRCUITS, "num_layers", 501),
        (JobType.MIRROR_CIRCUITS, "num_circuits", 1001),
        (JobType.MIRROR_CIRCUITS, "two_qubit_gate_prob", 1.01),
        (JobType.MIRROR_CIRCUITS, "two_qubit_gate_prob", float("nan")),
        (JobType.MIRROR_CIRCUITS, "two_qubit_gate_name", "cnot"),
        (JobType.QUANTUM_VOLUME, "num_qubits", 0),
        (JobType.QUANTUM_VOLUME, "confidence_level", -0.1),
        (JobType.EPLG, "num_qubits_in_chain", 3),
        (JobType.EPLG, "lengths", []),
        (JobType.EPLG, "lengths", [2, 2]),
        (JobType.EPLG, "lengths", 4),
        (JobType.EPLG, "one_qubit_basis_gates", []),
        (JobType.CLOPS, "two_qubit_gate", "swap"),
        (JobType.CLOPS, "mode", "fast"),
        (JobType.CLOPS, "use_session", 1),
        (JobType.LR_QAOA, "graph_type", "2D"),
        (JobType.LR_QAOA, "num_qubits", 1),
        (JobType.LR_QAOA, "delta_beta", 2.1),
        (JobType.LR_QAOA, "num_random_trials", 9),
        (JobType.QAT_OLE, "num_initial_states", 0),
    ],
)
def test_a_value_out_of_bounds_is_refused_at_its_path(name: JobType, key: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validate(minimal(name, **{key: value}))
    assert [problem.path for problem in refused.value.problems] == [f"$.{key}"]


@pytest.mark.parametrize(
    ("name", "key", "value", "path"),
    [
        (JobType.EPLG, "lengths", [2, 0], "$.lengths[1]"),
        (JobType.LR_QAOA, "qaoa_layers", [3, 2], "$.qaoa_layers[1]"),
        (JobType.QAT_OLE, "observable_qubits", [-1], "$.observable_qubits[0]"),
    ],
)
def test_a_wrong_entry_of_a_list_is_refused_at_its_place(name: JobType, key: str, value: object, path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validate(minimal(name, **{key: value}))
    assert [problem.path for problem in refused.value.problems] == [path]


@pytest.mark.parametrize(
    ("name", "key", "hint"),
    [(JobType.LR_QAOA, "num_random_trails", "num_random_trials"), (JobType.QUANTUM_VOLUME, "num_shots", "shots")],
)
def test_a_misspelt_key_is_allowed_with_a_hint(name: JobType, key: str, hint: str) -> None:
    [warning] = validate(minimal(name, **{key: 25}))[1]
    assert f"did you mean '{hint}'?" in warning.message


def values(prop: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Mostly small values, sometimes the extreme ones that the schema allows."""
    if "const" in prop:
        return st.just(prop["const"])
    if "enum" in prop:
        return st.sampled_from(prop["enum"])
    match prop["type"]:
        case "boolean":
            return st.booleans()
        case "number":
            low, high = prop["minimum"], prop["maximum"]
            return st.floats(low, high) | st.sampled_from([low, high, 5e-324])
        case "array":
            lists = st.lists(values(prop["items"]), min_size=prop["minItems"], max_size=4, unique=True)
            return lists | st.just(prop["default"]) if "default" in prop else lists
        case "string":
            return st.sampled_from(
                ["cz", "cx", "ecr", "swap", "rz", "sx", "x", "rx", "h", "s", "u", "measure"]
            ) | st.text(min_size=prop.get("minLength", 0), max_size=20)
    small = st.integers(prop["minimum"], prop["minimum"] + 6)
    return small | small.map(float) | small | st.just(prop["maximum"])


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(list(REQUIRED)))
    properties = benchmarks.schema(name)["properties"]
    if name == JobType.QAT_OLE:
        properties = {key: prop for key, prop in properties.items() if key not in ("circuit", "qasm_path")}
    required = {key: values(prop) for key, prop in properties.items() if key in REQUIRED[name] or "const" in prop}
    optional = {key: values(prop) for key, prop in properties.items() if key not in required}
    if name == JobType.QAT_OLE:
        required["qasm"] |= st.just(QASM)
    if name == JobType.CLOPS:
        # The default is slow to build hundreds of times over.
        required["num_circuits"] = optional.pop("num_circuits")
    config: dict[str, Any] = draw(st.fixed_dictionaries(required, optional=optional))
    return config


GRAPHS = [
    rx.generators.path_graph(7),
    rx.generators.star_graph(6),
    rx.generators.complete_graph(5),
    rx.generators.grid_graph(2, 4),
    rx.generators.path_graph(1),
    rx.generators.path_graph(5).subgraph([0, 2, 4]),
]
"""Among them a device of one qubit and one without any two-qubit gate."""


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(configurations(), st.sampled_from(GRAPHS), st.integers(0, 2**64))
def test_what_the_schema_accepts_is_run_and_scored_or_refused_as_unsupported(
    config: dict[str, Any], graph: rx.PyGraph, seed: int
) -> None:
    complete, _ = validate(config)
    benchmark = benchmarks.load(complete["benchmark_name"]).from_config(complete, complete.get("seed", seed))
    device = RecordingDevice(graph.num_nodes(), graph)
    rng = np.random.default_rng(seed)
    try:
        data = benchmark.dispatch_handler(device)
    except Unsupported:
        return
    assert {shots for _, shots in device.runs} == {complete["shots"]}
    runs = [
        RunResult([uniform_counts(c.num_clbits, min(shots, 20), rng) for c in circuits], execution_seconds=0.1)
        for circuits, shots in device.runs
    ]
    stored = type(data).model_validate_json(data.model_dump_json())
    json.dumps(benchmark.poll_handler(stored, runs).record(), allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", REQUIRED)
def test_the_largest_values_allowed_are_refused_at_once_on_the_largest_device(name: JobType) -> None:
    properties = benchmarks.schema(name)["properties"]
    largest = {key: prop["maximum"] for key, prop in properties.items() if "maximum" in prop}
    config, _ = validate(minimal(name, **largest))
    if name == JobType.QAT_OLE:
        config["qasm"] = 'OPENQASM 3; include "stdgates.inc"; qubit[10000] q;' + "h q;" * 9
    with pytest.raises(Unsupported), at_most(10_000_000):
        benchmarks.load(name).from_config(config).dispatch_handler(
            RecordingDevice(10_000, rx.generators.path_graph(10_000))
        )


DIGESTS = {
    "Mirror Circuits": "ed2c5ab05a4f4eb0",
    "Quantum Volume": "ed034444b75490d7",
    "EPLG": "5111dd77593b380d",
    "CLOPS": "59faf78bc84833f4",
    "Linear Ramp QAOA": "59a1bdb17593f23e",
    "QAT OLE": "1c68727ae522c4f2",
}
"""Of the examples' circuits. A change here is a change of the benchmark: results no longer compare."""


def example_digests() -> dict[str, str]:
    found = {}
    for name in REQUIRED:
        device = RecordingDevice(10)
        config = example(name)
        benchmarks.load(name).from_config(config, config.get("seed", SEED)).dispatch_handler(device)
        found[name.value] = digest(device.circuits)
    return found


@pytest.mark.slow
def test_circuits_are_the_same_as_ever_in_this_process_and_in_another() -> None:
    code = "import json, tests.unit.test_schemas_of_device_benchmarks as t; print(json.dumps(t.example_digests()))"
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert example_digests() == DIGESTS
    assert json.loads(answer.stdout) == DIGESTS
