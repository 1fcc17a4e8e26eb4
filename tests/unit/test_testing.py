"""What others test with: a job runs through all services in memory, and a told provider decides what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metriq_gym.errors import NotFound, Permanent, SubmissionAmbiguous
from metriq_gym.jobs import JobState
from metriq_gym.providers import Providers
from metriq_gym.providers.provider import Device, Ended, Finished, Submission, Waiting
from metriq_gym.settings import Settings
from metriq_gym.testing import ToldProvider, always, circuits_of, memory_store, memory_system, offered
from metriq_gym.testing.expressions import NotInMemory
from metriq_gym.testing.provider import Answer

DEVICE = Device("told", "seven", 7, simulator=False)
WIT = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 100}


async def test_a_job_runs_from_its_request_to_its_record_on_the_counts_that_were_told(tmp_path: Path) -> None:
    provider = ToldProvider([DEVICE], always({"1": 99, "0": 1}, seconds=0.5))
    async with memory_system(tmp_path, provider) as system:
        job = await system.run(WIT, "told", "seven", job_id="j")
    assert job.state is JobState.EXPORTED, job.failure
    record = json.loads((tmp_path / "j.json").read_text())
    assert record["results"]["expectation_value"]["value"] == pytest.approx(0.99)
    (submission,) = provider.submissions.values()
    assert submission.shots == 100
    assert [circuit.num_qubits for circuit in circuits_of(submission)] == [7]


async def test_what_the_provider_says_is_what_becomes_of_the_job(tmp_path: Path) -> None:
    def refuse(_: Submission) -> Permanent:
        return Permanent("no credit")

    told: dict[str, Callable[[Submission], Answer]] = {"j-ended": lambda _: Ended("it burnt"), "j-refused": refuse}
    for job_id, answer in told.items():
        async with memory_system(tmp_path, ToldProvider([DEVICE], answer)) as system:
            job = await system.run(WIT, "told", "seven", job_id=job_id)
        assert job.state is JobState.FAILED
        assert job.failure is not None
        assert job.failure.reason.endswith({"j-ended": "it burnt", "j-refused": "no credit"}[job_id])


async def test_what_was_said_can_be_changed(tmp_path: Path) -> None:
    provider = ToldProvider([DEVICE])
    task_id = await provider.submit(Submission("seven", "", 10, "tag"))
    assert await provider.progress({task_id: 10, "other": 10}, 1) == {task_id: Waiting()}
    assert (await provider.overview()).waiting == {task_id}
    provider.said[task_id] = Finished({"0": 10}, None)
    assert (await provider.overview()).ended == {task_id}
    assert provider.asked == 1


async def test_a_refused_submission_is_not_there() -> None:
    provider = ToldProvider([DEVICE], lambda _: SubmissionAmbiguous("lost"))
    with pytest.raises(SubmissionAmbiguous):
        await provider.submit(Submission("seven", "", 10, "tag"))
    assert (await provider.listing()).ids == frozenset()


async def test_a_provider_is_offered_only_for_a_while() -> None:
    provider = ToldProvider([DEVICE], name="mine")
    with offered(provider):
        assert Providers(Settings()).get("mine") is provider
    with pytest.raises(NotFound):
        Providers(Settings()).get("mine")
    with pytest.raises(NotFound, match="seven"):
        await provider.device("eight")


async def test_what_the_store_in_memory_has_not_learnt_is_an_error() -> None:
    store = memory_store()
    with pytest.raises(NotInMemory, match=r"\$bit"):
        await store.jobs._jobs.update_one({"_id": "j"}, {"$bit": {"n": 1}}, upsert=True)
    await store.jobs._jobs.insert_one({"_id": "k"})
    with pytest.raises(NotInMemory, match=r"\$size"):
        await store.jobs._jobs.find_one({"history": {"$size": 1}})
