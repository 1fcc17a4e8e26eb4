"""``mgym job resolve`` on running services and TyxonQ's sandbox: an operator decides about a submission without an
answer; nothing is submitted twice, and the job ends as decided."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from metriq_gym.jobs import JobState
from tests.sandbox.app import TOKEN, Sandbox
from tests.sandbox.fixture import SandboxControl
from tests.sandbox.server import serving
from tests.sandbox.switches import Switches
from tests.servers.rabbitmq import Broker, virtual_host
from tests.support.patience import PATIENCE
from tests.support.system import System, system
from tests.support.terminal import mgym

CIRCUITS = 3
CONFIG = {
    "benchmark_name": "Bernstein-Vazirani",
    "min_qubits": 3,
    "max_qubits": 3,
    "max_circuits": CIRCUITS,
    "shots": 20,
}
ELSEWHERE = "OPENQASM 2.0; qreg q[1]; creg c[1]; h q[0]; measure q[0] -> c[0];"
"""What somebody else runs with the same token."""


@dataclass(frozen=True)
class World:
    """The running services, the sandbox that they talk to, and a terminal."""

    running: System
    sandbox: SandboxControl
    folder: Path

    def mgym(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command as an operator would; gives its exit code and what it wrote."""
        environment = {
            **os.environ,
            "METRIQ_AMQP_URL": self.running.amqp_url,
            "METRIQ_MONGO_URL": self.running.mongo_url,
            "METRIQ_MONGO_DATABASE": self.running.database,
        }
        done = mgym(environment, *arguments, folder=self.folder)
        return done.returncode, done.stdout, done.stderr

    async def held(self, job_id: str, fault: str) -> None:
        """Dispatch a job whose second submission gets no answer; return once it waits for the operator."""
        self.sandbox.add_fault(fault, "submit", after=1, times=1)
        (self.folder / "config.json").write_text(json.dumps(CONFIG))
        command = ("job", "dispatch", "config.json", "-p", "tyxonq", "-d", "homebrew_s2?o=3", "--id", job_id)
        _, _, said = await asyncio.to_thread(self.mgym, *command)
        assert f"mgym job resolve {job_id}" in said, said
        assert (await self.running.store.jobs.get(job_id)).held is not None

    async def resolve(self, job_id: str, *decision: str) -> dict[str, Any]:
        """Decide, and return what the command says of the job."""
        code, said, told = await asyncio.to_thread(self.mgym, "job", "resolve", job_id, *decision, "--json")
        assert code == 0, told
        answer: dict[str, Any] = json.loads(said)
        return answer

    def accepted(self, job_id: str) -> dict[str, int]:
        """How often the sandbox has accepted each of a job's circuits."""
        found = self.sandbox.submissions()["by_remarks"]
        return {remarks: len(ids) for remarks, ids in found.items() if remarks.startswith(f"{job_id}:")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(amqp_broker: Broker, mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One system and one sandbox, whose list shows so few tasks that a lost submission cannot be told from it."""
    folder = tmp_path_factory.mktemp("resolve")
    quick = Switches(pending_seconds=0.1, running_seconds=0.1, results="ideal", list_limit=2)
    with serving(Sandbox(switches=quick)) as url, virtual_host(amqp_broker) as amqp_url:
        sandbox = SandboxControl(url, TOKEN)
        settings: dict[str, Any] = {"tyxonq_token": TOKEN, "tyxonq_base_url": url, "settle_seconds": 1.5}
        async with system(
            amqp_url, mongo_url, f"test_{secrets.token_hex(6)}", folder, reconcile_seconds=1, **settings
        ) as running:
            sandbox.add_tasks(2, device="homebrew_s2", source=ELSEWHERE)
            yield World(running, sandbox, folder)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_adopted_submission_is_not_sent_again_and_the_job_ends_with_its_counts(world: World) -> None:
    await world.held("adopted", "lost_response")
    shown = await asyncio.to_thread(world.mgym, "job", "resolve", "adopted")
    assert shown[0] == 0
    assert "adopted:1" in shown[1]
    (its_name,) = world.sandbox.submissions()["by_remarks"]["adopted:1"]
    answer = await world.resolve("adopted", "--adopt", its_name)
    assert answer["held"] is None
    job = await world.running.ended("adopted")
    assert job.state is JobState.EXPORTED
    assert world.accepted("adopted") == {f"adopted:{n}": 1 for n in range(CIRCUITS)}
    names = [task.provider_job_id for task in await world.running.store.tasks.of_job("adopted")]
    assert names[1] == its_name
    assert len(set(names)) == CIRCUITS


@pytest.mark.asyncio(loop_scope="module")
async def test_a_submission_that_was_not_accepted_is_sent_once_more(world: World) -> None:
    await world.held("again", "reset")
    assert "again:1" not in world.accepted("again")
    answer = await world.resolve("again", "--resubmit")
    assert answer["held"] is None
    assert (await world.running.ended("again")).state is JobState.EXPORTED
    assert world.accepted("again") == {f"again:{n}": 1 for n in range(CIRCUITS)}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_job_that_is_given_up_fails_and_nothing_more_is_submitted(world: World) -> None:
    await world.held("given-up", "lost_response")
    before = world.sandbox.submissions()["total"]
    assert await world.resolve("given-up", "--fail") == {"job_id": "given-up", "state": "failed", "held": None}
    job = await world.running.ended("given-up")
    assert job.failure is not None
    assert "given up by the operator" in job.failure.reason
    async with asyncio.timeout(PATIENCE):
        while "given-up" not in world.running.exported():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert world.running.exported()["given-up"]["outcome"] == "error"
    assert world.sandbox.submissions()["total"] == before
    code, _, said = await asyncio.to_thread(world.mgym, "job", "resolve", "given-up", "--resubmit")
    assert (code, "does not wait" in said) == (1, True)
