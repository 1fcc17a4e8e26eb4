"""The benchmarks, a file each, and their catalogue: a class and a schema by name, importing only that one.

Nothing here does I/O: no provider, no simulator, no queue, no database, no network.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metriq_gym.benchmarks.benchmark import Benchmark
from metriq_gym.constants import CIRCUIT, SCHEMA_MAPPING, JobType
from metriq_gym.errors import NotFound
from metriq_gym.wording import did_you_mean

GROUP = "metriq_gym.benchmarks"
"""Entry-point group for third parties: the entry's name is the ``benchmark_name``, its object the class.

The class's module ``<module>.py`` has its schema beside it as ``<module>.schema.json``; for an example see
``examples/third_party_benchmark``."""

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
_LOADABLE = {**{str(name): place for name, place in _SHIPPED.items()}, CIRCUIT: "circuit:Circuit"}
"""Also what is run as a benchmark is and is none."""


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def names() -> list[str]:
    """Names of all benchmarks, shipped ones first."""
    return [*map(str, JobType), *sorted(_installed().keys() - set(JobType))]


def load(name: str) -> type[Benchmark[Any, Any]]:
    """Import the class of the benchmark called `name`, or of a plain circuit.

    Parameters
    ----------
    name
        The benchmark's name, as configurations have it.

    Raises
    ------
    NotFound
        For an unknown name.
    TypeError
        When an entry point names something else than a benchmark.
    """
    if name in _LOADABLE:
        module, _, attribute = _LOADABLE[name].partition(":")
        found: type[Benchmark[Any, Any]] = getattr(import_module(f"{__name__}.{module}"), attribute)
    elif name in (installed := _installed()):
        found = installed[name].load()
    else:
        raise NotFound(_unknown(name))
    if not (isinstance(found, type) and issubclass(found, Benchmark)):
        raise TypeError(f"the entry point of benchmark {name!r} names {found!r}, which is no subclass of Benchmark")
    return found


@cache
def schema(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of the benchmark's configuration.

    Parameters
    ----------
    name
        The benchmark's name, as configurations have it.

    Raises
    ------
    NotFound
        For an unknown name, and for a benchmark that is installed without its schema.
    """
    if name in SCHEMA_MAPPING or name == CIRCUIT:
        file = "circuit.schema.json" if name == CIRCUIT else SCHEMA_MAPPING[JobType(name)]
        resource = files("metriq_gym") / "schemas" / file
        text = resource.read_text(encoding="utf-8")
    elif name in (installed := _installed()):
        text = _schema_beside(name, installed[name].module)
    else:
        raise NotFound(_unknown(name))
    found: dict[str, Any] = json.loads(text)
    return found


def _schema_beside(name: str, module: str) -> str:
    """Return the text of the schema beside a module, without importing the module, which may cost seconds.

    Raises
    ------
    NotFound
        When there is none.
    """
    with suppress(ModuleNotFoundError):  # of the module's package
        spec = find_spec(module)
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).with_name(f"{module.rpartition('.')[2]}.schema.json")
            if path.is_file():
                return path.read_text(encoding="utf-8")
            raise NotFound(f"benchmark {name!r} is installed without its schema: there is no {path}")
    raise NotFound(f"benchmark {name!r} is installed without its module {module}")


def _unknown(name: str) -> str:
    known = names()
    return f"unknown benchmark {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}"
