"""A MongoDB for the tests: the one in METRIQ_TEST_MONGO_URL, else in Docker, else a private native server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pymongo

from metriq_gym.store.private_mongod import find_binary, make_primary, server_command
from tests.servers import guard
from tests.servers.discovery import docker_answers, free_port

IMAGE = os.environ.get("MONGO_IMAGE", "mongo:6.0")


@contextmanager
def shared_mongodb(folder: Path) -> Iterator[str]:
    """The URL of the replica set of this test run."""
    if url := os.environ.get("METRIQ_TEST_MONGO_URL"):
        yield url
    elif docker_answers():
        with _container() as url:
            yield url
    else:
        server = NativeMongod(folder)
        try:
            yield server.url
        finally:
            server.kill()


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

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "m.sock"
        self.url = f"mongodb://{quote_plus(str(self._socket))}/?directConnection=true"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Start it with the data it had, and return when it takes writes."""
        command = [sys.executable, guard.__file__, *server_command(self._folder, self._socket)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        make_primary(self.url, str(self._socket))

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None


class Member:
    """One member of a replica set, which may be killed, stopped, continued and started again."""

    def __init__(self, folder: Path) -> None:
        (folder / "db").mkdir(parents=True)
        self._folder = folder
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it with the data it had."""
        command = [
            *(str(find_binary()), "--dbpath", str(self._folder / "db"), "--bind_ip", "127.0.0.1"),
            *("--port", str(self._port), "--nounixsocket", "--logpath", str(self._folder / "log"), "--logappend"),
            *("--quiet", "--replSet", "rs0", "--wiredTigerCacheSizeGB", "0.25"),
        ]
        self._process = subprocess.Popen(
            [sys.executable, guard.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def command(self, name: str, value: object = 1) -> None:
        """Carry out a command for administrators, once it answers."""
        with pymongo.MongoClient[dict[str, Any]](f"mongodb://{self.address}/?directConnection=true") as client:
            client.admin.command(name, value)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the server."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self._process is not None:
            self.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None


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
        command = [
            str(find_binary()),
            "--dbpath",
            str(folder / "db"),
            "--bind_ip",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        command += ["--nounixsocket", "--logpath", str(folder / "mongod.log"), "--replSet", "rs0", "--quiet"]
        command += ["--wiredTigerCacheSizeGB", "0.25", "--keyFile", str(key), *options]
        (folder / "db").mkdir()
        self._process = subprocess.Popen(
            [sys.executable, guard.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
