"""Names of folders and files for uploads to the dataset, for scripts that make their own.

The exporters use `metriq_gym.exporters.upload_path`, which takes all of a path from the record itself.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

from metriq_gym.exporters.record import GymJob
from metriq_gym.exporters.upload_path import encode, safe_name
from metriq_gym.platform import canonical_device_name, canonical_provider_name


def minor_series_label(version: str) -> str:
    """Return ``v<major>.<minor>`` of a version, or ``v`` and the version if it does not begin with two numbers."""
    found = re.match(r"\d+\.\d+", version)
    return f"v{found[0] if found else version}"


def path_component(value: str | None) -> str:
    """Return a name as one component of a path, ``unknown`` for None: lower case, ``_`` for what is unsafe in one."""
    return safe_name(re.sub(r"[^a-z0-9._-]+", "_", ("unknown" if value is None else value).strip().lower()).strip("_"))


def default_upload_dir(version: str, provider: str, device: str) -> str:
    """Return the folder of a device's uploads, ``metriq-gym/v<major>.<minor>/<provider>/<device>``."""
    canonical = canonical_provider_name(provider), canonical_device_name(provider, device)
    return "/".join(["metriq-gym", minor_series_label(version), *map(path_component, canonical)])


def job_filename(job: GymJob, *, payload: Any = None) -> str:
    """Return the name of the file with a job's record.

    Parameters
    ----------
    job:
        Gives the type and the time of dispatch (UTC).
    payload:
        The record, or a list of them. Given, the name ends in the first eight characters of the file's SHA-256, so
        that two results of one second differ.

    Raises
    ------
    Permanent
        When `payload` is nothing that JSON can hold.
    """
    at = job.dispatch_time
    return _filename(datetime.fromisoformat(at) if isinstance(at, str) else at, str(job.job_type), payload)


def suite_filename(suite_name: str | None, dispatch_time: datetime | None = None, *, payload: Any = None) -> str:
    """Return the name of the file with a suite's records; now stands for a `dispatch_time` that is not given.

    `payload` and what is raised are as for `job_filename`.
    """
    return _filename(dispatch_time or datetime.now(UTC), suite_name or "suite", payload)


def _filename(at: datetime, label: str, payload: Any) -> str:
    at = at if at.tzinfo is None else at.astimezone(UTC)
    digest = "" if payload is None else f"_{hashlib.sha256(encode(payload)).hexdigest()[:8]}"
    return f"{at:%Y-%m-%d_%H-%M-%S}_{path_component(label)}{digest}.json"
