"""The metrics: served as Prometheus reads them, named as its users expect, and none that is out of date."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.errors import Transient
from metriq_gym.jobs import JobState
from metriq_gym.service.health import serve_health
from metriq_gym.service.lag import lag_measured
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.catalogue import DueTasks
from metriq_gym.telemetry import metrics
from metriq_gym.testing import memory_store
from services.dispatcher import Dispatcher
from services.dispatcher.standing import SERVES_SECONDS, SHARE, Standing
from tests.support.inprocess import InlinePool
from tests.support.patience import PATIENCE
from tests.support.plain import plain_client


def value(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, labels)


async def test_every_metric_is_on_the_page_with_its_type() -> None:
    async with serve_health("127.0.0.1", 0, {}, {}) as port, plain_client() as client:
        page = await client.get(f"http://127.0.0.1:{port}/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=")
    served = {(each.name, each.type) for each in text_string_to_metric_families(page.text)}
    for metric in metrics.METRICS:
        kind = "gauge" if metric.kind == "info" else metric.kind
        assert (metric.name.removesuffix("_total"), kind) in served
    assert ("process_resident_memory_bytes", "gauge") in served


async def test_overdue_suites_that_cannot_be_counted_are_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(seconds: float) -> Any:
        raise Transient("away")

    async with memory_store() as store, MemoryBus() as bus:
        _, count = Dispatcher(Context(Settings(), bus, store, InlinePool())).measures()
        await count()
        assert value("metriq_overdue_suites") == 0
        monkeypatch.setattr(store.catalogue, "waiting_suites", away)
        await count()
        found = value("metriq_overdue_suites")
    assert found is not None
    assert math.isnan(found)


def test_names_follow_the_conventions() -> None:
    """Of https://prometheus.io/docs/practices/naming: a prefix, base units, a suffix that says what it is."""
    for metric in metrics.METRICS:
        assert metric.name.startswith("metriq_")
        assert metric.name.endswith("_total") is (metric.kind == "counter")
        assert metric.name.endswith("_seconds") or metric.kind != "histogram"
        assert metric.about.endswith(".")
    assert len({metric.name for metric in metrics.METRICS}) == len(metrics.METRICS)


def test_the_page_on_operations_lists_every_metric() -> None:
    """If this fails: python -m metriq_gym.telemetry.metrics prints the table that belongs between the marks."""
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = text.partition("-->\n\n")[2].partition("\n\n<!-- /metrics")[0]
    assert listed == metrics.table()


async def test_an_event_loop_that_is_held_up_shows() -> None:
    before = value("metriq_event_loop_lag_seconds_sum") or 0
    async with lag_measured(every_seconds=0.01), asyncio.timeout(PATIENCE):
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251
        while (value("metriq_event_loop_lag_seconds_sum") or 0) - before < 0.2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class _Catalogue:
    """A store's catalogue that can be away, and takes its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = 0.0
        self.asked = 0
        self.away = False

    async def state_counts(self) -> dict[JobState, int]:
        self.asked += 1
        self.now += self.takes
        if self.away:
            raise Transient("the store is away")
        return dict.fromkeys(JobState, 7)

    async def undecided_counts(self) -> tuple[int, int]:
        return 2, 1

    async def due(self) -> list[DueTasks]:
        return [DueTasks("tyxonq", 5, 2.5)]

    async def furthest_ahead(self, provider: str) -> float:
        return {"tyxonq": 60.0, "local": 3600.0}.get(provider, 0.0)


async def test_counts_are_taken_no_more_often_than_they_are_worth_and_not_shown_when_they_cannot_be() -> None:
    catalogue, store = _Catalogue(), Store(client={"metriq": _Nothing()})
    store.catalogue = catalogue  # type: ignore[assignment]
    async with MemoryBus() as bus:
        standing = Standing(store, bus, lambda: catalogue.now, longest_seconds=75)
        await standing.measure()
        await standing.measure()
        assert catalogue.asked == 1
        assert value("metriq_jobs", state="scored") == 7
        assert (value("metriq_undecided_jobs", why="held"), value("metriq_undecided_jobs", why="stuck")) == (2, 1)
        assert value("metriq_due_task_lag_seconds", provider="tyxonq") == 2.5
        assert value("metriq_due_tasks", provider="local") == 0
        # Nothing is put off for an hour: the store's clock was set back, and what is due stands still.
        assert value("metriq_due_task_lag_seconds", provider="local") == 3600 - 75
        assert value("metriq_queue_messages", queue="metriq.dead") == 0

        catalogue.now, catalogue.takes = SERVES_SECONDS, 3.0
        await standing.measure()
        catalogue.now, catalogue.takes = SERVES_SECONDS + 3.0 + SHARE * 3.0 - 0.01, 0
        await standing.measure()
        assert catalogue.asked == 2

        catalogue.now, catalogue.away = catalogue.now + 0.02, True
        await standing.measure()
        assert catalogue.asked == 3
        assert value("metriq_jobs", state="scored") is None
        assert value("metriq_queue_messages", queue="metriq.dead") is None


class _Nothing:
    def __getattr__(self, name: str) -> None:
        return None
