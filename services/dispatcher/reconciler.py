"""The reconciler: publishes again what a job needs to move on, so that emptying every queue loses nothing."""

from __future__ import annotations

import structlog

from metriq_gym.bus.port import Bus
from metriq_gym.errors import Transient
from metriq_gym.republish import republish
from metriq_gym.store import Store

log = structlog.get_logger()


async def reconcile(store: Store, bus: Bus, unmoved_seconds: float) -> int:
    """Publish the message of every job that has not moved for so long; return how many there were."""
    jobs = await store.jobs.unmoved(unmoved_seconds)
    for job in jobs:
        try:
            await republish(store, bus, job)
        except Transient:
            raise
        except Exception:
            # One job that is not as it should be must not be the end of all that stand still.
            log.exception("cannot be published again", job_id=job.id, state=job.state)
        else:
            log.info("published again", job_id=job.id, state=job.state)
    return len(jobs)
