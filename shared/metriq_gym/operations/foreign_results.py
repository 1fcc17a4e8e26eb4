"""Results as metriq-gym's own tool keeps them in its job file: without the score, which follows from the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metriq_gym.constants import JobType

_SCORED_BY = {
    JobType.BSEQ: "largest_connected_size",
    JobType.CLOPS: "clops_score",
    JobType.LR_QAOA: "effective_approx_ratio",
    JobType.MIRROR_CIRCUITS: "polarization",
    JobType.WIT: "expectation_value",
    JobType.QML_KERNEL: "accuracy_score",
    JobType.BERNSTEIN_VAZIRANI: "accuracy_score",
    JobType.HIDDEN_SHIFT: "accuracy_score",
    JobType.PHASE_ESTIMATION: "accuracy_score",
    JobType.QUANTUM_FOURIER_TRANSFORM: "accuracy_score",
    JobType.QUANTUM_VOLUME: "hog_prob",
}
_SMALLEST_REFERENCE = 1e-9


def with_score(job_type: str, results: Any) -> Any:
    """Return results with the score that the dataset's record has; as they are where none follows from them."""
    if not isinstance(results, Mapping) or "score" in results:
        return results
    score = _ratio(results) if job_type == JobType.QAT_OLE else _score(results.get(_SCORED_BY.get(job_type, "")))  # type: ignore[call-overload]
    return results if score is None else {**results, "score": score}


def _score(metric: Any) -> dict[str, Any] | None:
    match metric:
        case {"value": float() | int() as value, **rest}:
            return {"value": value, "uncertainty": rest.get("uncertainty")}
        case [*ratios] if ratios and all(_is_number(each) for each in ratios):
            return {"value": sum(ratios) / len(ratios), "uncertainty": None}
        case _:
            return {"value": float(metric), "uncertainty": None} if _is_number(metric) else None


def _ratio(results: Mapping[str, Any]) -> dict[str, Any] | None:
    measured, exact = _score(results.get("observable_value")), results.get("noiseless_reference")
    if measured is None or not isinstance(exact, (int, float)) or abs(exact) < _SMALLEST_REFERENCE:
        return None
    uncertainty = measured["uncertainty"]
    error = abs(uncertainty / exact) if _is_number(uncertainty) else None
    return {"value": measured["value"] / exact, "uncertainty": error}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
