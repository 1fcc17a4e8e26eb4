"""The debug file of metriq-gym's own tool, read as the debug export that `metriq_gym.jobs.replay` scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metriq_gym.constants import JobType
from metriq_gym.errors import InvalidRequest, Problem, Unsupported

_FIELDS = {"job_type": str, "params": Mapping, "job_data": Mapping, "raw_results": Sequence}
SAME_DATA = (JobType.WIT, JobType.QML_KERNEL, JobType.MIRROR_CIRCUITS)
"""Benchmarks that both tools score from the same notes and counts in the same order."""


def is_debug_file(document: Mapping[str, Any]) -> bool:
    """Whether a document is one that metriq-gym's own tool wrote, and not `make_debug_export`."""
    return "raw_results" in document and "format" not in document


def as_debug_export(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a debug file of metriq-gym's own tool as a debug export, one task for each circuit.

    Raises
    ------
    InvalidRequest
        Naming the place, when the document is not what that tool writes.
    Unsupported
        For a benchmark whose circuits or notes are that tool's own: see `SAME_DATA`.
    """
    kinds = _FIELDS.items()
    if wrong := [name for name, kind in kinds if not isinstance(document.get(name), kind)]:
        raise InvalidRequest([Problem(f"$.{name}", "is missing, or not what a debug file has there") for name in wrong])
    name = document["job_type"]
    if name not in SAME_DATA:
        known = ", ".join(SAME_DATA)
        raise Unsupported(f"a debug file of {name!r} can be scored only by the tool that wrote it; here: {known}")
    counts = list(_counts(document["raw_results"]))
    params, data = document["params"], document["job_data"]
    return {
        "app_version": str(document.get("app_version") or ""),
        "job_id": str(document.get("job_id") or ""),
        "provider": "",
        "device": "",
        "config": {"benchmark_name": name} | dict(params),
        "seed": next((each for each in (params.get("seed"), data.get("seed")) if each is not None), 0),
        "data": dict(data),
        "runs": [len(counts)],
        "tasks": [
            {"run": 0, "first": first, "shots": max(1, sum(each.values())), "execution_seconds": None, "counts": [each]}
            for first, each in enumerate(counts)
        ],
        "result": None,
    }


def _counts(results: Sequence[Any]) -> Iterator[dict[str, int]]:
    """Yield the counts of each circuit; a provider's job has those of one circuit, or a list."""
    for number, each in enumerate(results):
        found = each.get("measurement_counts") if isinstance(each, Mapping) else None
        for counts in found if isinstance(found, list) else [found]:
            if not isinstance(counts, Mapping) or not all(isinstance(times, int) for times in counts.values()):
                raise InvalidRequest([Problem(f"$.raw_results[{number}].measurement_counts", "has no counts")])
            yield dict(counts)
