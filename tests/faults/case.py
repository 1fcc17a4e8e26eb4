"""One flow through four services in this process, one of which dies at a point and is started anew."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.documents import is_settled
from metriq_gym.jobs.notices import TYPES
from metriq_gym.service.service import Context, Service, running, until_broken
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.mongo import connect
from services.dispatcher import Dispatcher
from services.exporter import Exporter
from services.poller import Poller
from services.scorer import Scorer
from tests.faults.audit import Verdict, judge
from tests.faults.clouds import Cloud
from tests.faults.evidence import Witness
from tests.faults.flows import FLOWS, Flow, ListeningBus
from tests.faults.points import Crashed, Fuse, Point, SurroundedBus, surround_store, surrounded_providers, surrounding
from tests.faults.report import LONG
from tests.support.databases import Databases
from tests.support.jobs import watch
from tests.support.patience import PATIENCE
from tests.support.receiver import receiving

AT_ONCE = 24 if LONG else 8
"""Cases, which mostly wait; more of them would make each slow, and then it passes points that others do not."""
HANGS_AFTER = 4 * PATIENCE
"""A case shares a core with others and whatever else the machine does, and slow is not stuck."""
KINDS: dict[str, type[Service]] = {kind.name: kind for kind in (Dispatcher, Poller, Scorer, Exporter)}
IMPATIENT: dict[str, Any] = {
    "poll_seconds": 0.1,
    "poll_max_seconds": 0.3,
    "lease_seconds": 1.5,
    "settle_seconds": 1.5,
    "reconcile_seconds": 0.5,
    "grace_seconds": 10,
}


@dataclass
class Outcome:
    """How a case ended."""

    verdict: Verdict
    passed: dict[str, list[Point]]
    """Service → the points that its first process passed."""
    crashed: bool
    recovery: float = 0.0
    """Seconds from the crash until all had ended."""


@dataclass
class _World:
    """What outlives the processes."""

    client: Any
    database: str
    bus: MemoryBus
    settings: Settings
    flow: Flow

    def store(self) -> Store:
        return Store(self.client, self.database)


@asynccontextmanager
async def _process(world: _World, kind: type[Service], fuse: Fuse) -> AsyncIterator[asyncio.Task[None]]:
    """Run one service until the block is left: as a process that stops, or as one that was killed if its fuse blew.

    What is yielded ends before that only if the service is broken, and with its error.
    """
    started, leave = asyncio.Event(), asyncio.Event()

    async def life() -> None:
        surrounding.set(fuse.around)
        store = world.store()
        surround_store(store, fuse.around)
        pool = world.flow.pool()
        context = Context(world.settings, SurroundedBus(world.bus, fuse.around), store, pool)
        service = Poller(context, pool) if kind is Poller else kind(context)
        async with running([service], world.settings.grace_seconds):
            started.set()
            broken = asyncio.create_task(until_broken([service]))
            try:
                await _while_it_lives(broken, leave.wait())
            finally:
                broken.cancel()

    living = asyncio.create_task(life(), name=kind.name)
    try:
        await _while_it_lives(living, started.wait())
        yield living
    finally:
        leave.set()
        if fuse.blown.is_set():
            # First it takes nothing new, then what it was doing is unwound: so no delivery comes back to the dead.
            await asyncio.sleep(0.02)
            living.cancel()
            await asyncio.sleep(0)
            fuse.buried.set()
            # Only waited for: a case that takes too long is to be cancelled here too, not this task alone.
            await asyncio.wait({living})
            if not living.cancelled() and not isinstance(living.exception(), Crashed | BaseExceptionGroup | None):
                await living
        else:
            await living


async def _while_it_lives(living: asyncio.Task[None], waited: Awaitable[object]) -> None:
    """Wait for something, or raise what ended a process before."""
    waiting = asyncio.ensure_future(waited)
    try:
        await asyncio.wait({living, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            await living
        await waiting
    finally:
        waiting.cancel()


async def run_cases(
    cases: Sequence[tuple[str, str | None, Point | None]], databases: Databases, folder: Path
) -> list[Outcome]:
    """Run flows, by name, each with a victim that dies at a point or without, several at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def run(name: str, service: str | None, point: Point | None) -> Outcome:
        async with slots:
            with databases.lend() as database:
                return await run_case(
                    databases.url, database, folder / secrets.token_hex(6), FLOWS[name], service, point
                )

    with surrounded_providers():
        return await asyncio.gather(*(run(*case) for case in cases))


async def run_case(
    mongo_url: str, database: str, records: Path, flow: Flow, victim: str | None = None, point: Point | None = None
) -> Outcome:
    """Take a flow to its end, with the victim's first process dying at the point, and hold an audit."""
    asyncio.get_running_loop().set_exception_handler(_quiet_about_the_dead)
    client = connect(mongo_url)
    with ExitStack() as stack:
        values: dict[str, Any] = {**IMPATIENT, "export_dir": records}
        cloud = None
        if flow.prepare is not None:
            cloud = stack.enter_context(flow.cloud())
            flow.prepare(cloud.control)
            values |= cloud.settings
        receiver = None
        if flow.told:
            receiver = stack.enter_context(receiving())
            values |= receiver.addressed()
        witness = stack.enter_context(Witness(mongo_url, database))
        stack.callback(client.close)
        async with flow.bus(retry_pauses=(0.05, 0.1, 0.2)) as bus:
            world = _World(client, database, bus, Settings(**values | dict(flow.settings)), flow)
            await world.store().create_indexes()
            if flow.before is not None:
                await flow.before(world.store())

            def audit() -> Verdict:
                held = [name for name, state in flow.ends.items() if state is JobState.DISPATCHING]
                evidence = witness.evidence(
                    flow.ends,
                    records=records,
                    queued={"dead": len(bus.dead_letters) - flow.letters},
                    submissions=cloud.submissions() if cloud else {},
                    waiting=cloud.waiting() if cloud else (),
                    in_flight=held,
                )
                verdict = judge(evidence)
                verdict.wrong += [
                    f"{job.id}: ended {job.state}, not {flow.ends[job.id]}: {job.failure}"
                    for job in evidence.jobs
                    if job.id in flow.ends and job.state is not flow.ends[job.id]
                ]
                if isinstance(bus, ListeningBus) and len(bus.shifts) != 1:
                    verdict.wrong.append(f"told of {len(bus.shifts)} shifts, not of one")
                if receiver is not None:
                    verdict.wrong += wrongly_told(flow.told, receiver.got, once=point is None)
                return verdict

            fuses = {name: Fuse(point if name == victim else None) for name in KINDS}
            recovery, broken = None, list[str]()
            try:
                recovery = await _run(world, cloud, audit, victim, fuses)
            except TimeoutError:
                last = {name: list(map(str, fuse.passed[-5:])) for name, fuse in fuses.items()}
                broken = [f"not over within {HANGS_AFTER:g} s; the last points passed: {last}"]
            except BaseExceptionGroup as errors:
                broken = ["".join(traceback.format_exception(errors))]
            verdict = audit()
            verdict.wrong += broken
            passed = {name: fuse.passed for name, fuse in fuses.items()}
            return Outcome(verdict, passed, bool(broken) or recovery is not None, recovery or 0.0)


async def _run(
    world: _World, cloud: Cloud | None, audit: Callable[[], Verdict], victim: str | None, fuses: Mapping[str, Fuse]
) -> float | None:
    """Return the seconds from the victim's crash until all had ended; None if it did not crash."""
    done = asyncio.create_task(_publish_and_await(world, cloud, audit))
    crashed_at = None
    try:
        async with asyncio.timeout(HANGS_AFTER), asyncio.TaskGroup() as others:
            over = asyncio.Event()
            for name, kind in KINDS.items():
                if name != victim:
                    others.create_task(_until(over, world, kind, fuses[name]))
            if victim is None:
                await done
                await world.bus.idle()
            else:
                async with _process(world, KINDS[victim], fuses[victim]) as living:
                    blown = asyncio.create_task(fuses[victim].blown.wait())
                    await asyncio.wait({done, blown, living}, return_when=asyncio.FIRST_COMPLETED)
                    # What comes after the end, such as the last ack or the next look for work.
                    await asyncio.wait({blown}, timeout=0.5)
                    blown.cancel()
                    crashed_at = time.monotonic() if fuses[victim].blown.is_set() else None
                async with _process(world, KINDS[victim], Fuse()) as living:
                    await _while_it_lives(living, done)
                    await world.bus.idle()
            over.set()  # and not a wait more: what is published by now may be for the one that is gone
    finally:
        done.cancel()
    return time.monotonic() - crashed_at if crashed_at else None


async def _until(over: asyncio.Event, world: _World, kind: type[Service], fuse: Fuse) -> None:
    async with _process(world, kind, fuse) as living:
        await _while_it_lives(living, over.wait())


def _quiet_about_the_dead(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if not isinstance(context.get("exception"), Crashed):
        loop.default_exception_handler(context)


async def _publish_and_await(world: _World, cloud: Cloud | None, audit: Callable[[], Verdict]) -> None:
    """Publish the flow's request and what follows, and return when every job is where it should end."""
    flow, store = world.flow, world.store()
    await world.bus.publish(flow.request)
    if flow.once_kept is not None:
        while await store.schedules.get(flow.once_kept.name) is None:  # noqa: ASYNC110  (by the dispatcher)
            await asyncio.sleep(0.02)
        await world.bus.publish(flow.once_kept)
    if flow.once_dispatched is not None:
        (job_id,) = flow.ends
        await _reached(store, job_id, lambda job: job.state is not JobState.DISPATCHING)
        assert cloud is not None
        await flow.once_dispatched(cloud.control, world.bus)
    if flow.once_held is not None:
        (job_id,) = flow.ends
        await _reached(store, job_id, lambda job: job.held is not None)
        await flow.once_held(store, world.bus)
    if flow.once_failed is not None:
        (job_id,) = flow.ends
        # After a crash it may have to be done anew, and then it goes well.
        job = await _reached(store, job_id, lambda job: job.state is JobState.FAILED or is_settled(job))
        if job.state is JobState.FAILED:
            assert cloud is not None
            await flow.once_failed(cloud.control, world.bus)
    for job_id in flow.ends:
        await _reached(store, job_id, is_settled)
    await world.bus.idle()
    # An end that was not recorded or cleared up after is for the reconciler.
    while ((found := audit()).all and not found.duplicated) or await store.suites.unfinished():  # noqa: ASYNC110
        await asyncio.sleep(IMPATIENT["reconcile_seconds"])


def wrongly_told(
    wanted: Mapping[str, Sequence[str]], got: Sequence[tuple[object, bytes]], *, once: bool
) -> Iterator[str]:
    """Say what is wrong with what a receiver was told; with `once`, no event may come twice.

    But for an end: its message comes again where a slow machine makes the reconciler think that it was lost.
    """
    bodies: dict[str, bytes] = {}
    kinds: dict[str, list[str]] = {}
    for _, body in list(got):
        event = json.loads(body)
        if event["id"] not in bodies:
            kinds.setdefault(event["subject"], []).append(event["type"].removeprefix(f"{TYPES}."))
        elif once and not event["type"].endswith(".ended"):
            yield f"{event['id']}: was told again"
        if bodies.setdefault(event["id"], body) != body:
            yield f"{event['id']}: was told again, and differently"
    if kinds != {subject: list(each) for subject, each in wanted.items()}:
        yield f"was told {kinds}, and not {wanted}"


async def _reached(store: Store, job_id: str, reached: Any) -> Job:
    return [job async for job in watch(store, job_id, until=reached)][-1]
