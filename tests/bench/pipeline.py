"""Jobs through four service processes on a real RabbitMQ and MongoDB: overhead, store writes, jobs per second."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pymongo
from qiskit_aer import AerSimulator

from metriq_gym.jobs import Job, plan
from metriq_gym.providers.aer import devices
from metriq_gym.providers.aer.provider import AerProvider
from tests.bench.observer import Observer, observer
from tests.bench.operations import Operations, operations
from tests.bench.report import ms, progress, show, spread
from tests.servers.mongodb import shared_mongodb
from tests.servers.rabbitmq import Broker, shared_broker, virtual_host
from tests.support.system import SERVICES, System, request, system

AS_SHIPPED = {"lease_seconds": 30, "reconcile_seconds": 30, "poll_seconds": 1}
"""The services' defaults, in place of the tests' impatient ones."""
SERVERS = {"beam.smp": "RabbitMQ", "mongod": "MongoDB"}
"""The servers' processes."""
STAGES = (
    "request → accepted",
    "build, compile, store the task → dispatched",
    "claim, simulate, store the counts → completed",
    "score → scored",
    "write the record → exported",
    "exported → seen by the outsider",
)


@dataclass(frozen=True)
class Load:
    """Jobs that are published all at once."""

    name: str
    config: dict[str, Any]
    jobs: int


TRIVIAL = {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 3, "max_qubits": 3, "max_circuits": 1, "shots": 10}
LOADS = (
    Load("Bernstein-Vazirani, 3 qubits, 1 circuit, 10 shots", TRIVIAL, 200),
    Load("QML Kernel, 20 qubits, 1000 shots", {"benchmark_name": "QML Kernel", "num_qubits": 20, "shots": 1000}, 40),
)


@dataclass(frozen=True)
class Trip:
    """One job from its request to its end; all times in seconds."""

    total: float
    """From before publishing until the outsider has ``job.exported``."""
    simulation: float
    """Aer's own time, as in the record."""
    stages: list[float]


@dataclass(frozen=True)
class Servers:
    """Where the servers are."""

    broker: Broker
    mongo_url: str


def run(*, quick: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        progress("pipeline: starting RabbitMQ and MongoDB")
        with shared_broker(folder / "r") as broker, shared_mongodb(folder / "m") as mongo_url:
            servers = Servers(broker, mongo_url)
            asyncio.run(_one_at_a_time(servers, folder, jobs=10 if quick else 100))
            asyncio.run(_all_at_once(servers, folder, share=0.2 if quick else 1.0))


@asynccontextmanager
async def running_services(
    servers: Servers, folder: Path, pollers: int, **settings: object
) -> AsyncIterator[tuple[System, Observer, str]]:
    """Run the services, warm, with one worker process each; yield also the name of their database."""
    progress(f"pipeline: starting the services, pollers: {pollers}")
    database = f"bench_{secrets.token_hex(6)}"
    results = folder / database
    results.mkdir()
    with virtual_host(servers.broker) as amqp_url, pymongo.MongoClient[Any](servers.mongo_url) as client:
        services = system(
            amqp_url,
            servers.mongo_url,
            database,
            results,
            counts={"poller": pollers},
            anew=True,
            **AS_SHIPPED,
            **settings,
        )
        async with services as running, observer(amqp_url) as seen:
            await burst(running, seen, TRIVIAL, [f"warm-{number}" for number in range(20)])
            yield running, seen, database
        client.drop_database(database)


async def burst(running: System, seen: Observer, config: dict[str, Any], ids: Sequence[str]) -> float:
    """Publish all jobs at once and return the seconds until the last one has ended."""
    started = time.perf_counter()
    await asyncio.gather(*(running.publish(request(job_id, config=config)) for job_id in ids))
    return max(await asyncio.gather(*map(seen.exported, ids))) - started


async def _one_at_a_time(servers: Servers, folder: Path, jobs: int) -> None:
    async with running_services(servers, folder, pollers=1) as (running, seen, database):
        progress(f"pipeline: {jobs} jobs, one at a time")
        trips = [await trip(running, seen, f"trip-{number}") for number in range(jobs)]
        progress("pipeline: counting what a job does to the store")
        with operations(servers.mongo_url, database) as done:
            counted = [f"counted-{number}" for number in range(10)]
            for job_id in counted:
                await trip(running, seen, job_id)
    _show_trips(trips)
    _show_operations(done, counted)


async def trip(running: System, seen: Observer, job_id: str, config: dict[str, Any] = TRIVIAL, **changes: str) -> Trip:
    """Publish a job and return how it went once it has ended."""
    at, started = time.time(), time.perf_counter()
    await running.publish(request(job_id, config=config, **changes))
    total = await seen.exported(job_id) - started
    job = await running.store.jobs.get(job_id)
    assert job.runtime_seconds is not None
    times = [at, *(entry.at.timestamp() for entry in job.history), at + total]
    return Trip(total, job.runtime_seconds, [after - before for before, after in pairwise(times)])


def _show_trips(trips: Sequence[Trip]) -> None:
    rows = [
        ("overhead: round trip − Aer's own time", *spread([trip.total - trip.simulation for trip in trips]), "100"),
        ("round trip", *spread([trip.total for trip in trips]), ""),
        ("Aer's own time", *spread([trip.simulation for trip in trips]), ""),
    ]
    stages = zip(*(trip.stages for trip in trips), strict=True)
    rows += [(f"  {name}", *spread(spent), "") for name, spent in zip(STAGES, stages, strict=True)]
    title = f"A trivial job through four services, {len(trips)} jobs, one at a time (ms)"
    show(title, ["", "median", "95 %", "goal"], rows)


def _show_operations(done: Operations, job_ids: Sequence[str]) -> None:
    sequences = [tuple(done.writes[job_id]) for job_id in job_ids]
    (usual, _), *_ = Counter(sequences).most_common(1)
    most = max(map(len, sequences))
    title = f"Store writes of a job of one task, by the oplog: {len(usual)}, at most {most} (goal: fewer than 10)"
    show(title, ["in this order"], [(each,) for each in usual])
    per_job = {name: count / len(job_ids) for name, count in sorted(done.calls.items())}
    title = f"Calls of the store per job, by the profiler: {sum(per_job.values()):.1f}, idle pollers' claims included"
    show(title, ["call", "per job"], [(name, f"{count:.1f}") for name, count in per_job.items()])


async def _all_at_once(servers: Servers, folder: Path, share: float) -> None:
    rates: list[tuple[str, ...]] = []
    costs: list[tuple[str, ...]] = []
    for pollers in (1, 2):
        async with running_services(servers, folder, pollers) as (running, seen, _):
            for load in LOADS:
                ids = [f"job-{secrets.token_hex(6)}" for _ in range(round(load.jobs * share))]
                progress(f"pipeline: {len(ids)} × {load.name}, all at once, pollers: {pollers}")
                before, served = cpu_seconds(running), servers_cpu_seconds()
                spent = await burst(running, seen, load.config, ids)
                after, serving = cpu_seconds(running), servers_cpu_seconds()
                direct = _direct([await running.store.jobs.get(job_id) for job_id in ids])
                what = (load.name, f"{pollers}", f"{len(ids)}")
                rates.append((*what, f"{len(ids) / spent:.1f}", f"{len(ids) / direct:.1f}", f"{spent / direct:.2f}"))
                services = [_cpu_per_job(before[name], after[name], len(ids)) for name in SERVICES]
                serving_jobs = [
                    ms((serving[name] - served[name]) / len(ids)) if served[name] else "?" for name in SERVERS
                ]
                costs.append((*what, *services, *serving_jobs))
    columns = ["load", "pollers", "jobs", "jobs/s", "Aer alone, jobs/s", "time ÷ Aer alone"]
    show("Jobs published all at once, one simulating process and thread per poller", columns, sorted(rates))
    title = "CPU time per job: in the service itself + in its workers, and in the servers, if they are ours (ms)"
    show(title, ["load", "pollers", "jobs", *SERVICES, *SERVERS.values()], sorted(costs))


def cpu_seconds(running: System) -> dict[str, tuple[float, float]]:
    """Return what each service has used so far: itself, and its workers."""
    spent = {}
    for name in SERVICES:
        processes = [psutil.Process(each.process.pid) for each in running.named(name) if each.process is not None]
        workers = [worker for process in processes for worker in process.children(recursive=True)]
        spent[name] = _sum(processes), _sum(workers)
    return spent


def servers_cpu_seconds() -> dict[str, float]:
    """Return what the servers that this process has started have used so far; 0 for one that runs elsewhere."""
    started = psutil.Process().children(recursive=True)
    return {name: _sum([each for each in started if each.name() == name]) for name in SERVERS}


def _sum(processes: Sequence[psutil.Process]) -> float:
    return sum(used.user + used.system for used in (process.cpu_times() for process in processes))


def _cpu_per_job(before: tuple[float, float], after: tuple[float, float], jobs: int) -> str:
    return " + ".join(ms((end - start) / jobs) for start, end in zip(before, after, strict=True))


def _direct(jobs: Sequence[Job]) -> float:
    """Return the seconds that Aer takes for the same circuits, one job after another, on one thread of this process."""
    provider, device = AerProvider(), devices.describe(devices.IDEAL)
    work = [
        (provider.compiler(device, circuits, job.seed), shots)
        for job in jobs
        for circuits, shots in plan.build(job.config, job.seed, device)[1]
    ]
    simulator = AerSimulator(max_parallel_threads=1)
    simulator.run(work[0][0], shots=1).result()
    started = time.perf_counter()
    for circuits, shots in work:
        simulator.run(circuits, shots=shots).result()
    return time.perf_counter() - started
