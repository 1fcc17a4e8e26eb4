"""The provider ``tyxonq``: its devices with today's calibration, and how circuits are compiled for them.

Importing this module loads neither Qiskit nor a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue, ValidationError

from metriq_gym.errors import InvalidRequest, NotFound, Permanent, Problem
from metriq_gym.providers.provider import (
    Adopted,
    Ambiguous,
    Device,
    Listing,
    LostSubmission,
    NotAccepted,
    Overview,
    Progress,
    Submission,
    Trouble,
)
from metriq_gym.providers.tyxonq import models
from metriq_gym.providers.tyxonq.circuits import Decoder, encode
from metriq_gym.providers.tyxonq.client import TyxonQClient
from metriq_gym.providers.tyxonq.compiler import TyxonQCompiler
from metriq_gym.providers.tyxonq.counts import CountsOrder
from metriq_gym.providers.tyxonq.device_string import FLAGS, DeviceString
from metriq_gym.providers.tyxonq.errors import ProtocolError, TyxonQRefused
from metriq_gym.providers.tyxonq.extras import storable
from metriq_gym.providers.tyxonq.lost import find_lost_submission, with_tag
from metriq_gym.providers.tyxonq.models import DeviceRow, TaskList
from metriq_gym.providers.tyxonq.plugin import TyxonQSettings
from metriq_gym.providers.tyxonq.progress import overview_of, progress_of

PROVIDER = "tyxonq"
USABLE = frozenset({"running", "on"})
"""States of a device that takes circuits."""
EXTRA = "extra_fields"
"""Key of `Device.metadata` for what the service says of a device beyond its documented fields."""
Edges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TaskListing:
    """What TyxonQ lists at one moment."""

    tasks: TaskList

    @property
    def ids(self) -> frozenset[str]:
        """The ids that ask for the tasks' details, and what stands for those of rows that have none."""
        return frozenset(row.identity for row in self.tasks.tasks)


class TyxonQProvider:
    """Quantum processors behind TyxonQ's cloud API.

    Parameters
    ----------
    client:
        Asks the service; `aclose` closes it.
    coupling_map:
        Qubit pairs that share a two-qubit gate; None where every pair does, as far as anyone outside knows.
    counts_order:
        How the devices write their bitstrings, for `to_qiskit_counts`.
    """

    name = PROVIDER
    max_circuits_per_task = 1
    compiler = TyxonQCompiler()

    def __init__(
        self,
        client: TyxonQClient,
        coupling_map: Edges | None = None,
        counts_order: CountsOrder = CountsOrder.MEASURED_FIRST,
    ) -> None:
        self.client = client
        self.counts_order = counts_order
        self._coupling_map = coupling_map

    @classmethod
    def from_settings(cls, settings: TyxonQSettings) -> TyxonQProvider:
        """Make the provider; raises `Permanent`, naming the variable, when a setting is missing or of no use."""
        if settings.token is None or settings.missing is not None:
            raise Permanent("provider 'tyxonq' needs a token: set METRIQ_TYXONQ_TOKEN, or METRIQ_TYXONQ_TOKEN_FILE")
        client = TyxonQClient(
            settings.token,
            settings.base_url,
            token_file=settings.file_of("token"),
            concurrency=settings.concurrency,
            requests_per_second=settings.requests_per_second,
        )
        return cls(client, settings.coupling_map, CountsOrder(settings.counts_order))

    @property
    def encoder(self) -> Callable[[bytes], str]:
        """Writes a task's circuit as OpenQASM 2.0 text."""
        return encode

    @property
    def decoder(self) -> Decoder:
        """Puts the device's counts in Qiskit's order."""
        return Decoder(self.counts_order)

    async def submit(self, submission: Submission) -> str:
        """Submit one circuit, once, and return the id that asks for it.

        Raises `SubmissionAmbiguous` when it may or may not have been accepted; any other `MetriqGymError` means that
        it was not.
        """
        device = DeviceString.parse(submission.device)
        remarks = with_tag(submission.remarks, submission.tag)
        try:
            sent = models.TaskRequest(
                device=device,
                source=submission.source,
                shots=submission.shots,
                prior=submission.prior,
                remarks=remarks,
                group=submission.group,
            )
        except ValidationError as error:
            raise TyxonQRefused(f"TyxonQ would not take this submission: {error}") from None
        return (await self.client.submit(sent)).id

    @property
    def trouble(self) -> Trouble | None:
        """Why the token is parked, if it is."""
        return self.client.credential.trouble

    async def listing(self) -> TaskListing:
        """Return the tasks of this token.

        To be refused the list says nothing against any task, so that is not final: raises `ProtocolError`.
        """
        try:
            return TaskListing(await self.client.list_tasks())
        except TyxonQRefused as error:
            raise ProtocolError(f"TyxonQ does not list the tasks: {error}") from error

    async def match(
        self,
        listing: Listing,
        known_ids: Collection[str],
        lost: LostSubmission,
        others: Sequence[LostSubmission],
    ) -> Adopted | NotAccepted | Ambiguous:
        """Decide what became of a submission whose answer was lost, as those of `others` may have been.

        What the list leaves open is asked of each candidate's detail.
        """
        assert isinstance(listing, TaskListing)  # noqa: S101  (ours)
        return await find_lost_submission(
            known_ids,
            listing.tasks.tasks,
            lost=lost,
            others=others,
            complete=not listing.tasks.says_there_is_more,
            detail=self.client.detail,
        )

    async def overview(self) -> Overview:
        """Return which tasks the list shows waiting, and which ended."""
        return await overview_of(self.client)

    async def progress(self, shots: Mapping[str, int], seconds: float) -> dict[str, Progress]:
        """Return how each task is doing, given the shots of each by its id, as far as can be asked in `seconds`.

        A task of 0 shots is a dry run.
        """
        return await progress_of(self.client, shots, seconds)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    def dry_run_on(self, device_id: str) -> str:
        """Return a device with the flags it has and ``&dry``; raises `InvalidRequest` for flags there are not."""
        return str(replace(DeviceString.parse(device_id), dry=True))

    async def _rows(self) -> tuple[DeviceRow, ...]:
        """Return what is listed; to be refused the list says nothing against any device, so that is not final."""
        try:
            return await self.client.devices()
        except TyxonQRefused as error:
            raise ProtocolError(f"TyxonQ does not list the devices: {error}") from error

    async def devices(self) -> list[Device]:
        """Return the devices whose number of qubits is known."""
        rows = await self._rows()
        return [_device(row, row.qubits, DeviceString(row.id), self._coupling_map) for row in rows if row.qubits]

    async def device(self, device_id: str) -> Device:
        """Return a device as it is calibrated now; flags after its id are kept for `DeviceString.of`.

        Raises `InvalidRequest` for flags that do not exist or a device that cannot be used, and `NotFound` naming the
        devices there are.
        """
        asked = DeviceString.parse(device_id)
        # Where two rows name one device, the one that says how many qubits it has is it.
        rows = {row.id: row for row in sorted(await self._rows(), key=lambda row: row.qubits is not None)}
        if asked.id not in rows:
            raise NotFound(
                f"unknown device {asked.id!r} of provider {PROVIDER!r}; there are: {', '.join(sorted(rows)) or 'none'}"
            )
        qubits = rows[asked.id].qubits
        if qubits is None:
            raise _unusable(f"TyxonQ does not say how many qubits {asked.id} has")
        highest = max((max(pair) for pair in self._coupling_map or ()), default=0)
        if highest >= qubits:
            raise _unusable(f"METRIQ_TYXONQ_COUPLING_MAP names qubit {highest}, {asked.id} has {qubits} from 0 on")
        return _device(rows[asked.id], qubits, asked, self._coupling_map)


def _device(row: DeviceRow, qubits: int, asked: DeviceString, edges: Edges | None) -> Device:
    metadata: dict[str, Any] = {FLAGS: asked.flags, **row.calibration.metadata()}
    if extra := _extra(row):
        metadata[EXTRA] = extra
    state = (row.state or "").strip()
    status = "online" if state.casefold() in USABLE else state or "unknown"
    return Device(
        PROVIDER, row.id, qubits, simulator=False, status=status, edges=edges, metadata=metadata, dry=asked.dry
    )


def _extra(row: DeviceRow) -> dict[str, JsonValue]:
    """Return what nobody has documented, in a form and size that any store takes."""
    found: dict[str, Any] = dict(row.model_extra or {})
    if row.err is not None:
        found |= {f"Err_{name}": value for name, value in (row.err.model_extra or {}).items()}
        if row.err.readout is not None:
            found |= {f"Err_Readout_{name}": value for name, value in (row.err.readout.model_extra or {}).items()}
    return storable(found)


def _unusable(message: str) -> InvalidRequest:
    return InvalidRequest([Problem("$.device", message)])
