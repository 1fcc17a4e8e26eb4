"""A MongoDB for the tests: the one in METRIQ_TEST_MONGO_URL, else in Docker, else a private native server."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pymongo

from metriq_gym.store.private_mongod import SMALL, MongodUnavailable, find_binary, make_primary, server_command
from tests.servers.discovery import docker_answers, free_port
from tests.servers.guard import Guarded
from tests.servers.sharing import LOCK, Addresses, shared

IMAGE = os.environ.get("MONGO_IMAGE", "mongo:7")
"""The one that compose runs, and the newest that is supported; a machine without an engine tries the oldest."""


@contextmanager
def shared_mongodb(folder: Path) -> Iterator[str]:
    """The URL of the replica set of this test run, whose workers share it if their `folder` is the same."""
    if url := os.environ.get("METRIQ_TEST_MONGO_URL"):
        yield url
    elif docker_answers():
        with _container() as url:
            yield url
    else:
        with shared(folder, _start_native, _answers) as addresses:
            yield addresses["url"]


def _start_native(folder: Path) -> tuple[Guarded, Addresses]:
    server = NativeMongod(folder)
    return server.process, {"url": server.url, "socket": str(server.socket)}


def _answers(addresses: Addresses) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(addresses["socket"]) == 0


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer

    with DockerContainer(IMAGE).with_command("--replSet rs0").with_exposed_ports(27017) as container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(27017)
        url = f"mongodb://{host}:{port}/?directConnection=true"
        make_primary(url, "localhost:27017")
        yield url


class NativeMongod:
    """A mongod of this machine that a test may crash, stop and continue; its files are below `folder`."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environment = environment
        self.socket = folder / "m.sock"
        self.url = f"mongodb://{quote_plus(str(self.socket))}/?directConnection=true"
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Start it with the data it had, and return when it takes writes."""
        # Each test has a database of its own: what is dropped must keep its files open for seconds, not minutes.
        at_once = ("--setParameter", "minSnapshotHistoryWindowInSeconds=5")
        command = [*server_command(self._folder, self.socket), *at_once]
        self.process = Guarded(self._folder / LOCK, command, environment=self._environment)
        try:
            make_primary(self.url, str(self.socket))
        except MongodUnavailable:
            self.kill()
            raise

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.process.kill()


class Member:
    """One member of a replica set, which may be killed, stopped, continued and started again."""

    def __init__(self, folder: Path) -> None:
        (folder / "db").mkdir(parents=True)
        self._folder = folder
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start it with the data it had."""
        command = [
            *(str(find_binary()), "--dbpath", str(self._folder / "db"), "--bind_ip", "127.0.0.1"),
            *("--port", str(self._port), "--nounixsocket", "--logpath", str(self._folder / "log"), "--logappend"),
            *("--quiet", "--replSet", "rs0", *SMALL),
        ]
        self._process = Guarded(self._folder / LOCK, command)

    def command(self, name: str, value: object = 1) -> None:
        """Carry out a command for administrators, once it answers."""
        with pymongo.MongoClient[dict[str, Any]](f"mongodb://{self.address}/?directConnection=true") as client:
            client.admin.command(name, value)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the server."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._process.kill()


class ReplicaSet:
    """Three members, of which one takes the writes; their files are below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.members = [Member(folder / str(number)) for number in range(3)]
        addresses = [member.address for member in self.members]
        self.url = f"mongodb://{','.join(addresses)}/?replicaSet=rs0"
        configuration = {
            "_id": "rs0",
            "members": [{"_id": number, "host": address} for number, address in enumerate(addresses)],
            "settings": {"electionTimeoutMillis": 2000},
        }
        for member in self.members:
            member.command("ping")  # all must answer before the first is told of the others
        self.members[0].command("replSetInitiate", configuration)
        self.await_primary()

    def await_primary(self) -> Member:
        """Return the member that takes writes, once there is one."""
        with pymongo.MongoClient[dict[str, Any]](self.url) as client:
            client.admin.command("ping", read_preference=pymongo.ReadPreference.PRIMARY)
            assert client.primary is not None
            port = client.primary[1]
        return next(member for member in self.members if member.address.endswith(f":{port}"))

    def step_down(self) -> None:
        """Let the primary give up for some seconds, even if none of the others can take over yet."""
        with pymongo.MongoClient[dict[str, Any]](self.url) as client:
            client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=2, force=True)

    def kill(self) -> None:
        """End all as kill -9 does."""
        for member in self.members:
            member.kill()


class LockedMongod:
    """A mongod of this machine that listens on a port and wants to know who asks; its files are below `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        key = folder / "key"
        key.write_text("x" * 32)
        key.chmod(0o400)
        command = [str(find_binary()), "--dbpath", str(folder / "db"), "--bind_ip", "127.0.0.1"]
        command += ["--port", str(self.port)]
        command += ["--nounixsocket", "--logpath", str(folder / "mongod.log"), "--replSet", "rs0", "--quiet"]
        command += [*SMALL, "--keyFile", str(key), *options]
        (folder / "db").mkdir()
        self._process = Guarded(folder / LOCK, command)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._process.kill()
