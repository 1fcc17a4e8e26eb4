"""`mgym job resolve JOB` without a decision: each candidate side by side with what was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metriq_gym.cli.job.resolve import _show_doubts
from metriq_gym.jobs import Job, Task, TaskState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.store import Store
from metriq_gym.testing import memory_store

CANDIDATES = [
    {
        "id": "job_a",
        "device": "homebrew_s2?o=3",
        "shots": "100",
        "qubits": "2",
        "state": "running",
        "accepted": "2026-01-01T00:00:01+00:00",
        "changed": "2026-01-01T00:00:09+00:00",
    },
    {"id": "job_b", "device": "homebrew_s2?o=3", "shots": "100", "state": "completed"},
]


async def in_doubt(store: Store) -> Job:
    accepted = Accepted(provider="tyxonq", target="homebrew_s2?o=3", remarks="night run")
    await store.jobs.accept("j", accepted, owner="one", lease_seconds=60)
    fields: dict[str, Any] = {"job_id": "j", "provider": "tyxonq", "device": "homebrew_s2?o=3", "run": 0, "seed": 0}
    task = Task(id="j:0", state=TaskState.STORED, first=0, shots=100, circuit_count=1, circuits=b"q", **fields)
    await store.tasks.insert([task])
    (taken,) = await store.tasks.take_up("j", 1)
    await store.tasks.doubt(await store.tasks.intend(taken), "two may be it", CANDIDATES)
    return await store.jobs.hold("j", 1, "task j:0: two may be it")


async def test_the_candidates_are_shown_with_what_was_sent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    async with memory_store() as store:
        job = await in_doubt(store)
        await _show_doubts(store, job, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    (head,) = [line for line in lines if line.startswith("what was sent")]
    columns = ("device", "shots", "qubits", "state", "accepted", "changed", "remarks")
    places = [head.index(name) for name in columns]
    assert places == sorted(places)
    table = lines[lines.index(head) + 1 :]
    sent, first, second = (next(line for line in table if name in line) for name in ("sent: j:0", "job_a", "job_b"))
    for line in (sent, first, second):
        assert line[places[0] :].startswith("homebrew_s2?o=3")
        assert line[places[1] :].startswith("100")
    assert line_at(first, places, "state", columns) == "running"
    assert line_at(second, places, "state", columns) == "completed"
    assert line_at(first, places, "accepted", columns) == "2026-01-01T00:00:01+00:00"
    assert line_at(sent, places, "remarks", columns) == "night run"


def line_at(line: str, places: list[int], name: str, columns: tuple[str, ...]) -> str:
    """Return what stands in a column."""
    position = columns.index(name)
    end = places[position + 1] if position + 1 < len(places) else None
    return line[places[position] : end].strip()


async def test_as_json_each_task_has_its_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    async with memory_store() as store:
        await _show_doubts(store, await in_doubt(store), as_json=True)
    told = json.loads(capsys.readouterr().out)
    (task,) = told["tasks"]
    assert told["held"] == "task j:0: two may be it"
    assert (task["id"], task["device"], task["shots"]) == ("j:0", "homebrew_s2?o=3", 100)
    assert task["candidates"] == CANDIDATES
