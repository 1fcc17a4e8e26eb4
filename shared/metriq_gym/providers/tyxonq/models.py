"""What TyxonQ's endpoints are sent and answer, as models that tolerate what the service may add or leave out.

Only what this library computes with has a strict type. Fields that are merely documented may hold anything, and
undocumented fields are kept (`model_extra`): neither may cost a result that was paid for. Lists are read row by row,
since other users of the same token write them as well: a field that makes no sense there is taken for one that is
missing, and a row that makes none never spoils the others.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from typing_extensions import TypedDict

from metriq_gym.providers.tyxonq.calibration import Calibration
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.oddities import pass_over
from metriq_gym.providers.tyxonq.whole import whole


def _or_none(value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Take what does not fit for what is missing."""
    try:
        return validate(value)
    except ValidationError:
        pass_over(info.field_name or "row", value)
        return None


def _whole(value: Any) -> Any:
    return value if (number := whole(value)) is None else number


_LENIENT = WrapValidator(_or_none)
MAX_SHOTS = 1_000_000
MAX_PRIOR = 10
MAX_QUBITS = 1_000_000
"""Up to which a device's number of qubits is believed."""

TaskId = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[!-~]+$")]
"""Printable ASCII without spaces."""
DeviceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
Word = Annotated[str, StringConstraints(max_length=256)]
Probability = Annotated[float, Field(strict=True, ge=0, le=1)]
Qubits = Annotated[int, BeforeValidator(_whole), Field(strict=True, ge=1, le=MAX_QUBITS)]
Microseconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class TaskRequest(BaseModel):
    """One circuit to run, with every documented parameter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: DeviceString
    source: str = Field(min_length=1, description="OpenQASM 2.0.")
    shots: int = Field(ge=1, le=MAX_SHOTS)
    prior: int | None = Field(
        default=None, ge=1, le=MAX_PRIOR, description="Priority; 1 is the highest, says the page."
    )
    remarks: str | None = Field(default=None, description="A note; ours carries the tag that finds a lost submission.")
    group: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the request's body; what is not set is left out."""
        optional = self.model_dump(include={"prior", "remarks", "group"}, exclude_none=True)
        return {
            "device": str(self.device),
            "shots": self.shots,
            "source": self.source,
            "lang": "OPENQASM",
            "version": "1",
            **optional,
        }


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Submitted(_Answer):
    """The answer to a submission that was accepted."""

    id: TaskId
    """What `TyxonQClient.detail` wants."""
    job_name: JsonValue = None
    status: JsonValue = None
    """A word in the user's language, never to be compared."""
    user_id: JsonValue = None


class ReadoutErrors(_Answer):
    """``Err.Readout`` of a device."""

    f0: Annotated[Probability | None, _LENIENT] = Field(default=None, alias="F0")
    f1: Annotated[Probability | None, _LENIENT] = Field(default=None, alias="F1")


class DeviceErrors(_Answer):
    """``Err`` of a device."""

    sq: Annotated[Probability | None, _LENIENT] = Field(default=None, alias="SQ")
    cz: Annotated[Probability | None, _LENIENT] = Field(default=None, alias="CZ")
    readout: Annotated[ReadoutErrors | None, _LENIENT] = Field(default=None, alias="Readout")


class DeviceRow(_Answer):
    """One device of devices/list."""

    id: DeviceId
    qubits: Annotated[Qubits | None, _LENIENT] = None
    state: Annotated[Word | None, _LENIENT] = None
    t1: Annotated[Microseconds | None, _LENIENT] = Field(default=None, alias="T1")
    t2: Annotated[Microseconds | None, _LENIENT] = Field(default=None, alias="T2")
    err: Annotated[DeviceErrors | None, _LENIENT] = Field(default=None, alias="Err")

    @property
    def calibration(self) -> Calibration:
        """The published averages; a coherence time of 0 stands for one that is not known."""
        errors = self.err or DeviceErrors()
        readout = errors.readout or ReadoutErrors()
        return Calibration(self.t1 or None, self.t2 or None, errors.sq, errors.cz, readout.f0, readout.f1)


def _readable_devices(rows: Any) -> Any:
    """Leave out the rows that name no device."""
    if not isinstance(rows, list):
        return rows
    good = []
    for row in rows:
        if isinstance(row, dict) and _fits(_device_id, row.get("id")):
            good.append(row)
        else:
            pass_over("device", row)
    return good


class DeviceList(_Answer):
    """The answer of devices/list, without the rows that name no device."""

    devices: Annotated[tuple[DeviceRow, ...], BeforeValidator(_readable_devices)]


class TaskDetail(_Answer):
    """One task as tasks/detail tells it. Times are microseconds since the epoch, from clocks that disagree."""

    id: TaskId | None = None
    state: Word | None = None
    device: Annotated[Word | None, _LENIENT] = None
    """With the flags it was submitted with."""
    shots: JsonValue = None
    result: JsonValue = None
    """Counts, or ``{"counts": …}``, or null; see `metriq_gym.providers.tyxonq.counts.counts_of`."""
    err: JsonValue = None
    run_dur: JsonValue = Field(default=None, alias="runDur")
    """Microseconds of execution."""
    dur_chip: JsonValue = Field(default=None, alias="durChip")
    run_at: JsonValue = Field(default=None, alias="runAt")
    at_chip: JsonValue = Field(default=None, alias="atChip")
    at: JsonValue = None
    ts: JsonValue = None
    queue: JsonValue = None
    qubits: JsonValue = None
    depth: JsonValue = None
    md5: JsonValue = None
    task_type: JsonValue = None


class TaskRow(_Answer):
    """One row of tasks/api_key/list."""

    job_name: Annotated[TaskId | None, _LENIENT] = None
    """The id that `TyxonQClient.detail` wants; `task_id` is another one. None where it is no such id."""
    odd: JsonValue = None
    """What a row has in place of an id, or a row that is no object at all."""
    status: Annotated[Word | None, _LENIENT] = None
    device: Annotated[Word | None, _LENIENT] = None
    """Possibly with the flags it was submitted with."""
    shots: JsonValue = None
    """Undocumented; known when the service says it, or when a task's detail was asked for."""
    remarks: JsonValue = None
    """Undocumented: whether remarks are echoed is not known."""
    parameters: JsonValue = None
    created_at: JsonValue = None
    updated_at: JsonValue = None
    completed_at: JsonValue = None
    task_id: JsonValue = None
    task_type: JsonValue = None
    result: JsonValue = None

    @model_validator(mode="before")
    @classmethod
    def _keep_what_is_odd(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            pass_over("row", row)
            return {"odd": row}
        name = row.get("job_name")
        if _fits(_task_id, name):
            return row
        if name is None:
            pass_over("job_name", name)
        return {**row, "odd": name}

    @property
    def identity(self) -> str:
        """What tells the row from others, now and later: its id, or what stands for it where that is none."""
        if self.job_name is not None:
            return self.job_name
        stays = json.dumps([self.odd, self.task_id, self.created_at, self.device], sort_keys=True)
        return f"odd row {hashlib.sha256(stays.encode()).hexdigest()}"


class TaskList(_Answer):
    """The answer of tasks/api_key/list."""

    tasks: tuple[TaskRow, ...]
    null: bool = Field(default=False, init=False)
    """Whether there was null in place of rows, as some services write an empty list and others one they do not have."""

    @model_validator(mode="before")
    @classmethod
    def _note_null(cls, answer: Any) -> Any:
        if not isinstance(answer, dict):
            return answer
        null = "tasks" in answer and answer["tasks"] is None
        return {**answer, "null": null, **({"tasks": []} if null else {})}

    @property
    def says_there_is_more(self) -> bool:
        """Whether the answer itself shows that rows may be missing: a larger total, a next page, or no rows but null.

        Paging is undocumented; False is no promise that the list is complete.
        """
        extra = self.model_extra or {}
        totals = (extra.get(name) for name in ("total", "total_count", "count"))
        larger = any(isinstance(total, int) and total > len(self.tasks) for total in totals)
        return self.null or larger or any(extra.get(name) for name in ("has_more", "next", "next_page"))


class StateRow(TypedDict, total=False):
    """What a row of tasks/api_key/list says of the task's state, and nothing else: there may be very many rows."""

    job_name: Annotated[TaskId | None, _LENIENT]
    status: Annotated[Word | None, _LENIENT]


def _objects(rows: Any) -> Any:
    """Leave out the rows that are none; `TaskRow` says which. Null shows no task, and says of none that it ended."""
    rows = [] if rows is None else rows
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else rows


class StateList(BaseModel):
    """The answer of tasks/api_key/list, read for the states only."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tasks: Annotated[tuple[StateRow, ...], BeforeValidator(_objects)]


_task_id = TypeAdapter(TaskId)
_device_id = TypeAdapter(DeviceId)


def _fits(adapter: TypeAdapter[str], value: object) -> bool:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True
