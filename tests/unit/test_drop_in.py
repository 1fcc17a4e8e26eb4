"""The names of metriq-gym's own library: jobs in a file, models of configurations, suites, exporters, paths."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pydantic
import pytest

from metriq_gym.benchmarks.benchmark import BenchmarkScore
from metriq_gym.benchmarks.wit import WITResult
from metriq_gym.constants import SCHEMA_MAPPING, JobType
from metriq_gym.errors import InvalidRequest, MetriqGymError, NotFound, Unsupported
from metriq_gym.exporters.cli_exporter import CliExporter
from metriq_gym.exporters.dict_exporter import DictExporter
from metriq_gym.exporters.json_exporter import JSONExporter, JsonExporter
from metriq_gym.exporters.upload_path import encode, upload_path
from metriq_gym.job_manager import JobManager, MetriqGymJob
from metriq_gym.platform import canonical_device_name, canonical_provider_name
from metriq_gym.schema_validator import (
    create_pydantic_model,
    load_and_validate,
    load_json_file,
    load_schema,
    validate_and_create_model,
)
from metriq_gym.suite_parser import BenchmarkEntry, Suite, load_suite, parse_suite_file
from metriq_gym.upload_paths import default_upload_dir, job_filename, minor_series_label, path_component, suite_filename

ARN = "arn:aws:braket:us-east-1::device/qpu/iqm/Garnet"
WIT = {"benchmark_name": "WIT", "num_qubits": 6, "shots": 100}


def job(**changes: Any) -> MetriqGymJob:
    known: dict[str, Any] = {
        "id": "one",
        "job_type": JobType.WIT,
        "params": WIT,
        "data": {"provider_job_ids": ["t1"]},
        "provider_name": "local",
        "device_name": "aer_simulator",
        "dispatch_time": datetime(2026, 8, 1, 12, 30, tzinfo=UTC),
    }
    return MetriqGymJob(**known | changes)


def line(**changes: Any) -> str:
    return json.dumps(json.loads(job().serialize()) | changes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobs.jsonl"


def test_a_job_survives_its_line() -> None:
    kept = job(result_data={"expectation_value": 0.5}, suite_id="s", runtime_seconds=1.5)

    assert MetriqGymJob.deserialize(kept.serialize()) == kept.__class__(**{**vars(kept), "provider_job_ids": []})


def test_ids_of_tasks_are_found_where_metriq_gym_keeps_them() -> None:
    text = json.loads(job().serialize())
    del text["provider_job_ids"]

    assert MetriqGymJob.deserialize(json.dumps(text)).provider_job_ids == ["t1"]


def test_a_line_without_platform_has_one_and_a_line_of_another_version_is_read() -> None:
    text = json.loads(line(provider_name="braket", device_name=ARN, new_field=1))
    del text["platform"]
    found = MetriqGymJob.deserialize(json.dumps(text))

    assert (found.provider_name, found.device_name) == ("braket", ARN)
    assert found.platform == {"provider": "aws", "device": "iqm_garnet"}


def test_provider_and_device_are_taken_from_the_platform_of_a_line_that_has_only_that() -> None:
    text = json.loads(line())
    del text["provider_name"], text["device_name"]
    found = MetriqGymJob.deserialize(json.dumps(text))

    assert (found.provider_name, found.device_name) == ("local", "aer_simulator")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{", json.JSONDecodeError),
        ("[]", TypeError),
        (line(id=None), KeyError),
        (line(job_type="No such"), ValueError),
        (line(dispatch_time="yesterday"), ValueError),
    ],
)
def test_a_line_that_holds_no_job_is_refused(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        MetriqGymJob.deserialize(text)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"num_qubits": 5}, 5),
        ({"width": 4.0}, 4),
        ({"max_qubits": 6, "qubits": 3}, 3),
        ({"num_qubits": True}, None),
        ({"num_qubits": 2.5}, None),
        ({}, None),
    ],
)
def test_a_job_says_how_many_qubits_it_asks_for(params: dict[str, Any], expected: int | None) -> None:
    assert job(params=params).num_qubits() == expected


def test_jobs_in_a_file_are_there_for_the_next_manager(file: Path) -> None:
    first = JobManager(jobs_file=file)
    assert first.add_job(job()) == "one"
    first.add_job(job(id="two", suite_id="s"))
    first.update_job(job(result_data={"expectation_value": 0.5}))
    second = JobManager(str(file))

    assert [each.id for each in second.get_jobs()] == [each.id for each in second.jobs] == ["one", "two"]
    assert second.get_job("one").result_data == {"expectation_value": 0.5}
    assert second.get_latest_job().id == "two"
    assert [each.id for each in second.get_jobs_by_suite_id("s")] == ["two"]
    second.delete_job("one")
    assert [each.id for each in JobManager(file).get_jobs()] == ["two"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_of_another_encoding_keeps_its_jobs_when_one_is_added(file: Path, encoding: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(job().serialize() + "\n", encoding=encoding)
    JobManager(jobs_file=file).add_job(job(id="two"))
    assert [each.id for each in JobManager(jobs_file=file).jobs] == ["one", "two"]


def test_a_job_of_the_same_id_is_in_the_file_once(file: Path) -> None:
    manager = JobManager(jobs_file=file)
    manager.add_job(job())
    manager.add_job(job(device_name="other"))

    assert [each.device_name for each in JobManager(file).jobs] == ["aer_simulator"]


def test_a_job_that_the_file_does_not_have_is_a_value_error(file: Path) -> None:
    manager = JobManager(jobs_file=file)
    for ask in (lambda: manager.get_job("x"), lambda: manager.delete_job("x"), lambda: manager.update_job(job())):
        with pytest.raises(ValueError, match=r"no job x|Cannot update job: job with id one"):
            ask()
    with pytest.raises(ValueError, match="no jobs yet"):
        manager.get_latest_job()
    assert not file.exists()


def test_lines_that_hold_no_job_are_told_of_and_stay_where_they_are(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = ["{", json.dumps({"id": "x"}), line(id="y", job_type="No such"), line(id="z", dispatch_time="yesterday")]
    file.write_text("\n".join([bad[0], line(), *bad[1:], "", line(id="two")]) + "\n", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        manager = JobManager(jobs_file=file)

    assert [each.id for each in manager.jobs] == ["one", "two"]
    assert [record.message.split(": ", 1)[1].split(":")[0] for record in caplog.records] == [
        "Invalid JSON at position 1",
        "Missing required field",
        "Unknown job type",
        "Invalid datetime format",
    ]
    manager.delete_job("two")
    assert file.read_text(encoding="utf-8").splitlines() == [bad[0], job().serialize(), *bad[1:]]


def test_a_file_that_cannot_be_replaced_stays_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = JobManager(jobs_file=file)
    manager.add_job(job())
    before = file.read_text(encoding="utf-8")

    def refuse(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="the disk is full"):
        manager.update_job(job(device_name="other"))
    assert file.read_text(encoding="utf-8") == before
    assert list(file.parent.iterdir()) == [file]
    assert manager.get_job("one").device_name == "aer_simulator"


def test_a_configuration_is_a_model_with_the_defaults_of_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "wit.json"
    path.write_text(json.dumps({"benchmark_name": "WIT", "num_qubits": 6.0, "unknown": 1}), encoding="utf-8")
    model: Any = load_and_validate(path)

    assert (model.benchmark_name, model.num_qubits, type(model.num_qubits)) == ("WIT", 6, int)
    assert model.shots == load_schema("WIT")["properties"]["shots"]["default"]
    assert "unknown" not in model.model_dump()


@pytest.mark.parametrize("name", list(JobType))
def test_every_schema_makes_a_model(name: JobType) -> None:
    schema = load_schema(name)

    assert create_pydantic_model(schema).model_fields.keys() == schema["properties"].keys()


def test_what_a_schema_refuses_is_an_error_of_the_standard_library_and_of_jsonschema_too() -> None:
    with pytest.raises(jsonschema.ValidationError) as refused:
        validate_and_create_model(WIT | {"shots": 0})

    assert isinstance(refused.value, InvalidRequest)
    assert isinstance(refused.value, ValueError)
    assert refused.value.problems[0].path == "$.shots"
    assert "$.shots" in str(refused.value)


@pytest.mark.parametrize("config", [{}, {"benchmark_name": "No such"}])
def test_a_configuration_of_no_benchmark_is_a_value_error(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="benchmark"):
        validate_and_create_model(config)


def test_schemas_may_come_from_another_folder(tmp_path: Path) -> None:
    schema = {"title": "Mine", "properties": {"benchmark_name": {"const": "WIT"}, "shots": {"type": "integer"}}}
    (tmp_path / SCHEMA_MAPPING[JobType.WIT]).write_text(json.dumps(schema), encoding="utf-8")

    assert load_schema("WIT", tmp_path) == schema
    assert validate_and_create_model({"benchmark_name": "WIT"}, tmp_path).model_dump()["shots"] is None
    with pytest.raises(FileNotFoundError):
        load_schema("BSEQ", tmp_path)
    with pytest.raises(FileNotFoundError):
        load_json_file(tmp_path / "absent.json")


def test_components_of_a_suite_are_selected_in_the_suites_order() -> None:
    entries = [BenchmarkEntry(name=name, component=part, config={}) for name, part in (("q4", "QFT"), ("w", None))]
    suite = Suite(name="s", benchmarks=[*entries, BenchmarkEntry(name="q8", component="qft", config={})])

    assert suite.component_names == ["QFT", "w"]
    assert [each.name for each in suite.select_components(["W", "qft"])] == ["q4", "w", "q8"]
    assert suite.select_components([]) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["x"], r"Unknown component\(s\): x. Available components: a, b"),
        (["A", "b", "a"], "Duplicate component selection: A, a"),
    ],
)
def test_components_that_cannot_be_selected_are_a_value_error(asked: list[str], said: str) -> None:
    suite = Suite(name="s", benchmarks=[BenchmarkEntry(name=name, config={}) for name in "ab"])

    with pytest.raises(ValueError, match=f"^{said}$") as refused:
        suite.select_components(asked)
    assert isinstance(refused.value, MetriqGymError)


def test_a_suite_is_parsed_as_it_stands_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"name": "s", "benchmarks": [{"name": "a", "config": {"x": 1}}]}), encoding="utf-8")

    assert parse_suite_file(path).benchmarks[0].config == {"x": 1}
    path.write_text("{", encoding="utf-8")
    with pytest.raises(json.JSONDecodeError):
        parse_suite_file(path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(pydantic.ValidationError):
        parse_suite_file(path)


@pytest.mark.parametrize("name", ["metriq_score_1_0", "metriq_score_1_0.json"])
def test_a_shipped_suite_is_known_by_its_name(name: str) -> None:
    assert parse_suite_file(name).name == load_suite(name)[0].name == "metriq_score_1_0"


def test_a_suite_that_there_is_not_is_an_error_of_the_standard_library_too() -> None:
    with pytest.raises(FileNotFoundError, match="no suite of that name") as missing:
        parse_suite_file("metriq_score_9")
    assert isinstance(missing.value, NotFound)


@pytest.mark.parametrize("kind", [NotFound, Unsupported, InvalidRequest])
def test_what_metriq_gym_raises_a_value_error_for_is_one(kind: type[MetriqGymError]) -> None:
    assert issubclass(kind, ValueError)


RESULT = WITResult(expectation_value=BenchmarkScore(0.5, 0.05))


def test_exporters_export_one_record(tmp_path: Path) -> None:
    record = DictExporter(job(), RESULT).export()

    assert record["results"]["expectation_value"] == {"value": 0.5, "uncertainty": 0.05}
    assert JsonExporter is JSONExporter
    assert JsonExporter(job(), RESULT).export(tmp_path / "r.json").read_bytes() == encode(record)
    assert JsonExporter(job(), RESULT).as_dict() == record


def test_a_record_as_a_dictionary_is_the_callers_own() -> None:
    exporter = DictExporter(job(), RESULT)
    exporter.export()["results"].clear()

    assert exporter.export()["results"]


def test_a_record_is_printed_with_its_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    CliExporter(job(), RESULT).export()
    printed = capsys.readouterr().out

    assert json.loads(printed.partition("\nResults:")[0])["job_type"] == "WIT"
    assert "  expectation_value: 0.5 ± 0.05\n" in printed

    CliExporter(job(), WITResult(expectation_value=BenchmarkScore(0.5))).export()
    printed = capsys.readouterr().out
    assert "  expectation_value: 0.5\n" in printed
    assert "±" not in printed


def test_the_dataset_calls_amazons_devices_by_maker_and_model() -> None:
    assert canonical_provider_name(" Braket ") == canonical_provider_name("AWS") == "aws"
    assert canonical_device_name("braket", ARN) == canonical_device_name("aws", "iqm_garnet") == "iqm_garnet"
    assert canonical_provider_name("IBM") == "IBM"
    assert canonical_device_name("IBM", " ibm_fez ") == "ibm_fez"


@pytest.mark.parametrize(
    ("version", "label"), [("0.3.1.dev0", "v0.3"), ("1.0", "v1.0"), ("12.34.5", "v12.34"), ("unknown", "vunknown")]
)
def test_versions_of_a_series_share_a_label(version: str, label: str) -> None:
    assert minor_series_label(version) == label


@pytest.mark.parametrize(
    ("name", "part"),
    [("My Provider", "my_provider"), ("a//b", "a_b"), (None, "unknown"), ("..", "__"), (" x ", "x"), (".git", "_git")],
)
def test_a_name_becomes_a_component_of_a_path(name: str | None, part: str) -> None:
    assert path_component(name) == part


def test_folder_and_name_of_an_upload_are_those_of_the_exporters() -> None:
    record = DictExporter(job(app_version="0.8.0"), RESULT).export()
    path = f"{default_upload_dir('0.8.0', 'local', 'aer_simulator')}/{job_filename(job(), payload=record)}"

    assert path == upload_path(record, encode(record))
    assert default_upload_dir("0.8.0", "braket", ARN) == "metriq-gym/v0.8/aws/iqm_garnet"


def test_names_of_files_without_a_payload_have_no_digest() -> None:
    at = datetime(2026, 8, 1, 12, 30, tzinfo=UTC)

    assert job_filename(job()) == "2026-08-01_12-30-00_wit.json"
    assert suite_filename("My Suite", at) == "2026-08-01_12-30-00_my_suite.json"
    assert suite_filename(None, at) == "2026-08-01_12-30-00_suite.json"
    assert suite_filename("s").endswith("_s.json")
    assert suite_filename("s", at, payload=[1]) != suite_filename("s", at, payload=[2])
