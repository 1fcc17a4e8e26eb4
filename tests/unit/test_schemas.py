"""Configurations: defaults, bounds, hints, and that whatever a schema lets through can be run or is refused."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from metriq_gym import benchmarks
from metriq_gym.constants import SCHEMA_MAPPING, JobType
from metriq_gym.errors import InvalidRequest, Unsupported
from metriq_gym.schema_validator import MAX_ITEMS, load_json_file, seed_of, validate
from tests.support.devices import RecordingDevice, uniform_counts
from tests.support.digest import digest

NAMES = [
    JobType.BSEQ,
    JobType.QML_KERNEL,
    JobType.WIT,
    JobType.BERNSTEIN_VAZIRANI,
    JobType.PHASE_ESTIMATION,
    JobType.HIDDEN_SHIFT,
    JobType.QUANTUM_FOURIER_TRANSFORM,
]
REQUIRED = {JobType.QML_KERNEL: {"num_qubits": 4}}


def example(name: JobType) -> dict[str, Any]:
    file = SCHEMA_MAPPING[name].replace(".schema.", ".example.")
    return validate(load_json_file(Path(str(files("metriq_gym") / "schemas" / "examples" / file))))[0]


def minimal(name: JobType, **more: Any) -> dict[str, Any]:
    return {"benchmark_name": name.value, **REQUIRED.get(name, {}), **more}


def problems(config: object) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as refused:
        validate(config)
    return {problem.path: problem.message for problem in refused.value.problems}


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_valid_without_warnings_and_runs_on_a_laptop_sized_device(name: JobType) -> None:
    config = example(name)
    assert validate(config)[1] == []
    device = RecordingDevice(10)
    benchmarks.load(name).from_config(config).dispatch_handler(device)
    assert max(circuit.num_qubits for circuit in device.circuits) <= 10


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_described_bounded_and_known_to_the_benchmark(name: JobType) -> None:
    schema = benchmarks.schema(name)
    assert schema["$id"] == f"metriq-gym/{SCHEMA_MAPPING[name]}"
    assert schema["properties"]["benchmark_name"]["const"] == name
    fields = benchmarks.load(name).params_type.__dataclass_fields__  # type: ignore[attr-defined]
    assert set(fields) == set(schema["properties"]) - {"benchmark_name"}
    for key, prop in schema["properties"].items():
        assert prop["description"], key
        if prop.get("type") == "integer":
            assert {"enum", "const"} & set(prop) or {"minimum", "maximum"} <= set(prop), key


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        (JobType.BSEQ, {"shots": 1000}),
        (JobType.WIT, {"num_qubits": 6, "shots": 1000}),
        (JobType.QML_KERNEL, {"num_qubits": 4, "shots": 1000}),
        (
            JobType.BERNSTEIN_VAZIRANI,
            {"shots": 1000, "min_qubits": 2, "max_qubits": 6, "skip_qubits": 1, "max_circuits": 3, "method": 1},
        ),
        (
            JobType.PHASE_ESTIMATION,
            {
                "shots": 1000,
                "min_qubits": 3,
                "max_qubits": 6,
                "skip_qubits": 1,
                "max_circuits": 3,
                "method": 1,
                "use_midcircuit_measurement": False,
            },
        ),
        (
            JobType.HIDDEN_SHIFT,
            {"shots": 1000, "min_qubits": 2, "max_qubits": 6, "skip_qubits": 1, "max_circuits": 3, "method": 1},
        ),
        (
            JobType.QUANTUM_FOURIER_TRANSFORM,
            {
                "shots": 1000,
                "num_qubits": 5,
                "max_circuits": 3,
                "method": 1,
                "use_midcircuit_measurement": False,
            },
        ),
    ],
)
def test_defaults_are_applied(name: JobType, defaults: dict[str, Any]) -> None:
    assert validate(minimal(name)) == ({"benchmark_name": name.value, **defaults}, [])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shots", [0, -1, 1_000_001, 1.5, "10", True, None])
def test_a_wrong_number_of_shots_is_refused_at_its_path(name: JobType, shots: object) -> None:
    assert list(problems(minimal(name, shots=shots))) == ["$.shots"]


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        (JobType.WIT, "num_qubits", 5),
        (JobType.QML_KERNEL, "num_qubits", 1),
        (JobType.BSEQ, "max_colors", 0),
        (JobType.BERNSTEIN_VAZIRANI, "method", 3),
        (JobType.BERNSTEIN_VAZIRANI, "max_circuits", 10**9),
        (JobType.PHASE_ESTIMATION, "min_qubits", 2),
        (JobType.HIDDEN_SHIFT, "method", 2),
        (JobType.QUANTUM_FOURIER_TRANSFORM, "use_midcircuit_measurement", 1),
    ],
)
def test_a_value_out_of_bounds_is_refused_at_its_path(name: JobType, key: str, value: object) -> None:
    assert list(problems(minimal(name, **{key: value}))) == [f"$.{key}"]


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        (JobType.BERNSTEIN_VAZIRANI, {"input_value": 1}),
        (JobType.HIDDEN_SHIFT, {"input_value": 1}),
        (JobType.QUANTUM_FOURIER_TRANSFORM, {"input_value": 1}),
        (JobType.PHASE_ESTIMATION, {"init_phase": 0.25}),
    ],
)
def test_a_fixed_secret_requires_one_circuit_per_width(name: JobType, fixed: dict[str, Any]) -> None:
    assert list(problems(minimal(name, **fixed))) == ["$.max_circuits"]
    validate(minimal(name, **fixed, max_circuits=1))


def test_a_missing_required_parameter_is_named() -> None:
    assert "'num_qubits' is a required property" in problems({"benchmark_name": "QML Kernel"})["$"]


def test_all_problems_are_listed_at_once() -> None:
    config = minimal(JobType.BERNSTEIN_VAZIRANI, shots=0, method="x", min_qubits=1)
    assert list(problems(config)) == ["$.method", "$.min_qubits", "$.shots"]


@pytest.mark.parametrize(("key", "hint"), [("num_shots", "shots"), ("max_color", "max_colors")])
def test_an_unknown_key_is_left_out_with_a_hint(key: str, hint: str) -> None:
    config, warnings = validate(minimal(JobType.BSEQ, **{key: 5}))
    assert key not in config
    [warning] = warnings
    assert warning.path == f"$.{key}"
    assert f"did you mean '{hint}'?" in warning.message


def test_an_unknown_benchmark_gets_a_hint() -> None:
    assert "did you mean 'Hidden Shift'?" in problems({"benchmark_name": "Hiden Shift"})["$.benchmark_name"]


def test_a_whole_number_written_as_a_float_is_that_integer() -> None:
    config = validate(json.loads('{"benchmark_name": "WIT", "num_qubits": 7.0, "shots": 1e3}'))[0]
    assert repr(config["num_qubits"]) == "7"
    assert repr(config["shots"]) == "1000"


def test_not_a_number_is_refused() -> None:
    config = json.loads('{"benchmark_name": "Phase Estimation", "init_phase": NaN, "max_circuits": 1}')
    assert problems(config) == {"$.init_phase": "must be a finite number"}


def values(prop: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Mostly small values, sometimes the largest ones the schema allows."""
    if "const" in prop:
        return st.just(prop["const"])
    if "enum" in prop:
        return st.sampled_from(prop["enum"])
    if prop["type"] == "boolean":
        return st.booleans()
    if prop["type"] == "number":
        return st.floats(0, 1, exclude_max=True) | st.sampled_from([0.125, 0.1, 5e-324])
    small = st.integers(prop["minimum"], prop["minimum"] + 6)
    return small | small.map(float) | small | st.just(prop["maximum"])


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(NAMES))
    schema = benchmarks.schema(name)
    required = {key: values(prop) for key, prop in schema["properties"].items() if key in schema["required"]}
    optional = {key: values(prop) for key, prop in schema["properties"].items() if key not in required}
    config: dict[str, Any] = draw(st.fixed_dictionaries(required, optional=optional))
    if set(config) & {"input_value", "init_phase"}:
        config["max_circuits"] = 1
    return config


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(configurations(), st.integers(1, 8), st.integers(0, 2**64))
def test_what_the_schema_accepts_is_run_and_scored_or_refused_with_a_reason(
    config: dict[str, Any], num_qubits: int, seed: int
) -> None:
    complete, _ = validate(config)
    benchmark = benchmarks.load(complete["benchmark_name"]).from_config(complete, seed)
    device = RecordingDevice(num_qubits)
    rng = np.random.default_rng(seed)
    try:
        result = device.score_with(
            benchmark,
            lambda circuits, shots: [uniform_counts(c.num_clbits, min(shots, 20), rng) for c in circuits],
        )
    except Unsupported:
        return
    json.dumps(result.record(), allow_nan=False)
    assert result.compute_score().value >= 0
    assert {shots for _, shots in device.runs} == {complete["shots"]}


@pytest.mark.parametrize("name", NAMES)
def test_the_largest_values_allowed_are_refused_at_once_on_the_largest_device(name: JobType) -> None:
    properties = benchmarks.schema(name)["properties"]
    largest = {key: prop["maximum"] for key, prop in properties.items() if "maximum" in prop}
    largest.pop("input_value", None)
    config, _ = validate(minimal(name, **largest))
    benchmark = benchmarks.load(name).from_config(config)
    if name in {JobType.WIT, JobType.BSEQ}:
        benchmark.dispatch_handler(RecordingDevice(7))
    else:
        with pytest.raises(Unsupported):
            benchmark.dispatch_handler(RecordingDevice(9_999))


def example_digests() -> dict[str, str]:
    found = {}
    for name in NAMES:
        device = RecordingDevice(10)
        benchmarks.load(name).from_config(example(name), seed=3).dispatch_handler(device)
        found[name.value] = digest(device.circuits)
    return found


@pytest.mark.slow
def test_another_process_builds_the_same_circuits() -> None:
    code = "import json, tests.unit.test_schemas as t; print(json.dumps(t.example_digests()))"
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == example_digests()


@pytest.mark.parametrize("seed", ["x", -1, 1.5, True, None, [1]])
def test_only_a_seed_that_the_schema_knows_decides_the_circuits(seed: Any) -> None:
    assert seed_of(validate({"benchmark_name": "WIT", "seed": seed})[0]) is None
    assert seed_of(validate({"benchmark_name": "WIT", "seed": 5})[0]) is None
    assert seed_of(validate({"benchmark_name": "Mirror Circuits", "seed": 5})[0]) == 5
    assert seed_of(validate({"benchmark_name": "Mirror Circuits"})[0]) is None


@pytest.mark.slow
def test_a_list_that_a_third_partys_schema_does_not_bound_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telling whether the entries of a list are unique may take time that grows with the square of their number."""
    pairs = {"type": "array", "uniqueItems": True}
    bounded = pairs | {"maxItems": 3000}
    schema = {"properties": {"a": pairs, "b": bounded, "c": {"items": pairs}, "d": True, "e": {"items": True}}}
    monkeypatch.setattr(benchmarks, "schema", lambda _: schema)
    many: list[Any] = [{"x": n} for n in range(MAX_ITEMS + 1)]
    said = "has 1,001 entries; at most 1,000 are accepted"
    config = {"benchmark_name": "theirs", "a": many, "b": many, "c": [[], many], "unknown": {"deep": many}}
    assert problems(config) == {"$.a": said, "$.c[1]": said, "$.unknown.deep": said}
    fitting = {"benchmark_name": "theirs", "a": many[:-1], "b": many, "d": 1, "e": [1.0]}
    assert validate(fitting)[0] == fitting
