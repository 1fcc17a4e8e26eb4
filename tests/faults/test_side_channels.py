"""Logs that nobody takes cost no job anything, and no service its liveness."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path

from tests.faults.report import LONG, Report
from tests.faults.scenario import Scenario, scenario
from tests.support.plain import plain_client

JOBS = 200 if LONG else 16


async def test_logs_that_go_nowhere_hold_up_no_job(
    amqp_url: str, mongo_url: str, tmp_path: Path, report: Report
) -> None:
    kinds = ["reader gone", "reader asleep", "disk full"]
    for kind in kinds if LONG else kinds[:2]:
        folder = tmp_path / kind.replace(" ", "-")
        folder.mkdir()
        async with scenario(f"logs: {kind}", report, amqp_url, mongo_url, folder, log_level="debug") as one:
            with ExitStack() as stack:
                for service in one.system.services:
                    assert await service.terminate() == 0
                    service.output = _output(kind, stack)
                    service.start()
                await asyncio.gather(*(service.ready() for service in one.system.services))
                if kind == "reader gone":
                    stack.close()
                one.fault()
                await one.request_many(JOBS)
                await one.all_ended()
                await _all_live(one)
                verdict = await one.finish()
                assert not verdict.all, verdict.all


def _output(kind: str, stack: ExitStack) -> int:
    if kind == "disk full":
        full = os.open("/dev/full", os.O_WRONLY)
        stack.callback(os.close, full)
        return full
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    stack.callback(os.close, writing)
    if kind == "reader asleep":
        os.set_blocking(writing, False)
        while _fits(writing):
            pass
        os.set_blocking(writing, True)
    return writing


def _fits(descriptor: int) -> bool:
    try:
        return os.write(descriptor, b"x" * 4096) == 4096
    except BlockingIOError:
        return False


async def _all_live(one: Scenario) -> None:
    async with plain_client() as client:
        for service in one.system.services:
            page = await client.get(f"http://127.0.0.1:{service.port}/livez")
            assert page.status_code == 200, page.text
