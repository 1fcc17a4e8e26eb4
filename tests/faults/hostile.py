"""The corpus of what strangers publish: bodies, properties and configurations that are wrong in every way we know of.

One line each, in the hope that whoever thinks of another one adds it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from metriq_gym.bus.port import QUEUES
from tests.faults.scenario import TRIVIAL

GOOD: Mapping[str, Any] = {"provider": "local", "device": "aer_simulator", "config": TRIVIAL}
SUITE: Mapping[str, Any] = {"name": "S", "benchmarks": [{"name": "one", "config": TRIVIAL}]}

TEXTS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\x1b[31;1mred\x1b[2J",
    "two\nlines\r\n",
    "\u202eright to left",
    "zero\u200bwidth\ufeff",
    "Ｗ𝕀Ｔ",
    "👩‍👩‍👧‍👦" * 20,
    "e\u0301" * 100,
    "x" * 100_000,
    ".",
    "..",
    "../../../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/passwd",
    "C:\\Windows\\system32",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "%2e%2e%2fetc%2fpasswd",
    "..%c0%af..",
    "~root/.ssh/id_rsa",
    "$HOME; rm -rf /",
    "`id`",
    "{{7*7}}",
    "${jndi:ldap://localhost/a}",
    "%s%n%x",
    "' OR 1=1; --",
    "<script>alert(1)</script>",
    "$where",
    "$$ROOT",
    "__class__",
    "__proto__",
    "None",
    "NaN",
    "-1",
    "1e400",
)
"""Strings."""
NUMBERS = (-1, 0, -0.0, 0.5, 1e308, -1e308, 5e-324, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**400)
"""Numbers that JSON can write."""
NO_NUMBERS = (float("nan"), float("inf"), float("-inf"))
"""What Python writes into JSON, and JSON does not know."""


def nested(depth: int) -> Any:
    """Return lists and objects in each other."""
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


VALUES: tuple[Any, ...] = (
    *TEXTS,
    *NUMBERS,
    *NO_NUMBERS,
    None,
    True,
    [],
    {},
    [[]],
    {"": {}},
    {"$gt": ""},
    {"$ref": "jobs", "$id": 1},
    {"a\x00b": 1},
    {"a.b": {"$set": 1}},
    nested(30),
    nested(60),
    nested(900),
    ["a"] * 2000,
    dict.fromkeys(map(str, range(2000))),
)
"""Values of all kinds."""

NO_REQUESTS: Mapping[str, bytes] = {
    "empty": b"",
    "blank": b" \n\t",
    "null": b"null",
    "a number": b"1",
    "a string": b'"job"',
    "a list": b"[]",
    "an empty object": b"{}",
    "cut short": json.dumps(GOOD).encode()[:-10],
    "two documents": json.dumps(GOOD).encode() * 2,
    "trailing comma": b'{"provider": "local",}',
    "comments": b'{"provider": "local" /* or so */}',
    "Python": str(GOOD).encode(),
    "YAML": b"provider: local\ndevice: aer_simulator\n",
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a pickle": b"cos\nsystem\n(S'true'\ntR.",
    "gzip": gzip.compress(json.dumps(GOOD).encode()),
    "EBCDIC": json.dumps(GOOD).encode("cp037"),
    "Latin-1": json.dumps({**GOOD, "remarks": "ä"}, ensure_ascii=False).encode("latin-1"),
    "overlong UTF-8": b'{"provider": "\xc0\xae\xc0\xae\xc0\xaf"}',
    "half a surrogate pair": json.dumps({**GOOD, "remarks": "\ud800"}).encode(),
    "NULs": b"\x00" * 1000,
    "any byte": bytes(range(256)),
    "a number out of range": b'{"config": {"benchmark_name": "WIT", "shots": 1e999}}',
    "a number of 5,000 digits": b'{"config": {"benchmark_name": "WIT", "shots": ' + b"9" * 5000 + b"}}",
    "not a number": json.dumps({**GOOD, "x": float("nan")}).encode(),
    "lists in lists": b"[" * 200_000,
    "objects in objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "many keys": json.dumps(dict.fromkeys(map(str, range(50_000)))).encode(),
    "a megabyte too much": json.dumps({**GOOD, "x": "x" * 2**21}).encode(),
    "17 megabytes": b" " * (17 * 2**20),
}
"""Bodies that are no request of any kind."""

ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
"""A request in one of these is read as people have it."""

FIELDS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "job.requested": {
        "job_id": (
            "",
            ".",
            "../../etc/passwd",
            "a/b",
            "a\\b",
            "a\x00",
            "a\n",
            "ä",
            "․․",
            "x" * 129,
            7,
            [],
            {"$gt": ""},
        ),
        "provider": (*TEXTS, None, 7, [], {}),
        "device": ("", "\x00", "../../etc/passwd", "aer_simulator\x00", "aer_simulator/..", "x" * 201, "a\x1b[2J", {}),
        "prior": (0, 11, -1, 2**70, 1.5, "high", [1]),
        "remarks": ("", "x" * 201, "\x1b]0;title\x07", 5, {}),
        "group": ("", "two\nlines", [], 1e308),
        "suite_id": ("../..", "", "x" * 129, 7),
        "suite_name": ("", "\x07", "x" * 201, {}),
        "suite_size": (0, -1, 2**70, "two"),
        "schema_version": (0, 2, 999, -1, "1.0", None, []),
        "config": (None, 1, "WIT", [], {}, [TRIVIAL], {"benchmark_name": None}),
    },
    "suite.requested": {
        "suite_id": ("", "../..", "x" * 101, 7),
        "components": ("one", ["two"], [""], ["one"] * 201, [7], {"one": True}),
        "all": ("perhaps", 2, []),
        "suite": (
            None,
            [],
            {},
            {**SUITE, "name": ""},
            {**SUITE, "name": "\x1b[2J"},
            {**SUITE, "benchmarks": []},
            {**SUITE, "benchmarks": None},
            {**SUITE, "benchmarks": [SUITE]},
            {**SUITE, "benchmarks": SUITE["benchmarks"] * 2},
            {**SUITE, "benchmarks": [{"name": "../..", "config": None}]},
            {**SUITE, "benchmarks": [{"name": "one", "config": {**TRIVIAL, "shots": float("nan")}}]},
            {**SUITE, "benchmarks": [{"name": str(n), "config": TRIVIAL} for n in range(201)]},
            {**SUITE, "benchmarks": nested(70)},
        ),
    },
    "schedule.requested": {
        "name": (None, "", "../..", "a/b", "\x1b[2J", "x" * 201, 7),
        "cron": (None, "", "* * *", "61 * * * *", "0 3 * * *; rm", "* " * 100, "\x00", 7),
        "timezone": ("Mars/Phobos", "../../etc/passwd", "/etc/localtime", "", 7),
        "missed": ("twice", 1),
        "daily_shots": (-1, 2**70, 1.5, "many"),
        "config": (None, [], {"benchmark_name": "WITT"}),
    },
}
"""Routing key → field → values that it cannot have, each in an otherwise good request; but None is like leaving out."""

_WHERE: Mapping[str, Any] = {"provider": "local", "device": "aer_simulator"}
GOOD_BY_KEY: Mapping[str, Mapping[str, Any]] = {
    "job.requested": GOOD,
    "suite.requested": {**_WHERE, "suite": SUITE},
    "schedule.requested": {**_WHERE, "name": "nightly", "cron": "0 3 * * *", "config": TRIVIAL},
}

_SHOTS: tuple[Any, ...] = ("10", [10], {}, None, True, *NUMBERS[:7], *NUMBERS[-5:], *NO_NUMBERS)
CONFIGURATIONS: tuple[Mapping[str, Any], ...] = (
    *({**TRIVIAL, "benchmark_name": name} for name in ("", "WITT", "../wit", "wit.schema.json", "__init__", "Ｗ𝕀Ｔ")),
    *({**TRIVIAL, "benchmark_name": name} for name in ("WIT\x00", "\x1b[2J", "x" * 100_000, ["WIT"], {"$gt": ""}, 7)),
    *({**TRIVIAL, "shots": shots} for shots in _SHOTS),
    *({**TRIVIAL, "min_qubits": value, "max_qubits": value} for value in (0, -3, 2**40, 3.5, "3")),
    {**TRIVIAL, "\x1b[2J\x1b[31mred": 2**70},
    {**TRIVIAL, "a\x00b": 1},
    {**TRIVIAL, "x": {"$ref": "jobs", "$id": 1, "$db": "admin"}},
    {**TRIVIAL, "x": nested(60)},
    {"benchmark_name": "WIT", "num_qubits": [7]},
    {"benchmark_name": "EPLG", "lengths": [2**64] * 1000},
    {"benchmark_name": "EPLG", "lengths": list(range(50_000))},
    {"benchmark_name": "Linear Ramp QAOA", "qaoa_layers": ["a"] * 100_000},
    {"benchmark_name": "QAT OLE", "qasm": "OPENQASM 3;", "circuit": "49Q_L3", "observable_qubits": [0]},
)
"""Configurations in otherwise good requests."""

ODD_BUT_GOOD: Mapping[str, Mapping[str, Any]] = {
    "fields and keys nobody knows": {
        "$where": "this.state = 'exported'",
        "a.b": {"$set": {"state": "exported"}},
        "": None,
        "__proto__": {"state": "exported"},
        "x": "x" * 500_000,
        "config": {
            **TRIVIAL,
            "": [],
            "$where": "1",
            "a.b": 1,
            "\x1b[2J": "\u202e",
            "deep": nested(40),
            "Qubits": 1e308,
        },
    },
    "names in any script": {
        "remarks": "量子 \u202e👩‍👩‍👧‍👦 ' OR 1=1",
        "group": "..\\..\\$HOME",
        "suite_name": "<b>{{7*7}}",
    },
}
"""What is added to good requests that stay good."""

REFUSED_LATER: tuple[Mapping[str, Any], ...] = (
    {"benchmark_name": "QAT OLE", "qasm_path": "/etc/passwd", "observable_qubits": [0]},
    {"benchmark_name": "QAT OLE", "qasm": "\x00", "observable_qubits": [0]},
    {"benchmark_name": "QAT OLE", "qasm": 'OPENQASM 3; include "/etc/passwd";', "observable_qubits": [0]},
    {"benchmark_name": "QAT OLE", "qasm": f"OPENQASM 3; qubit[{10**9}] q; h q;", "observable_qubits": [0]},
    {"benchmark_name": "QAT OLE", "qasm": "OPENQASM 3; qubit q; " + "{" * 1000, "observable_qubits": [0]},
    {"benchmark_name": "QAT OLE", "qasm": "OPENQASM 3; qubit q; rz(" + "(" * 1000, "observable_qubits": [0]},
)
"""Configurations whose form is right: only whoever builds the circuits finds out."""

PROPERTIES: Mapping[str, Mapping[str, Any]] = {
    "wrong content type": {"content_type": "image/png", "content_encoding": "gzip"},
    "types that lie": {
        "type": "job.failed",
        "app_id": "scorer",
        "correlation_id": "../../etc/passwd",
        "reply_to": "\x00",
    },
    "names of 255 bytes": {"type": "\N{SNOWMAN}" * 85, "app_id": "x" * 255, "correlation_id": "\x1b" * 255},
    "forged headers of ours": {
        "headers": {
            "traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01",
            "metriq-retry": {"attempts": 2**31, "failures": 8, "failing_since": "yesterday", "routing_key": 7},
            "metriq-dead": {"service": "scorer", "reason": "\x1b[2J", "queue": "metriq.scorer", "first": "0000"},
        }
    },
    "forged headers of the broker": {
        "headers": {
            "x-delivery-count": 2**60,
            "x-death": [{"reason": "delivery_limit", "queue": "metriq.scorer", "count": -1}],
            "x-first-death-reason": [],
        }
    },
    "headers of any kind": {
        "headers": {
            "traceparent": {"a": [None, True, -1, 1.5, "\x00", {}]},
            "tracestate": ["a" * 1000] * 20,
            "baggage": "\u202e" * 500,
            "": "nameless",
            "$where": "1",
            "bytes": bytearray(range(256)),
            "huge": 2**62,
            "nothing": None,
        }
    },
    "headers in headers": {"headers": {"traceparent": nested(200)}},
    "as many headers as fit": {"headers": {f"header-{number}": "\N{SNOWMAN}" * 960 for number in range(45)}},
    "ten thousand headers": {"headers": {str(number): number for number in range(10_000)}},
}
"""What can be around a body; with a good one the job runs."""

NOT_ABOUT_A_JOB: Mapping[str, bytes] = {
    "empty": b"",
    "not text": b"\xff\x00",
    "a list": b'["job_id"]',
    "without an id": b"{}",
    "path-like id": b'{"job_id": "../../etc/passwd"}',
    "number for an id": b'{"job_id": 7}',
    "query for an id": b'{"job_id": {"$gt": ""}}',
    "deep": b'{"job_id":' * 100_000,
    "long": b'{"job_id": "' + b"x" * 2_000_000 + b'"}',
}
"""Bodies for messages that only services send, and for a cancellation: nobody can tell which job they mean."""

NEXT_VERSION = b'{"job_id": "nobody-knows-it", "schema_version": 2}'
"""Fails each time it is tried: nobody here can tell what it means."""

REQUESTS = ("job.requested", "suite.requested", "schedule.requested")
ABOUT_JOBS = tuple(key for queue in QUEUES for key in queue.routing_keys if key not in REQUESTS)


@dataclass(frozen=True)
class Hostile:
    """A message and what must become of it."""

    name: str
    key: str
    body: bytes
    becomes: Literal["rejected", "failed", "exported", "dead", "nothing"]
    properties: Mapping[str, Any] = field(default_factory=dict)


def corpus() -> Iterator[Hostile]:
    """Yield every message there is."""
    for key in REQUESTS:
        for name, body in NO_REQUESTS.items():
            yield Hostile(name, key, body, "rejected")
    for key, fields in FIELDS.items():
        good = GOOD_BY_KEY[key]
        for name, values in fields.items():
            # How large its suite is said to be counts for nothing: that is in the suite's own plan.
            becomes: Literal["rejected", "exported"] = "exported" if name == "suite_size" else "rejected"
            for value in values:
                yield Hostile(f"{name} {_short(value)}", key, _json({**good, name: value}), becomes)
    for config in CONFIGURATIONS:
        yield Hostile(f"config {_short(config)}", "job.requested", _json({**GOOD, "config": config}), "rejected")
    for config in REFUSED_LATER:
        yield Hostile(f"config {_short(config)}", "job.requested", _json({**GOOD, "config": config}), "failed")
    for encoding in ENCODINGS:
        yield Hostile(encoding, "job.requested", json.dumps(GOOD).encode(encoding), "exported")
    for name, more in ODD_BUT_GOOD.items():
        yield Hostile(name, "job.requested", _json({**GOOD, **more}), "exported")
    for name, properties in PROPERTIES.items():
        yield Hostile(name, "job.requested", _json(GOOD), "exported", properties)
        yield Hostile(f"{name}, bad body", "job.requested", b"{", "rejected", properties)
        yield Hostile(f"{name}, bad message", "job.cancel_requested", b"{", "dead", properties)
        yield Hostile(f"{name}, poison", "job.cancel_requested", NEXT_VERSION, "dead", properties)
    for key in ABOUT_JOBS:
        for name, body in NOT_ABOUT_A_JOB.items():
            yield Hostile(f"{key}: {name}", key, body, "dead")
        yield Hostile(f"{key}: next version", key, NEXT_VERSION, "dead")
        if key != "job.cancel_requested":  # which waits for its job to come
            about = {"job_id": "nobody-knows-it", "outcome": "error", "reason": "\x1b[2J"}
            # An estimate and a schedule's change are about no job, so what names only one is no request for them.
            is_request = key in ("estimate.requested", "schedule.change_requested")
            yield Hostile(f"{key}: unknown job", key, _json(about), "dead" if is_request else "nothing")


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _short(value: Any) -> str:
    return repr(value)[:60]
