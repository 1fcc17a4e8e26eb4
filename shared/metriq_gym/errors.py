"""Every error this library raises on purpose.

MetriqGymError
├── InvalidRequest          the request or configuration is wrong; carries every problem by JSON path
├── Unsupported             the device cannot run this benchmark as configured
├── IllegalTransition       a job cannot move from the state it is in to the one asked for
├── LeaseLost               a write came with a fencing token that is no longer the newest
├── Lethal                  handling a message has ended the process time and again
├── NotFound                no job, device, provider or schema has that name
├── Permanent               trying again cannot help
│   └── Unreadable          a message does not even say which job it is about
├── SubmissionAmbiguous     a provider may or may not have accepted a submission
├── Transient               trying again later may help
│   ├── NotYet              somebody else has it in hand, or it is not due
│   └── Unavailable         the store or the message queue is away
│       └── Unroutable      nothing is bound to receive the message that was published
└── Undecided               a job is held until an operator decides
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MetriqGymError(Exception):
    """Something went wrong in metriq-gym."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").splitlines()[0])


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document: where (a JSON path such as ``$.config.shots``) and what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidRequest(MetriqGymError):
    """The request cannot be accepted."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class Unsupported(MetriqGymError):
    """The device cannot run this benchmark as configured."""


class IllegalTransition(MetriqGymError):
    """The job cannot make that move from its present state."""


class LeaseLost(MetriqGymError):
    """Another worker holds the lease now; this write was refused."""


class Lethal(MetriqGymError):
    """Handling this message ended the process, or its connection, time and again."""


class NotFound(MetriqGymError):
    """There is nothing of that name."""


class Permanent(MetriqGymError):
    """The operation failed and trying again cannot help."""


class Unreadable(Permanent):
    """The message names no job."""


class SubmissionAmbiguous(MetriqGymError):
    """A submission may or may not have been accepted."""


class Transient(MetriqGymError):
    """The operation failed; trying again later may help."""


class NotYet(Transient):
    """Somebody else has it in hand, or it is not due."""


class Unavailable(Transient):
    """The store or the message queue is away."""


class Undecided(MetriqGymError):
    """A job is held until an operator decides."""


class Unroutable(Unavailable):
    """No queue is bound to receive the published message."""
