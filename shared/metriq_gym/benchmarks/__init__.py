"""The benchmark catalogue: finds a benchmark's class and schema by its name, importing only that one."""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import Any

from metriq_gym.benchmarks.benchmark import Benchmark
from metriq_gym.constants import SCHEMA_MAPPING, JobType
from metriq_gym.errors import NotFound

GROUP = "metriq_gym.benchmarks"
"""Entry-point group for third parties: the entry's name is the ``benchmark_name``, its object the class.

The class's package ships the schema as ``<module>.schema.json`` beside the module."""

_SHIPPED = {
    JobType.BSEQ: "bseq:BSEQ",
    JobType.QML_KERNEL: "qml_kernel:QMLKernel",
    JobType.WIT: "wit:WIT",
    JobType.BERNSTEIN_VAZIRANI: "bernstein_vazirani:BernsteinVazirani",
    JobType.PHASE_ESTIMATION: "phase_estimation:PhaseEstimation",
    JobType.HIDDEN_SHIFT: "hidden_shift:HiddenShift",
    JobType.QUANTUM_FOURIER_TRANSFORM: "quantum_fourier_transform:QuantumFourierTransform",
    JobType.CLOPS: "clops:CLOPS",
    JobType.EPLG: "eplg:EPLG",
    JobType.MIRROR_CIRCUITS: "mirror_circuits:MirrorCircuits",
    JobType.QUANTUM_VOLUME: "quantum_volume:QuantumVolume",
    JobType.LR_QAOA: "lr_qaoa:LinearRampQAOA",
    JobType.QAT_OLE: "qat_ole:QATOLE",
}


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def names() -> list[str]:
    """Names of all benchmarks, shipped ones first."""
    return [*map(str, JobType), *sorted(_installed().keys() - set(JobType))]


def load(name: str) -> type[Benchmark[Any, Any]]:
    """Import the class of the benchmark called `name`; raises `NotFound` with the names there are."""
    if name in _SHIPPED:
        module, _, attribute = _SHIPPED[JobType(name)].partition(":")
        found: type[Benchmark[Any, Any]] = getattr(import_module(f"{__name__}.{module}"), attribute)
    elif name in (installed := _installed()):
        found = installed[name].load()
    else:
        raise NotFound(f"unknown benchmark {name!r}; known: {', '.join(names())}")
    assert issubclass(found, Benchmark)  # noqa: S101  (a wrong entry point is a packaging error)
    return found


@cache
def schema(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of the benchmark's configuration; raises `NotFound` for an unknown name."""
    if name in SCHEMA_MAPPING:
        resource = files("metriq_gym") / "schemas" / SCHEMA_MAPPING[JobType(name)]
    elif name in (installed := _installed()):
        package, _, module = installed[name].module.rpartition(".")
        resource = files(package or module) / f"{module}.schema.json"
    else:
        raise NotFound(f"unknown benchmark {name!r}; known: {', '.join(names())}")
    found: dict[str, Any] = json.loads(resource.read_text(encoding="utf-8"))
    return found
