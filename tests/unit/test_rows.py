"""Results as tidy rows: what a row is, and the same rows as JSON, CSV, Parquet and a data frame."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from metriq_gym.cli.csvs import jobs_as_csv
from metriq_gym.jobs import Job
from metriq_gym.jobs.rows import COLUMNS, number_of, rows, rows_of
from metriq_gym.jobs.tables import ENCODERS
from metriq_gym.store.catalogue import Filter
from metriq_gym.testing import memory_store
from tests.support.jobs import ended_job

RESULT = {
    "score": {"value": 0.97, "uncertainty": 0.01},
    "fidelities": [0.9, 0.8],
    "passed": True,
    "chosen": "chain",
    "depth": 4,
}


async def stream(*jobs: Job) -> AsyncIterator[Job]:
    for job in jobs:
        yield job


async def encoded(kind: str, *jobs: Job) -> bytes:
    return b"".join([piece async for piece in ENCODERS[kind](rows(stream(*jobs)))])


def test_there_is_a_row_for_each_number_and_for_each_of_a_list() -> None:
    found = list(rows_of(ended_job("job", result=RESULT, suite_id="night", suite_name="nightly")))
    assert [(row["metric"], row["position"], row["value"], row["uncertainty"]) for row in found] == [
        ("score", None, 0.97, 0.01),
        ("fidelities", 0, 0.9, None),
        ("fidelities", 1, 0.8, None),
        ("depth", None, 4.0, None),
    ]
    assert all(tuple(row) == COLUMNS for row in found)
    assert {(row["job_id"], row["suite_id"], row["suite_name"]) for row in found} == {("job", "night", "nightly")}
    assert json.loads(found[0]["params"]) == {"benchmark_name": "WIT", "num_qubits": 7, "shots": 8192}


NONE: list[Any] = [
    True,
    None,
    "1.5",
    [],
    {},
    {"value": "high"},
    {"uncertainty": 0.1},
    10**400,
    math.nan,
    {"value": -math.inf},
]


@pytest.mark.parametrize("found", NONE)
def test_what_is_no_number_that_a_column_can_hold_is_no_metric(found: Any) -> None:
    assert number_of(found) is None
    assert number_of({"value": 1, "uncertainty": found}) == (1.0, None)


async def test_every_format_has_the_same_rows() -> None:
    jobs = ended_job("first", result=RESULT), ended_job("second", suite_id="night")
    wanted = [row for job in jobs for row in rows_of(job)]
    assert json.loads(await encoded("json", *jobs)) == wanted
    table = parquet.read_table(io.BytesIO(await encoded("parquet", *jobs)))
    assert table.to_pylist() == wanted
    assert table.schema.field("value").type == pa.float64()
    lines = list(csv.DictReader(io.StringIO((await encoded("csv", *jobs)).decode())))
    assert lines == [{key: "" if value is None else str(value) for key, value in row.items()} for row in wanted]


@pytest.mark.parametrize("kind", sorted(ENCODERS))
async def test_no_rows_are_a_table_with_nothing_in_it(kind: str) -> None:
    found = await encoded(kind)
    if kind == "parquet":
        assert parquet.read_table(io.BytesIO(found)).column_names == list(COLUMNS)
    else:
        assert found.decode().strip() == {"json": "[]", "csv": ",".join(COLUMNS)}[kind]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
async def test_a_spreadsheet_takes_no_name_for_a_formula(begin: str) -> None:
    hostile = begin + 'HYPERLINK("http://elsewhere")'
    job = ended_job(device=hostile, suite_name="", tags=[hostile], result={hostile: -1.5})
    [line] = csv.DictReader(io.StringIO((await encoded("csv", job)).decode(), newline=""))
    assert (line["device"], line["metric"]) == (f"'{hostile}", f"'{hostile}")
    assert (line["value"], line["suite_name"]) == ("-1.5", "")
    head, row = csv.reader(io.StringIO(jobs_as_csv([job]), newline=""))
    assert (head[-1], row[head.index("device")], row[head.index("tags")]) == (*[f"'{hostile}"] * 3,)
    assert row[-1] == "-1.5"


async def test_results_are_found_by_what_jobs_are_found_by_the_oldest_first() -> None:
    store = memory_store()
    jobs: dict[str, dict[str, Any]] = {
        "late": {"tags": ["nightly", "cold"]},
        "other": {"device": "other"},
        "none": {"result": None, "tags": ["nightly", "cold"]},
        "early": {"tags": ["nightly"]},
    }
    for day, (name, changes) in enumerate(jobs.items()):
        at = datetime(2026, 11, 28 - day, tzinfo=UTC)
        assert await store.records.add(ended_job(name, created_at=at, **changes))

    async def found(metric: str | None = "score", **wanted: Any) -> list[str]:
        return [row["job_id"] async for row in rows(store.catalogue.scored(Filter(**wanted)), metric)]

    assert await found() == ["early", "other", "late"]
    assert await found(tags=("nightly",)) == ["early", "late"]
    assert await found(tags=("nightly", "cold")) == ["late"]
    assert await found(device="other", metric=None) == ["other", "other"]
    assert await found(since=datetime(2026, 11, 27, tzinfo=UTC), until=datetime(2026, 11, 28, tzinfo=UTC)) == ["other"]
    assert await found(metric="none such") == []
