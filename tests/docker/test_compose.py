"""The deployment for real: images built, containers started, killed, scaled and stopped. Needs a Docker engine.

Not part of the default run, since building takes minutes: `pytest tests/docker`. Without an engine it fails.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from packaging.utils import canonicalize_name

from tests.servers.discovery import free_port
from tests.servers.mongodb import IMAGE as MONGO_IMAGE

ROOT = Path(__file__).parents[2]
PASSWORDS = re.findall(r"\$\{(\w+_(?:PASSWORD|KEY)):-metriq}", (ROOT / "docker-compose.yml").read_text())
PORTS = re.findall(r"127\.0\.0\.1:\$\{(\w+_PORT):-", (ROOT / "docker-compose.yml").read_text())
SERVICES = ("dispatcher", "poller", "scorer", "exporter")
WIT = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 8192}
LONGER = {"benchmark_name": "Quantum Volume", "num_qubits": 8, "shots": 1000, "trials": 100, "confidence_level": 0.95}
QUICK = {"benchmark_name": "Quantum Volume", "num_qubits": 6, "shots": 1000, "trials": 100, "confidence_level": 0.95}
SANDBOX = ("sandbox-demo", *(f"sandbox-{name}" for name in SERVICES), "tyxonq-sandbox", "github-sandbox")
END_SECONDS = 300


def docker(*arguments: str, env: dict[str, str] | None = None) -> str:
    """Run the Docker client and return what it prints; the test fails when it does."""
    try:
        done = subprocess.run(["docker", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.fail("These tests need Docker with Compose 2: install it, or leave tests/docker out.")
    except subprocess.CalledProcessError as error:
        pytest.fail(
            f"docker {' '.join(arguments)} ended with {error.returncode}:\n{error.stdout[-4000:]}{error.stderr[-4000:]}"
        )
    return done.stdout


@dataclass(frozen=True)
class Deployment:
    """The system under a project name and on ports of its own."""

    project: str
    env: dict[str, str]
    amqp_url: str

    def compose(self, *arguments: str) -> str:
        return docker("compose", "--project-name", self.project, *arguments, env=self.env)

    def up(self, *arguments: str) -> None:
        self.compose("up", "--detach", "--wait", *arguments)

    def containers(self, *services: str) -> list[str]:
        return self.compose("ps", "--all", "--quiet", *services).split()

    def python(self, service: str, code: str) -> str:
        return self.compose("exec", "--no-TTY", service, "python", "-c", code)

    def results(self, folder: Path) -> dict[str, dict[str, Any]]:
        """The exported records by job id, fetched as the documentation says."""
        self.compose("cp", "exporter:/results", str(folder))
        return {path.stem: json.loads(path.read_text()) for path in (folder / "results").iterdir()}

    @asynccontextmanager
    async def observer(self) -> AsyncIterator[Observer]:
        """A client of RabbitMQ that sees all messages from now on."""
        async with await aio_pika.connect(self.amqp_url) as connection:
            exchange = await (channel := await connection.channel()).get_exchange("metriq.events")
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange, "job.#")
            async with queue.iterator(no_ack=True) as messages:
                yield Observer(exchange, messages)

    def started(self) -> dict[str, str]:
        """The name and the image of each running container of our services."""
        shown = docker(
            "inspect", "--format", "{{.Name}} {{.Config.Image}}", *self.compose("ps", "-q", *SERVICES).split()
        )
        return dict(line.split() for line in shown.splitlines())


@dataclass(frozen=True)
class Observer:
    """Publishes requests and reads what comes of them."""

    exchange: aio_pika.abc.AbstractExchange
    messages: aio_pika.abc.AbstractQueueIterator

    async def request(self, job_id: str, config: dict[str, Any]) -> None:
        body = {"job_id": job_id, "provider": "local", "device": "aer_simulator", "config": config}
        await self.exchange.publish(aio_pika.Message(json.dumps(body).encode()), "job.requested")

    async def exported(
        self, jobs: Sequence[str], *, at_least: int | None = None, seconds: float = END_SECONDS
    ) -> set[str]:
        """Return which of the jobs were exported, once `at_least` so many (all, by default) were; none may fail."""
        ended = set[str]()
        async with asyncio.timeout(seconds):
            async for message in self.messages:
                job = json.loads(message.body)["job_id"]
                assert message.routing_key not in ("job.failed", "job.cancelled"), message.body
                if job in jobs and message.routing_key == "job.exported":
                    ended.add(job)
                    if len(ended) == (at_least or len(jobs)):
                        break
        return ended


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    """The system, built and up."""
    ports = {name: str(free_port()) for name in PORTS}
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("METRIQ_")},
        **ports,
        "MONGO_IMAGE": MONGO_IMAGE,
        "METRIQ_IMAGE_TAG": "test",
        "METRIQ_WORKERS": "1",
        **dict.fromkeys(PASSWORDS, password := secrets.token_hex(8)),
        # A killed container's work is free again after three seconds, so that the tests need not wait for thirty.
        "METRIQ_LEASE_SECONDS": "3",
        "METRIQ_RECONCILE_SECONDS": "5",
    }
    amqp_url = f"amqp://metriq:{password}@127.0.0.1:{ports['RABBITMQ_PORT']}/"
    deployment = Deployment(f"metriq-test-{secrets.token_hex(4)}", env, amqp_url)
    docker("version")
    deployment.compose("build")
    try:
        began = time.monotonic()
        deployment.up()
        print(f"\nup in {time.monotonic() - began:.0f} s, images being there")
        yield deployment
    finally:
        deployment.compose("--profile", "*", "down", "--volumes", "--timeout", "10")


def jobs(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


async def test_published_request_comes_out_as_a_file(deployment: Deployment, tmp_path: Path) -> None:
    async with deployment.observer() as observer:
        await observer.request("wit", WIT)
        await observer.exported(["wit"])
    record = deployment.results(tmp_path)["wit"]
    assert record["results"]["expectation_value"]["value"] == pytest.approx(0.996, abs=0.005)
    assert record["platform"]["device"] == "aer_simulator"


async def test_up_again_changes_nothing(deployment: Deployment, tmp_path: Path) -> None:
    async with deployment.observer() as observer:
        await observer.request("before", WIT)
        await observer.exported(["before"])
    containers = deployment.containers()
    deployment.up()
    assert deployment.containers() == containers
    assert "before" in deployment.results(tmp_path)


async def test_data_outlive_the_containers(deployment: Deployment, tmp_path: Path) -> None:
    async with deployment.observer() as observer:
        await observer.request("kept", WIT)
        await observer.exported(["kept"])
    deployment.compose("down")
    deployment.up()
    assert "kept" in deployment.results(tmp_path)
    count = (
        "import os, pymongo; client = pymongo.MongoClient(os.environ['METRIQ_MONGO_URL']); "
        "print(client.metriq.jobs.count_documents({'_id': 'kept'}))"
    )
    assert deployment.python("exporter", count).strip() == "1"


async def test_three_pollers_share_the_work(deployment: Deployment, tmp_path: Path) -> None:
    deployment.up("--scale", "poller=3")
    wanted = jobs("shared", 12)
    async with deployment.observer() as observer:
        for job in wanted:
            await observer.request(job, WIT)
        await observer.exported(wanted)
    assert set(wanted) <= set(deployment.results(tmp_path))
    log = deployment.compose("logs", "--no-color", "poller")
    assert set(re.findall(r"^(?:\x1b\[2K)?(poller-\d).*delivery.handled", log, re.MULTILINE)) == {
        "poller-1",
        "poller-2",
        "poller-3",
    }
    deployment.up("--scale", "poller=1")


@pytest.mark.parametrize("victim", SERVICES)
async def test_killed_service_loses_nothing(deployment: Deployment, tmp_path: Path, victim: str) -> None:
    wanted = jobs(f"survivor-of-{victim}", 10)
    async with deployment.observer() as observer:
        for job in wanted:
            await observer.request(job, LONGER)
        if victim != "dispatcher":
            early = await observer.exported(wanted, at_least=1)
        deployment.compose("kill", "--signal", "SIGKILL", victim)
        deployment.up()
        await observer.exported([job for job in wanted if victim == "dispatcher" or job not in early])
    results = deployment.results(tmp_path)
    assert all(results[job]["results"]["confidence_pass"] for job in wanted)


async def test_upgrade_with_jobs_in_flight_loses_nothing(deployment: Deployment, tmp_path: Path) -> None:
    upgraded = replace(deployment, env={**deployment.env, "METRIQ_IMAGE_TAG": "test-next", "VERSION": "next"})
    upgraded.compose("build")
    wanted = jobs("upgraded", 30)
    async with deployment.observer() as observer:
        for job in wanted:
            await observer.request(job, LONGER)
        early = await observer.exported(wanted, at_least=1)
        began = time.monotonic()
        await asyncio.to_thread(upgraded.up, "--no-build")
        print(f"\nupgraded in {time.monotonic() - began:.0f} s, with {len(wanted) - len(early)} of 30 jobs in flight")
        await observer.exported([job for job in wanted if job not in early])
    results = deployment.results(tmp_path)
    assert all(results[job]["results"]["confidence_pass"] for job in wanted)
    assert all(image.endswith(":test-next") for image in upgraded.started().values())
    deployment.up()


async def test_containers_killed_at_random_lose_none_of_200_jobs(deployment: Deployment, tmp_path: Path) -> None:
    """Also the numbers of scaling from 1 to 4 pollers; each simulates one task at a time."""
    throughput = {}
    for pollers in (1, 4):
        deployment.up("--scale", f"poller={pollers}")
        wanted = jobs(f"by-{pollers}", 200)
        async with deployment.observer() as observer:
            began = time.monotonic()
            for job in wanted:
                await observer.request(job, QUICK)
            await observer.exported(wanted, seconds=600)
            throughput[pollers] = len(wanted) / (time.monotonic() - began)
    print(f"\n{', '.join(f'{count} pollers: {rate:.1f} jobs/s' for count, rate in throughput.items())}")
    wanted = jobs("killed", 200)
    chance = random.Random(7)
    async with deployment.observer() as observer:
        for job in wanted:
            await observer.request(job, QUICK)
        killed = []
        done = set[str]()
        for _ in range(8):
            done |= await observer.exported([job for job in wanted if job not in done], at_least=10, seconds=600)
            victim = chance.choice(sorted(deployment.started()))
            killed.append(victim.rsplit("-", 2)[1])
            docker("kill", victim)
            await asyncio.to_thread(deployment.up, "--scale", "poller=4")
        if left := [job for job in wanted if job not in done]:
            await observer.exported(left, seconds=600)
    print(f"killed: {', '.join(killed)}")
    assert set(wanted) <= set(deployment.results(tmp_path))
    deployment.up("--scale", "poller=1")


async def test_servers_killed_with_jobs_in_flight_lose_nothing(deployment: Deployment, tmp_path: Path) -> None:
    wanted = jobs("outlived", 20)
    async with deployment.observer() as observer:
        for job in wanted:
            await observer.request(job, LONGER)
        await observer.exported(wanted, at_least=1)
    deployment.compose("kill", "--signal", "SIGKILL", "rabbitmq", "mongo")
    deployment.up()
    async with asyncio.timeout(END_SECONDS):
        while not set(wanted) <= set(deployment.results(tmp_path)):  # noqa: ASYNC110  (containers wake nobody)
            await asyncio.sleep(2)


def test_sandbox_runs_a_tyxonq_job_up_to_a_pull_request(deployment: Deployment, tmp_path: Path) -> None:
    deployment.compose("--profile", "sandbox", "up", "--detach", "--wait", "--build")
    try:
        assert "sandbox-demo: exported" in deployment.compose("--profile", "sandbox", "logs", "sandbox-demo")
        pulls = (
            "import os, urllib.request; print(urllib.request.urlopen(urllib.request.Request("
            "'http://github-sandbox:8701/repos/metriq/data/pulls', "
            "headers={'Authorization': 'Bearer ' + os.environ['METRIQ_GITHUB_TOKEN']})).read().decode())"
        )
        (pull,) = json.loads(deployment.python("sandbox-exporter", pulls))
        assert pull["head"]["ref"] == "mgym/upload-sandbox-demo"
        assert "sandbox-demo" not in deployment.results(tmp_path)
    finally:
        deployment.compose("--profile", "sandbox", "rm", "--force", "--stop", *SANDBOX)


def test_containers_stop_by_themselves_when_told(deployment: Deployment) -> None:
    deployment.compose("stop")
    try:
        ended = docker("inspect", "--format", "{{.Name}} {{.State.ExitCode}}", *deployment.containers(*SERVICES))
        assert [line.rsplit(" ", 1)[1] for line in ended.splitlines()] == ["0"] * len(SERVICES)
    finally:
        deployment.up()


@pytest.mark.parametrize("service", SERVICES)
def test_service_runs_as_nobody_on_a_file_system_it_cannot_change(deployment: Deployment, service: str) -> None:
    assert deployment.python(service, "import os; print(os.getuid(), os.getgid())") == "65532 65532\n"
    write = "import errno\ntry: open('/opt/x', 'w')\nexcept OSError as error: print(errno.errorcode[error.errno])"
    assert deployment.python(service, write) == "EROFS\n"


@pytest.mark.parametrize("service", SERVICES)
def test_image_has_what_its_lock_file_says_and_nothing_else(deployment: Deployment, service: str) -> None:
    names = deployment.python(service, "import importlib.metadata as m; print(*(d.name for d in m.distributions()))")
    lock = (ROOT / "deploy" / "requirements" / f"{service}.txt").read_text()
    assert {canonicalize_name(name) for name in names.split()} == set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
