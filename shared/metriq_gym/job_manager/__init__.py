"""Jobs as metriq-gym's own tool knows them, kept in the store or in a file: `JobManager` and `MetriqGymJob`.

It calls nothing that runs a job: `metriq_gym.run` does. What a file holds is read and written in `jobs_file`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import fields as fields_of
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metriq_gym import __version__, benchmarks
from metriq_gym.client.session import Session, session_for
from metriq_gym.constants import JobType
from metriq_gym.errors import NotFound
from metriq_gym.job_manager.jobs_file import JobsFile
from metriq_gym.jobs import Failure, Job, JobState
from metriq_gym.jobs.documents import Transition, failure_noted
from metriq_gym.platform import canonical_device_name, canonical_provider_name
from metriq_gym.settings import Settings
from metriq_gym.store import Store

_WIDTHS = ("num_qubits", "qubits", "width", "max_qubits")
_OURS = {"state", "failure"}


@dataclass
class MetriqGymJob:
    """A benchmark job."""

    id: str
    job_type: JobType | str
    """A `JobType`, or the name of a benchmark that is not shipped."""
    params: dict[str, Any]
    provider_name: str
    device_name: str
    provider_job_ids: list[str] = field(default_factory=list)
    """What the provider calls the job's tasks; empty where it gives no ids, as the local simulator."""
    dispatch_time: datetime | str = field(default_factory=lambda: datetime.now(UTC))
    """Text in ISO 8601 becomes a datetime; one without a zone is taken for UTC."""
    app_version: str | None = __version__
    data: dict[str, Any] = field(default_factory=dict)
    """What the benchmark noted for scoring."""
    platform: dict[str, Any] | None = None
    """Provider, device and its metadata."""
    suite_id: str | None = None
    suite_name: str | None = None
    result_data: dict[str, Any] | list[Any] | None = None
    """The results once there are any."""
    runtime_seconds: float | None = None
    circuit_metadata: dict[str, Any] | None = None
    """Two-qubit gates of each circuit, before and after compilation."""
    error: dict[str, Any] | None = None
    """What the tool that dispatched it noted of its failure: ``message``, and ``source``, dispatch or poll."""
    failure: Failure | None = None
    """Why there is no result and will be none."""
    state: str | None = None
    """How far the services are with it; None for a job that no service runs."""

    def __post_init__(self) -> None:
        self.job_type = _job_type(self.job_type)
        at = datetime.fromisoformat(self.dispatch_time) if isinstance(self.dispatch_time, str) else self.dispatch_time
        self.dispatch_time = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        noted = {name: value for name, value in (self.platform or {}).items() if value not in (None, "")}
        known = {"provider": self.provider_name, "device": self.device_name} | noted
        provider = canonical_provider_name(str(known["provider"]))
        device = canonical_device_name(provider, str(known["device"]))
        self.platform = known | {"provider": provider, "device": device}

    def num_qubits(self) -> int | None:
        """Return how many qubits the parameters ask for, or None where they do not say."""
        value = next((self.params[name] for name in _WIDTHS if name in self.params), None)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
            return None
        return int(value)

    def serialize(self) -> str:
        """Return the job as one line of JSON."""
        return json.dumps(_plain(self), sort_keys=True)

    @staticmethod
    def deserialize(data: str) -> MetriqGymJob:
        """Return the job that a line of JSON holds; fields of other versions are left out.

        Parameters
        ----------
        data
            One JSON object, as `serialize` and metriq-gym's own tool write it.

        Raises
        ------
        json.JSONDecodeError
            When it is not JSON.
        KeyError
            For a field that is missing.
        ValueError
            For an unknown ``job_type`` and a ``dispatch_time`` that is none in ISO 8601.
        TypeError
            When the JSON is not an object.
        """
        found = json.loads(data)
        if not isinstance(found, dict):
            raise TypeError("it is JSON, but not an object")
        platform, noted = found.get("platform") or {}, found.get("data") or {}
        named = {"provider_name": platform.get("provider"), "device_name": platform.get("device")}
        found = {name: value for name, value in named.items() if value is not None} | found
        found.setdefault("provider_job_ids", noted.get("provider_job_ids") or [])
        for name in ("id", "job_type", "params", "provider_name", "device_name", "dispatch_time"):
            if found.get(name) is None:
                raise KeyError(name)
        if found["job_type"] not in {*JobType, *benchmarks.names()}:
            raise ValueError(f"Unknown job type: {found['job_type']!r}")
        try:
            datetime.fromisoformat(found["dispatch_time"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"Invalid datetime format: {error}") from None
        known = {each.name for each in fields_of(MetriqGymJob)} - _OURS
        return MetriqGymJob(**{name: value for name, value in found.items() if name in known})


class JobManager:
    """All jobs of the store: those that the services ran and those that were added or imported.

    The store is the configured MongoDB, or without servers the embedded one in METRIQ_DATA_DIR.

    Parameters
    ----------
    jobs_file
        A file of JSON lines to keep jobs in, as metriq-gym's own tool does: then only the jobs in it are known. What
        is dispatched runs as ever, and is noted in the file.
    settings
        Where the services are; from the environment unless given.
    """

    def __init__(self, jobs_file: str | Path | None = None, *, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.jobs_file = None if jobs_file is None else Path(jobs_file)
        self._file = None if self.jobs_file is None else JobsFile(self.jobs_file, MetriqGymJob.deserialize)

    @property
    def jobs(self) -> list[MetriqGymJob]:
        """All jobs, as `get_jobs` returns them."""
        return self.get_jobs()

    @property
    def session(self) -> Session:
        """Where this process's asynchronous work is done."""
        return session_for(self.settings)

    def get_jobs(self) -> list[MetriqGymJob]:
        """Return all jobs, the newest last."""
        return self._find({}) if self._file is None else self._file.jobs

    def get_jobs_by_suite_id(self, suite_id: str) -> list[MetriqGymJob]:
        """Return the jobs of a suite, the newest last.

        Parameters
        ----------
        suite_id
            The whole id.
        """
        if self._file is not None:
            return [job for job in self._file.jobs if job.suite_id == suite_id]
        return self._find({"suite_id": suite_id})

    def get_latest_job(self) -> MetriqGymJob:
        """Return the newest job.

        Raises
        ------
        NotFound
            When there are no jobs yet.
        """
        found = self._find({}, limit=1) if self._file is None else self._file.jobs
        if not found:
            raise NotFound("there are no jobs yet")
        return found[-1]

    def get_job(self, job_id: str) -> MetriqGymJob:
        """Return one job.

        Parameters
        ----------
        job_id
            The whole id.

        Raises
        ------
        NotFound
            When there is no such job; it is a `ValueError` too.
        """
        if self._file is not None:
            return self._file.get(job_id)

        async def find(store: Store) -> MetriqGymJob:
            return await load(store, await store.jobs.get(job_id))

        return self.session.on_store(find)

    def add_job(self, job: MetriqGymJob) -> str:
        """Keep a job that no service runs, and return its id; a job of that id stays as it is.

        Parameters
        ----------
        job
            One that ran elsewhere; its ``id`` is kept.
        """
        if self._file is not None:
            self._file.add(job)
        else:
            self.session.on_store(lambda store: store.records.add(to_document(job, "added by a client")))
        return job.id

    def update_job(self, job: MetriqGymJob) -> None:
        """Keep a changed job in place of the one of its id.

        Parameters
        ----------
        job
            The changed job; its ``id`` says in place of which.

        Raises
        ------
        NotFound
            When there is no job of that id.
        IllegalTransition
            For a change to a job that the services run.
        """
        if self._file is not None:
            self._file.replace(job)
            return

        async def update(store: Store) -> None:
            present = await load(store, await store.jobs.get(job.id))
            if present != job:
                await store.records.replace(to_document(job, "changed by a client"))

        self.session.on_store(update)

    def delete_job(self, job_id: str) -> None:
        """Delete a job that has ended.

        From a file any job is deleted; what runs, goes on.

        Parameters
        ----------
        job_id
            The whole id.

        Raises
        ------
        NotFound
            When there is no such job.
        IllegalTransition
            When it has not ended.
        """
        if self._file is not None:
            self._file.delete(job_id)
            return
        self.session.on_store(lambda store: store.records.delete(job_id))

    def _find(self, filters: Mapping[str, Any], limit: int = 0) -> list[MetriqGymJob]:
        async def find(store: Store) -> list[MetriqGymJob]:
            found = await store.catalogue.find(filters, limit=limit)
            ids = await store.catalogue.provider_job_ids([job.id for job in found])
            return [from_document(job, ids.get(job.id, [])) for job in reversed(found)]

        return self.session.on_store(find)


async def load(store: Store, job: Job) -> MetriqGymJob:
    """Return a stored job with what its provider calls its tasks.

    Parameters
    ----------
    store
        Where the job's tasks are kept.
    job
        As the store has it.
    """
    return from_document(job, (await store.catalogue.provider_job_ids([job.id])).get(job.id, []))


def from_document(job: Job, provider_job_ids: list[str]) -> MetriqGymJob:
    """Return a stored job as metriq-gym knows it.

    Parameters
    ----------
    job
        As the store has it.
    provider_job_ids
        What its provider calls its tasks, in their order.
    """
    if job.imported is not None:
        return MetriqGymJob(**json.loads(job.imported))
    platform = {"provider": job.provider, "device": job.device, "device_metadata": job.device_metadata}
    return MetriqGymJob(
        id=job.id,
        job_type=job.benchmark_name,
        params=job.config,
        provider_name=job.provider,
        device_name=job.device,
        provider_job_ids=provider_job_ids,
        dispatch_time=job.dispatch_time or job.created_at,
        app_version=job.app_version,
        data=job.data,
        platform=platform,
        suite_id=job.suite_id,
        suite_name=job.suite_name,
        result_data=job.result,
        runtime_seconds=job.runtime_seconds,
        circuit_metadata={
            "input_two_qubit_gate_counts": job.input_two_qubit_gate_counts,
            "transpiled_two_qubit_gate_counts": job.transpiled_two_qubit_gate_counts,
            **({"compilation": job.compiled_with} if job.compiled_with else {}),
        },
        failure=job.failure,
        state=job.state,
    )


def to_document(job: MetriqGymJob, cause: str) -> Job:
    """Return the document of a job that no service ran: with its result, failed, or waiting at its provider.

    Parameters
    ----------
    job
        One that ran elsewhere.
    cause
        Why it is kept, for its history.
    """
    at = job.dispatch_time
    assert isinstance(at, datetime)  # noqa: S101  (made so when it was built)
    platform = job.platform or {}
    state = _state(job)
    circuits = gate_counts(job)
    return Job(
        id=job.id,
        state=state,
        benchmark_name=str(job.job_type),
        # What the dataset calls them, which need not be what the provider does.
        provider=platform["provider"],
        device=platform["device"],
        target=job.device_name,
        config=job.params,
        suite_id=job.suite_id,
        suite_name=job.suite_name,
        app_version=job.app_version or "",
        created_at=at,
        updated_at=at,
        dispatch_time=at,
        device_metadata=platform.get("device_metadata") or {},
        data=job.data,
        result=job.result_data if isinstance(job.result_data, dict) else None,
        runtime_seconds=job.runtime_seconds,
        failure=_failure(job),
        input_two_qubit_gate_counts=circuits.get("input_two_qubit_gate_counts") or [],
        transpiled_two_qubit_gate_counts=circuits.get("transpiled_two_qubit_gate_counts") or [],
        history=[Transition(state=state, at=at, service="import", cause=cause)],
        imported=json.dumps(_plain(job)),  # in the order it came in, so that records have it too
    )


def gate_counts(job: MetriqGymJob) -> dict[str, list[int]]:
    """Return the two-qubit gates of each circuit, which other tools keep with what the benchmark noted for scoring.

    Parameters
    ----------
    job
        One of ours, or of another tool.
    """
    known = {**job.data, **(job.circuit_metadata or {})}
    names = ("input_two_qubit_gate_counts", "transpiled_two_qubit_gate_counts")
    return {name: known[name] for name in names if isinstance(known.get(name), list)}


def _state(job: MetriqGymJob) -> JobState:
    if job.result_data is not None:
        return JobState.EXPORTED
    # One without either still waits at its provider, which is no failure.
    return JobState.FAILED if job.error else JobState.DISPATCHED


def _failure(job: MetriqGymJob) -> Failure | None:
    return failure_noted(job.error) if job.error and job.result_data is None else None


def _plain(job: MetriqGymJob) -> dict[str, Any]:
    assert isinstance(job.dispatch_time, datetime)  # noqa: S101  (made so when it was built)
    fields = asdict(job) | {"job_type": str(job.job_type), "dispatch_time": job.dispatch_time.isoformat()}
    # The services' own words about their own jobs, which no other tool has a place for.
    return {name: value for name, value in fields.items() if name not in _OURS}


def _job_type(name: str) -> JobType | str:
    return JobType(name) if name in set(JobType) else name
