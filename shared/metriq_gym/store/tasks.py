"""Every query on task documents: a work list that pollers claim from under fenced leases.

A task that some worker should look at has ``next_poll_at``. Claiming pushes that time to the lease's end, so
one index serves both the list of due tasks and the expiry of leases; time is always the server's.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import IndexModel, ReturnDocument, UpdateOne

from metriq_gym.errors import LeaseLost, SubmissionAmbiguous, UnreadableDocument
from metriq_gym.jobs.documents import CheckedCircuit, DueTask, Lease, ShortCount, Task
from metriq_gym.jobs.states import OPEN_TASKS, TaskState
from metriq_gym.store.indexes import ensure
from metriq_gym.store.mongo import EPOCH, Stage, from_now, literal, rows, translated
from metriq_gym.store.reading import read, read_each
from metriq_gym.store.shapes import READABLE_TASK
from metriq_gym.store.together import Change, Inserter, Together, Updater, Writer, of_each

_IDS_AT_ONCE = 10_000
SPREAD = 4
"""Pollers look at this many times what they want and pick at random, so that they seldom collide."""
_FEW = 100
"""Tasks that are claimed one by one, if in one call."""
SEEN_SECONDS = 0.2
"""For so long what was seen to be due serves."""
OLDEST_EVERY = 4
"""Every so many looks take those that are due for longest, whatever their lane, so that no lane waits for ever."""
_BEHIND = [1, 2, 3]
_LANES = [None, 0, *_BEHIND]
"""A task of lane 0 need not say so."""


class Tasks:
    """The ``tasks`` collection."""

    def __init__(self, collection: Any) -> None:
        self._tasks = collection
        self._writer = Writer(collection, {"state": 1, "lease": 1})
        self._inserter = Inserter(collection)
        released = [{"$set": {"state": TaskState.SUBMITTED, "next_poll_at": "$$NOW"}}]
        self._releaser = Updater(collection, "job_id", {"state": TaskState.STORED}, released)
        self._counter = Together(self._states, self._states_all)
        self._of_job = of_each(collection, "job_id")
        self._seen_due: dict[str, tuple[float, Sequence[DueTask]]] = {}
        self._looks = 0

    async def create_indexes(self) -> None:
        """Create the indexes the queries below use, or see that they exist."""
        await ensure(
            self._tasks,
            [
                IndexModel(
                    [("provider", 1), ("next_poll_at", 1)],
                    partialFilterExpression={"next_poll_at": {"$exists": True}},
                ),
                IndexModel(
                    [("provider", 1), ("lane", 1), ("next_poll_at", 1)],
                    partialFilterExpression={"next_poll_at": {"$exists": True}},
                ),
                IndexModel(
                    [("provider", 1), ("withdraw_at", 1)],
                    partialFilterExpression={"withdraw_at": {"$exists": True}},
                ),
                IndexModel([("job_id", 1), ("state", 1)]),
                IndexModel(
                    [("provider", 1), ("provider_job_id", 1)],
                    partialFilterExpression={"provider_job_id": {"$exists": True}},
                ),
            ],
        )

    @translated
    async def replace_all(self, job_id: str, tasks: Sequence[Task]) -> None:
        """Store a job's tasks, none of which has been submitted, in place of any left by an earlier `plan`.

        Those of the same plan, and those of a later one, which another dispatcher made meanwhile, stay as they are.
        """
        plan = min(task.plan for task in tasks)
        if plan != 1:  # the first has none before it
            earlier = {"$not": {"$gte": plan}}
            await self._tasks.delete_many({"job_id": job_id, "state": TaskState.STORED, "plan": earlier})
        await self.insert(tasks)

    @translated
    async def insert(self, tasks: Sequence[Task]) -> None:
        """Store tasks; those that exist stay as they are."""
        await self._inserter.insert_many([task.model_dump(by_alias=True, exclude_defaults=True) for task in tasks])

    @translated
    async def release(self, job_id: str) -> None:
        """Make a job's stored tasks due now."""
        await self._releaser.update_many(job_id)

    @translated
    async def take_up(self, job_id: str, token: int) -> list[Task]:
        """Return a job's tasks of which it is not certain that the provider has them, in order.

        From then on no dispatcher with an earlier `token` does anything about them; one that is late gets none.
        """
        query = {"job_id": job_id, "state": {"$in": [TaskState.STORED, TaskState.SUBMITTING, TaskState.UNKNOWN]}}
        await self._tasks.update_many(query | {"dispatcher": {"$not": {"$gt": token}}}, {"$set": {"dispatcher": token}})
        found = self._tasks.find(query | {"dispatcher": token})
        return sorted([read(Task, each) async for each in found], key=lambda task: (task.run, task.first))

    @translated
    async def intend(self, task: Task) -> Task:
        """Write down that a stored task is about to be submitted; raises `LeaseLost` if it is not `stored` any more."""
        intended = {"$set": {"state": TaskState.SUBMITTING, "intended_at": "$$NOW", "sent_until": None}}
        return await self._step(task, TaskState.STORED, intended, dispatcher=task.dispatcher)

    @translated
    async def retract(self, task: Task) -> Task:
        """Write down that an intended submission was certainly not accepted."""
        stored = {"$set": {"state": TaskState.STORED, "intended_at": None}}
        return await self._step(task, TaskState.SUBMITTING, stored, dispatcher=task.dispatcher)

    @translated
    async def doubt(self, task: Task, reason: str, candidates: Sequence[Mapping[str, str]] = ()) -> Task:
        """Write down that it cannot be told whether an intended submission was accepted, why, and what it may be."""
        found = [dict(each) for each in candidates]
        unknown = {"state": TaskState.UNKNOWN} | literal({"error": reason, "candidates": found})
        return await self._step(task, TaskState.SUBMITTING, {"$set": unknown}, dispatcher=task.dispatcher)

    @translated
    async def send_again(self, task: Task) -> Task:
        """Record that a doubtful submission is known not to have been accepted."""
        stored = {"state": TaskState.STORED, "intended_at": None, "error": None}
        return await self._step(task, TaskState.UNKNOWN, {"$set": stored})

    @translated
    async def submitted(self, task: Task, provider_job_id: str) -> Task:
        """Write down that the provider has the task, which is due from now on. Said again it changes nothing.

        Its sender may say so even after another dispatcher has taken the job up: it is true until the task is
        submitted anew, which makes its `intended_at` another. Raises `LeaseLost` then, and `SubmissionAmbiguous` for
        an id that another task has.
        """
        taken = {"provider": task.provider, "provider_job_id": provider_job_id, "_id": {"$ne": task.id}}
        if (other := await self._tasks.find_one(taken, {"_id": 1})) is not None:
            raise SubmissionAmbiguous(f"the provider calls it {provider_job_id}, as it does task {other['_id']}")
        found = await self._tasks.find_one(
            {"_id": task.id, "state": TaskState.SUBMITTED, "provider_job_id": provider_job_id}
        )
        if found is not None:
            return read(Task, found)
        fields = literal({"provider_job_id": provider_job_id, "error": None})
        due = {"state": TaskState.SUBMITTED, "next_poll_at": "$$NOW"}
        try:
            return await self._step(task, task.state, {"$set": fields | due})
        except LeaseLost:
            # What is paid for is to be found again, or not even run.
            ended = {"_id": task.id, "state": TaskState.CANCELLED, "intended_at": task.intended_at}
            for_good = {"$eq": [{"$type": "$circuits"}, "missing"]}
            withdrawn = {"withdraw_at": {"$cond": [for_good, _NOW_IF_CANCELLABLE, "$$REMOVE"]}}
            await self._tasks.update_one(ended, [{"$set": fields}, {"$set": withdrawn}])
            raise

    async def _step(self, task: Task, state: TaskState, change: Stage, **more: object) -> Task:
        query = {"_id": task.id, "state": state, "intended_at": task.intended_at, **more}
        found = await self._tasks.find_one_and_update(query, [change], return_document=ReturnDocument.AFTER)
        if found is None:
            raise LeaseLost(f"task {task.id} is not {state} any more")
        return read(Task, found)

    @translated
    async def intended_before(self, task: Task, seconds: float) -> bool:
        """Whether the task's submission was intended, and may have been sent for the last time, `seconds` ago."""
        sent = {"$max": ["$intended_at", "$sent_until"]}
        query = {"_id": task.id, "$expr": {"$lte": [sent, from_now(-seconds)]}}
        return await self._tasks.find_one(query, {"_id": 1}) is not None

    @translated
    async def time_at(self, task: Task) -> datetime:
        """Return the server's time; raises `LeaseLost` when the task was deleted."""
        found = await self._tasks.find_one({"_id": task.id}, {"now": "$$NOW"})
        if found is None:
            raise LeaseLost(f"task {task.id} was deleted")
        now: datetime = found["now"]
        return now

    @translated
    async def in_doubt(self, provider: str, job_ids: Collection[str]) -> list[Task]:
        """Return those tasks of jobs, without circuits, of which it is not known whether the provider has them."""
        states = [TaskState.SUBMITTING, TaskState.UNKNOWN]
        query = {"job_id": {"$in": list(job_ids)}, "state": {"$in": states}, "provider": provider}
        return await read_each(Task, self._tasks.find(query, {"circuits": 0}))

    @translated
    async def ours_among(self, provider: str, provider_job_ids: Iterable[str]) -> set[str]:
        """Return which of a provider's ids belong to tasks of ours."""
        query = {"provider": provider, "provider_job_id": {"$in": list(provider_job_ids)}}
        return {found["provider_job_id"] async for found in self._tasks.find(query, {"provider_job_id": 1})}

    @translated
    async def waiting(self, provider: str, *, limit: int) -> int:
        """Return how many tasks a provider has, counting up to `limit`."""
        return int(
            await self._tasks.count_documents({"provider": provider, "next_poll_at": {"$gt": EPOCH}}, limit=limit)
        )

    @translated
    async def make_due(self, provider: str, provider_job_ids: Collection[str]) -> None:
        """Let those of a provider's tasks be due now that are ours; the other ids may be anything."""
        ids = list(provider_job_ids)
        for first in range(0, len(ids), _IDS_AT_ONCE):
            chosen = {"$in": ids[first : first + _IDS_AT_ONCE]}
            await self._tasks.update_many(
                {"provider": provider, "provider_job_id": chosen, "state": TaskState.SUBMITTED},
                [{"$set": {"next_poll_at": {"$min": ["$next_poll_at", "$$NOW"]}}}],
            )

    @translated
    async def due(self, provider: str, *, limit: int) -> list[DueTask]:
        """Return up to `limit` due tasks of `provider`: of the lowest lanes those that are due for longest.

        Every `OLDEST_EVERY`th time they are those that are due for longest of all.
        """
        self._looks += 1
        query, order = _due(provider), [("next_poll_at", 1)]
        if self._looks % OLDEST_EVERY:
            query, order = query | {"lane": {"$in": _LANES}}, [("lane", 1), *order]
        fields = {"provider_job_id": 1, "polls": 1, "next_poll_at": 1, "lane": 1}
        return [
            DueTask(
                found["_id"],
                found.get("provider_job_id"),
                found.get("polls", 0),
                found["next_poll_at"],
                found.get("lane", 0),
            )
            async for found in self._tasks.find(query, fields).sort(order).limit(limit)
        ]

    @translated
    async def due_in_lanes(self, provider: str, *, limit: int) -> int:
        """Return how many tasks of `provider` from lanes are due, counting up to `limit`; also unreadable ones."""
        query = _due_by_time(provider) | {"lane": {"$in": _BEHIND}}  # which an index tells but for the server's time
        return int(await self._tasks.count_documents(query, limit=limit))

    @translated
    async def claim(self, provider: str, *, owner: str, limit: int, lease_seconds: float) -> list[Task]:
        """Lease up to `limit` due tasks of `provider` to `owner`, which begins to run them.

        Those that were seen to be due and not chosen are tried the next time, before others are looked for; but not
        those of lanes, since one of a lower lane that has come meanwhile goes before them.
        """
        seen_at, known = self._seen_due.pop(provider, (0.0, ()))
        serves = len(known) >= limit and time.monotonic() < seen_at + SEEN_SECONDS
        if not serves:
            seen_at = time.monotonic()
        due = known if serves else await self.due(provider, limit=SPREAD * limit)
        begun: Stage = {"begun": {"$add": [{"$ifNull": ["$begun", 0]}, 1]}}
        claimed: list[Task] = []
        while due and len(claimed) < limit:
            chosen = _choose_first(due, limit - len(claimed))
            claimed += await self._claim(provider, chosen, owner, lease_seconds, {"counts": 0}, begun)
            due = [each for each in due if each not in chosen]
        if len(claimed) == limit:
            self._seen_due[provider] = seen_at, [each for each in due if not each.lane]
        elif serves:  # others have been at them
            left = limit - len(claimed)
            claimed += await self.claim(provider, owner=owner, limit=left, lease_seconds=lease_seconds)
        return claimed

    @translated
    async def claim_of(
        self, provider: str, due: Sequence[DueTask], *, owner: str, limit: int, lease_seconds: float
    ) -> list[Task]:
        """Lease up to `limit` of these tasks to `owner`, as far as they are still due; return them without circuits.

        They are chosen at random, so that pollers that look at the same time seldom collide.
        """
        left_out = {"counts": 0, "circuits": 0}
        return await self._claim(provider, _choose(due, limit), owner, lease_seconds, left_out)

    async def _claim(
        self,
        provider: str,
        due: Sequence[DueTask],
        owner: str,
        lease_seconds: float,
        left_out: dict[str, int],
        changes: Stage | None = None,
    ) -> list[Task]:
        if not due:
            return []
        chosen = {"_id": {"$in": [task.id for task in due]}}
        # As they were seen: so the database need not be asked again whether this version can read them.
        seen = [{"_id": task.id, "provider": provider, "next_poll_at": task.next_poll_at} for task in due]
        claim = f"{owner}/{random.getrandbits(64):016x}"
        token = {"$add": [{"$ifNull": ["$lease.token", 0]}, 1]}
        lease = {"owner": claim, "token": token, "due_at": "$next_poll_at"}
        leased = [{"$set": {"next_poll_at": from_now(lease_seconds), "lease": lease, **(changes or {})}}]
        if len(due) == 1:
            after = ReturnDocument.AFTER
            found = await self._tasks.find_one_and_update(seen[0], leased, projection=left_out, return_document=after)
            return [] if found is None else [read(Task, found)]
        if len(due) <= _FEW:  # which the driver tries again
            await self._tasks.bulk_write([UpdateOne(each, leased) for each in seen], ordered=False)
        else:
            await self._tasks.update_many(chosen | _due(provider), leased)
        return await read_each(Task, self._tasks.find(chosen | {"lease.owner": claim}, left_out))

    @translated
    async def pass_over(
        self, provider: str, due: Sequence[DueTask], *, first_seconds: float, growth: float, max_seconds: float
    ) -> None:
        """Postpone tasks that are still due as `postpone` does, without claiming them.

        For tasks that are known to wait: half the work, and nothing is written that a lease would have to guard.
        """
        if due:
            chosen = {"_id": {"$in": [task.id for task in due]}}
            changes = _postponed(first_seconds, growth, max_seconds, unclear=0)
            await self._tasks.update_many(chosen | _due(provider), [{"$set": changes}])

    @translated
    async def renew(self, task: Task, lease_seconds: float) -> None:
        """Extend the lease; raises `LeaseLost` when it went to another worker or the task has ended."""
        await self._update(task, [{"$set": {"next_poll_at": from_now(lease_seconds)}}])

    @translated
    async def hand_back(self, task: Task, *, died: bool = False) -> None:
        """Give up the lease so that another worker can claim the task at once; count it if the worker `died`.

        Unless it did, the task is due since when it was: nothing has come of it.
        """
        due_at: Any = "$$NOW" if died else {"$min": ["$lease.due_at", "$$NOW"]}
        changes = {"next_poll_at": due_at, "deaths": task.deaths + died, "begun": task.begun - 1}
        await self._update(task, [{"$set": changes}])

    @translated
    async def postpone(
        self,
        tasks: Sequence[Task],
        *,
        first_seconds: float,
        growth: float,
        max_seconds: float,
        unclear: int | None = 0,
    ) -> None:
        """Give up the leases of tasks that are not finished; each is due again after a growing, jittered time.

        The first time `first_seconds`, then `growth` times as long each time, up to `max_seconds`, give or take a
        quarter. `unclear` is how often in a row the provider was not understood; None leaves that as it is. Tasks that
        went to another worker meanwhile stay as they are.
        """
        await self._give_up(tasks, _postponed(first_seconds, growth, max_seconds, unclear))

    @translated
    async def hand_back_all(self, tasks: Sequence[Task], seconds: float = 0) -> None:
        """Give up the leases of tasks that were not asked about; they are due after `seconds`, up to a quarter more.

        Tasks that went to another worker meanwhile stay as they are.
        """
        jitter = {"$add": [1, {"$multiply": [0.25, {"$rand": {}}]}]}
        await self._give_up(tasks, {"next_poll_at": _later({"$multiply": [seconds, jitter]})})

    @translated
    async def note_places(self, places: Mapping[str, tuple[int | None, datetime | None]]) -> None:
        """Note, by the task's id, the place in the provider's queue and the start expected there."""
        for task_id, (position, starts_at) in places.items():
            place = {"queue_position": position, "starts_at": starts_at}
            await self._tasks.update_one({"_id": task_id, "state": TaskState.SUBMITTED}, [{"$set": place}])

    async def _give_up(self, tasks: Sequence[Task], changes: Stage) -> None:
        by_owner: defaultdict[str, list[str]] = defaultdict(list)
        for task in tasks:
            by_owner[_lease(task).owner].append(task.id)
        for owner, ids in by_owner.items():
            held = {"_id": {"$in": ids}, "lease.owner": owner, "state": TaskState.SUBMITTED}
            await self._tasks.update_many(held, [{"$set": changes}])

    @translated
    async def circuits(self, tasks: Sequence[Task]) -> dict[str, bytes]:
        """Return the packed circuits of each task, by the task's id; those of ended tasks are gone."""
        query = {"_id": {"$in": [task.id for task in tasks]}, "circuits": {"$exists": True}}
        return {found["_id"]: bytes(found["circuits"]) async for found in self._tasks.find(query, {"circuits": 1})}

    @translated
    async def complete_all(self, results: Sequence[tuple[Task, bytes, float | None]]) -> int:
        """Store packed counts and execution seconds of tasks, but for those that others have taken over.

        Return of how many they were stored.
        """
        if not results:
            return 0
        writes = []
        for task, counts, seconds in results:
            fields = {"counts": counts, "execution_seconds": seconds}
            short = {} if task.counted is None else {"counted": task.counted}
            writes.append(UpdateOne(_held(task), _ended(TaskState.COMPLETED, fields | short)))
        return int((await self._tasks.bulk_write(writes, ordered=False)).matched_count)

    @translated
    async def complete(
        self, task: Task, counts: bytes, execution_seconds: float | None, sampling_seconds: float | None = None
    ) -> None:
        """Store a task's packed counts; raises `LeaseLost` when another worker has taken it over."""
        finer = {} if sampling_seconds is None else {"sampling_seconds": sampling_seconds}
        await self._complete(task, {"counts": counts, "execution_seconds": execution_seconds} | finer)

    @translated
    async def check(self, task: Task, said: Mapping[str, Any]) -> None:
        """Store what the provider says of a task that was only compiled; raises `LeaseLost` as `complete` does."""
        await self._complete(task, {"said": dict(said)})

    async def _complete(self, task: Task, fields: dict[str, Any]) -> None:
        held, lease = _held(task), _lease(task)

        def completed(found: Mapping[str, Any]) -> bool:
            theirs = found.get("lease") or {}
            ours = theirs.get("owner") == lease.owner and theirs.get("token") == lease.token
            return bool(ours and found.get("state") == TaskState.COMPLETED)

        change = Change(held.pop("_id"), held, _ended(TaskState.COMPLETED, fields), made=completed)
        if await self._writer.find_one_and_update(change) is None:
            raise _lost(task)

    @translated
    async def fail(self, task: Task, error: str) -> None:
        """End a task without counts; raises `LeaseLost` when another worker has taken it over."""
        await self._update(task, [{"$set": {"state": TaskState.FAILED} | literal({"error": error})}, _UNDUE])

    async def _update(self, task: Task, pipeline: list[Stage]) -> None:
        if not (await self._tasks.update_one(_held(task), pipeline)).matched_count:
            raise _lost(task)

    @translated
    async def cancel(self, job_id: str, *, for_good: bool = True, token: int | None = None) -> None:
        """End every open task of a job; if not `for_good` they keep what is needed to `reopen` them.

        With `token`, only those that no dispatcher with a higher one has seen to: the job may have been resumed.
        """
        dropped = ["next_poll_at", "circuits"] if for_good else ["next_poll_at"]
        withdrawn = {"withdraw_at": _NOW_IF_CANCELLABLE} if for_good else {}
        fenced = {} if token is None else {"dispatcher": {"$not": {"$gt": token}}}
        await self._tasks.update_many(
            {"job_id": job_id, "state": {"$in": list(OPEN_TASKS)}} | fenced,
            [{"$set": {"state": TaskState.CANCELLED, "cancelled_from": "$state"} | withdrawn}, {"$unset": dropped}],
        )

    @translated
    async def claim_withdrawn(self, provider: str, *, limit: int, seconds: float) -> dict[str, str]:
        """Return the ids of up to `limit` tasks that `provider` is to be asked to cancel, with the provider's own.

        No other poller gets them for `seconds`; after that they are there again, unless they were `withdrawn`.
        """
        query = {"provider": provider, "withdraw_at": {"$gt": EPOCH}, "$expr": {"$lte": ["$withdraw_at", "$$NOW"]}}
        later = [{"$set": {"withdraw_at": from_now(seconds)}}]
        claimed: dict[str, str] = {}
        while len(claimed) < limit:
            found = await self._tasks.find_one_and_update(query, later, projection={"provider_job_id": 1})
            if found is None or found["_id"] in claimed:
                break
            claimed[found["_id"]] = found["provider_job_id"]
        return claimed

    @translated
    async def withdrawn(self, task_ids: Collection[str]) -> None:
        """Write down that the provider was asked to cancel tasks, or has nothing of them to cancel."""
        await self._tasks.update_many({"_id": {"$in": list(task_ids)}}, [{"$unset": ["withdraw_at"]}])

    @translated
    async def newest_token(self, job_id: str) -> int:
        """Return the highest fencing token that any dispatcher has left in a job's tasks; 0 without any."""
        tokens = [0]
        async for found in self._tasks.find({"job_id": job_id}, {"dispatcher": 1, "plan": 1}):
            tokens += [found.get("dispatcher") or 0, found.get("plan") or 0]
        return max(tokens)

    @translated
    async def reopen(self, job_id: str, token: int) -> int:
        """Let the tasks of a resumed job go on where its end found them; return how many of them cannot.

        What the provider has is asked about again, also where it was said to have failed. What may have been accepted
        is looked for, and what was certainly not is to be submitted. Tasks whose circuits are gone stay as they are.
        `token` is that of the dispatcher that does this. What others still do about the job's end, or about an answer
        from before it, changes nothing from then on.
        """
        still_open = {"job_id": job_id, "state": {"$in": list(OPEN_TASKS)}, "dispatcher": {"$not": {"$gt": token}}}
        await self._tasks.update_many(still_open, {"$set": {"dispatcher": token}})
        ended = {"job_id": job_id, "state": {"$in": [TaskState.CANCELLED, TaskState.FAILED]}}
        fenced = ended | {"circuits": {"$exists": True}, "dispatcher": {"$not": {"$gt": token}}}
        placed = {"provider_job_id": {"$type": "string"}}
        anew: dict[str, Any] = {"error": None, "unclear": 0, "polls": 0, "deaths": 0, "begun": 0, "dispatcher": token}
        anew["lease"] = {"$cond": ["$lease", {"owner": "", "token": "$lease.token"}, "$$REMOVE"]}
        due = anew | {"state": TaskState.SUBMITTED, "next_poll_at": "$$NOW"}
        await self._tasks.update_many(fenced | placed, [{"$set": due}])
        may_have_it = {"cancelled_from": {"$in": [TaskState.SUBMITTING, TaskState.UNKNOWN]}}
        await self._tasks.update_many(fenced | may_have_it, [{"$set": anew | {"state": TaskState.SUBMITTING}}])
        # Not what has been cancelled since just now, by the end that this job is resumed from: it would be sent again.
        sent = {"$or": [placed, may_have_it]}
        stored = anew | {"state": TaskState.STORED, "intended_at": None}
        await self._tasks.update_many(fenced | {"$nor": [sent]}, [{"$set": stored}])
        return int(await self._tasks.count_documents(ended | {"circuits": {"$exists": False}}))

    @translated
    async def states(self, job_id: str) -> Mapping[TaskState, int]:
        """Return how many of a job's tasks are in each state that any of them is in."""
        found = await self.counts(job_id)
        if unknown := found.keys() - set(TaskState):
            raise UnreadableDocument(f"tasks of {job_id} are in states that this version does not know: {unknown}")
        return {TaskState(state): count for state, count in found.items()}

    @translated
    async def counts(self, job_id: str) -> Mapping[str, int]:
        """Return how many of a job's tasks are in each state, also in one that this version does not know."""
        return await self._counter(job_id)

    async def _states(self, job_id: str) -> Mapping[str, int]:
        return (await self._states_all([job_id]))[0]

    async def _states_all(self, job_ids: Sequence[str]) -> Sequence[Mapping[str, int]]:
        stages: list[dict[str, Any]] = [
            {"$match": {"job_id": {"$in": list(set(job_ids))}}},
            {"$group": {"_id": {"job": "$job_id", "state": "$state"}, "count": {"$sum": 1}}},
        ]
        found: defaultdict[str, dict[str, int]] = defaultdict(dict)
        async for each in rows(self._tasks, stages):
            found[each["_id"]["job"]][each["_id"]["state"]] = each["count"]
        return [found.get(job_id, {}) for job_id in job_ids]

    @translated
    async def count(self, job_id: str, *states: TaskState) -> int:
        """Return how many of a job's tasks are in one of these states."""
        return int(await self._tasks.count_documents({"job_id": job_id, "state": {"$in": states}}))

    @translated
    async def first_error(self, job_id: str) -> str | None:
        """Return the error of one failed task of a job, if any failed."""
        found = await self._tasks.find_one({"job_id": job_id, "state": TaskState.FAILED}, {"error": 1})
        return None if found is None else str(found["error"])

    @translated
    async def short(self, job_id: str) -> list[ShortCount]:
        """Return the tasks of a job that counted less than was asked for, in the order of their circuits."""
        fields = {"run": 1, "first": 1, "shots": 1, "circuit_count": 1, "counted": 1}
        found = [each async for each in self._tasks.find({"job_id": job_id, "counted": {"$gte": 0}}, fields)]
        short = [ShortCount.model_validate(each | {"shots": each["shots"] * each["circuit_count"]}) for each in found]
        return sorted(short, key=lambda each: (each.run, each.first))

    @translated
    async def checked(self, job_id: str) -> list[CheckedCircuit]:
        """Return what was said of the tasks of a dry run, in the order of their circuits."""
        fields = {"run": 1, "first": 1, "said": 1}
        found = [
            CheckedCircuit.model_validate(each)
            async for each in self._tasks.find({"job_id": job_id, "state": TaskState.COMPLETED}, fields)
        ]
        return sorted(found, key=lambda each: (each.run, each.first))

    @translated
    async def of_job(self, job_id: str) -> list[Task]:
        """Return a job's tasks with their counts, in the order of their circuits."""
        tasks = [read(Task, found) for found in await self._of_job(job_id)]
        return sorted(tasks, key=lambda task: (task.run, task.first))


_UNDUE: Stage = {"$unset": ["next_poll_at"]}
_PLACED: Stage = {"$eq": [{"$type": "$provider_job_id"}, "string"]}
_NOW_IF_CANCELLABLE: Stage = {"$cond": [{"$and": [_PLACED, {"$eq": ["$cancellable", True]}]}, "$$NOW", "$$REMOVE"]}


def _due(provider: str) -> dict[str, Any]:
    return _due_by_time(provider) | READABLE_TASK  # any other stays as it is


def _due_by_time(provider: str) -> dict[str, Any]:
    return {
        "provider": provider,
        "next_poll_at": {"$gt": EPOCH},
        "$expr": {"$lte": ["$next_poll_at", "$$NOW"]},
    }


def _choose(due: Sequence[DueTask], limit: int) -> Sequence[DueTask]:
    return random.sample(due, min(limit, len(due)))


def _choose_first(due: Sequence[DueTask], limit: int) -> Sequence[DueTask]:
    """Choose at random among those of the lowest lane that is there, and only then among the others."""
    return sorted(_choose(due, len(due)), key=lambda task: task.lane)[:limit]


def _postponed(first_seconds: float, growth: float, max_seconds: float, unclear: int | None) -> Stage:
    polls = {"$ifNull": ["$polls", 0]}
    # Past the point where the bound is reached the power does not matter, and must not overflow.
    growing = {"$multiply": [first_seconds, {"$pow": [growth, {"$min": [polls, 100]}]}]}
    jitter = {"$add": [0.75, {"$multiply": [0.5, {"$rand": {}}]}]}
    due = _later({"$multiply": [{"$min": [growing, max_seconds]}, jitter]})
    counted = {} if unclear is None else {"unclear": unclear}
    return {"next_poll_at": due, "polls": {"$add": [polls, 1]}, **counted}


def _lease(task: Task) -> Lease:
    assert task.lease is not None  # noqa: S101  (only claimed tasks are written)
    return task.lease


def _lost(task: Task) -> LeaseLost:
    return LeaseLost(f"task {task.id} is in other hands")


def _held(task: Task) -> dict[str, Any]:
    # Field by field: a newer version may have left more in the lease.
    lease = _lease(task)
    return {"_id": task.id, "state": TaskState.SUBMITTED, "lease.owner": lease.owner, "lease.token": lease.token}


def _ended(state: TaskState, fields: dict[str, Any]) -> list[Stage]:
    # The circuits have served: keeping them would double what a finished job occupies.
    return [
        {"$set": {"state": state, "ended_at": "$$NOW"} | literal(fields)},
        {"$unset": ["next_poll_at", "circuits"]},
    ]


def _later(seconds: Stage) -> Stage:
    return {"$add": ["$$NOW", {"$toLong": {"$multiply": [1000, seconds]}}]}
