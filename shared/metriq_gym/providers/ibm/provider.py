"""The provider ``ibm``: tasks are jobs of the program ``sampler``, found again by the tag that each carries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from metriq_gym.errors import MetriqGymError, NotFound, SubmissionAmbiguous, Transient
from metriq_gym.providers.ibm.circuits import REGISTER, compiled, decoded, encoded, joined, read
from metriq_gym.providers.ibm.client import IBMClient, IBMRefused, NotUnderstood
from metriq_gym.providers.ibm.credential import Credential
from metriq_gym.providers.ibm.devices import PROVIDER, described_device, is_count, listed_device, words
from metriq_gym.providers.ibm.plugin import IBM, IBMSettings
from metriq_gym.providers.provider import (
    Adopted,
    Ambiguous,
    Device,
    Ended,
    Finished,
    Listing,
    LostSubmission,
    NotAccepted,
    NotNow,
    Overview,
    Progress,
    Submission,
    Trouble,
    Unclear,
    Waiting,
)
from metriq_gym.wording import alternatives

PAGE = 200
"""The most jobs that IBM lists at once."""
MOST_PAGES = 5
BATCH_SECONDS = 3600.0
"""How long a batch takes further tasks."""
STRIKES = 3
"""After so many failures in a row the service is spared further questions."""
LONGEST_ID = 200
LONGEST_REASON = 500
MOST_SECONDS = 1e9
"""What is charged for at most: more is no time."""
WAITS = ("queued", "running")
ENDED = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Listed:
    """What IBM lists at one moment: the newest of the instance's jobs."""

    ids: frozenset[str]


class IBMProvider:
    """IBM's quantum processors, by one instance."""

    name = PROVIDER
    max_circuits_per_task = 100
    compiler = staticmethod(compiled)
    encoder = staticmethod(encoded)
    decoder = staticmethod(decoded)

    def __init__(self, client: IBMClient, instance: str, *, batches: bool = False) -> None:
        self.client = client
        self._instance = instance
        self._in_batches = batches
        self._batches: dict[str, tuple[str, float]] = {}
        """Device → the batch that is open for it, and until when it is used."""
        self._opening = asyncio.Lock()

    @classmethod
    def from_settings(cls, settings: IBMSettings) -> IBMProvider:
        """Make the provider from settings that have all it needs."""
        assert settings.token is not None  # noqa: S101  (it is one of those that are needed)
        assert settings.instance is not None  # noqa: S101
        iam_url = None if settings.url == IBM else settings.url
        credential = Credential(settings.token, settings.instance, iam_url, settings.file_of("token"))
        client = IBMClient(credential, settings.instance, settings.channel, settings.url, settings.concurrency)
        return cls(client, settings.instance, batches=settings.mode == "batch")

    @property
    def trouble(self) -> Trouble | None:
        """Why the credential is parked, if it is."""
        return self.client.trouble

    async def devices(self) -> list[Device]:
        """Return the devices of the instance."""

        def listed(runtime: Any) -> list[Device]:
            found = []
            for row in _named(runtime.list_backends(), "name"):
                device = listed_device(row, lambda name: runtime.backend_configuration(name))
                found += [device] if device is not None else []
            return found

        return await self.client.ask(listed)

    async def device(self, device_id: str) -> Device:
        """Return a device as it is calibrated now; raises `NotFound` naming the devices there are."""
        rows = await self.client.ask(lambda runtime: _named(runtime.list_backends(), "name"))
        there = [row["name"] for row in rows]
        if device_id not in there:
            instead = alternatives(device_id, there, f"mgym devices --provider {PROVIDER}")
            raise NotFound(f"unknown device {device_id!r} of provider {PROVIDER!r}{instead}")

        def described(runtime: Any) -> Device:
            configuration = runtime.backend_configuration(device_id, refresh=True)
            properties, status = runtime.backend_properties(device_id), runtime.backend_status(device_id)
            return described_device(device_id, configuration, properties, status)

        return await self.client.ask(described)

    async def submit(self, submission: Submission) -> str:
        """Submit once, as one job of the program ``sampler``.

        Raises `SubmissionAmbiguous` when it may or may not have been accepted; any other `MetriqGymError` means that
        it was not.
        """
        batch = await self._batch(submission.device) if self._in_batches else None

        def submitted(runtime: Any) -> str:
            answer = runtime.program_run(
                "sampler",
                submission.device,
                _inputs(submission),
                image=None,
                log_level=None,
                session_id=batch,
                job_tags=[submission.tag],
            )
            return _id(answer["id"])

        try:
            return await self.client.ask(submitted, in_doubt=SubmissionAmbiguous)
        except IBMRefused:
            self._batches.pop(submission.device, None)  # it may be the batch that takes no more
            raise

    async def listing(self) -> Listed:
        """Return the newest jobs of the instance."""
        return Listed(frozenset(row["id"] for row in await self._jobs()))

    async def match(
        self, listing: Listing, known_ids: Collection[str], lost: LostSubmission, others: Sequence[LostSubmission]
    ) -> Adopted | NotAccepted | Ambiguous:
        """Ask for the jobs that carry the tag, which stands in no other submission."""
        tag = lost.submission.tag
        rows = [row for row in await self._jobs(job_tags=[tag]) if _may_have(row, tag)]
        found = [row["id"] for row in rows if row["id"] not in known_ids]
        if len(found) > 1:
            described = tuple(
                {"id": row["id"], "device": str(row.get("backend")), "state": str(row.get("status"))} for row in rows
            )
            return Ambiguous("several of IBM's jobs have its tag", tuple(found), described)
        return Adopted(found[0]) if found else NotAccepted()

    async def overview(self) -> Overview:
        """Return which jobs wait, and which of the newest have ended."""
        waiting = {row["id"] for row in await self._jobs(pending=True) if _state(row) in WAITS}
        ended = {row["id"] for row in await self._jobs(pages=1, pending=False) if _state(row) in ENDED}
        return Overview(frozenset(waiting - ended), frozenset(ended))

    async def progress(self, shots: Mapping[str, int], seconds: float) -> dict[str, Progress]:
        """Return how each task is doing, as far as can be asked in `seconds`."""
        said: dict[str, Progress] = {}
        remaining = iter(shots)
        strikes = 0

        async def ask() -> None:
            nonlocal strikes
            for task_id in remaining:
                said[task_id] = answer = await self._asked(task_id)
                strikes = strikes + 1 if isinstance(answer, NotNow) else 0
                if strikes >= STRIKES:
                    return

        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for _ in range(min(self.client.concurrency, len(shots))):
                    group.create_task(ask())
        return said

    async def cancel(self, task_id: str) -> None:
        """Have a job not be run, or not to its end; raises `IBMRefused` for one that has ended."""
        await self.client.ask(lambda runtime: runtime.job_cancel(task_id))

    async def aclose(self) -> None:
        """Close the batches, whose jobs go on, and the connections."""
        for batch, _ in self._batches.values():
            with suppress(MetriqGymError):  # it closes by itself
                await self.client.ask(lambda runtime, batch=batch: runtime.close_session(batch))  # type: ignore[misc]
        await self.client.aclose()

    async def _asked(self, task_id: str) -> Progress:
        try:
            return await self.client.ask(lambda runtime: _progress(runtime, task_id))
        except NotUnderstood as error:
            return Unclear(str(error))
        except Transient as error:
            return NotNow(str(error), error.retry_after)
        except MetriqGymError as error:
            return Unclear(str(error))

    async def _jobs(self, pages: int = MOST_PAGES, **filters: Any) -> list[dict[str, Any]]:
        def listed(runtime: Any) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            seen = 0
            for _ in range(pages):
                page = runtime.jobs_get(PAGE, seen, **filters)
                found += _named(page["jobs"], "id")
                seen += len(page["jobs"])
                if not page["jobs"] or (is_count(page.get("count")) and seen >= page["count"]):
                    break
            return found

        return await self.client.ask(listed)

    async def _batch(self, device: str) -> str:
        async with self._opening:
            batch, until = self._batches.get(device, ("", 0.0))
            if time.monotonic() >= until:
                opened = await self.client.ask(
                    lambda runtime: runtime.create_session(device, self._instance, mode="batch")
                )
                batch = str(opened["id"])
                self._batches[device] = (batch, time.monotonic() + BATCH_SECONDS)
            return batch


def _named(rows: Any, key: str) -> list[dict[str, Any]]:
    """Return the rows of a list that can be read: one that cannot, which may be a stranger's, costs no other."""
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get(key), str)]


def _inputs(submission: Submission) -> dict[str, Any]:
    """Return what the program ``sampler`` is given by the library's SamplerV2 with its default options."""
    from dataclasses import asdict

    from qiskit.primitives.containers.sampler_pub import SamplerPub
    from qiskit_ibm_runtime.options import SamplerOptions

    pubs = [SamplerPub.coerce(circuit, submission.shots) for circuit in read(submission.source)]
    return {"pubs": pubs, **SamplerOptions._get_program_inputs(asdict(SamplerOptions()))}


def _state(row: Mapping[str, Any]) -> str:
    state = row.get("state")
    return str(state.get("status") if isinstance(state, Mapping) else row.get("status")).casefold()


def _may_have(row: Mapping[str, Any], tag: str) -> bool:
    """Whether a job that was asked for by a tag has it, as far as its row tells."""
    tags = row.get("tags")
    return tag in tags if isinstance(tags, list) else True


def _id(answered: Any) -> str:
    """Return the id that a submission was answered with; raises `ValueError` for what cannot be one."""
    if not isinstance(answered, str) or not answered.isprintable() or not 0 < len(answered.strip()) <= LONGEST_ID:
        raise ValueError("the job has no id")
    return answered


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _progress(runtime: Any, task_id: str) -> Progress:
    row = runtime.job_get(task_id)
    match _state(row):
        case "queued" | "running":
            queue = _mapping(runtime.job_metadata(task_id))
            place = queue.get("position_in_queue")
            return Waiting(place if is_count(place) else None, _time(queue.get("estimated_start_time")))
        case "completed":
            return Finished(_counts(runtime.job_results(task_id)), _usage(runtime.job_metadata(task_id)))
        case "failed" | "cancelled" as state:
            said = _mapping(row.get("state"))
            reason = said.get("reason") or f"IBM says that the job was {state}"
            code = said.get("reasonCode") or said.get("reason_code")
            return Ended(words(f"{reason} (IBM's code {code})" if code else str(reason), LONGEST_REASON))
        case other:
            return Unclear(f"IBM says that the job is {words(other)!r}")


def _counts(results: str) -> dict[str, int]:
    from qiskit_ibm_runtime.decoders.result_decoder import ResultDecoder

    return joined([dict(pub.data[REGISTER].get_counts()) for pub in ResultDecoder.decode(results)])


def _usage(metrics: Any) -> float | None:
    """Return the seconds that are charged for, as far as they are known when the counts are."""
    usage = _mapping(_mapping(metrics).get("usage"))
    seconds = usage.get("qpu_charge_time_seconds", usage.get("quantum_seconds", usage.get("seconds")))
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return float(seconds) if known and 0 <= seconds < MOST_SECONDS else None


def _time(text: Any) -> datetime | None:
    """Return a time that can be stored, which is in UTC unless it says otherwise."""
    try:
        found = datetime.fromisoformat(str(text))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
