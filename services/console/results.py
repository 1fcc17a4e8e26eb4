"""Results as tidy rows: one row a metric, as JSON, CSV or Parquet, streamed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from metriq_gym.jobs import Job

from .access import Viewer
from .desk import Desk, desk
from .parameters import Which
from .problems import RESPONSES

router = APIRouter(prefix="/results", tags=["results"], responses=RESPONSES)

COLUMNS = (
    "job_id",
    "benchmark_name",
    "provider",
    "device",
    "dispatch_time",
    "suite_id",
    "suite_name",
    "metric",
    "position",
    "value",
    "uncertainty",
    "runtime_seconds",
    "app_version",
    "params",
)
"""`position` is that in a list of numbers; `params` is the configuration as JSON."""
_ROW_GROUP = 20_000
_MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
Row = dict[str, Any]


@router.get(
    "",
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {} for kind in _MEDIA_TYPES.values()}, "description": "The rows."}},
)
async def list_results(
    which: Which,
    at: Annotated[Desk, Depends(desk)],
    _: Viewer,
    format: Annotated[Literal["json", "csv", "parquet"], Query()] = "json",  # noqa: A002  (what the query calls it)
    metric: Annotated[str | None, Query(max_length=200, description="Only this one.")] = None,
) -> StreamingResponse:
    """Return results, the oldest first: one row a metric."""
    rows = _rows(at.store.catalogue.scored(which), metric)
    encode = {"json": _as_json, "csv": _as_csv, "parquet": _as_parquet}[format]
    headers = {} if format == "json" else {"Content-Disposition": f'attachment; filename="results.{format}"'}
    return StreamingResponse(encode(rows), media_type=_MEDIA_TYPES[format], headers=headers)


def rows_of(job: Job) -> Iterator[Row]:
    """Yield the rows of a job's result; what is no number has none."""
    shared = {
        "job_id": job.id,
        "benchmark_name": job.benchmark_name,
        "provider": job.provider,
        "device": job.device,
        "dispatch_time": (job.dispatch_time or job.created_at).isoformat(),
        "suite_id": job.suite_id,
        "suite_name": job.suite_name,
        "runtime_seconds": job.runtime_seconds,
        "app_version": job.app_version,
        "params": json.dumps(job.config, sort_keys=True),
    }
    for name, found in (job.result or {}).items():
        for position, each in enumerate(found) if isinstance(found, list) else [(None, found)]:
            if (number := number_of(each)) is not None:
                value, uncertainty = number
                own = {"metric": name, "position": position, "value": value, "uncertainty": uncertainty}
                yield {column: (shared | own)[column] for column in COLUMNS}


def number_of(found: Any) -> tuple[float, float | None] | None:
    """Return a metric and its uncertainty; None where there is no such number."""
    if isinstance(found, Mapping):
        inner = number_of(found.get("value"))
        uncertainty = number_of(found.get("uncertainty"))
        return None if inner is None else (inner[0], None if uncertainty is None else uncertainty[0])
    return (float(found), None) if isinstance(found, int | float) and not isinstance(found, bool) else None


async def _rows(jobs: AsyncIterator[Job], metric: str | None) -> AsyncIterator[Row]:
    async for job in jobs:
        for row in rows_of(job):
            if metric is None or row["metric"] == metric:
                yield row


async def _as_json(rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    before = b"["
    async for row in rows:
        yield before + json.dumps(row).encode()
        before = b",\n"
    yield b"[]" if before == b"[" else b"]"


async def _as_csv(rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS)
    writer.writeheader()
    async for row in rows:
        # A spreadsheet takes what begins so for a formula, and anybody may have written it.
        writer.writerow(
            {
                key: f"'{value}" if str(value)[:1] in "=+-@\t\r" and isinstance(value, str) else value
                for key, value in row.items()
            }
        )
        if buffer.tell() > 2**16:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


async def _as_parquet(rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    # Parquet alone needs it, and it is the largest of all libraries here.
    import pyarrow as pa
    from pyarrow import parquet

    numbers = {
        "value": pa.float64(),
        "uncertainty": pa.float64(),
        "runtime_seconds": pa.float64(),
        "position": pa.int64(),
    }
    schema = pa.schema([(column, numbers.get(column, pa.string())) for column in COLUMNS])
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema) as writer:
        group: list[Row] = []
        async for row in rows:
            group.append(row)
            if len(group) >= _ROW_GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
                yield sink.taken()
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))
    yield sink.taken()


class _Sink(io.RawIOBase):
    """A file that is only written to; what was written is taken away piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._written += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._written

    def close(self) -> None:
        """Stay open: what is left is yet to be taken."""

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
