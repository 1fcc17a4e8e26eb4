"""Jobs in a file of JSON lines, as metriq-gym's own tool keeps them."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from metriq_gym import texts
from metriq_gym.errors import NotFound

_log = logging.getLogger(__name__)


class Line(Protocol):
    """What a line holds."""

    id: str

    def serialize(self) -> str: ...


JobT = TypeVar("JobT", bound=Line)


class JobsFile(Generic[JobT]):
    """The jobs of a file, read once; a line that holds no job is told of, and stays where it is.

    Parameters
    ----------
    path:
        The file; it is made with the first job that is added.
    read:
        Makes a job of a line. Raises `KeyError` for a field that is missing, `ValueError` or `TypeError` otherwise.
    """

    def __init__(self, path: Path, read: Callable[[str], JobT]) -> None:
        self._path = path
        self._lines: list[JobT | str] = []
        self._is_utf8 = True
        if not path.exists():
            return
        content = path.read_bytes()
        self._is_utf8 = texts.is_utf8(content)
        for number, line in enumerate(texts.decode(content).splitlines(), start=1):
            if line.strip():
                self._lines.append(self._read(read, line, number))
        if not self.jobs:
            _log.warning("No valid jobs found in %s", path)

    @property
    def jobs(self) -> list[JobT]:
        """The jobs in the order of the file."""
        return [each for each in self._lines if not isinstance(each, str)]

    def get(self, job_id: str) -> JobT:
        """Return one job; raises `NotFound`."""
        for job in self.jobs:
            if job.id == job_id:
                return job
        raise NotFound(f"there is no job {job_id} in {self._path}")

    def add(self, job: JobT) -> None:
        """Append a job to the file; one of that id stays as it is. Raises `OSError` when it cannot be written."""
        if any(each.id == job.id for each in self.jobs):
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._is_utf8:  # one file cannot be of two encodings
            self._write([*self._lines, job])
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(job.serialize() + "\n")
        self._lines.append(job)

    def replace(self, job: JobT) -> None:
        """Put a job in the place of the one of its id; raises `NotFound`, and `OSError` as `add`."""
        if all(each.id != job.id for each in self.jobs):
            raise NotFound(f"Cannot update job: job with id {job.id} is not in {self._path}")
        self._write([job if not isinstance(each, str) and each.id == job.id else each for each in self._lines])

    def delete(self, job_id: str) -> None:
        """Take a job out of the file; raises `NotFound`, and `OSError` as `add`."""
        self.get(job_id)
        self._write([each for each in self._lines if isinstance(each, str) or each.id != job_id])

    def _read(self, read: Callable[[str], JobT], line: str, number: int) -> JobT | str:
        try:
            return read(line)
        except json.JSONDecodeError as error:
            reason = f"Invalid JSON at position {error.pos}"
        except KeyError as error:
            reason = f"Missing required field: {error.args[0]}"
        except (TypeError, ValueError) as error:
            reason = str(error)
        _log.warning("line %d of %s is passed over: %s", number, self._path, reason)
        return line

    def _write(self, lines: list[JobT | str]) -> None:
        # Renamed over the old file once all of it is on disk, so that no reader and no crash sees half of one.
        text = "".join(f"{each if isinstance(each, str) else each.serialize()}\n" for each in lines)
        with tempfile.NamedTemporaryFile("w", dir=self._path.parent, encoding="utf-8", delete=False) as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, self._path)
            except BaseException:
                os.unlink(file.name)
                raise
        self._lines = lines
        self._is_utf8 = True
