"""Suites: the shipped ones, what is refused and where, selection, requests and progress."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metriq_gym.bus.identity import read_request
from metriq_gym.bus.port import Delivery
from metriq_gym.errors import InvalidRequest, NotFound
from metriq_gym.jobs import Export, ExportState, Job, JobState
from metriq_gym.jobs.suite_progress import summarise
from metriq_gym.messages import JobRequested
from metriq_gym.schema_validator import validate
from metriq_gym.suite_parser import MAX_BENCHMARKS, Suite, load_suite, parse_suite, select, shipped
from services.dispatcher.suites import fan_out

WIT = {"benchmark_name": "WIT", "num_qubits": 7}


def suite(*names: str, **more: Any) -> dict[str, Any]:
    return {"name": "mine", "benchmarks": [{"name": name, "config": WIT} for name in names], **more}


def problems(refused: pytest.ExceptionInfo[InvalidRequest]) -> dict[str, str]:
    return {problem.path: problem.message for problem in refused.value.problems}


def score_1_0() -> Suite:
    return load_suite("metriq_score_1_0")[0]


class TestShipped:
    @pytest.mark.parametrize("name", shipped())
    def test_it_is_valid_and_has_no_key_without_a_meaning(self, name: str) -> None:
        found, warnings = load_suite(name)
        assert found.name == name
        assert warnings == []

    def test_both_are_there(self) -> None:
        assert shipped() == ["lr_qaoa", "metriq_score_1_0"]

    def test_metriq_score_has_the_22_benchmarks_of_its_specification(self) -> None:
        assert Counter(each.component_name for each in score_1_0().benchmarks) == {
            "BSEQ": 1,
            "EPLG": 1,
            "Mirror Circuits": 6,
            "CLOPS": 1,
            "QML Kernel": 4,
            "WIT": 1,
            "LR-QAOA": 4,
            "QFT": 4,
        }

    def test_metriq_score_has_the_parameters_of_its_specification(self) -> None:
        parts: dict[str, list[dict[str, Any]]] = {}
        for each in score_1_0().benchmarks:
            parts.setdefault(each.config["benchmark_name"], []).append(each.config)
        mirrors = parts["Mirror Circuits"]
        sizes = [(8, 64), (16, 32), (24, 16), (32, 8), (64, 4), (128, 2)]
        assert [(each["width"], each["num_layers"]) for each in mirrors] == sizes
        fixed = {
            "shots": 1000,
            "num_circuits": 10,
            "two_qubit_gate_name": "CNOT",
            "two_qubit_gate_prob": 0.5,
        }
        assert all(each.items() >= fixed.items() for each in mirrors)
        [eplg] = parts["EPLG"]
        assert eplg["lengths"] == [2, 4, 8, 16, 30, 50, 70, 100, 150, 200, 300, 500]
        assert (eplg["num_qubits_in_chain"], eplg["num_samples"], eplg["shots"]) == (100, 10, 1000)
        [clops] = parts["CLOPS"]
        size = (clops["num_qubits"], clops["num_layers"], clops["num_circuits"], clops["shots"])
        assert size == (100, 100, 1000, 100)
        assert (clops["mode"], clops["use_session"]) == ("twirled", True)
        assert [each["num_qubits"] for each in parts["QML Kernel"]] == [10, 20, 30, 50]
        assert [(each["num_qubits"], each["shots"]) for each in parts["WIT"]] == [(7, 8192)]
        ramps = parts["Linear Ramp QAOA"]
        assert [each["num_qubits"] for each in ramps] == [10, 20, 50, 100]
        fixed = {
            "graph_type": "1D",
            "qaoa_layers": [10],
            "delta_beta": 0.3,
            "delta_gamma": 0.6,
            "shots": 1000,
            "trials": 10,
            "num_random_trials": 25,
            "confidence_level": 0.999,
            "seed": 123,
        }
        assert all(each.items() >= fixed.items() for each in ramps)
        transforms = parts["Quantum Fourier Transform"]
        assert [each["num_qubits"] for each in transforms] == [4, 8, 12, 20]
        assert all((each["method"], each["max_circuits"]) == (1, 3) for each in transforms)

    def test_a_misspelt_name_is_told_the_right_one(self) -> None:
        with pytest.raises(NotFound, match="did you mean 'lr_qaoa'"):
            load_suite("lr-qaoa")


class TestParsing:
    def test_a_file_is_read_and_its_configurations_are_complete(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.json"
        path.write_text(json.dumps(suite("a", version="2", references=["https://example.org"])))
        found, warnings = load_suite(path)
        assert (found.name, found.version, found.references) == ("mine", "2", ["https://example.org"])
        assert [each.config for each in found.benchmarks] == [validate(WIT)[0]]
        assert warnings == []

    def test_a_file_that_is_not_json_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.json"
        path.write_text("{")
        with pytest.raises(InvalidRequest, match="not JSON"):
            load_suite(path)

    def test_everything_wrong_is_listed_with_its_path(self) -> None:
        document = {
            "version": 1.0,
            "benchmarks": [
                {"name": "a", "config": WIT | {"shots": 0, "num_qubits": 8}},
                {"name": "a", "config": {"benchmark_name": "WITT"}},
                {"name": "", "component": 7},
                "b",
            ],
        }
        with pytest.raises(InvalidRequest) as refused:
            parse_suite(document)
        assert set(problems(refused)) == {
            "$.name",
            "$.version",
            "$.benchmarks[0].config.shots",
            "$.benchmarks[0].config.num_qubits",
            "$.benchmarks[1].name",
            "$.benchmarks[1].config.benchmark_name",
            "$.benchmarks[2].name",
            "$.benchmarks[2].component",
            "$.benchmarks[2].config",
            "$.benchmarks[3]",
        }
        assert "name of $.benchmarks[0] already" in problems(refused)["$.benchmarks[1].name"]
        assert "did you mean 'WIT'?" in problems(refused)["$.benchmarks[1].config.benchmark_name"]

    @pytest.mark.parametrize("count", [0, MAX_BENCHMARKS + 1])
    def test_a_suite_has_at_least_one_benchmark_and_not_too_many(self, count: int) -> None:
        with pytest.raises(InvalidRequest) as refused:
            parse_suite(suite(*map(str, range(count))))
        assert set(problems(refused)) == {"$.benchmarks"}

    def test_keys_without_a_meaning_are_warnings_with_hints(self) -> None:
        document = suite("a", full_suite_warnings="Costly.")
        document["benchmarks"][0] |= {"weight": 0.4, "config": WIT | {"shot": 5}}
        warnings = {each.path: each.message for each in parse_suite(document)[1]}
        assert set(warnings) == {
            "$.full_suite_warnings",
            "$.benchmarks[0].weight",
            "$.benchmarks[0].config.shot",
        }
        assert "did you mean 'full_suite_warning'?" in warnings["$.full_suite_warnings"]
        assert "did you mean 'shots'?" in warnings["$.benchmarks[0].config.shot"]

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "benchmarks", "config", "component", "references", "x"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )

    @given(json_values)
    def test_whatever_the_document_it_is_a_suite_or_refused_with_paths(self, document: object) -> None:
        with pytest.raises(InvalidRequest) as refused:  # no configuration among these is valid
            parse_suite(document, "$.suite")
        assert refused.value.problems
        assert all(path.startswith("$.suite") for path in problems(refused))


class TestSelection:
    @pytest.mark.parametrize(
        "wanted", [["Mirror Circuits"], ["mirror circuits"], ["mirror-circuits"], ["MIRROR_CIRCUITS"]]
    )
    def test_a_component_is_selected_however_it_is_written(self, wanted: list[str]) -> None:
        assert [each.component_name for each in select(score_1_0(), wanted)] == ["Mirror Circuits"] * 6

    def test_several_components_come_once_each_in_the_suites_order(self) -> None:
        chosen = select(score_1_0(), ["wit", "BSEQ", "wit"])
        assert [each.component_name for each in chosen] == ["BSEQ", "WIT"]

    def test_a_benchmark_without_a_component_is_selected_by_its_name(self) -> None:
        assert [each.name for each in select(load_suite("lr_qaoa")[0], ["fc"])] == ["FC"]

    def test_unknown_components_are_named_with_those_there_are(self) -> None:
        with pytest.raises(InvalidRequest) as refused:
            select(score_1_0(), ["BSEQ", "mirror circuit", "x"])
        assert set(problems(refused)) == {"$.components[1]", "$.components[2]"}
        assert "did you mean 'mirror-circuits'?" in problems(refused)["$.components[1]"]
        assert "there are: BSEQ, EPLG, Mirror Circuits, CLOPS" in problems(refused)["$.components[2]"]

    def test_a_costly_suite_is_dispatched_whole_only_on_purpose(self) -> None:
        with pytest.raises(InvalidRequest) as refused:
            select(score_1_0())
        assert "22 jobs" in problems(refused)["$.all"]
        assert len(select(score_1_0(), all=True)) == 22

    def test_a_suite_without_a_warning_is_dispatched_whole_as_it_is(self) -> None:
        assert [each.name for each in select(load_suite("lr_qaoa")[0])] == ["1D", "NL", "FC"]


def delivery(body: object, message_id: str | None = None) -> Delivery:
    return Delivery("suite.requested", json.dumps(body).encode(), message_id=message_id)


def requests(body: dict[str, Any], suite_id: str = "s") -> list[JobRequested]:
    asked = {"suite_id": suite_id, "provider": "local", "device": "d", **body}
    return fan_out(read_request(delivery(asked)), 2**20)


class TestFanOut:
    def test_a_suites_compilation_is_that_of_each_of_its_jobs(self) -> None:
        found = requests({"suite": suite("one", "two"), "compilation": 3})
        assert [each.compilation for each in found] == ["3", "3"]

    def test_jobs_share_the_suite_and_are_named_by_position_and_name(self) -> None:
        found = requests({"suite": suite("one", "two words", "three")})
        assert [each.job_id for each in found] == ["s.001-one", "s.002-two-words", "s.003-three"]
        assert {(each.suite_id, each.suite_name, each.suite_size) for each in found} == {("s", "mine", 3)}
        assert {(each.provider, each.device) for each in found} == {("local", "d")}
        assert all(each.config == validate(WIT)[0] for each in found)

    def test_a_job_is_called_the_same_when_only_some_are_selected(self) -> None:
        every, some = suite("a", "b", "c"), requests({"suite": suite("a", "b", "c"), "components": ["c"]})
        assert [each.job_id for each in some] == [requests({"suite": every})[2].job_id]
        assert some[0].suite_size == 1

    names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200)

    @given(st.lists(names, min_size=1, max_size=5, unique=True))
    def test_any_names_give_valid_ids_that_differ(self, names: list[str]) -> None:
        found = requests({"suite": suite(*names)}, "s" * 100)
        assert len({each.job_id for each in found}) == len(names)

    def test_all_errors_are_listed_by_path(self) -> None:
        bad = suite("a", "a")
        bad["benchmarks"][0]["config"] = {"benchmark_name": "WIT", "shots": 0}
        with pytest.raises(InvalidRequest) as refused:
            requests({"suite": bad, "device": 7, "suite_id": "../x"})
        assert set(problems(refused)) == {
            "$.device",
            "$.suite_id",
            "$.suite.benchmarks[0].config.shots",
            "$.suite.benchmarks[1].name",
        }

    @pytest.mark.parametrize("body", [{}, {"suite": None}, {"suite": []}, {"suite": {}}])
    def test_a_request_without_a_suite_says_so(self, body: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequest) as refused:
            requests(body)
        assert all(path.startswith("$.suite") for path in problems(refused))

    def test_a_costly_suite_needs_its_confirmation(self) -> None:
        costly = suite("a", full_suite_warning="Costly.")
        with pytest.raises(InvalidRequest) as refused:
            requests({"suite": costly})
        assert list(problems(refused)) == ["$.all"]
        assert len(requests({"suite": costly, "all": True})) == 1

    @pytest.mark.parametrize(
        ("body", "message_id", "expected"),
        [
            ({"suite_id": "mine"}, "m", "mine"),
            ({}, "m", "m"),
            ({"suite_id": "x" * 101}, "m", "m"),
            ({"suite_id": 7}, None, None),
        ],
    )
    def test_a_suite_is_named_by_its_id_its_message_or_its_bytes(
        self, body: dict[str, Any], message_id: str | None, expected: str | None
    ) -> None:
        found = read_request(delivery(body, message_id)).suite_id
        assert found == (expected or read_request(delivery(body)).suite_id)
        assert expected or str(found).startswith("request-")


def job(state: JobState, size: int | None = 4, held: str | None = None, attempts: int | None = None) -> Job:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    exports = {} if attempts is None else {"github": Export(state=ExportState.PENDING, attempts=attempts, at=now)}
    of_suite = {"suite_id": "s", "suite_size": size, "exports": exports}
    return Job.model_validate(
        {"_id": "j", "state": state, "held": held, "created_at": now, "updated_at": now} | of_suite
    )


class TestProgress:
    def test_jobs_are_counted_by_state_and_unseen_ones_are_not_forgotten(self) -> None:
        progress = summarise([job(JobState.EXPORTED), job(JobState.FAILED), job(JobState.DISPATCHED)])
        assert progress.states == {JobState.EXPORTED: 1, JobState.FAILED: 1, JobState.DISPATCHED: 1}
        assert (progress.ended, progress.size, progress.done) == (2, 4, False)

    def test_it_is_done_when_every_job_has_ended_one_way_or_another(self) -> None:
        ends = [JobState.EXPORTED, JobState.FAILED, JobState.REJECTED, JobState.CANCELLED]
        assert summarise([job(state) for state in ends]).done

    def test_a_rejected_suite_is_done(self) -> None:
        assert summarise([job(JobState.REJECTED, None)]).done

    def test_it_is_settled_when_nothing_moves_on_without_an_operator(self) -> None:
        held = job(JobState.DISPATCHING, held="look")
        ended = [job(JobState.EXPORTED), job(JobState.FAILED)]
        assert not summarise([held, *ended]).settled  # one has not been seen yet
        assert not summarise([held, *ended, job(JobState.DISPATCHED)]).settled
        for exporting in (job(JobState.SCORED), job(JobState.SCORED, attempts=1)):
            assert not summarise([held, *ended, exporting]).settled
        for last in (held, job(JobState.SCORED, attempts=0), job(JobState.EXPORTED)):
            progress = summarise([held, *ended, last])
            assert (progress.settled, progress.done) == (True, False)
        assert not summarise([*ended, *ended[:1], job(JobState.SCORED, attempts=0)]).settled
