"""How many tasks are doing, with few questions: one list for all of them, and a detail for each that has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from metriq_gym.errors import MetriqGymError, Permanent
from metriq_gym.providers.provider import Ended, Finished, NotNow, Progress, Unclear, Waiting
from metriq_gym.providers.tyxonq import states
from metriq_gym.providers.tyxonq.client import TyxonQClient
from metriq_gym.providers.tyxonq.counts import counts_of
from metriq_gym.providers.tyxonq.errors import AuthenticationFailed, ProtocolError, TryLater
from metriq_gym.providers.tyxonq.models import TaskDetail

SWEEP_FROM = 10
"""From this many tasks on the list is asked for first."""


async def progress_of(client: TyxonQClient, shots: Mapping[str, int]) -> dict[str, Progress]:
    """Return how each task is doing, given the shots of each by its id."""
    known = await _sweep(client, frozenset(shots)) if len(shots) >= SWEEP_FROM else {}
    asked = [task_id for task_id in shots if task_id not in known]
    details = await asyncio.gather(*(_detail(client, task_id, shots[task_id]) for task_id in asked))
    return {**known, **dict(zip(asked, details, strict=True))}


async def _sweep(client: TyxonQClient, wanted: frozenset[str]) -> dict[str, Progress]:
    """Return the tasks that the list shows to be waiting; of all others the list does not tell enough."""
    try:
        rows = (await client.list_tasks()).tasks
    except (Permanent, ProtocolError):
        return {}  # the details may still be had
    except TryLater as error:
        return dict.fromkeys(wanted, NotNow(str(error), error.retry_after))
    waiting = (row for row in rows if row.job_name in wanted and isinstance(states.state_of(row), states.Waiting))
    return {str(row.job_name): Waiting() for row in waiting}


async def _detail(client: TyxonQClient, task_id: str, shots: int) -> Progress:
    try:
        task = await client.detail(task_id)
        return _progress(task, shots)
    except TryLater as error:
        return NotNow(str(error), error.retry_after)
    except AuthenticationFailed as error:
        return NotNow(str(error))
    except MetriqGymError as error:
        return Unclear(str(error))


def _progress(task: TaskDetail, shots: int) -> Progress:
    match states.state_of(task):
        case states.Waiting():
            return Waiting()
        case states.Completed():
            return Finished(counts_of(task, shots), states.execution_seconds(task))
        case states.Failed(error):
            return Ended(error)
        case states.Unknown(state):
            return Unclear(f"TyxonQ says that the task is {state!r}")
