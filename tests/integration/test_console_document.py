"""The OpenAPI document, and what the console answers to what the document allows and to what it does not."""

from __future__ import annotations

import asyncio
from pathlib import Path

from metriq_gym.jobs import JobState
from metriq_gym.store import Store
from tests.support.console_process import console_process
from tests.support.jobs import ended_job, failed_job
from tests.support.plain import plain_client


async def test_nothing_that_can_be_asked_is_a_defect_of_the_console(
    mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    from tests.support.asking import ask_everything

    async with (
        console_process(mongo_url, mongo_database, tmp_path) as (port, _),
        Store.at(mongo_url, mongo_database) as store,
    ):
        jobs = (
            ended_job("scored", suite_id="scored", suite_size=1),
            failed_job("failed"),
            ended_job("held", state=JobState.DISPATCHING, result=None, held="may have been accepted"),
        )
        for job in jobs:
            await store.jobs._jobs.insert_one(job.model_dump(by_alias=True, exclude_defaults=True))
        url = f"http://127.0.0.1:{port}"
        async with plain_client() as client:
            document = (await client.get(f"{url}/api/openapi.json")).raise_for_status().json()
        asked = await asyncio.to_thread(ask_everything, document, url, [job.id for job in jobs])
    assert asked == {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
        if not path.endswith("/events")
    }
