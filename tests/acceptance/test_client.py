"""Clients of running services: the asynchronous client, the synchronous API and the command line."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pika
import pytest
from pydantic import SecretStr

from metriq_gym.client import client as client_module
from metriq_gym.client.client import Client, connect, decision_about, failure_of
from metriq_gym.errors import InvalidRequest, MetriqGymError, Permanent, Transient, Unsupported
from metriq_gym.job_manager import JobManager
from metriq_gym.jobs import ExportState, JobState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.run import dispatch_job, poll_job
from metriq_gym.settings import Settings
from metriq_gym.terminal import follow as follow_module
from metriq_gym.terminal.follow import ProgressLine, follow
from tests.servers.discovery import free_port
from tests.servers.rabbitmq import Broker, virtual_host
from tests.support.jobs import to
from tests.support.patience import PATIENCE, until
from tests.support.terminal import MGYM, mgym, mgym_here

WIT = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 1000}
MIRROR = {"benchmark_name": "Mirror Circuits", "width": 3, "num_circuits": 250, "shots": 10, "num_layers": 1}
SUITE: dict[str, Any] = {
    "name": "small",
    "benchmarks": [{"name": "a", "config": WIT}, {"name": "b", "config": WIT | {"shots": 2000}}],
}


@pytest.fixture(scope="module")
def environment(
    amqp_broker: Broker, mongo_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("servers")
    with virtual_host(amqp_broker) as amqp_url:
        yield {
            **os.environ,
            "METRIQ_AMQP_URL": amqp_url,
            "METRIQ_MONGO_URL": mongo_url,
            "METRIQ_MONGO_DATABASE": f"test_{secrets.token_hex(6)}",
            "METRIQ_EXPORT_DIR": str(folder / "results"),
            "METRIQ_DATA_DIR": str(folder),
            "METRIQ_WORKERS": "1",
            "METRIQ_HTTP_PORT": str(free_port()),
        }


@pytest.fixture(scope="module")
def before(environment: dict[str, str]) -> list[dict[str, str]]:
    """What the doctor says before any service has started."""
    asked = mgym(environment, "doctor", "--json")
    assert asked.stdout, asked.stderr
    found: list[dict[str, str]] = json.loads(asked.stdout)
    return found


@pytest.fixture(scope="module")
def services(environment: dict[str, str], before: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All services in one process, as `mgym service run all` runs them."""
    log = tmp_path_factory.mktemp("log") / "services.log"
    with log.open("wb") as file:
        process = subprocess.Popen([*MGYM, "service", "run", "all"], env=environment, stdout=file, stderr=file)
    try:
        until(lambda: process.poll() is not None or _ready(environment["METRIQ_HTTP_PORT"]))
        assert process.poll() is None, log.read_text()
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()


def _ready(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def settings(environment: dict[str, str], services: None) -> Settings:
    return Settings(
        amqp_url=SecretStr(environment["METRIQ_AMQP_URL"]),
        mongo_url=SecretStr(environment["METRIQ_MONGO_URL"]),
        mongo_database=environment["METRIQ_MONGO_DATABASE"],
        data_dir=Path(environment["METRIQ_DATA_DIR"]),
        workers=1,
    )


def verdicts(findings: list[dict[str, str]]) -> dict[str, tuple[str, str]]:
    return {each["subject"]: (each["verdict"], each["remedy"]) for each in findings}


def test_the_doctor_says_what_is_missing_before_and_nothing_is_while_services_run(
    environment: dict[str, str], before: list[dict[str, str]], services: None
) -> None:
    early, now = verdicts(before), verdicts(json.loads(mgym_here(environment, "doctor", "--json").stdout))
    for service in ("dispatcher", "poller", "scorer", "exporter"):
        assert early[f"queue metriq.{service}"][0] == "note"
        assert now[f"queue metriq.{service}"] == ("ok", "")
    for subject in ("MongoDB", "RabbitMQ", "clock"):
        assert early[subject][0] == now[subject][0] == "ok"
    assert "mgym service run" in verdicts_without_consumers(environment)


def test_the_doctor_finds_a_binding_that_is_missing(
    environment: dict[str, str], services: None, amqp_broker: Broker
) -> None:
    management = ["--management-url", amqp_broker.management_url]

    def bindings(*arguments: str) -> dict[str, str]:
        found = json.loads(mgym_here(environment, "doctor", "--json", *arguments).stdout)
        return next(each for each in found if each["subject"] == "bindings")

    assert bindings(*management)["verdict"] == "ok"
    assert bindings("--management-url", "http://127.0.0.1:1")["verdict"] == "note"
    parameters = pika.URLParameters(environment["METRIQ_AMQP_URL"])
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.queue_unbind("metriq.scorer", "metriq.events", "job.completed")
        try:
            assert "metriq.events to metriq.scorer for job.completed" in bindings(*management)["found"]
        finally:
            channel.queue_bind("metriq.scorer", "metriq.events", "job.completed")


def verdicts_without_consumers(environment: dict[str, str]) -> str:
    """What the doctor says to a queue that nobody consumes: another database changes nothing about the queues."""
    from metriq_gym.bus.port import QueueState
    from metriq_gym.bus.rabbitmq.inspection import BrokerState
    from metriq_gym.operations.doctor import _rabbitmq

    async def inspect(_: str) -> BrokerState:
        return BrokerState("4.0", True, [QueueState("metriq.poller", True, 3, 0)])

    async def ask() -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("metriq_gym.operations.doctor.inspect_rabbitmq", inspect)
            settings = Settings(amqp_url=SecretStr(environment["METRIQ_AMQP_URL"]))
            return [each.remedy async for each in _rabbitmq(settings)]

    return " ".join(asyncio.run(ask()))


def test_servers_that_are_away_or_refuse_are_findings_with_a_remedy(environment: dict[str, str]) -> None:
    away = {"METRIQ_AMQP_URL": "amqp://user:secret@127.0.0.1:1/", "METRIQ_MONGO_URL": "mongodb://u:secret@127.0.0.1:1/"}
    seen = mgym_here(environment | away, "doctor", "--json")
    assert seen.returncode == 1
    found = verdicts(json.loads(seen.stdout))
    assert found["MongoDB"][0] == found["RabbitMQ"][0] == "bad"
    assert "METRIQ_AMQP_URL" in found["RabbitMQ"][1]
    assert "secret" not in seen.stdout


def test_a_record_of_the_exporters_machine_is_said_to_be_there_and_comes_here_as_told(
    environment: dict[str, str], services: None, tmp_path: Path
) -> None:
    done = mgym(environment, "run", "wit.example.json")
    assert done.returncode == 0, done.stderr
    saved, command = done.stderr.splitlines()[-2:]
    assert saved.startswith("the exporter service saved it to /")
    _, _, words = command.partition("to have it here: mgym ")
    seen = mgym_here(environment, "job", "view", words.split()[2])
    assert ".json (where the exporter runs)" in seen.stdout
    here = tmp_path / "record.json"
    assert mgym(environment, *(str(here) if word == "FILE" else word for word in words.split())).returncode == 0
    assert json.loads(here.read_text()) == json.loads(done.stdout)
    again = mgym(environment, "job", "upload", words.split()[2], "--to", "json")
    assert again.stderr.splitlines()[-1] == command
    assert again.stdout.startswith(words.split()[2])


async def test_a_job_is_followed_stage_by_stage_and_task_by_task(settings: Settings) -> None:
    async with connect(settings) as client, asyncio.timeout(PATIENCE):
        job_id = await client.dispatch(MIRROR, "local", "aer_simulator")
        seen = [(each.job.state, each.tasks_done) async for each in client.progress(job_id)]
    assert seen[-1] == (JobState.EXPORTED, 3)
    assert [state for state, _ in seen] == sorted((state for state, _ in seen), key=list(JobState).index)
    assert [done for _, done in seen] == sorted(done for _, done in seen)


async def test_the_same_id_twice_runs_once_and_waiting_for_what_has_ended_ends(settings: Settings) -> None:
    async with connect(settings) as client, asyncio.timeout(PATIENCE):
        for _ in range(2):
            assert await client.dispatch(WIT, "local", "aer_simulator", job_id="once") == "once"
            job = await client.wait("once")
        assert [entry.state for entry in job.history].count(JobState.DISPATCHED) == 1
        (task,) = await client.store.tasks.of_job("once")
        assert task.lease is not None
        assert task.lease.token == 1


async def test_the_id_of_a_deleted_job_is_refused(settings: Settings) -> None:
    async with connect(settings) as client, asyncio.timeout(PATIENCE):
        await client.dispatch(WIT, "local", "aer_simulator", job_id="forgotten")
        await client.wait("forgotten")
        await client.store.records.delete("forgotten")
        with pytest.raises(InvalidRequest, match="deleted; choose another"):
            await client.dispatch(WIT, "local", "aer_simulator", job_id="forgotten")
        await client.dispatch_suite(SUITE, "local", "aer_simulator", suite_id="forgotten-too")
        for job in await client.wait_suite("forgotten-too"):
            await client.store.records.delete(job.id)
        with pytest.raises(InvalidRequest, match="deleted; choose another"):
            await client.dispatch_suite(SUITE, "local", "aer_simulator", suite_id="forgotten-too")


async def test_who_waits_for_services_that_are_not_there_is_told_so(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_module, "_UNSEEN_SECONDS", 0.1)
    async with connect(settings) as client, asyncio.timeout(PATIENCE):
        following = asyncio.create_task(follow(client, "late", ProgressLine("WIT")))
        while "mgym doctor" not in capsys.readouterr().err:  # noqa: ASYNC110  (nothing tells of what is printed)
            await asyncio.sleep(0.05)
        await client.dispatch(WIT, "local", "aer_simulator", job_id="late")
        assert (await following).state is JobState.EXPORTED


async def test_waiting_ends_when_only_an_operator_can_move_on_what_is_waited_for(settings: Settings) -> None:
    fields = {"suite_id": "doubtful", "suite_size": 2, "benchmark_name": "WIT"}
    async with connect(settings) as client, asyncio.timeout(PATIENCE):
        for name in ("doubtful.1", "doubtful.2"):
            await client.store.jobs.accept(name, Accepted.model_validate(fields), owner="me", lease_seconds=600)
        waiting = asyncio.create_task(client.wait_suite("doubtful"))
        await client.store.jobs.move("doubtful.1", to(JobState.CANCELLED), service="test")
        await client.store.jobs.hold("doubtful.2", 1, "two tasks look like it")
        assert [job.held for job in await waiting] == [None, "two tasks look like it"]
        held = await client.wait("doubtful.2")
        assert failure_of(held) is None
        assert "mgym job resolve doubtful.2" in str(decision_about(held))
        await client.cancel("doubtful.2")
        assert (await client.wait("doubtful.2", until=lambda job: job.has_ended)).state is JobState.CANCELLED


async def test_waiting_for_a_result_ends_when_all_that_is_left_is_a_suite_that_waits_for_an_operator(
    settings: Settings,
) -> None:
    fields = {"suite_id": "patient", "suite_size": 2, "benchmark_name": "WIT"}
    async with connect(settings) as client, asyncio.timeout(PATIENCE):
        jobs, exports = client.store.jobs, client.store.exports
        for name in ("patient.1", "patient.2"):
            await jobs.accept(name, Accepted.model_validate(fields), owner="me", lease_seconds=600)
        waiting = asyncio.create_task(client.wait("patient.1"))
        for state in (JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED):
            await jobs.move("patient.1", to(state), service="test")
        await exports.take_up("patient.1", ["github"], [])
        assert await client.wait("patient.1", until=lambda job: job.waits_for_suite)
        assert not waiting.done()  # the other one may still come to its end
        await jobs.hold("patient.2", 1, "two tasks look like it")
        assert (await waiting).state is JobState.SCORED
        await exports.settle(["patient.1"], "github", ExportState.DONE)
        assert (await client.wait("patient.1")).state is JobState.EXPORTED


async def test_a_suite_is_waited_for(settings: Settings) -> None:
    async with connect(settings) as client, asyncio.timeout(PATIENCE):
        suite_id = await client.dispatch_suite(SUITE, "local", "aer_simulator", suite_id="both")
        progress = [summary.ended async for summary, _ in client.suite_progress(suite_id)]
        assert progress[-1] == 2
        assert [job.state for job in await client.wait_suite(suite_id)] == [JobState.EXPORTED] * 2


async def test_what_went_wrong_is_the_error_that_stands_for_it(settings: Settings) -> None:
    cases: dict[type[MetriqGymError], dict[str, Any]] = {
        InvalidRequest: {"config": {"benchmark_name": "WIT", "num_qubits": 9}},
        Unsupported: {"config": {"benchmark_name": "QML Kernel", "num_qubits": 9}, "device": "fake_manila"},
    }
    async with connect(settings) as client, asyncio.timeout(PATIENCE):
        for kind, request in cases.items():
            job_id = await client.dispatch(**{"provider": "local", "device": "aer_simulator", **request})
            assert type(failure_of(await client.wait(job_id))) is kind
        with pytest.raises(InvalidRequest, match=r"\$\.job_id"):
            await client.dispatch(WIT, "local", "aer_simulator", job_id="no spaces")
        job_id = await client.dispatch(MIRROR, "local", "aer_simulator")
        await client.cancel(job_id)
        cancelled = await client.wait(job_id)
    assert cancelled.state in (JobState.CANCELLED, JobState.EXPORTED)
    if cancelled.state is JobState.CANCELLED:
        assert type(failure_of(cancelled)) is Permanent


async def test_a_request_whose_confirmation_is_lost_is_published_again() -> None:
    class Flaky:
        published: list[Any] = []  # noqa: RUF012

        async def publish(self, message: Any) -> None:
            self.published.append(message)
            if len(self.published) < 3:
                raise Transient

    bus: Any = Flaky()
    store: Any = None
    job_id = await Client(store, bus).dispatch(WIT, "local", "aer_simulator")
    assert [message.job_id for message in bus.published] == [job_id] * 3


async def test_servers_that_do_not_answer_are_said_to_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.5)
    away = Settings(amqp_url=SecretStr("amqp://127.0.0.1:1"), mongo_url=SecretStr("mongodb://127.0.0.1:1"))
    with pytest.raises(Transient, match="mgym doctor"):
        async with connect(away):
            pass


def test_the_synchronous_api_is_a_client_of_running_services(
    settings: Settings, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    manager = JobManager(settings=settings)
    request = SimpleNamespace(config="wit", provider="local", device="aer_simulator", job_id="by-api", unknown=1)
    assert dispatch_job(request, manager) == "by-api"
    job = poll_job(SimpleNamespace(job_id="by-a"), manager)
    manager.session.close()
    assert (job.id, job.state) == ("by-api", "exported")
    assert "expectation_value" in capsys.readouterr().out
    assert (Path(environment["METRIQ_EXPORT_DIR"]) / "by-api.json").exists()
    seen = mgym_here(environment, "job", "view", "by-api", "--json")
    assert json.loads(seen.stdout)["result"] == job.result_data


def test_the_command_line_is_a_client_of_running_services(environment: dict[str, str], services: None) -> None:
    done = mgym(environment, "run", "wit.example.json", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"]["expectation_value"]["value"] == pytest.approx(0.996, abs=0.004)
