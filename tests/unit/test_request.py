"""Whatever bytes are published as a request, they are accepted or refused with reasons, under one and the same id."""

from __future__ import annotations

import json
from typing import Any

import bson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metriq_gym.bus.identity import MAX_READ, Request, job_of, read_request
from metriq_gym.bus.port import Delivery
from metriq_gym.errors import InvalidRequest
from metriq_gym.wording import MOST
from services.dispatcher.request import asked_for, check
from tests.support.work import at_most

LIMIT = 2**20
VALID = {"provider": "local", "device": "aer_simulator", "config": {"benchmark_name": "WIT"}}


def delivery(body: Any, message_id: str | None = None) -> Delivery:
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery("job.requested", encoded, message_id=message_id)


def request(body: Any) -> Request:
    return read_request(delivery(body))


def problems(body: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        check(request(body), LIMIT)
    return {problem.path: problem.message for problem in caught.value.problems}


class TestIdentify:
    def test_the_body_names_the_job_before_the_message_does(self) -> None:
        assert read_request(delivery({"job_id": "a"}, "b")).job_id == "a"
        assert read_request(delivery({}, "b")).job_id == "b"

    def test_an_id_that_could_be_a_path_is_never_used(self) -> None:
        for bad in ("../x", "/etc/passwd", "", "a/b", "a\0b", ".hidden", "x" * 129, "a\n"):
            assert read_request(delivery({"job_id": bad}, bad)).job_id.startswith("request-")

    def test_a_body_that_would_take_gigabytes_to_parse_is_named_unread(self) -> None:
        huge = b'{"job_id": "a", "x": [' + b"[]," * (MAX_READ // 3) + b"1]}"
        assert read_request(delivery(huge, "b")).job_id == "b"

    def test_only_a_request_has_a_job_that_it_does_not_name(self) -> None:
        for routing_key, unnamed in (("job.requested", "b"), ("job.completed", None), ("suite.requested", None)):
            assert job_of(Delivery(routing_key, b"{}", message_id="b")) == unnamed
            assert job_of(Delivery(routing_key, b'{"job_id": "a"}', message_id="b")) == "a"

    @given(st.binary(max_size=200))
    def test_the_same_bytes_always_have_the_same_usable_id(self, body: bytes) -> None:
        job_id = read_request(delivery(body)).job_id
        assert job_id == read_request(delivery(body)).job_id
        assert "/" not in job_id
        assert 0 < len(job_id) <= 128


class TestAskedFor:
    def test_what_a_refused_request_asked_for_is_kept(self) -> None:
        refused: dict[str, Any] = {
            "provider": "local",
            "device": "fake_manilla",
            "config": {"benchmark_name": "WITT", "shots": -1},
            "tags": ["nightly", 7],
        }
        asked = {
            "tags": ["nightly"],
            "provider": "local",
            "device": "fake_manilla",
            "target": "fake_manilla",
            "benchmark_name": "WITT",
        }
        assert asked_for(request(refused)) == asked

    def test_of_a_suite_its_name_is_kept(self) -> None:
        refused = {"provider": "ibm", "device": "any", "suite": {"name": "tonight", "benchmarks": 7}}
        assert asked_for(request(refused))["suite_name"] == "tonight"

    names = st.dictionaries(st.sampled_from(["benchmark_name", "name"]), st.text())
    fields = st.sampled_from(["provider", "device", "config", "suite", "suite_name", "tags"])

    @given(
        st.binary(max_size=100)
        | st.dictionaries(fields, st.none() | st.integers() | st.text() | names | st.lists(st.text() | st.none()))
    )
    def test_whatever_a_request_says_what_is_kept_is_a_short_printable_line(self, body: Any) -> None:
        found = asked_for(request(body))
        for text in [*found.pop("tags", []), *found.values()]:
            assert text.isprintable()
            assert len(text) <= 1000

    def test_a_long_name_is_kept_in_short(self) -> None:
        assert len(asked_for(request({"provider": "x" * 10_000}))["provider"]) < 300


class TestCheck:
    def test_defaults_are_applied_and_unknown_keys_are_reported(self) -> None:
        checked = check(request({**VALID, "config": {"benchmark_name": "WIT", "shotss": 5}}), LIMIT)
        assert checked.config["shots"] == 1000
        (warning,) = checked.warnings
        assert warning.path == "$.config.shotss"
        assert "did you mean 'shots'" in warning.message

    def test_an_unknown_key_is_no_parameter_of_the_job(self) -> None:
        checked = check(request({**VALID, "config": {"benchmark_name": "WIT", "shotss": 5, "note": "mine"}}), LIMIT)
        assert checked.config == {"benchmark_name": "WIT", "num_qubits": 6, "shots": 1000}

    def test_fields_of_a_later_version_are_ignored(self) -> None:
        assert check(request({**VALID, "colour": "blue"}), LIMIT).message.provider == "local"

    def test_every_problem_is_listed_by_its_path(self) -> None:
        body = {"job_id": "a/b", "provider": 3, "config": {"benchmark_name": "WIT", "num_qubits": 9, "shots": 0}}
        assert set(problems(body)) == {
            "$.job_id",
            "$.provider",
            "$.device",
            "$.config.num_qubits",
            "$.config.shots",
        }

    def test_an_unknown_benchmark_is_met_with_a_hint(self) -> None:
        assert (
            "did you mean 'WIT'" in problems({**VALID, "config": {"benchmark_name": "WITT"}})["$.config.benchmark_name"]
        )

    @pytest.mark.parametrize(
        ("value", "path"),
        [
            (2**63, "$.config.x"),
            (-(2**63) - 1, "$.config.x"),
            ({"a\0b": 1}, "$.config.x.'a\\x00b'"),
            ([{"y": 2**64}], "$.config.x[0].y"),
            ({"$ref": "jobs", "$id": 1}, "$.config.x.$ref"),
        ],
    )
    def test_what_no_document_can_hold_is_refused_where_it_stands(self, value: Any, path: str) -> None:
        assert path in problems({**VALID, "config": {"benchmark_name": "WIT", "x": value}})

    def test_a_body_over_the_limit_is_refused_unread(self) -> None:
        assert "at most 1,048,576" in problems(b"x" * (LIMIT + 1))["$"]

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "config",
        [
            {"benchmark_name": "WIT", "x" * 50_000: [2**64] * 20_000},
            {"benchmark_name": "Linear Ramp QAOA", "qaoa_layers": ["a"] * 200_000},
            {"benchmark_name": "EPLG", "lengths": [*range(50_000), {}]},
            {"benchmark_name": "EPLG", "lengths": [{}] * 50_000},
        ],
        ids=["long path", "long list", "almost valid list", "list of what cannot be sorted"],
    )
    def test_a_million_mistakes_cost_little_and_give_a_short_list(self, config: dict[str, Any]) -> None:
        with at_most(5_000_000):
            found = problems({**VALID, "config": config})
        assert 0 < len(found) <= MOST + 1
        assert sum(len(path) + len(message) for path, message in found.items()) < 100_000

    @pytest.mark.slow
    def test_a_million_unknown_keys_cost_little_and_are_not_all_named(self) -> None:
        many = {"benchmark_name": "WIT", **dict.fromkeys(map(str, range(50_000)))}
        with at_most(5_000_000):
            checked = check(request({**VALID, "config": many}), LIMIT)
        assert len(checked.warnings) == MOST + 1

    @pytest.mark.parametrize("depth", [60, 150, 100_000])
    def test_deep_nesting_is_refused(self, depth: int) -> None:
        nested = b"[" * depth + b"]" * depth
        body = json.dumps(VALID).encode()[:-1] + b', "extra": ' + nested + b"}"
        assert problems(body)

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )

    @pytest.mark.slow
    @given(st.dictionaries(st.sampled_from(["job_id", "provider", "device", "config", "suite_id", "x"]), json_values))
    @example({"config": {"benchmark_name": "WIT", "shots": float("nan")}})
    @example({**VALID, "config": {"benchmark_name": "WIT", "\ud800": "\udfff"}})
    @example({**VALID, "config": {"benchmark_name": "BSEQ", "shots": 1e308}})
    def test_any_document_is_refused_with_reasons_or_can_be_stored(self, body: dict[str, Any]) -> None:
        try:
            checked = check(request(body), LIMIT)
        except InvalidRequest:
            assert all(path.startswith("$") and message for path, message in problems(body).items())
        else:
            bson.encode(checked.config)

    @given(st.binary(max_size=300))
    def test_any_bytes_are_refused_with_reasons(self, body: bytes) -> None:
        assert problems(body)
