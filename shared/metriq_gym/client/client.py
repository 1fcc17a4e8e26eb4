"""Using the system from Python, asynchronously: publish requests, follow jobs and suites, wait for their end.

>>> async with connect() as client:
...     job_id = await client.dispatch({"benchmark_name": "WIT"}, "local", "aer_simulator")
...     job = await client.wait(job_id)

With servers configured (METRIQ_AMQP_URL and METRIQ_MONGO_URL) the running services do the work; without, the
embedded runtime does, for as long as it is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from pydantic import ValidationError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from metriq_gym.bus.port import Bus
from metriq_gym.errors import (
    InvalidRequest,
    MetriqGymError,
    NotFound,
    Permanent,
    Problem,
    Refused,
    Transient,
    Undecided,
    Unsupported,
)
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.documents import is_settled
from metriq_gym.jobs.lifecycle import advice
from metriq_gym.jobs.schedules import Schedule, refused_over, same
from metriq_gym.jobs.states import PLACED_TASKS, TaskState
from metriq_gym.jobs.suite_progress import SuiteProgress, summarise
from metriq_gym.messages import (
    Compilation,
    JobCancelRequested,
    JobId,
    JobRequested,
    JobResumeRequested,
    Message,
    ScheduleAction,
    ScheduleChangeRequested,
    ScheduleRequested,
    SuiteRequested,
)
from metriq_gym.parts import MissingPart, parts
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.private_mongod import private_mongod
from metriq_gym.wording import from_pydantic

if TYPE_CHECKING:
    from metriq_gym.bus.rabbitmq.inspection import BrokerState
    from metriq_gym.service.service import Context

GRACE_SECONDS = 2.0
"""How long work in hand may go on when a command or a script ends: just enough to hand it back."""

T = TypeVar("T")
M = TypeVar("M", bound=Message)

CONNECT_SECONDS = 20.0
"""How long servers may take to answer before they are said to be away."""
ANSWER_SECONDS = 60.0
"""How long a dispatcher may take to answer what is asked about a schedule."""
NO_ANSWER = f"no dispatcher has answered in {ANSWER_SECONDS:g} s; the request waits for one"
LOOK_SECONDS = 0.1
PUBLISH_SECONDS = 60.0
"""For how long a request whose confirmation did not come is published again; it has one id, so it runs once."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is."""

    job: Job
    tasks: Mapping[str, int]
    """How many of its tasks are in each state."""

    @property
    def tasks_placed(self) -> int:
        """How many tasks the provider has taken."""
        return sum(self.tasks.get(state, 0) for state in PLACED_TASKS)

    @property
    def tasks_done(self) -> int:
        """How many tasks have counts."""
        return self.tasks.get(TaskState.COMPLETED, 0)


class Client:
    """Publishes with confirmation, and follows by the store's change streams.

    Parameters
    ----------
    store
        Where jobs are kept and followed.
    bus
        Where requests are published.
    """

    def __init__(self, store: Store, bus: Bus) -> None:
        self.store = store
        self.bus = bus

    async def dispatch(
        self,
        config: Mapping[str, Any],
        provider: str,
        device: str,
        *,
        job_id: str | None = None,
        prior: int | None = None,
        remarks: str | None = None,
        group: str | None = None,
        force: bool = False,
        compilation: Compilation | None = None,
        tags: Sequence[str] = (),
    ) -> str:
        """Request a job and return its id once the queue has safely taken the request.

        Asking again for the same `job_id` runs nothing twice. What is wrong with the request shows in the job, whose
        state is `rejected` then.

        Parameters
        ----------
        config
            The benchmark's configuration, ``benchmark_name`` among its keys; its schema says what units its
            parameters have.
        provider
            Name of the provider.
        device
            Name of the device, as its provider has it.
        job_id
            Id of the job; a new one unless given.
        prior
            Priority at the provider, where it knows one.
        remarks
            A note for the provider, where it takes one.
        group
            Name of a group of tasks at the provider, where it knows groups.
        force
            Use a device that is out of use.
        compilation
            How circuits are compiled; as the dispatcher is set unless given.
        tags
            Words to find the job by; each once.

        Raises
        ------
        InvalidRequest
            For an id or a name that no message can carry, and for a deleted job's id.
        Transient
            When the queue does not take the request within a minute.
        """
        if job_id is not None and await self.store.records.is_deleted(job_id):
            raise InvalidRequest([Problem("$.job_id", f"{job_id} is the id of a job that was deleted; choose another")])
        request = _checked(
            JobRequested,
            job_id=job_id or uuid4().hex,
            provider=provider,
            device=device,
            config=dict(config),
            prior=prior,
            remarks=remarks,
            group=group,
            force=force,
            compilation=compilation,
            tags=list(dict.fromkeys(tags)),
        )
        await self._publish(request)
        return str(request.job_id)

    async def dispatch_suite(
        self,
        suite: Mapping[str, Any],
        provider: str,
        device: str,
        *,
        components: Sequence[str] = (),
        all: bool = False,  # noqa: A002  (what the request calls it)
        suite_id: str | None = None,
        prior: int | None = None,
        remarks: str | None = None,
        group: str | None = None,
        force: bool = False,
        compilation: Compilation | None = None,
        tags: Sequence[str] = (),
    ) -> str:
        """Request the jobs of a suite's document and return the suite's id once the queue has taken the request.

        Parameters
        ----------
        suite
            The suite's document.
        provider
            Name of the provider.
        device
            Name of the device, as its provider has it.
        components
            Names of the components to run; none stands for all.
        all
            Opt in to the whole of a suite that warns of it.
        suite_id
            Id of the suite; a new one unless given.
        prior
            Priority at the provider, where it knows one.
        remarks
            A note for the provider, where it takes one.
        group
            Name of a group of tasks at the provider, where it knows groups.
        force
            Use a device that is out of use.
        compilation
            How circuits are compiled; as the dispatcher is set unless given.
        tags
            Words to find the jobs by; each once.

        Raises
        ------
        InvalidRequest
            For an id or a name that no message can carry, and for the id of a suite of which jobs were deleted.
        Transient
            When the queue does not take the request within a minute.
        """
        if suite_id is not None and await self.store.records.is_deleted_suite(suite_id):
            problem = f"{suite_id} is the id of a suite of which jobs were deleted; choose another"
            raise InvalidRequest([Problem("$.suite_id", problem)])
        request = _checked(
            SuiteRequested,
            suite_id=suite_id or uuid4().hex,
            provider=provider,
            device=device,
            suite=dict(suite),
            components=list(components),
            all=all,
            prior=prior,
            remarks=remarks,
            group=group,
            force=force,
            compilation=compilation,
            tags=list(dict.fromkeys(tags)),
        )
        await self._publish(request)
        return str(request.suite_id)

    async def resume(self, job: Job) -> None:
        """Ask for a job that failed to go on where it stopped: what was accepted is not submitted again.

        Parameters
        ----------
        job
            One that has failed, as it was last seen.

        Raises
        ------
        Transient
            When the queue does not take the request within a minute.
        """
        await self._publish(JobResumeRequested(job_id=job.id, resumed=job.resumed))

    async def cancel(self, job_id: str) -> None:
        """Ask for a job to be cancelled.

        Parameters
        ----------
        job_id
            The whole id.

        Raises
        ------
        Transient
            When the queue does not take the request within a minute.
        """
        await self._publish(JobCancelRequested(job_id=job_id))

    async def add_schedule(self, name: str, **asked: Any) -> Schedule:
        """Ask for a schedule, by the fields of its message, and return it once it is kept.

        Parameters
        ----------
        name
            Name of the schedule.
        **asked
            Fields of `metriq_gym.messages.ScheduleRequested`.

        Raises
        ------
        InvalidRequest
            With everything that is wrong with it.
        Transient
            When no dispatcher answers within a minute; the request waits for one.
        """
        asked["request_id"] = asked.get("request_id") or uuid4().hex
        request = _checked(ScheduleRequested, name=name, **asked)
        if (wrong := refused_over(await self.store.schedules.get(name), request)) is not None:
            raise wrong
        await self._publish(request)
        async for found in self._looks_at_schedule(name):
            if found is not None and (request.request_id in found.changes or same(found.asked, request)):
                return found
            with suppress(NotFound):
                refused = failure_of(await self.store.jobs.get(str(request.request_id)))
                if refused is not None:
                    raise refused
        raise Transient(NO_ANSWER)

    async def change_schedule(
        self, name: str, action: ScheduleAction, request_id: JobId | None = None
    ) -> Schedule | None:
        """Pause, resume, run or delete a schedule; return it once that is done, None when it is deleted.

        Parameters
        ----------
        name
            Name of the schedule.
        action
            What to do with it.
        request_id
            Names the request, so that one that comes again changes nothing more.

        Raises
        ------
        NotFound
            When there is no such schedule, or it is deleted meanwhile.
        Transient
            When no dispatcher answers within a minute; the request waits for one.
        """
        if await self.store.schedules.get(name) is None:
            raise NotFound(f"there is no schedule {name!r}")
        request = _checked(ScheduleChangeRequested, request_id=request_id or uuid4().hex, name=name, action=action)
        await self._publish(request)
        async for found in self._looks_at_schedule(name):
            if found is None:
                if action != "delete":
                    raise NotFound(f"schedule {name!r} was deleted meanwhile")
                return None
            if request.request_id in found.changes:
                return found
        raise Transient(NO_ANSWER)

    async def _looks_at_schedule(self, name: str) -> AsyncIterator[Schedule | None]:
        """Yield a schedule again and again.

        Raises
        ------
        Transient
            Where no dispatcher answers.
        """
        for _ in range(int(ANSWER_SECONDS / LOOK_SECONDS)):
            yield await self.store.schedules.get(name)
            await asyncio.sleep(LOOK_SECONDS)

    async def progress(self, job_id: str, until: Callable[[Job], bool] | None = None) -> AsyncIterator[Progress]:
        """Yield how far a job is, each time that has changed, once it exists and until it is as wanted.

        Unless told else that is when it stays as it is: it has ended, is held for an operator (see `failure_of` and
        `decision_about`), or has a result that waits to be exported with a suite in which another job is held.

        Parameters
        ----------
        job_id
            The whole id.
        until
            Whether a job is as wanted.

        Raises
        ------
        NotFound
            When the job is deleted meanwhile.
        Refused
            When the store refuses this user.
        """
        reached = until or _may_be_settled
        async for job, tasks in _reopened(lambda: self.store.changes.job(job_id, until=reached)):
            yield Progress(job, tasks)
        if until is not None or is_settled(job):
            return
        async for jobs in _reopened(lambda: self.store.changes.suite(str(job.suite_id))):
            ours = next((each for each in jobs if each.id == job_id), None)
            if ours is None:
                raise NotFound(f"there is no job {job_id}")
            yield Progress(ours, tasks)
            if is_settled(ours) or summarise(jobs).settled:
                return

    async def suite_progress(
        self, suite_id: str, until: Callable[[list[Job]], bool] | None = None
    ) -> AsyncIterator[tuple[SuiteProgress, list[Job]]]:
        """Yield how far a suite is and its jobs so far, each time some have changed, until they are as wanted.

        Unless told else that is when all stay as they are: they have ended, or wait for an operator to decide about one
        that is held.

        Parameters
        ----------
        suite_id
            The whole id.
        until
            Whether the jobs so far are as wanted.

        Raises
        ------
        Refused
            When the store refuses this user.
        """
        async for jobs in _reopened(lambda: self.store.changes.suite(suite_id)):
            progress = summarise(jobs)
            yield progress, jobs
            if until(jobs) if until is not None else jobs and progress.settled:
                return

    async def changes(self) -> AsyncIterator[Job]:
        """Yield each job that changes, for ever."""
        async for job in _reopened(self.store.changes.all):
            yield job

    async def wait(self, job_id: str, until: Callable[[Job], bool] | None = None) -> Job:
        """Return the job once it is as wanted.

        Parameters
        ----------
        job_id
            The whole id.
        until
            As for `progress`.

        Raises
        ------
        NotFound
            When the job is deleted meanwhile.
        """
        async for each in self.progress(job_id, until):
            last = each
        return last.job

    async def wait_suite(self, suite_id: str) -> list[Job]:
        """Return the jobs of a suite once all stay as they are; see `suite_progress`.

        Parameters
        ----------
        suite_id
            The whole id.
        """
        async for _, jobs in self.suite_progress(suite_id):
            last = jobs
        return last

    async def _publish(self, message: Message) -> None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, Transient) and not isinstance(error, Refused)),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_after_delay(PUBLISH_SECONDS),
            reraise=True,
        ):
            with attempt:
                await self.bus.publish(message)


async def _reopened(open_stream: Callable[[], AsyncIterator[T]]) -> AsyncIterator[T]:
    """Yield from a stream that is opened anew when the store is away for a while.

    Raises
    ------
    Refused
        When the store refuses this user.
    """
    while True:
        try:
            async for each in open_stream():
                yield each
            return
        except Refused:
            raise
        except Transient:
            await asyncio.sleep(1)


def _may_be_settled(job: Job) -> bool:
    return is_settled(job) or job.waits_for_suite


def _checked(kind: type[M], **fields: Any) -> M:
    try:
        return kind(**fields)
    except ValidationError as error:
        raise InvalidRequest(from_pydantic(error)) from None


def failure_of(job: Job) -> MetriqGymError | None:
    """Return why a job has no result, as the error that stands for it; None if it has one or has not ended.

    Parameters
    ----------
    job
        In any state.
    """
    if job.state is JobState.CANCELLED:
        return Permanent(f"job {job.id} was cancelled")
    if job.failure is None:
        return None
    match job.failure.outcome:
        case "rejected":
            return InvalidRequest([Problem(each["path"], each["message"]) for each in job.failure.problems])
        case "unsupported":
            return Unsupported(job.failure.reason)
    return Permanent(job.failure.reason)


def decision_about(job: Job) -> Undecided | None:
    """Return what has to be decided about a job that is held for an operator; None if it is not.

    Parameters
    ----------
    job
        In any state.
    """
    if job.held is None:
        return None
    return Undecided(f"job {job.id} is held: {job.held}\n{advice(job)}")


def brief(settings: Settings) -> Settings:
    """Return settings for a process that a person waits for: at its end, work in hand is handed back, not finished.

    Parameters
    ----------
    settings
        Those of the process.
    """
    return settings.model_copy(update={"grace_seconds": min(settings.grace_seconds, GRACE_SECONDS)})


@asynccontextmanager
async def connect(settings: Settings | None = None) -> AsyncIterator[Client]:
    """Yield a client of the configured servers, or of an embedded runtime that runs meanwhile.

    Parameters
    ----------
    settings
        Where the servers are; from the environment unless given.

    Raises
    ------
    Transient
        When the servers do not answer within 20 s.
    Refused
        When a server refuses this user.
    MissingPart
        When no server is set and the embedded runtime is not installed.
    """
    async with open_runtime(settings or Settings()) as runtime:
        yield Client(runtime.store, runtime.bus)


def embedded(settings: Settings) -> bool:
    """Whether no server is configured.

    Parameters
    ----------
    settings
        Where the servers are.

    Raises
    ------
    MetriqGymError
        When only one of the two servers is configured.
    """
    if (settings.amqp_url is None) != (settings.mongo_url is None):
        raise MetriqGymError("set both METRIQ_AMQP_URL and METRIQ_MONGO_URL, or neither for the embedded runtime")
    return settings.amqp_url is None


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Context]:
    """Open the configured servers' runtime, or the embedded one when no server is configured.

    Parameters
    ----------
    settings
        Where the servers are.

    Raises
    ------
    Transient
        When the servers do not answer within 20 s.
    Refused
        When a server refuses this user.
    MissingPart
        When no server is set and the embedded runtime is not installed.
    """
    try:
        with parts():
            manager = _embedded_runtime(settings) if embedded(settings) else _servers(settings)
            async with manager as context:
                yield context
    except MissingPart as error:
        if embedded(settings):
            raise MissingPart(f"no servers are set (METRIQ_AMQP_URL, METRIQ_MONGO_URL), and {error}") from None
        raise


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store alone, where nothing is to be run: no queue, no services, no workers.

    Parameters
    ----------
    settings
        Where the servers are.

    Raises
    ------
    Unavailable
        When the store does not answer.
    Refused
        When it refuses this user.
    """
    if embedded(settings):
        server = private_mongod(settings.data_dir / "mongod", settings.mongod_stay_seconds or 0)
        async with server as url, Store.at(url, settings.mongo_database) as store:
            yield store
    else:
        assert settings.mongo_url is not None  # noqa: S101  (`embedded` has looked)
        async with Store.at(settings.mongo_url.get_secret_value(), settings.mongo_database) as store:
            yield store


async def look_at_broker(url: str) -> BrokerState:
    """Return how the broker and its queues are.

    Parameters
    ----------
    url
        Of the broker, with its credentials.

    Raises
    ------
    Unavailable
        When it does not answer.
    Refused
        When it refuses this user.
    """
    # RabbitMQ's client takes a quarter of a second to import, which only who has a broker need wait for.
    from metriq_gym.bus.rabbitmq.inspection import inspect

    return await inspect(url)


def _embedded_runtime(settings: Settings) -> AbstractAsyncContextManager[Context]:
    found = list(entry_points(group="metriq_gym.runtimes", name="embedded"))
    if not found:
        raise MissingPart("the embedded runtime is not installed: pip install 'metriq-gym-services[embedded]'")
    runtime: AbstractAsyncContextManager[Context] = found[0].load()(settings)
    return runtime


@asynccontextmanager
async def _servers(settings: Settings) -> AsyncIterator[Context]:
    """Connect, waiting for the servers as a service does, but not for longer than a person would.

    Raises
    ------
    Transient
        When the servers do not answer within 20 s.
    """
    # It brings a web server, which takes a tenth of a second to import and which only-looking commands do not need.
    from metriq_gym.service.service import connected

    manager = connected(settings, "mgym", until_allowed=False)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            opened = await manager.__aenter__()
    except TimeoutError:
        raise Transient(
            f"no answer from the servers in {CONNECT_SECONDS:g} s; `mgym doctor` says which one is away"
        ) from None
    try:
        yield opened
    finally:
        await manager.__aexit__(None, None, None)
