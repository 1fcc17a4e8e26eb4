"""A scenario on real servers: jobs are requested, faults strike, and when all is over an audit is held."""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import aio_pika
import pymongo
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, PublishError

from metriq_gym.jobs import TERMINAL, JobState
from metriq_gym.jobs.documents import is_settled
from tests.faults.audit import Verdict, judge
from tests.faults.doomed import Orders
from tests.faults.evidence import Witness, drained
from tests.faults.report import SEED, Report, recoveries
from tests.faults.silence import all_silent
from tests.ibm.server import CRN, KEY, IBMCloud
from tests.sandbox.fixture import SandboxControl
from tests.support.patience import PATIENCE
from tests.support.system import SERVICES, ServiceProcess, System, system
from tests.support.terminal import mgym_here

TRIVIAL = {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 3, "max_qubits": 3, "max_circuits": 1, "shots": 10}
BETWEEN = (1.0, 4.0)
"""Seconds from the end of a fault to the next."""
EVERY = 0.2
"""Seconds between two requests of those that keep coming."""
STALLED_SECONDS = 240
"""Nothing takes longer than this to move on: who waits longer waits for ever."""


@dataclass
class Scenario:
    """Services at work under the eyes of a witness."""

    name: str
    amqp_url: str
    """The broker itself, also where the services reach it through something that breaks."""
    mongo_url: str
    system: System
    witness: Witness
    sandbox: SandboxControl
    report: Report
    random: random.Random = field(default_factory=lambda: random.Random(SEED))
    accepted: set[str] = field(default_factory=set)
    faults: list[float] = field(default_factory=list)
    """When each fault struck, or ended if it lasted: seconds since the epoch."""
    uncounted: Callable[[], int] = lambda: 0
    """How many faults there were besides, too many to say when each struck."""
    quiet: Callable[[], bool] = lambda: True
    """Whether nothing is under way to the services but what is in their queues."""
    uploads: Callable[[], Mapping[str, Any] | None] = lambda: None
    """What is in pull requests, where records go to GitHub too."""
    requesting: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while one of the jobs that keep coming is requested."""
    expected_dead: int = 0
    may_be_held: bool = False
    stalls: list[str] = field(default_factory=list)
    """When work stood still while every service said that all is well."""
    reached: set[JobState] = field(default_factory=lambda: {JobState.EXPORTED})
    """The states that jobs may end in."""
    ibm: IBMCloud | None = None
    """Runs every other remote job, where there is one."""

    def fault(self) -> None:
        """Note that a fault strikes, or ends, now."""
        self.faults.append(time.time())

    async def request(self, job_id: str, *, remote: bool = False, **changes: Any) -> None:
        """Request a job, again and again until the broker has confirmed it."""
        config = {**TRIVIAL, **changes.pop("config", {})}
        where = {"provider": "local", "device": "aer_simulator"}
        if remote:
            # Its shots tell it from others of which the answer to a submission was lost as well.
            where = {"provider": "tyxonq", "device": "homebrew_s2?o=3"}
            config |= {"min_qubits": 4, "max_qubits": 4, "max_circuits": 2, "shots": 100 + len(self.accepted) % 8000}
            if self.ibm is not None and zlib.crc32(job_id.encode()) % 2:
                where = {"provider": "ibm", "device": "ibm_lagos"}
        await self.publish({"job_id": job_id, **where, "config": config, **changes})
        self.accepted.add(job_id)

    async def publish(self, body: Any, key: str = "job.requested", **properties: Any) -> None:
        """Publish until the broker has confirmed it."""
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with asyncio.timeout(STALLED_SECONDS):
            while True:
                with suppress(PublishError, TimeoutError, RuntimeError, *CONNECTION_EXCEPTIONS):
                    async with asyncio.timeout(PATIENCE), await aio_pika.connect(self.amqp_url) as connection:
                        channel = await connection.channel(on_return_raises=True)
                        exchange = await channel.get_exchange("metriq.events", ensure=False)
                        message = aio_pika.Message(
                            encoded, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, **properties
                        )
                        await exchange.publish(message, key, mandatory=True)
                        return
                await asyncio.sleep(0.1)

    async def request_many(self, count: int, *, pause: float = 0, prefix: str = "job", remote_every: int = 10) -> None:
        """Request jobs, one in so many of them at the remote provider."""
        for number in range(count):
            await self.request(f"{prefix}-{number}", remote=number % remote_every == remote_every - 1)
            await asyncio.sleep(pause)

    async def weather(self, strokes: Iterable[Callable[[], Awaitable[None]]]) -> None:
        """Let one stroke fall after the other while jobs keep coming; each is a fault that is over when it returns."""
        enough = asyncio.Event()
        coming = asyncio.create_task(self._keep_requesting(enough))
        for stroke in strokes:
            await asyncio.sleep(self.random.uniform(*BETWEEN))
            await stroke()
            self.fault()
        await asyncio.sleep(BETWEEN[1])
        enough.set()
        await coming

    async def _keep_requesting(self, enough: asyncio.Event) -> None:
        for number in takewhile(lambda _: not enough.is_set(), count()):
            async with self.requesting:
                await self.request(f"job-{number}", remote=number % 5 == 4)
            await asyncio.sleep(EVERY)

    async def all_taken_up(self) -> None:
        """Return when every request has become a job."""
        async with asyncio.timeout(STALLED_SECONDS):
            while self.accepted - (await asyncio.to_thread(self.witness.states)).keys():  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def finish(self) -> Verdict:
        """Wait until all has ended, stop the services, hold the audit and report."""
        await self.all_ended()
        await self._settled()
        await asyncio.gather(*(service.ready() for service in self.system.services))
        await asyncio.gather(*(_end(service) for service in self.system.services))
        verdict, ends = await self._audit(await drained(self.amqp_url, self.expected_dead))
        self.report.add(
            self.name,
            jobs=len(self.accepted),
            faults=len(self.faults) + self.uncounted(),
            verdict=verdict,
            recoveries=recoveries(self.faults, ends),
        )
        return verdict

    def submissions(self) -> dict[str, list[str]]:
        """Return what the providers were sent, by their own accounts: tag → ids."""
        found: dict[str, list[str]] = self.sandbox.submissions()["by_remarks"]
        return found | (self.ibm.submissions() if self.ibm is not None else {})

    async def replay_letters(self) -> None:
        """Give every dead letter to its service once more, as an operator would."""
        urls = {
            "METRIQ_AMQP_URL": self.amqp_url,
            "METRIQ_MONGO_URL": self.mongo_url,
            "METRIQ_MONGO_DATABASE": self.system.database,
        }
        done = await asyncio.to_thread(mgym_here, os.environ | urls, "dead", "replay", "--all", "--yes")
        assert done.returncode == 0, done.stderr

    async def all_ended(self) -> None:
        """Return when every job has ended; fail when for long none has."""
        left, changed = -1, time.monotonic()
        while left:
            jobs = await asyncio.to_thread(self.witness.states)
            done = {job_id for job_id, state in jobs.items() if state in TERMINAL}
            if self.may_be_held:
                done |= await asyncio.to_thread(self.witness.held)
            before, left = left, len(self.accepted - done)
            if left != before:
                changed = time.monotonic()
            if time.monotonic() - changed > STALLED_SECONDS:
                if await all_silent(self.system.services):
                    self.stalls.append(
                        f"{left} jobs stood still for {STALLED_SECONDS} s, and no probe or alert said so"
                    )
                break  # the audit says what is lost
            await asyncio.sleep(0.2)

    async def _settled(self) -> None:
        """Return when what follows the end of the last job is done too, or nothing more happens."""
        deadline = time.monotonic() + STALLED_SECONDS / 2
        while time.monotonic() < deadline:
            quiet = self.quiet()
            queued = await drained(self.amqp_url, self.expected_dead)
            if quiet and not (await self._audit(queued))[0].wrong:
                return
            await asyncio.sleep(0.5)

    async def _audit(self, queued: Mapping[str, int]) -> tuple[Verdict, list[float]]:
        held = self.witness.held() if self.may_be_held else set()
        evidence = await asyncio.to_thread(
            self.witness.evidence,
            self.accepted,
            records=self.system.exports,
            uploads=self.uploads(),
            queued=queued,
            submissions=self.submissions(),
            in_flight=held,
        )
        verdict = judge(evidence)
        verdict.wrong += self.stalls
        verdict.wrong += [
            f"{job.id}: ended as {job.state}: {job.failure}"
            for job in evidence.jobs
            if job.state in TERMINAL and job.state not in self.reached
        ]
        ends = [job.history[-1].at.timestamp() for job in evidence.jobs if is_settled(job)]
        return verdict, ends


async def _end(service: ServiceProcess) -> None:
    assert await service.terminate() == 0, service.log.read_text()[-5000:]


@asynccontextmanager
async def scenario(
    name: str,
    report: Report,
    amqp_url: str,
    mongo_url: str,
    folder: Path,
    *,
    through: str = "",
    counts: Mapping[str, int] | None = None,
    orders: Orders | None = None,
    provider_ahead: float = 0.0,
    ibm: IBMCloud | None = None,
    **settings: Any,
) -> AsyncIterator[Scenario]:
    """Run services and a sandbox while inside, in a database of their own.

    The services reach the broker by the URL `through`, if there is one, and are all under `orders`. The provider's
    clock is `provider_ahead` seconds ahead. With `ibm` running, it takes every other remote job.
    """
    from tests.sandbox.app import TOKEN, Sandbox
    from tests.sandbox.clock import Clock
    from tests.sandbox.server import serving

    database = f"test_{secrets.token_hex(6)}"
    clock = Clock(source=lambda: time.time() + provider_ahead)
    with serving(Sandbox(seed=secrets.randbits(32), clock=clock)) as url, Witness(mongo_url, database) as witness:
        sandbox = SandboxControl(url, TOKEN)
        sandbox.set(pending_seconds=0.1, running_seconds=0.5, results="ideal")
        usual: dict[str, Any] = {
            "tyxonq_token": TOKEN,
            "tyxonq_base_url": url,
            "lease_seconds": 5,
            "settle_seconds": 10,
            "reconcile_seconds": 3,
        }
        if ibm is not None:
            usual |= {"ibm_token": KEY, "ibm_instance": CRN, "ibm_url": ibm.url}
        urls = through or amqp_url, mongo_url
        own = dict.fromkeys(SERVICES, orders.environment()) if orders else None
        module = "tests.faults.doomed" if orders else None
        options = usual | settings
        async with system(*urls, database, folder, counts=counts, own=own, module=module, **options) as started:
            yield Scenario(name, amqp_url, mongo_url, started, witness, sandbox, report, ibm=ibm)
        with pymongo.MongoClient[dict[str, object]](mongo_url) as client:
            client.drop_database(database)
