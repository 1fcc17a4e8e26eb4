"""What a benchmark is: circuits for a device in, counts and a scored result out. No I/O happens here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeVar

if TYPE_CHECKING:
    import rustworkx as rx
    from qiskit import QuantumCircuit

Counts = Mapping[str, int]
"""Bitstring → occurrences; the leftmost character is the highest classical bit (Qiskit's order)."""


class BenchmarkDevice(Protocol):
    """What a benchmark may know of a device, and the one thing it may ask of it."""

    @property
    def id(self) -> str:
        """Name of the device at its provider."""

    @property
    def num_qubits(self) -> int:
        """Number of qubits."""

    @property
    def connectivity(self) -> rx.PyGraph:
        """Undirected graph of the qubit pairs that share a two-qubit gate; node i is qubit i."""

    def run(self, circuits: QuantumCircuit | Sequence[QuantumCircuit], shots: int) -> None:
        """Ask for `circuits` to be run `shots` times each; each call becomes one `RunResult`, in order.

        Parameters
        ----------
        circuits
            One circuit, or several, each with measurements.
        shots
            How often each circuit is run.
        """


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came back for one `BenchmarkDevice.run` call: counts per circuit, in the order they were given."""

    counts: Sequence[Counts]
    execution_seconds: float | None = None
    """Time on the device as the provider reports it, never time spent waiting in a queue."""
    sampling_seconds: float | None = None
    """Of these, those of gates and shots alone, where the provider tells them apart."""


class BenchmarkData(BaseModel):
    """What scoring needs besides parameters and counts; a JSON document kept with the job."""

    model_config = ConfigDict(frozen=True, extra="ignore")


@dataclass(frozen=True, slots=True)
class BenchmarkScore:
    """A metric and its uncertainty (one standard deviation, or None where none is known)."""

    value: float
    uncertainty: float | None = None


class BenchmarkResult:
    """Base of every result: subclass it as a dataclass, one field per metric."""

    def compute_score(self) -> BenchmarkScore | None:
        """Return the one number the benchmark is ranked by, or None where there is none."""
        return None

    def record(self) -> dict[str, Any]:
        """Return the exported record's ``results``: every field, and ``score`` if there is one.

        Raises
        ------
        TypeError
            When the class has fields and is no dataclass.
        """
        if not is_dataclass(self):
            if not type(self).__annotations__:
                return {}
            raise TypeError(f"{type(self).__name__} must be decorated with @dataclass")
        out = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        score = self.compute_score()
        return out if score is None else out | {"score": _plain(score)}


def _plain(value: Any) -> Any:
    if isinstance(value, BenchmarkScore):
        return {"value": value.value, "uncertainty": value.uncertainty}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


ParamsT = TypeVar("ParamsT", default=Any)
DataT = TypeVar("DataT", bound=BenchmarkData, default=Any)


class Benchmark(ABC, Generic[ParamsT, DataT]):
    """One benchmark: `dispatch_handler` makes the circuits, `poll_handler` scores the counts.

    Both are pure: what they return depends on the parameters, the seed, the device and the counts only.

    Parameters
    ----------
    params
        The validated configuration as an instance of `params_type`.
    seed
        Source of all randomness. The configuration's own ``seed`` where it has one, otherwise drawn once at
        dispatch and kept with the job, so that building again gives the same circuits in any process.
    """

    params_type: ClassVar[type] = SimpleNamespace
    """A dataclass whose fields are the configuration's keys (without ``benchmark_name``)."""
    data_type: ClassVar[type[BenchmarkData]] = BenchmarkData
    """The type of `dispatch_handler`'s return value."""

    def __init__(self, params: ParamsT, seed: int = 0) -> None:
        self.params = params
        self.seed = seed

    @classmethod
    def from_config(cls, config: Mapping[str, Any], seed: int = 0) -> Benchmark[ParamsT, DataT]:
        """Build the benchmark from a validated configuration; keys it does not know are left out.

        Parameters
        ----------
        config
            A validated configuration.
        seed
            Source of all randomness, 0 or more.
        """
        if is_dataclass(cls.params_type):
            names = {field.name for field in fields(cls.params_type)}
            config = {key: config.get(key) for key in names}
        params: Any = cls.params_type(**config)
        return cls(params, seed)

    @abstractmethod
    def dispatch_handler(self, device: BenchmarkDevice) -> DataT:
        """Ask `device` to run this benchmark's circuits and return what scoring will need.

        Parameters
        ----------
        device
            What the circuits are to run on.

        Raises
        ------
        Unsupported
            When the device cannot run them.
        """

    def ideal_counts(self, job_data: DataT, position: int) -> Mapping[str, float] | None:
        """Return what a device without noise measures with circuit `position` of a run: bitstring → probability.

        None for a circuit with too many outcomes to list, or whose simulation takes long.

        Parameters
        ----------
        job_data
            What `dispatch_handler` returned.
        position
            Of the circuit among all of the job, from 0.
        """
        return None

    @abstractmethod
    def poll_handler(self, job_data: DataT, result_data: Sequence[RunResult]) -> BenchmarkResult:
        """Score the counts: one `RunResult` per `BenchmarkDevice.run` call that `dispatch_handler` made.

        Parameters
        ----------
        job_data
            What `dispatch_handler` returned.
        result_data
            In the order of the calls; counts in Qiskit's bit order, times in seconds.

        Raises
        ------
        Permanent
            When the counts cannot be scored, as where the device returned no shots.
        """
