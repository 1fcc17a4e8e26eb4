"""A circuit that costs money is submitted at most once, wherever the dispatcher crashes and whatever answer is lost."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metriq_gym.errors import NotYet, Permanent, SubmissionAmbiguous, Transient
from metriq_gym.jobs import Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted, Planned
from metriq_gym.providers.provider import Adopted, Ambiguous, Listing, LostSubmission, NotAccepted, Progress, Submission
from metriq_gym.providers.tyxonq.errors import RateLimited
from metriq_gym.store import Store
from services.dispatcher.steadiness import Steadiness
from services.dispatcher.submission import TURN_SECONDS, Submitter
from tests.support.patience import PATIENCE

TASKS = 6


class Crash(BaseException):
    """The process is gone: nothing after this runs."""


@dataclass
class Points:
    """Counts the calls to the outside world, and crashes before or after one of them."""

    crash_at: int | None = None
    count: int = 0
    names: list[str] = field(default_factory=list)

    def pass_by(self, name: str) -> None:
        self.count += 1
        self.names.append(name)
        if self.count == self.crash_at:
            raise Crash(name)


class Watched:
    """Forwards to `inner`, passing a point before and after each call."""

    def __init__(self, inner: Any, points: Points) -> None:
        self._inner = inner
        self._points = points

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if inspect.iscoroutinefunction(inspect.unwrap(found)):

            async def call(*args: Any, **kwargs: Any) -> Any:
                self._points.pass_by(f"before {name}")
                result = await found(*args, **kwargs)
                self._points.pass_by(f"after {name}")
                return result

            return call
        return found if callable(found) or isinstance(found, str) else Watched(found, self._points)


@dataclass(frozen=True)
class Listed:
    by_tag: Mapping[str, str]

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self.by_tag.values())


@dataclass
class Cloud:
    """A provider in memory that counts what it accepts."""

    accepted: Counter[str] = field(default_factory=Counter)
    answer: Callable[[Submission], None] = lambda _: None
    """Called after a submission was accepted; may raise instead of answering."""
    refuse: Callable[[Submission], None] = lambda _: None
    """Called before."""
    verdict: Adopted | NotAccepted | Ambiguous | None = None
    rivals: Sequence[str] = ()
    """The tags of the other submissions that were in doubt when it was asked last."""
    name = "cloud"
    encoder = staticmethod(bytes.hex)

    async def submit(self, submission: Submission) -> str:
        self.refuse(submission)
        self.accepted[submission.tag] += 1
        self.answer(submission)
        return f"id-{submission.tag}"

    async def listing(self) -> Listed:
        return Listed({tag: f"id-{tag}" for tag in self.accepted})

    async def match(
        self, listing: Listing, known_ids: Collection[str], lost: LostSubmission, others: Sequence[LostSubmission]
    ) -> Adopted | NotAccepted | Ambiguous:
        assert isinstance(listing, Listed)
        assert lost.sent_between[0] <= lost.sent_between[1]
        self.rivals = [each.submission.tag for each in others]
        if self.verdict is not None:
            return self.verdict
        found = listing.by_tag.get(lost.submission.tag)
        assert found not in known_ids
        return NotAccepted() if found is None else Adopted(found)

    async def progress(self, shots: Mapping[str, int]) -> dict[str, Progress]:
        raise NotImplementedError


class InlinePool:
    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


async def planned(store: Store, job_id: str) -> Job:
    fields = {"provider": "cloud", "device": "d", "target": "d?o=3", "remarks": "mine"}
    job = await store.jobs.accept(job_id, Accepted.model_validate(fields), owner="me", lease_seconds=60)
    tasks = [
        Task(
            id=f"{job_id}:{n}",
            job_id=job_id,
            provider="cloud",
            device="d?o=3",
            state=TaskState.STORED,
            run=0,
            first=n,
            circuit_count=1,
            shots=100,
            seed=n,
            circuits=b"qpy",
        )
        for n in range(TASKS)
    ]
    await store.tasks.replace_all(job_id, tasks)
    return await store.jobs.plan(job_id, 1, Planned(task_count=TASKS)) if job.lease else job


def submitter(store: Any) -> Submitter:
    return Submitter(store, InlinePool(), settle_seconds=0.01)  # type: ignore[arg-type]


async def until_submitted(store: Any, job: Job, cloud: Any) -> str | None:
    """Deliver the job again for as long as it asks for that."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await submitter(store).submit(job, cloud)
            except Transient:
                await asyncio.sleep(0.01)  # the settling time


async def ids(store: Store, job_id: str) -> list[str | None]:
    return [task.provider_job_id for task in await store.tasks.of_job(job_id)]


async def test_each_task_is_submitted_once_with_its_tag(store: Store) -> None:
    cloud = Cloud()
    assert await until_submitted(store, await planned(store, "j"), cloud) is None
    assert cloud.accepted == {f"j:{n}": 1 for n in range(TASKS)}
    assert await ids(store, "j") == [f"id-j:{n}" for n in range(TASKS)]
    assert len(await store.tasks.claim("cloud", owner="p", limit=100, lease_seconds=1)) == TASKS


async def test_crashing_before_or_after_any_call_submits_nothing_twice_and_forgets_nothing(store: Store) -> None:
    clean = Points()
    await until_submitted(Watched(store, clean), await planned(store, "clean"), Watched(Cloud(), clean))
    assert clean.count > 6 * TASKS
    for point in range(1, clean.count + 1):
        job_id = f"crash-{point}"
        job, cloud, points = await planned(store, job_id), Cloud(), Points(crash_at=point)
        with pytest.raises(Crash):
            await until_submitted(Watched(store, points), job, Watched(cloud, points))
        assert await until_submitted(store, job, cloud) is None
        assert cloud.accepted == {f"{job_id}:{n}": 1 for n in range(TASKS)}, clean.names[point - 1]
        assert None not in await ids(store, job_id)


async def test_crashing_again_while_looking_for_a_lost_submission_changes_nothing(store: Store) -> None:
    """Crash after a submission was accepted, then at every point of the recovery."""
    for point in range(1, 16):
        job_id = f"twice-{point}"
        job, cloud = await planned(store, job_id), Cloud()

        def lost(_: Submission) -> None:
            raise Crash

        cloud.answer = lost
        with pytest.raises(Crash):
            await until_submitted(store, job, cloud)
        cloud.answer = lambda _: None
        points = Points(crash_at=point)
        with pytest.raises(Crash):
            await until_submitted(Watched(store, points), job, Watched(cloud, points))
        assert await until_submitted(store, job, cloud) is None
        assert cloud.accepted == {f"{job_id}:{n}": 1 for n in range(TASKS)}, points.names


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_lost_answer_is_found_or_known_to_be_missing(store: Store, accepted: bool) -> None:
    cloud, seen = Cloud(), Counter[str]()

    def first_time(submission: Submission) -> None:
        seen[submission.tag] += 1
        if seen[submission.tag] == 1:
            raise SubmissionAmbiguous

    if accepted:
        cloud.answer = first_time
    else:
        cloud.refuse = first_time
    assert await until_submitted(store, await planned(store, "j"), cloud) is None
    assert set(cloud.accepted.values()) == {1}
    assert None not in await ids(store, "j")


async def test_a_submission_that_may_have_been_accepted_is_left_to_the_operator(store: Store) -> None:
    cloud = Cloud(verdict=Ambiguous("two tasks look like it", ("a", "b")))

    def second(submission: Submission) -> None:
        if submission.tag == "j:1":
            raise SubmissionAmbiguous

    cloud.answer = second
    job = await planned(store, "j")
    doubt = await until_submitted(store, job, cloud)
    assert doubt is not None
    assert "j:1" in doubt
    assert "a, b" in doubt
    assert await until_submitted(store, job, cloud) == doubt
    assert cloud.accepted["j:1"] == 1
    assert sum(cloud.accepted.values()) == TASKS  # the others did not have to wait
    (held,) = [task for task in await store.tasks.of_job("j") if task.state is TaskState.UNKNOWN]
    assert held.id == "j:1"


async def test_an_id_that_another_task_has_is_a_doubt_about_the_later_one_alone(store: Store) -> None:
    class Forgetful(Cloud):
        async def submit(self, submission: Submission) -> str:
            given = await super().submit(submission)
            return "id-j:0" if submission.tag == "j:2" else given

    cloud = Forgetful()
    job = await planned(store, "j")
    doubt = await until_submitted(store, job, cloud)
    assert doubt is not None
    assert "j:2: the provider calls it id-j:0, as it does task j:0" in doubt
    assert await until_submitted(store, job, cloud) == doubt
    assert cloud.accepted == {f"j:{n}": 1 for n in range(TASKS)}
    assert await ids(store, "j") == [None if n == 2 else f"id-j:{n}" for n in range(TASKS)]


async def in_doubt(store: Store, cloud: Cloud, job_id: str) -> Job:
    """A job whose first task was accepted, and whose dispatcher then crashed."""

    def crash(_: Submission) -> None:
        raise Crash

    job = await planned(store, job_id)
    cloud.answer = crash
    with pytest.raises(Crash):
        await submitter(store).submit(job, cloud)  # type: ignore[arg-type]
    cloud.answer = lambda _: None
    return job


async def test_who_looks_for_a_lost_submission_knows_which_others_are_lost(store: Store) -> None:
    cloud = Cloud()
    first, second = await in_doubt(store, cloud, "a"), await in_doubt(store, cloud, "b")
    await asyncio.sleep(0.02)  # the settling time
    cloud.verdict = Ambiguous("it may be that of another")
    doubt = await until_submitted(store, first, cloud)
    assert doubt is not None
    assert "a:0" in doubt
    assert cloud.rivals == ["b:0"]
    await until_submitted(store, second, cloud)
    assert cloud.rivals == ["a:0"]  # it stays in doubt until an operator has decided


async def test_what_is_lost_beside_a_submission_under_way_is_decided_when_that_is_known(store: Store) -> None:
    cloud = Cloud()
    lost = await in_doubt(store, cloud, "a")
    await planned(store, "b")
    under_way, *_ = await store.tasks.take_up("b", 1)
    await store.listings.note("b", [], 1)
    patient = Submitter(store, InlinePool(), settle_seconds=0.5)  # type: ignore[arg-type]
    await asyncio.sleep(0.5)
    under_way = await store.tasks.intend(under_way)
    cloud.verdict = Ambiguous("it may be that of another")
    with pytest.raises(Transient, match="when that is known of others"):
        await patient.submit(lost, cloud)  # type: ignore[arg-type]
    await store.tasks.submitted(under_way, "id-b:0")
    cloud.verdict = None
    assert await patient.submit(lost, cloud) is None  # type: ignore[arg-type]
    assert cloud.rivals == []
    assert cloud.accepted == {f"a:{n}": 1 for n in range(TASKS)}


async def test_how_old_a_submission_is_is_not_told_by_a_clock_that_was_just_set(store: Store) -> None:
    cloud, clock = Cloud(), [0.0]
    lost = await in_doubt(store, cloud, "a")
    cloud.accepted.clear()  # as if it had not been sent at all
    await asyncio.sleep(0.02)  # the settling time
    steadiness = Steadiness(lambda: clock[0])
    steadiness.compare(datetime.now(UTC) - timedelta(hours=1))
    patient = Submitter(store, InlinePool(), settle_seconds=0.01, _clock=steadiness)  # type: ignore[arg-type]
    with pytest.raises(NotYet, match="the store's clock was set"):
        await patient.submit(lost, cloud)  # type: ignore[arg-type]
    assert not cloud.accepted
    clock[0] += 1
    assert await patient.submit(lost, cloud) is None  # type: ignore[arg-type]
    assert cloud.accepted == {f"a:{n}": 1 for n in range(TASKS)}


async def test_a_refusal_leaves_the_task_to_be_sent_again_or_ends_the_job(store: Store) -> None:
    cloud, refusals = Cloud(), [Transient("busy"), Permanent("no such gate")]

    def refuse(submission: Submission) -> None:
        if submission.tag == "j:2" and refusals:
            raise refusals.pop(0)

    cloud.refuse = refuse
    job = await planned(store, "j")
    with pytest.raises(Permanent, match="no such gate"):
        await until_submitted(store, job, cloud)
    assert cloud.accepted == {"j:0": 1, "j:1": 1}
    assert {task.state for task in await store.tasks.take_up("j", 1)} == {TaskState.STORED}


class Fast:
    """A clock whose waits take no time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


def hurried(store: Any, clock: Fast) -> Submitter:
    return Submitter(store, InlinePool(), settle_seconds=0.01, now=clock, sleep=clock.sleep)  # type: ignore[arg-type]


async def test_a_circuit_refused_for_now_is_sent_again_after_what_was_asked_for_without_another_delivery(
    store: Store,
) -> None:
    """Every second submission is refused: the pauses do not grow, since one goes through after each."""
    cloud, clock, tries = Cloud(), Fast(), Counter[str]()

    def refuse(submission: Submission) -> None:
        tries[submission.tag] += 1
        if tries[submission.tag] == 1:
            raise RateLimited("slow down", retry_after=1)

    cloud.refuse = refuse
    job = await planned(store, "j")
    assert await hurried(store, clock).submit(job, cloud) is None  # type: ignore[arg-type]
    assert clock.slept == [1.0] * TASKS
    assert cloud.accepted == {f"j:{n}": 1 for n in range(TASKS)}


async def test_a_job_that_is_refused_for_a_whole_turn_is_put_back_with_nothing_in_doubt(store: Store) -> None:
    cloud, clock = Cloud(), Fast()

    def refuse(submission: Submission) -> None:
        if submission.tag == "j:1":
            raise RateLimited("slow down", retry_after=1)

    cloud.refuse = refuse
    job = await planned(store, "j")
    with pytest.raises(RateLimited):
        await hurried(store, clock).submit(job, cloud)  # type: ignore[arg-type]
    assert TURN_SECONDS / 2 < clock.seconds <= TURN_SECONDS
    slept = [round(seconds, 6) for seconds in clock.slept]
    assert slept == sorted(slept)
    assert cloud.accepted == {"j:0": 1}
    assert {task.state for task in await store.tasks.take_up("j", 1)} == {TaskState.STORED}


async def test_a_long_job_is_put_back_after_its_turn_and_goes_on_where_it_was(store: Store) -> None:
    cloud, clock = Cloud(), Fast()

    def slow(_: Submission) -> None:
        clock.seconds += TURN_SECONDS / 4

    cloud.answer = slow
    job = await planned(store, "j")
    with pytest.raises(NotYet, match="next turn"):
        await hurried(store, clock).submit(job, cloud)  # type: ignore[arg-type]
    assert 0 < len(cloud.accepted) < TASKS
    assert await hurried(store, clock).submit(job, cloud) is None  # type: ignore[arg-type]
    assert cloud.accepted == {f"j:{n}": 1 for n in range(TASKS)}


async def test_crashing_anywhere_around_a_refusal_submits_nothing_twice_and_forgets_nothing(store: Store) -> None:
    def refusing() -> Cloud:
        tries = Counter[str]()

        def refuse(submission: Submission) -> None:
            tries[submission.tag] += 1
            if tries[submission.tag] == 1:
                raise RateLimited("slow down", retry_after=0)

        return Cloud(refuse=refuse)

    clean = Points()
    await until_submitted(Watched(store, clean), await planned(store, "clean"), Watched(refusing(), clean))
    for point in range(1, clean.count + 1):
        job_id = f"crash-{point}"
        job, cloud, points = await planned(store, job_id), refusing(), Points(crash_at=point)
        with pytest.raises(Crash):
            await until_submitted(Watched(store, points), job, Watched(cloud, points))
        assert await until_submitted(store, job, cloud) is None
        assert cloud.accepted == {f"{job_id}:{n}": 1 for n in range(TASKS)}, clean.names[point - 1]


async def test_two_dispatchers_at_once_submit_each_task_once(store: Store) -> None:
    cloud = Cloud()
    job = await planned(store, "j")
    await asyncio.gather(*(until_submitted(store, job, cloud) for _ in range(3)), return_exceptions=True)
    await until_submitted(store, job, cloud)
    assert cloud.accepted == {f"j:{n}": 1 for n in range(TASKS)}


async def test_a_dispatcher_that_slept_between_intention_and_submission_sends_nothing(store: Store) -> None:
    class Slow:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        async def intend(self, task: Task) -> Task:
            done: Task = await self._inner.intend(task)
            await asyncio.sleep(0.3)  # stopped by the operating system for longer than it may take
            return done

    class SlowStore:
        jobs, listings, tasks = store.jobs, store.listings, Slow(store.tasks)

    cloud = Cloud()
    job = await planned(store, "j")
    with pytest.raises(Transient, match="not sent in time"):
        await Submitter(SlowStore(), InlinePool(), settle_seconds=1, send_seconds=0.2).submit(job, cloud)  # type: ignore[arg-type]
    assert not cloud.accepted
    assert await until_submitted(store, job, cloud) is None
    assert cloud.accepted == {f"j:{n}": 1 for n in range(TASKS)}


async def test_a_held_job_is_taken_up_by_no_dispatcher_until_it_is_released(store: Store) -> None:
    job = await planned(store, "j")
    held = await store.jobs.hold("j", 1, "look")
    assert held.held == "look"
    again = await store.jobs.accept("j", Accepted(), owner="other", lease_seconds=60)
    assert again.lease == job.lease
    assert await store.upkeep.unfinished() == []
    await store.jobs.unhold("j")
    taken = await store.jobs.accept("j", Accepted(), owner="other", lease_seconds=60)
    assert taken.lease is not None
    assert taken.lease.owner == "other"
    assert taken.state is JobState.DISPATCHING
