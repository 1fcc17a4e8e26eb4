"""What kind of failure an error is, and so what becomes of the message and of its job: decided here alone."""

from __future__ import annotations

from enum import StrEnum

from metriq_gym.errors import InvalidRequest, NotYet, Permanent, Transient, Unavailable, Unsupported

MOST_ATTEMPTS = 200
MOST_SECONDS = 24 * 3600.0
"""After so many attempts in a row that failed for a passing reason, or so long, a job ends with the last error. With
the pauses between them both are about a day: most outages of providers are shorter, a job's deadline is longer."""


class FailureClass(StrEnum):
    """What an error says about trying again."""

    PERMANENT = "permanent"
    """It cannot help: the job ends with this error at once."""
    TRANSIENT = "transient"
    """It may help: after a pause, up to the bounds above; then the job ends with the last error."""
    WAITING = "waiting"
    """It is not for this job's sake that it did not work: the store or the queue is away, or somebody else is at it.
    It is tried again for as long as that lasts, which counts for nothing."""
    POISON = "poison"
    """Nobody expected it: after a few attempts the message becomes a dead letter, and an operator decides."""


def classify(error: BaseException) -> FailureClass:
    """Return an error's class."""
    match error:
        case Unavailable() | NotYet():
            return FailureClass.WAITING
        case Transient():
            return FailureClass.TRANSIENT
        case Permanent() | Unsupported() | InvalidRequest():
            return FailureClass.PERMANENT
    return FailureClass.POISON


def is_exhausted(attempts: int, seconds: float) -> bool:
    """Whether so many failed attempts in a row, over so long, are enough."""
    return attempts >= MOST_ATTEMPTS or seconds >= MOST_SECONDS
