"""Tables of rows as bytes of a file: JSON, CSV and Parquet, piece by piece however many rows there are."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from metriq_gym.jobs.rows import COLUMNS, Row

T = TypeVar("T")
_ROW_GROUP = 20_000
_FORMULAS = tuple("=+-@\t\r\n＝＋－＠")


async def as_json(rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    """Yield rows as a JSON array, a row a line."""
    before = b"["
    async for row in rows:
        yield before + json.dumps(row).encode()
        before = b",\n"
    yield b"[]" if before == b"[" else b"]"


async def as_csv(rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    """Yield rows as CSV under a line of their columns."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    async for row in rows:
        writer.writerow({key: no_formula(value) for key, value in row.items()})
        if buffer.tell() > 2**16:
            yield _taken(buffer)
    yield _taken(buffer)


def no_formula(cell: T) -> T | str:
    """Return a cell as no spreadsheet takes it for a formula: anybody may have written what it says."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


async def as_parquet(rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    """Yield rows as a Parquet file, a row group at a time; raises `ModuleNotFoundError` where its library is not."""
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


ENCODERS = {"json": as_json, "csv": as_csv, "parquet": as_parquet}
"""Format → what yields rows in it."""
