"""An operator decides about a submission that may have been accepted: nothing is sent twice, nothing is lost."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import pytest

from metriq_gym.errors import NotFound, Permanent
from metriq_gym.jobs import Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted, Planned
from metriq_gym.messages import JobFailed, JobRequested, Message
from metriq_gym.operations.resolve import Adopt, Decision, Fail, NotHeld, Resubmit, resolve
from metriq_gym.store import Store
from services.dispatcher.submission import Submitter
from tests.support.jobs import to

REASON = "two tasks look like it (candidates: a, b)"


class Crash(BaseException):
    """The process is gone: nothing after this runs."""


@dataclass
class Queue:
    """A bus that remembers."""

    published: list[Message] = field(default_factory=list)

    async def publish(self, message: Message) -> None:
        self.published.append(message)


class Watched:
    """Forwards to `inner`, and crashes before or after the n-th call."""

    def __init__(self, inner: Any, calls: list[str], crash_at: int | None) -> None:
        self._inner, self._calls, self._crash_at = inner, calls, crash_at

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(inspect.unwrap(found)):
            return Watched(found, self._calls, self._crash_at)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._pass(f"before {name}")
            result = await found(*args, **kwargs)
            self._pass(f"after {name}")
            return result

        return call

    def _pass(self, name: str) -> None:
        self._calls.append(name)
        if len(self._calls) == self._crash_at:
            raise Crash(name)


def task(job_id: str, n: int) -> Task:
    return Task(
        id=f"{job_id}:{n}",
        job_id=job_id,
        provider="cloud",
        device="d",
        state=TaskState.STORED,
        run=0,
        first=n,
        circuit_count=1,
        shots=100,
        seed=n,
        circuits=b"qpy",
    )


async def held(store: Store, job_id: str = "j", doubtful: tuple[int, ...] = (1,)) -> Job:
    """A job of three tasks, submitted but for those in doubt."""
    fields = {"provider": "cloud", "device": "d", "target": "d?o=3", "config": {"benchmark_name": "WIT"}}
    await store.jobs.accept(job_id, Accepted.model_validate(fields), owner="me", lease_seconds=60)
    await store.tasks.replace_all(job_id, [task(job_id, n) for n in range(3)])
    await store.jobs.plan(job_id, 1, Planned(task_count=3))
    for stored in await store.tasks.take_up(job_id, 1):
        intended = await store.tasks.intend(stored)
        if stored.first in doubtful:
            await store.tasks.doubt(intended, REASON)
        else:
            await store.tasks.submitted(intended, f"id-{intended.id}")
    return await store.jobs.hold(job_id, 1, f"task {job_id}:1: {REASON}")


async def states(store: Store, job_id: str = "j") -> list[TaskState]:
    return [task.state for task in await store.catalogue.outline(job_id)]


async def test_an_adopted_submission_is_polled_and_the_job_dispatched_again(store: Store) -> None:
    await held(store)
    queue = Queue()
    job = await resolve(store, queue, "j", Adopt("a"))  # type: ignore[arg-type]
    assert job.held is None
    (adopted,) = [task for task in await store.catalogue.outline("j") if task.id == "j:1"]
    assert (adopted.state, adopted.provider_job_id, adopted.error) == (TaskState.SUBMITTED, "a", None)
    (message,) = queue.published
    assert isinstance(message, JobRequested)
    assert (message.job_id, message.device, message.config) == ("j", "d?o=3", {"benchmark_name": "WIT"})
    taken = await store.jobs.accept("j", Accepted(), owner="dispatcher", lease_seconds=60)
    assert taken.lease is not None
    assert taken.lease.owner == "dispatcher"
    assert await store.tasks.take_up("j", taken.lease.token) == []


async def test_a_submission_that_was_not_accepted_is_sent_once_more_and_no_other_is(store: Store) -> None:
    await held(store)
    await resolve(store, Queue(), "j", Resubmit())  # type: ignore[arg-type]
    (waiting,) = await store.tasks.take_up("j", 1)
    assert (waiting.id, waiting.state, waiting.intended_at) == ("j:1", TaskState.STORED, None)
    sent = []

    class Cloud:
        name = "cloud"
        encoder = staticmethod(bytes.hex)

        async def submit(self, submission: Any) -> str:
            sent.append(submission.tag)
            return "new"

        async def listing(self) -> Any:
            class Listed:
                ids = frozenset({"a", "b"})

            return Listed()

    class InlinePool:
        async def run(self, function: Any, *args: Any) -> Any:
            return function(*args)

    job = await store.jobs.get("j")
    assert await Submitter(store, InlinePool(), settle_seconds=1).submit(job, Cloud()) is None  # type: ignore[arg-type]
    assert sent == ["j:1"]
    assert set(await states(store)) == {TaskState.SUBMITTED}


async def test_a_job_that_is_given_up_fails_and_none_of_its_tasks_is_polled(store: Store) -> None:
    await held(store)
    queue = Queue()
    job = await resolve(store, queue, "j", Fail())  # type: ignore[arg-type]
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert "given up by the operator" in job.failure.reason
    assert (job.history[-1].service, job.history[-1].cause) == ("operator", job.failure.reason)
    assert set(await states(store)) == {TaskState.CANCELLED}
    assert queue.published == [JobFailed(job_id="j", outcome="error", reason=job.failure.reason)]


async def test_several_doubts_are_decided_one_by_one_and_the_job_goes_on_after_the_last(store: Store) -> None:
    await held(store, doubtful=(0, 2))
    queue: Any = Queue()
    with pytest.raises(Permanent, match=r"j:0, j:2"):
        await resolve(store, queue, "j", Resubmit())
    assert (await resolve(store, queue, "j", Adopt("a"), "j:0")).held is not None
    assert queue.published == []
    assert (await resolve(store, queue, "j", Resubmit(), "2")).held is None
    assert len(queue.published) == 1
    assert await states(store) == [TaskState.SUBMITTED, TaskState.SUBMITTED, TaskState.STORED]


async def test_the_id_of_another_task_cannot_be_adopted(store: Store) -> None:
    await held(store)
    with pytest.raises(Permanent, match="belongs to another task"):
        await resolve(store, Queue(), "j", Adopt("id-j:0"))  # type: ignore[arg-type]
    assert (await states(store))[1] is TaskState.UNKNOWN


@pytest.mark.parametrize("decision", [Adopt("a"), Resubmit(), Fail()])
async def test_a_job_that_does_not_wait_is_left_alone(store: Store, decision: Decision) -> None:
    queue: Any = Queue()
    with pytest.raises(NotFound):
        await resolve(store, queue, "j", decision)
    await held(store, doubtful=())
    await store.jobs.unhold("j")
    with pytest.raises(NotHeld):
        await resolve(store, queue, "j", decision)
    await store.jobs.move("j", to(JobState.DISPATCHED), service="test")
    with pytest.raises(NotHeld):
        await resolve(store, queue, "j", decision)
    assert queue.published == []
    assert (await store.jobs.get("j")).state is JobState.DISPATCHED


async def test_a_task_that_is_not_in_doubt_or_does_not_exist_cannot_be_decided_about(store: Store) -> None:
    await held(store)
    with pytest.raises(NotHeld, match="not in doubt"):
        await resolve(store, Queue(), "j", Resubmit(), "j:0")  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="in doubt: j:1"):
        await resolve(store, Queue(), "j", Resubmit(), "j:7")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("decision", "wanted"),
    [(Adopt("a"), TaskState.SUBMITTED), (Resubmit(), TaskState.STORED), (Fail(), TaskState.CANCELLED)],
)
async def test_after_a_crash_at_any_step_the_same_decision_again_finishes_it(
    store: Store, decision: Decision, wanted: TaskState
) -> None:
    clean: list[str] = []
    await held(store, "clean")
    await resolve(Watched(store, clean, None), Watched(Queue(), clean, None), "clean", decision)  # type: ignore[arg-type]
    assert len(clean) >= 8
    for point in range(1, len(clean) + 1):
        job_id = f"crash-{point}"
        await held(store, job_id)
        queue, calls = Queue(), list[str]()
        # An id can be adopted once, so each job gets one of its own.
        mine = Adopt(job_id) if isinstance(decision, Adopt) else decision
        with pytest.raises(Crash):
            await resolve(Watched(store, calls, point), Watched(queue, calls, point), job_id, mine)  # type: ignore[arg-type]
        let_go = (await store.jobs.get(job_id)).held is None and not isinstance(decision, Fail)
        if let_go:
            # The reconciler sees a job that nobody holds and that stands still.
            await store.jobs.expire_lease(job_id, 1)
            assert job_id in [job.id for job in await store.upkeep.unfinished()], calls
        else:
            await resolve(store, queue, job_id, mine)  # type: ignore[arg-type]
            assert queue.published, calls
        assert (await states(store, job_id))[1] is wanted, calls
        assert (await store.jobs.get(job_id)).held is None
