"""What a task's state means, and how long it ran."""

from __future__ import annotations

from typing import Any

import pytest

from metriq_gym.providers.tyxonq.models import TaskDetail, TaskRow
from metriq_gym.providers.tyxonq.states import (
    HasCounts,
    HasFailed,
    State,
    StillWaiting,
    Unknown,
    execution_seconds,
    state_of,
)


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        ("scheduled", StillWaiting()),
        ("pending", StillWaiting()),
        ("running", StillWaiting()),
        ("active", StillWaiting()),
        ("hold", StillWaiting()),
        (" Running ", StillWaiting()),
        ("completed", HasCounts()),
        ("COMPLETED", HasCounts()),
        ("done", HasCounts()),
        ("success", HasCounts()),
        ("finished", HasCounts()),
        ("resting", Unknown("resting")),
        ("已完成", Unknown("已完成")),
        ("", Unknown("")),
        (None, Unknown("")),
    ],
)
def test_state_is_told_alike_by_detail_and_list(state: str | None, meaning: State) -> None:
    assert state_of(TaskDetail.model_validate({"state": state})) == meaning
    assert state_of(TaskRow.model_validate({"status": state})) == meaning


@pytest.mark.parametrize("state", ["failed", "error", "cancelled", "canceled", "Failed"])
def test_failure_carries_the_reason_given(state: str) -> None:
    assert state_of(TaskDetail.model_validate({"state": state, "err": "line 3: what?"})) == HasFailed("line 3: what?")
    (error,) = [state_of(TaskDetail.model_validate({"state": state}))]
    assert isinstance(error, HasFailed)
    assert "no reason" in error.error


@pytest.mark.parametrize(
    ("task", "meaning"),
    [
        ({"state": "completed", "err": "chip was warm", "result": {"0": 1}}, HasFailed("chip was warm")),
        ({"err": "no such task"}, HasFailed("no such task")),
        ({"state": "running", "err": "retrying"}, StillWaiting()),
        ({"state": "completed", "err": ""}, HasCounts()),
        ({"state": "completed", "err": [[], " "]}, HasCounts()),
        ({"state": "failed", "err": {"code": 3, "lines": ["a", "b"]}}, HasFailed('{"code": 3, "lines": ["a", "b"]}')),
        ({"state": "failed", "err": ["a", {"b": 1}]}, HasFailed('a; {"b": 1}')),
        ({"state": "failed", "err": "two\nlines\x00\x1b[31m"}, HasFailed("two lines [31m")),
        ({"state": "failed", "err": "x" * 9000}, HasFailed("x" * 500 + "…")),
    ],
)
def test_error_beside_a_state(task: dict[str, Any], meaning: State) -> None:
    assert state_of(TaskDetail.model_validate(task)) == meaning


@pytest.mark.parametrize(
    ("microseconds", "seconds"),
    [
        (2532053, 2.532053),
        (0, 0.0),
        (1.5, 1.5e-6),
        (None, None),
        ("1", None),
        (-1, None),
        (True, None),
        (1e999, None),
        (10**400, None),
    ],
)
def test_execution_time_is_told_in_microseconds(microseconds: object, seconds: float | None) -> None:
    assert execution_seconds(TaskDetail.model_validate({"runDur": microseconds})) == seconds
