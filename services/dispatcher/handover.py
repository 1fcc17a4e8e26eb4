"""Taking an accepted job to `dispatched`: build and compile its circuits, store them as tasks, submit these."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import structlog

from metriq_gym.errors import MetriqGymError, Permanent, Transient, Unsupported
from metriq_gym.jobs import Failure, Job, Task, TaskState
from metriq_gym.jobs.changes import Dispatched, Planned
from metriq_gym.jobs.documents import Lease
from metriq_gym.jobs.plan import Plan, make_plan
from metriq_gym.providers.provider import CancellingProvider, Device, Provider, RemoteProvider
from metriq_gym.service.lease import held
from metriq_gym.service.lifecycle import fail, move
from metriq_gym.service.pool import JOB_SECONDS, Pool, WorkerDied
from metriq_gym.store import Store
from metriq_gym.telemetry import tracing
from metriq_gym.wording import duration

from .submission import Submitter

log = structlog.get_logger()

SERVICE = "dispatcher"
_MAX_BUILDS = 3
"""How often building a job may kill its worker process before the job is given up."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Works for a dispatcher that holds the job's lease, and renews it meanwhile."""

    store: Store
    pool: Pool
    submitter: Submitter
    lease_seconds: float

    async def __call__(self, job: Job, lease: Lease, provider: Provider, device: Device) -> Job:
        """Return the job as `dispatched`, as `failed` when it cannot run, or held for an operator.

        Raises `Transient` when it has to be taken up again later, and `LeaseLost`.
        """
        renew = partial(self.store.jobs.renew, job.id, lease.token, self.lease_seconds)
        return await held(self._run(job, lease, provider, device), renew, self.lease_seconds)

    async def _run(self, job: Job, lease: Lease, provider: Provider, device: Device) -> Job:
        try:
            if not isinstance(provider, RemoteProvider):
                plan = await self._plan(job, lease, provider, device)
                if job.resumed:
                    await self.store.tasks.reopen(job.id, lease.token)
                return await self._dispatched(job, lease, plan)
            if not job.planned:
                # From here on the tasks stay as they are: some of them may have been submitted.
                job = await self.store.jobs.plan(job.id, lease.token, await self._plan(job, lease, provider, device))
            doubt = await self.submitter.submit(job, provider)
        except Unsupported as error:
            return await self.fail(job, lease, "unsupported", str(error))
        except Permanent as error:
            return await self.fail(job, lease, "error", str(error))
        except WorkerDied as error:
            deaths = job.deaths + 1
            if deaths < _MAX_BUILDS:
                await self.store.jobs.note_death(job.id, lease.token)
                raise Transient(str(error)) from error
            return await self.fail(job, lease, "error", f"{error} ({deaths} times, building the circuits)")
        if doubt:
            return await self.store.jobs.hold(job.id, lease.token, doubt)
        return await self._dispatched(job, lease, None)

    async def _plan(self, job: Job, lease: Lease, provider: Provider, device: Device) -> Planned:
        """Store the job's tasks and return what it gains with them."""
        circuits = provider.max_circuits_per_task
        try:
            with tracing.span("build circuits"):
                plan = await self.pool.run_within(
                    JOB_SECONDS, make_plan, job.config, job.seed, device, provider.compiler, circuits, job.compilation
                )
        except MetriqGymError:
            raise
        except TimeoutError as error:
            raise Permanent(f"building the circuits took longer than {duration(JOB_SECONDS)}") from error
        except Exception as error:
            # Building is a pure function: what it raised once it would raise each time.
            log.exception("building failed", job_id=job.id)
            raise Permanent(f"{type(error).__name__}: {error}") from error
        await self.store.tasks.replace_all(job.id, _tasks(job, provider, plan, lease.token))
        return Planned(
            device_metadata={"num_qubits": device.num_qubits, "simulator": device.simulator, **device.metadata},
            data=plan.data,
            runs=plan.runs,
            task_count=len(plan.tasks),
            input_two_qubit_gate_counts=plan.input_two_qubit_gate_counts,
            transpiled_two_qubit_gate_counts=plan.transpiled_two_qubit_gate_counts,
            compiled_with=plan.compiled_with,
        )

    async def _dispatched(self, job: Job, lease: Lease, plan: Planned | None) -> Job:
        tasks = job.task_count if plan is None else plan.task_count
        cause = f"tasks with {job.provider}: {tasks}"
        dispatched = Dispatched(plan=plan)
        return await move(self.store, job.id, dispatched, service=SERVICE, cause=cause, token=lease.token, seen=job)

    async def fail(self, job: Job, lease: Lease, outcome: Literal["unsupported", "error"], reason: str) -> Job:
        """End a job that cannot run."""
        failure = Failure(outcome=outcome, reason=reason, source="dispatch")
        return await fail(self.store, job.id, failure, service=SERVICE, token=lease.token)


def _tasks(job: Job, provider: Provider, plan: Plan, token: int) -> list[Task]:
    return [
        Task(
            id=f"{job.id}:{number}",
            job_id=job.id,
            provider=job.provider,
            device=job.target,
            state=TaskState.STORED,
            run=task.run,
            first=task.first,
            circuit_count=task.circuit_count,
            shots=task.shots,
            seed=task.seed,
            dry=job.dry,
            cancellable=isinstance(provider, CancellingProvider),
            lane=job.lane,
            plan=token,
            traceparent=job.traceparent,
            circuits=task.circuits,
        )
        for number, task in enumerate(plan.tasks)
    ]
