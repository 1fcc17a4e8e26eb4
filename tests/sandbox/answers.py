"""The documented shapes of good answers, as the switches bend them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tests.sandbox.results import Counts
from tests.sandbox.switches import Switches
from tests.sandbox.tasks import Task

QUEUE = "quregenai.lab"
TASK_TYPE = "quantum_api"

_CHIP_SHARE = 20
"""One part in so many of an execution is spent on the chip, as in the page's sample."""


def submitted(task: Task, switches: Switches) -> dict[str, Any]:
    """The answer to submit_task, without ``success``."""
    return {
        "id": task.id,
        "job_name": task.id,
        "status": switches.status_word,
        "user_id": f"user_{task.id.split('_')[1][:8]}",
        "error": None,
    }


def detail(task: Task, now: float, counts: Counts | None, switches: Switches) -> dict[str, Any]:
    """The task as tasks/detail shows it at `now`. Times are microseconds since the epoch."""
    state = task.state(now)
    skew = switches.clock_skew_seconds
    stamps = {"scheduled": task.accepted_at}
    if state != "scheduled":
        stamps["pending"] = task.accepted_at - 0.005 if skew else task.pending_at
    if state in ("completed", "failed"):
        stamps[state] = task.ended_at
    ran = state == "completed" and not task.target.dry
    shown: dict[str, Any] = {
        "id": task.id,
        "queue": QUEUE,
        "device": task.target.text,
        "qubits": max(program.qubits for program in task.programs),
    }
    if state == "completed":
        shown["depth"] = max(program.depth for program in task.programs)
    shown |= {
        "state": state,
        "shots": list(task.shots) if task.batch else task.shots[0],
        "at": _microseconds(max(stamps.values())),
        "ts": {name: _microseconds(stamps[name]) for name in sorted(stamps)},
        "md5": task.md5,
    }
    if ran:
        duration = _microseconds(task.ended_at - task.running_at)
        shown |= {
            "runAt": _microseconds(task.running_at - skew),
            "runDur": duration,
            "atChip": _microseconds(task.running_at - 3 * skew),
            "durChip": duration // _CHIP_SHARE,
        }
    if state == "completed":
        shown["result"] = None if counts is None else _result(task, counts, switches)
    if state == "failed":
        shown["err"] = task.error
    shown["task_type"] = TASK_TYPE
    return _with_memo(shown, switches)


def row(task: Task, now: float, switches: Switches) -> dict[str, Any]:
    """The task as a row of tasks/api_key/list at `now`; ``job_name`` is the id that tasks/detail wants."""
    state = task.state(now)
    ended = state in ("completed", "failed")
    changed_at = max(
        start for start in (task.accepted_at, task.pending_at, task.running_at, task.ended_at) if start <= now
    )
    shown: dict[str, Any] = {
        "task_id": task.number,
        "task_type": TASK_TYPE,
        "status": state,
        "parameters": _parameters(task) if switches.echo_remarks == "parameters" else "",
        "result": "",
        "job_name": task.id,
        "device": task.target.text,
        "created_at": _listed_time(task.accepted_at, switches),
        "updated_at": _listed_time(changed_at, switches),
        "completed_at": _listed_time(task.ended_at, switches) if ended else "",
    }
    if switches.echo_remarks == "field":
        shown["remarks"] = task.remarks
    return _with_memo(shown, switches)


def device_row(shown: dict[str, Any], switches: Switches) -> dict[str, Any]:
    """A device's row of devices/list."""
    return _with_memo(shown, switches)


def _result(task: Task, counts: Counts, switches: Switches) -> Any:
    results = [_shaped(each, switches) for each in counts]
    return results if task.batch else results[0]


def _shaped(counts: dict[str, int], switches: Switches) -> Any:
    if switches.result_shape == "null":
        return None
    if switches.shots_left_out:
        counts = _without_some(counts, switches.shots_left_out)
    if switches.counts_order == "first_right":
        counts = {key[::-1]: number for key, number in counts.items()}
    return {"counts": counts} if switches.result_shape == "counts" else counts


def _without_some(counts: dict[str, int], missing: int) -> dict[str, int]:
    left = {}
    for key, number in counts.items():
        taken = min(number, missing)
        missing -= taken
        if number > taken:
            left[key] = number - taken
    return left


def _parameters(task: Task) -> str:
    """The request's own fields as JSON text."""
    return json.dumps(
        {
            "device": task.target.text,
            "shots": list(task.shots) if task.batch else task.shots[0],
            "prior": task.prior,
            "remarks": task.remarks,
            "group": task.group,
        },
        ensure_ascii=False,
    )


def _with_memo(shown: dict[str, Any], switches: Switches) -> dict[str, Any]:
    return shown | {"memo": "not on the page"} if switches.extra_fields else shown


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)


def _listed_time(seconds: float, switches: Switches) -> str:
    if switches.list_times == "empty":
        return ""
    return _iso(seconds) if switches.list_times == "iso" else _iso(seconds).removesuffix("+00:00")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
