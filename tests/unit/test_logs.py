"""Logs: JSON lines with the ids of trace and job, from the level that is set on, and never with a secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from metriq_gym.bus.handling import handle
from metriq_gym.bus.port import POLLER, Delivery
from metriq_gym.bus.retry import TRANSIENT
from metriq_gym.errors import Transient
from metriq_gym.settings import PREFIX, Settings
from metriq_gym.telemetry import logs, tracing
from tests.support.handlers import Recorder

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def afterwards() -> Iterator[None]:
    """What tests bind and configure ends with them."""
    with structlog.contextvars.bound_contextvars():
        yield
    structlog.contextvars.clear_contextvars()
    logging.basicConfig(force=True)


class Log(io.StringIO):
    """A stream of log lines."""

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


def configured(level: str = "info", secrets: tuple[str, ...] = ()) -> Log:
    log = Log()
    logs.configure("poller", level, log, secrets)
    return log


async def test_every_line_of_a_handler_and_of_what_it_calls_has_the_ids_of_its_job_and_trace() -> None:
    log = configured()

    def respond(_: Delivery) -> None:
        structlog.get_logger().info("from somewhere below", answer=42)
        logging.getLogger("library").warning("from a library")
        raise Transient("away")

    delivery = Delivery("job.dispatched", b"", "m", "job-1", headers={"traceparent": TRACE})
    await handle(Recorder(respond), delivery, POLLER.name, TRANSIENT.pauses)
    structlog.get_logger().info("outside")

    *inside, outside = log.lines
    assert [line["event"] for line in inside] == ["from somewhere below", "from a library", "delivery.postponed"]
    for line in inside:
        assert (line["job_id"], line["trace_id"], line["service"]) == ("job-1", TRACE.split("-")[1], "poller")
        assert line["level"] in ("info", "warning")
        assert line["timestamp"].endswith("Z")
    assert not {"job_id", "trace_id"} & outside.keys()


async def test_deliveries_that_are_handled_at_once_do_not_mix_their_ids() -> None:
    log = configured()
    both = asyncio.Barrier(2)

    async def handler(delivery: Delivery) -> None:
        await both.wait()
        structlog.get_logger().info("said", of=delivery.correlation_id)

    await asyncio.gather(
        *(handle(handler, Delivery("job.dispatched", b"", "m", job), POLLER.name, TRANSIENT.pauses) for job in "ab")
    )
    assert {line["of"]: line["job_id"] for line in log.lines if line["event"] == "said"} == {"a": "a", "b": "b"}


@pytest.mark.parametrize(
    ("level", "ours", "theirs"),
    [
        ("debug", ["debug", "info", "warning", "error"], ["warning", "error"]),
        ("info", ["info", "warning", "error"], ["warning", "error"]),
        ("warning", ["warning", "error"], ["warning", "error"]),
        ("error", ["error"], ["error"]),
    ],
)
def test_nothing_below_the_level_is_logged_and_of_libraries_nothing_below_warnings(
    level: str, ours: list[str], theirs: list[str]
) -> None:
    log = configured(level)
    for each in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), each)("ours")
        getattr(logging.getLogger("library"), each)("theirs")
    assert [line["level"] for line in log.lines if line["event"] == "ours"] == ours
    assert [line["level"] for line in log.lines if line["event"] == "theirs"] == theirs


@pytest.mark.parametrize(
    "text",
    [
        "amqp://poller:hunter2@rabbitmq/",
        "cannot reach mongodb://poller:hunter2@a:27017,b:27017/?replicaSet=rs0",
        "https://x-access-token:hunter2@github.com/me/data.git",
        "redis://:hunter2@cache",
        "amqp://u:hunter2@with@signs@host/",
        "Authorization: Bearer hunter2hunter2",
        "{'Authorization': 'Basic aHVudGVyMjpodW50ZXIy'}",
        "remote: ghp_hunter2hunter2hunter2 was revoked",
        "github_pat_hunter2hunter2_hunter2hunter2",
    ],
)
def test_what_looks_like_a_secret_is_hidden_wherever_it_stands(text: str) -> None:
    log = configured()
    structlog.get_logger().info(text, error=text, deep={"list": [text]})
    logging.getLogger("library").error("failed: %s", text)
    try:
        raise ValueError(text)
    except ValueError:
        structlog.get_logger().exception("failed")
    assert len(log.lines) == 3
    assert "***" in log.getvalue()
    assert "hunter2" not in log.getvalue()
    assert "aHVudGVy" not in log.getvalue()


@pytest.mark.parametrize(
    "name", ["password", "METRIQ_TYXONQ_TOKEN", "client_secret", "api-key", "token", "Authorization"]
)
def test_a_field_that_is_named_like_a_secret_is_hidden(name: str) -> None:
    log = configured()
    structlog.get_logger().info("x", **{name.replace("-", "_"): 'hun"ter2', "other": "kept"})
    assert "ter2" not in log.getvalue()
    assert log.lines[0]["other"] == "kept"


def test_what_is_no_secret_is_left_alone() -> None:
    log = configured()
    plain = {
        "url": "http://rabbitmq:15672/api/queues",
        "servers": "mongodb://a:27017,b:27017/?replicaSet=rs0",
        "mail": "me@example.org",
        "token": 7,  # a lease's
        "tokens_left": "many",
    }
    structlog.get_logger().info("delivery.handled", **plain)
    assert {name: log.lines[0][name] for name in plain} == plain


def test_the_settings_secrets_are_hidden_whatever_is_around_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}AMQP_URL", "amqp://poller:p%40ssword-of-poller@rabbitmq/")
    monkeypatch.setenv(f"{PREFIX}MONGO_URL", "mongodb://poller:metriq@mongo/")
    monkeypatch.setenv(f"{PREFIX}TYXONQ_TOKEN", 'tyxonq/tök"en')
    secrets = tuple(logs.secrets_of(Settings()))
    assert set(secrets) == {"p%40ssword-of-poller", "p@ssword-of-poller", "metriq", 'tyxonq/tök"en'}
    log = configured(secrets=secrets)
    structlog.get_logger().info(
        "in metriq.poller", a="xp@ssword-of-pollery", b=["p%40ssword-of-poller"], c='tyxonq/tök"en'
    )
    (line,) = log.lines
    assert (line["a"], line["b"], line["c"]) == ("x***y", ["***"], "***")
    assert line["event"] == "in metriq.poller"  # a password that is a common word stays one


@pytest.mark.parametrize("part", ["://a:", "://", "a:", '"passw', "bearer ", "authorization: ", "ghp_", "token_"])
def test_a_long_text_takes_no_longer_to_hide_secrets_in_than_it_is_long(part: str) -> None:
    log = configured()
    began = time.process_time()
    structlog.get_logger().info("x", text="://:" + part * 30_000)
    assert time.process_time() - began < 5
    assert len(log.lines) == 1


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.lists(st.text()), max_size=4), st.text())
def test_whatever_is_logged_a_line_stays_a_json_object(fields: dict[str, Any], secret: str) -> None:
    log = configured(secrets=(secret,))
    with tracing.continued(TRACE):
        structlog.get_logger().info("x", **{f"f_{name}": value for name, value in fields.items()})
    (line,) = log.lines
    assert line["level"] == "info"
