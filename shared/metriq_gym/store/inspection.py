"""Looking at a MongoDB server: its version, whether it is a replica set's primary, and its clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from metriq_gym.store.mongo import connect, translated


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the server says of itself."""

    version: str
    replica_set: str | None
    writable: bool
    now: datetime


@translated
async def inspect(url: str) -> ServerState:
    """Return how the server is; raises `Transient` when it does not answer."""
    client = connect(url)
    try:
        hello = await client.admin.command("hello")
        build = await client.admin.command("buildInfo")
    finally:
        client.close()
    return ServerState(
        version=build["version"],
        replica_set=hello.get("setName"),
        writable=bool(hello.get("isWritablePrimary")),
        # Commands, unlike queries, are answered without a zone.
        now=hello["localTime"].replace(tzinfo=UTC),
    )
