"""The debug export: all that a job's result was computed from, in one JSON document, and scoring from it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from metriq_gym import benchmarks
from metriq_gym.benchmarks.returned import Unmatched
from metriq_gym.errors import InvalidRequest, MetriqGymError, Permanent, Problem
from metriq_gym.jobs.debug_file import as_debug_export, is_debug_file
from metriq_gym.jobs.scoring import Share, result_of
from metriq_gym.packing import pack_counts, unpack_counts
from metriq_gym.schema_validator import validate
from metriq_gym.wording import from_pydantic

if TYPE_CHECKING:
    from metriq_gym.benchmarks.benchmark import BenchmarkResult
    from metriq_gym.jobs import Job, Task

Bitstring = Annotated[str, StringConstraints(pattern=r"^[01]+$")]
Occurrences = Annotated[int, Field(ge=0, le=2**53)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class TaskExport(_Model):
    """What one task brought back: counts of consecutive circuits of run `run`, from position `first` on."""

    run: int = Field(ge=0)
    first: int = Field(ge=0)
    shots: int = Field(ge=1)
    execution_seconds: float | None = Field(ge=0, allow_inf_nan=False)
    sampling_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    counts: list[dict[Bitstring, Occurrences]]


class DebugExport(_Model):
    """The document; `result` is what the job's record says, None where there is none."""

    format: Literal["metriq-gym debug export 1"] = "metriq-gym debug export 1"
    app_version: str
    job_id: str
    provider: str
    device: str
    config: dict[str, Any]
    seed: int
    data: dict[str, Any]
    runs: list[Annotated[int, Field(ge=1)]]
    tasks: list[TaskExport]
    result: dict[str, Any] | None


def make_debug_export(job: Job, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return the debug export of a job as JSON has it; raises `Permanent` when not all of its counts are in."""
    if missing := [task.id for task in tasks if not task.counts]:
        raise Permanent(f"job {job.id} is {job.state}: there are no counts of task {missing[0]}")
    if not tasks:
        raise Permanent(f"job {job.id} is {job.state}: it has no tasks")
    return DebugExport(
        app_version=job.app_version,
        job_id=job.id,
        provider=job.provider,
        device=job.device,
        config=job.config,
        seed=job.seed,
        data=job.data,
        runs=job.runs,
        tasks=[
            TaskExport(
                run=task.run,
                first=task.first,
                shots=task.shots,
                execution_seconds=task.execution_seconds,
                sampling_seconds=task.sampling_seconds,
                counts=unpack_counts(task.counts),
            )
            for task in tasks
        ],
        result=job.result,
    ).model_dump(mode="json")


def replay(document: object) -> dict[str, Any]:
    """Return the ``results`` object that a debug export's counts give, identical to the job's own.

    Raises what `replay_result` raises.
    """
    return replay_result(document).record()


def replay_result(document: object) -> BenchmarkResult:
    """Return the result that the counts of a debug export, or of a debug file of metriq-gym's own tool, give.

    Raises `InvalidRequest` naming the place when the document is neither, `Unsupported` for such a file of a benchmark
    that only that tool can score, and `Permanent` when counts are missing.
    """
    if isinstance(document, Mapping) and is_debug_file(document):
        document = as_debug_export(document)
    try:
        export = DebugExport.model_validate(document)
    except ValidationError as error:
        raise InvalidRequest(from_pydantic(error)) from None
    if problems := list(_misfits(export)):
        raise InvalidRequest(problems)
    config, _ = validate(export.config, "$.config")
    try:
        benchmarks.load(config["benchmark_name"]).data_type.model_validate(export.data)
    except ValidationError as error:
        raise InvalidRequest(from_pydantic(error, "$.data")) from None
    shares = [
        Share(each.run, each.first, pack_counts(each.counts), each.execution_seconds, each.sampling_seconds)
        for each in export.tasks
    ]
    try:
        return result_of(config, export.seed, export.data, export.runs, shares)
    except Unmatched as error:
        raise InvalidRequest([Problem("$.data", str(error))]) from error
    except MetriqGymError:
        raise
    except Exception as error:
        # Each part is sound, so what a benchmark trips over is how they go together.
        reason = f"does not fit the tasks' counts or $.config: {type(error).__name__}: {error}"
        raise InvalidRequest([Problem("$.data", reason)]) from error


def _misfits(export: DebugExport) -> Iterator[Problem]:
    """Yield where tasks and circuits do not match; looks at no more circuits than the document has counts."""
    widths: dict[tuple[int, int], int] = {}
    for number, task in enumerate(export.tasks):
        here = f"$.tasks[{number}]"
        if task.run >= len(export.runs):
            yield Problem(f"{here}.run", f"there is no run {task.run}: $.runs has {len(export.runs)}")
            continue
        if task.first + len(task.counts) > export.runs[task.run]:
            yield Problem(f"{here}.counts", f"has more circuits than run {task.run}, which has {export.runs[task.run]}")
            continue
        for index, counts in enumerate(task.counts):
            circuit = (task.run, task.first + index)
            for bits in map(len, counts):
                if widths.setdefault(circuit, bits) != bits:
                    yield Problem(f"{here}.counts[{index}]", f"has bitstrings of {widths[circuit]} and of {bits} bits")
                    break
    for run, circuits in enumerate(export.runs):
        missing = next((position for position in range(circuits) if (run, position) not in widths), None)
        if missing is not None:
            yield Problem("$.tasks", f"there are no counts of circuit {missing} of run {run}")
