"""Messages survive the wire, old readers survive new messages, and identifiers are safe."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from metriq_gym.bus.port import QUEUES
from metriq_gym.errors import InvalidRequest
from metriq_gym.messages import MESSAGES, JobDispatched, JobRequested, Message, SuiteRequested

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}", fullmatch=True)
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=200)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)  # fmt: skip
finite = st.floats(allow_nan=False, allow_infinity=False)
documents = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=10), json_values, max_size=4)
values: dict[str, st.SearchStrategy[Any]] = {
    "schema_version": st.just(1),
    "job_id": ids,
    "suite_id": ids,
    "estimate_id": ids,
    "request_id": ids,
    "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}", fullmatch=True),
    "cron": st.text(st.characters(codec="utf-8"), max_size=200),
    "timezone": st.text(st.characters(codec="utf-8"), max_size=100),
    "daily_shots": st.none() | st.integers(1, 2**53),
    "daily_circuits": st.none() | st.integers(1, 2**53),
    "suite_name": st.none() | names,
    "suite_size": st.none() | st.integers(1, 1000),
    "provider": names,
    "device": names,
    "config": documents,
    "suite": documents,
    "components": st.lists(names, max_size=3),
    "all": st.booleans(),
    "outcome": st.sampled_from(["rejected", "error", "unsupported"]),
    "reason": st.text(st.characters(codec="utf-8")),
    "drift_id": ids,
    "found_by": ids,
    "parameters": documents,
    "benchmark_name": names,
    "metric": names,
    "uncertainty": st.none() | finite,
    **dict.fromkeys(("value", "baseline", "scatter", "deviation", "statistic", "threshold"), finite),
}
messages = st.sampled_from(MESSAGES).flatmap(
    lambda kind: st.builds(kind, **{name: values[name] for name in kind.model_fields if name in values})
)


@given(messages)
def test_message_survives_the_wire(message: Message) -> None:
    assert type(message).model_validate_json(message.model_dump_json()) == message


@given(messages, st.dictionaries(st.text(min_size=1, max_size=10), json_values, max_size=3))
def test_unknown_fields_are_ignored(message: Message, extra: dict[str, Any]) -> None:
    body = extra | message.model_dump(mode="json")

    assert type(message).model_validate_json(json.dumps(body)) == message


@given(messages)
def test_message_without_a_version_has_the_first(message: Message) -> None:
    body = message.model_dump(mode="json", exclude={"schema_version"})

    assert type(message).model_validate_json(json.dumps(body)) == message


@given(messages)
def test_message_cannot_be_changed(message: Message) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(message, "schema_version", 1)  # noqa: B010


@given(messages)
def test_same_fact_has_the_same_message_id_and_another_fact_another(message: Message) -> None:
    assert message.message_id == message.model_copy().message_id
    assert message.correlation_id is not None
    assert message.correlation_id in message.message_id
    others = {
        kind.model_construct(**dict(message)).message_id for kind in MESSAGES if kind.routing_key != message.routing_key
    }
    assert message.message_id not in others


def test_requests_without_an_id_are_different_facts() -> None:
    def request() -> JobRequested:
        return JobRequested(provider="local", device="aer_simulator", config={})

    assert request().correlation_id is None
    assert request().message_id != request().message_id


def test_message_about_a_job_of_a_suite_is_correlated_with_the_job() -> None:
    request = JobRequested(job_id="job", suite_id="suite", provider="local", device="aer_simulator", config={})

    assert request.correlation_id == "job"


@pytest.mark.parametrize(
    "job_id", ["", "a" * 129, "../etc/passwd", "a/b", "a b", ".hidden", "-flag", "a\n", "ä", "a\x00", None, 7, {}]
)
def test_id_that_would_be_unsafe_in_a_file_name_or_url_is_refused(job_id: object) -> None:
    with pytest.raises(ValidationError):
        JobDispatched.model_validate({"job_id": job_id})


@given(st.text())
def test_accepted_id_is_plain_ascii_without_separators(job_id: str) -> None:
    try:
        accepted = JobDispatched(job_id=job_id).job_id
    except ValidationError:
        return
    assert accepted.isascii()
    assert len(accepted) <= 128
    assert not set(accepted) & set("/\\ \n\t\0")


def test_another_schema_version_is_refused() -> None:
    with pytest.raises(ValidationError):
        JobDispatched.model_validate({"job_id": "a", "schema_version": 2})


def test_every_message_that_needs_a_consumer_has_exactly_one_queue() -> None:
    for kind in MESSAGES:
        queues = [queue.name for queue in QUEUES if kind.routing_key in queue.routing_keys]
        assert len(queues) == kind.has_consumer, kind.routing_key


def test_routing_keys_are_unique() -> None:
    assert len({kind.routing_key for kind in MESSAGES}) == len(MESSAGES)


def test_suite_request_is_correlated_with_the_suite() -> None:
    request = SuiteRequested(suite_id="s", provider="local", device="aer_simulator", suite={})

    assert (request.correlation_id, request.message_id) == ("s", "s/suite.requested")


@pytest.mark.parametrize("inside", [{"\ud800": 1}, "\udfff", ["a", "\ud800b"]], ids=["name", "text", "list"])
def test_what_is_no_json_is_told_as_a_mistake_of_the_request(inside: Any) -> None:
    message = JobRequested(provider="local", device="d", config={"x": inside})
    with pytest.raises(InvalidRequest, match="cannot be sent as JSON") as raised:
        message.encoded()
    str(raised.value).encode()
