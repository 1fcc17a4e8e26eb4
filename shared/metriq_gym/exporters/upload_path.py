"""Where an upload goes in the dataset: its bytes, and a path that depends on nothing but them and what they are of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from metriq_gym.errors import Permanent
from metriq_gym.exporters.record import Record


def encode(document: Record | Sequence[Record]) -> bytes:
    """Return a record, or an array of them, as the text of a JSON file; the same records give the same bytes.

    Raises `Permanent` for what JSON cannot hold, such as a metric that is not a number.
    """
    try:
        return json.dumps(document, indent=2, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise Permanent(f"the record cannot be written as JSON: {error}") from error


def upload_path(record: Record, payload: bytes, *, job_type: str | None = None) -> str:
    """Return the path of an upload, relative to the dataset's folder of uploads.

    Parameters
    ----------
    record:
        The record, or the one that stands for a suite's: it gives version, provider, device and time (UTC).
    payload:
        The file's bytes; ``sha256sum`` of the file begins with the path's last eight characters.
    job_type:
        What to call it; the record's own type unless given.
    """
    version = re.match(r"(\d+)\.(\d+)", record["app_version"] or "")
    platform = record["platform"]
    at = datetime.fromisoformat(record["timestamp"])
    at = at if at.tzinfo is None else at.astimezone(UTC)
    digest = hashlib.sha256(payload).hexdigest()[:8]
    parts = (
        "metriq-gym",
        f"v{version[1]}.{version[2]}" if version else "v0.0",
        platform["provider"],
        platform["device"],
        f"{at:%Y-%m-%d_%H-%M-%S}_{job_type or record['job_type']}_{digest}.json",
    )
    return "/".join(safe_name(part) for part in parts)


def safe_name(text: str) -> str:
    """Return `text` as one component of a path: lower case, and ``_`` for anything outside ``[a-z0-9._-]``.

    A name that means something else to a file system or to git (none, ``.``, ``..``, ``.git``) loses its dots.
    """
    name = re.sub(r"[^a-z0-9._-]", "_", text.lower())
    means_more = name == ".git" or not name.strip(".")
    return (name.replace(".", "_") or "_") if means_more else name
