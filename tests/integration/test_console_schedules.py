"""Schedules over HTTP: asked for, looked at, changed, and what is asked twice done once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.console import REQUEST, WIT, ServedConsole, served_console

NIGHTLY: dict[str, Any] = REQUEST | {"name": "nightly", "cron": "0 3 1 1 *", "timezone": "Europe/Berlin"}


@pytest.fixture
async def console(mongo_url: str, mongo_database: str, tmp_path: Path) -> AsyncIterator[ServedConsole]:
    async with served_console(mongo_url, mongo_database, tmp_path) as served:
        yield served


async def test_a_schedule_is_kept_once_looked_at_and_deleted(console: ServedConsole) -> None:
    for _ in range(2):
        made = await console.http.post("/schedules", json=NIGHTLY)
        assert (made.status_code, made.headers["location"]) == (201, "/api/v1/schedules/nightly")
    kept = made.json()
    assert (kept["name"], kept["config"], kept["paused"], kept["ticks"]) == ("nightly", WIT, False, [])
    assert not {"request_id", "replace", "schema_version"} & kept.keys()
    assert (await console.http.get("/schedules")).json() == [kept]
    assert (await console.http.get("/schedules/nightly")).json() == kept
    times = (await console.http.get("/schedules/nightly/next?count=2")).json()
    assert [each[4:] for each in times] == ["-01-01T03:00:00+01:00"] * 2
    assert datetime.fromisoformat(times[0]) == datetime.fromisoformat(kept["next_at"])
    assert (await console.http.delete("/schedules/nightly")).status_code == 204
    assert (await console.http.get("/schedules")).json() == []
    for method, path in (("GET", ""), ("GET", "/next"), ("POST", "/pause"), ("POST", "/run"), ("DELETE", "")):
        assert (await console.http.request(method, f"/schedules/nightly{path}")).status_code == 404


async def test_a_wrong_schedule_is_refused_with_every_problem_and_leaves_nothing(console: ServedConsole) -> None:
    wrong = NIGHTLY | {"cron": "whenever", "timezone": "Moon/Base", "config": WIT | {"num_qubits": 99}}
    answer = await console.http.post("/schedules", json=wrong)
    assert answer.status_code == 422
    assert {each["path"] for each in answer.json()["errors"]} == {"$.cron", "$.timezone", "$.config.num_qubits"}
    (await console.http.post("/schedules", json=NIGHTLY)).raise_for_status()
    other = NIGHTLY | {"cron": "0 4 1 1 *"}
    taken = await console.http.post("/schedules", json=other)
    assert (taken.status_code, taken.json()["errors"][0]["path"]) == (422, "$.name")
    assert (await console.http.get("/jobs")).json()["jobs"] == []
    changed = await console.http.post("/schedules", json=other | {"replace": True})
    assert (changed.status_code, changed.json()["cron"]) == (201, "0 4 1 1 *")


async def test_a_schedule_rests_goes_on_and_runs_once_for_each_key(console: ServedConsole) -> None:
    (await console.http.post("/schedules", json=NIGHTLY)).raise_for_status()
    for _ in range(2):
        resting = (await console.http.post("/schedules/nightly/pause")).json()
        assert (resting["paused"], resting["next_at"]) == (True, None)
    assert (await console.http.get("/schedules/nightly/next")).json() == []
    assert (await console.http.post("/schedules/nightly/resume")).json()["paused"] is False
    ran = [
        await console.http.post("/schedules/nightly/run", headers={"Idempotency-Key": key})
        for key in ("tonight", "tonight", "tomorrow")
    ]
    assert [each.status_code for each in ran] == [202] * 3
    once, again, other = (each.json()["id"] for each in ran)
    assert once == again
    assert once != other
    assert ran[0].headers["location"] == f"/api/v1/jobs/{once}"
    ticks = (await console.http.get("/schedules/nightly")).json()["ticks"]
    assert [(each["id"], each["manual"]) for each in ticks] == [(other, True), (once, True)]
    async for _ in console.client.progress(once):
        pass
    assert (await console.http.get(f"/jobs/{once}")).json()["tags"] == ["schedule:nightly"]
