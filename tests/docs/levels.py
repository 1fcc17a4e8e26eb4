"""`python -m tests.docs.levels`: score by level of compilation, for docs/benchmarks.md; about ten minutes."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Any, get_args

from metriq_gym.constants import JobType
from metriq_gym.messages import CompilationName
from tests.compare.ours import run
from tests.docs.pictures import example

DEVICES = ("fake_guadalupe", "tyxonq:homebrew_s2")
SEEDS = range(1, 4)
CHANGES: dict[JobType, dict[str, Any]] = {
    JobType.WIT: {"num_qubits": 7},
    JobType.QUANTUM_VOLUME: {"trials": 20},
    JobType.EPLG: {"num_samples": 1},
    JobType.LR_QAOA: {"num_qubits": 5, "qaoa_layers": [5], "trials": 1},
    JobType.QAT_OLE: {"num_initial_states": 3},
}
"""So that each runs on both devices, and in a minute."""
TIMED = (JobType.CLOPS,)
"""What they score is time, which says nothing of a compilation on a simulator."""


def table() -> str:
    """Return the table in Markdown."""
    levels = [level for level in get_args(CompilationName) if level != "default"]
    rows = [
        f"| benchmark | device | {' | '.join(_name(level) for level in levels)} |",
        f"|---|---|{'---|' * len(levels)}",
    ]
    for job_type in JobType:
        if job_type in TIMED:
            continue
        for device in DEVICES:
            cells = [_cell(job_type, device, level) for level in levels]
            rows.append(f"| {job_type} | `{device}` | {' | '.join(cells)} |")
            print(rows[-1], flush=True)
    return "\n".join(rows)


def _name(level: str) -> str:
    return f"{level} (default)" if level == "2" else level


def _cell(job_type: JobType, device: str, level: CompilationName) -> str:
    config = example(job_type) | CHANGES.get(job_type, {})
    outcomes = [run({**config, **_seeded(config, seed)}, device, seed, level) for seed in SEEDS]
    scores = [_score(job_type, outcome.results) for outcome in outcomes]
    gates = fmean(outcome.two_qubit_gates for outcome in outcomes)
    return f"{fmean(scores):.3f} ± {stdev(scores) / len(scores) ** 0.5:.3f} ({gates:.0f})"


def _seeded(config: dict[str, Any], seed: int) -> dict[str, Any]:
    return {"seed": config["seed"] + seed} if "seed" in config else {}


def _score(job_type: JobType, results: dict[str, Any]) -> float:
    return float(results["chain_eplgs"][-1] if job_type is JobType.EPLG else results["score"]["value"])


if __name__ == "__main__":
    table()
