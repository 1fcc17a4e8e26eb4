"""From a request that any AMQP client publishes to an exported record, through four service processes."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from pathlib import Path
from typing import Any

import bson
import pika
import pymongo
import pytest

from metriq_gym.benchmarks.statistics import binomial
from metriq_gym.jobs import JobState
from tests.support.jobs import watch
from tests.support.system import SERVICES, WIT, System, request, system

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_published_request_comes_out_as_a_record(running: System) -> None:
    await running.publish(request("wit-1", config={**WIT, "shots": 8192}))
    job = await running.ended("wit-1")
    assert job.state is JobState.EXPORTED
    record = running.exported()["wit-1"]
    assert record["job_type"] == "WIT"
    assert record["params"] == {"benchmark_name": "WIT", "num_qubits": 7, "shots": 8192}
    assert record["platform"]["provider"] == "local"
    assert record["platform"]["device"] == "aer_simulator"
    assert record["platform"]["device_metadata"]["simulator"] is True
    assert record["circuit_metadata"]["input_two_qubit_gate_counts"] == [24]
    value = record["results"]["expectation_value"]
    assert value["value"] == pytest.approx(0.996, abs=0.004)
    assert value["uncertainty"] == pytest.approx(binomial(round(value["value"] * 8192), 8192).uncertainty)
    assert record["results"]["score"] == value
    assert "outcome" not in record
    assert [entry.state for entry in job.history] == [
        JobState.DISPATCHING,
        JobState.DISPATCHED,
        JobState.COMPLETED,
        JobState.SCORED,
        JobState.EXPORTED,
    ]


async def test_the_same_request_three_times_is_one_job_one_submission_and_one_file(running: System) -> None:
    for _ in range(3):
        await running.publish(request(), message_id="client-7")
    await running.ended("client-7")
    await running.publish(request(), message_id="client-7")
    await running.publish(request("after-client-7"))
    await running.ended("after-client-7")
    tasks = await running.store.tasks.of_job("client-7")
    assert [task.lease.token for task in tasks if task.lease] == [1]
    assert len([name for name in running.exported() if "client-7" in name]) == 2
    assert len([job for job in await running.store.catalogue.find() if "client-7" in job.id]) == 2


async def test_a_request_without_any_id_is_named_by_its_bytes(running: System) -> None:
    body = request(config={**WIT, "shots": 77})
    # pika, unlike aio-pika, adds no message_id of its own.
    with pika.BlockingConnection(pika.URLParameters(running.amqp_url)) as connection:
        channel = connection.channel()
        for each in (body, body, request("after-nameless")):
            channel.basic_publish("metriq.events", "job.requested", json.dumps(each).encode())
    await running.ended("after-nameless")
    (job,) = [each for each in await running.store.catalogue.find() if each.config.get("shots") == 77]
    assert job.id.startswith("request-")
    assert (await running.ended(job.id)).state is JobState.EXPORTED


BAD = {
    "wrong type": (request("bad", config={**WIT, "shots": "many"}), ["$.config.shots"]),
    "unknown benchmark": (request("bad", config={"benchmark_name": "WITT"}), ["$.config.benchmark_name"]),
    "out of bounds": (
        request("bad", config={"benchmark_name": "WIT", "num_qubits": 8, "shots": 0}),
        ["$.config.num_qubits", "$.config.shots"],
    ),
    "unknown device": (request("bad", device="aer_simulato"), ["$.device"]),
    "unknown provider": (request("bad", provider="ibm"), ["$.provider"]),
    "several at once": (
        request("bad", device=7, provider="", config={"benchmark_name": "WIT", "shots": -1}),
        ["$.config.shots", "$.device", "$.provider"],
    ),
    "missing fields": ({"job_id": "bad"}, ["$.config", "$.device", "$.provider"]),
    "not an object": (b'["job"]', ["$"]),
    "not JSON": (b"{", ["$"]),
    "not text": (b"\xff\xfe\x00", ["$"]),
    "not a number": (b'{"job_id": "bad", "config": {"shots": NaN}}', ["$"]),
    "too big": (b'{"job_id": "bad", "padding": "' + b"x" * 10 * 2**20 + b'"}', ["$"]),
    "too deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ["$"]),
    "nested": (request("bad", config={**WIT, "x": eval("[" * 80 + "]" * 80)}), None),
    "huge integer": (request("bad", config={**WIT, "x": 2**70}), ["$.config.x"]),
    "path-like id": (request("../../etc/passwd"), ["$.job_id"]),
}


async def test_every_bad_request_is_rejected_with_all_its_errors_and_the_next_one_runs(running: System) -> None:
    for number, (body, paths) in enumerate(BAD.values()):
        message_id = f"bad-{number}"
        if isinstance(body, dict) and body.get("job_id") == "bad":
            body = {**body, "job_id": message_id}
        elif isinstance(body, bytes):
            body = body.replace(b'"bad"', f'"{message_id}"'.encode())
        await running.publish(body, message_id=message_id)
        job = await running.ended(message_id)
        assert job.state is JobState.REJECTED
        assert job.failure is not None
        if isinstance(body, dict) and "provider" in body:
            asked = body["config"]["benchmark_name"], body["provider"], body["device"]
            kept = [each if isinstance(each, str) else "" for each in asked]
            assert [job.benchmark_name, job.provider, job.device] == kept
        if paths is not None:
            assert sorted({problem["path"] for problem in job.failure.problems}) == paths
        assert all(len(problem["message"]) < 1000 for problem in job.failure.problems)
    await running.publish(request("good"))
    assert (await running.ended("good")).state is JobState.EXPORTED
    assert not [name for name in running.exported() if name.startswith("bad")]


async def test_a_circuit_the_device_cannot_run_is_an_outcome_record(running: System) -> None:
    config = {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 20, "max_qubits": 20}
    await running.publish(request("wide", device="fake_manila", config=config))
    job = await running.ended("wide")
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert job.failure.outcome == "unsupported"
    await running.publish(request("after-wide"))
    await running.ended("after-wide")
    record = running.exported()["wide"]
    assert record["outcome"] == "unsupported"
    assert "20" in record["outcome_detail"]["error_message"]
    assert record["outcome_detail"]["source"] == "dispatch"
    assert record["results"] is None


async def test_cancelling_ends_a_job_for_good(running: System) -> None:
    slow = {"benchmark_name": "BSEQ", "shots": 100_000}
    await running.publish(request("slow", config=slow))
    async for job in watch(running.store, "slow"):
        if job.state is JobState.DISPATCHED:
            break
    await running.publish({"job_id": "slow"}, key="job.cancel_requested")
    assert (await running.ended("slow")).state is JobState.CANCELLED
    await running.publish({"job_id": "slow"}, key="job.cancel_requested")
    await running.publish(request("after-slow"))
    await running.ended("after-slow")
    assert (await running.store.jobs.get("slow")).state is JobState.CANCELLED


@pytest.mark.parametrize("name", SERVICES)
async def test_killing_a_service_while_ten_jobs_run_loses_and_repeats_nothing(running: System, name: str) -> None:
    (victim,) = running.named(name)
    ids = [f"{name}-{number}" for number in range(10)]
    for job_id in ids[:5]:
        await running.publish(request(job_id))
    # Kill it in the middle of the work: when the first of the jobs has got as far as this service takes it.
    reached = {"dispatcher": 1, "poller": 2, "scorer": 3, "exporter": 4}[name]
    async for job in watch(running.store, ids[0]):
        if len(job.history) >= reached:
            break
    victim.kill()
    for job_id in ids[5:]:
        await running.publish(request(job_id))
    victim.start()
    jobs = await running.all_ended(ids)
    assert {job.state for job in jobs} == {JobState.EXPORTED}
    for job in jobs:
        states = [entry.state for entry in job.history]
        assert len(states) == len(set(states)) == 5
    assert set(running.exported()) >= set(ids)


async def test_a_job_of_a_thousand_circuits_is_split_into_documents_of_bounded_size(running: System) -> None:
    config = {"benchmark_name": "Mirror Circuits", "width": 12, "num_layers": 3, "num_circuits": 1000, "seed": 1}
    await running.publish(request("thousand", config=config))
    job = await running.ended("thousand")
    assert job.state is JobState.EXPORTED
    assert job.runs == [1000]
    assert len(job.transpiled_two_qubit_gate_counts) == 1000
    assert running.exported()["thousand"]["results"]["polarization"]["value"] == pytest.approx(1)
    tasks = await running.store.tasks.of_job("thousand")
    assert sum(task.circuit_count for task in tasks) == 1000
    assert len(tasks) > 5
    with pymongo.MongoClient[dict[str, Any]](running.mongo_url) as client:
        database = client[running.database]
        for name in ("jobs", "tasks"):
            assert max(len(bson.encode(document)) for document in database[name].find()) < 2**23


async def test_each_service_drains_and_exits_with_0_on_sigterm(running: System) -> None:
    ids = [f"job-{number}" for number in range(6)]
    for job_id in ids:
        await running.publish(request(job_id))
    for service in running.services:
        assert await service.terminate() == 0
    for service in running.services:
        service.start()
    assert {job.state for job in await running.all_ended(ids)} == {JobState.EXPORTED}


async def test_logs_are_json_lines_with_job_trace_delivery_and_duration(running: System) -> None:
    trace_id = secrets.token_hex(16)
    await running.publish(request("logged"), traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-01")
    await running.ended("logged")
    for service in running.services:
        await service.terminate()
        lines = [line for line in service.records() if line.get("job_id") == "logged"]
        assert lines
        assert all((line["service"], line["trace_id"]) == (service.name, trace_id) for line in lines)
        assert any(line.get("delivery") and line.get("duration_ms", -1) >= 0 for line in lines)
        service.start()


async def test_several_of_each_service_share_the_work(
    amqp_url: str, mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    counts = {"dispatcher": 2, "poller": 3, "scorer": 2}
    async with system(amqp_url, mongo_url, mongo_database, tmp_path, counts=counts) as many:
        ids = [f"job-{number}" for number in range(20)]
        published: list[Any] = [request(job_id) for job_id in ids for _ in range(3)]
        random.Random(1).shuffle(published)
        await asyncio.gather(*(many.publish(each) for each in published))
        jobs = await many.all_ended(ids)
        assert {job.state for job in jobs} == {JobState.EXPORTED}
        assert set(many.exported()) == set(ids)
        owners = set()
        for job_id in ids:
            for task in await many.store.tasks.of_job(job_id):
                assert task.lease is not None
                owners.add(task.lease.owner.split("/")[0])
        assert len(owners) >= 2
