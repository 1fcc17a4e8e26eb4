"""How tasks are doing: from one list for all of them, as far as that tells, or from a detail for each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from pydantic import JsonValue

from metriq_gym.errors import MetriqGymError, want_of_means
from metriq_gym.providers.provider import (
    Compiled,
    Ended,
    Finished,
    NotNow,
    Overview,
    Progress,
    TryLater,
    Unclear,
    Waiting,
)
from metriq_gym.providers.tyxonq import states
from metriq_gym.providers.tyxonq.client import TyxonQClient
from metriq_gym.providers.tyxonq.counts import counts_of
from metriq_gym.providers.tyxonq.errors import (
    AuthenticationFailed,
    NoAnswer,
    ProtocolError,
    ServerError,
)
from metriq_gym.providers.tyxonq.extras import storable
from metriq_gym.providers.tyxonq.models import TaskDetail

STRIKES = 3
"""After so many failures in a row the service is spared further questions."""
PATIENCE = 0.75
"""Share of all the time there is that one answer may take: a task whose answer never comes is told from those that
there was no time for."""


async def overview_of(client: TyxonQClient) -> Overview:
    """Return what the list tells. A task in a state that is not known is in neither set.

    One that is listed twice, waiting and ended, is in the latter: its detail tells.
    """
    waiting, ended = set(), set()
    for row in await client.list_states():
        if name := row.get("job_name"):
            state = (row.get("status") or "").strip().casefold()
            if state in states.WAITING:
                waiting.add(name)
            elif state in states.COMPLETED | states.FAILED:
                ended.add(name)
    return Overview(frozenset(waiting - ended), frozenset(ended))


async def progress_of(client: TyxonQClient, shots: Mapping[str, int], seconds: float) -> dict[str, Progress]:
    """Return how each task is doing, given the shots of each by its id.

    A task of 0 shots is a dry run, of which there are no counts.
    What cannot be asked within `seconds` is missing, and so is the rest when the service is in trouble.
    """
    said: dict[str, Progress] = {}
    remaining = iter(shots.items())
    strikes = 0

    async def ask() -> None:
        nonlocal strikes
        for task_id, wanted in remaining:
            said[task_id] = answer = await _detail(client, task_id, wanted, PATIENCE * seconds)
            match answer:
                case NotNow(_, None):
                    strikes += 1
                case NotNow():
                    strikes = STRIKES
                case _:
                    strikes = 0
            if strikes >= STRIKES:
                return

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for _ in range(min(client.concurrency, len(shots))):
                group.create_task(ask())
    return said


async def _detail(client: TyxonQClient, task_id: str, shots: int, seconds: float) -> Progress:
    sent_at = await client.pace.turn()
    try:
        # Once: whoever polls asks again anyway, and later.
        task = await client.detail(task_id, attempts=1, seconds=seconds)
    except TryLater as error:
        if not isinstance(error, ServerError):
            client.pace.slow_down(sent_at)
        return NotNow(str(error), error.retry_after)
    except (AuthenticationFailed, NoAnswer) as error:
        return NotNow(str(error))
    except MetriqGymError as error:
        return _doubtful(error, str(error))
    client.pace.answered()
    try:
        return _progress(task, shots)
    except ProtocolError as error:
        return Unclear(str(error))
    except Exception as error:  # one task's answer must not cost the others theirs
        return _doubtful(error, f"{type(error).__name__}: {error}")


def _doubtful(error: Exception, reason: str) -> NotNow | Unclear:
    return Unclear(reason) if want_of_means(error) is None else NotNow(reason)


def _progress(task: TaskDetail, shots: int) -> Progress:
    match states.state_of(task):
        case states.StillWaiting():
            return Waiting()
        case states.HasCounts() if not shots:
            return Compiled(_said(task))
        case states.HasCounts():
            return Finished(counts_of(task, shots), states.execution_seconds(task))
        case states.HasFailed(error):
            return Ended(error)
        case states.Unknown(state):
            return Unclear(f"TyxonQ says that the task is {state!r}")


def _said(task: TaskDetail) -> dict[str, JsonValue]:
    """Return what the service says of a dry run: qubits and depth first, then everything but its name and state."""
    known = task.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"id", "state"})
    first = {name: known.pop(name) for name in ("qubits", "depth") if name in known}
    return storable(first | known)
