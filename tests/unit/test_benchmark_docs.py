"""docs/benchmarks.md says what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cache
from itertools import pairwise
from typing import get_type_hints

import pytest

from metriq_gym import benchmarks
from metriq_gym.benchmarks import eplg, limits, maxcut, openqasm, qat_ole, qedc, quantum_volume
from metriq_gym.constants import JobType
from metriq_gym.providers.aer import devices
from tests.docs import pictures
from tests.docs.benchmarks import PAGE, bounds, parameters, updated

REFRESH = "python -m tests.docs.benchmarks"
MAX_PICTURE_BYTES = 150_000

each_benchmark = pytest.mark.parametrize("job_type", JobType)


@cache
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def section(heading: str) -> str:
    starts = [*(found.start() for found in re.finditer(r"^## ", page(), re.MULTILINE)), len(page())]
    return next(page()[a:b] for a, b in pairwise(starts) if page()[a:b].startswith(f"## {heading}\n"))


@each_benchmark
def test_every_parameter_is_in_the_table_of_its_benchmark(job_type: JobType) -> None:
    documented = re.findall(r"^\| `(\w+)` \|", section(job_type), re.MULTILINE)
    assert documented == [name for name in benchmarks.schema(job_type)["properties"] if name != "benchmark_name"]


def test_tables_and_examples_are_fresh() -> None:
    assert page() == updated(page()), REFRESH


def test_a_table_that_says_something_else_is_noticed() -> None:
    stale = page().replace("| `shots` | integer | 1 … 1,000,000 |", "| `shots` | integer | 1 … 1,000 |")
    assert stale != page()
    assert updated(stale) == page()


@each_benchmark
def test_the_picture_shows_the_circuit_that_the_benchmark_builds(job_type: JobType) -> None:
    picture = pictures.path(job_type)
    assert f"](images/{picture.name})" in section(job_type)
    svg = picture.read_text(encoding="utf-8")
    assert pictures.mark(pictures.circuit(job_type)) in svg, REFRESH
    assert len(svg.encode()) < MAX_PICTURE_BYTES


def test_no_picture_is_left_over() -> None:
    assert set(pictures.FOLDER.glob("*.svg")) == set(map(pictures.path, JobType))


@pytest.mark.slow
def test_drawing_gives_the_same_picture_every_time() -> None:
    drawn = pictures.draw(JobType.BSEQ)
    assert drawn == pictures.draw(JobType.BSEQ)
    assert pictures.mark(pictures.circuit(JobType.BSEQ)) in drawn


@each_benchmark
def test_every_result_field_is_explained(job_type: JobType) -> None:
    result = get_type_hints(benchmarks.load(job_type).poll_handler)["return"]
    explained = section(job_type).partition("**Results**")[2].partition("**Limits**")[0]
    assert [field.name for field in fields(result) if f"`{field.name}`" not in explained] == []


@pytest.mark.parametrize(
    ("heading", "limit"),
    [
        ("Limits of all benchmarks", f"about {limits.MAX_OPERATIONS // 10**6} million operations"),
        ("Limits of all benchmarks", f"`aer_simulator` has {devices.IDEAL_QUBITS}"),
        ("Quantum Volume", f"At most {quantum_volume.MAX_QUBITS} qubits"),
        ("EPLG", f"within {eplg.OFFSET_MARGIN} of that of a mixed state"),
        ("Algorithms of the QED-C suite", f"Above {qedc.RESCALED_BITS} bits"),
        ("Linear Ramp QAOA", f"up to {maxcut.ENUMERATION_LIMIT} nodes"),
        ("QAT OLE", f"up to {qat_ole.MAX_REFERENCE_QUBITS} touched qubits"),
        ("QAT OLE", f"At most {openqasm.MAX_OPERATIONS:,} gates and {openqasm.MAX_STATEMENTS:,} statements"),
    ],
)
def test_limits_are_those_of_the_code(heading: str, limit: str) -> None:
    assert limit in " ".join(section(heading).split())


def test_links_lead_somewhere() -> None:
    headings = re.findall(r"^## (.+)$", page(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    targets = set(re.findall(r"\]\((?!https:)([^)]+)\)", page()))
    assert targets
    for target in targets:
        found = target[1:] in anchors if target.startswith("#") else (PAGE.parent / target).exists()
        assert found, target


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 1000}, "1 … 1,000"),
        ({"type": "integer", "minimum": 0, "maximum": 2**63 - 1}, "0 … 2⁶³ − 1"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "0 … 1, 1 excluded"),
        ({"type": "string", "enum": ["cz", "cx"]}, "`cz` or `cx`"),
        ({"type": "integer", "const": 1}, "`1`"),
        ({"type": "boolean"}, ""),
    ],
)
def test_bounds_are_put_in_words(schema: dict[str, object], words: str) -> None:
    assert bounds(schema) == words


def test_bounds_of_a_list_are_those_of_its_length_and_its_entries() -> None:
    entries = {"type": "integer", "minimum": 3, "maximum": 9}
    assert bounds({"type": "array", "items": entries, "minItems": 1, "maxItems": 100}) == "1 … 100 entries, each 3 … 9"


def test_defaults_are_those_of_the_schema() -> None:
    table = parameters(JobType.QUANTUM_VOLUME)
    assert "| `num_qubits` | integer | 1 … 10,000 | required |" in table
    assert "| `trials` | integer | 1 … 1,000 | `100` |" in table
