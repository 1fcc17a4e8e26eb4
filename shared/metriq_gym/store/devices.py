"""Devices as dispatchers have found them, and how their calibrations have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from pymongo import IndexModel

from metriq_gym.jobs.documents import CalibrationPoint, SeenDevice
from metriq_gym.store.indexes import ensure
from metriq_gym.store.mongo import literal, translated
from metriq_gym.store.reading import Unreadable, read_those, sorted_out

_MOST_POINTS = 5000


class Devices:
    """The ``devices`` collection, and ``calibrations``: a document each time that a device's metadata changed."""

    def __init__(self, devices: Any, calibrations: Any) -> None:
        self._devices = devices
        self._calibrations = calibrations

    async def create_indexes(self) -> None:
        """Create the index of calibrations, or see that it exists."""
        await ensure(self._calibrations, [IndexModel([("device_id", 1), ("at", 1)])])

    @translated
    async def see(
        self,
        provider: str,
        device: str,
        *,
        num_qubits: int,
        simulator: bool,
        status: str,
        metadata: Mapping[str, Any],
    ) -> None:
        """Write down how a device was found; a changed calibration is kept beside the earlier ones."""
        device_id = f"{provider}/{device}"
        found: dict[str, Any] = {
            "provider": provider,
            "device": device,
            "num_qubits": num_qubits,
            "simulator": simulator,
            "status": status,
            "metadata": dict(metadata),
        }
        before = await self._devices.find_one({"_id": device_id}, {"metadata": 1})
        if before is None or before.get("metadata") != found["metadata"]:
            # First, so that a crash in between leaves a point too many, not one too few.
            point = {"device_id": device_id, "at": "$$NOW", "metadata": {"$literal": found["metadata"]}}
            await self._calibrations.update_one({"_id": uuid4().hex}, [{"$set": point}], upsert=True)
        change = literal(found) | {"seen_at": "$$NOW"}
        await self._devices.update_one({"_id": device_id}, [{"$set": change}], upsert=True)

    @translated
    async def all(self) -> list[SeenDevice]:
        """Return every device that was ever found, in the order of their ids."""
        return await read_those(SeenDevice, "devices", self._devices.find({}).sort("_id"))

    @translated
    async def unreadable(self) -> list[Unreadable]:
        """Return the devices that this version cannot read."""
        return (await sorted_out(SeenDevice, "devices", self._devices.find({})))[1]

    @translated
    async def calibrations(self, provider: str, device: str) -> Sequence[CalibrationPoint]:
        """Return the device's calibrations, the oldest first."""
        found = self._calibrations.find({"device_id": f"{provider}/{device}"}).sort("at", -1).limit(_MOST_POINTS)
        return (await read_those(CalibrationPoint, "calibrations", found))[::-1]
