"""What a service may be in the middle of when it dies: small flows that together make it do everything it can."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.jobs import JobState
from metriq_gym.jobs.drift import BASELINE, IN_A_ROW
from metriq_gym.jobs.ticks import id_of
from metriq_gym.jobs.watched import Seen, looked_at
from metriq_gym.messages import (
    DeviceDrifted,
    EstimateRequested,
    JobCancelRequested,
    JobRequested,
    JobResumeRequested,
    Message,
    ScheduleChangeRequested,
    ScheduleRequested,
    SuiteRequested,
)
from metriq_gym.operations.resolve import Fail, resolve
from metriq_gym.service.pool import WorkerDied
from metriq_gym.store import Store
from services.dispatcher.lanes import SIZES
from tests.faults.clouds import Cloud, ibm, tyxonq
from tests.ibm.server import IBMCloud
from tests.sandbox.fixture import SandboxControl
from tests.support.inprocess import InlinePool
from tests.support.system import WIT

TRIVIAL = {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 3, "max_qubits": 3, "max_circuits": 1, "shots": 10}
BELL = (Path(__file__).parents[2] / "examples" / "bell.qasm").read_text()
MANY = 12
"""Enough tasks for the poller to ask for the provider's list."""


@dataclass(frozen=True)
class Flow:
    """Some requests and what must become of them, whatever happens on the way."""

    request: Message
    ends: Mapping[str, JobState]
    """Job → the state it ends in; `dispatching` stands for being held for an operator."""
    prepare: Callable[[Any], object] | None = None
    """Makes the provider behave as the flow wants; without it no provider is needed."""
    once_dispatched: Callable[[Any, MemoryBus], Awaitable[None]] | None = None
    once_failed: Callable[[Any, MemoryBus], Awaitable[None]] | None = None
    once_held: Callable[[Store, MemoryBus], Awaitable[object]] | None = None
    cloud: Callable[[], AbstractContextManager[Cloud]] = tyxonq
    """The provider's service."""
    once_kept: ScheduleChangeRequested | None = None
    """What is asked about the schedule that `request` asks for."""
    pool: Callable[[], InlinePool] = InlinePool
    bus: type[MemoryBus] = MemoryBus
    settings: Mapping[str, Any] = field(default_factory=dict)
    before: Callable[[Store], Awaitable[object]] | None = None
    """Puts into the store what was there before."""
    told: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Subject → the kinds of events that a receiver is told of it, in order; without any there is no receiver."""
    letters: int = 0
    """Messages that become dead letters."""


class Nameless(Message):
    """Says that a job is completed, and not which."""

    routing_key = "job.completed"

    @property
    def message_id(self) -> str:
        return "nameless"


class ListeningBus(MemoryBus):
    """Remembers which shifts it was told of, and how often."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.shifts = Counter[str]()

    async def publish(self, message: Message) -> None:
        await super().publish(message)
        if isinstance(message, DeviceDrifted):
            self.shifts[message.message_id] += 1


class LossyBus(MemoryBus):
    """Confirms everything and keeps all but the first message of each kind that leads a job on: an emptied queue."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._lost = {"job.requested", "job.dispatched", "job.completed", "job.scored"}

    async def publish(self, message: Message) -> None:
        if message.routing_key in self._lost:
            self._lost.discard(message.routing_key)
        else:
            await super().publish(message)


class SlowPool(InlinePool):
    """Takes longer than a lease goes without being renewed."""

    async def run_within(self, seconds: float | None, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0.8)
        return await super().run_within(seconds, function, *args, **kwargs)


class DyingPool(InlinePool):
    """Its worker dies the first time that it is asked for anything."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = Counter[str]()

    async def run_within(self, seconds: float | None, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._calls[function.__name__] += 1
        if self._calls[function.__name__] == 1:
            raise WorkerDied
        return await super().run_within(seconds, function, *args, **kwargs)


def local(job_id: str = "j", **config: Any) -> JobRequested:
    return JobRequested(job_id=job_id, provider="local", device="aer_simulator", config={**TRIVIAL, **config})


def remote(circuits: int, **config: Any) -> JobRequested:
    several = {**TRIVIAL, "max_circuits": circuits, "min_qubits": 5, "max_qubits": 5, **config}
    return JobRequested(job_id="j", provider="tyxonq", device="homebrew_s2?o=3", config=several)


def _stand_still(sandbox: SandboxControl) -> None:
    sandbox.set(running_seconds=1.5)
    sandbox.freeze()


async def _go_on(sandbox: SandboxControl, _: MemoryBus) -> None:
    asked = sandbox.calls()["list"]
    while sandbox.calls()["list"] < asked + 2:  # noqa: ASYNC110  (by a poller, which finds that all of them wait)
        await asyncio.sleep(0.05)
    sandbox.freeze(False)


async def _cancel(_: object, bus: MemoryBus) -> None:
    await bus.publish(JobCancelRequested(job_id="j"))


async def _give_up(store: Store, bus: MemoryBus) -> None:
    await resolve(store, bus, "j", Fail())


async def _resume(_: SandboxControl, bus: MemoryBus) -> None:
    await bus.publish(JobResumeRequested(job_id="j", resumed=7))  # which is refused
    await bus.publish(JobResumeRequested(job_id="j", resumed=0))


def _trouble(sandbox: SandboxControl) -> None:
    sandbox.set(pending_seconds=0.3, running_seconds=0.3)
    sandbox.add_fault("rate_limited", "submit", after=1, times=1)
    sandbox.add_fault("lost_response", "submit", after=4, times=1)
    sandbox.add_fault("server_error", "detail", after=2, times=1)


def _credential_refused(sandbox: SandboxControl) -> None:
    sandbox.add_fault("refused", "submit", status=401, after=1, times=1)
    sandbox.add_fault("html", "detail", status=403, times=1)


def _incomplete_list(sandbox: SandboxControl) -> None:
    elsewhere = "OPENQASM 2.0; qreg q[1]; creg c[1]; h q[0]; measure q[0] -> c[0];"
    sandbox.add_tasks(3, device="homebrew_s2", source=elsewhere)
    sandbox.set(list_limit=3, list_paged=True)
    sandbox.add_fault("lost_response", "submit", times=1)


def at_ibm() -> JobRequested:
    return JobRequested(job_id="j", provider="ibm", device="ibm_lagos", config=TRIVIAL)


def _trouble_at_ibm(cloud: IBMCloud) -> None:
    cloud.retry_after = "0"
    cloud.script = {
        "POST /jobs": deque(["busy", "lost_answer"]),
        "GET /jobs": deque(["down", "busy", "odd_state"]),
        "GET /backends": deque(["down"]),
    }


def _queue_at_ibm(cloud: IBMCloud) -> None:
    cloud.held = True
    cloud.script = {"POST /jobs": deque(["", "busy"])}  # the second is the cancellation
    cloud.retry_after = "0"


async def _about_to_drift(store: Store) -> None:
    """Leave a calibration as it is after a baseline and all but one of the values that make a step."""
    names = {"provider": "local", "device": "aer_simulator", "benchmark": None, "job_id": "earlier"}
    began, nights = datetime(2026, 1, 1, tzinfo=UTC), [1.0, 2.0] * (BASELINE // 2) + [1e6] * (IN_A_ROW - 1)
    seen = [
        Seen.model_validate({**names, "at": began + timedelta(days=night), "numbers": {"num_qubits": (value, None)}})
        for night, value in enumerate(nights)
    ]
    await store.drifts.change(seen[0].series_id, partial(looked_at, seen=seen))


SUITE = SuiteRequested(
    suite_id="s",
    provider="local",
    device="aer_simulator",
    suite={
        "name": "Two",
        "benchmarks": [{"name": "one", "config": TRIVIAL}, {"name": "two", "config": {**WIT, "shots": 10}}],
    },
)
NINE = [{"name": f"n{number}", "config": TRIVIAL} for number in range(SIZES[0] + 1)]
SUITES_JOBS = {"s.001-one": JobState.EXPORTED, "s.002-two": JobState.EXPORTED}

NIGHTLY = ScheduleRequested(
    name="nightly", cron="0 0 1 1 *", provider="local", device="aer_simulator", config=TRIVIAL, daily_circuits=10
)
NOW = ScheduleChangeRequested(request_id="now", name="nightly", action="run")

FLOWS: dict[str, Flow] = {
    "local": Flow(local(), {"j": JobState.EXPORTED}),
    "drifted": Flow(
        local(),
        {"j": JobState.EXPORTED},
        bus=ListeningBus,
        before=_about_to_drift,
        told={"j": ["job.ended"], "local/aer_simulator": ["device.drifted"]},
    ),
    "letter": Flow(Nameless(), {}, told={"nameless": ["message.dead_lettered"]}, letters=1),
    "slow": Flow(local(), {"j": JobState.EXPORTED}, pool=SlowPool),
    "worker dies": Flow(local(), {"j": JobState.EXPORTED}, pool=DyingPool),
    "remote": Flow(remote(2), {"j": JobState.EXPORTED}, lambda sandbox: sandbox.set(pending_seconds=0.1)),
    "many at the provider": Flow(remote(MANY), {"j": JobState.EXPORTED}, _stand_still, _go_on),
    "remote in trouble": Flow(remote(MANY), {"j": JobState.EXPORTED}, _trouble),
    "credential in trouble": Flow(remote(3), {"j": JobState.EXPORTED}, _credential_refused),
    "in doubt": Flow(remote(2), {"j": JobState.DISPATCHING}, _incomplete_list, told={"j": ["job.held"]}),
    "given up by an operator": Flow(
        remote(2),
        {"j": JobState.FAILED},
        _incomplete_list,
        once_held=_give_up,
        told={"j": ["job.held", "job.ended"]},
    ),
    "task fails": Flow(
        remote(2), {"j": JobState.FAILED}, lambda sandbox: sandbox.add_fault("task_fails", "submit", times=1)
    ),
    "resumed": Flow(
        remote(4),
        {"j": JobState.EXPORTED},
        lambda sandbox: sandbox.add_fault("refused", "submit", after=2, times=1, message="no credit"),
        once_failed=_resume,
    ),
    "resumed with nothing to submit": Flow(
        remote(2),
        {"j": JobState.EXPORTED},
        lambda sandbox: sandbox.add_fault("state", "detail", state="cancelled", times=1),
        once_failed=_resume,
    ),
    "dry run": Flow(
        JobRequested(
            job_id="j", provider="tyxonq", device="homebrew_s2?o=3&dry", config={**TRIVIAL, "max_circuits": 2}
        ),
        {"j": JobState.CHECKED},
        lambda sandbox: sandbox.set(pending_seconds=0.1),
    ),
    "plain circuit": Flow(
        JobRequested(
            job_id="j",
            provider="tyxonq",
            device="homebrew_s2?o=3",
            config={"benchmark_name": "Circuit", "qasm": BELL, "shots": 10, "observables": ["ZZ"]},
        ),
        {"j": JobState.EXPORTED},
        lambda sandbox: sandbox.add_fault("lost_response", "submit", times=1),
    ),
    "too wide": Flow(remote(1, min_qubits=14, max_qubits=14), {"j": JobState.FAILED}, lambda _: None),
    "cancelled": Flow(
        remote(2),
        {"j": JobState.CANCELLED},
        lambda sandbox: sandbox.set(running_seconds=600),
        _cancel,
    ),
    "IBM in trouble": Flow(at_ibm(), {"j": JobState.EXPORTED}, _trouble_at_ibm, cloud=ibm),
    "IBM, error after it was accepted": Flow(
        at_ibm(),
        {"j": JobState.EXPORTED},
        lambda cloud: cloud.script.update({"POST /jobs": deque(["error_after"])}),
        cloud=ibm,
    ),
    "IBM, credential in trouble": Flow(
        at_ibm(),
        {"j": JobState.EXPORTED},
        lambda cloud: cloud.script.update({"POST /jobs": deque(["credential"]), "GET /jobs": deque(["credential"])}),
        cloud=ibm,
    ),
    "IBM, in a batch": Flow(
        at_ibm(),
        {"j": JobState.EXPORTED},
        lambda cloud: cloud.script.update({"POST /sessions": deque(["down"]), "POST /jobs": deque(["lost_answer"])}),
        cloud=ibm,
        settings={"ibm_mode": "batch"},
    ),
    "IBM, task fails": Flow(
        at_ibm(),
        {"j": JobState.FAILED},
        lambda cloud: cloud.script.update({"POST /jobs": deque(["task_fails"])}),
        cloud=ibm,
    ),
    "IBM, cancelled": Flow(at_ibm(), {"j": JobState.CANCELLED}, _queue_at_ibm, _cancel, cloud=ibm),
    "rejected": Flow(local(shots=0), {"j": JobState.REJECTED}),
    "overdue": Flow(
        remote(2),
        {"j": JobState.FAILED},
        lambda sandbox: sandbox.set(running_seconds=600),
        settings={"job_deadline_seconds": 5},
    ),
    "estimate": Flow(EstimateRequested(estimate_id="e", provider="local", device="aer_simulator", config=TRIVIAL), {}),
    "schedule": Flow(NIGHTLY, {id_of("nightly", "now"): JobState.EXPORTED}, once_kept=NOW),
    "suite": Flow(SUITE, SUITES_JOBS),
    "suite, of which one waits in a lane": Flow(
        SUITE.model_copy(update={"suite": {"name": "Nine", "benchmarks": NINE}}),
        {f"s.{number:03}-{each['name']}": JobState.EXPORTED for number, each in enumerate(NINE, start=1)},
    ),
    "quota": Flow(SUITE, SUITES_JOBS, settings={"quota_jobs": 2}),
    "quota, one job": Flow(local(), {"j": JobState.EXPORTED}, settings={"quota_jobs": 1}),
    "suite, messages lost": Flow(SUITE, SUITES_JOBS, bus=LossyBus),
}
