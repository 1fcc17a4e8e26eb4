"""Taking over the job file of metriq-gym's own command-line tool: one job a line, as JSON."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from metriq_gym import benchmarks
from metriq_gym.client.configurations import NoConfiguration
from metriq_gym.constants import JobType
from metriq_gym.errors import IllegalTransition, MetriqGymError, Transient
from metriq_gym.job_manager import MetriqGymJob, load, to_document
from metriq_gym.messages import JobId
from metriq_gym.store import Store

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
    "error": (dict, type(None)),
}
_WORDS = {str: "text", dict: "an object", list: "a list", int: "a number", float: "a number", type(None): "null"}
_KNOWN = {field.name for field in fields(MetriqGymJob)} | {"version"}
_id = TypeAdapter[str](JobId)


class BadLine(MetriqGymError):
    """A line that is no job."""


@dataclass(frozen=True, slots=True)
class LineNote:
    """Something to say about a line."""

    number: int
    reason: str


@dataclass(slots=True)
class ImportSummary:
    """What became of each line that is not blank."""

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
    """Store every job of the file; a line that is no job is reported, and the rest goes on.

    Doing it again changes nothing, but for jobs that got their result meanwhile. Raises `NoConfiguration` when the file
    cannot be read, and `Transient` when the store is away: then do it again.
    """
    done = ImportSummary()
    for number, text in _lines(path):
        try:
            job, notes = parse(text)
            await _keep(store, job, done)
        except Transient:
            raise  # nothing is wrong with the line
        except MetriqGymError as error:
            done.bad.append(LineNote(number, str(error)))
        else:
            done.notes += [LineNote(number, note) for note in notes]
    return done


def parse(text: str | bytes) -> tuple[MetriqGymJob, list[str]]:
    """Return the job that a line holds, and what there is to say of it; raises `BadLine`."""
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadLine("is not a JSON object")
    if is_record(found):
        raise BadLine("is a record of the dataset, a result without the job it came from, and not a job")
    if missing := [name for name in _REQUIRED if found.get(name) is None]:
        raise BadLine(f"lacks {', '.join(missing)}")
    for name, kinds in _KINDS.items():
        if name in found and (not isinstance(found[name], kinds) or isinstance(found[name], bool)):
            raise BadLine(f"{name} must be {' or '.join(dict.fromkeys(_WORDS[kind] for kind in kinds))}")
    try:
        _id.validate_python(found["id"])
    except ValidationError:
        raise BadLine(f"id {found['id']!r} is none: letters, digits and ._:- are, 128 at most") from None
    return _job(found), _notes(found)


def is_record(found: Mapping[str, Any]) -> bool:
    """Whether an object is a record, as exporters write it and the dataset keeps it."""
    return {"job_type", "results", "platform"} <= found.keys() and "id" not in found


def _job(found: dict[str, Any]) -> MetriqGymJob:
    platform, data = found.get("platform") or {}, found.get("data") or {}
    provider = found.get("provider_name") or platform.get("provider")
    device = found.get("device_name") or platform.get("device")
    if not isinstance(provider, str) or not isinstance(device, str):
        raise BadLine("names no provider and device")
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
            result_data=found.get("result_data"),
            runtime_seconds=found.get("runtime_seconds"),
            circuit_metadata=found.get("circuit_metadata"),
            error=found.get("error"),
        )
    except ValueError as error:
        raise BadLine(f"dispatch_time: {error}") from None


def _unknown_parameters(found: dict[str, Any]) -> list[str]:
    """Return the names of parameters that the benchmark's schema does not have; of a benchmark without one, none."""
    if found["job_type"] not in set(JobType):
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
    if await store.records.add(to_document(job, "imported")):
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


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                line = line.removeprefix(BOM_UTF8) if number == 1 else line
                if line.strip():
                    yield number, line
    except OSError as error:
        raise NoConfiguration(f"cannot read {path}: {error}") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
