"""Four bare stages on Celery with as many majority writes as a job of ours: what the pipeline is measured against.

Runs in an environment of its own (``.venv-bench``), as workers and, with a number, as what sends so many jobs through.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from functools import cache
from typing import Any

import pymongo
from celery import Celery

WRITES = {"dispatch": 4, "poll": 3, "score": 1, "export": 1}
"""Stage → its writes, as docs/performance.md lists ours."""
STAGES = (*WRITES,)

app = Celery("stages", broker=os.environ["BENCH_AMQP_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    task_routes={stage: {"queue": stage} for stage in STAGES},
)


@cache
def jobs() -> Any:
    """Return the collection, in the process that uses it."""
    client: Any = pymongo.MongoClient(os.environ["BENCH_MONGO_URL"], w="majority", journal=True)
    return client[os.environ["BENCH_DATABASE"]].celery


def _stage(number: int) -> None:
    name = STAGES[number]

    @app.task(name=name)  # type: ignore[untyped-decorator]
    def run(job_id: str) -> None:
        for write in range(WRITES[name]):
            jobs().update_one({"_id": job_id}, {"$set": {"state": f"{name} {write}"}}, upsert=True)
        if number + 1 < len(STAGES):
            app.send_task(STAGES[number + 1], [job_id])


for each in range(len(STAGES)):
    _stage(each)


def main(number: int) -> None:
    """Send so many jobs through at once, and print the seconds until the last one has come to its end."""
    run = secrets.token_hex(4)
    started = time.perf_counter()
    for job in range(number):
        app.send_task(STAGES[0], [f"{run}-{job}"])
    done = {"_id": {"$regex": f"^{run}-"}, "state": f"{STAGES[-1]} {WRITES[STAGES[-1]] - 1}"}
    while jobs().count_documents(done) < number:
        time.sleep(0.02)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main(int(sys.argv[1]))
