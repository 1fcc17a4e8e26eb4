"""Scoring a job again from a file with its counts."""

from __future__ import annotations

import json
from pathlib import Path

from metriq_gym.benchmarks.benchmark import BenchmarkResult
from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.jobs.replay import replay_result
from metriq_gym.parts import parts


def replay_from_debug_file(debug_file: str | Path) -> BenchmarkResult:
    """Return the result that the counts in a file give: ours (`mgym job poll --include-raw`), or metriq-gym's own.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InvalidRequest
        When it is neither, naming the place.
    Unsupported
        For a file of metriq-gym's own tool, of a benchmark that only that tool can score.
    Permanent
        When counts are missing.
    """
    text = Path(debug_file).read_text(encoding="utf-8")
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidRequest([Problem("$", f"is not JSON: {error}")]) from None
    with parts():
        return replay_result(document)
