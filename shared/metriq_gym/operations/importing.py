"""Taking over what metriq-gym's own tools keep: its job file, one job a line as JSON, and the dataset's records."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from metriq_gym import benchmarks, texts
from metriq_gym.client.configurations import NoConfiguration
from metriq_gym.constants import JobType
from metriq_gym.errors import IllegalTransition, MetriqGymError, Transient
from metriq_gym.job_manager import MetriqGymJob, load, to_document
from metriq_gym.messages import JobId
from metriq_gym.operations.foreign_results import with_score
from metriq_gym.store import Store
from metriq_gym.texts import NotText
from metriq_gym.wording import because, from_pydantic, shorten

_REQUIRED = ("id", "job_type", "params", "dispatch_time")
_KINDS: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "job_type": (str,),
    "params": (dict,),
    "dispatch_time": (str,),
    "provider_name": (str,),
    "device_name": (str,),
    "provider_job_ids": (list,),
    "data": (dict, type(None)),
    "platform": (dict, type(None)),
    "app_version": (str, type(None)),
    "suite_id": (str, type(None)),
    "suite_name": (str, type(None)),
    "result_data": (dict, list, type(None)),
    "runtime_seconds": (int, float, type(None)),
    "circuit_metadata": (dict, type(None)),
    "error": (dict, str, type(None)),
}
_WORDS = {str: "text", dict: "an object", list: "a list", int: "a number", float: "a number", type(None): "null"}
_RECORD = "record"
"""Marks what has become of a record, whose results are complete as they are."""
_KNOWN = {field.name for field in fields(MetriqGymJob)} | {"version", _RECORD}
_OF_RECORDS = (
    *("app_version", "timestamp", "suite_id", "job_type", "results", "runtime_seconds", "suite"),
    *("platform", "circuit_metadata", "params", "outcome", "outcome_detail"),
)
_MAX_DEPTH = 50
_id = TypeAdapter[str](JobId)


class BadLine(MetriqGymError):
    """A line that is no job."""


@dataclass(frozen=True, slots=True)
class LineNote:
    """Something to say about a line, or about an entry of a file that is one JSON document."""

    number: int
    reason: str
    unit: str = "line"


@dataclass(slots=True)
class ImportSummary:
    """What became of each line that is not blank, or of each entry."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    bad: list[LineNote] = field(default_factory=list)
    notes: list[LineNote] = field(default_factory=list)
    """About lines that were taken over."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


async def import_jobs(store: Store, path: Path) -> ImportSummary:
    """Store every job of the file, or of standard input for ``-``; a line that is no job is reported, the rest goes on.

    A file of the dataset, with one record or a list of them, is taken over too: each record becomes a job that has
    ended, whose id follows from what it says. Doing it again changes nothing, but for jobs that got their result
    meanwhile. Raises `NoConfiguration` when the file cannot be read, and `Transient` when the store is away: then do it
    again.
    """
    done = ImportSummary()
    for number, unit, entry in _entries(path):
        try:
            job, notes = parse(entry) if isinstance(entry, (str, bytes)) else job_of(entry)
            await _keep(store, job, done)
        except Transient:
            raise  # nothing is wrong with the line
        except MetriqGymError as error:
            done.bad.append(LineNote(number, str(error), unit))
        else:
            done.notes += [LineNote(number, note, unit) for note in notes]
    return done


def parse(text: str | bytes) -> tuple[MetriqGymJob, list[str]]:
    """Return the job that a line holds, and what there is to say of it; raises `BadLine`."""
    try:
        return job_of(texts.loads(text if isinstance(text, str) else texts.decode(text)))
    except NotText as error:
        raise BadLine(str(error)) from None


def job_of(found: Any) -> tuple[MetriqGymJob, list[str]]:
    """Return the job that a JSON value is, or is the record of, and what there is to say; raises `BadLine`."""
    if not isinstance(found, dict):
        raise BadLine("is not a JSON object")
    if is_record(found):
        found = _of_record(found)
    if missing := [name for name in _REQUIRED if found.get(name) is None]:
        raise BadLine(f"lacks {', '.join(missing)}")
    for name, kinds in _KINDS.items():
        if name in found and (not isinstance(found[name], kinds) or isinstance(found[name], bool)):
            raise BadLine(f"{name} must be {' or '.join(dict.fromkeys(_WORDS[kind] for kind in kinds))}")
    try:
        _id.validate_python(found["id"])
    except ValidationError:
        raise BadLine(f"id {found['id']!r} is none: letters, digits and ._:- are, 128 at most") from None
    if (reason := _unstorable(found)) is not None:
        raise BadLine(reason)
    return _job(found), _notes(found)


def _unstorable(value: Any, depth: int = 0) -> str | None:
    """Return why a document of the store cannot hold what JSON can, if it cannot."""
    if depth > _MAX_DEPTH:
        return f"is nested deeper than {_MAX_DEPTH} levels"
    if isinstance(value, str):
        return None if _is_text(value) else "has half a character in a text"
    if isinstance(value, float) and not math.isfinite(value):
        return "has a number that is not finite"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"has an integer of more than 64 bits: {shorten(str(value), 40)}"
    if isinstance(value, dict):
        if any("\0" in key for key in value):
            return "has a name with a NUL character"
        value = [*value.keys(), *value.values()]
    found = (_unstorable(each, depth + 1) for each in (value if isinstance(value, list) else ()))
    return next((reason for reason in found if reason is not None), None)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_record(found: Mapping[str, Any]) -> bool:
    """Whether an object is a record, as exporters write it and the dataset keeps it."""
    return {"job_type", "results", "platform"} <= found.keys() and "id" not in found


def _of_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as a line of the job file, in the fields that the line has for what the record says."""
    kinds = {"platform": dict, "suite": dict, "outcome_detail": dict, "params": dict, "timestamp": str}
    if wrong := [name for name, kind in kinds.items() if not isinstance(record.get(name, kind()), kind)]:
        raise BadLine(f"is a record of the dataset in which {', '.join(wrong)} cannot be read")
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    suite, platform, detail = record.get("suite", {}), record["platform"], record.get("outcome_detail", {})
    failed = {
        "source": detail.get("source"),
        "message": detail.get("error_message") or detail.get("reason"),
        "outcome": record.get("outcome"),
        "outcome_detail": detail,
    }
    return {name: value for name, value in record.items() if name not in _OF_RECORDS} | {
        _RECORD: True,
        "id": f"record-{digest[:16]}",
        "job_type": record["job_type"],
        "params": record.get("params", {}),
        "provider_name": platform.get("provider"),
        "device_name": platform.get("device"),
        "platform": platform,
        "dispatch_time": record.get("timestamp"),
        "app_version": record.get("app_version"),
        "suite_id": record.get("suite_id") or suite.get("id"),
        "suite_name": suite.get("name"),
        "result_data": record["results"],
        "runtime_seconds": record.get("runtime_seconds"),
        "circuit_metadata": record.get("circuit_metadata"),
        "error": failed if record["results"] is None else None,
    }


def _scored(found: Mapping[str, Any]) -> Any:
    return with_score(found["job_type"], found.get("result_data"))


def _job(found: dict[str, Any]) -> MetriqGymJob:
    platform, data = found.get("platform") or {}, found.get("data") or {}
    provider = found.get("provider_name") or platform.get("provider")
    device = found.get("device_name") or platform.get("device")
    if not isinstance(provider, str) or not isinstance(device, str):
        raise BadLine("names no provider and device")
    if wrong := [name for name in ("provider", "device") if not isinstance(platform.get(name) or "", str)]:
        raise BadLine(f"platform.{wrong[0]} must be text")
    unknown = _unknown_parameters(found)
    try:
        return MetriqGymJob(
            id=found["id"],
            job_type=found["job_type"],
            params={name: value for name, value in found["params"].items() if name not in unknown},
            provider_name=provider,
            device_name=device,
            provider_job_ids=[
                str(each) for each in found.get("provider_job_ids") or data.get("provider_job_ids") or []
            ],
            dispatch_time=found["dispatch_time"],
            # Older files call it so.
            app_version=found.get("app_version") or found.get("version"),
            data=data,
            platform=found.get("platform"),
            suite_id=found.get("suite_id"),
            suite_name=found.get("suite_name"),
            result_data=found.get("result_data") if _RECORD in found else _scored(found),
            runtime_seconds=found.get("runtime_seconds"),
            circuit_metadata=found.get("circuit_metadata"),
            error={"message": error} if isinstance(error := found.get("error") or None, str) else error,
        )
    except ValueError as error:
        raise BadLine(f"dispatch_time: {error}") from None


def _unknown_parameters(found: dict[str, Any]) -> list[str]:
    """Return parameters that the benchmark's schema does not have; none of a record, or where there is no schema."""
    if _RECORD in found or found["job_type"] not in set(JobType):
        return []
    known = benchmarks.schema(found["job_type"])["properties"].keys() | {"benchmark_name"}
    return sorted(found["params"].keys() - known)


def _notes(found: dict[str, Any]) -> list[str]:
    notes = []
    if found["job_type"] not in set(JobType):
        notes.append(f"benchmark {found['job_type']!r} is not one of ours; kept as it is")
    if unknown := _unknown_parameters(found):
        notes.append(f"parameters that {found['job_type']} does not have were left out: {', '.join(unknown)}")
    if unknown := sorted(found.keys() - _KNOWN):
        notes.append(f"fields that mean nothing here were left out: {', '.join(unknown)}")
    return notes


async def _keep(store: Store, job: MetriqGymJob, done: ImportSummary) -> None:
    try:
        document = to_document(job, "imported")
    except ValidationError as error:
        raise BadLine("; ".join(f"{each.path[2:]} {each.message}" for each in from_pydantic(error))) from None
    if await store.records.add(document):
        done.added += 1
        return
    present = await store.jobs.get(job.id)
    if present.imported is None:
        raise BadLine(f"job {job.id} was run by the services here, and stays as it is")
    if await load(store, present) == job:
        done.unchanged += 1
        return
    try:
        await store.records.replace(to_document(job, "imported again"))
    except IllegalTransition as error:
        raise BadLine(str(error)) from error
    done.updated += 1


def _entries(path: Path) -> Iterator[tuple[int, str, Any]]:
    """Yield number, what is counted, and the line or JSON value, of a file of lines or of one JSON document."""
    content = _content(path)
    try:
        text = texts.decode(content)
    except NotText:
        # The line at fault is named, and the rest is taken.
        yield from ((number, "line", line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip())
        return
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    document = _document(text) if len(lines) > 1 or text.lstrip().startswith("[") else None
    if document is not None:
        yield from ((number, "entry", entry) for number, entry in enumerate(document, 1))
        return
    for number, line in lines:
        yield number, "line", line


def _document(text: str) -> list[Any] | None:
    """Return the values of a text that is one JSON array, or one object; None for anything else."""
    try:
        found = texts.loads(text)
    except NotText:
        return None
    return found if isinstance(found, list) and found else [found]


def _content(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == texts.STANDARD_INPUT else path.read_bytes()
    except OSError as error:
        raise NoConfiguration(f"cannot read {path}: {because(error)}") from error
