"""What all exporters of one job's record have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from typing import Any

from metriq_gym.exporters.record import GymJob, Record, Result, make_record
from metriq_gym.jobs import Job


class BaseExporter(ABC):
    """Exports a job's record; a subclass says where to.

    Parameters
    ----------
    job
        A job that has ended.
    result
        Its result; the job's own unless given. A job that failed has none: the record says what happened.

    Raises
    ------
    Permanent
        When the job has nothing to export.
    """

    def __init__(self, job: Job | GymJob, result: Result | None = None) -> None:
        self._id = job.id
        self._record = make_record(job, result)

    def as_dict(self) -> Record:
        """Return the record, as JSON has it."""
        return deepcopy(self._record)

    @abstractmethod
    def export(self, *args: Any, **options: Any) -> Any:
        """Bring the record to where it is to go.

        Parameters
        ----------
        *args
            As the subclass has them.
        **options
            As the subclass has them.
        """
