"""Every error this library raises on purpose, and what each says about trying again.

MetriqGymError                  poison
├── InvalidRequest              permanent   the request or configuration is wrong; carries every problem by JSON path
├── Unsupported                 permanent   the device cannot run this benchmark as configured
├── IllegalTransition           poison      a job cannot move from the state it is in to the one asked for
├── LeaseLost                   poison      a write came with a fencing token that is no longer the newest
├── Lethal                      poison      handling a message has ended the process time and again
├── NotFound                    poison      no job, device, provider or schema has that name
├── Permanent                   permanent   trying again cannot help
│   └── Unreadable              permanent   a message that names no job, or is none that its service takes
├── SubmissionAmbiguous         poison      a provider may or may not have accepted a submission
├── Transient                   transient   trying again later may help
│   ├── OutOfReach              transient   the place that something goes to cannot be used, for no fault of its own
│   ├── NotYet                  waiting     another process has it in hand, or it is not due
│   │   ├── Crowded             waiting     no worker process was free for long enough
│   │   └── NoMeans             waiting     descriptors, processes, memory or disk are wanting here
│   └── Unavailable             waiting     the store or the message queue is away
│       ├── Refused             waiting     a server refuses this user, or what it asks for
│       └── Unroutable          waiting     no queue is bound to receive the published message
├── Undecided                   poison      a job is parked until an operator decides
└── UnreadableDocument          poison      a document in the store is none that this version can read

A subclass has its parent's class unless it says otherwise; errors of other rooms are subclasses of these.
`InvalidRequest`, `Unsupported` and `NotFound` are a `ValueError` too, which scripts written for metriq-gym catch.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal


class FailureClass(StrEnum):
    """What an error says about trying again, and so what becomes of the message and of its job."""

    PERMANENT = "permanent"
    """It cannot help: the job ends with this error at once."""
    TRANSIENT = "transient"
    """It may help: after a pause, up to the bounds of `metriq_gym.bus.retry`; then the job ends with the last error."""
    WAITING = "waiting"
    """The job is not to blame: the store or the queue is away, or another process is at it. It is tried again for as
    long as that lasts, which counts for nothing."""
    POISON = "poison"
    """Unexpected: after a few attempts the message becomes a dead letter, and an operator decides."""


class MetriqGymError(Exception):
    """Something went wrong in metriq-gym.

    Parameters
    ----------
    message
        What happened; the first line of the class's docstring unless given.
    """

    failure_class: ClassVar[FailureClass] = FailureClass.POISON

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").splitlines()[0])


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document: where (a JSON path such as ``$.config.shots``) and what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidRequest(MetriqGymError, ValueError):
    """The request cannot be accepted.

    Parameters
    ----------
    problems
        All that is wrong, in the order in which it is told.
    """

    failure_class = FailureClass.PERMANENT

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class Unsupported(MetriqGymError, ValueError):
    """The device cannot run this benchmark as configured."""

    failure_class = FailureClass.PERMANENT


class IllegalTransition(MetriqGymError):
    """The job cannot make that move from its present state."""


class LeaseLost(MetriqGymError):
    """Another worker holds the lease now; this write was refused."""


class Lethal(MetriqGymError):
    """Handling this message ended the process, or its connection, time and again."""


class NotFound(MetriqGymError, ValueError):
    """There is nothing of that name."""


class Permanent(MetriqGymError):
    """The operation failed and trying again cannot help."""

    failure_class = FailureClass.PERMANENT


class Unreadable(Permanent):
    """The message names no job, or is none that its service takes."""


class SubmissionAmbiguous(MetriqGymError):
    """A submission may or may not have been accepted."""


class Transient(MetriqGymError):
    """The operation failed; trying again later may help.

    Parameters
    ----------
    message
        What happened.
    retry_after
        Seconds before the next attempt can succeed, where that is known.
    """

    failure_class = FailureClass.TRANSIENT

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.in_a_row: int | None = None
        """Which of the attempts in a row that failed this was, where they are counted: progress begins a new row."""


class OutOfReach(Transient):
    """The place it goes to cannot be used for now: somebody has to mend that, and it is tried until then."""


class NotYet(Transient):
    """Another process has it in hand, or it is not due."""

    failure_class = FailureClass.WAITING


class Crowded(NotYet):
    """No worker process was free for long enough."""


class NoMeans(NotYet):
    """Descriptors, processes, threads, memory or disk are wanting on this machine, whatever it is asked to do."""


class Unavailable(Transient):
    """The store or the message queue is away."""

    failure_class = FailureClass.WAITING


class Refused(Unavailable):
    """A server refuses this user, or what it asks for, until an administrator changes that.

    A service waits for the administrator; a command or a script is told at once.

    Parameters
    ----------
    message
        What happened.
    retry_after
        Seconds before the next attempt can succeed, where that is known.
    needs
        The right that is missing, as the server's name, an action and what it is on; see `operations.access.rights`.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after: float | None = None,
        needs: tuple[Literal["mongodb", "rabbitmq"], str, str] | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.needs = needs


class Undecided(MetriqGymError):
    """A job is parked until an operator decides."""


class UnreadableDocument(MetriqGymError):
    """A document in the store is none that this version can read."""


class Unroutable(Unavailable):
    """No queue is bound to receive the published message."""


_WANTING = {
    *(errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS),
    *(errno.ENOSPC, errno.EDQUOT, errno.ENOLCK),
}
_NO_THREAD = "can't start new thread"
"""All that Python says where the operating system gives no more threads: it raises a `RuntimeError` without a cause."""


def want_of_means(error: BaseException | None) -> str | None:
    """Return what the operating system had too little of, in its words, if that is behind an error; else None.

    Parameters
    ----------
    error
        Any error, with what caused it and what it came up in the handling of.
    """
    seen = set[int]()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in _WANTING:
            return error.strerror or type(error).__name__
        if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
            return _NO_THREAD
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def means() -> Iterator[None]:
    """See while inside through whatever an error was taken for on its way.

    Raises
    ------
    NoMeans
        For an error that want of means is behind, unless it is tried again anyway.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, Transient) or (wanting := want_of_means(error)) is None:
            raise
        raise NoMeans(f"means are wanting: {wanting}") from error


def classify(error: BaseException) -> FailureClass:
    """Return an error's class; one that this library does not know is poison.

    Parameters
    ----------
    error
        Whatever was raised.
    """
    return error.failure_class if isinstance(error, MetriqGymError) else FailureClass.POISON
