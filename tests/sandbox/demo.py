"""`python -m tests.sandbox.demo`: runs one benchmark on the sandbox, by the configured servers, up to its pull request.

It stays until it is stopped, so that a container of it can be seen to have come that far: then there is a file `DONE`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from metriq_gym.client.client import connect
from metriq_gym.jobs import Job, JobState

JOB = "sandbox-demo"
DONE = Path(tempfile.gettempdir()) / "done"


async def run() -> Job:
    """Ask for the job, which runs only once however often it is asked for, and return it when it has ended."""
    async with connect() as client:
        config = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 1024}
        await client.dispatch(config, "tyxonq", "homebrew_s2", job_id=JOB)
        return await client.wait(JOB)


def main() -> None:
    """Run it, say what became of it, and wait."""
    job = asyncio.run(run())
    print(f"{job.id}: {job.state}", *(f"{name}: {each.location}" for name, each in job.exports.items()), sep="\n")
    if job.state is not JobState.EXPORTED:
        sys.exit(1)
    sys.stdout.flush()
    DONE.touch()
    signal.pause()


if __name__ == "__main__":
    main()
