"""The dispatcher's handler.

Consumes ``job.requested``, ``job.cancel_requested``, ``suite.requested`` and what is asked about schedules; accepts or
rejects a request, builds and compiles the circuits, stores them as tasks and hands these to the provider; publishes
``job.dispatched``, ``job.failed``, ``job.cancelled``, and the ``job.requested`` of suites and schedules.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING

import structlog

from metriq_gym import __version__
from metriq_gym.bus.identity import Request, read_asked, read_request
from metriq_gym.bus.port import DISPATCHER, LANES, Delivery
from metriq_gym.bus.retry import CANCELLATION
from metriq_gym.errors import (
    IllegalTransition,
    InvalidRequest,
    LeaseLost,
    NotFound,
    NotYet,
    Permanent,
    Problem,
    Transient,
    means,
)
from metriq_gym.jobs import Failure, Job, JobState
from metriq_gym.jobs.changes import Accepted, Cancelled, Rejected
from metriq_gym.jobs.lifecycle import REFUSED
from metriq_gym.messages import (
    Compilation,
    EstimateRequested,
    JobCancelRequested,
    JobRequested,
    JobResumeRequested,
    ScheduleChangeRequested,
    ScheduleRequested,
    SuiteRequested,
)
from metriq_gym.providers import Providers, installed
from metriq_gym.providers.provider import Device, Provider
from metriq_gym.schema_validator import seed_of
from metriq_gym.service.lifecycle import announce, clear, move
from metriq_gym.service.loop import Loop
from metriq_gym.service.parking import Parking, accepts
from metriq_gym.service.purging import Policy
from metriq_gym.service.service import Context, Service
from metriq_gym.store.suites import SuitePlan
from metriq_gym.telemetry import metrics, tracing
from metriq_gym.wording import shorten

from .ahead import Ahead
from .estimates import Estimator
from .handover import HandOver
from .lanes import Lanes
from .purging import Purger
from .quota import Quota
from .reconciler import Reconciler
from .register import Register
from .request import Checked, asked_for, check
from .scheduler import SECONDS as SCHEDULE_SECONDS
from .scheduler import Scheduler, read_schedule
from .standing import Standing
from .submission import Submitter
from .suites import fan_out

if TYPE_CHECKING:
    from metriq_gym.service.health import Check, Measure

log = structlog.get_logger()

_LIKE_A_MEMBER = re.compile(r"\.\d{3,}-")
"""What stands between a suite's id and the rest of the id of one of its jobs."""
_MOST_PLANS = 8
_COUNT_SECONDS = 3.0


class Dispatcher(Service):
    """From a request on the queue to tasks with the provider."""

    name = "dispatcher"
    queue = DISPATCHER
    lanes = LANES
    default_port = 8081
    stage = "dispatch"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._providers = Providers(context.settings)
        self._providers.check_settings()
        self._providers.tell_broken()
        self._lanes = Lanes()
        self._ahead = Ahead(self.store)
        self._quota = Quota(self.store, self.settings)
        self._plans: dict[str, SuitePlan] = {}
        seconds = self.settings.reconcile_seconds
        submitter = Submitter(self.store, self.pool, self.settings.settle_seconds)
        self._hand_over = HandOver(self.store, self.pool, submitter, self.settings.lease_seconds)
        self._estimator = Estimator(self.store, self.pool, self._providers, self.settings.compilation)
        self._register = Register(self.store.devices)
        self._parking = Parking(self.store)
        # Of a lease and of a pause between two questions, with its jitter.
        longest = max(self.settings.lease_seconds, 1.25 * self.settings.poll_max_seconds)
        self._standing = Standing(self.store, self.bus, longest_seconds=longest)
        self.reconciler = Reconciler(
            self.store,
            self.bus,
            self.instance,
            seconds,
            self.settings.lease_seconds,
            longest_seconds=longest,
            deadline_seconds=self.settings.job_deadline_seconds,
            purger=Purger(self.store, self.bus, policy) if (policy := Policy.of(self.settings)).days else None,
        )
        self._reconciling = Loop("reconciler", self.reconciler, seconds)
        self.scheduler = Scheduler(self.store, self.bus, self._estimator.cost)
        self._scheduling = Loop("scheduler", self.scheduler, SCHEDULE_SECONDS)

    async def start(self) -> None:
        """Begin to consume, to look after jobs that stand still, and to request what schedules say."""
        await super().start()
        self._reconciling.start()
        self._scheduling.start()

    async def stop(self) -> None:
        """Drain."""
        self._ahead.let_all()
        try:
            async with asyncio.TaskGroup() as stopping:
                stopping.create_task(self._stop_reconciling())
                stopping.create_task(self._scheduling.stop())
                stopping.create_task(super().stop())
        finally:
            await self._providers.aclose()

    async def _stop_reconciling(self) -> None:
        await self._reconciling.stop()
        await self.reconciler.release()

    def loops(self) -> Sequence[Loop]:
        """Return what runs beside the handler."""
        return (self._reconciling, self._scheduling)

    def notes(self) -> dict[str, Check]:
        """Return whether each remote provider that was asked accepts its credential."""
        return {
            f"{name} accepts the dispatcher's credential": self._accepts(name)
            for name in installed().of_kind(local=False)
        }

    def _accepts(self, name: str) -> Check:
        async def check() -> bool | str:
            found = [accepts(each) for each in self._providers.used() if each.name == name]
            return await found[0]() if found else True

        return check

    def measures(self) -> Sequence[Measure]:
        """Return what counts jobs, due tasks and messages."""
        return (self._standing.measure, self._count_overdue_suites)

    async def _count_overdue_suites(self) -> None:
        catalogue = self.store.catalogue
        try:
            async with asyncio.timeout(_COUNT_SECONDS):
                overdue = await catalogue.waiting_suites(self.settings.job_deadline_seconds)
        except (Transient, TimeoutError) as error:
            log.warning("overdue suites cannot be counted", error=str(error) or "too slow")
            metrics.WAITING_SUITES.set(nan)  # better nothing than what was
        else:
            metrics.WAITING_SUITES.set(len(overdue))

    async def handle(self, delivery: Delivery) -> None:
        """Dispatch or cancel one job, request the jobs of a suite, or estimate."""
        try:
            await self._handle(delivery)
        finally:
            for provider in self._providers.used():
                await self._parking.tell(provider)

    async def _handle(self, delivery: Delivery) -> None:
        match delivery.routing_key:
            case JobCancelRequested.routing_key:
                await self._cancel(read_asked(JobCancelRequested, delivery).job_id, delivery.postponed + 1)
            case JobResumeRequested.routing_key:
                await self._resume(delivery)
            case SuiteRequested.routing_key:
                await self._fan_out(read_request(delivery))
            case EstimateRequested.routing_key:
                await self._estimator.answer(delivery)
            case ScheduleRequested.routing_key:
                await self._keep_schedule(read_request(delivery))
            case ScheduleChangeRequested.routing_key:
                await self.scheduler.change(delivery)
                self._scheduling.wake()
            case _:
                request = read_request(delivery)
                # One that comes again has had its turn.
                fresh = self.settings.fair_shares and not delivery.lane and delivery.attempt == 1
                if fresh and (lane := self._lanes.lane(request)) is not None:
                    await self.bus.set_aside(delivery, lane)
                else:
                    async with self._room(request):
                        if (job := await self._dispatch(request)) is not None:
                            await self._announce(job)

    def _room(self, request: Request) -> AbstractAsyncContextManager[None]:
        """Return what to wait for with a job from a lane that is to run here; others have to wait for nothing."""
        provider = request.body.get("provider") if isinstance(request.body, dict) else None
        in_lane = self.settings.fair_shares and request.delivery.lane
        if in_lane and isinstance(provider, str) and provider in installed().of_kind(local=True):
            return self._ahead.room(provider)
        return nullcontext()

    async def refuse(self, delivery: Delivery, reason: str) -> bool:
        """Let a request end that never became a job, and say so."""
        if delivery.routing_key not in (JobRequested.routing_key, SuiteRequested.routing_key):
            return False
        failure = Failure(outcome="error", reason=reason, source="dispatch")
        request = read_request(delivery)
        if delivery.routing_key == JobRequested.routing_key:
            request, _ = await self._of_its_suite(request)
        await self._announce(await self._record(request, failure))
        return True

    async def _fan_out(self, request: Request) -> None:
        """Publish a suite's job requests; delivered again, the same ones, which name the same jobs.

        Once they are stored the suite is accepted: if they get lost, the reconciler publishes them again.
        """
        try:
            requests = fan_out(request, self.settings.max_message_bytes)
            _, device = await self._find_device(requests[0].provider, requests[0].device)
            _usable(device, requests[0].force)
        except InvalidRequest as error:
            await self._announce(await self._reject(request, error))
            return
        suite_id, job_ids = request.job_id, [str(each.job_id) for each in requests]
        # In this order: a plan is there before any of its jobs is.
        taken = await self.store.jobs.taken(suite_id, job_ids)
        if await self._plan(suite_id) is None:
            try:
                if taken:
                    problem = Problem("$.suite_id", f"is in use by jobs of other requests: {', '.join(taken)}")
                    raise InvalidRequest([problem])
                await self._quota.admit(request.delivery.user_id, suite_id, job_ids)
            except InvalidRequest as error:
                await self._announce(await self._reject(request, error))
                return
        # What was accepted first counts, whatever this message says.
        plan = await self.store.suites.keep(suite_id, requests, self.settings.job_deadline_seconds)
        await asyncio.gather(*map(self.bus.publish, plan.requests))

    async def _keep_schedule(self, request: Request) -> None:
        """Store a schedule; what is wrong with its request shows as a rejected job, as with any other."""
        try:
            asked = read_schedule(request, self.settings.max_message_bytes)
            await self._find_device(asked.provider, asked.device)
            await self.scheduler.keep(request, asked)
        except InvalidRequest as error:
            await self._announce(await self._reject(request, error))
        else:
            self._scheduling.wake()

    async def _dispatch(self, request: Request) -> Job | None:
        job_id = request.job_id
        structlog.contextvars.bind_contextvars(job_id=job_id)
        tracing.annotate({"metriq.job.id": job_id})
        try:
            job = await self.store.jobs.get(job_id)
        except NotFound:
            if await self.store.records.is_deleted(job_id):
                log.info("job was deleted")  # and is not to run again because its request comes again
                await clear(self.store, job_id)  # of what was stored after it was deleted
                return None
            asked, wrong = await self._of_its_suite(request)
            return await self._begin(asked, wrong, planned=asked.delivery is not request.delivery)
        if job.state is not JobState.DISPATCHING or job.held:
            return job
        # Its dispatcher may be gone. What was accepted counts, whatever this message says.
        return await self._hold(job_id, Accepted())

    async def _of_its_suite(self, request: Request) -> tuple[Request, InvalidRequest | None]:
        """Return a job's request as its suite's plan has it, and what is wrong with one that says it is of a suite.

        Of a suite is what the suite's own request asked for, and nothing else. A job that names a suite which was never
        requested is listed with it, and exported by itself: for such a suite nobody can say how many jobs it has.
        """
        job_id = request.job_id
        names = [job_id[: each.start()] for each in _LIKE_A_MEMBER.finditer(job_id)]
        if request.suite_id is not None:
            names.append(request.suite_id)
        for name in names:
            plan = await self._plan(name)
            if plan is not None and (planned := plan.request(job_id)) is not None:
                delivery = replace(request.delivery, body=planned.encoded())
                return read_request(delivery), None
            if plan is not None and name == request.suite_id:
                problem = Problem("$.suite_id", f"{name} was requested without this job; publish suite.requested")
                return replace(request, suite_id=None), InvalidRequest([problem])
        if isinstance(request.body, dict) and "suite_size" in request.body:
            body = {key: value for key, value in request.body.items() if key != "suite_size"}
            return replace(request, body=body), None
        return request, None

    async def _plan(self, suite_id: str) -> SuitePlan | None:
        """Return a suite's plan; it never changes, and its jobs are requested one after the other."""
        if suite_id not in self._plans:
            plan = await self.store.suites.plan(suite_id)
            if plan is None:
                return None
            while len(self._plans) >= _MOST_PLANS:
                self._plans.pop(next(iter(self._plans)))
            self._plans[suite_id] = plan
        return self._plans[suite_id]

    async def _begin(self, request: Request, wrong: InvalidRequest | None, *, planned: bool) -> Job:
        try:
            if wrong is not None:
                raise wrong
            checked = check(request, self.settings.max_message_bytes)
            _, device = found = await self._find_device(checked.message.provider, checked.message.device)
            _usable(device, checked.message.force)
            if not planned:  # what was, has its place since its suite was accepted
                await self._quota.admit(request.delivery.user_id, request.job_id, [request.job_id])
        except InvalidRequest as error:
            return await self._reject(request, error)
        lane = request.delivery.lane
        return await self._hold(request.job_id, _accepted(checked, device, self.settings.compilation, lane), found)

    async def _hold(self, job_id: str, accepted: Accepted, found: tuple[Provider, Device] | None = None) -> Job:
        """Take the job's lease, if it can be had, and hand the job over under it."""
        owner = f"{self.instance}/{secrets.token_hex(8)}"
        seconds = self.settings.lease_seconds
        job = await self.store.jobs.accept(
            job_id,
            accepted,
            owner=owner,
            lease_seconds=seconds,
            deadline_seconds=self.settings.job_deadline_seconds,
        )
        if job.lease is None or job.lease.owner != owner:
            return job
        try:
            try:
                provider, device = found or await self._find_device(job.provider, job.target)
            except InvalidRequest as error:
                if job.planned:  # the provider may have some of its tasks
                    raise Transient(str(error)) from error
                return await self._hand_over.fail(job, job.lease, "error", str(error))
            return await self._hand_over(job, job.lease, provider, device)
        except IllegalTransition:
            return await self.store.jobs.get(job_id)  # cancelled meanwhile
        except LeaseLost as error:
            metrics.LEASE_LOSSES.labels("job").inc()
            raise NotYet(str(error)) from error
        except BaseException:
            await self.store.jobs.expire_lease(job_id, job.lease.token)
            raise

    async def _find_device(self, provider_name: str, device_id: str) -> tuple[Provider, Device]:
        with means():
            try:
                provider = self._providers.get(provider_name)
            except (NotFound, Permanent) as error:
                raise InvalidRequest([Problem("$.provider", str(error))]) from None
            try:
                device = await provider.device(device_id)
            except (NotFound, Permanent) as error:
                raise InvalidRequest([Problem("$.device", str(error))]) from None
        await self._register.note(device)
        return provider, device

    async def _reject(self, request: Request, error: InvalidRequest) -> Job:
        # What a stranger wrote is repeated in what is wrong with it.
        problems = [{"path": shorten(each.path), "message": shorten(each.message, 500)} for each in error.problems]
        failure = Failure(outcome="rejected", reason=shorten(str(error), 2000), source="dispatch", problems=problems)
        return await self._record(request, failure)

    async def _record(self, request: Request, failure: Failure) -> Job:
        excerpt = request.delivery.body[:4096].decode(errors="replace")
        said = {"request": excerpt, "app_version": __version__, "suite_id": request.suite_id, **asked_for(request)}
        size = request.body.get("suite_size") if isinstance(request.body, dict) else None
        of_suite = {"suite_size": size} if isinstance(size, int) and not isinstance(size, bool) else {}
        rejected = Rejected.model_validate({"failure": failure, **said, **of_suite})
        return await self.store.jobs.reject(request.job_id, rejected)

    async def _announce(self, job: Job) -> None:
        """Publish what a job's state calls for; said twice it does no harm."""
        if job.held:
            log.warning("job waits for an operator: mgym job resolve", job_id=job.id, reason=job.held)
        elif job.state is JobState.DISPATCHING:
            raise NotYet(f"job {job.id} is in another dispatcher's hands")
        elif job.state in (JobState.DISPATCHED, JobState.FAILED, JobState.REJECTED):
            await announce(self.store, self.bus, job)
        elif job.state is JobState.CANCELLED:
            await clear(self.store, job.id)  # of what was stored after it was cancelled

    async def _cancel(self, job_id: str, attempt: int) -> None:
        try:
            job = await move(self.store, job_id, Cancelled(), service=self.name, cause="requested")
        except NotFound as error:
            if not CANCELLATION.is_exhausted(attempt):
                raise Transient(f"{error}; its request may still come") from error
            log.warning("asked to cancel a job that does not exist", job_id=job_id)
            return
        except IllegalTransition as error:
            job = await self.store.jobs.get(job_id)
            if job.state is not JobState.CANCELLED:
                log.info("too late to cancel", job_id=job_id, reason=str(error))
                return
        await announce(self.store, self.bus, job)

    async def _resume(self, delivery: Delivery) -> None:
        """Let a job go on that failed, and publish its request; a crash in between leaves that to the reconciler."""
        message = read_asked(JobResumeRequested, delivery)
        job_id = message.job_id
        try:
            await self._quota.admit(delivery.user_id, job_id, [job_id])
            token = await self.store.tasks.newest_token(job_id)
            job = await self.store.jobs.resume(
                job_id,
                "resumed",
                token=token,
                deadline_seconds=self.settings.job_deadline_seconds,
                resumed=message.resumed,
            )
        except (NotFound, IllegalTransition, InvalidRequest) as error:
            log.warning("not resumed", job_id=job_id, reason=str(error))
            await self.store.troubles.refuse(job_id, self.name, f"{REFUSED}: {error}", resumed=message.resumed)
            return
        await announce(self.store, self.bus, job)


def _usable(device: Device, force: bool) -> None:
    """Raise `InvalidRequest` for a device that its provider says is out of use, unless that does not matter."""
    if device.status not in ("online", "unknown") and not force:
        problem = f"{device.id} is in state {shorten(device.status)!r}; with force (--force) it is used all the same"
        raise InvalidRequest([Problem("$.device", problem)])


def _accepted(checked: Checked, device: Device, compilation: Compilation, lane: int) -> Accepted:
    """Return what a job is that has just been accepted."""
    message, config = checked.message, checked.config
    seed = seed_of(config)
    return Accepted(
        benchmark_name=config["benchmark_name"],
        provider=message.provider,
        device=device.id,
        target=message.device,
        prior=message.prior,
        remarks=message.remarks,
        group=message.group,
        tags=message.tags,
        compilation=message.compilation or compilation,
        config=config,
        warnings=[{"path": each.path, "message": each.message} for each in checked.warnings],
        dry=device.dry,
        suite_id=message.suite_id,
        suite_name=message.suite_name,
        suite_size=message.suite_size,
        lane=lane,
        seed=secrets.randbits(32) if seed is None else seed,
        app_version=__version__,
        traceparent=tracing.current(),
    )
