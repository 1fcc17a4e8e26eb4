"""Tasks and where they are at a given time: scheduled, pending, running, then completed or failed."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from tests.sandbox.circuits import CircuitRefused, read_circuit
from tests.sandbox.devices import Target
from tests.sandbox.refusals import Problem, Refused
from tests.sandbox.submission import Submission
from tests.sandbox.switches import Switches

State = Literal["scheduled", "pending", "running", "completed", "failed"]


@dataclass(frozen=True, slots=True)
class Program:
    """A text and what the device's compiler made of it. Tasks with the same text share it."""

    source: str
    md5: str
    error: str | None
    qubits: int = 0
    depth: int = 0


@dataclass(slots=True)
class Task:
    """One accepted submission. Times are seconds since the epoch, set when it is accepted."""

    id: str
    owner: str
    target: Target
    programs: tuple[Program, ...]
    shots: tuple[int, ...]
    batch: bool
    prior: int
    remarks: str | None
    group: str | None
    accepted_at: float
    pending_at: float
    running_at: float
    ended_at: float
    error: str | None
    counts: tuple[dict[str, int], ...] | None = field(default=None, repr=False)

    @property
    def number(self) -> str:
        """What rows of the list call task_id: a part of the id that detail does not know."""
        return self.id.rpartition("_")[2]

    @property
    def md5(self) -> str:
        if not self.batch:
            return self.programs[0].md5
        return _md5("".join(program.source for program in self.programs))

    def state(self, now: float) -> State:
        if now < self.pending_at:
            return "scheduled"
        if now < self.running_at:
            return "pending"
        if now < self.ended_at:
            return "running"
        return "completed" if self.error is None else "failed"

    def before(self, now: float) -> float:
        """A time in the state that came before the present one; the first state has none before it."""
        starts = [self.accepted_at, self.pending_at, self.running_at, self.ended_at]
        past = [start for start in starts if start <= now]
        entered = [start for start in past if self.state(start) != self.state(now)]
        return entered[-1] if entered else now


class TaskBook:
    """All tasks, in the order they were accepted. Identifiers come from the seed."""

    def __init__(self, *, seed: int) -> None:
        self._generator = random.Random(f"tasks:{seed}")
        self._tasks: dict[str, Task] = {}
        self._removed: set[str] = set()
        self._programs: dict[tuple[str, int, bool, bool], Program] = {}

    def accept(
        self, submission: Submission, *, owner: str, now: float, switches: Switches, failure: str | None = None
    ) -> Task:
        """Take a task in, which will fail with `failure` if given; Refused if circuits are checked at once."""
        target = submission.target
        programs = tuple(self._program(source, target, switches) for source in submission.sources)
        error = next((program.error for program in programs if program.error), None)
        if error and switches.circuit_checked == "submit":
            raise Refused([Problem("source", error)])
        factor = 1 + switches.spread * (2 * self._generator.random() - 1)
        pending_at = now + factor * switches.scheduled_seconds
        running_at = pending_at + factor * switches.pending_seconds
        task = Task(
            id=self._new_id(owner),
            owner=owner,
            target=target,
            programs=programs,
            shots=submission.shots,
            batch=submission.batch,
            prior=submission.prior,
            remarks=submission.remarks,
            group=submission.group,
            accepted_at=now,
            pending_at=pending_at,
            running_at=running_at,
            ended_at=running_at if target.dry else running_at + factor * switches.running_seconds,
            error=f"source: {error}" if error else failure,
        )
        self._tasks[task.id] = task
        return task

    def find(self, task_id: str, owner: str) -> Task | None:
        task = self._tasks.get(task_id)
        return task if task is not None and task.owner == owner and task_id not in self._removed else None

    def remove(self, task_id: str, owner: str) -> bool:
        """Let a task be seen no more; whether it was there. What was submitted stays submitted."""
        found = self.find(task_id, owner) is not None
        if found:
            self._removed.add(task_id)
        return found

    def newest(self, owner: str, wanted: Callable[[Task], bool]) -> Iterator[Task]:
        seen = (task for task in reversed(self._tasks.values()) if task.id not in self._removed)
        return (task for task in seen if task.owner == owner and wanted(task))

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)

    def _new_id(self, owner: str) -> str:
        number = uuid.UUID(int=self._generator.getrandbits(128), version=4)
        return f"job_{_md5(owner)}_{number}"

    def _program(self, source: str, target: Target, switches: Switches) -> Program:
        key = (source, target.device.qubits, switches.accept_missing_creg, switches.accept_unlisted_gates)
        if key not in self._programs:
            self._programs[key] = _compiled(*key)
        return self._programs[key]


def _compiled(source: str, max_qubits: int, accept_missing_creg: bool, accept_unlisted_gates: bool) -> Program:
    try:
        circuit = read_circuit(
            source,
            max_qubits=max_qubits,
            accept_missing_creg=accept_missing_creg,
            accept_unlisted_gates=accept_unlisted_gates,
        )
    except CircuitRefused as refused:
        return Program(source, _md5(source), str(refused))
    return Program(source, _md5(source), None, circuit.qubits, circuit.depth)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
