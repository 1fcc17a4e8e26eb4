"""What a pull request with results says and holds, decided before anything is sent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metriq_gym.constants import CIRCUIT
from metriq_gym.errors import Permanent
from metriq_gym.exporters.record import Record
from metriq_gym.exporters.upload_path import encode, upload_path

LABELS = ("data", "source:metriq-gym")
_MOST_LINES = 100
_LONGEST_TITLE = 250


@dataclass(frozen=True, slots=True)
class PullRequest:
    """One file on one branch, and the request to take it; `str` of it is all that will be sent."""

    repo: str
    base_branch: str
    branch: str
    path: str
    content: bytes
    title: str
    body: str
    commit_message: str
    labels: tuple[str, ...] = LABELS

    def to_dict(self) -> dict[str, Any]:
        """Return all that will be sent, for JSON."""
        fields = {name: getattr(self, name) for name in ("repo", "base_branch", "branch", "title", "body", "path")}
        sent = {"labels": list(self.labels), "commit_message": self.commit_message, "content": self.content.decode()}
        return fields | sent

    def __str__(self) -> str:
        return "\n".join(
            (
                f"repository: {self.repo}",
                f"base branch: {self.base_branch}",
                f"branch: {self.branch}",
                f"title: {self.title}",
                f"labels: {', '.join(self.labels)}",
                f"commit message: {self.commit_message}",
                f"body:\n{self.body}",
                f"file: {self.path}",
                self.content.decode(),
            )
        )


def compose(
    records: Sequence[Record],
    upload_id: str,
    *,
    repo: str,
    base_branch: str,
    directory: str,
    suite: str | None = None,
    resumed: int = 0,
) -> PullRequest:
    """Return the pull request for one job's record, or for all of a suite's.

    Parameters
    ----------
    records:
        The records, in the order they are to have in the file.
    upload_id:
        Id of the job or of the suite; it names the branch.
    repo:
        ``owner/name``.
    base_branch, directory:
        Where in the repository the file is to go.
    suite:
        The suite's name, if the records are a suite's.
    resumed:
        How often these jobs were resumed: their failures may have a pull request, whose branch stays what it is.

    Raises
    ------
    Permanent
        When `directory` leads out of the repository, a record cannot be written as JSON, or is of no benchmark.
    """
    if any(record["job_type"] == CIRCUIT for record in records):
        raise Permanent("the dataset takes benchmarks only, and no plain circuits")
    whole = _standing_for(records)
    content = encode(records)
    path = "/".join([*_steps(directory), upload_path(whole, content, job_type=suite)])
    platform = whole["platform"]
    what = f"{suite or whole['job_type']} on {platform['provider']}/{platform['device']}"
    lines = [f"- {_line(record)}" for record in records[:_MOST_LINES]]
    if len(records) > _MOST_LINES:
        lines.append(f"- and {len(records) - _MOST_LINES} more")
    about = f"{'Suite' if suite else 'Job'} `{upload_id}`, metriq-gym {_plain(whole['app_version'] or '')}:"
    return PullRequest(
        repo=repo,
        base_branch=base_branch,
        branch=branch_name(upload_id) + (f"-resumed-{resumed}" if resumed else ""),
        path=path,
        content=content,
        title=f"mgym upload: {_plain(what)}"[:_LONGEST_TITLE],
        body="\n".join([about, "", *lines, "", f"File: `{path}`"]),
        commit_message=f"Add {path}",
    )


def branch_name(upload_id: str) -> str:
    """Return ``mgym/upload-<id>``; an id that git does not take in a branch's name is altered, and stays distinct."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", upload_id) if _untakeable(upload_id) else upload_id
    digest = "" if name == upload_id else f"-{hashlib.sha256(upload_id.encode()).hexdigest()[:8]}"
    return f"mgym/upload-{name}{digest}"


def _untakeable(name: str) -> bool:
    """Whether git refuses the end of a branch's name; see git-check-ref-format(1), of which this is the strict side."""
    return not re.fullmatch(r"[A-Za-z0-9._-]+", name) or ".." in name or name.endswith((".", ".lock"))


def _standing_for(records: Sequence[Record]) -> Record:
    """Return the first record with the earliest time, and ``several`` for a provider or device that is not all's."""
    first = records[0]
    common: dict[str, Any] = {}
    for key in ("provider", "device"):
        values = {record["platform"][key] for record in records}
        common[key] = values.pop() if len(values) == 1 else "several"
    times = [record["timestamp"] for record in records]
    return first | {"platform": common, "timestamp": min(times, key=datetime.fromisoformat)}


def _steps(directory: str) -> list[str]:
    steps = [step for step in directory.split("/") if step]
    if any(step in (".", "..") or step.lower() == ".git" or re.search(r"[\x00-\x1f\\]", step) for step in steps):
        raise Permanent(f"{directory!r} is not a folder of a repository")
    return steps


def _line(record: Record) -> str:
    platform = record["platform"]
    told = f"{record['job_type']} on {platform['provider']}/{platform['device']}, {record['timestamp']}"
    if "outcome" in record:
        return _plain(f"{told}: {record['outcome']}")
    score = (record["results"] or {}).get("score")
    return _plain(told if score is None else f"{told}: score {_number(score)}")


def _number(score: Any) -> str:
    value, uncertainty = (score.get("value"), score.get("uncertainty")) if isinstance(score, dict) else (score, None)
    if not isinstance(value, (int, float)):
        return "none"
    return f"{value:.6g}" + (f" +- {uncertainty:.2g}" if isinstance(uncertainty, (int, float)) else "")


def _plain(text: str) -> str:
    """Keep a name that someone chose from being a mention, a link or an instruction to GitHub."""
    return re.sub(r"[^A-Za-z0-9 ._:/+()=,-]", "_", text)
