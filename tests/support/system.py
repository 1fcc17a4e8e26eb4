"""The services as real processes on real servers, for tests that publish requests and watch what becomes of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aio_pika
import httpx
from prometheus_client.parser import text_string_to_metric_families

from metriq_gym.jobs import TERMINAL, Job
from metriq_gym.store import Store
from tests.servers.discovery import free_port
from tests.support import forks
from tests.support.jobs import watch
from tests.support.patience import PATIENCE
from tests.support.plain import plain_client

SERVICES = ("dispatcher", "poller", "scorer", "exporter")


class Sample(NamedTuple):
    """What names a time series."""

    name: str
    labels: tuple[tuple[str, str], ...]


def sample(name: str, **labels: str) -> Sample:
    """The name of a time series."""
    return Sample(name, tuple(sorted(labels.items())))


@dataclass
class ServiceProcess:
    """One service in a process of its own."""

    name: str
    environment: Mapping[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    process: forks.Fork | subprocess.Popen[bytes] | None = None
    module: Sequence[str] = ()
    """What Python runs in place of the service itself, and its arguments."""
    output: int | None = None
    """A file descriptor that it logs to, in place of `log`."""
    anew: bool = False
    """Whether it is started by itself, so that the process of its workers is its child."""

    def start(self) -> None:
        """Start it; `ready` says when it consumes."""
        environment = {**os.environ, **self.environment, "METRIQ_HTTP_PORT": str(self.port)}
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", *(self.module or [f"services.{self.name}"])]
            output = log if self.output is None else self.output
            start = subprocess.Popen if self.anew else forks.start
            self.process = start(command, env=environment, stdout=output, stderr=output, start_new_session=True)

    async def ready(self) -> None:
        """Return when it says that it is ready."""
        assert self.process is not None
        async with plain_client() as client, asyncio.timeout(PATIENCE):
            while True:
                assert self.process.poll() is None, self.log.read_text()
                try:
                    if (await client.get(f"http://127.0.0.1:{self.port}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """End it and its workers as the kernel's out-of-memory killer would."""
        if self.process is not None:
            with suppress(ProcessLookupError):  # it has ended, and left nothing behind
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    async def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        assert self.process is not None
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    async def metrics(self) -> dict[Sample, float]:
        """What it tells Prometheus, under its own names."""
        async with plain_client() as client:
            page = (await client.get(f"http://127.0.0.1:{self.port}/metrics")).raise_for_status().text
        samples = [each for family in text_string_to_metric_families(page) for each in family.samples]
        return {
            Sample(each.name, tuple(sorted(each.labels.items()))): each.value
            for each in samples
            if each.name.startswith("metriq_")
        }

    def records(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@dataclass
class System:
    """Four or more service processes, the store they use, and a channel to publish requests on."""

    amqp_url: str
    mongo_url: str
    database: str
    services: list[ServiceProcess]
    store: Store
    channel: aio_pika.abc.AbstractChannel
    exports: Path

    def named(self, name: str) -> list[ServiceProcess]:
        """The processes of one service."""
        return [service for service in self.services if service.name == name]

    async def publish(
        self, body: Any, *, message_id: str | None = None, key: str = "job.requested", **headers: str
    ) -> None:
        """Publish as any AMQP client would."""
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        exchange = await self.channel.get_exchange("metriq.events", ensure=False)
        persistent = aio_pika.DeliveryMode.PERSISTENT
        message = aio_pika.Message(encoded, message_id=message_id, delivery_mode=persistent, headers=dict(headers))
        await exchange.publish(message, key, mandatory=True)

    async def ended(self, job_id: str) -> Job:
        """Return the job once its state is terminal."""
        async with asyncio.timeout(PATIENCE):
            async for job in watch(self.store, job_id):
                if job.state in TERMINAL:
                    return job
        raise AssertionError("the stream of changes ended")

    async def all_ended(self, job_ids: Sequence[str]) -> list[Job]:
        """Return the jobs once all their states are terminal."""
        return list(await asyncio.gather(*(self.ended(job_id) for job_id in job_ids)))

    def exported(self) -> dict[str, dict[str, Any]]:
        """The exported records by job id."""
        return {path.stem: json.loads(path.read_text()) for path in self.exports.glob("*.json")}


@asynccontextmanager
async def system(
    amqp_url: str,
    mongo_url: str,
    database: str,
    folder: Path,
    *,
    counts: Mapping[str, int] | None = None,
    own: Any = None,  # a mapping of mappings; but any setting may be given as `**settings`
    module: Any = None,  # likewise, a word
    anew: Any = False,  # likewise
    **settings: object,
) -> AsyncIterator[System]:
    """Run the services while inside: one process of each, or as many as `counts` says.

    `own` adds to the environment of the service it names; `module` is run in place of each, with its name. `anew` is
    as in `ServiceProcess`.
    """
    environment = {
        "METRIQ_AMQP_URL": amqp_url,
        "METRIQ_MONGO_URL": mongo_url,
        "METRIQ_MONGO_DATABASE": database,
        "METRIQ_EXPORT_DIR": str(folder / "results"),
        "METRIQ_WORKERS": "1",
        "METRIQ_LEASE_SECONDS": "3",
        "METRIQ_RECONCILE_SECONDS": "2",
        "METRIQ_POLL_SECONDS": "0.2",
        **{f"METRIQ_{name.upper()}": str(value) for name, value in settings.items()},
    }
    many = dict.fromkeys(SERVICES, 1) | dict(counts or {})
    services = [
        ServiceProcess(
            name,
            {**environment, **(own or {}).get(name, {})},
            folder / f"{name}-{number}.log",
            module=[module, name] if module else (),
            anew=anew,
        )
        for name, count in many.items()
        for number in range(count)
    ]
    async with AsyncExitStack() as stack:
        for service in services:
            service.start()
            stack.callback(service.kill)
        await asyncio.gather(*(service.ready() for service in services))
        store = await stack.enter_async_context(Store.at(mongo_url, database))
        connection = await stack.enter_async_context(await aio_pika.connect_robust(amqp_url))
        channel = await connection.channel()
        yield System(amqp_url, mongo_url, database, services, store, channel, folder / "results")


WIT = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 1000}


def request(job_id: str | None = None, **changes: Any) -> dict[str, Any]:
    """A request for WIT on the ideal simulator."""
    body: dict[str, Any] = {"provider": "local", "device": "aer_simulator", "config": WIT}
    return body | ({"job_id": job_id} if job_id else {}) | changes
