"""Asks a live TyxonQ service what no page tells; its answers settle how the operator sets us up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from pydantic import BaseModel

from metriq_gym.errors import MetriqGymError
from metriq_gym.providers.tyxonq.client import TyxonQClient
from metriq_gym.providers.tyxonq.counts import CountsOrder, counts_of
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.lost import mentions
from metriq_gym.providers.tyxonq.models import Submission, TaskDetail
from metriq_gym.providers.tyxonq.states import Unknown, Waiting, state_of

SHOTS = 100
PAUSE_SECONDS = 5.0
X_ON_THE_FIRST = (
    'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\nx q[0];\n'
    "measure q[0] -> c[0];\nmeasure q[1] -> c[1];\n"
)
NO_CIRCUIT = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[1];\ncreg c[1];\nnonsense q[0];\nmeasure q[0] -> c[0];\n'


@dataclass(frozen=True, slots=True)
class Finding:
    """A question and what the service answered."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Three submissions, one of which runs (100 shots of X on one of two qubits).

    Parameters
    ----------
    client, stranger:
        Clients with the operator's token, and with one that is wrong.
    device:
        Where to run.
    tag:
        Goes into the remarks; anything that no other task of the token carries.
    patience:
        Seconds after which a task that still waits is left alone.
    """

    client: TyxonQClient
    stranger: TyxonQClient
    device: DeviceString
    tag: str
    patience: float = 600.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self) -> AsyncIterator[Finding]:
        """Yield what is found, as it is found. Raises `MetriqGymError` when the device cannot be used at all."""
        yield Finding("What does a bad token get?", await _told(self.stranger.devices()))
        ended = await self._ended(self.device, X_ON_THE_FIRST)
        yield Finding("What does a task's detail look like?", _dump(ended))
        yield Finding("Which order do the counts have?", counts_order(ended))
        listed = (await self.client.list_tasks()).tasks
        row = next((row for row in listed if row.job_name == ended.id), None)
        yield Finding("What does a row of the list look like?", "the task is not listed" if row is None else _dump(row))
        echoed = [
            name for name, document in (("detail", ended), ("list", row)) if document and mentions(document, self.tag)
        ]
        yield Finding("Where are remarks echoed?", " and ".join(echoed) or "nowhere")
        for name in (self.device.id, str(self.device)):
            filtered = (await self.client.list_tasks(device=name)).tasks
            found = any(each.job_name == ended.id for each in filtered)
            yield Finding(
                f"Does the filter {name!r} find a task on {str(self.device)!r}?",
                f"{'yes' if found else 'no'}, {len(filtered)} rows",
            )
        dry = replace(self.device, dry=True)
        yield Finding("What does a dry run give?", await _told(self._ended(dry, X_ON_THE_FIRST)))
        yield Finding("What does a bad circuit get?", await _told(self._ended(self.device, NO_CIRCUIT)))

    async def _ended(self, device: DeviceString, source: str) -> TaskDetail:
        """Submit a circuit and return its task when it has ended, or when patience has."""
        submitted = await self.client.submit(Submission(device=device, source=source, shots=SHOTS, remarks=self.tag))
        waited = 0.0
        while True:
            task = await self.client.detail(submitted.id)
            if not isinstance(state_of(task), Waiting | Unknown) or waited >= self.patience:
                return task
            await self.sleep(PAUSE_SECONDS)
            waited += PAUSE_SECONDS


def counts_order(task: TaskDetail) -> str:
    """Say which `METRIQ_TYXONQ_COUNTS_ORDER` the counts of X on the first of two qubits speak for."""
    try:
        counts = counts_of(task, SHOTS)
    except MetriqGymError as error:
        return f"not known: {error}"
    first, last = counts.get("10", 0), counts.get("01", 0)
    if max(first, last) < 0.6 * sum(counts.values()):
        return f"not known: no clear majority in {counts}"
    return CountsOrder.MEASURED_FIRST if first > last else CountsOrder.QISKIT


async def _told(asked: Awaitable[object]) -> str:
    """Return an answer, or the error that came instead, as text."""
    try:
        answer = await asked
    except MetriqGymError as error:
        return f"{type(error).__name__}: {error}"
    return _dump(answer) if isinstance(answer, BaseModel) else f"no error: {answer}"


def _dump(model: BaseModel) -> str:
    return model.model_dump_json(by_alias=True, exclude_none=True)
