"""A RabbitMQ for the tests: the one in METRIQ_TEST_AMQP_URL, else in Docker, else a private native broker."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from tests.servers.discovery import NoServer, docker_answers, free_port, once_a_machine, wait_until
from tests.servers.guard import Guarded
from tests.servers.sharing import LOCK, Addresses, shared

IMAGE = os.environ.get("RABBITMQ_IMAGE", "rabbitmq:4-management")
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class Broker(Protocol):
    """A running RabbitMQ with its management API."""

    url: str
    """AMQP URL of the virtual host ``/``."""
    management_url: str


class PrivateBroker(Broker, Protocol):
    """A broker that a test may crash."""

    def kill(self) -> None:
        """End it as kill -9 does."""

    def start(self) -> None:
        """Start it again with the data it had, and return when it answers."""

    def control(self, *arguments: str) -> None:
        """Run `rabbitmqctl`."""

    def remove(self) -> None:
        """End it for good."""


class NativeBroker:
    """A rabbitmq-server of this machine, all of whose files are below `folder`; one `beside` another can join it."""

    def __init__(self, folder: Path, configuration: str = "", *, beside: NativeBroker | None = None) -> None:
        self._folder = folder
        self._port, self._dist_port, self._epmd_port, management_port = (free_port() for _ in range(4))
        secret = secrets.token_hex(16)
        if beside is not None:
            self._epmd_port, secret = beside._epmd_port, (beside._folder / ".erlang.cookie").read_text()
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}/"
        self.management_url = f"http://guest:guest@127.0.0.1:{management_port}"
        folder.mkdir(parents=True, exist_ok=True)
        cookie = folder / ".erlang.cookie"
        cookie.write_text(secret)
        cookie.chmod(0o400)
        (folder / "rabbitmq.conf").write_text(
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management_port}\n{configuration}"
        )
        (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        self._name = f"t{secrets.token_hex(6)}@localhost"
        self.start()

    def start(self) -> None:
        folder = self._folder
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "gen"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
        # epmd in the foreground stays in the process group; the one that Erlang would start leaves it.
        command = ["sh", "-c", f'epmd -port {self._epmd_port} & exec "{SERVER}"']
        with (folder / "output").open("ab") as output:
            self.process = Guarded(folder / LOCK, command, output=output, environment=environment)
        try:
            wait_until(self._is_ready, f"rabbitmq-server (see {folder}/output)")
        except NoServer:
            self.kill()
            raise

    def _is_ready(self) -> bool:
        if self.process.ended:
            raise NoServer(f"rabbitmq-server ended when it was started (see {self._folder}/output).")
        return _answers("127.0.0.1", self._port)

    def kill(self) -> None:
        self.process.kill()

    def join(self, other: NativeBroker) -> None:
        """Become a member of the other's cluster."""
        self.control("stop_app")
        self.control("join_cluster", other._name)
        self.control("start_app")

    def control(self, *arguments: str) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self._folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "none"),
        }
        command = [str(SERVER.with_name("rabbitmqctl")), "--node", self._name, *arguments]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)

    remove = kill


class DockerBroker:
    """A RabbitMQ container; its ports on the host are fixed so that they outlive a restart."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        port, management_port = free_port(), free_port()
        self._container = DockerContainer(IMAGE).with_bind_ports(5672, port).with_bind_ports(15672, management_port)
        self._container.start()
        self._host, self._port = self._container.get_container_host_ip(), port
        self.url = f"amqp://guest:guest@{self._host}:{port}/"
        self.management_url = f"http://guest:guest@{self._host}:{management_port}"
        self._wait()

    def _wait(self) -> None:
        wait_until(lambda: _answers(self._host, self._port), IMAGE)

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def start(self) -> None:
        self._container.get_wrapped_container().start()
        self._wait()

    def control(self, *arguments: str) -> None:
        done = self._container.exec(["rabbitmqctl", *arguments])
        assert done.exit_code == 0, done.output

    def remove(self) -> None:
        self._container.stop()


@dataclass
class SharedBroker:
    """The broker that all workers of a test run use."""

    url: str
    management_url: str


class GivenBroker:
    """The broker that METRIQ_TEST_AMQP_URL names; METRIQ_TEST_AMQP_MANAGEMENT_URL says where its API is."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.management_url = os.environ.get(
            "METRIQ_TEST_AMQP_MANAGEMENT_URL",
            f"http://{parts.username or 'guest'}:{parts.password or 'guest'}@{parts.hostname}:15672",
        )


@contextmanager
def private_broker(folder: Path) -> Iterator[PrivateBroker]:
    """A broker of one's own, in Docker if an engine answers, else native with its files below `folder`."""
    broker: PrivateBroker
    if docker_answers():
        broker = DockerBroker()
    else:
        _install_if_missing()
        broker = NativeBroker(folder)
    try:
        yield broker
    finally:
        broker.remove()


@contextmanager
def private_cluster(folder: Path) -> Iterator[Sequence[NativeBroker]]:
    """Three native brokers that are one cluster."""
    _install_if_missing()
    nodes: list[NativeBroker] = []
    try:
        for name in ("first", "second", "third"):
            nodes.append(NativeBroker(folder / name, beside=nodes[0] if nodes else None))
        for node in nodes[1:]:
            node.join(nodes[0])
        yield nodes
    finally:
        for node in nodes:
            node.kill()


@contextmanager
def shared_broker(folder: Path) -> Iterator[Broker]:
    """The broker for a whole test run, whose workers share it if their `folder` is the same."""
    if url := os.environ.get("METRIQ_TEST_AMQP_URL"):
        yield GivenBroker(url)
    elif docker_answers():
        with private_broker(folder) as broker:
            yield broker
    else:
        with shared(folder, _start_native, _serves) as addresses:
            yield SharedBroker(**addresses)


def _start_native(folder: Path) -> tuple[Guarded, Addresses]:
    _install_if_missing()
    try:
        broker = NativeBroker(folder)
    except NoServer:  # another process was quicker to take a port that was free
        broker = NativeBroker(folder)
    return broker.process, {"url": broker.url, "management_url": broker.management_url}


def _serves(addresses: Addresses) -> bool:
    parts = urlsplit(addresses["url"])
    assert parts.hostname
    assert parts.port
    return _answers(parts.hostname, parts.port)


@contextmanager
def virtual_host(broker: Broker) -> Iterator[str]:
    """The AMQP URL of a fresh virtual host, which is deleted afterwards with all in it."""
    name = f"test-{secrets.token_hex(6)}"
    # The management API answers a little later than the AMQP port.
    wait_until(lambda: _manage(broker, "PUT", f"/api/vhosts/{name}"), f"{broker.management_url}/api")
    user = quote(urlsplit(broker.url).username or "guest", safe="")
    everything = b'{"configure": ".*", "write": ".*", "read": ".*"}'
    _manage(broker, "PUT", f"/api/permissions/{name}/{user}", everything)
    try:
        yield urlsplit(broker.url)._replace(path=f"/{name}").geturl()
    finally:
        _manage(broker, "DELETE", f"/api/vhosts/{name}")


def publish_raw(
    broker: Broker, url: str, exchange: str, routing_key: str, body: bytes, properties: dict[str, Any]
) -> None:
    """Publish with exactly these properties, also such as no client library would send."""
    message = {
        "properties": properties,
        "routing_key": routing_key,
        "payload": base64.b64encode(body).decode(),
        "payload_encoding": "base64",
    }
    name = urlsplit(url).path.removeprefix("/")
    answer = call(broker, "POST", f"/api/exchanges/{name}/{exchange}/publish", json.dumps(message).encode())
    assert json.loads(answer)["routed"], answer


def _manage(broker: Broker, method: str, path: str, body: bytes | None = None) -> bool:
    """Call the management API; False while nothing listens there."""
    try:
        call(broker, method, path, body)
    except ConnectionError:
        return False
    except URLError as error:
        if isinstance(error.reason, ConnectionError):
            return False
        raise
    return True


def call(broker: Broker, method: str, path: str, body: bytes | None = None) -> bytes:
    """Return what the management API answers."""
    parts = urlsplit(broker.management_url)
    credentials = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    request = Request(
        f"{parts.scheme}://{parts.hostname}:{parts.port}{path}",
        data=body,
        method=method,
        headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


def _answers(host: str, port: int) -> bool:
    """Whether a broker speaks AMQP 0-9-1 there."""
    try:
        with socket.create_connection((host, port), timeout=5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


@once_a_machine
def _install_if_missing() -> None:
    if SERVER.exists():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "rabbitmq-server"]):
            done: subprocess.CompletedProcess[Any] = subprocess.run(
                command, env=environment, stdout=subprocess.DEVNULL, check=False
            )
            if done.returncode != 0:
                break
    if not SERVER.exists():
        raise NoServer(
            "The tests need a RabbitMQ: set METRIQ_TEST_AMQP_URL, or start Docker, "
            "or install rabbitmq-server (Debian: apt-get install rabbitmq-server)."
        )
