"""Means that are wanting, health ports full of strangers and results that cannot be written: waited out, and told."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import httpx
import psutil

from metriq_gym.service.connections import MOST_CONNECTIONS
from tests.faults.report import LONG, Report
from tests.faults.scenario import scenario
from tests.support.patience import PATIENCE
from tests.support.plain import plain_client
from tests.support.system import ServiceProcess

JOBS = 200 if LONG else 12


async def test_want_of_means_ends_no_job_and_is_told(
    amqp_url: str, mongo_url: str, tmp_path: Path, report: Report
) -> None:
    async with (
        scenario("want of means", report, amqp_url, mongo_url, tmp_path, anew=True) as one,
        AsyncExitStack() as stack,
    ):
        *with_workers, exporter = one.system.services
        for service in one.system.services:
            await stack.enter_async_context(strangers(service))
        wants = [(service, WithoutWorkers(service)) for service in with_workers]
        stack.callback(limit(exporter, resource.RLIMIT_FSIZE, 0))
        one.fault()
        await one.request_many(JOBS)
        for service, want in wants:
            await told(service, "/readyz", "Too many open files", want)
            want.lift()
        await told(exporter, "/metrics", 'metriq_exports_total{result="postponed",target="json"}')
        await stack.aclose()
        one.fault()
        verdict = await one.finish()
    assert not verdict.all, verdict.all


@asynccontextmanager
async def strangers(service: ServiceProcess) -> AsyncIterator[None]:
    """While inside, the service's health port has more connections than it serves, none of which ends its request."""
    writers = []
    for _ in range(2 * MOST_CONNECTIONS):
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        writers.append(writer)
    yield
    for writer in writers:
        writer.close()


class WithoutWorkers:
    """Ends a service's workers and leaves it no more descriptors than a probe needs."""

    def __init__(self, service: ServiceProcess) -> None:
        self._process = psutil.Process(_number(service))
        self.lift = limit(
            service, resource.RLIMIT_NOFILE, resource.prlimit(_number(service), resource.RLIMIT_NOFILE)[0]
        )
        """Give back what was taken."""
        self.hold()

    def hold(self) -> None:
        """End workers that there are: one may have started before the service had too few descriptors for it."""
        if workers := self._process.children(recursive=True):
            for worker in workers:
                worker.kill()
            assert not psutil.wait_procs(workers, timeout=PATIENCE)[1]
            self.leave_one()

    def leave_one(self) -> None:
        """Leave the service one descriptor: what there was for a probe it may have taken for something else."""
        used = {int(name) for name in os.listdir(f"/proc/{self._process.pid}/fd")}
        spare = next(number for number in count() if number not in used)
        _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (spare + 1, hard))


def limit(service: ServiceProcess, what: int, most: int) -> Callable[[], None]:
    """Let a service have at most so much of what the kernel gives; return what undoes that."""
    number = _number(service)
    _, hard = before = resource.prlimit(number, what)
    resource.prlimit(number, what, (most, hard))
    return lambda: resource.prlimit(number, what, before) and None


def _number(service: ServiceProcess) -> int:
    assert service.process is not None
    return service.process.pid


async def told(service: ServiceProcess, path: str, words: str, want: WithoutWorkers | None = None) -> None:
    """Return when a page of the health port has these words."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if want is not None:
                want.hold()
            try:
                async with plain_client() as client:
                    if words in (await client.get(f"http://127.0.0.1:{service.port}{path}")).text:
                        return
            except httpx.TransportError:  # it has no descriptor left for that
                if want is not None:
                    want.leave_one()
            await asyncio.sleep(0.05)
