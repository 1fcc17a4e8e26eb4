"""Pictures of what was measured. Each benchmark has the one that says what it says; `of_job` knows which.

A module here draws a family of benchmarks and is imported when one of them is drawn. No job is changed, and what has no
error in a result gets no error bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from metriq_gym.constants import JobType
from metriq_gym.jobs import Job, Task
from metriq_gym.terminal.plots.comparing import of_suite, of_trends, over_time
from metriq_gym.terminal.plots.counts import counts
from metriq_gym.terminal.plots.drawing import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["counts", "of_job", "of_suite", "of_trends", "over_time", "save"]

_PICTURES = {
    JobType.BERNSTEIN_VAZIRANI: "circuits:algorithms",
    JobType.PHASE_ESTIMATION: "circuits:algorithms",
    JobType.HIDDEN_SHIFT: "circuits:algorithms",
    JobType.QUANTUM_FOURIER_TRANSFORM: "circuits:algorithms",
    JobType.QUANTUM_VOLUME: "circuits:quantum_volume",
    JobType.MIRROR_CIRCUITS: "circuits:mirror_circuits",
    JobType.QAT_OLE: "circuits:echoes",
    JobType.BSEQ: "pairs:bseq",
    JobType.CLOPS: "curves:clops",
    JobType.EPLG: "curves:eplg",
    JobType.LR_QAOA: "curves:lr_qaoa",
}
"""Benchmark → module and function; those of one circuit, and others' benchmarks, are drawn by their counts."""


def of_job(job: Job, tasks: Sequence[Task], circuit: int | None = None) -> Figure:
    """Return the picture of a job: what its benchmark says, or the counts of circuit number `circuit`, from 1.

    Raises `Permanent` when there is nothing to draw yet, and `NotFound` when there is no such circuit.
    """
    if circuit is not None or job.benchmark_name not in _PICTURES or job.result is None:
        return counts(job, tasks, 1 if circuit is None else circuit)
    module, _, name = _PICTURES[JobType(job.benchmark_name)].partition(":")
    figure: Figure = getattr(import_module(f"{__name__}.{module}"), name)(job, tasks)
    return figure
