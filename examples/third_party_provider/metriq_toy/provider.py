"""The toy cloud as a remote provider: six calls, each error as the class that says what may be done about it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from metriq_gym.errors import MetriqGymError, NotFound, Permanent, SubmissionAmbiguous, Transient
from metriq_gym.providers.provider import (
    Adopted,
    Ambiguous,
    CredentialTrouble,
    Device,
    Ended,
    Finished,
    LostSubmission,
    NotAccepted,
    NotNow,
    Overview,
    Progress,
    Submission,
    Trouble,
    TryLater,
    Unclear,
    Waiting,
)
from metriq_toy.circuits import compiled, decoded, encoded

SECONDS = 20.0
"""How long an answer may take."""
WAITS = ("queued", "running")
ENDED = ("done", "failed")


@dataclass(frozen=True)
class Listed:
    """The tasks at one moment: their tags by their ids."""

    tags: Mapping[str, str]

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self.tags)


class ToyProvider:
    """Submits once and never again by itself: what may have been accepted is left to `match`."""

    name = "toy"
    max_circuits_per_task = 1
    compiler = staticmethod(compiled)
    encoder = staticmethod(encoded)
    decoder = staticmethod(decoded)

    def __init__(self, base_url: str, token: str) -> None:
        self.trouble: Trouble | None = None
        self._http = httpx.AsyncClient(
            base_url=base_url, headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS, trust_env=False
        )

    async def devices(self) -> list[Device]:
        rows = await self._ask("GET", "/devices")
        return [Device(self.name, row["id"], row["qubits"], simulator=True) for row in rows]

    async def device(self, device_id: str) -> Device:
        there = {each.id: each for each in await self.devices()}
        if device_id not in there:
            raise NotFound(f"unknown device {device_id!r} of provider 'toy'; there are: {', '.join(there)}")
        return there[device_id]

    async def submit(self, submission: Submission) -> str:
        body = {
            "qasm": submission.source,
            "shots": submission.shots,
            "tag": submission.tag,
            "device": submission.device,
        }
        answer = await self._ask("POST", "/tasks", body, in_doubt=SubmissionAmbiguous)
        return str(answer["id"])

    async def listing(self) -> Listed:
        return Listed({row["id"]: row["tag"] for row in await self._ask("GET", "/tasks")})

    async def match(
        self, listing: Any, known_ids: Collection[str], lost: LostSubmission, others: Sequence[LostSubmission]
    ) -> Adopted | NotAccepted | Ambiguous:
        """Find it by its tag, which stands in no other submission."""
        found = [each for each, tag in listing.tags.items() if tag == lost.submission.tag and each not in known_ids]
        if len(found) > 1:
            return Ambiguous("several tasks have its tag", tuple(found))
        return Adopted(found[0]) if found else NotAccepted()

    async def overview(self) -> Overview:
        states = {row["id"]: row["state"] for row in await self._ask("GET", "/tasks")}
        waiting, ended = (frozenset(each for each, state in states.items() if state in of) for of in (WAITS, ENDED))
        return Overview(waiting, ended)

    async def progress(self, shots: Mapping[str, int], seconds: float) -> dict[str, Progress]:
        """Ask for each task; what there was no time for is missing."""
        found: dict[str, Progress] = {}

        async def ask(task_id: str) -> None:
            try:
                found[task_id] = _progress(await self._ask("GET", f"/tasks/{task_id}"))
            except CredentialTrouble:
                return  # nothing is known of the task
            except Transient as error:
                found[task_id] = NotNow(str(error), error.retry_after)
            except MetriqGymError as error:
                found[task_id] = Unclear(str(error))

        try:
            async with asyncio.timeout(seconds):
                for task_id in shots:
                    await ask(task_id)
        except TimeoutError:
            pass
        return found

    async def cancel(self, task_id: str) -> None:
        await self._ask("DELETE", f"/tasks/{task_id}")

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: Any = None, in_doubt: type[MetriqGymError] = Transient) -> Any:
        """Return the answer; raises `in_doubt` where the call may or may not have been carried out."""
        try:
            answer = await self._http.request(method, path, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Transient(f"the toy cannot be reached: {error!r}") from error  # certainly not sent
        except httpx.HTTPError as error:
            raise in_doubt(f"the toy gave no answer: {error!r}") from error
        said = f"the toy answered with HTTP {answer.status_code}: {answer.text[:200]}"
        if answer.status_code in (401, 403):
            self.trouble = self.trouble or Trouble(said, datetime.now(UTC))
            raise CredentialTrouble(f"{said}; check METRIQ_TOY_TOKEN")
        if answer.status_code == 429:
            asked = answer.headers.get("Retry-After", "")
            raise TryLater(said, retry_after=float(asked) if asked.isdigit() else None)
        if 400 <= answer.status_code < 500:
            raise Permanent(said)
        try:
            document = answer.raise_for_status().json()
        except (httpx.HTTPStatusError, ValueError) as error:
            raise in_doubt(said) from error
        self.trouble = None
        return document


def _progress(row: Mapping[str, Any]) -> Progress:
    match row["state"]:
        case "queued" | "running":
            return Waiting()
        case "done":
            return Finished(row["counts"], row["seconds"])
        case "failed":
            return Ended(row["error"])
        case other:
            return Unclear(f"the toy says that the task is {other!r}")
