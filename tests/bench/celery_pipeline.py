"""The pipeline beside one of Celery's on the same servers, in turn: jobs per second of both, and the ratio."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.bench.pipeline import TRIVIAL, Servers, burst, running_services
from tests.bench.report import progress, show
from tests.servers.mongodb import shared_mongodb
from tests.servers.rabbitmq import shared_broker, virtual_host

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-bench" / "bin" / "python"
STAGES = ("dispatch", "poll", "score", "export")
CONCURRENCY = 8
"""Processes of each stage: most of its time a bare stage waits for the database, so one for each core is slower."""
RATE_GOAL, RATIO_GOAL = "250", "2"


def run(*, quick: bool) -> None:
    """Measure and print; without Celery's environment say how to come by it."""
    if not PYTHON.exists():
        progress("celery: left out, since its environment is not there: make bench sets it up")
        return
    jobs, rounds = (100, 3) if quick else (400, 5)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        broker = stack.enter_context(shared_broker(folder / "r"))
        mongo_url = stack.enter_context(shared_mongodb(folder / "m"))
        environment = {
            **os.environ,
            "BENCH_AMQP_URL": stack.enter_context(virtual_host(broker)),
            "BENCH_MONGO_URL": mongo_url,
            "BENCH_DATABASE": f"bench_{secrets.token_hex(6)}",
        }
        stack.enter_context(_workers(environment, folder))
        rates = asyncio.run(_in_turn(Servers(broker, mongo_url), folder, environment, jobs, rounds))
    rows = [(f"{number}", *_shown(ours, celery)) for number, (ours, celery) in rates.items()]
    ours, theirs = (f"{median(each):.1f}" for each in zip(*rates.values(), strict=True))
    ratio = median(ours / celery for ours, celery in rates.values())
    rows += [("median", ours, theirs, f"{ratio:.2f}"), ("goal", RATE_GOAL, "", RATIO_GOAL)]
    title = (
        f"{jobs} trivial jobs at once, in turn with four bare stages on Celery with as many majority writes (jobs/s)"
    )
    show(title, ["round", "ours", "Celery", "ratio"], rows)


def _shown(ours: float, celery: float) -> tuple[str, str, str]:
    return f"{ours:.1f}", f"{celery:.1f}", f"{ours / celery:.2f}"


async def _in_turn(
    servers: Servers, folder: Path, environment: Mapping[str, str], jobs: int, rounds: int
) -> dict[int, tuple[float, float]]:
    """Return the jobs per second of ours and of Celery's in each round, after one that warms both."""
    rates = {}
    async with running_services(servers, folder, 1) as (running, seen, _):
        await asyncio.to_thread(_celery_seconds, environment, 20)
        for number in range(1, rounds + 1):
            progress(f"celery: round {number}, {jobs} jobs each")
            ids = [f"job-{secrets.token_hex(6)}" for _ in range(jobs)]
            ours = await burst(running, seen, TRIVIAL, ids)
            theirs = await asyncio.to_thread(_celery_seconds, environment, jobs)
            rates[number] = jobs / ours, jobs / theirs
    return rates


def _celery_seconds(environment: Mapping[str, str], jobs: int) -> float:
    command = [str(PYTHON), "-m", "tests.bench.celery_stages", str(jobs)]
    sent = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(sent.stdout)


@contextmanager
def _workers(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Run a worker for each stage, with Celery's own pool of processes."""
    with ExitStack() as stack:
        for stage in STAGES:
            log = stack.enter_context((folder / f"celery-{stage}.log").open("wb"))
            command = [str(PYTHON), "-m", "celery", "-A", "tests.bench.celery_stages", "worker", "-Q", stage]
            worker = subprocess.Popen(
                [*command, "-n", f"{stage}@bench", "-c", str(CONCURRENCY), "--without-gossip", "--without-mingle"],
                env=environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
        yield
