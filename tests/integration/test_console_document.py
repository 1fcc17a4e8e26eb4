"""The OpenAPI document, and what the console answers to what the document allows and to what it does not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation

from metriq_gym.jobs import JobState
from metriq_gym.store import Store
from tests.support.console_process import console_process
from tests.support.jobs import ended_job, failed_job

EXAMPLES = 5
"""Of each operation and kind, the same ones every time."""
KNOWN = ("scored", "failed", "held", "none")


async def test_nothing_that_can_be_asked_is_a_defect_of_the_console(
    mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
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
        async with httpx.AsyncClient() as client:
            document = (await client.get(f"{url}/api/openapi.json")).raise_for_status().json()
        asked = await asyncio.to_thread(ask_everything, document, url)
    assert asked == {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
        if not path.endswith("/events")
    }


def ask_everything(document: dict[str, object], url: str) -> set[str]:
    """Ask every operation but the endless ones; return which."""
    schema = schemathesis.openapi.from_dict(document).exclude(path_regex="/events$")
    asked = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        for mode in GenerationMode:
            ask(operation, mode, url)
        asked.add(f"{operation.method.upper()} {operation.path}")
    return asked


def ask(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, url: str) -> None:
    """Ask an operation, also about what there is."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode), known=st.sampled_from(KNOWN))
    def answered(case: Any, known: str) -> None:
        for name in ("job_id", "suite_id"):
            if name in case.path_parameters and known != "none":
                case.path_parameters[name] = known
        status = case.call(base_url=url).status_code
        assert status < 500, case.as_curl_command()

    answered()
