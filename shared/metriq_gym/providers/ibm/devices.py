"""IBM's devices as they are calibrated now, and what circuits for them are compiled for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from metriq_gym.providers.provider import Device
from metriq_gym.wording import printable, shorten

if TYPE_CHECKING:
    from qiskit.transpiler import Target

PROVIDER = "ibm"
_UNITS = {"us": 1e-6, "ns": 1e-9, "ms": 1e-3}
_MOST = 1e12
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class IBMDevice(Device):
    """A device with IBM's own description, which its circuits are compiled by."""

    described: str = field(default="", repr=False)
    """JSON of its configuration and its properties, as IBM has them."""


def described_device(device_id: str, configuration: Any, properties: Any, status: Any) -> IBMDevice:
    """Return a device from what IBM says of it; raises where that is not enough to compile for."""
    description = json.dumps([configuration, properties])
    coupling = target(description).build_coupling_map()
    edges = {(min(pair), max(pair)) for pair in coupling.get_edges()} if coupling is not None else None
    active = status.get("operational") is True and status.get("status_msg") == "active"
    return IBMDevice(
        PROVIDER,
        device_id,
        configuration["n_qubits"],
        simulator=configuration.get("simulator") is True,
        status="online" if active else words(str(status.get("status_msg") or "offline")),
        edges=tuple(sorted(edges)) if edges is not None else None,
        metadata=_metadata(configuration, properties),
        described=description,
    )


def listed_device(row: Mapping[str, Any], configured: Callable[[str], Any]) -> Device | None:
    """Return a device of which the list of devices tells, or its configuration; None where neither says its size."""
    qubits = row.get("qubits")
    if not is_count(qubits):
        configuration = configured(row["name"])
        qubits = configuration.get("n_qubits") if isinstance(configuration, Mapping) else None
    if not is_count(qubits):
        return None
    status = row.get("status")
    state = status.get("name") if isinstance(status, Mapping) else status
    simulator = row.get("is_simulator") is True
    return Device(PROVIDER, row["name"], qubits, simulator=simulator, status=words(str(state or "online")))


def words(text: str, limit: int = 300) -> str:
    """Return what IBM says so that it can be stored and shown."""
    return printable(shorten(text, limit), "")


def is_count(value: Any) -> TypeGuard[int]:
    """Whether a value of IBM's is a number of things, as can be stored."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


@lru_cache(maxsize=4)
def target(description: str) -> Target:
    """Return the operations of a device with their errors and times, without what is broken there."""
    from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
    from qiskit_ibm_runtime.utils.backend_decoder import configuration_from_server_data, properties_from_server_data

    raw, properties = json.loads(description)
    configuration = configuration_from_server_data(raw)
    if configuration is None:
        raise ValueError("IBM's description of the device is not understood")
    read = properties_from_server_data(properties) if properties else None
    return convert_to_target(configuration, read, include_control_flow=False, include_fractional_gates=False)


def _metadata(configuration: Mapping[str, Any], properties: Any) -> dict[str, Any]:
    """Return the version, and medians of the calibration as far as it is told: times in seconds, errors from 0 to 1."""
    found: dict[str, Any] = {"version": words(str(configuration.get("backend_version", "")))}
    if isinstance(processor := configuration.get("processor_type"), Mapping):
        found["processor"] = words(" ".join(str(each) for each in processor.values()))
    if not isinstance(properties, Mapping):
        return found
    found["calibrated_at"] = words(str(properties.get("last_update_date")))
    qubits = [each for qubit in _rows(properties.get("qubits"), list) for each in _rows(qubit, dict)]
    for name, label in (("T1", "median_t1"), ("T2", "median_t2"), ("readout_error", "median_readout_error")):
        values = [_value(each) for each in qubits if each.get("name") == name]
        if known := [each for each in values if each is not None]:
            found[label] = median(known)
    pairs = [gate for gate in _rows(properties.get("gates"), dict) if len(_rows(gate.get("qubits"), int)) == 2]
    told = [each for gate in pairs for each in _rows(gate.get("parameters"), dict) if each.get("name") == "gate_error"]
    errors = [_value(each) for each in told]
    if known := [each for each in errors if each is not None and each < 1]:
        found["median_two_qubit_error"] = median(known)
    return found


def _rows(rows: Any, kind: type[Row]) -> list[Row]:
    return [each for each in rows if isinstance(each, kind)] if isinstance(rows, list) else []


def _value(parameter: Mapping[str, Any]) -> float | None:
    """Return a calibrated value, in seconds if it is a time; None for what cannot be one."""
    value, unit = parameter.get("value"), parameter.get("unit")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < _MOST:
        return None
    return float(value) * _UNITS.get(unit if isinstance(unit, str) else "", 1.0)
