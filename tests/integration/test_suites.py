"""A published suite becomes jobs that share its id, each of them once, and its progress can be asked for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from metriq_gym.bus.identity import read_request
from metriq_gym.bus.port import Delivery
from metriq_gym.jobs import JobState
from metriq_gym.jobs.suite_progress import summarise
from metriq_gym.messages import JobRequested
from services.dispatcher.suites import fan_out
from tests.support.jobs import watch
from tests.support.patience import PATIENCE
from tests.support.system import WIT, System, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUITE = {
    "name": "small",
    "benchmarks": [
        {"name": "teleport", "component": "WIT", "config": WIT},
        {"name": "kernel 3", "component": "Kernels", "config": {"benchmark_name": "QML Kernel", "num_qubits": 3}},
        {"name": "kernel 4", "component": "Kernels", "config": {"benchmark_name": "QML Kernel", "num_qubits": 4}},
    ],
}


def jobs_of(suite_id: str) -> list[str]:
    return [f"{suite_id}.{name}" for name in ("001-teleport", "002-kernel-3", "003-kernel-4")]


async def publish(running: System, suite_id: str, **changes: Any) -> None:
    body = {"suite_id": suite_id, "provider": "local", "device": "aer_simulator", "suite": SUITE, **changes}
    await running.publish(body, key="suite.requested")


async def test_a_published_suite_comes_out_as_one_record_per_benchmark(running: System) -> None:
    names = jobs_of("nightly")
    await publish(running, "nightly")
    jobs = await running.all_ended(names)
    assert {job.state for job in jobs} == {JobState.EXPORTED}
    records = running.exported()
    assert all(records[name]["suite"] == {"id": "nightly", "name": "small"} for name in names)
    assert [records[name]["params"]["benchmark_name"] for name in names] == ["WIT", "QML Kernel", "QML Kernel"]
    members = await running.store.jobs.suite("nightly")
    assert [member.id for member in members] == names
    progress = summarise(members)
    assert (progress.size, progress.states, progress.done) == (3, {JobState.EXPORTED: 3}, True)


async def test_the_same_suite_three_times_runs_each_benchmark_once(running: System) -> None:
    for _ in range(3):
        await publish(running, "thrice")
    await running.all_ended(jobs_of("thrice"))
    await publish(running, "thrice")
    await running.publish(request("after-thrice"))
    await running.ended("after-thrice")
    assert [job.id for job in await running.store.jobs.suite("thrice")] == jobs_of("thrice")
    for job in jobs_of("thrice"):
        assert [task.lease.token for task in await running.store.tasks.of_job(job) if task.lease] == [1]


async def test_a_dispatcher_killed_while_it_fans_out_loses_and_repeats_nothing(running: System) -> None:
    entries = [{"name": f"{n}", "config": WIT} for n in range(10)]
    ids = [f"ten.{n + 1:03}-{n}" for n in range(10)]
    (dispatcher,) = running.named("dispatcher")
    await publish(running, "ten", suite={"name": "ten", "benchmarks": entries})
    async for _ in watch(running.store, ids[0]):
        break
    dispatcher.kill()
    dispatcher.start()
    jobs = await running.all_ended(ids)
    assert {job.state for job in jobs} == {JobState.EXPORTED}
    assert all(len(job.history) == 5 for job in jobs)
    assert set(running.exported()) >= set(ids)


async def test_an_invalid_suite_is_one_rejected_document_with_all_its_errors(running: System) -> None:
    bad = {
        "name": "",
        "benchmarks": [
            {"name": "a", "config": WIT | {"shots": 0}},
            {"name": "a", "config": {"benchmark_name": "WITT"}},
        ],
    }
    observer = await running.channel.declare_queue(exclusive=True)
    await observer.bind("metriq.events", "job.failed")
    await publish(running, "bad", suite=bad)
    job = await running.ended("bad")
    assert job.state is JobState.REJECTED
    assert job.failure is not None
    assert {problem["path"] for problem in job.failure.problems} == {
        "$.suite.name",
        "$.suite.benchmarks[0].config.shots",
        "$.suite.benchmarks[1].name",
        "$.suite.benchmarks[1].config.benchmark_name",
    }
    async with observer.iterator(timeout=PATIENCE) as messages:
        told = json.loads((await anext(messages)).body)
    assert (told["job_id"], told["outcome"]) == ("bad", "rejected")
    assert summarise(await running.store.jobs.suite("bad")).done


async def test_requests_that_cannot_be_fanned_out_are_rejected_and_the_next_one_runs(running: System) -> None:
    costly = SUITE | {"full_suite_warning": "Costly."}
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "unconfirmed": ({"suite": costly}, "$.all"),
        "component": ({"components": ["WIT", "kernel"]}, "$.components[1]"),
        "device": ({"device": "aer"}, "$.device"),
        "provider": ({"provider": "ibm"}, "$.provider"),
    }
    for name, (changes, _) in cases.items():
        await publish(running, name, **changes)
    for name, (_, path) in cases.items():
        job = await running.ended(name)
        assert job.state is JobState.REJECTED
        assert job.failure is not None
        assert [problem["path"] for problem in job.failure.problems] == [path]
        assert [each.id for each in await running.store.jobs.suite(name)] == [name]
    await publish(running, "sound-suite")
    assert {each.state for each in await running.all_ended(jobs_of("sound-suite"))} == {JobState.EXPORTED}


async def test_a_job_that_is_rejected_still_counts_as_one_of_its_suite(running: System) -> None:
    await running.publish(request("broken", suite_id="by-hand", config={"benchmark_name": "WIT", "shots": 0}))
    await running.publish(request("sound", suite_id="by-hand"))
    await asyncio.gather(running.ended("broken"), running.ended("sound"))
    progress = summarise(await running.store.jobs.suite("by-hand"))
    assert progress.states == {JobState.REJECTED: 1, JobState.EXPORTED: 1}


async def test_a_suite_has_the_jobs_that_its_request_asked_for_and_no_others(running: System) -> None:
    await publish(running, "victim")
    await running.all_ended(jobs_of("victim"))
    # Now that all its jobs have been seen, before and after its plan is at rest.
    await running.publish(request("stranger", suite_id="victim", suite_size=1000))
    broken = {"benchmark_name": "WIT", "shots": 0}
    await running.publish(request("broken-stranger", suite_id="victim", suite_size=1000, config=broken))
    other = {"name": "other", "benchmarks": [{"name": "theirs", "config": WIT}, {"name": "too", "config": WIT}]}
    await publish(running, "victim", suite=other)
    await publish(running, "after")
    await running.all_ended(jobs_of("after"))
    for name in ("stranger", "broken-stranger"):
        job = await running.ended(name)
        assert job.state is JobState.REJECTED
        assert job.suite_id is None
        assert job.failure is not None
        assert [problem["path"] for problem in job.failure.problems] == ["$.suite_id"]
    members = await running.store.jobs.suite("victim")
    assert [job.id for job in members] == jobs_of("victim")
    assert {job.suite_size for job in members} == {3}


async def test_what_a_suite_asked_for_counts_whatever_a_request_for_one_of_its_jobs_says(running: System) -> None:
    """Also when that request overtakes the suite's own."""
    ids = jobs_of("forged")
    await running.store.suites.keep("forged", _planned("forged"), 600)
    forged = WIT | {"shots": 1}
    await running.publish(request(ids[0], config=forged))
    await running.publish(request(ids[1], config=forged, suite_id="forged", suite_size=1))
    await running.publish(request(ids[2], config={}, suite_id="another"))
    jobs = await running.all_ended(ids)
    assert {job.state for job in jobs} == {JobState.EXPORTED}
    assert [job.config["benchmark_name"] for job in jobs] == ["WIT", "QML Kernel", "QML Kernel"]
    assert {(job.suite_id, job.suite_size) for job in jobs} == {("forged", 3)}
    assert jobs[0].config["shots"] == WIT["shots"]


async def test_a_job_of_a_suite_that_was_never_requested_is_listed_with_it_and_exported_by_itself(
    running: System,
) -> None:
    await running.publish(request("alone", suite_id="made-by-hand", suite_size=1000))
    job = await running.ended("alone")
    assert (job.suite_id, job.suite_size) == ("made-by-hand", None)
    assert job.state is JobState.EXPORTED
    await publish(running, "made-by-hand")
    suite = await running.ended("made-by-hand")
    assert suite.failure is not None
    assert [problem["path"] for problem in suite.failure.problems] == ["$.suite_id"]


def _planned(suite_id: str) -> list[JobRequested]:
    body = {"suite_id": suite_id, "provider": "local", "device": "aer_simulator", "suite": SUITE}
    return fan_out(read_request(Delivery("suite.requested", json.dumps(body).encode())), 2**20)
