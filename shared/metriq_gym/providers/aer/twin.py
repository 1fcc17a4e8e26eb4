"""Digital twins: simulated devices with the noise that a real device's calibration implies.

``tyxonq:homebrew_s2`` of the provider ``local`` predicts what TyxonQ's homebrew_s2 would answer: the same gates, noise
from its calibration. The calibration travels with the compiled circuits, so that whoever simulates them needs nothing
else. What a calibration does not tell is assumed:

- ``single_qubit_gate_error`` and ``cz_gate_error`` are average gate infidelities, relaxation included: each gate
  relaxes (T1, T2) for its duration, and a depolarising channel adds what is missing. Where relaxation alone exceeds
  the published error, it stands and nothing is added.
- Gate times are not published; `GateTimes` has the defaults.
- h, x and y are one pulse each. s, t, z and rz are changes of frame: no time, no error. cx is h·cz·h on its target;
  the errors of all three follow it.
- Readout errors are the probabilities of reading 1 in state 0 (``readout_error_0``) and 0 in state 1 (…``_1``).
- Qubits are alike and all connected; there is no crosstalk, no leakage, no noise while a qubit idles.

A value that is not known adds no noise: without T1 there is no relaxation, without T2 no dephasing beyond T1's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from metriq_gym.errors import NotFound, Permanent
from metriq_gym.messages import Compilation
from metriq_gym.providers.provider import Device
from metriq_gym.providers.tyxonq.calibration import Calibration
from metriq_gym.providers.tyxonq.compiler import TyxonQCompiler

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

PREFIX = "tyxonq:"
"""Of the ids of twins; the original's id follows."""
SHIPPED = Path(__file__).with_name("twins.json")
"""Calibrations from the vendor's page."""
_KEY = "twin"
"""Of a compiled circuit's metadata: the calibration it is to be simulated with."""

Probability = Annotated[float, Field(ge=0, le=1)]
Time = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Live = Callable[[str], Awaitable[Device]]
"""Asks for a device as it is calibrated now."""


@dataclass(frozen=True, slots=True)
class GateTimes:
    """Durations in nanoseconds; the defaults are typical of superconducting qubits with tunable couplers."""

    single_qubit_gate_ns: float = 30.0
    cz_gate_ns: float = 60.0


class Twin(BaseModel):
    """A calibration to simulate. Other fields are ignored, so that a record's ``device_metadata`` serves as it is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    num_qubits: int = Field(ge=1, le=1000)
    t1_us: Time | None = None
    t2_us: Time | None = None
    single_qubit_gate_error: Probability | None = None
    cz_gate_error: Probability | None = None
    readout_error_0: Probability | None = None
    readout_error_1: Probability | None = None
    single_qubit_gate_ns: Duration = GateTimes().single_qubit_gate_ns
    cz_gate_ns: Duration = GateTimes().cz_gate_ns

    @property
    def noise_model(self) -> Any:
        """Aer's noise model."""
        times = GateTimes(self.single_qubit_gate_ns, self.cz_gate_ns)
        return noise_model(Calibration.from_metadata(self.model_dump()), times)


@dataclass(frozen=True, slots=True)
class Twins:
    """The twins there are: of the operator's calibrations, of live ones, and of those that ship, in this order.

    Parameters
    ----------
    file:
        JSON object of calibrations by device id, with the fields of `Twin`.
    live:
        Asks TyxonQ for today's calibration, where there is a token.
    """

    file: Path | None = None
    live: Live | None = None

    def devices(self) -> list[Device]:
        """Return the twins of the operator's calibrations and of those that ship."""
        own = _read(self.file)
        shipped = {name: twin for name, twin in _read(SHIPPED).items() if name not in own}
        return [_describe(name, twin, "file") for name, twin in own.items()] + [
            _describe(name, twin, "snapshot") for name, twin in shipped.items()
        ]

    async def device(self, device_id: str) -> Device:
        """Return a twin as its original is calibrated now; raises `NotFound` naming the twins there are.

        Raises `Permanent` when the operator's file is of no use, and what asking TyxonQ raises.
        """
        name = device_id.removeprefix(PREFIX)
        if self.live is not None and "?" not in name and name not in _read(self.file):
            original = await self.live(name)
            twin = Twin.model_validate({"num_qubits": original.num_qubits, **original.metadata})
            return _describe(original.id, twin, "live", original.edges)
        known = {device.id: device for device in self.devices()}
        if device_id not in known:
            raise NotFound(f"unknown digital twin {device_id!r}; there are: {', '.join(known)}")
        return known[device_id]


def is_twin(device_id: str) -> bool:
    """Whether the id is one of a digital twin."""
    return device_id.startswith(PREFIX)


def compile_for(
    device: Device, circuits: Sequence[QuantumCircuit], seed: int, compilation: Compilation = "default"
) -> list[QuantumCircuit]:
    """Compile for a twin as for its original, and note the calibration in the circuits' metadata."""
    twin = Twin.model_validate({"num_qubits": device.num_qubits, **device.metadata})
    compiled = TyxonQCompiler()(device, circuits, seed, compilation)
    for circuit in compiled:
        circuit.metadata = {**(circuit.metadata or {}), _KEY: twin.model_dump(exclude_none=True)}
    return compiled


def noise_of(circuit: QuantumCircuit) -> Any:
    """Return the noise model that a circuit compiled for a twin is to be simulated with."""
    return Twin.model_validate(circuit.metadata[_KEY]).noise_model


@lru_cache(maxsize=8)
def noise_model(calibration: Calibration, times: GateTimes = GateTimes()) -> Any:
    """Return the Aer noise model for a calibration, under the assumptions above."""
    from qiskit_aer.noise import NoiseModel, ReadoutError

    from metriq_gym.providers.aer.channels import merged

    pulse = _gate_error(calibration, times.single_qubit_gate_ns, calibration.single_qubit_gate_error, 1)
    cz = _gate_error(calibration, times.cz_gate_ns, calibration.cz_gate_error, 2)
    model = NoiseModel(basis_gates=["h", "x", "y", "z", "s", "t", "rz", "cx", "cz"])
    model.add_all_qubit_quantum_error(pulse, ["h", "x", "y"])
    model.add_all_qubit_quantum_error(cz, ["cz"])
    two_pulses = merged(pulse.compose(pulse))
    model.add_all_qubit_quantum_error(merged(cz.compose(two_pulses, qargs=[1])), ["cx"])
    flip_0, flip_1 = calibration.readout_error_0 or 0.0, calibration.readout_error_1 or 0.0
    model.add_all_qubit_readout_error(ReadoutError([[1 - flip_0, flip_0], [flip_1, 1 - flip_1]]))
    return model


def _gate_error(calibration: Calibration, nanoseconds: float, infidelity: float | None, num_qubits: int) -> Any:
    """Relaxation for the gate's duration, then depolarisation up to the gate's average infidelity.

    For dimension d, a channel of average fidelity F followed by depolarisation with probability p has the fidelity
    (1 − p)·F + p/d.
    """
    from qiskit.quantum_info import SuperOp, average_gate_fidelity
    from qiskit_aer.noise import depolarizing_error, thermal_relaxation_error

    from metriq_gym.providers.aer.channels import merged

    t1 = calibration.t1_us or inf
    t2 = min(calibration.t2_us or inf, 2 * t1)  # physics allows no more
    error = one = thermal_relaxation_error(t1, t2, nanoseconds / 1000)
    for _ in range(num_qubits - 1):
        error = error.tensor(one)
    if infidelity is None:
        return merged(error)
    dimension = 2**num_qubits
    fidelity = average_gate_fidelity(SuperOp(error))
    missing = fidelity - (1 - infidelity)
    if missing > 0:
        # Beyond full depolarisation there is nothing to add.
        strength = min(missing / (fidelity - 1 / dimension), 1.0)
        error = error.compose(depolarizing_error(strength, num_qubits))
    return merged(error)


def _describe(name: str, twin: Twin, source: str, edges: tuple[tuple[int, int], ...] | None = None) -> Device:
    values = twin.model_dump(exclude_none=True, exclude={"num_qubits"})
    metadata = {"noise": "digital twin", "twin_of": name, "calibration_source": source, **values}
    return Device("local", f"{PREFIX}{name}", twin.num_qubits, simulator=True, edges=edges, metadata=metadata)


def _read(path: Path | None) -> Mapping[str, Twin]:
    if path is None:
        return {}
    try:
        return TypeAdapter(dict[str, Twin]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise Permanent(f"METRIQ_TWIN_CALIBRATION: {path} has no calibrations: {error}") from error
