"""What a job costs in MongoDB, counted by the server: writes from its oplog, calls from its profiler."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymongo

Document = dict[str, Any]
_KINDS = {"i": "insert", "u": "update", "d": "delete"}


@dataclass
class Operations:
    """What happened to one database while it was watched."""

    writes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Job id → every document written for it, in order: collection, kind of write, fields."""
    calls: Counter[str] = field(default_factory=Counter)
    """Collection and kind of call → how many calls the database has answered."""


@contextmanager
def operations(url: str, database: str) -> Iterator[Operations]:
    """Watch a database of a replica set; what is yielded is filled in on leaving."""
    found = Operations()
    with pymongo.MongoClient[Document](url) as client:
        oplog, watched = client.local["oplog.rs"], client[database]
        last = next(oplog.find().sort("$natural", -1).limit(1))["ts"]
        watched.command("profile", 2)
        try:
            yield found
        finally:
            watched.command("profile", 0)
        for entry in oplog.find({"ts": {"$gt": last}}).sort("$natural", 1):
            for write in _writes(entry):
                space, _, collection = write["ns"].partition(".")
                if space == database:
                    key = str((write.get("o2") or write["o"])["_id"])
                    found.writes[key.partition(":")[0]].append(_described(collection, write))
        for call in watched["system.profile"].find():
            collection = call["ns"].partition(".")[2]
            if collection in ("jobs", "tasks"):
                found.calls[f"{collection} {_kind(call)}"] += 1


def _writes(entry: Document) -> Iterator[Document]:
    """Yield the single writes of an oplog entry, which may hold several."""
    for each in entry["o"].get("applyOps", [entry]):
        if each["op"] in _KINDS:
            yield each


def _described(collection: str, write: Document) -> str:
    if write["op"] == "i":
        return f"{collection} insert, {write['o']['state']}"
    diff: Document = write["o"].get("diff", {})
    changed = {**diff.get("u", {}), **diff.get("i", {})}
    names = sorted({*changed, *diff.get("d", {}), *(key[1:] for key in diff if key.startswith("s"))} - {"state"})
    state = f", → {changed['state']}" if "state" in changed else ""
    return f"{collection} {_KINDS[write['op']]}{state} ({', '.join(names)})"


def _kind(call: Document) -> str:
    return next(iter(call["command"])) if call["op"] == "command" else str(call["op"])
