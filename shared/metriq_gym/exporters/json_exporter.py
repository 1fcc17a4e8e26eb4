"""One JSON file per job, written so that a reader never sees half of one."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from metriq_gym.errors import OutOfReach, Permanent
from metriq_gym.exporters.base_exporter import BaseExporter
from metriq_gym.exporters.upload_path import encode

_OF_THE_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR)
"""Errors that say something of the file's name. All others are of the folder, the disk or the network, and pass."""


class JSONExporter(BaseExporter):
    """Exports a job's record to a file."""

    def export(self, output_path: str | os.PathLike[str]) -> Path:
        """Write the record to `output_path`, replacing what is there, and return the path.

        Parameters
        ----------
        output_path
            The file; folders that are missing are made.

        Raises
        ------
        Permanent
            When no file can have that path.
        OutOfReach
            For whatever else keeps it from being written: a full disk, a folder that is read-only or not ours or has
            something else in its place, a share that is away.
        """
        path = Path(output_path)
        try:
            _replace(path, encode(self._record))
        except OSError as error:
            problem = f"cannot write {path}: {error.strerror or error}"
            raise (Permanent if error.errno in _OF_THE_NAME else OutOfReach)(problem) from error
        return path


JsonExporter = JSONExporter
"""As metriq-gym spells it."""


def record_path(root: Path, job_id: str) -> Path:
    """Return ``<root>/<job id>.json``.

    Parameters
    ----------
    root
        Folder of the records.
    job_id
        The job's whole id.

    Raises
    ------
    Permanent
        For an id with which that is not a file of `root`.
    """
    path = root / f"{job_id}.json"
    if path.parent != root or "\0" in job_id:
        raise Permanent(f"the id {job_id!r} is not a file name")
    return path


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A file of the same folder is renamed over the target, which is atomic, once all of it is on disk.
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
