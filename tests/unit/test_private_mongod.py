"""Finding a MongoDB server on a machine that lacks something."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pymongo
import pytest
from pymongo.errors import OperationFailure

from metriq_gym.store.mongod_supervisor import LONGEST_SECONDS, await_end, stays
from metriq_gym.store.private_mongod import (
    MongodUnavailable,
    _alone,
    _configure,
    find_binary,
    private_mongod,
    stop_idle,
)


def test_a_carried_server_whose_library_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(MongodUnavailable, match="apt install libcurl4"):
        find_binary()


async def test_a_server_that_does_not_start_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/false")
    with pytest.raises(MongodUnavailable, match=r"exit code 1 .*; its log is .*mongod\.log"):
        async with private_mongod(tmp_path):
            pass


async def test_a_folder_that_cannot_hold_data_is_named_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MongodUnavailable, match=r"cannot keep data in .*file/mongod: .*METRIQ_DATA_DIR"):
        async with private_mongod(tmp_path / "file" / "mongod"):
            pass


def test_a_server_that_listens_before_it_has_read_its_configuration_is_asked_again() -> None:
    class Starting:
        looks = 0

        def command(self, name: str, *_: Any) -> dict[str, Any]:
            if name == "replSetInitiate":
                raise OperationFailure("already initialized", 23)
            assert name == "replSetGetConfig"
            self.looks += 1
            if self.looks < 3:
                raise OperationFailure("no replset config has been received", 94)
            return {"config": {"members": [{"host": "here"}]}}

    starting: Any = Starting()
    _configure(starting, "here")
    assert starting.looks == 3


@pytest.mark.slow
async def test_a_server_stays_when_its_last_user_asks_for_that_until_it_is_stopped(tmp_path: Path) -> None:
    async with private_mongod(tmp_path, stay_seconds=600):
        assert not await asyncio.to_thread(stop_idle, tmp_path), "in use"
    supervised = (tmp_path / "db" / "mongod.lock").read_text().strip()
    async with private_mongod(tmp_path, stay_seconds=600):
        assert (tmp_path / "db" / "mongod.lock").read_text().strip() == supervised, "the same process"
    assert await asyncio.to_thread(stop_idle, tmp_path)
    assert not await asyncio.to_thread(stop_idle, tmp_path), "none runs"


def test_a_supervisor_that_looks_after_its_server_just_now_is_no_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / "users.lock", "w") as ours, open(tmp_path / "users.lock") as supervisors:
        fcntl.flock(supervisors, fcntl.LOCK_EX)
        let_go = SimpleNamespace(sleep=lambda _: fcntl.flock(supervisors, fcntl.LOCK_UN))
        monkeypatch.setattr("metriq_gym.store.private_mongod.time", let_go)
        assert _alone(ours.fileno())


@pytest.mark.slow
async def test_a_new_server_takes_little_of_the_disk_and_the_largest_documents(tmp_path: Path) -> None:
    async with private_mongod(tmp_path) as url:
        assert _allocated(tmp_path) < 100_000_000
        with pymongo.MongoClient[dict[str, object]](url, w="majority", journal=True) as client:
            client.store.documents.insert_one({"first": "small"})  # the very first write may not be a large one
            client.store.documents.insert_one({"bytes": os.urandom(16 * 1024 * 1024 - 1024)})


def _allocated(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*"))


@pytest.mark.parametrize(
    ("ended_ago", "seconds", "granted", "stays_on"),
    [
        (0.1, 180, False, True),
        (100.0, 180, True, True),
        (181.0, 180, True, False),
        # The last user to leave was another one, which ended some other way.
        (100.0, 180, False, False),
        (LONGEST_SECONDS + 1, 10_000, True, False),
        # The clock was set back.
        (-10.0, 180, True, False),
    ],
)
def test_a_wish_to_stay_is_the_last_users_and_is_bounded(
    ended_ago: float, seconds: float, granted: bool, stays_on: bool
) -> None:
    wish = f"{time.time() - ended_ago:.3f} {seconds}".encode()
    assert stays(wish, wish if granted else b"") == stays_on


async def test_a_server_whose_folder_was_deleted_stays_no_longer(tmp_path: Path) -> None:
    lock = tmp_path / "users.lock"
    lock.write_text(f"{time.time() - 0.01:.3f} 600")  # not of the future, however it is rounded
    users = os.open(lock, os.O_RDWR)
    waiting = asyncio.create_task(asyncio.to_thread(await_end, users, str(lock)))
    assert not (await asyncio.wait({waiting}, timeout=0.2))[0]
    lock.unlink()
    await waiting
    os.close(users)
