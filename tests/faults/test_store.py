"""A store that is killed, stands still, changes its primary, or fails some calls loses and repeats nothing."""

from __future__ import annotations

import ast
import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pymongo
import pytest
from motor.motor_asyncio import AsyncIOMotorCollection

import metriq_gym.store
from metriq_gym.store import Store
from tests.faults.doomed import Orders
from tests.faults.report import LONG, Report
from tests.faults.scenario import scenario
from tests.faults.unreliable import BROKEN, CALLS, CURSORS
from tests.servers.mongodb import Member, ReplicaSet
from tests.support.patience import PATIENCE

JOBS = 200 if LONG else 12


async def _all(store: ReplicaSet) -> Sequence[Member]:
    return store.members


async def _primary(store: ReplicaSet) -> Sequence[Member]:
    return [await asyncio.to_thread(store.await_primary)]


async def _kill(store: ReplicaSet, whom: Whom) -> None:
    members = await whom(store)
    for member in members:
        await asyncio.to_thread(member.kill)
    for member in members:
        member.start()


async def _stop(store: ReplicaSet, whom: Whom, seconds: float) -> None:
    members = await whom(store)
    for member in members:
        member.send_signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    for member in members:
        member.send_signal(signal.SIGCONT)


async def _step_down(store: ReplicaSet) -> None:
    await asyncio.to_thread(store.step_down)


Whom = Callable[[ReplicaSet], Awaitable[Sequence[Member]]]
Stroke = Callable[[ReplicaSet], Awaitable[None]]
EACH: dict[str, Stroke] = {
    "store killed and restarted": partial(_kill, whom=_all),
    "store's primary killed and restarted": partial(_kill, whom=_primary),
    "store stopped for 10 s": partial(_stop, whom=_all, seconds=10),
    "store's primary stopped for 10 s": partial(_stop, whom=_primary, seconds=10),
    "store's primary steps down": _step_down,
}
SHORT_FORM: list[Stroke] = [_step_down, partial(_stop, whom=_all, seconds=3), partial(_kill, whom=_all)]
STROKES: dict[str, list[Stroke]] = (
    {name: 5 * [stroke] for name, stroke in EACH.items()} if LONG else {"store, every fault once": SHORT_FORM}
)
ORDERS: dict[str, Orders] = (
    {
        "5 % of the store's calls fail": Orders(refused=0.05),
        "5 % of the store's calls are carried out and fail": Orders(timed_out=0.05),
    }
    if LONG
    else {"6 % of the store's calls fail, half of them carried out": Orders(refused=0.03, timed_out=0.03)}
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    """A store that may be killed."""
    store = ReplicaSet(tmp_path_factory.mktemp("store"))
    yield store
    store.kill()


@pytest.mark.parametrize("name", STROKES)
async def test_a_store_that_fails_loses_and_repeats_nothing(
    name: str, store: ReplicaSet, amqp_url: str, tmp_path: Path, report: Report
) -> None:
    async with scenario(name, report, amqp_url, store.url, tmp_path) as running:
        await running.weather([partial(stroke, store) for stroke in STROKES[name]])
        await running.finish()


async def test_indexes_of_a_restored_collection_are_built_while_a_member_is_away(store: ReplicaSet) -> None:
    primary = await asyncio.to_thread(store.await_primary)
    away = next(member for member in store.members if member is not primary)
    away.kill()
    try:
        with pymongo.MongoClient[dict[str, Any]](store.url) as client:
            # Only a collection that has documents takes a build.
            client["restored"].jobs.insert_one({"_id": "j", "state": "failed"})
        async with asyncio.timeout(PATIENCE), Store.at(store.url, "restored") as opened:
            assert "held_1" in await opened.jobs._jobs.index_information()
    finally:
        away.start()


def test_no_call_of_the_driver_is_spared() -> None:
    files = Path(metriq_gym.store.__file__).parent.glob("*.py")
    calls = (
        node.func for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)
    )
    names = {called.attr for called in calls if isinstance(called, ast.Attribute)}
    of_collections = {name for name in dir(AsyncIOMotorCollection) if not name.startswith("_")}
    assert names & of_collections - {*CALLS, *CURSORS} == {"create_indexes", "index_information", "watch"}


@pytest.mark.parametrize("name", ORDERS)
async def test_calls_that_fail_whether_carried_out_or_not_lose_and_repeat_nothing(
    name: str, amqp_url: str, mongo_url: str, tmp_path: Path, report: Report
) -> None:
    async with scenario(name, report, amqp_url, mongo_url, tmp_path, orders=ORDERS[name]) as running:
        running.uncounted = lambda: sum(each.log.read_text().count(BROKEN) for each in running.system.services)
        await running.request_many(JOBS, remote_every=5)
        await running.finish()
        assert running.uncounted() > JOBS / 2
