"""Scoring a job again from a file with its counts."""

from __future__ import annotations

from pathlib import Path

from metriq_gym import texts
from metriq_gym.benchmarks.benchmark import BenchmarkResult
from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.jobs.replay import replay_result
from metriq_gym.parts import parts


def replay_from_debug_file(debug_file: str | Path) -> BenchmarkResult:
    """Return the result that the counts in a file give: ours (`mgym job poll --include-raw`), or metriq-gym's own.

    Parameters
    ----------
    debug_file
        Path of a JSON file with a configuration and its counts.

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
    try:
        document = texts.loads(texts.read(debug_file))
    except texts.NotText as error:
        raise InvalidRequest([Problem("$", str(error))]) from None
    with parts():
        return replay_result(document)
