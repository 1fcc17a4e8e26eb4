"""No holder of a lease writes anything once somebody else has it: every write of the store is tried, none forgotten."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from metriq_gym.errors import LeaseLost
from metriq_gym.jobs import Failure, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted, Planned
from metriq_gym.messages import JobRequested
from metriq_gym.store import Store
from tests.support.jobs import to

COLLECTIONS = ("jobs", "tasks", "listings", "suites", "leases")
DRIVER = {"insert_one", "insert_many", "update_one", "update_many", "replace_one", "delete_one", "delete_many"} | {
    "bulk_write",
    "find_one_and_update",
}
FAILURE = Failure(outcome="error", reason="late", source="poll")


@dataclass(frozen=True)
class Hand:
    """What a holder of leases knows: of the job `j`, of its task, and of the reconciler's."""

    token: int
    task: Task


Write = Callable[[Store, Hand], Awaitable[object]]

FENCED: dict[str, Write] = {
    # The dispatcher's, on a job.
    "jobs.renew": lambda store, by: store.jobs.renew("j", by.token, 90),
    "jobs.expire_lease": lambda store, by: store.jobs.expire_lease("j", by.token),
    "jobs.note_death": lambda store, by: store.jobs.note_death("j", by.token),
    "jobs.plan": lambda store, by: store.jobs.plan("j", by.token, Planned(task_count=5)),
    "jobs.hold": lambda store, by: store.jobs.hold("j", by.token, "late"),
    "jobs.move": lambda store, by: store.jobs.move("j", to(JobState.DISPATCHED), service="test", token=by.token),
    # The dispatcher's, on the tasks of that job.
    "tasks.replace_all": lambda store, by: store.tasks.replace_all("j", [task(plan=by.token, shots=99)]),
    "tasks.insert": lambda store, by: store.tasks.insert([task(plan=by.token, shots=99)]),
    "tasks.take_up": lambda store, by: store.tasks.take_up("j", by.token),
    "tasks.intend": lambda store, by: store.tasks.intend(by.task),
    "tasks.retract": lambda store, by: store.tasks.retract(by.task),
    "tasks.doubt": lambda store, by: store.tasks.doubt(by.task, "late"),
    # The poller's, on a task.
    "tasks.renew": lambda store, by: store.tasks.renew(by.task, 90),
    "tasks.hand_back": lambda store, by: store.tasks.hand_back(by.task),
    "tasks.hand_back_all": lambda store, by: store.tasks.hand_back_all([by.task]),
    "tasks.postpone": lambda store, by: store.tasks.postpone([by.task], first_seconds=1, growth=1, max_seconds=1),
    "tasks.complete": lambda store, by: store.tasks.complete(by.task, b"late", None),
    "tasks.complete_all": lambda store, by: store.tasks.complete_all([(by.task, b"late", None)]),
    "tasks.check": lambda store, by: store.tasks.check(by.task, {"depth": 3}),
    "tasks.fail": lambda store, by: store.tasks.fail(by.task, "late"),
    # The reconciler's.
    "leases.renew": lambda store, by: store.leases.renew("r", by.token, 90),
    "clocks.look": lambda store, by: store.clocks.look("r", by.token, longest_gap=60),
    "upkeep.checked": lambda store, by: store.upkeep.checked(["j"], by.token),
    "upkeep.expire": lambda store, by: store.upkeep.expire("j", FAILURE, by.token),
    "suites.checked": lambda store, by: store.suites.checked("s", by.token),
    "suites.finish": lambda store, by: store.suites.finish("s", by.token),
}
"""Each write that a lease stands for, as its holder makes it."""

BEFORE_SUBMISSION = {"tasks.replace_all", "tasks.insert", "tasks.take_up", "tasks.intend"}
SUBMITTING = {"tasks.retract", "tasks.doubt"}

OTHERS = {
    # What takes a lease, or is accepted: the first one wins.
    *("jobs.accept", "jobs.reject", "tasks.claim", "tasks.claim_of", "leases.take", "suites.keep"),
    # True of a submission until it is intended anew, whoever has the job: guarded by that intention.
    "tasks.submitted",
    # What a job's state calls for, and may be done by anybody who has seen it.
    *("tasks.release", "tasks.cancel", "listings.forget", "upkeep.recorded"),
    # What was listed before the first submission: the first one wins, and no older lease takes a newer one's place.
    *("listings.note", "listings.keep"),
    # Of a job that nobody submits, unless a newer lease has taken it up since that was seen.
    "listings.forget_of_holder",
    # Guarded by the job's end and by how often it was resumed; its tasks follow under the next dispatcher's token, and
    # only those that no later dispatcher has taken up (tests/unit/test_resume.py).
    *("jobs.resume", "tasks.reopen"),
    # Changed only as it was read; a result that comes twice is known by its job.
    "drifts.change",
    # Written once; an attempt to tell of it is begun by one of all exporters, and what was told stays so (decision 34).
    *(f"notices.{write}" for write in ("add", "noted", "claim", "renew", "settle", "close")),
    # A place for a job that is about to be accepted: the first one wins, and the same job gets it again.
    "quotas.claim",
    # What a dispatcher has seen of a device, and an estimate that it was asked for: the newest is as good as any.
    *("devices.see", "estimates.answer"),
    # Read by people only.
    *("parked.park", "parked.release", "parked.keep_away", "parked.come_back"),
    # When a task is due next: guarded by being due, so not leased.
    *("tasks.make_due", "tasks.pass_over"),
    # What a provider is to be asked to cancel, of jobs that were cancelled for good; asked twice it does no harm.
    *("tasks.claim_withdrawn", "tasks.withdrawn"),
    # Where a task waits at its provider: the newest is as good as any, and only people read it.
    "tasks.note_places",
    # Exporters have no lease: each state of an export is guarded by the one before (docs/decisions/0009-exports.md).
    "jobs.close_suite",
    *("exports.take_up", "exports.again", "exports.begin", "exports.settle"),
    # The reconciler's, after a look that was its own: they only let times be sooner or deadlines later.
    *("clocks.put_off_deadlines", "clocks.bring_back"),
    # What an attempt at a message has come to, counted whoever made it; the job stays where it is.
    *("troubles.failed_attempt", "troubles.give_up", "troubles.refuse"),
    # Any dispatcher's: each change of a schedule is guarded by the revision that it was made from (decision 26).
    *("schedules.add", "schedules.write", "schedules.delete"),
    # An operator's and a client's, guarded by the state that they find.
    *("jobs.unhold", "troubles.forgive", "tasks.send_again", "records.add", "records.replace", "records.delete"),
    # Into a store without jobs, beside which no service runs (decision 30); the other writes a file.
    *("backups.restore", "backups.settle", "backups.write"),
    # Of jobs that are over, which nothing leads on from: done twice it does no more.
    *("retention.forget", "retention.delete"),
}
"""Writes that no lease stands for, and why they need none."""


def task(**changes: Any) -> Task:
    fields = {"job_id": "j", "provider": "cloud", "device": "d", "run": 0, "first": 0, "circuit_count": 1, "shots": 1}
    return Task.model_validate({"_id": "j:0", "state": TaskState.STORED, "seed": 1, **fields, **changes})


def called(function: ast.AsyncFunctionDef | ast.FunctionDef) -> set[str]:
    """The names of the methods that a method calls."""
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {call.attr for call in calls if isinstance(call, ast.Attribute)}


def writes() -> set[str]:
    """Every public method of the store that writes, by itself or through another method."""
    parts = {name: part for name, part in vars(Store(client=_Nothing())).items() if not name.startswith("_")}
    methods = {
        (name, node.name): called(node)
        for name, part in parts.items()
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(type(part)))))
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
    }
    writing = set(DRIVER)
    while found := {name for (_, name), calls in methods.items() if calls & writing} - writing:
        writing |= found
    return {f"{part}.{name}" for (part, name), calls in methods.items() if calls & writing and not name.startswith("_")}


class _Nothing:
    def __getitem__(self, name: str) -> _Nothing:
        return self

    def __getattr__(self, name: str) -> Any:
        return None


def test_every_write_of_the_store_is_fenced_or_needs_no_lease() -> None:
    """If this fails: what you added to the store is to be tried below, or to be among the others with the reason."""
    assert writes() == FENCED.keys() | OTHERS
    assert not FENCED.keys() & OTHERS


async def changed_hands(store: Store, name: str) -> tuple[Hand, Hand]:
    """Let one holder of every lease be followed by another, ready for a write, and return what the two know."""
    fields = {"provider": "cloud", "device": "d", "config": {}}
    for owner, seconds in (("first", 0), ("second", 60)):
        await store.jobs.accept("j", Accepted.model_validate(fields), owner=owner, lease_seconds=seconds)
        await store.leases.take("r", owner=owner, lease_seconds=seconds)
    request = JobRequested(job_id="s.001-a", suite_id="s", provider="cloud", device="d", config={})
    await store.suites.keep("s", [request], 60)
    await store.tasks.replace_all("j", [task(plan=2)])
    if name in BEFORE_SUBMISSION | SUBMITTING:
        (first,) = await store.tasks.take_up("j", 1)
        (second,) = await store.tasks.take_up("j", 2) if name != "tasks.take_up" else [first]
        if name in SUBMITTING:
            second = await store.tasks.intend(second)
            first = second.model_copy(update={"dispatcher": first.dispatcher})
    else:
        await store.tasks.release("j")
        (first,) = await store.tasks.claim("cloud", owner="first", limit=1, lease_seconds=0)
        (second,) = await store.tasks.claim("cloud", owner="second", limit=1, lease_seconds=60)
    return Hand(1, first), Hand(2, second)


def everything(database: Any) -> dict[str, list[Any]]:
    return {each: list(database[each].find()) for each in COLLECTIONS}


@pytest.mark.parametrize("name", FENCED)
async def test_a_holder_that_has_lost_its_lease_changes_nothing(store: Store, database: Any, name: str) -> None:
    late, _ = await changed_hands(store, name)
    # The next one's marks: a lease that is kept elsewhere shows only there.
    await store.upkeep.checked(["j"], 2)
    await store.suites.checked("s", 2)
    if name == "tasks.take_up":
        await store.tasks.take_up("j", 2)
    before = everything(database)
    with suppress(LeaseLost):
        await FENCED[name](store, late)
    assert everything(database) == before


@pytest.mark.parametrize("name", sorted(FENCED.keys() - {"tasks.replace_all", "tasks.insert"}))
async def test_whoever_has_the_lease_writes(store: Store, database: Any, name: str) -> None:
    """Or the other test would prove nothing. What is stored of a plan stays, so storing it again changes nothing."""
    _, holder = await changed_hands(store, name)
    before = everything(database)
    await FENCED[name](store, holder)
    assert everything(database) != before


@pytest.mark.parametrize("name", sorted(FENCED.keys() - {"tasks.replace_all", "tasks.insert"}))
async def test_whoever_has_the_lease_writes_also_where_a_newer_version_added_fields(
    store: Store, database: Any, name: str
) -> None:
    _, holder = await changed_hands(store, name)
    for each in COLLECTIONS:
        database[each].update_many({}, {"$set": {"newer": 1}})
        database[each].update_many({"lease": {"$type": "object"}}, {"$set": {"lease.newer": 1}})
    before = everything(database)
    await FENCED[name](store, holder)
    assert everything(database) != before
