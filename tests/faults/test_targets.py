"""Where records go is away for a while and comes back: all arrive by themselves, once each, and it was told."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from math import inf
from pathlib import Path
from typing import Any

from metriq_gym.jobs import JobState
from tests.fake_github import FakeGitHub, serving
from tests.fake_github.server import MAINTAINER, REPO
from tests.fake_github.state import Fault
from tests.faults.report import LONG, Report
from tests.faults.scenario import TRIVIAL, Scenario, scenario
from tests.servers.discovery import free_port
from tests.servers.proxy import Proxy, proxied
from tests.support.patience import PATIENCE
from tests.support.system import sample

JOBS = 50 if LONG else 4
AWAY_SECONDS = 30 if LONG else 0
"""How long a target stays away once the last of these jobs has its result."""
METHODS = ("GET", "POST", "PUT")

Step = Callable[[], Awaitable[None]]


async def test_a_results_folder_that_is_away_gets_all_records_once_it_is_back(
    amqp_url: str, mongo_url: str, tmp_path: Path, report: Report
) -> None:
    results, there = tmp_path / "results", tmp_path / "there"
    there.mkdir()
    results.symlink_to(there)
    async with scenario("the results folder is away", report, amqp_url, mongo_url, tmp_path) as one:
        with ExitStack() as stack:
            for name, place in _places(tmp_path, stack):

                async def take(place: Path = place) -> None:
                    os.replace(place, results)  # in one step: no moment without anything

                async def mend() -> None:
                    os.symlink(there, tmp_path / "back")
                    os.replace(tmp_path / "back", results)

                await _away(one, "json", name, take, mend)
        verdict = await one.finish()
        assert not verdict.all, verdict.all


def _places(folder: Path, stack: ExitStack) -> Iterator[tuple[str, Path]]:
    """Yield what is put in place of the folder: none of it takes a file, not even from root."""
    file = folder / "a-file"
    file.write_text("no folder")
    yield "file", file
    for name, target in (("gone", folder / "nowhere" / "results"), ("forbidden", Path("/sys/kernel"))):
        link = folder / name
        link.symlink_to(target)
        yield name, link
    for name, size in (("full", "4k"), ("read-only", "64k")):
        disk = folder / f"disk-{name}"
        if _mounted(disk, size, stack):
            (disk / "fills-it").write_bytes(bytes(4096))
            if name == "read-only":
                subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            link = folder / name
            link.symlink_to(disk)
            yield name, link


def _mounted(disk: Path, size: str, stack: ExitStack) -> bool:
    """Mount a small disk until the stack is left, if this machine lets us."""
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        return False
    command = [mount, "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return False
    stack.callback(subprocess.run, ["umount", "-l", str(disk)], check=True)
    return True


async def test_github_that_is_away_gets_all_pull_requests_once_it_is_back(
    amqp_url: str, mongo_url: str, tmp_path: Path, report: Report
) -> None:
    with serving() as github:
        async with proxied(github.url) as (proxy, url):
            settings: dict[str, Any] = {
                "export_targets": "json,github",
                "github_token": github.token(MAINTAINER),
                "github_api_url": url,
                "github_repos": REPO,
                "github_pause_seconds": 0,
            }
            async with scenario("GitHub is away", report, amqp_url, mongo_url, tmp_path, **settings) as one:
                one.uploads = lambda: _uploads(github)
                for name, (take, mend) in _outages(github, proxy).items():
                    await _away(one, "github", name, take, mend)
                verdict = await one.finish()
                assert not verdict.all, verdict.all


def _outages(github: FakeGitHub, proxy: Proxy) -> Mapping[str, tuple[Step, Step]]:
    """Return how GitHub is away, and how that ends."""

    async def unreachable() -> None:
        proxy.lead_to(f"http://127.0.0.1:{free_port()}")
        proxy.cut()

    async def silent() -> None:
        proxy.freeze()

    async def back() -> None:
        github.state.faults.clear()
        proxy.lead_to(github.url)
        proxy.thaw()

    def answering(methods: Sequence[str], **how: Any) -> Step:
        async def answer() -> None:
            github.state.faults += [Fault(method, ".*", times=inf, **how) for method in methods]  # type: ignore[arg-type]

        return answer

    limited = {"status": 403, "message": "API rate limit exceeded", "headers": {"Retry-After": "2"}}
    outages = {
        "unreachable": unreachable,
        "errs": answering(METHODS, status=503, message="We had issues producing the response"),
        "limited": answering(METHODS, **limited),
        # What it was asked to make it has made, and nobody heard so.
        "loses-answers": answering(METHODS[1:], after=True),
        "silent": silent,
    }
    return {name: (take, back) for name, take in outages.items()}


def _uploads(github: FakeGitHub) -> dict[str, list[list[dict[str, Any]]]]:
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for pull in github.pulls:
        found.setdefault(pull.head_branch, []).append(json.loads(github.file(pull)[1]))
    return found


async def _away(one: Scenario, target: str, name: str, take: Step, mend: Step) -> None:
    """Let jobs, and a suite, end while a target is away, and return when it has all their records."""
    (exporter,) = one.system.named("exporter")
    counted = {which: sample("metriq_exports_total", target=target, result=which) for which in ("done", "postponed")}
    await take()
    before = await exporter.metrics()
    await one.request_many(JOBS, prefix=name)
    benchmarks = [{"name": each, "config": TRIVIAL} for each in ("one", "two")]
    body = {"suite_id": f"suite-{name}", "provider": "local", "device": "aer_simulator"}
    await one.publish({**body, "suite": {"name": "Two", "benchmarks": benchmarks}}, "suite.requested")
    suite = {f"suite-{name}.001-one", f"suite-{name}.002-two"}
    one.accepted |= suite
    mine = {f"{name}-{number}" for number in range(JOBS)} | suite
    async with asyncio.timeout(PATIENCE):
        while True:
            states = await asyncio.to_thread(one.witness.states)
            now = await exporter.metrics()
            postponed, done = (
                now.get(counted[each], 0) - before.get(counted[each], 0) for each in ("postponed", "done")
            )
            if {states.get(each) for each in mine} == {JobState.SCORED} and postponed >= 1:
                break
            await asyncio.sleep(0.1)
    assert done == 0, "of this the alert MetriqTargetAway is made"
    await asyncio.sleep(AWAY_SECONDS)
    await mend()
    one.fault()
    await one.all_ended()
