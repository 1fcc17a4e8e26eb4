"""One JSON file per job, below a root folder and written so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_record(root: Path, job_id: str, record: Mapping[str, Any]) -> Path:
    """Write a job's record to ``<root>/<job id>.json`` and return the path. Writing it again changes nothing.

    A job id has no character with a meaning in paths (see `messages.JobId`), so the file is always below `root`.
    """
    root.mkdir(parents=True, exist_ok=True)
    target = root / f"{job_id}.json"
    if target.parent != root:
        raise ValueError(f"{job_id!r} is not a file name")
    # A file of the same folder is renamed over the target, which is atomic, once all of it is on disk.
    with tempfile.NamedTemporaryFile("w", dir=root, prefix=".", delete=False, encoding="utf-8") as file:
        try:
            json.dump(record, file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise
    return target
