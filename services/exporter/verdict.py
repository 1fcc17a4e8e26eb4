"""What a failed attempt to bring something somewhere means: another after a pause, or none."""

from __future__ import annotations

from dataclasses import dataclass

from metriq_gym.bus.retry import EXPORT
from metriq_gym.errors import NotYet, OutOfReach, Permanent, Transient
from metriq_gym.jobs import ExportState


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is written down of an attempt that failed."""

    state: ExportState
    error: str
    retry_after: float = 0.0
    """Seconds, where another follows."""
    counts: bool = True
    """Whether it was an attempt at all: one that had to wait for its turn was none."""

    @property
    def counted_as(self) -> str:
        """The label of `metrics.EXPORTS`."""
        return "failed" if self.state is ExportState.FAILED else "postponed"


def judged(error: Permanent | Transient, attempts: int) -> Verdict:
    """Return what is to become of an export, or a notice, whose last of so many `attempts` ended with `error`."""
    if isinstance(error, Permanent):
        return Verdict(ExportState.FAILED, str(error))
    asked = error.retry_after or 0.0
    if isinstance(error, NotYet):
        return Verdict(ExportState.PENDING, str(error), asked or EXPORT.pause(attempts), counts=False)
    if EXPORT.is_exhausted(attempts) and not isinstance(error, OutOfReach):
        return Verdict(ExportState.FAILED, f"given up after {attempts} attempts: {error}")
    return Verdict(ExportState.PENDING, str(error), max(asked, EXPORT.pause(attempts)))
