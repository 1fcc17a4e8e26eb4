"""Results of many jobs as typed: `mgym results` and `mgym trend`, the data frame, and the notebook of two devices."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pandas import read_parquet

from metriq_gym.client.session import session_for
from metriq_gym.jobs.rows import COLUMNS
from metriq_gym.parts import MissingPart
from metriq_gym.results import frame
from metriq_gym.settings import Settings
from tests.support.jobs import ended_job
from tests.support.patience import PATIENCE
from tests.support.terminal import mgym_here, on_terminal

NOTEBOOK = Path(__file__).parents[2] / "examples" / "compare_devices.ipynb"


def at(day: int, **changes: Any) -> dict[str, Any]:
    return {"created_at": datetime(2026, 11, day, 12, tzinfo=UTC), **changes}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Its open store keeps the private database up, so that no command need start it."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), workers=1)
    session = session_for(settings)
    for job in (
        ended_job("first", **at(1)),
        ended_job("second", **at(2, suite_id="tonight", suite_name="small")),
        ended_job("third", **at(3, benchmark_name="EPLG", device="other", result={"eplg": [0.01, 0.02]})),
    ):
        session.on_store(lambda store, job=job: store.records.add(job))  # type: ignore[misc]
    yield settings
    session.close()


@pytest.fixture(scope="module")
def environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, "METRIQ_DATA_DIR": str(settings.data_dir), "METRIQ_WORKERS": "1"}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--until", "2026-11-04"], ["first", "first", "second", "second", "third", "third"]),
        (["--suite", "tonight"], ["second", "second"]),
        (["--benchmark", "EPLG"], ["third", "third"]),
        (["--device", "other"], ["third", "third"]),
        (["--since", "2026-11-02", "--until", "2026-11-04", "--metric", "score"], ["second"]),
    ],
    ids=" ".join,
)
def test_there_is_a_row_for_each_metric_of_each_job(
    environment: dict[str, str], options: list[str], found: list[str]
) -> None:
    done = mgym_here(environment, "results", "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["job_id"] for row in rows] == found
    assert all(tuple(row) == COLUMNS for row in rows)


def test_the_table_has_values_with_their_uncertainties(environment: dict[str, str]) -> None:
    lines = mgym_here(environment, "results", "--metric", "score").stdout.splitlines()
    assert " ".join(lines[1].split()) == "first WIT tyxonq/homebrew_s2 2026-11-20 12:34 score 0.9900 ± 0.0010"
    assert "eplg[1]  0.02" in mgym_here(environment, "results", "--device", "other").stdout
    assert mgym_here(environment, "results", "--device", "none").stdout == "no results\n"


def test_csv_parquet_and_the_data_frame_have_the_same_columns(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    printed = mgym_here(environment, "results", "--format", "csv", "--until", "2026-11-04").stdout
    file = tmp_path / "results.parquet"
    done = mgym_here(environment, "results", "--format", "parquet", "--output", str(file), "--until", "2026-11-04")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    found = frame(until=datetime(2026, 11, 5, tzinfo=UTC), settings=settings)
    assert tuple(found.columns) == tuple(read_parquet(file).columns) == COLUMNS
    assert tuple(csv.DictReader(io.StringIO(printed)).fieldnames or ()) == COLUMNS
    assert len(found) == len(read_parquet(file)) == len(printed.splitlines()) - 1 == 6
    assert [each.name for each in tmp_path.iterdir()] == ["results.parquet"]


def test_the_data_frame_has_numbers_and_times_also_where_there_are_none(settings: Settings) -> None:
    for found in (frame(suite="tonight", settings=settings), frame(device="none", settings=settings)):
        kinds = {column: str(kind) for column, kind in found.dtypes.items()}
        assert kinds["value"] == kinds["uncertainty"] == "float64"
        assert kinds["position"] == "Int64"
        assert kinds["dispatch_time"] == "datetime64[us, UTC]"
        assert kinds["suite_name"] == "str"
    since = frame(since=datetime(2026, 11, 3), metric="eplg", settings=settings)  # noqa: DTZ001  (taken for UTC)
    assert since["position"].tolist() == [0, 1]
    assert since["suite_id"].isna().all()


def test_without_pandas_the_data_frame_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPart, match=r"\[frames\]"):
        frame(settings=settings)


def test_a_file_is_not_begun_that_cannot_be_meant(environment: dict[str, str], tmp_path: Path) -> None:
    done = mgym_here(environment, "results", "--output", str(tmp_path / "table"))
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    code, said = on_terminal(environment, ["results", "--format", "parquet"])
    assert code == 2
    assert "--output" in said


def test_a_device_that_has_drifted_is_told_with_the_evidence(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    for night in range(34):
        score = {"value": 0.9 + 0.002 * (night % 3) - (0.2 if night > 30 else 0), "uncertainty": 0.001}
        job = ended_job(
            f"night-{night}", device="drifter", dispatch_time=begin + timedelta(days=night), result={"score": score}
        )
        session_for(settings).on_store(lambda store, job=job: store.records.add(job))  # type: ignore[misc]
    metadata = {"T1_us": 50.0}
    session_for(settings).on_store(
        lambda store: store.devices.see(
            "tyxonq", "drifter", num_qubits=13, simulator=False, status="online", metadata=metadata
        )
    )
    done = mgym_here(environment, "trend", "tyxonq/drifter", "score", "--json", "--plot", str(tmp_path / "score.svg"))
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert (told["metric"], told["values"], told["baseline"]["value"]) == ("score", 34, pytest.approx(0.902))
    assert (told["drift"]["found"], told["drift"]["since"]) == ("step", "2026-02-01T00:00:00+00:00")
    assert (tmp_path / "score.svg").read_text().count("<svg") == 1
    shown = mgym_here(environment, "trend", "drifter").stdout
    assert "step since 2026-02-01" in shown
    assert "calibration, tyxonq/drifter  T1_us" in shown
    drawn = mgym_here(environment, "trend", "drifter", "--plot", str(tmp_path / "all.svg"))
    assert drawn.returncode == 0, drawn.stderr
    assert "T1_us" in (tmp_path / "all.svg").read_text()
    assert "told from 31 values on" in mgym_here(environment, "trend", "homebrew_s2", "score").stdout
    nothing = mgym_here(environment, "trend", "drifter", "none such")
    assert (nothing.returncode, nothing.stdout) == (3, "")


def test_the_notebook_compares_two_devices(environment: dict[str, str], tmp_path: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in cells)
    script = tmp_path / "notebook.py"
    script.write_text("\n\n".join(code))
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**environment, "MPLBACKEND": "agg"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("aer_simulator scores 0.")
