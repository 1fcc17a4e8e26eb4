"""Collecting what the audit judges: every write since a moment, the documents, the records, what is in the queues."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aio_pika
import pymongo
from bson import Timestamp
from pymongo.change_stream import DatabaseChangeStream
from pymongo.errors import OperationFailure

from metriq_gym.bus.port import DEAD_LETTERS, LANES, QUEUES
from metriq_gym.bus.rabbitmq.topology import retry_exchange
from metriq_gym.bus.retry import TRANSIENT
from metriq_gym.jobs import TERMINAL, Job, JobState, Task
from metriq_gym.jobs.schedules import Schedule
from metriq_gym.store.mongo import is_passing
from tests.faults.audit import Change, Evidence

DRAIN_SECONDS = 120
"""How long what is queued may take to be worked off once all jobs have ended."""
ALL_QUEUES = (*(queue.name for queue in (*QUEUES, *LANES)), DEAD_LETTERS, *map(retry_exchange, TRANSIENT.pauses))
_END = "end_of_scenario"


class Witness:
    """Reads a database from the side, and all that was ever written to it from a moment on."""

    def __init__(self, mongo_url: str, database: str) -> None:
        self._client = pymongo.MongoClient[dict[str, Any]](mongo_url, tz_aware=True)
        self._database = self._client[database]
        since: Timestamp = self._client.admin.command("ping")["operationTime"]
        self._stream = self._watch(start_at_operation_time=since)
        self._changes: list[Change] = []
        self.changes()
        self._changes.clear()  # what went before, with which the stream begins

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._client.close()

    def changes(self) -> Sequence[Change]:
        """Return every write to jobs and tasks so far, in order.

        Each is read once: for a stream the server goes through all that was written meanwhile, by other tests too.
        """
        mark = self._database[_END].insert_one({}).inserted_id
        while True:
            try:
                event = self._stream.next()
            except OperationFailure as error:
                if not is_passing(error):
                    raise
                self._stream = self._watch(resume_after=self._stream.resume_token)
                continue
            key = event["documentKey"]["_id"]
            if key == mark:
                break
            if event["ns"]["coll"] != _END:
                self._changes.append(Change(event["ns"]["coll"], key, _fields(event)))
        return tuple(self._changes)

    def _watch(self, **since: Any) -> DatabaseChangeStream[dict[str, Any]]:
        wanted = {"$match": {"ns.coll": {"$in": ["jobs", "tasks", _END]}}}
        return self._database.watch([wanted], **since)

    def states(self) -> dict[str, JobState]:
        """Return the state of every job."""
        return {each["_id"]: JobState(each["state"]) for each in self._database.jobs.find({}, {"state": 1})}

    def ended(self) -> int:
        """Return how many jobs have ended."""
        return self._database.jobs.count_documents({"state": {"$in": list(TERMINAL)}})

    def held(self) -> set[str]:
        """Return the jobs that wait for an operator."""
        return {each["_id"] for each in self._database.jobs.find({"held": {"$type": "string"}}, {"_id": 1})}

    def evidence(
        self,
        accepted: Collection[str],
        *,
        records: Path,
        uploads: Mapping[str, Any] | None = None,
        queued: Mapping[str, int],
        submissions: Mapping[str, Collection[str]] | None = None,
        waiting: Collection[str] = (),
        in_flight: Collection[str] = (),
    ) -> Evidence:
        """Return what there is now."""
        return Evidence(
            accepted=accepted,
            jobs=[Job.model_validate(each) for each in self._database.jobs.find()],
            tasks=[Task.model_validate(each) for each in self._database.tasks.find({}, {"circuits": 0, "counts": 0})],
            changes=self.changes(),
            schedules=[Schedule.model_validate(each) for each in self._database.schedules.find()],
            listings=[each["_id"] for each in self._database.listings.find({}, {"_id": 1})],
            submissions=submissions or {},
            waiting=waiting,
            records={path.stem: json.loads(path.read_text()) for path in records.glob("*.json")},
            uploads=uploads,
            queued=queued,
            in_flight=in_flight,
        )


def _fields(event: Mapping[str, Any]) -> dict[str, Any]:
    match event["operationType"]:
        case "insert" | "replace":
            return dict(event["fullDocument"])
        case "update":
            change = event["updateDescription"]
            return {**change["updatedFields"], **dict.fromkeys(change["removedFields"])}
    return {"state": event["operationType"]}


async def drained(amqp_url: str, dead: int = 0) -> dict[str, int]:
    """Return how many messages too many each queue holds, once there are none or the time is up.

    `dead` are to be among the dead letters.
    """
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        while True:
            counts = {name: await _ready(channel, name) for name in ALL_QUEUES}
            counts[DEAD_LETTERS] -= dead
            if not any(counts.values()) or asyncio.get_running_loop().time() > deadline:
                return counts
            await asyncio.sleep(0.2)


async def _ready(channel: aio_pika.abc.AbstractChannel, name: str) -> int:
    queue = await channel.declare_queue(name, passive=True)
    return queue.declaration_result.message_count or 0
