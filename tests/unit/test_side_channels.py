"""Logs, metrics and traces that fail, or that wait for ever, decide over nothing: what is done is done and settled."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from metriq_gym.bus import handling
from metriq_gym.bus.handling import Again, Done, handle
from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import POLLER, Delivery
from metriq_gym.bus.retry import TRANSIENT
from metriq_gym.errors import Transient
from metriq_gym.messages import JobDispatched
from metriq_gym.telemetry import harmless, logs, metrics, traceparent, tracing
from metriq_gym.telemetry.sink import MOST_LINES, Sink
from tests.support.patience import PATIENCE


@pytest.fixture(autouse=True)
def afterwards() -> Iterator[None]:
    with structlog.contextvars.bound_contextvars():
        yield
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(False)
    logging.basicConfig(force=True)


def fail(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


class Failing:
    """A stream that takes nothing."""

    write = flush = fileno = fail


@contextmanager
def failing_context(*_: Any, **__: Any) -> Iterator[None]:
    fail()
    yield


@contextmanager
def failing_on_leaving(*_: Any, **__: Any) -> Iterator[None]:
    try:
        yield
    finally:
        fail()


async def talkative(delivery: Delivery) -> None:
    log = structlog.get_logger()
    log.info("begun")
    logging.getLogger("library").warning("from a library")
    with tracing.span("inside"):
        metrics.LEASE_LOSSES.labels("job").inc()
    log.exception("odd", exc_info=ValueError("odd"))


async def _handled() -> object:
    delivery = Delivery("job.dispatched", b"", "m", "job-1")
    async with asyncio.timeout(PATIENCE):
        return await handle(talkative, delivery, POLLER.name, TRANSIENT.pauses)


async def test_a_stream_that_takes_nothing_keeps_no_delivery_from_being_done() -> None:
    logs.configure("poller", "debug", Failing())  # type: ignore[arg-type]
    assert await _handled() == Done()


async def test_a_line_that_cannot_be_made_keeps_no_delivery_from_being_done() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError("odd")

    logs.configure("poller", "debug", Failing())  # type: ignore[arg-type]
    before = harmless.suffered()
    structlog.get_logger().info("odd", what=Odd())
    assert harmless.suffered() == before + 1
    assert await _handled() == Done()


@pytest.mark.parametrize("what", ["labels", "inc", "set", "observe", "time"])
async def test_a_metric_that_fails_keeps_no_delivery_from_being_done(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import prometheus_client

    for kind in (prometheus_client.Counter, prometheus_client.Gauge, prometheus_client.Histogram):
        monkeypatch.setattr(kind, what, fail, raising=False)
    assert await _handled() == Done()


@pytest.mark.parametrize("what", ["DELIVERIES", "DELIVERY_SECONDS"])
async def test_a_metric_that_is_not_even_there_keeps_no_delivery_from_being_done(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, what, None)
    assert await _handled() == Done()


class Spans:
    """Spans of which one thing fails."""

    def __init__(self, what: str, context: Any) -> None:
        self.what, self.context = what, context

    def __getattr__(self, name: str) -> Any:
        if name == self.what:
            return self.context if name in ("span", "continued") else fail
        if name in ("span", "continued"):
            return lambda *_: traceparent.continued(None)
        return lambda *_: {} if name == "ids" else ""


@pytest.mark.parametrize("context", [failing_context, failing_on_leaving, fail])
@pytest.mark.parametrize("what", ["span", "continued", "current", "ids", "annotate", "failed"])
async def test_a_trace_that_fails_keeps_no_delivery_from_being_done(
    what: str, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "_spans", Spans(what, context))
    assert await _handled() == Done()

    async def put_off(_: Delivery) -> None:
        tracing.annotate({"a": 1})
        tracing.current()
        raise Transient("away")

    outcome = await handle(put_off, Delivery("job.dispatched", b"", "m"), POLLER.name, TRANSIENT.pauses)
    assert isinstance(outcome, Again)


@pytest.mark.parametrize("context", [failing_context, failing_on_leaving, fail])
def test_what_is_raised_inside_a_failing_context_is_what_comes_out(context: Any) -> None:
    with pytest.raises(KeyError, match="mine"), harmless.around(context):
        raise KeyError("mine")


async def test_a_logger_that_fails_keeps_no_delivery_from_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "logger", None)
    delivery = Delivery("job.dispatched", b"", "m")

    async def nothing(_: Delivery) -> None: ...

    assert await handle(nothing, delivery, POLLER.name, TRANSIENT.pauses) == Done()


async def test_a_pipe_that_nobody_reads_holds_up_nothing() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w", encoding="utf-8") as stream:
        logs.configure("poller", "debug", stream)
        for _ in range(50):
            structlog.get_logger().info("full", text="x" * 10_000)
            logging.getLogger("library").warning("x" * 10_000)
        assert await _handled() == Done()
        drained = threading.Thread(target=reader.read, daemon=True)
        drained.start()
        logs.close()
        stream.close()
        drained.join()


def test_a_pipe_whose_reader_is_gone_holds_up_nothing() -> None:
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as stream:
        logs.configure("poller", "debug", stream)
        os.close(reading)
        structlog.get_logger().info("to nobody")
        logs.close()
        assert metrics.REGISTRY.get_sample_value("metriq_log_lines_lost") == 1


def test_lines_that_could_not_be_written_are_counted_and_told_of_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as stream:
        sink = Sink(stream)
        sink.write("first\n")
        sink.close()
        sink = Sink(stream)
        with monkeypatch.context() as full:
            full.setattr(os, "write", fail)
            sink.write("lost\n")
            sink.write("lost as well\n")
            while sink.lost < 2:
                pass
        sink.write("last\n")
        sink.close()
    first, told, last = path.read_text().splitlines()
    assert (first, last, sink.lost) == ("first", "last", 2)
    assert {"event": "log lines lost", "lines": 2}.items() <= json.loads(told).items()


def test_half_a_line_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    whole = os.write

    def half(descriptor: int, data: memoryview) -> int:
        if len(data) <= 2:
            fail()
        return whole(descriptor, data[:2])

    with path.open("w", encoding="utf-8") as stream:
        sink = Sink(stream)
        with monkeypatch.context() as full:
            full.setattr(os, "write", half)
            sink.write("abcd")
            while not sink.lost:
                pass
        sink.write("whole\n")
        sink.close()
    assert path.read_text().splitlines()[0] == "ab"
    assert path.read_text().splitlines()[-1] == "whole"


def test_what_waits_to_be_written_is_bounded() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, open(writing, "w", encoding="utf-8") as stream:
        sink = Sink(stream)
        for _ in range(3 * MOST_LINES):
            sink.write("x" * 100 + "\n")
        assert sink.lost
        threading.Thread(target=reader.read, daemon=True).start()
        sink.close()


async def test_a_delivery_that_stays_in_hand_shows() -> None:
    async with MemoryBus() as bus:
        taken, leave = asyncio.Event(), asyncio.Event()

        async def stay(_: Delivery) -> None:
            taken.set()
            await leave.wait()

        subscription = await bus.consume(POLLER, stay, prefetch=1)
        assert subscription.unsettled_seconds == 0
        await bus.publish(JobDispatched(job_id="a"))
        async with asyncio.timeout(PATIENCE):
            await taken.wait()
            while not subscription.unsettled_seconds:  # noqa: ASYNC110
                await asyncio.sleep(0)
            leave.set()
            await bus.idle()
            while subscription.unsettled_seconds:  # noqa: ASYNC110
                await asyncio.sleep(0)
