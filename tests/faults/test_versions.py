"""Two versions at once, while one replaces the other: what the newer adds, the older passes over and keeps."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pymongo

from metriq_gym.jobs import TERMINAL, JobState
from tests.faults.doomed import NEWER, Orders
from tests.faults.report import LONG, Report
from tests.faults.scenario import TRIVIAL, Scenario, scenario
from tests.support.terminal import mgym_here

JOBS = 100 if LONG else 6
ADDED = "newer"
"""A field that no version knows yet."""
ENDED = [*TERMINAL, "completed", "failed"]
"""Ends of jobs and tasks."""
WITHIN = {"lease": "owner", "failure": "reason", "attempts": "count"}
"""Documents in documents, and a field by which it is told that they are there."""


async def test_fields_of_a_newer_version_in_messages_and_documents_disturb_nothing_and_are_kept(
    amqp_url: str, mongo_url: str, tmp_path: Path, report: Report
) -> None:
    async with (
        scenario(
            "what a newer version adds", report, amqp_url, mongo_url, tmp_path, orders=Orders(newer=True)
        ) as running,
        _newer_documents(running) as added,
    ):
        running.reached, running.uncounted = set(TERMINAL), lambda: len(added)
        running.sandbox.freeze()
        for number in range(JOBS):
            await running.request(f"job-{number}", remote=number % 3 == 2, **NEWER)
        await running.request("rejected", config={"shots": 0}, **NEWER)
        await running.request("cancelled", remote=True, **NEWER)
        await running.publish({"job_id": "cancelled", **NEWER}, "job.cancel_requested")
        await _request_suite(running)
        while "tasks" not in {name for name, _ in added.copy()}:  # noqa: ASYNC110  (else they may all have ended by then)
            await asyncio.sleep(0.05)
        running.sandbox.freeze(False)
        verdict = await running.finish()
        assert verdict.all == []
        states = running.witness.states()
        assert {states[f"job-{number}"] for number in range(JOBS)} == {JobState.EXPORTED}
        so_far = added.copy()
        assert {name for name, _ in so_far} >= {"jobs", "tasks", "leases"}
        assert _left(running, so_far) == so_far
        await _read_by_the_command_line(running)


async def _request_suite(running: Scenario) -> None:
    benchmarks = [{"name": name, "config": TRIVIAL, **NEWER} for name in ("one", "two")]
    body = {"suite_id": "suite", "provider": "local", "device": "aer_simulator", **NEWER}
    await running.publish({**body, "suite": {"name": "Two", "benchmarks": benchmarks, **NEWER}}, "suite.requested")
    running.accepted |= {"suite.001-one", "suite.002-two"}


@asynccontextmanager
async def _newer_documents(running: Scenario) -> AsyncIterator[set[tuple[str, Any]]]:
    """Add fields to every document that is written, as a newer version would; yields which have them."""
    added = set[tuple[str, Any]]()
    stop, opened = threading.Event(), threading.Event()
    adding = asyncio.create_task(asyncio.to_thread(_add, running, added, stop, opened))
    await asyncio.to_thread(opened.wait)
    try:
        yield added
    finally:
        stop.set()
        await adding


def _add(running: Scenario, added: set[tuple[str, Any]], stop: threading.Event, opened: threading.Event) -> None:
    with pymongo.MongoClient[dict[str, Any]](running.mongo_url) as client:
        database = client[running.system.database]
        with database.watch(full_document="updateLookup", max_await_time_ms=100) as stream:
            opened.set()
            while not stop.is_set():
                event = stream.try_next()
                if event is None or not event.get("fullDocument"):
                    continue
                name, document = event["ns"]["coll"], event["fullDocument"]
                for query, field in _additions(document):
                    of_this = {"_id": document["_id"], "state": {"$nin": ENDED}} | query
                    if database[name].update_one(of_this, {"$set": {field: NEWER}}).modified_count and not query:
                        added.add((name, document["_id"]))


def _additions(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    if ADDED not in document:
        yield {}, ADDED
    for name, known in WITHIN.items():
        if ADDED not in (document.get(name) or {ADDED: None}):
            yield {f"{name}.{known}": {"$exists": True}}, f"{name}.{ADDED}"
    for number, entry in enumerate(document.get("history", ())):
        if ADDED not in entry:
            yield {f"history.{number}.at": {"$exists": True}}, f"history.{number}.{ADDED}"


def _left(running: Scenario, added: set[tuple[str, Any]]) -> set[tuple[str, Any]]:
    """Return which documents that got fields have them still, or are rightly gone."""
    with pymongo.MongoClient[dict[str, Any]](running.mongo_url) as client:
        database = client[running.system.database]
        return {
            (name, key)
            for name, key in added
            if (found := database[name].find_one({"_id": key})) is None or found.get(ADDED) == NEWER
        }


async def _read_by_the_command_line(running: Scenario) -> None:
    urls = {
        "METRIQ_AMQP_URL": running.amqp_url,
        "METRIQ_MONGO_URL": running.mongo_url,
        "METRIQ_MONGO_DATABASE": running.system.database,
    }
    command = ("job", "list", "--json", "--limit", str(len(running.accepted) + 1))
    listed = await asyncio.to_thread(mgym_here, os.environ | urls, *command)
    assert {each["id"] for each in json.loads(listed.stdout)} == running.accepted, listed.stderr
