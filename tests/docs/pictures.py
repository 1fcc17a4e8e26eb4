"""The pictures of docs/benchmarks.md: one small circuit per benchmark, as the benchmark itself builds it."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import rustworkx as rx
from qiskit import QuantumCircuit

from metriq_gym import benchmarks
from metriq_gym.constants import SCHEMA_MAPPING, JobType
from metriq_gym.schema_validator import validate
from tests.support.devices import RecordingDevice
from tests.support.digest import digest

FOLDER = Path(__file__).parents[2] / "docs" / "images"
FOLD = 28
"""Columns per row: about what the width of a page holds."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Which circuit is drawn: number `position` of those that `params` ask for on a device of `num_qubits`."""

    num_qubits: int
    params: dict[str, Any]
    on_line: bool = False
    """Whether only neighbours are connected, instead of all qubits."""
    position: int = 0
    seed: int = 0


def example(job_type: JobType) -> dict[str, Any]:
    """Return the configuration that ships as the benchmark's example."""
    name = SCHEMA_MAPPING[job_type].replace(".schema.", ".example.")
    text = (files("metriq_gym") / "schemas" / "examples" / name).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


PICTURES = {
    JobType.BSEQ: Picture(4, {}, on_line=True, position=1),
    JobType.WIT: Picture(7, {"num_qubits": 7}),
    JobType.QML_KERNEL: Picture(3, {"num_qubits": 3}),
    JobType.MIRROR_CIRCUITS: Picture(5, {"num_layers": 1, "two_qubit_gate_prob": 1}, seed=1),
    JobType.QUANTUM_VOLUME: Picture(4, {"num_qubits": 4, "trials": 1}, seed=6),
    JobType.EPLG: Picture(4, {"num_qubits_in_chain": 4, "num_samples": 1}, on_line=True),
    JobType.CLOPS: Picture(5, {"num_qubits": 5, "num_layers": 2, "num_circuits": 1, "seed": 2}, on_line=True),
    JobType.BERNSTEIN_VAZIRANI: Picture(4, {"min_qubits": 4, "max_qubits": 4, "max_circuits": 1, "input_value": 5}),
    JobType.HIDDEN_SHIFT: Picture(4, {"min_qubits": 4, "max_qubits": 4, "max_circuits": 1, "input_value": 5}),
    JobType.PHASE_ESTIMATION: Picture(4, {"min_qubits": 4, "max_qubits": 4, "max_circuits": 1, "init_phase": 0.375}),
    JobType.QUANTUM_FOURIER_TRANSFORM: Picture(3, {"num_qubits": 3, "max_circuits": 1, "input_value": 5}),
    JobType.LR_QAOA: Picture(4, {"graph_type": "1D", "num_qubits": 4, "qaoa_layers": [3], "trials": 1}),
    JobType.QAT_OLE: Picture(6, example(JobType.QAT_OLE)),
}


def path(job_type: JobType) -> Path:
    """Return the file of a benchmark's picture."""
    return FOLDER / SCHEMA_MAPPING[job_type].replace(".schema.json", ".svg")


def circuit(job_type: JobType) -> QuantumCircuit:
    """Return the circuit that is drawn."""
    picture = PICTURES[job_type]
    config, warnings = validate({**picture.params, "benchmark_name": job_type.value})
    assert all("few" in each.message for each in warnings)
    line = rx.generators.path_graph(picture.num_qubits) if picture.on_line else None
    device = RecordingDevice(picture.num_qubits, line)
    seed = config.get("seed", picture.seed)
    benchmarks.load(job_type).from_config(config, seed).dispatch_handler(device)
    return device.circuits[picture.position]


def mark(drawn: QuantumCircuit) -> str:
    """Return the comment by which a picture says what circuit it shows."""
    return f"<!-- circuit {digest([drawn])} -->"


def draw(job_type: JobType) -> str:
    """Return the picture as SVG, the same one each time with the same version of Matplotlib."""
    import matplotlib as mpl
    from matplotlib import pyplot

    mpl.use("svg")
    drawn = circuit(job_type)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": job_type.value, "svg.fonttype": "path"}):
        figure = drawn.draw("mpl", fold=FOLD, scale=0.6, style={"subfontsize": 9.5})
        figure.savefig(
            buffer, format="svg", bbox_inches="tight", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
        pyplot.close(figure)
    return _compact(buffer.getvalue()).replace("<svg ", f"{mark(drawn)}\n<svg ", 1)


def _compact(svg: str) -> str:
    """Round coordinates to a hundredth of a point and drop what shows nothing: a third of the size is left."""
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bd="[^"]*"', lambda data: re.sub(r"-?\d+\.\d{3,}", _rounded, data[0]), svg)
    svg = re.sub(r'( d="[^"]*")', lambda data: re.sub(r"\s+", " ", data[0]).replace(' "', '"'), svg)
    return re.sub(r"\n\s*", "\n", svg)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
