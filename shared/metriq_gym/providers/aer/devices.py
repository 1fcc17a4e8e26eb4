"""The devices of the Aer provider: the ideal simulator and the noisy device profiles that Qiskit ships.

A profile is a snapshot of a real device (``fake_manila``, …). Its files are read as data, since importing the
package that holds them costs seconds; only compiling for a profile or simulating its noise does that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metriq_gym.errors import NotFound
from metriq_gym.providers.provider import Device
from metriq_gym.wording import alternatives

PROVIDER = "local"
IDEAL = "aer_simulator"
IDEAL_QUBITS = 30
"""Size of the ideal simulator as a graph; wider circuits run too when an exact method fits in memory."""

_PACKAGE = "qiskit_ibm_runtime"
_BACKENDS = "fake_provider.backends"
_PREFIX = "fake_"


def names() -> list[str]:
    """Ids of all devices, the ideal simulator first."""
    return [IDEAL, *sorted(_profiles())]


@cache
def describe(device_id: str) -> Device:
    """Return a device; raises `NotFound` with the close matches, or with every name there is."""
    if device_id == IDEAL:
        return Device(PROVIDER, IDEAL, IDEAL_QUBITS, simulator=True, metadata={"noise": "none"})
    folder = _profiles().get(device_id)
    if folder is None:
        instead = alternatives(device_id, names(), f"mgym devices --provider {PROVIDER}")
        raise NotFound(f"unknown device {device_id!r} of provider {PROVIDER!r}{instead}")
    conf = _load(folder, "conf")
    return Device(
        PROVIDER,
        device_id,
        conf["n_qubits"],
        simulator=True,
        edges=_edges(conf, _load(folder, "props")),
        metadata={
            "noise": "device snapshot",
            "snapshot_of": conf["backend_name"],
            "snapshot_version": conf["backend_version"],
            "basis_gates": conf["basis_gates"],
        },
    )


@cache
def backend(device_id: str) -> Any:
    """The Qiskit backend of a noisy profile: its `target` is what circuits are compiled for."""
    describe(device_id)
    module = import_module(f"{_PACKAGE}.{_BACKENDS}.{device_id.removeprefix(_PREFIX)}.{device_id}")
    return next(
        thing()
        for thing in vars(module).values()
        if isinstance(thing, type) and getattr(thing, "backend_name", None) == device_id
    )


def operations(device_id: str) -> frozenset[str]:
    """Names of the operations that a noisy profile has."""
    return frozenset(backend(device_id).target.operation_names)


@cache
def noise_model(device_id: str) -> Any:
    """Aer's noise model of a profile: gate errors, thermal relaxation and readout errors as calibrated."""
    from qiskit_aer.noise import NoiseModel

    return NoiseModel.from_backend(backend(device_id))


def _edges(conf: Mapping[str, Any], props: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Coupled pairs for which the snapshot has a two-qubit gate; a pair without one was out of order that day.

    They are in the snapshot's own order, in which the weights of a native problem are drawn.
    """
    calibrated = {frozenset(gate["qubits"]) for gate in props["gates"] if len(gate["qubits"]) == 2}
    coupled = dict.fromkeys((min(pair), max(pair)) for pair in conf["coupling_map"] or ())
    return tuple(pair for pair in coupled if frozenset(pair) in calibrated)


def _load(folder: Path, kind: str) -> Any:
    return json.loads((folder / f"{kind}_{folder.name}.json").read_text(encoding="utf-8"))


def _profiles() -> Mapping[str, Path]:
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0], *_BACKENDS.split("."))
    return {f"{_PREFIX}{conf.parent.name}": conf.parent for conf in folder.glob("*/conf_*.json")}
