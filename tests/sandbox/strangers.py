"""Rows that another user of the same token, or a device under construction, may leave in the lists."""

from __future__ import annotations

from typing import Any


def _nested(levels: int) -> list[Any]:
    """Lists in lists."""
    return [_nested(levels - 1)] if levels else []


ROWS: tuple[Any, ...] = (
    {"job_name": "my favourite job", "status": "completed", "device": "homebrew_s2"},
    {"job_name": "任务", "status": "completed", "device": "homebrew_s2"},
    {"job_name": "", "status": "completed", "device": "homebrew_s2"},
    {"job_name": None, "status": None, "device": None},
    {"job_name": 17, "status": "completed", "device": "homebrew_s2"},
    {"job_name": "theirs-1", "status": 3, "device": "homebrew_s2"},
    {"job_name": "theirs-2", "status": "w" * 5000, "device": "homebrew_s2"},
    {"job_name": "theirs-3", "status": "completed", "device": ["homebrew_s2"]},
    {"job_name": "theirs-4", "status": "completed", "device": "d" * 5000, "created_at": -1, "parameters": [1]},
    {"job_name": "theirs-5", "status": float("nan"), "device": "theirs", "created_at": float("inf")},
    {"job_name": "half a character: \ud83d", "status": "completed", "device": "theirs"},
    {"job_name": "theirs-6", "status": "completed", "device": "theirs", "parameters": _nested(300)},
    None,
    "a row",
)
DEVICES: tuple[Any, ...] = (
    {"id": "no_qubits", "qubits": 0, "state": "running"},
    {"id": "qubits_in_words", "qubits": "5", "state": "running"},
    {"id": "backwards", "qubits": 5, "T1": -1, "T2": "long", "Err": {"SQ": 7, "CZ": None, "Readout": []}, "state": 1},
    {"id": "list_of_errors", "qubits": 5, "Err": [0.1, 0.2], "state": "running"},
    {"id": "no_number", "qubits": 5, "T1": float("nan"), "Err": {"SQ": float("-inf")}, "memo": float("nan")},
    {"id": "half", "qubits": 5, "memo": "\ud83d"},
    {"id": "homebrew_s2", "qubits": 0, "state": "maintenance"},
    {"id": "", "qubits": 5},
    {"id": 12, "qubits": 5},
    {"qubits": 5},
    None,
)
