"""IBM's devices as they are calibrated now, and what circuits for them are compiled for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Any

from metriq_gym.providers.provider import Device

if TYPE_CHECKING:
    from qiskit.transpiler import Target

PROVIDER = "ibm"


@dataclass(frozen=True, slots=True)
class IBMDevice(Device):
    """A device with IBM's own description, which its circuits are compiled by."""

    described: str = field(default="", repr=False)
    """JSON of its configuration and its properties, as IBM has them."""


def described_device(configuration: Any, properties: Any, status: Mapping[str, Any]) -> IBMDevice:
    """Return a device from what IBM says of it."""
    description = json.dumps([configuration, properties])
    coupling = target(description).build_coupling_map()
    edges = {(min(pair), max(pair)) for pair in coupling.get_edges()} if coupling is not None else None
    active = status["operational"] and status["status_msg"] == "active"
    return IBMDevice(
        PROVIDER,
        configuration["backend_name"],
        configuration["n_qubits"],
        simulator=bool(configuration.get("simulator")),
        status="online" if active else status["status_msg"] or "offline",
        edges=tuple(sorted(edges)) if edges is not None else None,
        metadata=_metadata(configuration, properties or {}),
        described=description,
    )


def listed_device(row: Mapping[str, Any], qubits: int) -> Device:
    """Return a device of which the list of devices tells."""
    status = row.get("status")
    state = status.get("name") if isinstance(status, Mapping) else status
    return Device(PROVIDER, row["name"], qubits, simulator=bool(row.get("is_simulator")), status=str(state or "online"))


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


def _metadata(configuration: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the version, and medians of the calibration: times in seconds, errors as probabilities."""
    found: dict[str, Any] = {"version": str(configuration.get("backend_version", ""))}
    if configuration.get("processor_type"):
        found["processor"] = " ".join(str(each) for each in configuration["processor_type"].values())
    if not properties:
        return found
    found["calibrated_at"] = str(properties["last_update_date"])
    qubits = [{each["name"]: _in_seconds(each) for each in qubit} for qubit in properties["qubits"]]
    for name, label in (("T1", "median_t1"), ("T2", "median_t2"), ("readout_error", "median_readout_error")):
        if values := [qubit[name] for qubit in qubits if name in qubit]:
            found[label] = median(values)
    errors = [
        parameter["value"]
        for gate in properties["gates"]
        if len(gate["qubits"]) == 2
        for parameter in gate["parameters"]
        if parameter["name"] == "gate_error" and parameter["value"] < 1
    ]
    if errors:
        found["median_two_qubit_error"] = median(errors)
    return found


def _in_seconds(value: Mapping[str, Any]) -> float:
    return float(value["value"]) * {"us": 1e-6, "ns": 1e-9, "ms": 1e-3}.get(value.get("unit", ""), 1.0)
