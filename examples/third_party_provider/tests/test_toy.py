"""The toy passes the contract, and runs a benchmark through all services."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from metriq_toy.cloud import TOKEN, ToyCloud
from metriq_toy.provider import ToyProvider

from metriq_gym.providers.provider import RemoteProvider
from metriq_gym.testing import memory_system
from metriq_gym.testing.contract import Cloud, Fault, RemoteContract

CONFIG = {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 3, "max_qubits": 3, "max_circuits": 2, "shots": 50}


@contextmanager
def serving(*, held: bool = False) -> Iterator[ToyCloud]:
    """Serve a cloud from a thread while inside."""
    with ToyCloud(held=held) as cloud:
        thread = threading.Thread(target=cloud.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield cloud
        finally:
            cloud.healed.set()
            cloud.shutdown()
            thread.join()


@dataclass(frozen=True)
class Told:
    """The cloud, as the contract tells it what to do."""

    served: ToyCloud
    device: str = "bear"

    def provider(self) -> RemoteProvider:
        return ToyProvider(self.served.url, TOKEN)

    def accepted(self) -> list[str]:
        return [task["tag"] for task in list(self.served.tasks.values())]

    def strike(self, fault: Fault) -> None:
        self.served.fault = str(fault)

    def heal(self) -> None:
        self.served.fault = None
        self.served.healed.set()

    def finish(self) -> None:
        self.served.held = False


class TestToy(RemoteContract):
    @contextmanager
    def cloud(self) -> Iterator[Cloud]:
        with serving(held=True) as served:
            yield Told(served)


def test_a_benchmark_runs_on_it_through_all_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def run(url: str) -> str:
        monkeypatch.setenv("METRIQ_TOY_TOKEN", TOKEN)
        monkeypatch.setenv("METRIQ_TOY_BASE_URL", url)
        async with memory_system(tmp_path) as system:
            job = await system.run(CONFIG, "toy", "bear")
        assert job.result is not None, job.failure
        return job.id

    with serving() as served:
        job_id = asyncio.run(run(served.url))
        assert len(served.tasks) == 2
    record = json.loads((tmp_path / f"{job_id}.json").read_text())
    assert record["results"]["accuracy_score"]["value"] == 1.0
    assert record["platform"]["device"] == "bear"
